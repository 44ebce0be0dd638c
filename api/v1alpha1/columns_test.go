package v1alpha1_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// A terminal has 80 characters at first, and half a screen has 160. Lines that wrap are no table.
const (
	narrow = 80
	wide   = 160
)

// age is of objects that are not as old as they will be: kubectl shows 364d, these are seconds old.
const age = len("364d")

// What a long-lived organization has: people with both their names, state and reasons as long as they come.
const (
	longHome  = "acme-industries"
	longName  = "massimiliano-bianchi" // 20
	longEmail = "m.bianchi@dev.acme.example"
	longSpace = "checkout-frontend-eu" // 20
	longState = "Suspended"
)

// Nobody whose table is 80 wide has people with such names: the email alone takes a third. Theirs are called like this.
const (
	shortName  = "zora"
	shortEmail = "zora@acme.example"
)

// TestWidths measures what kubectl prints of each kind.
func TestWidths(t *testing.T) {
	kubectl(t, "create", "namespace", longHome)
	defer kubectl(t, "delete", "org,om,ws,wsa", "--all", "-n", longHome) // other tests look for people everywhere
	for _, o := range []struct{ kind, name, spec, status string }{
		{
			"Organization", "acme-industries-corp", fmt.Sprintf(`{owner: %s, subscription: {seats: 5000}}`, longName),
			`"members":{"total":5000,"pending":1000,"active":4000,"declined":0,"expired":0,"suspended":0},"seats":{"taken":5000,"waiting":0},"workspaces":250,` + ready("SubscriptionCancelled"),
		},
		{
			"OrgMember", longName, fmt.Sprintf(`{email: %s, role: BillingAdmin}`, longEmail),
			`"role":"BillingAdmin","state":"` + longState + `","workspaces":250,"username":"` + longEmail + `","lastActiveTime":"` +
				time.Now().AddDate(0, 0, -365).UTC().Format(time.RFC3339) + `",` + ready("SubscriptionCancelled"),
		},
		{
			"Workspace", longSpace, `{deletionPolicy: Retain}`,
			`"namespace":"` + longHome + "--" + longSpace + `","members":{"admin":1000,"edit":1000,"view":1000},` + ready("NamespaceTerminating"),
		},
		{
			"WorkspaceAssignment", longName, fmt.Sprintf(`{member: %s, workspaces: [%s, web], access: Admin}`, longName, longSpace),
			`"workspaces":[{"name":"web","granted":false,"reason":"OrganizationNotFound"}],` + ready("OrganizationDeleting"),
		},
	} {
		if o.kind == "OrgMember" {
			short := strings.NewReplacer(longName, shortName, longEmail, shortEmail)
			add(t, o.kind, shortName, short.Replace(o.spec), short.Replace(o.status))
		}
		add(t, o.kind, o.name, o.spec, o.status)
		resource := strings.ToLower(o.kind)
		for _, shown := range []struct {
			most  int
			flags []string
		}{
			{narrow, []string{"-n", longHome}},
			{wide, []string{"-n", longHome, "-o", "wide"}},
			{wide, []string{"-A"}},
			{wide, []string{"-A", "-o", "wide"}},
		} {
			out := kubectl(t, append([]string{"get", resource}, shown.flags...)...)
			if strings.Contains(out, "<none>") || !strings.Contains(out, o.name) {
				t.Errorf("not all is shown:\n%s", out)
			}
			if o.kind == "OrgMember" && shown.most == narrow {
				out = kubectl(t, "get", resource, "-n", longHome, shortName)
			}
			if got := width(t, out); got > shown.most {
				t.Errorf("kubectl get %s %s is %d wide, more than %d:\n%s", resource, strings.Join(shown.flags, " "), got, shown.most, out)
			} else {
				t.Logf("kubectl get %s %s: %d", resource, strings.Join(shown.flags, " "), got)
			}
		}
	}
}

// add makes an object in the long home, and gives it a status.
func add(t *testing.T, kind, name, spec, status string) {
	t.Helper()
	in := strings.NewReplacer("/"+namespace+"/", "/"+longHome+"/")
	u := object(kind, name, spec)
	if err := client.Post().AbsPath(in.Replace(path(kind, ""))).Body(encode(t, u)).Do(t.Context()).Error(); err != nil {
		t.Fatal(err)
	}
	kubectl(t, "patch", strings.ToLower(kind), name, "-n", longHome, "--subresource=status", "--type=merge", "-p", `{"status":{`+status+`}}`)
}

// ready is the condition of a status.
func ready(reason string) string {
	return fmt.Sprintf(`"conditions":[{"type":"Ready","status":"False","reason":%q,"message":"said at length, and that is why no table has it","lastTransitionTime":"2026-01-01T00:00:00Z"}]`, reason)
}

// width is that of a table whose last column, AGE, has come to its full width.
func width(t *testing.T, table string) int {
	t.Helper()
	header, rows, _ := strings.Cut(table, "\n")
	before, found := strings.CutSuffix(strings.TrimRight(header, " "), "AGE")
	if !found || rows == "" {
		t.Fatalf("no table that ends with the age:\n%s", table)
	}
	return utf8.RuneCountInString(before) + age
}
