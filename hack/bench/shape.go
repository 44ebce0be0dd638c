package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	corev1 "k8s.io/api/core/v1"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// shape is what is loaded.
type shape struct {
	organizations int
	members       int // of each organization
	workspaces    int // of each organization
	assignments   int // of each organization: that many members work in one workspace each
	steady        time.Duration
	without       []string // phases that this shape leaves out
}

func (s shape) String() string { return fmt.Sprintf("%dx%d", s.organizations, s.members) }

func (s shape) has(phase string) bool { return !slices.Contains(s.without, phase) }

// people are all members.
func (s shape) people() int { return s.organizations * s.members }

const minute = time.Minute

// sizes name the shapes that are measured together.
var sizes = map[string][]shape{
	"small":  {usual(100, 10, 15*time.Second)},
	"medium": {usual(10, 10, minute), usual(100, 50, 5*minute)},
	// The largest is about memory and restart; offboarding is measured in the others.
	"large": {usual(1000, 20, 5*minute), huge(2000, 50)},
	// One organization that grows: the cost of a change must not grow with the square.
	"wide": {wide(100), wide(1000), wide(10000)},
}

// usual has a workspace for every ten members, and works with all but the owner and the second admin, who work everywhere.
func usual(organizations, members int, steady time.Duration) shape {
	return shape{organizations: organizations, members: members, workspaces: max(1, members/10), assignments: members - 2, steady: steady}
}

func huge(organizations, members int) shape {
	s := usual(organizations, members, 5*minute)
	s.workspaces = 1
	s.without = []string{"remove while loading", "offboard", "floor"}
	return s
}

// wide has one organization. Half of its members work in one workspace.
func wide(members int) shape {
	return shape{organizations: 1, members: members, workspaces: 2, assignments: members / 2, steady: minute,
		without: []string{"remove while loading"}}
}

func shapesOf(size string) ([]shape, error) {
	if shapes, known := sizes[size]; known {
		return shapes, nil
	}
	var shapes []shape
	for part := range strings.SplitSeq(size, ",") {
		left, right, _ := strings.Cut(part, "x")
		organizations, err1 := strconv.Atoi(left)
		members, err2 := strconv.Atoi(right)
		if err1 != nil || err2 != nil || organizations < 1 || members < 5 {
			return nil, fmt.Errorf("--size must be small, medium, large, wide, or organizations x members (at least 5) such as 10x10, not %q", part)
		}
		shapes = append(shapes, usual(organizations, members, 5*minute))
	}
	return shapes, nil
}

// organization is one to be loaded.
type organization struct {
	home string
	shape
}

// all are the organizations of a shape, under names that start with a prefix.
func (s shape) all(prefix string) []organization {
	var all []organization
	for i := range s.organizations {
		all = append(all, organization{fmt.Sprintf("%s%05d", prefix, i), s})
	}
	return all
}

func (o organization) workspace(i int) string { return "w" + strconv.Itoa(i) }

// namespace is where the work of a workspace is done.
func (o organization) namespace(workspace string) string { return o.home + "--" + workspace }

func member(i int) string { return fmt.Sprintf("m%05d", i) }

func (o organization) email(i int) string { return member(i) + "@" + o.home + ".example" }

// role gives an organization an owner, a second admin, one of each other role, and plain members.
func role(i int) v1alpha1.Role {
	switch i {
	case 0, 1:
		return v1alpha1.RoleAdmin
	case 2:
		return v1alpha1.RoleUserAdmin
	case 3:
		return v1alpha1.RoleBillingAdmin
	default:
		return v1alpha1.RoleMember
	}
}

// assigned is the number of the member with the i-th assignment: the last ones, who are plain members.
func (o organization) assigned(i int) int { return o.members - 1 - i }

// workspaceOf is where the i-th assignment leads. Where half of ten thousand work in one place, all of them do.
func (o organization) workspaceOf(i int) string {
	if o.organizations == 1 {
		return o.workspace(0)
	}
	return o.workspace(i % o.workspaces)
}

var accesses = []v1alpha1.Access{v1alpha1.AccessEdit, v1alpha1.AccessView, v1alpha1.AccessAdmin}

// objects are what a pipeline applies for an organization, in its order.
func (o organization) objects() []client.Object {
	at := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: o.home, Name: name} }
	all := []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: o.home}},
		&v1alpha1.Organization{ObjectMeta: at(o.home), Spec: v1alpha1.OrganizationSpec{
			DisplayName: v1alpha1.Line("Organization " + o.home), Owner: member(0),
		}},
	}
	for i := range o.members {
		m := &v1alpha1.OrgMember{ObjectMeta: at(member(i)), Spec: v1alpha1.OrgMemberSpec{Email: v1alpha1.EmailAddress(o.email(i)), Role: role(i)}}
		if i == 0 {
			m.Spec.Invitation = &v1alpha1.MemberInvitation{Mode: v1alpha1.InvitationModeNone}
		}
		all = append(all, m)
	}
	for i := range o.workspaces {
		all = append(all, &v1alpha1.Workspace{ObjectMeta: at(o.workspace(i)), Spec: v1alpha1.WorkspaceSpec{DisplayName: "Workspace"}})
	}
	for i := range o.assignments {
		all = append(all, &v1alpha1.WorkspaceAssignment{ObjectMeta: at(member(o.assigned(i))), Spec: v1alpha1.WorkspaceAssignmentSpec{
			Member: member(o.assigned(i)), Workspaces: []v1alpha1.WorkspaceName{v1alpha1.WorkspaceName(o.workspaceOf(i))},
			Access: accesses[i%len(accesses)],
		}})
	}
	return all
}

// person is a member with access to one workspace, by assignment.
type person struct {
	home, name, email string
	namespace         string // of the workspace
}

// workers are the people with an assignment, an organization after the other in turn, so that the first thousand belong to
// as many organizations as there are.
func (s shape) workers() []person {
	var people []person
	all := s.all("o")
	for i := range s.assignments {
		for _, o := range all {
			n := o.assigned(i)
			people = append(people, person{o.home, member(n), o.email(n), o.namespace(o.workspaceOf(i))})
		}
	}
	return people
}
