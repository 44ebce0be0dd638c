package rules_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// now is the moment that the tables are about; everything that needs a past or a future counts from it.
var now = time.Date(2027, time.March, 1, 12, 0, 0, 0, time.UTC)

func stamp(t time.Time) *metav1.Time { return &metav1.Time{Time: t} }

type (
	memberOption     = func(*v1alpha1.OrgMember)
	homeOption       = func(*rules.Home)
	workspaceOption  = func(*v1alpha1.Workspace)
	assignmentOption = func(*v1alpha1.WorkspaceAssignment)
)

// member is a plain Member of acme, a day old, whom nobody invited yet.
func member(name string, options ...memberOption) *v1alpha1.OrgMember {
	m := &v1alpha1.OrgMember{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "acme", Name: name, UID: types.UID("uid-" + name), CreationTimestamp: *stamp(now.Add(-24 * time.Hour)),
			Finalizers: []string{v1alpha1.FinalizerMember},
		},
		Spec: v1alpha1.OrgMemberSpec{Email: v1alpha1.EmailAddress(name + "@acme.example"), Role: v1alpha1.RoleMember},
	}
	for _, option := range options {
		option(m)
	}
	return m
}

func role(r v1alpha1.Role) memberOption { return func(m *v1alpha1.OrgMember) { m.Spec.Role = r } }

var admin = role(v1alpha1.RoleAdmin)

func email(e v1alpha1.EmailAddress) memberOption {
	return func(m *v1alpha1.OrgMember) { m.Spec.Email = e }
}

func username(u string) memberOption { return func(m *v1alpha1.OrgMember) { m.Spec.Username = u } }

// robot makes the member a service account, without an email.
func robot(namespace, name string) memberOption {
	return func(m *v1alpha1.OrgMember) {
		m.Spec.Email, m.Spec.Username = "", "system:serviceaccount:"+namespace+":"+name
	}
}

func bornAt(t time.Time) memberOption {
	return func(m *v1alpha1.OrgMember) { m.CreationTimestamp = *stamp(t) }
}

func expires(t time.Time) memberOption {
	return func(m *v1alpha1.OrgMember) { m.Spec.ExpiresAt = stamp(t) }
}

func suspended(m *v1alpha1.OrgMember) { m.Spec.Suspended = true }
func leaving(m *v1alpha1.OrgMember)   { m.DeletionTimestamp = stamp(now.Add(-time.Minute)) }

// unheld is a member whom our finalizer does not hold yet.
func unheld(m *v1alpha1.OrgMember) { m.Finalizers = nil }

func withoutAsking(m *v1alpha1.OrgMember) {
	m.Spec.Invitation = &v1alpha1.MemberInvitation{Mode: v1alpha1.InvitationModeNone}
}

func byMail(m *v1alpha1.OrgMember) {
	m.Spec.Invitation = &v1alpha1.MemberInvitation{Mode: v1alpha1.InvitationModeEmail}
}

// tried gives the member an invitation of a serial that was tried once and is good until a moment.
func tried(serial int32, until time.Time) memberOption {
	return func(m *v1alpha1.OrgMember) {
		m.Status.Invitation = &v1alpha1.InvitationStatus{
			Serial: serial, IssuedAt: stamp(until.Add(-rules.DefaultValidFor)), ExpiresAt: *stamp(until), Attempts: 1,
		}
	}
}

func invited(m *v1alpha1.OrgMember) {
	tried(1, now.Add(time.Hour))(m)
	m.Status.Invitation.SentAt = m.Status.Invitation.IssuedAt
}

func invitedUntil(t time.Time) memberOption {
	return func(m *v1alpha1.OrgMember) {
		invited(m)
		m.Status.Invitation.ExpiresAt = *stamp(t)
	}
}

func deferredUntil(t time.Time) memberOption {
	return func(m *v1alpha1.OrgMember) {
		tried(1, now.Add(time.Hour))(m)
		m.Status.Invitation.LastError, m.Status.Invitation.NextAttemptAt = "450 later", stamp(t)
	}
}

func rejected(m *v1alpha1.OrgMember) {
	tried(1, now.Add(time.Hour))(m)
	m.Status.Invitation.LastError, m.Status.Invitation.RejectedAt = "550 no such user", stamp(now)
}

func accepted(m *v1alpha1.OrgMember) {
	invited(m)
	m.Status.AcceptedAt = stamp(now.Add(-time.Hour))
}

func declined(m *v1alpha1.OrgMember) {
	invited(m)
	m.Status.DeclinedAt = stamp(now.Add(-time.Hour))
}

func resend(value string) memberOption {
	return func(m *v1alpha1.OrgMember) { m.Annotations = map[string]string{v1alpha1.AnnotationResend: value} }
}

// answering says which resend the present invitation is for.
func answering(value string) memberOption {
	return func(m *v1alpha1.OrgMember) { m.Status.Invitation.Resend = value }
}

// acme is the Organization of the tables: jane's.
func acme() *v1alpha1.Organization {
	return &v1alpha1.Organization{
		ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "acme", UID: "uid-acme"},
		Spec:       v1alpha1.OrganizationSpec{Owner: "jane", Administration: v1alpha1.AdministrationShared},
	}
}

// home is acme's, with jane as the owner in force.
func home(options ...homeOption) rules.Home {
	h := rules.Home{Namespace: "acme", Organization: acme(), Owner: "jane", Guarded: true, Now: now}
	for _, option := range options {
		option(&h)
	}
	return h
}

func ownedBy(name string) homeOption   { return func(h *rules.Home) { h.Owner = name } }
func unguarded(h *rules.Home)          { h.Guarded = false }
func terminating(h *rules.Home)        { h.Terminating = true }
func noOrganization(h *rules.Home)     { h.Organization, h.Owner = nil, "" }
func organizationLeaves(h *rules.Home) { h.Organization.DeletionTimestamp = stamp(now) }

// recordedOwner is what status.owner says.
func recordedOwner(name string) homeOption {
	return func(h *rules.Home) { h.Organization.Status.Owner = name }
}

func ownerOnly(h *rules.Home) {
	h.Organization.Spec.Administration = v1alpha1.AdministrationOwnerOnly
}

func workspace(name string, options ...workspaceOption) *v1alpha1.Workspace {
	w := &v1alpha1.Workspace{
		ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: name, UID: types.UID("uid-" + name)},
		Status:     v1alpha1.WorkspaceStatus{Namespace: "acme--" + name},
	}
	for _, option := range options {
		option(w)
	}
	return w
}

func workspaceLeaves(w *v1alpha1.Workspace) { w.DeletionTimestamp = stamp(now) }
func unready(w *v1alpha1.Workspace)         { w.Status.Namespace = "" }
func retained(w *v1alpha1.Workspace)        { w.Spec.DeletionPolicy = v1alpha1.DeletionPolicyRetain }

func inNamespace(name string) workspaceOption {
	return func(w *v1alpha1.Workspace) { w.Spec.Namespace = name }
}

// assignment gives a member Edit in the workspaces.
func assignment(to string, workspaces []v1alpha1.WorkspaceName, options ...assignmentOption) *v1alpha1.WorkspaceAssignment {
	a := &v1alpha1.WorkspaceAssignment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: to},
		Spec:       v1alpha1.WorkspaceAssignmentSpec{Member: to, Workspaces: workspaces, Access: v1alpha1.AccessEdit},
	}
	for _, option := range options {
		option(a)
	}
	return a
}

func access(level v1alpha1.Access) assignmentOption {
	return func(a *v1alpha1.WorkspaceAssignment) { a.Spec.Access = level }
}

func until(t time.Time) assignmentOption {
	return func(a *v1alpha1.WorkspaceAssignment) { a.Spec.ExpiresAt = stamp(t) }
}

func assignmentLeaves(a *v1alpha1.WorkspaceAssignment) { a.DeletionTimestamp = stamp(now) }

func names(workspaces ...v1alpha1.WorkspaceName) []v1alpha1.WorkspaceName { return workspaces }

// says is a verdict in two words, as the tables write it.
func says(v rules.Verdict) string {
	switch {
	case v.Ready:
		return "Ready " + v.Reason
	case v.Stalled:
		return "Stalled " + v.Reason
	case v.Reconciling:
		return "Reconciling " + v.Reason
	}
	return "Waiting " + v.Reason
}

// failer is what *testing.T and *rapid.T have in common here.
type failer interface {
	Helper()
	Errorf(format string, args ...any)
}

// checkVerdict holds a verdict to what every one of them promises.
func checkVerdict(t failer, v rules.Verdict, object string) {
	t.Helper()
	said := 0
	for _, is := range []bool{v.Ready, v.Stalled, v.Reconciling} {
		if is {
			said++
		}
	}
	if said > 1 {
		t.Errorf("verdict %+v: Ready, Stalled and Reconciling exclude each other", v)
	}
	checkReason(t, v.Reason)
	if !strings.Contains(v.Message, object) {
		t.Errorf("verdict %s: the message %q does not name %s", says(v), v.Message, object)
	}
	if !v.Ready && !v.Reconciling && !strings.Contains(v.Message, "; ") {
		t.Errorf("verdict %s: the message %q does not say what to do", says(v), v.Message)
	}
}

// checkReason wants a reason that the API package documents.
func checkReason(t failer, reason string) {
	t.Helper()
	if !documentedReasons()[reason] {
		t.Errorf("reason %q is not a documented constant of api/v1alpha1/conditions.go", reason)
	}
}

// documentedReasons are the values of the constants Reason... of the API package that have a comment.
var documentedReasons = sync.OnceValue(func() map[string]bool {
	file, err := parser.ParseFile(token.NewFileSet(), "../../api/v1alpha1/conditions.go", nil, parser.ParseComments)
	if err != nil {
		panic(err)
	}
	reasons := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Reason") || !strings.HasPrefix(spec.Doc.Text(), spec.Names[0].Name+":") {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			panic(err)
		}
		reasons[value] = true
		return true
	})
	return reasons
})

func TestReasonsAreDocumented(t *testing.T) {
	if got := len(documentedReasons()); got < 30 {
		t.Fatalf("found only %d documented reasons: the tests of verdicts would prove nothing", got)
	}
}
