package rules

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// maxNamespaceLength is how long the name of a namespace may be (RFC 1123 label).
const maxNamespaceLength = 63

// NamespaceName is the name of a workspace's namespace: as declared, or <home>--<name>.
func NamespaceName(w *v1alpha1.Workspace) string {
	if w.Spec.Namespace != "" {
		return w.Spec.Namespace
	}
	return w.Namespace + "--" + w.Name
}

// NamespaceFacts is what must be known of a workspace's namespace. Only metadata that tenants cannot write is read.
type NamespaceFacts struct {
	// Exists is false when there is no such namespace; the other fields are empty then.
	Exists      bool
	Annotations map[string]string
	Labels      map[string]string
	Terminating bool
}

// NamespaceStep is what to do about a workspace's namespace.
type NamespaceStep int

// The steps.
const (
	// NamespaceWait: nothing can be done now; the verdict says why.
	NamespaceWait NamespaceStep = iota
	// NamespaceCreate: create it, marked as the workspace's.
	NamespaceCreate
	// NamespaceAdopt: it consented; mark it as the workspace's and as adopted.
	NamespaceAdopt
	// NamespaceRepair: it is the workspace's, and its labels are not as they should be.
	NamespaceRepair
	// NamespaceKeep: it is the workspace's and as it should be.
	NamespaceKeep
)

// Holds says whether the workspace holds its namespace after the step is taken.
func (s NamespaceStep) Holds() bool { return s != NamespaceWait }

// NamespaceLabels are the labels that a workspace's namespace, and the RoleBindings in it, always have.
func NamespaceLabels(w *v1alpha1.Workspace) map[string]string {
	return map[string]string{
		v1alpha1.LabelOrganization: w.Namespace,
		v1alpha1.LabelWorkspace:    w.Name,
	}
}

// JudgeNamespace says what to do about the namespace of a workspace that stays.
func JudgeNamespace(h Home, w *v1alpha1.Workspace, f NamespaceFacts) (NamespaceStep, Verdict) {
	name := NamespaceName(w)
	if Holds(w, f) {
		return judgeHeld(h, w, f)
	}
	if !h.Live() {
		return NamespaceWait, h.verdict()
	}
	if problem := nameProblem(w, name); problem != "" {
		return NamespaceWait, stalled(v1alpha1.ReasonNamespaceInvalid, problem)
	}
	switch {
	case !f.Exists && !ownName(w, name):
		return NamespaceWait, waiting(v1alpha1.ReasonNamespaceNotFound,
			fmt.Sprintf("namespace %s does not exist, and only %s-- and a name without -- is made; a platform admin may create it with the annotation %s=%s/%s",
				name, w.Namespace, v1alpha1.AnnotationAdoptableBy, w.Namespace, w.Name))
	case !f.Exists:
		return NamespaceCreate, holdsVerdict(name, f)
	case f.Terminating:
		return NamespaceWait, waiting(v1alpha1.ReasonNamespaceTerminating,
			fmt.Sprintf("an older namespace %s is being deleted; it is looked at again once gone", name))
	case f.Annotations[v1alpha1.AnnotationAdoptableBy] == w.Namespace+"/"+w.Name:
		return NamespaceAdopt, ready(v1alpha1.ReasonNamespaceAdopted, "namespace "+name+" existed and consented; it is in use")
	}
	return NamespaceWait, stalled(v1alpha1.ReasonNamespaceConflict,
		fmt.Sprintf("namespace %s exists and is not this workspace's; a platform admin may annotate it %s=%s/%s, or choose another spec.namespace in a new Workspace",
			name, v1alpha1.AnnotationAdoptableBy, w.Namespace, w.Name))
}

// Holds says whether a namespace is a workspace's.
func Holds(w *v1alpha1.Workspace, f NamespaceFacts) bool {
	return f.Exists && f.Annotations[v1alpha1.AnnotationWorkspaceUID] == string(w.UID)
}

// judgeHeld is JudgeNamespace for a namespace that is the workspace's already.
func judgeHeld(h Home, w *v1alpha1.Workspace, f NamespaceFacts) (NamespaceStep, Verdict) {
	name := NamespaceName(w)
	if f.Terminating {
		return NamespaceWait, reconciling(v1alpha1.ReasonNamespaceTerminating,
			fmt.Sprintf("namespace %s is being deleted; it is looked at again once gone", name))
	}
	step, verdict := NamespaceKeep, holdsVerdict(name, f)
	if !hasLabels(f.Labels, NamespaceLabels(w)) {
		step = NamespaceRepair
	}
	switch {
	case !h.Live():
		verdict = h.verdict()
	case h.ended():
		verdict = ready(v1alpha1.ReasonSubscriptionEnded,
			fmt.Sprintf("nobody has access to namespace %s: the subscription of %s has ended; all access comes back when it is resumed", name, h.Organization.Name))
	}
	return step, verdict
}

func holdsVerdict(name string, f NamespaceFacts) Verdict {
	if adopted(f) {
		return ready(v1alpha1.ReasonNamespaceAdopted, "namespace "+name+" existed and consented; it is in use")
	}
	return ready(v1alpha1.ReasonReady, "namespace "+name+" is in use")
}

// ownName says whether a namespace of this name may be made for the workspace: <home>-- and a name without --. Any other
// name could be what somebody else is about to use, such as another organization's home, and whoever makes a namespace
// has it; so others are taken only with consent.
func ownName(w *v1alpha1.Workspace, name string) bool {
	rest, ok := strings.CutPrefix(name, w.Namespace+"--")
	return ok && !strings.Contains(rest, "--")
}

// nameProblem says why a namespace of this name can never be the workspace's; empty when it can.
func nameProblem(w *v1alpha1.Workspace, name string) string {
	switch {
	case len(name) > maxNamespaceLength:
		return fmt.Sprintf("the namespace's name %s has more than %d characters; give a shorter spec.namespace in a new Workspace", name, maxNamespaceLength)
	case name == w.Namespace:
		return fmt.Sprintf("namespace %s is the organization's home; a workspace needs another namespace", name)
	case strings.HasPrefix(name, "kube-"):
		return fmt.Sprintf("namespace %s: names that start with kube- belong to Kubernetes; choose another in a new Workspace", name)
	}
	return ""
}

func hasLabels(have, want map[string]string) bool {
	for key, value := range want {
		if have[key] != value {
			return false
		}
	}
	return true
}

// adopted says whether orgkeeper did not create the namespace.
func adopted(f NamespaceFacts) bool { return f.Annotations[v1alpha1.AnnotationAdopted] == "true" }

// Farewell is what becomes of a namespace when its workspace goes.
type Farewell int

// The farewells.
const (
	// FarewellNone: there is no namespace, or it is not the workspace's.
	FarewellNone Farewell = iota
	// FarewellRelease: it stays, without marks and access.
	FarewellRelease
	// FarewellDelete: it is deleted with all that is in it.
	FarewellDelete
	// FarewellAwait: it is being deleted.
	FarewellAwait
)

// JudgeFarewell says what becomes of the namespace of a workspace that goes.
func JudgeFarewell(w *v1alpha1.Workspace, f NamespaceFacts) Farewell {
	switch {
	case !Holds(w, f):
		return FarewellNone
	case adopted(f) || w.Spec.DeletionPolicy == v1alpha1.DeletionPolicyRetain:
		if f.Terminating {
			return FarewellNone
		}
		return FarewellRelease
	case f.Terminating:
		return FarewellAwait
	}
	return FarewellDelete
}

// FactsOf reads what the rules need from a namespace's metadata; nil for a namespace that does not exist.
func FactsOf(namespace metav1.Object) NamespaceFacts {
	if namespace == nil {
		return NamespaceFacts{}
	}
	return NamespaceFacts{
		Exists:      true,
		Annotations: namespace.GetAnnotations(),
		Labels:      namespace.GetLabels(),
		Terminating: namespace.GetDeletionTimestamp() != nil,
	}
}
