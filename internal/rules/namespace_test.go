package rules_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// namespace is an existing namespace with pairs of annotations.
func namespace(annotations ...string) rules.NamespaceFacts {
	f := rules.NamespaceFacts{Exists: true, Annotations: map[string]string{}}
	for i := 0; i < len(annotations); i += 2 {
		f.Annotations[annotations[i]] = annotations[i+1]
	}
	return f
}

func TestJudgeNamespace(t *testing.T) {
	const (
		uid, consent, adopted = v1alpha1.AnnotationWorkspaceUID, v1alpha1.AnnotationAdoptableBy, v1alpha1.AnnotationAdopted
	)
	labelled := func(f rules.NamespaceFacts) rules.NamespaceFacts {
		f.Labels = rules.NamespaceLabels(workspace("web"))
		return f
	}
	goes := func(f rules.NamespaceFacts) rules.NamespaceFacts {
		f.Terminating = true
		return f
	}
	inHome := func(name string) workspaceOption { return func(w *v1alpha1.Workspace) { w.Namespace = name } }
	nothing := rules.NamespaceFacts{}
	cases := map[string]struct {
		reason    string
		home      rules.Home
		workspace *v1alpha1.Workspace
		facts     rules.NamespaceFacts
		step      rules.NamespaceStep
		want      string
	}{
		// Making it.
		"new": {"the default name is free", home(), workspace("web"), nothing, rules.NamespaceCreate, "Ready Ready"},
		"own name": {"a free name could be what somebody else is about to use: a home, say", home(), workspace("web", inNamespace("shop")), nothing,
			rules.NamespaceWait, "Waiting NamespaceNotFound"},
		"own name like a default": {"the organization's own default of another workspace is the organization's to use", home(),
			workspace("web", inNamespace("acme--shop")), nothing, rules.NamespaceCreate, "Ready Ready"},
		"no organization": {"nothing is made before it arrives", home(noOrganization), workspace("web"), nothing,
			rules.NamespaceWait, "Waiting OrganizationNotFound"},
		"organization leaves": {"nothing is made any more", home(organizationLeaves), workspace("web"), nothing,
			rules.NamespaceWait, "Reconciling OrganizationDeleting"},

		// Keeping it.
		"ours": {"known by UID", home(), workspace("web"), labelled(namespace(uid, "uid-web")), rules.NamespaceKeep, "Ready Ready"},
		"ours, labels gone": {"labels are repaired, and were never trusted", home(), workspace("web"), namespace(uid, "uid-web"),
			rules.NamespaceRepair, "Ready Ready"},
		"ours, adopted": {"adopted once, adopted for good, also after the consent is gone", home(), workspace("web"),
			labelled(namespace(uid, "uid-web", adopted, "true")), rules.NamespaceKeep, "Ready NamespaceAdopted"},
		"ours, and it goes": {"somebody deleted it: made anew once gone", home(), workspace("web"), goes(labelled(namespace(uid, "uid-web"))),
			rules.NamespaceWait, "Reconciling NamespaceTerminating"},
		"ours without an organization": {"it stays the workspace's; access is another matter", home(noOrganization), workspace("web"),
			labelled(namespace(uid, "uid-web")), rules.NamespaceKeep, "Waiting OrganizationNotFound"},
		"ours while the organization leaves": {"it stays the workspace's until that goes", home(organizationLeaves), workspace("web"),
			namespace(uid, "uid-web"), rules.NamespaceRepair, "Reconciling OrganizationDeleting"},

		// Taking over what exists.
		"foreign": {"no consent, no use", home(), workspace("web"), namespace(), rules.NamespaceWait, "Stalled NamespaceConflict"},
		"foreign with our labels": {"labels prove nothing: tenants elsewhere may write them", home(), workspace("web"), labelled(namespace()),
			rules.NamespaceWait, "Stalled NamespaceConflict"},
		"of a workspace of the same name before": {"another UID is another workspace", home(), workspace("web"),
			labelled(namespace(uid, "uid-before")), rules.NamespaceWait, "Stalled NamespaceConflict"},
		"marked as adopted without a UID": {"adopted by whom?", home(), workspace("web"), namespace(adopted, "true"),
			rules.NamespaceWait, "Stalled NamespaceConflict"},
		"consents": {"a platform admin wrote the consent", home(), workspace("web", inNamespace("legacy")), namespace(consent, "acme/web"),
			rules.NamespaceAdopt, "Ready NamespaceAdopted"},
		"consents to another workspace": {"consent is to one workspace", home(), workspace("web"), namespace(consent, "acme/api"),
			rules.NamespaceWait, "Stalled NamespaceConflict"},
		"consents to the same name elsewhere": {"consent is to one organization", home(), workspace("web"), namespace(consent, "other/web"),
			rules.NamespaceWait, "Stalled NamespaceConflict"},
		"consents to all": {"there is no such consent", home(), workspace("web"), namespace(consent, "*"),
			rules.NamespaceWait, "Stalled NamespaceConflict"},
		"consents and goes": {"what goes is not used; it is made anew once gone", home(), workspace("web"), goes(namespace(consent, "acme/web")),
			rules.NamespaceWait, "Waiting NamespaceTerminating"},
		"foreign and goes": {"the name may become free", home(), workspace("web"), goes(namespace()),
			rules.NamespaceWait, "Waiting NamespaceTerminating"},

		// Attacks by name.
		"kube-system": {"Kubernetes' own", home(), workspace("web", inNamespace("kube-system")), namespace(consent, "acme/web"),
			rules.NamespaceWait, "Stalled NamespaceInvalid"},
		"kube-something new": {"reserved for Kubernetes, also what does not exist yet", home(), workspace("web", inNamespace("kube-x")), nothing,
			rules.NamespaceWait, "Stalled NamespaceInvalid"},
		"default": {"exists, and nobody consents", home(), workspace("web", inNamespace("default")), namespace(),
			rules.NamespaceWait, "Stalled NamespaceConflict"},
		"another organization's default": {"it could squat what another organization will need", home(),
			workspace("web", inNamespace("other--web")), nothing, rules.NamespaceWait, "Waiting NamespaceNotFound"},
		"another organization's default, a longer home": {"acme is not acme2", home(),
			workspace("web", inNamespace("acme2--web")), nothing, rules.NamespaceWait, "Waiting NamespaceNotFound"},
		"another organization's default, a home with dashes": {"acme--b--web is the default of workspace web of a home acme--b", home(),
			workspace("web", inNamespace("acme--b--web")), nothing, rules.NamespaceWait, "Waiting NamespaceNotFound"},
		"its own default, a home with dashes": {"a home may have any name", home(), workspace("web", inHome("acme--b")), nothing,
			rules.NamespaceCreate, "Ready Ready"},
		"the home": {"the home is where the rules live: nobody works in it", home(), workspace("web", inNamespace("acme")),
			namespace(consent, "acme/web"), rules.NamespaceWait, "Stalled NamespaceInvalid"},
		"too long": {"no namespace can be called that", home(), workspace(strings.Repeat("x", 58)), nothing,
			rules.NamespaceWait, "Stalled NamespaceInvalid"},
		"just short enough": {"63 characters are fine", home(), workspace(strings.Repeat("x", 57)), nothing,
			rules.NamespaceCreate, "Ready Ready"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			step, v := rules.JudgeNamespace(c.home, c.workspace, c.facts)
			if step != c.step || says(v) != c.want {
				t.Errorf("%s\nJudgeNamespace = step %d, %q (%s), want step %d, %q", c.reason, step, says(v), v.Message, c.step, c.want)
			}
			if step.Holds() != (step != rules.NamespaceWait) {
				t.Errorf("step %d holds: %v", step, step.Holds())
			}
			object := rules.NamespaceName(c.workspace)
			if !c.home.Live() {
				object = c.home.Namespace
			}
			checkVerdict(t, v, object)
		})
	}
}

func TestJudgeFarewell(t *testing.T) {
	const uid, adopted = v1alpha1.AnnotationWorkspaceUID, v1alpha1.AnnotationAdopted
	goes := func(f rules.NamespaceFacts) rules.NamespaceFacts {
		f.Terminating = true
		return f
	}
	cases := map[string]struct {
		reason    string
		workspace *v1alpha1.Workspace
		facts     rules.NamespaceFacts
		want      rules.Farewell
	}{
		"no namespace":          {"nothing is left to do", workspace("web"), rules.NamespaceFacts{}, rules.FarewellNone},
		"foreign":               {"what was never held is not touched", workspace("web"), namespace(), rules.FarewellNone},
		"of another workspace":  {"another UID is another workspace, also of the same name", workspace("web"), namespace(uid, "uid-before"), rules.FarewellNone},
		"foreign and goes":      {"nor waited for", workspace("web"), goes(namespace(uid, "uid-before")), rules.FarewellNone},
		"ours":                  {"Delete is the default", workspace("web"), namespace(uid, "uid-web"), rules.FarewellDelete},
		"ours and goes":         {"the workspace stays until it is gone", workspace("web"), goes(namespace(uid, "uid-web")), rules.FarewellAwait},
		"ours, Retain":          {"it stays, without marks", workspace("web", retained), namespace(uid, "uid-web"), rules.FarewellRelease},
		"ours, Retain and goes": {"somebody else deletes it: not waited for", workspace("web", retained), goes(namespace(uid, "uid-web")), rules.FarewellNone},
		"adopted":               {"adopted namespaces are never deleted", workspace("web"), namespace(uid, "uid-web", adopted, "true"), rules.FarewellRelease},
		"adopted and goes":      {"somebody else deletes it: not waited for", workspace("web"), goes(namespace(uid, "uid-web", adopted, "true")), rules.FarewellNone},
		"adopted, another says": {"only what was adopted by this workspace is this workspace's", workspace("web"), namespace(uid, "uid-api", adopted, "true"), rules.FarewellNone},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := rules.JudgeFarewell(c.workspace, c.facts); got != c.want {
				t.Errorf("%s\nJudgeFarewell = %d, want %d", c.reason, got, c.want)
			}
		})
	}
}

func TestNamespaceFactsOf(t *testing.T) {
	if diff := cmp.Diff(rules.NamespaceFacts{}, rules.FactsOf(nil)); diff != "" {
		t.Errorf("a namespace that does not exist\n-want +got:\n%s", diff)
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Annotations: map[string]string{"a": "1"}, Labels: map[string]string{"l": "2"}, DeletionTimestamp: stamp(now),
	}}
	want := rules.NamespaceFacts{Exists: true, Annotations: ns.Annotations, Labels: ns.Labels, Terminating: true}
	if diff := cmp.Diff(want, rules.FactsOf(ns)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
