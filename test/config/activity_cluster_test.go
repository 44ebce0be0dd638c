package config_test

import (
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"

	"github.com/orgkeeper/orgkeeper/test/cluster"
)

const binary = "../../bin/orgkeeper"

// testActivity adds config/activity, as an overlay does: flags, Secrets, port, Service and NetworkPolicy must fit together.
func testActivity(t *testing.T, c *cluster.Cluster, admin kubernetes.Interface) {
	if args := deployed(t, admin).Spec.Template.Spec.Containers[0].Args; slices.ContainsFunc(args, ofActivity) {
		t.Errorf("config/default takes audit events unasked: %v", args)
	}
	if err := c.Kustomize(t.Context(), "test/config/testdata/activity"); err != nil {
		t.Fatal(err)
	}
	d := deployed(t, admin)
	if _, err := admin.CoreV1().Pods(system).Create(t.Context(), podOf(d), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
		t.Errorf("a pod of the Deployment is refused: %v", err)
	}
	pod, files := d.Spec.Template, projected(t, d)
	help, err := exec.Command(binary, "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("no operator to ask for its flags: run make build first (make test does): %v", err)
	}
	bind := ""
	for _, arg := range pod.Spec.Containers[0].Args {
		if !ofActivity(arg) {
			continue
		}
		flag, value, _ := strings.Cut(arg, "=")
		if !strings.Contains(string(help), strings.TrimPrefix(flag, "-")+" ") {
			t.Errorf("the operator has no flag %s", flag)
		}
		if strings.HasPrefix(value, "/") && !slices.Contains(files, value) {
			t.Errorf("%s: no Secret brings this file; there are %v", arg, files)
		}
		if flag == "--activity-bind-address" {
			bind = value
		}
	}
	port := portNamed(t, d, "activity")
	if bind != ":8082" || port != 8082 {
		t.Errorf("the operator listens on %q, and the pod's port is %d", bind, port)
	}

	service, err := admin.CoreV1().Services(system).Get(t.Context(), "orgkeeper-activity", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if p := service.Spec.Ports[0]; p.Port != 443 || p.TargetPort.StrVal != "activity" || service.Spec.ClusterIP == "" {
		t.Errorf("the Service is %+v", service.Spec)
	}
	if !labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(pod.Labels)) {
		t.Errorf("the Service selects %v, and the pods are %v", service.Spec.Selector, pod.Labels)
	}
	policy, err := admin.NetworkingV1().NetworkPolicies(system).Get(t.Context(), "orgkeeper-activity", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	selector, err := metav1.LabelSelectorAsSelector(&policy.Spec.PodSelector)
	if err != nil || !selector.Matches(labels.Set(pod.Labels)) {
		t.Errorf("the NetworkPolicy is of %s, %v, and the pods are %v", selector, err, pod.Labels)
	}
	if !slices.Equal(policy.Spec.PolicyTypes, []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}) ||
		len(policy.Spec.Ingress) != 1 || policy.Spec.Ingress[0].Ports[0].Port.StrVal != "activity" {
		t.Errorf("the NetworkPolicy lets in %+v", policy.Spec)
	}
}

func ofActivity(arg string) bool { return strings.HasPrefix(arg, "--activity-") }

func deployed(t *testing.T, admin kubernetes.Interface) *appsv1.Deployment {
	t.Helper()
	d, err := admin.AppsV1().Deployments(system).Get(t.Context(), "orgkeeper", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// projected are the files that the Secrets of the volume "activity" bring.
func projected(t *testing.T, d *appsv1.Deployment) (files []string) {
	t.Helper()
	spec := d.Spec.Template.Spec
	volume := slices.IndexFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == "activity" })
	mount := slices.IndexFunc(spec.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == "activity" })
	if volume < 0 || mount < 0 || spec.Volumes[volume].Projected == nil {
		t.Fatalf("no Secrets are mounted: %v", spec.Volumes)
	}
	for _, source := range spec.Volumes[volume].Projected.Sources {
		for _, item := range source.Secret.Items {
			files = append(files, path.Join(spec.Containers[0].VolumeMounts[mount].MountPath, item.Path))
		}
	}
	return files
}

func portNamed(t *testing.T, d *appsv1.Deployment, name string) int32 {
	t.Helper()
	for _, p := range d.Spec.Template.Spec.Containers[0].Ports {
		if p.Name == name {
			return p.ContainerPort
		}
	}
	t.Errorf("the pod has no port %s", name)
	return 0
}
