package facts_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/facts"
)

// indexes keeps what is added, by kind and name.
type indexes map[string]index

type index struct {
	kind client.Object
	name string
	keys client.IndexerFunc
}

func (i indexes) IndexField(_ context.Context, kind client.Object, name string, keys client.IndexerFunc) error {
	i[fmt.Sprintf("%T %s", kind, name)] = index{kind, name, keys}
	return nil
}

func TestIndexes(t *testing.T) {
	all := indexes{}
	if err := facts.AddIndexes(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	const member, assignment, workspace = "*v1alpha1.OrgMember ", "*v1alpha1.WorkspaceAssignment ", "*v1alpha1.Workspace "
	joe := &v1alpha1.OrgMember{
		ObjectMeta: metav1.ObjectMeta{Name: "joe", UID: "uid-joe"},
		Spec:       v1alpha1.OrgMemberSpec{Email: "Joe@Acme.example", Role: v1alpha1.RoleAdmin},
	}
	leaves := &v1alpha1.OrgMember{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &metav1.Time{}}}
	ci := &v1alpha1.OrgMember{Spec: v1alpha1.OrgMemberSpec{Username: "system:serviceaccount:acme--web:ci"}}
	mia := &v1alpha1.WorkspaceAssignment{Spec: v1alpha1.WorkspaceAssignmentSpec{Member: "mia", Workspaces: []v1alpha1.WorkspaceName{"web", "api"}}}
	web := &v1alpha1.Workspace{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "web"}}
	shop := &v1alpha1.Workspace{Spec: v1alpha1.WorkspaceSpec{Namespace: "shop"}}
	cases := []struct {
		reason string
		index  string
		object client.Object
		want   []string
	}{
		{"emails are found in whatever case", member + facts.IndexEmail, joe, []string{"joe@acme.example"}},
		{"a robot without an email is nobody's duplicate", member + facts.IndexEmail, ci, nil},
		{"the default username is found by the email", member + facts.IndexUsername, joe, nil},
		{"a declared username by itself", member + facts.IndexUsername, ci, []string{"system:serviceaccount:acme--web:ci"}},
		{"by role", member + facts.IndexRole, joe, []string{"Admin"}},
		{"by the beginning of the UID", member + facts.IndexUID, joe, []string{"uid"}},
		{"who stays is not leaving", member + facts.IndexLeaving, joe, nil},
		{"who leaves is", member + facts.IndexLeaving, leaves, []string{facts.Leaving}},
		{"a person is no robot", member + facts.IndexRobot, joe, nil},
		{"nor is one with a username of their own", member + facts.IndexRobot,
			&v1alpha1.OrgMember{Spec: v1alpha1.OrgMemberSpec{Username: "acme--web:joe"}}, nil},
		{"robots by their namespace", member + facts.IndexRobot, ci, []string{"acme--web"}},
		{"assignments by member", assignment + facts.IndexMember, mia, []string{"mia"}},
		{"assignments by each workspace", assignment + facts.IndexWorkspace, mia, []string{"web", "api"}},
		{"workspaces by the default name of their namespace", workspace + facts.IndexNamespaceName, web, []string{"acme--web"}},
		{"workspaces by the declared name of their namespace", workspace + facts.IndexNamespaceName, shop, []string{"shop"}},
	}
	tested := map[string]bool{}
	for _, c := range cases {
		index, ok := all[c.index]
		if !ok {
			t.Errorf("%s: there is no index %s", c.reason, c.index)
			continue
		}
		tested[c.index] = true
		if diff := cmp.Diff(c.want, index.keys(c.object)); diff != "" {
			t.Errorf("%s: %s\n-want +got:\n%s", c.reason, c.index, diff)
		}
	}
	for index := range all {
		if !tested[index] {
			t.Errorf("index %s is not tested", index)
		}
	}
}

func TestAddIndexesTellsWhichFailed(t *testing.T) {
	err := facts.AddIndexes(t.Context(), broken{})
	if err == nil || err.Error() != "index *v1alpha1.OrgMember by emailKey: no" {
		t.Errorf("err = %v", err)
	}
}

type broken struct{}

func (broken) IndexField(context.Context, client.Object, string, client.IndexerFunc) error {
	return fmt.Errorf("no")
}

func TestRobotHomes(t *testing.T) {
	held := v1alpha1.Workspace{Status: v1alpha1.WorkspaceStatus{Namespace: "acme--web"}}
	wanted := v1alpha1.Workspace{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "api"}, Spec: v1alpha1.WorkspaceSpec{Namespace: "kube-system"}}
	homes := facts.RobotHomes("acme", []v1alpha1.Workspace{held, wanted})
	var allowed []string
	for _, namespace := range []string{"acme", "acme--web", "acme--api", "kube-system", "other", ""} {
		if homes(namespace) {
			allowed = append(allowed, namespace)
		}
	}
	slices.Sort(allowed)
	// A workspace that only wants a namespace does not make its service accounts ours: it may never get it.
	if diff := cmp.Diff([]string{"acme", "acme--web"}, allowed); diff != "" {
		t.Errorf("namespaces whose service accounts may be members\n-want +got:\n%s", diff)
	}
}
