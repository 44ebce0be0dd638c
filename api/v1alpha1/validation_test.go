// Package v1alpha1_test proves on a real API server what the schemas of config/crd refuse, take and fill in, and what
// kubectl makes of them.
package v1alpha1_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	applyorgkeeper "github.com/orgkeeper/orgkeeper/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/test/cluster"
)

// namespace is where every object of these tests is; the samples are in acme.
const namespace = "default"

var (
	control *cluster.Cluster
	client  rest.Interface
)

func TestMain(m *testing.M) {
	var err error
	if control, err = cluster.Start(); err != nil {
		panic(err)
	}
	defer func() {
		if err := control.Stop(); err != nil {
			panic(err)
		}
	}()
	if err := control.Kustomize(context.Background(), "config/crd"); err != nil {
		panic(err)
	}
	client = kubernetes.NewForConfigOrDie(control.Admin).CoreV1().RESTClient()
	m.Run()
}

// Each refusal must name the field and say what to write instead.
func TestRefused(t *testing.T) {
	const (
		email     = "an email address must look like joe@acme.example"
		line      = "a name is one line of text"
		https     = "must be an address such as https://"
		workspace = "a workspace name consists of a-z, 0-9 and single dashes"
	)
	long := func(n int) string { return strings.Repeat("a", n) }
	for _, test := range []struct {
		why, kind, spec string
		says            []string
	}{
		{"unknown role", "OrgMember", `{email: x@acme.example, role: Boss}`,
			[]string{"spec.role", `supported values: "Admin", "BillingAdmin", "UserAdmin", "Member"`}},
		{"role in the wrong case", "OrgMember", `{email: x@acme.example, role: admin}`, []string{"spec.role", "supported values"}},
		{"unknown invitation mode", "OrgMember", `{email: x@acme.example, invitation: {mode: Pigeon}}`,
			[]string{"spec.invitation.mode", `supported values: "Email", "None"`}},
		{"neither email nor username", "OrgMember", `{role: Member}`, []string{"spec.email", "email is required, unless username is a service account"}},
		{"a person without email", "OrgMember", `{username: joe}`, []string{"spec.email", "email is required, unless username is a service account"}},
		{"no spec at all", "OrgMember", ``, []string{"spec: Required value"}},

		{"empty email", "OrgMember", `{email: ""}`, []string{"spec.email", email}},
		{"no at sign", "OrgMember", `{email: joe}`, []string{"spec.email", email}},
		{"display name", "OrgMember", `{email: "Joe <joe@acme.example>"}`, []string{"spec.email", email, "without a display name"}},
		{"angle brackets", "OrgMember", `{email: "<joe@acme.example>"}`, []string{"spec.email", email}},
		{"two at signs", "OrgMember", `{email: joe@acme@acme.example}`, []string{"spec.email", email}},
		{"two addresses", "OrgMember", `{email: "joe@acme.example,mia@acme.example"}`, []string{"spec.email", email}},
		{"trailing dot", "OrgMember", `{email: joe@acme.example.}`, []string{"spec.email", email}},
		{"no dot in the domain", "OrgMember", `{email: joe@acme}`, []string{"spec.email", email}},
		{"two dots in the domain", "OrgMember", `{email: joe@acme..example}`, []string{"spec.email", email}},
		{"two dots in the local part", "OrgMember", `{email: joe..smith@acme.example}`, []string{"spec.email", email}},
		{"local part begins with a dot", "OrgMember", `{email: .joe@acme.example}`, []string{"spec.email", email}},
		{"local part ends with a dot", "OrgMember", `{email: joe.@acme.example}`, []string{"spec.email", email}},
		{"no local part", "OrgMember", `{email: "@acme.example"}`, []string{"spec.email", email}},
		{"no domain", "OrgMember", `{email: "joe@"}`, []string{"spec.email", email}},
		{"domain begins with a dash", "OrgMember", `{email: joe@-acme.example}`, []string{"spec.email", email}},
		{"domain ends with a dash", "OrgMember", `{email: joe@acme-.example}`, []string{"spec.email", email}},
		{"underscore in the domain", "OrgMember", `{email: joe@ac_me.example}`, []string{"spec.email", email}},
		{"an IP address", "OrgMember", `{email: joe@192.0.2.1}`, []string{"spec.email", email}},
		{"an address literal", "OrgMember", `{email: "joe@[192.0.2.1]"}`, []string{"spec.email", email}},
		{"quoted local part", "OrgMember", `{email: '"joe smith"@acme.example'}`, []string{"spec.email", email}},
		{"blank inside", "OrgMember", `{email: "joe smith@acme.example"}`, []string{"spec.email", email}},
		{"blank before", "OrgMember", `{email: " joe@acme.example"}`, []string{"spec.email", email}},
		{"blank after", "OrgMember", `{email: "joe@acme.example "}`, []string{"spec.email", email}},
		{"no-break space", "OrgMember", `{email: "joe\u00a0smith@acme.example"}`, []string{"spec.email", email}},
		{"zero-width space", "OrgMember", `{email: "joe\u200b@acme.example"}`, []string{"spec.email", email}},
		{"right-to-left override", "OrgMember", `{email: "joe\u202e@acme.example"}`, []string{"spec.email", email}},
		{"line break inside", "OrgMember", `{email: "joe@acme.example\r\nBcc: all@acme.example"}`, []string{"spec.email", email}},
		{"line break at the end", "OrgMember", `{email: "joe@acme.example\n"}`, []string{"spec.email", email}},
		{"NUL", "OrgMember", `{email: "joe\u0000@acme.example"}`, []string{"spec.email", email}},
		{"local part of 65", "OrgMember", `{email: ` + long(65) + `@acme.example}`, []string{"spec.email", email}},
		{"domain label of 64", "OrgMember", `{email: joe@` + long(64) + `.example}`, []string{"spec.email", email}},
		{"email of 255", "OrgMember", `{email: joe@` + strings.Repeat(long(49)+".", 5) + `a}`, []string{"spec.email", "254"}},
		{"billing email", "Organization", `{owner: jane, billing: {email: acme}}`, []string{"spec.billing.email", email}},

		{"line break in a name", "OrgMember", `{email: x@acme.example, displayName: "Joe\nBcc: all"}`, []string{"spec.displayName", line}},
		{"carriage return in a name", "OrgMember", `{email: x@acme.example, displayName: "Joe\rX"}`, []string{"spec.displayName", line}},
		{"right-to-left override in a name", "OrgMember", `{email: x@acme.example, displayName: "Joe\u202e"}`, []string{"spec.displayName", line, "text-direction"}},
		{"isolate in a name", "OrgMember", `{email: x@acme.example, displayName: "Joe\u2066"}`, []string{"spec.displayName", line}},
		{"line separator in a name", "OrgMember", `{email: x@acme.example, displayName: "Joe\u2028"}`, []string{"spec.displayName", line}},
		{"next-line character in a name", "OrgMember", `{email: x@acme.example, displayName: "Joe\u0085"}`, []string{"spec.displayName", line}},
		{"blank name", "OrgMember", `{email: x@acme.example, displayName: "  \u00a0"}`, []string{"spec.displayName", line, "not blank"}},
		{"name of 129", "OrgMember", `{email: x@acme.example, displayName: ` + long(129) + `}`, []string{"spec.displayName", "128"}},
		{"line break in the organization's name", "Organization", `{owner: jane, displayName: "Acme\r\nX"}`, []string{"spec.displayName", line}},
		{"line break in the company", "Organization", `{owner: jane, billing: {company: "Acme\nX"}}`, []string{"spec.billing.company", line}},
		{"carriage return in the postal address", "Organization", `{owner: jane, billing: {address: "Acme\r\nX"}}`, []string{"spec.billing.address", "must not contain control"}},
		{"line break in the workspace's name", "Workspace", `{displayName: "Web\nX"}`, []string{"spec.displayName", line}},
		{"right-to-left override in a message", "OrgMember", `{email: x@acme.example, invitation: {message: "\u202ehi"}}`, []string{"spec.invitation.message", "must not contain control or text-direction"}},
		{"message of 501", "OrgMember", `{email: x@acme.example, invitation: {message: ` + long(501) + `}}`, []string{"spec.invitation.message", "500"}},

		{"a user of the system", "OrgMember", `{email: x@acme.example, username: "system:admin"}`, []string{"spec.username", "must be a service account"}},
		{"system:masters", "OrgMember", `{email: x@acme.example, username: "system:masters"}`, []string{"spec.username", "must be a service account"}},
		{"a node", "OrgMember", `{email: x@acme.example, username: "system:node:n1"}`, []string{"spec.username", "must be a service account"}},
		{"all service accounts", "OrgMember", `{username: "system:serviceaccounts:acme"}`, []string{"spec.username", "must be a service account"}},
		{"service account without name", "OrgMember", `{username: "system:serviceaccount:acme:"}`, []string{"spec.username", "system:serviceaccount:acme--web:ci"}},
		{"service account without namespace", "OrgMember", `{username: "system:serviceaccount::ci"}`, []string{"spec.username", "system:serviceaccount:acme--web:ci"}},
		{"service account of four parts", "OrgMember", `{username: "system:serviceaccount:a:b:c"}`, []string{"spec.username", "system:serviceaccount:acme--web:ci"}},
		{"blank in the username", "OrgMember", `{email: x@acme.example, username: "joe smith"}`, []string{"spec.username", "must not contain blanks"}},
		{"line break in the username", "OrgMember", `{email: x@acme.example, username: "joe\n"}`, []string{"spec.username", "must not contain blanks"}},
		{"username of 321", "OrgMember", `{email: x@acme.example, username: ` + long(321) + `}`, []string{"spec.username", "320"}},
		{"inviter of 1025", "OrgMember", `{email: x@acme.example, invitedBy: ` + long(1025) + `}`, []string{"spec.invitedBy", "1024"}},

		{"picture without TLS", "OrgMember", `{email: x@acme.example, avatarURL: "http://acme.example/x"}`, []string{"spec.avatarURL", https}},
		{"picture that is a script", "OrgMember", `{email: x@acme.example, avatarURL: "javascript:alert(1)"}`, []string{"spec.avatarURL", https}},
		{"picture nowhere", "OrgMember", `{email: x@acme.example, avatarURL: "https:///x"}`, []string{"spec.avatarURL", https}},
		{"picture of 2049", "OrgMember", `{email: x@acme.example, avatarURL: "https://a/` + long(2039) + `"}`, []string{"spec.avatarURL", "2048"}},
		{"logo that is data", "Organization", `{owner: jane, profile: {logoURL: "data:image/png;base64,x"}}`, []string{"spec.profile.logoURL", https}},
		{"website that is a file", "Organization", `{owner: jane, profile: {website: "file:///etc/passwd"}}`, []string{"spec.profile.website", https}},
		{"description of 1025", "Organization", `{owner: jane, profile: {description: ` + long(1025) + `}}`, []string{"spec.profile.description", "1024"}},
		{"locale that is none", "OrgMember", `{email: x@acme.example, locale: "../en"}`, []string{"spec.locale", "a locale is a language tag such as en"}},
		{"locale of 36", "OrgMember", `{email: x@acme.example, locale: en-` + strings.Repeat("abcdefg-", 4) + `b}`, []string{"spec.locale", "35"}},

		{"no owner", "Organization", `{displayName: Acme}`, []string{"spec.owner: Required value"}},
		{"empty owner", "Organization", `{owner: ""}`, []string{"spec.owner", "owner must be the name of an OrgMember in this namespace"}},
		{"owner by email", "Organization", `{owner: jane@acme.example}`, []string{"spec.owner", "owner must be the name of an OrgMember in this namespace"}},
		{"owner of 254", "Organization", `{owner: ` + long(254) + `}`, []string{"spec.owner", "253"}},
		{"unknown administration", "Organization", `{owner: jane, administration: None}`, []string{"spec.administration", `supported values: "Shared", "OwnerOnly"`}},
		{"no seat", "Organization", `{owner: jane, subscription: {seats: 0}}`, []string{"spec.subscription.seats", "greater than or equal to 1"}},
		{"half a seat", "Organization", `{owner: jane, subscription: {seats: 1.5}}`, []string{"spec.subscription.seats", "integer"}},
		{"too many seats", "Organization", `{owner: jane, subscription: {seats: 1e7}}`, []string{"spec.subscription.seats", "less than or equal to 1"}},
		{"plan with a blank", "Organization", `{owner: jane, subscription: {plan: "a b"}}`, []string{"spec.subscription.plan", "plan consists of letters, digits"}},
		{"tax number with a line break", "Organization", `{owner: jane, billing: {vatID: "IT1\n2"}}`, []string{"spec.billing.vatID", "vatID consists of letters, digits"}},
		{"allowed domain that is an address", "Organization", `{owner: jane, invitations: {allowedDomains: [joe@acme.example]}}`, []string{"spec.invitations.allowedDomains", "must look like acme.example"}},
		{"allowed domain with a star", "Organization", `{owner: jane, invitations: {allowedDomains: ["*.acme.example"]}}`, []string{"spec.invitations.allowedDomains", "must look like acme.example"}},
		{"no allowed domain", "Organization", `{owner: jane, invitations: {allowedDomains: []}}`, []string{"spec.invitations.allowedDomains", "at least 1"}},
		{"the same domain twice", "Organization", `{owner: jane, invitations: {allowedDomains: [a.example, a.example]}}`, []string{"spec.invitations.allowedDomains[1]", "Duplicate value"}},
		{"65 allowed domains", "Organization", `{owner: jane, invitations: {allowedDomains: [` + list("d%d.example", 65) + `]}}`, []string{"spec.invitations.allowedDomains", "64"}},

		{"11 workspaces", "WorkspaceAssignment", `{member: mia, workspaces: [` + list("w%d", 11) + `]}`, []string{"spec.workspaces", "at most 10 workspaces; put the others into a second WorkspaceAssignment"}},
		{"65 workspaces", "WorkspaceAssignment", `{member: mia, workspaces: [` + list("w%d", 65) + `]}`, []string{"spec.workspaces", "at most 64 items"}},
		{"no workspace", "WorkspaceAssignment", `{member: mia, workspaces: []}`, []string{"spec.workspaces", "at least 1"}},
		{"workspaces left out", "WorkspaceAssignment", `{member: mia}`, []string{"spec.workspaces: Required value"}},
		{"the same workspace twice", "WorkspaceAssignment", `{member: mia, workspaces: [web, web]}`, []string{"spec.workspaces[1]", `Duplicate value: "web"`}},
		{"member left out", "WorkspaceAssignment", `{workspaces: [web]}`, []string{"spec.member: Required value"}},
		{"member by email", "WorkspaceAssignment", `{member: mia@acme.example, workspaces: [web]}`, []string{"spec.member", "member must be the name of an OrgMember in this namespace"}},
		{"workspace by namespace", "WorkspaceAssignment", `{member: mia, workspaces: [acme--web]}`, []string{"spec.workspaces[0]", workspace}},
		{"workspace with a dot", "WorkspaceAssignment", `{member: mia, workspaces: [web.acme]}`, []string{"spec.workspaces[0]", workspace}},
		{"unknown access", "WorkspaceAssignment", `{member: mia, workspaces: [web], access: Owner}`, []string{"spec.access", `supported values: "View", "Edit", "Admin"`}},

		{"two dashes in a namespace are fine, a dot is not", "Workspace", `{namespace: acme.web}`, []string{"spec.namespace", "namespace must be the name of a namespace"}},
		{"namespace of 64", "Workspace", `{namespace: ` + long(64) + `}`, []string{"spec.namespace", "63"}},
		{"unknown deletion policy", "Workspace", `{deletionPolicy: Keep}`, []string{"spec.deletionPolicy", `supported values: "Delete", "Retain"`}},
	} {
		t.Run(test.why, func(t *testing.T) {
			refused(t, create(t.Context(), object(test.kind, "refused", test.spec)), test.says...)
			nothingStored(t, test.kind, "refused")
		})
	}
	for name, says := range map[string]string{
		"a--b":                  "a workspace name must not contain --",
		"a.b":                   "a workspace name becomes part of a namespace's name: use a-z, 0-9 and single dashes, no dots",
		strings.Repeat("a", 64): "at most 63 characters",
	} {
		t.Run("a Workspace called "+name, func(t *testing.T) {
			refused(t, create(t.Context(), object("Workspace", name, "{}")), says)
			nothingStored(t, "Workspace", name)
		})
	}
}

// What never changes cannot be removed or added later either: a rule on the field alone would not see that.
func TestNeverChanges(t *testing.T) {
	const (
		email    = "email never changes; add a new OrgMember with the new email, then delete this one"
		username = "username never changes; add a new OrgMember with the new username, then delete this one"
		inviter  = "invitedBy is stamped at creation and never changes"
		place    = "namespace never changes; add a new Workspace for the other namespace"
		robot    = "system:serviceaccount:acme--web:ci"
	)
	for _, test := range []struct{ why, kind, before, after, field, says string }{
		{"email changed", "OrgMember", `{email: a@acme.example}`, `{email: b@acme.example}`, "spec.email", email},
		{"email in another case", "OrgMember", `{email: a@acme.example}`, `{email: A@acme.example}`, "spec.email", email},
		{"email removed", "OrgMember", `{email: a@acme.example, username: "` + robot + `"}`, `{username: "` + robot + `"}`, "spec.email", email},
		{"email added", "OrgMember", `{username: "` + robot + `"}`, `{email: a@acme.example, username: "` + robot + `"}`, "spec.email", email},
		{"username changed", "OrgMember", `{email: a@acme.example, username: a}`, `{email: a@acme.example, username: b}`, "spec.username", username},
		{"username removed", "OrgMember", `{email: a@acme.example, username: a}`, `{email: a@acme.example}`, "spec.username", username},
		{"username added", "OrgMember", `{email: a@acme.example}`, `{email: a@acme.example, username: a}`, "spec.username", username},
		{"inviter changed", "OrgMember", `{email: a@acme.example, invitedBy: jane}`, `{email: a@acme.example, invitedBy: joe}`, "spec.invitedBy", inviter},
		{"inviter removed", "OrgMember", `{email: a@acme.example, invitedBy: jane}`, `{email: a@acme.example}`, "spec.invitedBy", inviter},
		{"inviter added", "OrgMember", `{email: a@acme.example}`, `{email: a@acme.example, invitedBy: jane}`, "spec.invitedBy", inviter},
		{"everything removed", "OrgMember", `{email: a@acme.example}`, `{}`, "spec.email", email},
		{"spec removed", "OrgMember", `{email: a@acme.example}`, ``, "spec", "Required value"},
		{"namespace changed", "Workspace", `{namespace: a}`, `{namespace: b}`, "spec.namespace", place},
		{"namespace removed", "Workspace", `{namespace: a}`, `{}`, "spec.namespace", place},
		{"namespace added", "Workspace", `{}`, `{namespace: a}`, "spec.namespace", place},
		{"member changed", "WorkspaceAssignment", `{member: mia, workspaces: [web]}`, `{member: joe, workspaces: [web]}`, "spec.member", "member never changes; add a new WorkspaceAssignment for the other member, then delete this one"},
		{"member removed", "WorkspaceAssignment", `{member: mia, workspaces: [web]}`, `{workspaces: [web]}`, "spec.member", "Required value"},
		{"owner removed", "Organization", `{owner: jane}`, `{displayName: Acme}`, "spec.owner", "Required value"},
	} {
		t.Run(test.why, func(t *testing.T) {
			stored(t, object(test.kind, "fixed", test.before))
			before := get(t, test.kind, "fixed")

			after := object(test.kind, "fixed", test.after)
			after["metadata"].(map[string]any)["resourceVersion"] = version(before)
			err := client.Put().AbsPath(path(test.kind, "fixed")).Body(encode(t, after)).Do(t.Context()).Error()

			refused(t, err, test.field, test.says)
			if now := version(get(t, test.kind, "fixed")); now != version(before) {
				t.Errorf("resourceVersion went from %s to %s", version(before), now)
			}
		})
	}
}

func TestAccepted(t *testing.T) {
	for _, test := range []struct{ why, kind, spec string }{
		{"plus addressing", "OrgMember", `{email: joe+orgs@acme.example}`},
		{"umlauts", "OrgMember", `{email: jürgen@münchen.example}`},
		{"umlauts as punycode", "OrgMember", `{email: joe@xn--mnchen-3ya.example}`},
		{"another script", "OrgMember", `{email: 用户@例子.测试}`},
		{"capitals", "OrgMember", `{email: Joe@Acme.Example}`},
		{"apostrophe", "OrgMember", `{email: "o'hara@acme.example"}`},
		{"short", "OrgMember", `{email: a@b.co}`},
		{"local part of 64", "OrgMember", `{email: ` + strings.Repeat("a", 64) + `@acme.example}`},
		{"digits in the domain", "OrgMember", `{email: joe@1.2.acme1}`},
		{"a robot needs no email", "OrgMember", `{username: "system:serviceaccount:acme--web:ci"}`},
		{"a robot may have one", "OrgMember", `{email: team@acme.example, username: "system:serviceaccount:acme:ci.bot"}`},
		{"a username of its own", "OrgMember", `{email: joe@acme.example, username: "oidc:joe@acme.example"}`},
		{"a name in another script", "OrgMember", `{email: joe@acme.example, displayName: "ג'ו 👩‍💻"}`},
		{"a message of several lines", "OrgMember", `{email: joe@acme.example, invitation: {message: "Hello\nJoe"}}`},
		{"an empty invitation", "OrgMember", `{email: joe@acme.example, invitation: {}}`},
		{"nulls as if left out", "OrgMember", `{email: joe@acme.example, expiresAt: null, suspended: null, role: null}`},
		{"end of a membership", "OrgMember", `{email: joe@acme.example, expiresAt: "2027-01-01T00:00:00+02:00"}`},
		{"end with milliseconds, as JavaScript writes", "OrgMember", `{email: joe@acme.example, expiresAt: "2027-01-01T00:00:00.000Z"}`},
		{"everything", "Organization", `{displayName: Acme S.p.A., owner: jane, administration: OwnerOnly,
			profile: {description: "We\nmake anvils", website: "http://acme.example", logoURL: "https://acme.example/logo.svg"},
			billing: {email: billing@acme.example, company: Acme, address: "Via Roma 1\nRoma", vatID: IT 01234567890},
			subscription: {plan: pro-2.0, seats: 1000000, cancelled: true, paidThrough: "2027-01-01T00:00:00Z"},
			invitations: {validFor: 720h, remindBefore: 24h, allowedDomains: [acme.example, münchen.example], locale: it},
			members: {dormantAfter: 2160h}}`},
		{"empty parts, as a patch leaves them that removes the last field", "Organization",
			`{owner: jane, profile: {}, billing: {}, subscription: {}, invitations: {}, members: {}}`},
		{"a workspace that says nothing", "Workspace", `{}`},
		{"ten workspaces", "WorkspaceAssignment", `{member: mia, workspaces: [` + list("w%d", 10) + `]}`},
		{"a namespace like the default", "Workspace", `{namespace: acme--web, deletionPolicy: Retain}`},
	} {
		t.Run(test.why, func(t *testing.T) {
			stored(t, object(test.kind, "accepted", test.spec))
			if err := decode(test.kind, get(t, test.kind, "accepted")); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("a workspace that says nothing, in Go", func(t *testing.T) {
		workspace := &v1alpha1.Workspace{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Workspace"}}
		workspace.Name = "accepted"
		if err := client.Post().AbsPath(path("Workspace", "")).Body(encode(t, workspace)).Do(t.Context()).Error(); err != nil {
			t.Fatal(err)
		}
		remove(t, "Workspace", "accepted")
	})
}

// One stored value that Go cannot read would break every typed list and watch of its kind: such a value must be refused,
// with words on what to write. The candidates are what other readers of dates and durations take.
func TestWhatIsStoredCanBeRead(t *testing.T) {
	const (
		moment   = "must be a moment with its time zone, such as 2027-01-01T00:00:00Z"
		duration = "must be a duration from"
	)
	for _, field := range []struct {
		kind, name string
		spec       string // with the value in place of %s
		values     []string
		says       string
	}{
		{"OrgMember", "spec.expiresAt", `{email: x@acme.example, expiresAt: %s}`, moments(), moment},
		{"WorkspaceAssignment", "spec.expiresAt", `{member: mia, workspaces: [web], expiresAt: %s}`, moments(), moment},
		{"Organization", "spec.subscription.paidThrough", `{owner: jane, subscription: {paidThrough: %s}}`, moments(), moment},
		{"Organization", "spec.invitations.validFor", `{owner: jane, invitations: {validFor: %s}}`, durations(), duration},
		{"Organization", "spec.invitations.remindBefore", `{owner: jane, invitations: {remindBefore: %s}}`, durations(), duration},
		{"Organization", "spec.members.dormantAfter", `{owner: jane, members: {dormantAfter: %s}}`, durations(), duration},
	} {
		t.Run(field.kind+" "+field.name, func(t *testing.T) {
			taken := 0
			for _, value := range field.values {
				candidate := object(field.kind, "read", fmt.Sprintf(field.spec, quote(t, value)))
				result := client.Post().AbsPath(path(field.kind, "")).Param("dryRun", "All").Body(encode(t, candidate)).Do(t.Context())
				if err := result.Error(); err != nil {
					refused(t, err, field.name, field.says)
					continue
				}
				taken++
				answer, err := result.Raw()
				if err != nil {
					t.Fatal(err)
				}
				var stored map[string]any
				if err := json.Unmarshal(answer, &stored); err != nil {
					t.Fatal(err)
				}
				if err := decode(field.kind, stored); err != nil {
					t.Errorf("%q is stored and cannot be read: %v", value, err)
				}
			}
			if taken == 0 || taken == len(field.values) {
				t.Errorf("%d of %d candidates were taken: the rule tells nothing apart", taken, len(field.values))
			}
		})
	}
	t.Run("numbers that are whole and do not look it", func(t *testing.T) {
		for _, seats := range []string{"5.0", "1e3"} {
			body := `{"apiVersion":"orgkeeper.dev/v1alpha1","kind":"Organization","metadata":{"name":"read"},"spec":{"owner":"jane","subscription":{"seats":` + seats + `}}}`
			answer, err := client.Post().AbsPath(path("Organization", "")).Param("dryRun", "All").Body([]byte(body)).Do(t.Context()).Raw()
			if err != nil {
				continue
			}
			if err := json.Unmarshal(answer, &v1alpha1.Organization{}); err != nil {
				t.Errorf("%s seats are stored and cannot be read: %v", seats, err)
			}
		}
	})
}

// moments are good and bad ones, put together from parts at the edge.
func moments() []string {
	values := []string{"", "banana", "tomorrow", "2027", "2027-01-01", "2027-01-01T00:00Z", "2027-W01-1T00:00:00Z", "1798761600",
		"2027-01-01 00:00:00Z", "2027-01-01T00:00:00,5Z", "2027-01-01T00:00:00.Z", "2027-01-01T00:00:00.1234567890Z",
		"Fri, 01 Jan 2027 00:00:00 GMT", " 2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z\n", "+12027-01-01T00:00:00Z",
		"-2027-01-01T00:00:00Z", "２０２７-01-01T00:00:00Z"}
	for _, day := range []string{"2027-01-01", "2028-02-29", "2027-02-29", "2027-02-30", "2027-04-31", "2027-00-01", "2027-13-01",
		"2027-01-00", "2027-01-32", "0000-01-01", "0001-01-01", "1999-12-31", "2000-01-01", "2199-12-31", "9999-12-31"} {
		for _, hour := range []string{"T00:00:00", "T23:59:59", "T23:59:60", "T24:00:00", "T25:00:00", "T00:60:00", "t00:00:00", "T0:00:00"} {
			values = append(values, day+hour+"Z")
		}
	}
	for _, zone := range []string{"", "z", "+00:00", "-00:00", "+14:00", "-12:00", "+23:59", "+24:00", "+25:00", "-23:60", "+99:99",
		"+1:00", "+0100", "+01", "UTC", " UTC", "[Europe/Rome]", ".5Z", ".123456789Z"} {
		values = append(values, "2027-01-01T00:00:00"+zone, "2199-12-31T23:59:59"+zone, "2000-01-01T00:00:00"+zone)
	}
	return values
}

func durations() []string {
	return []string{"168h", "24h", "1h", "72h30m", "100000s", "100.5h", "720h", "2160h", "", "banana", "0", "0s", "-24h", "+24h", "24", "24 h", "7d", "1w",
		"P7D", "PT168H", "1e3h", "10000h", "100000h", "99999999999999h", "999999h999999h999999h", "24H", "24h ", " 24h", "24h\n", ".5h",
		"24.h", "24h0", "1h1h1h1h1h1h1h1h1h1h1h1h1h1h1h1h", "86400000ms", "86400000000µs", "∞", "２４h", "0x18h", "infinity", "forever"}
}

func TestDefaults(t *testing.T) {
	for _, test := range []struct{ kind, spec, want string }{
		{"Organization", `{owner: jane}`, `{owner: jane, administration: Shared}`},
		{"OrgMember", `{email: joe@acme.example}`, `{email: joe@acme.example, role: Member}`},
		{"OrgMember", `{email: joe@acme.example, invitation: {message: Hi}}`, `{email: joe@acme.example, role: Member, invitation: {mode: Email, message: Hi}}`},
		{"Workspace", `{}`, `{deletionPolicy: Delete}`},
		{"WorkspaceAssignment", `{member: mia, workspaces: [web]}`, `{member: mia, workspaces: [web], access: Edit}`},
	} {
		t.Run(test.kind+" "+test.spec, func(t *testing.T) {
			stored(t, object(test.kind, "defaults", test.spec))
			got := get(t, test.kind, "defaults")
			if diff := cmp.Diff(object(test.kind, "", test.want)["spec"], got["spec"]); diff != "" {
				t.Errorf("spec (- want + got):\n%s", diff)
			}
			// Until the operator has looked, no reader of status takes the object for current.
			if diff := cmp.Diff(map[string]any{"observedGeneration": float64(-1)}, got["status"]); diff != "" {
				t.Errorf("status (- want + got):\n%s", diff)
			}
		})
	}
}

func TestKubectl(t *testing.T) {
	if err := control.Apply(t.Context(), "config/samples"); err != nil {
		t.Fatal(err)
	}

	t.Run("columns", func(t *testing.T) {
		for what, want := range map[string]string{
			"org":         "NAME OWNER MEMBERS PENDING READY AGE",
			"org -o wide": "NAME OWNER MEMBERS PENDING SEATS WORKSPACES READY REASON AGE",
			"om":          "NAME EMAIL ROLE STATE LAST ACTIVE READY AGE",
			"om -o wide":  "NAME EMAIL ROLE STATE LAST ACTIVE WORKSPACES READY REASON AGE",
			"ws":          "NAME ADMIN EDIT VIEW DELETION READY AGE",
			"ws -o wide":  "NAME NAMESPACE ADMIN EDIT VIEW DELETION READY REASON AGE",
			"wsa":         "NAME MEMBER ACCESS GRANTED READY AGE",
			"wsa -o wide": "NAME MEMBER WORKSPACES ACCESS GRANTED READY REASON AGE",
		} {
			header, _, _ := strings.Cut(kubectl(t, append([]string{"get", "-n", "acme"}, strings.Fields(what)...)...), "\n")
			if got := strings.Join(strings.Fields(header), " "); got != want {
				t.Errorf("kubectl get %s shows %s, not %s", what, got, want)
			}
		}
	})
	t.Run("one category for all", func(t *testing.T) {
		got := strings.Fields(kubectl(t, "get", "orgkeeper", "-n", "acme", "-o", "name"))
		want := []string{
			"organization.orgkeeper.dev/acme",
			"orgmember.orgkeeper.dev/bill", "orgmember.orgkeeper.dev/ci", "orgmember.orgkeeper.dev/jane",
			"orgmember.orgkeeper.dev/joe", "orgmember.orgkeeper.dev/mia",
			"workspace.orgkeeper.dev/api", "workspace.orgkeeper.dev/web",
			"workspaceassignment.orgkeeper.dev/ci", "workspaceassignment.orgkeeper.dev/mia",
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("kubectl get orgkeeper (- want + got):\n%s", diff)
		}
	})
	t.Run("field selectors", func(t *testing.T) {
		kubectl(t, "patch", "om", "jane", "-n", "acme", "--subresource=status", "--type=merge", "-p", `{"status":{"state":"Active"}}`)
		for _, test := range []struct{ kind, selector, want string }{
			{"om", "spec.email=mia@acme.example", "orgmember.orgkeeper.dev/mia"},
			{"om", "spec.role=BillingAdmin", "orgmember.orgkeeper.dev/bill"},
			{"om", "status.state=Active", "orgmember.orgkeeper.dev/jane"},
			{"wsa", "spec.member=ci", "workspaceassignment.orgkeeper.dev/ci"},
			{"wsa", "spec.access=Edit", "workspaceassignment.orgkeeper.dev/mia"},
		} {
			if got := strings.TrimSpace(kubectl(t, "get", test.kind, "-A", "-o", "name", "--field-selector", test.selector)); got != test.want {
				t.Errorf("%s selects %q, not %q", test.selector, got, test.want)
			}
		}
	})
	t.Run("applied again, nothing changes", func(t *testing.T) {
		versions := func() string {
			return kubectl(t, "get", "orgkeeper", "-n", "acme", "-o", `jsonpath={range .items[*]}{.kind} {.metadata.name} {.metadata.resourceVersion} {.metadata.generation}{"\n"}{end}`)
		}
		for name := range strings.FieldsSeq(kubectl(t, "get", "orgkeeper", "-n", "acme", "-o", "name")) {
			kind, name, _ := strings.Cut(name, ".orgkeeper.dev/")
			observe(t, strings.Replace(path(kind, name), "/"+namespace+"/", "/acme/", 1))
		}
		before := versions()
		if err := control.Apply(t.Context(), "config/samples"); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, versions()); diff != "" {
			t.Errorf("the second apply wrote (- before + after):\n%s", diff)
		}
	})
}

// Apply configurations send only what was set: a zero that was not would take fields from other people.
func TestApplyConfigurationsTwice(t *testing.T) {
	for kind, configuration := range map[string]any{
		"Organization": applyorgkeeper.Organization("applied", namespace).
			WithSpec(applyorgkeeper.OrganizationSpec().WithOwner("jane")),
		"OrgMember": applyorgkeeper.OrgMember("applied", namespace).
			WithSpec(applyorgkeeper.OrgMemberSpec().WithEmail("joe@acme.example")),
		"Workspace": applyorgkeeper.Workspace("applied", namespace).
			WithSpec(applyorgkeeper.WorkspaceSpec().WithDisplayName("Web")),
		"WorkspaceAssignment": applyorgkeeper.WorkspaceAssignment("applied", namespace).
			WithSpec(applyorgkeeper.WorkspaceAssignmentSpec().WithMember("joe").WithWorkspaces("web")),
	} {
		t.Run(kind, func(t *testing.T) {
			apply := func() {
				err := client.Patch(types.ApplyPatchType).AbsPath(path(kind, "applied")).Param("fieldManager", "test").
					Body(encode(t, configuration)).Do(t.Context()).Error()
				if err != nil {
					t.Fatal(err)
				}
			}
			apply()
			t.Cleanup(func() { remove(t, kind, "applied") })
			observe(t, path(kind, "applied"))
			before := get(t, kind, "applied")
			apply()
			if diff := cmp.Diff(before, get(t, kind, "applied")); diff != "" {
				t.Errorf("the second apply wrote (- before + after):\n%s", diff)
			}
		})
	}
}

// object is one of ours in the namespace of these tests; spec is YAML, or empty for none at all.
func object(kind, name, spec string) map[string]any {
	o := map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(),
		"kind":       kind,
		"metadata":   map[string]any{"name": name},
	}
	if spec != "" {
		var content map[string]any
		if err := yaml.Unmarshal([]byte(spec), &content); err != nil {
			panic(fmt.Sprintf("%s: %v", spec, err))
		}
		o["spec"] = content
	}
	return o
}

func create(ctx context.Context, o map[string]any) error {
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return client.Post().AbsPath(path(o["kind"].(string), "")).Body(body).Do(ctx).Error()
}

// stored creates an object that is to be taken, and removes it in the end.
func stored(t *testing.T, o map[string]any) {
	t.Helper()
	if err := create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { remove(t, o["kind"].(string), o["metadata"].(map[string]any)["name"].(string)) })
}

func remove(t *testing.T, kind, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second) // the test's own has ended
	defer cancel()
	if err := client.Delete().AbsPath(path(kind, name)).Do(ctx).Error(); err != nil {
		t.Error(err)
	}
}

func get(t *testing.T, kind, name string) map[string]any {
	t.Helper()
	answer, err := client.Get().AbsPath(path(kind, name)).Do(t.Context()).Raw()
	if err != nil {
		t.Fatal(err)
	}
	var o map[string]any
	if err := json.Unmarshal(answer, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// observe writes status as the operator does at its first look. Before that the status default is filled in at each read
// and not stored, and the next apply stores it: one write that changes nothing.
func observe(t *testing.T, path string) {
	t.Helper()
	err := client.Patch(types.MergePatchType).AbsPath(path, "status").Body([]byte(`{"status":{"observedGeneration":1}}`)).
		Do(t.Context()).Error()
	if err != nil {
		t.Fatal(err)
	}
}

func version(o map[string]any) string {
	return o["metadata"].(map[string]any)["resourceVersion"].(string)
}

func refused(t *testing.T, err error, says ...string) {
	t.Helper()
	if !apierrors.IsInvalid(err) {
		t.Errorf("not refused as invalid: %v", err)
		return
	}
	for _, words := range says {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("the refusal does not say %q:\n%v", words, err)
		}
	}
}

func nothingStored(t *testing.T, kind, name string) {
	t.Helper()
	if err := client.Get().AbsPath(path(kind, name)).Do(t.Context()).Error(); !apierrors.IsNotFound(err) {
		t.Errorf("%s %s is there after all: %v", kind, name, err)
	}
}

// decode reads an object as a typed client does, strictly besides.
func decode(kind string, o map[string]any) error {
	content, err := json.Marshal(o)
	if err != nil {
		return err
	}
	into := map[string]any{
		"Organization":        &v1alpha1.Organization{},
		"OrgMember":           &v1alpha1.OrgMember{},
		"Workspace":           &v1alpha1.Workspace{},
		"WorkspaceAssignment": &v1alpha1.WorkspaceAssignment{},
	}[kind]
	return yaml.UnmarshalStrict(content, into)
}

func path(kind, name string) string {
	return strings.TrimSuffix("/apis/"+v1alpha1.GroupVersion.String()+"/namespaces/"+namespace+"/"+strings.ToLower(kind)+"s/"+name, "/")
}

func encode(t *testing.T, value any) []byte {
	t.Helper()
	content, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func quote(t *testing.T, value string) string { return string(encode(t, value)) }

// list is n names, put together with commas.
func list(format string, n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf(format, i)
	}
	return strings.Join(names, ", ")
}

func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // also called when the test's own has ended
	defer cancel()
	out, err := control.Run(ctx, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
