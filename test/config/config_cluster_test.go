package config_test

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/orgkeeper/orgkeeper/test/cluster"
	"github.com/orgkeeper/orgkeeper/test/config"
)

const (
	system   = "orgkeeper-system"
	operator = "system:serviceaccount:orgkeeper-system:orgkeeper"
	home     = "home"
)

// TestConfig installs config/default on a control plane of its own and looks at what it allows there.
func TestConfig(t *testing.T) {
	c, err := cluster.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := c.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	admin := kubernetes.NewForConfigOrDie(c.Admin)
	createNamespace(t, admin, home)

	t.Run("the pods fit the restricted level", func(t *testing.T) { testPodSecurity(t, admin) })
	t.Run("the table, cell by cell", func(t *testing.T) { testTable(t, admin) })
	t.Run("workspace-admin hands on nothing", func(t *testing.T) { testWorkspaceAdmin(t, c, admin) })
	t.Run("the policies as applied are the policies as shipped", func(t *testing.T) { testPolicies(t, c, admin) })
	t.Run("the operator is no cluster-admin", func(t *testing.T) { testOperator(t, c, admin) })
	t.Run("applied again, nothing changes", func(t *testing.T) { testApplyTwice(t, c) })
	t.Run("samples and explanations", func(t *testing.T) { testSamples(t, c, admin) })
	t.Run("config/activity", func(t *testing.T) { testActivity(t, c, admin) })
}

// No node is there to run pods; what counts is whether the API server lets them in.
func testPodSecurity(t *testing.T, admin kubernetes.Interface) {
	deployment, err := admin.AppsV1().Deployments(system).Get(t.Context(), "orgkeeper", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CoreV1().Pods(system).Create(t.Context(), podOf(deployment), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
		t.Errorf("a pod of the Deployment is refused: %v", err)
	}
	privileged := podOf(deployment)
	privileged.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: new(true)}
	if _, err := admin.CoreV1().Pods(system).Create(t.Context(), privileged, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err == nil {
		t.Error("a privileged pod was let in")
	}
	for why, spoil := range map[string]func(*corev1.PodSpec){
		"may run as root":           func(s *corev1.PodSpec) { s.SecurityContext.RunAsNonRoot = nil },
		"may escalate":              func(s *corev1.PodSpec) { s.Containers[0].SecurityContext.AllowPrivilegeEscalation = nil },
		"keeps capabilities":        func(s *corev1.PodSpec) { s.Containers[0].SecurityContext.Capabilities = nil },
		"without a seccomp profile": func(s *corev1.PodSpec) { s.SecurityContext.SeccompProfile = nil },
		"in the node's own network": func(s *corev1.PodSpec) { s.HostNetwork = true },
		"with the node's filesystem": func(s *corev1.PodSpec) {
			s.Volumes[0].VolumeSource = corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}
		},
	} {
		pod := podOf(deployment)
		spoil(&pod.Spec)
		_, err := admin.CoreV1().Pods(system).Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `PodSecurity "restricted`) {
			t.Errorf("a pod that is %s: want a refusal by PodSecurity restricted, got: %v", why, err)
		}
	}
}

func podOf(deployment *appsv1.Deployment) *corev1.Pod {
	template := deployment.Spec.Template.DeepCopy()
	pod := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
	pod.Name = "orgkeeper-test"
	return pod
}

func testTable(t *testing.T, admin kubernetes.Interface) {
	users := map[config.Holder]string{}
	for _, holder := range config.Holders {
		users[holder] = strings.ToLower(strings.ReplaceAll(string(holder), " ", "-"))
		for _, role := range config.ClusterRoles[holder] {
			bind(t, admin, home, users[holder], role)
		}
	}
	const elsewhere = "another-home"
	createNamespace(t, admin, elsewhere)
	for _, holder := range config.Holders {
		for _, permission := range config.Permissions() {
			want := config.May(holder, permission)
			if got := may(t, admin, users[holder], home, permission); got != want {
				t.Errorf("%s: %s: the table says %v, the API server %v", holder, permission, want, got)
			}
			if may(t, admin, users[holder], elsewhere, permission) {
				t.Errorf("%s: %s: allowed in somebody else's home", holder, permission)
			}
		}
	}
}

func testWorkspaceAdmin(t *testing.T, c *cluster.Cluster, admin kubernetes.Interface) {
	const workspace, user = "home--web", "ada"
	createNamespace(t, admin, workspace)
	bind(t, admin, workspace, user, "orgkeeper:workspace-admin")
	const rbac = rbacv1.GroupName

	// kube-controller-manager gathers the rules a moment after the role is there.
	eventually(t, "the rules of orgkeeper:workspace-admin", func() bool {
		return allowed(t, admin, user, workspace, "create", "apps", "deployments")
	})
	for _, test := range []struct {
		verb, group, resource string
		want                  bool
	}{
		{"create", "apps", "deployments", true},
		{"get", "", "pods", true},
		{"create", "", "secrets", true},
		{"get", "", "resourcequotas", true},
		{"get", rbac, "rolebindings", true},
		{"list", rbac, "roles", true},
		{"create", "authorization.k8s.io", "localsubjectaccessreviews", true},
		{"create", rbac, "rolebindings", false},
		{"update", rbac, "rolebindings", false},
		{"patch", rbac, "rolebindings", false},
		{"delete", rbac, "rolebindings", false},
		{"create", rbac, "roles", false},
		{"update", rbac, "roles", false},
		{"escalate", rbac, "roles", false},
		{"bind", rbac, "clusterroles", false},
		{"create", "", "resourcequotas", false},
		{"update", "", "namespaces", false},
		{"delete", "", "namespaces", false},
	} {
		if got := allowed(t, admin, user, workspace, test.verb, test.group, test.resource); got != test.want {
			t.Errorf("%s %s.%s: %v, want %v", test.verb, test.resource, test.group, got, test.want)
		}
	}

	// Not by asking alone: hand the own access on.
	ada := kubernetes.NewForConfigOrDie(c.As(user))
	_, err := ada.RbacV1().RoleBindings(workspace).Create(t.Context(), roleBinding("for-a-friend", "friend", "ClusterRole", "orgkeeper:workspace-admin"), metav1.CreateOptions{})
	if !apierrors.IsForbidden(err) {
		t.Errorf("a workspace admin bound their own role to a friend: %v", err)
	}

	// A kind of somebody else's that is aggregated to edit is part of it, as it is of the stock admin role.
	_, err = admin.RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "anvils-edit", Labels: map[string]string{"rbac.authorization.k8s.io/aggregate-to-edit": "true"}},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"acme.example"}, Resources: []string{"anvils"}, Verbs: []string{"create"}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "anvils in orgkeeper:workspace-admin", func() bool {
		return allowed(t, admin, user, workspace, "create", "acme.example", "anvils")
	})
}

func testOperator(t *testing.T, c *cluster.Cluster, admin kubernetes.Interface) {
	as, err := c.Operator(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	op := kubernetes.NewForConfigOrDie(as)

	secretReader := &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "secret-reader", Namespace: home},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}}},
	}
	if _, err := admin.RbacV1().Roles(home).Create(t.Context(), secretReader, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		kind, role string
		want       bool
	}{
		{"ClusterRole", "orgkeeper:owner", true},
		{"ClusterRole", "orgkeeper:admin", true},
		{"ClusterRole", "orgkeeper:shared-admin", true},
		{"ClusterRole", "orgkeeper:billing-admin", true},
		{"ClusterRole", "orgkeeper:user-admin", true},
		{"ClusterRole", "orgkeeper:workspace-admin", true},
		{"ClusterRole", "edit", true},
		{"ClusterRole", "view", true},
		{"ClusterRole", "orgkeeper:platform", false},
		{"ClusterRole", "orgkeeper:operator", true}, // its own rights, which it has anyway
		{"ClusterRole", "admin", false},
		{"ClusterRole", "cluster-admin", false},
		{"ClusterRole", "system:node", false},
		{"Role", "secret-reader", false},
	} {
		name := "try-" + strings.ReplaceAll(test.role, ":", "-")
		_, err := op.RbacV1().RoleBindings(home).Create(t.Context(), roleBinding(name, "mia", test.kind, test.role), metav1.CreateOptions{})
		if test.want && err != nil || !test.want && !apierrors.IsForbidden(err) {
			t.Errorf("bind %s %s: want allowed=%v, got: %v", test.kind, test.role, test.want, err)
		}
	}

	_, err = op.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "try"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
	}, metav1.CreateOptions{})
	if !apierrors.IsForbidden(err) {
		t.Errorf("the operator bound a role for the whole cluster: %v", err)
	}

	const ours = "orgkeeper.dev"
	for _, test := range []struct {
		verb, group, resource, subresource string
		want                               bool
	}{
		{"patch", ours, "orgmembers", "", true},
		{"update", ours, "orgmembers", "", false},
		{"patch", ours, "orgmembers", "status", true},
		{"update", ours, "orgmembers", "status", false},
		{"update", ours, "orgmembers", "finalizers", true},
		{"create", ours, "orgmembers", "", false},
		{"delete", ours, "orgmembers", "", true}, // never used: the API server asks for it where owner references are set
		{"delete", ours, "organizations", "", false},
		{"deletecollection", ours, "orgmembers", "", false},
		{"update", ours, "orgmembers", "acceptance", false},
		{"grant", ours, "orgmembers", "admin", false},
		{"delete", "", "namespaces", "", true},
		{"deletecollection", "", "namespaces", "", false},
		{"create", "events.k8s.io", "events", "", true},
		{"get", "", "secrets", "", false},
		{"list", "", "secrets", "", false},
		{"create", "", "pods", "", false},
		{"create", "", "serviceaccounts", "token", false},
		{"impersonate", "", "users", "", false},
		{"escalate", rbacv1.GroupName, "roles", "", false},
		{"create", rbacv1.GroupName, "roles", "", false},
		{"update", rbacv1.GroupName, "clusterroles", "", false},
		{"create", "coordination.k8s.io", "leases", "", false},
		{"watch", "admissionregistration.k8s.io", "validatingadmissionpolicies", "", true},
		{"watch", "admissionregistration.k8s.io", "validatingadmissionpolicybindings", "", true},
		{"update", "admissionregistration.k8s.io", "validatingadmissionpolicies", "", false},
		{"delete", "admissionregistration.k8s.io", "validatingadmissionpolicybindings", "", false},
		{"get", "admissionregistration.k8s.io", "mutatingadmissionpolicies", "", false},
	} {
		permission := authorizationv1.ResourceAttributes{Namespace: home, Verb: test.verb, Group: test.group, Resource: test.resource, Subresource: test.subresource}
		if got := review(t, admin, operator, permission); got != test.want {
			t.Errorf("%s %s.%s/%s: %v, want %v", test.verb, test.resource, test.group, test.subresource, got, test.want)
		}
	}

	// In its own namespace one lease, and still no Secret.
	for _, test := range []struct {
		verb, group, resource, name string
		want                        bool
	}{
		{"create", "coordination.k8s.io", "leases", "", true},
		{"update", "coordination.k8s.io", "leases", "orgkeeper", true},
		{"update", "coordination.k8s.io", "leases", "somebody-else", false},
		{"list", "coordination.k8s.io", "leases", "", false},
		{"create", "", "events", "", true},
		{"get", "", "secrets", "orgkeeper-invitation-keys", false},
	} {
		permission := authorizationv1.ResourceAttributes{Namespace: system, Verb: test.verb, Group: test.group, Resource: test.resource, Name: test.name}
		if got := review(t, admin, operator, permission); got != test.want {
			t.Errorf("in %s: %s %s.%s %s: %v, want %v", system, test.verb, test.resource, test.group, test.name, got, test.want)
		}
	}
}

var policyVersion = regexp.MustCompile(`(?m)^(ValidatingAdmissionPolicy \S+ \d+) \d+$`)

func testApplyTwice(t *testing.T, c *cluster.Cluster) {
	versions := func() string {
		out, err := c.Run(t.Context(), "get", "-k", "config/default", "--output",
			`jsonpath={range .items[*]}{.kind} {.metadata.name} {.metadata.generation} {.metadata.resourceVersion}{"\n"}{end}`)
		if err != nil {
			t.Fatal(err)
		}
		// Of a policy, the API server writes down the time of the second apply, once. Its spec counts.
		return policyVersion.ReplaceAllString(out, "$1")
	}
	// The first apply is answered by controllers (status of definitions, policies and the Deployment); wait until they are
	// done. Policies are the last: kube-controller-manager checks the types in them one by one.
	eventually(t, "the policies are checked", func() bool {
		out, err := c.Run(t.Context(), "get", "validatingadmissionpolicies", "--output",
			`jsonpath={range .items[*]}{.metadata.name}={.status.observedGeneration}{"\n"}{end}`)
		if err != nil {
			t.Fatal(err)
		}
		return !strings.Contains(out, "=\n")
	})
	// What is written in one second is sorted by name in managedFields, once more by the next apply. Nothing else changes by it.
	if err := c.Kustomize(t.Context(), "config/default"); err != nil {
		t.Fatal(err)
	}
	before := versions()
	eventually(t, "quiet after the installation", func() bool {
		was := before
		before = versions()
		return was == before
	})
	if err := c.Kustomize(t.Context(), "config/default"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(before, "\n"), strings.Split(versions(), "\n")); diff != "" {
		t.Errorf("the second apply wrote (- before + after):\n%s", diff)
	}
}

func testSamples(t *testing.T, c *cluster.Cluster, admin kubernetes.Interface) {
	createNamespace(t, admin, "acme") // a dry run creates none for the rest to be in
	out, err := c.Run(t.Context(), "apply", "--server-side", "--dry-run=server", "-f", "config/samples/")
	if err != nil {
		t.Error(err)
	}
	if got := strings.Count(out, "(server dry run)"); got != 11 {
		t.Errorf("%d samples, want 11:\n%s", got, out)
	}
	for field, sentence := range map[string]string{
		"om":               "OrgMember is a person or robot of the organization",
		"om.spec.email":    "email is where the invitation goes",
		"om.spec.role":     "role is Admin, BillingAdmin, UserAdmin or Member. Default Member.",
		"org.spec.owner":   "owner is the name of the OrgMember who owns the organization",
		"ws.spec":          "spec is what the workspace is to be",
		"wsa.spec.access":  "access is View, Edit or Admin",
		"om.status.state":  "Only Active has access",
		"org.spec.members": "dormantAfter is how long a member may be inactive",
	} {
		out, err := c.Run(t.Context(), "explain", field)
		if err != nil {
			t.Error(err)
		}
		if !strings.Contains(strings.Join(strings.Fields(out), " "), sentence) {
			t.Errorf("kubectl explain %s does not say %q:\n%s", field, sentence, out)
		}
	}
}

func createNamespace(t *testing.T, admin kubernetes.Interface, name string) {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := admin.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func bind(t *testing.T, admin kubernetes.Interface, namespace, user, role string) {
	t.Helper()
	binding := roleBinding(user+"-"+strings.ReplaceAll(role, ":", "-"), user, "ClusterRole", role)
	if _, err := admin.RbacV1().RoleBindings(namespace).Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	// The authorizer learns of a binding from its own watch.
	eventually(t, "the binding of "+role+" to "+user, func() bool {
		if role == "orgkeeper:workspace-admin" {
			return allowed(t, admin, user, namespace, "list", rbacv1.GroupName, "roles")
		}
		return allowed(t, admin, user, namespace, "get", "orgkeeper.dev", "organizations") ||
			allowed(t, admin, user, namespace, "delete", "orgkeeper.dev", "organizations")
	})
}

func roleBinding(name, user, kind, role string) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: role},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}
}

func may(t *testing.T, admin kubernetes.Interface, user, namespace string, permission config.Permission) bool {
	t.Helper()
	return review(t, admin, user, authorizationv1.ResourceAttributes{
		Namespace: namespace, Group: "orgkeeper.dev",
		Verb: permission.Verb, Resource: permission.Resource, Subresource: permission.Subresource,
	})
}

func allowed(t *testing.T, admin kubernetes.Interface, user, namespace, verb, group, resource string) bool {
	t.Helper()
	return review(t, admin, user, authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Group: group, Resource: resource})
}

func review(t *testing.T, admin kubernetes.Interface, user string, permission authorizationv1.ResourceAttributes) bool {
	t.Helper()
	answer, err := admin.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{User: user, ResourceAttributes: &permission},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return answer.Status.Allowed
}

// eventually waits for what another process brings about.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}
