// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// organization is what a test believes of one: who is to have what, whatever happened meanwhile.
type organization struct {
	lab    *lab
	mails  *mailServer
	home   string
	people []*person
	moment func() // called where it would be awkward for an operator to die

	mu      sync.Mutex
	trusted map[string]bool // users who may be named by a RoleBinding: from the moment on that they are about to accept
}

// person is a member to be, and an assignment to one workspace.
type person struct {
	name, email string
	role        v1alpha1.Role
	workspace   v1alpha1.WorkspaceName
	access      v1alpha1.Access

	accepted, removed bool
	invited           int // how often the person was created: each time a letter
}

var workspaces = []v1alpha1.WorkspaceName{"api", "web"}

// organization makes one with an owner, two workspaces and nobody else.
func (l *lab) organization(t testing.TB, home string, mails *mailServer) *organization {
	t.Helper()
	o := &organization{lab: l, mails: mails, home: home, trusted: map[string]bool{}, moment: func() {}}
	org := &v1alpha1.Organization{Spec: v1alpha1.OrganizationSpec{DisplayName: "The house of " + v1alpha1.Line(home), Owner: "olga"}}
	org.Namespace, org.Name = home, home
	olga := &v1alpha1.OrgMember{Spec: v1alpha1.OrgMemberSpec{
		Email: v1alpha1.EmailAddress(o.owner()), Role: v1alpha1.RoleAdmin,
		Invitation: &v1alpha1.MemberInvitation{Mode: v1alpha1.InvitationModeNone},
	}}
	olga.Namespace, olga.Name = home, "olga"
	l.create(t, namespace(home), org, olga)
	for _, name := range workspaces {
		w := &v1alpha1.Workspace{}
		w.Namespace, w.Name = home, string(name)
		l.create(t, w)
	}
	o.trust(o.owner())
	t.Cleanup(func() {
		// The operators of later tests shall not go on with it: nothing is sent in a home that goes.
		if err := l.admin.Delete(context.Background(), namespace(home)); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
		l.noteSecrets(o)
	})
	return o
}

func (o *organization) owner() string { return "olga@" + o.home + ".example" }

// add makes up so many people and does not declare them yet.
func (o *organization) add(count int) []*person {
	roles := []v1alpha1.Role{v1alpha1.RoleMember, v1alpha1.RoleMember, v1alpha1.RoleUserAdmin, v1alpha1.RoleMember, v1alpha1.RoleBillingAdmin}
	accesses := []v1alpha1.Access{v1alpha1.AccessView, v1alpha1.AccessEdit, v1alpha1.AccessAdmin}
	var added []*person
	for range count {
		i := len(o.people)
		p := &person{name: fmt.Sprintf("p%02d", i), role: roles[i%len(roles)], workspace: workspaces[i%len(workspaces)], access: accesses[i%len(accesses)]}
		p.email = p.name + "@" + o.home + ".example"
		o.people = append(o.people, p)
		added = append(added, p)
	}
	return added
}

// declare applies people and their assignments, in any order.
func (o *organization) declare(t testing.TB, random *rand.Rand, people ...*person) {
	t.Helper()
	var objects []client.Object
	for _, p := range people {
		p.accepted, p.removed = false, false
		p.invited++
		m := &v1alpha1.OrgMember{Spec: v1alpha1.OrgMemberSpec{Email: v1alpha1.EmailAddress(p.email), Role: p.role}}
		m.Namespace, m.Name = o.home, p.name
		a := &v1alpha1.WorkspaceAssignment{Spec: v1alpha1.WorkspaceAssignmentSpec{
			Member: p.name, Workspaces: []v1alpha1.WorkspaceName{p.workspace}, Access: p.access,
		}}
		a.Namespace, a.Name = o.home, p.name
		objects = append(objects, m, a)
	}
	if random != nil {
		random.Shuffle(len(objects), func(i, j int) { objects[i], objects[j] = objects[j], objects[i] })
	}
	o.lab.create(t, objects...)
}

// accept answers the newest letters of people, however often the page has to be asked.
func (o *organization) accept(t testing.TB, people ...*person) {
	t.Helper()
	for _, p := range people {
		link := o.link(t, p)
		o.trust(p.email)
		eventually(t, long, p.name+" to accept", func() error {
			a, err := visit(http.MethodPost, link+"/accept")
			if err == nil && (a.code != http.StatusOK || !strings.Contains(a.title, "Welcome") && !strings.Contains(a.title, "Already accepted")) {
				err = fmt.Errorf("%d %s", a.code, a.title)
			}
			return err
		})
		o.moment()
		p.accepted = true
	}
}

// link is the one in the newest letter to the person as declared now, once it is there.
func (o *organization) link(t testing.TB, p *person) string {
	t.Helper()
	var link string
	eventually(t, long, "a letter to "+p.name, func() error {
		m, err := o.member(t.Context(), p.name)
		if err != nil {
			return err
		}
		for _, l := range o.mails.to(p.email) {
			if l.link != "" && strings.HasPrefix(l.id, "<"+string(m.UID)) {
				link = l.link
			}
		}
		if link == "" {
			return errNotYet
		}
		return nil
	})
	return link
}

// remove deletes people, and waits until they are gone if asked to.
func (o *organization) remove(t testing.TB, wait bool, people ...*person) {
	t.Helper()
	for _, p := range people {
		m := &v1alpha1.OrgMember{}
		m.Namespace, m.Name = o.home, p.name
		eventually(t, long, "delete "+p.name, func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			return client.IgnoreNotFound(o.lab.admin.Delete(ctx, m))
		})
		o.moment()
		p.removed = true
	}
	if !wait {
		return
	}
	for _, p := range people {
		eventually(t, long, p.name+" to go", func() error { return o.checkGone(t.Context(), p) })
	}
}

// pick chooses so many people at random, of those that fit.
func (o *organization) pick(random *rand.Rand, count int, fits func(*person) bool) []*person {
	var fitting []*person
	for _, i := range random.Perm(len(o.people)) {
		if fits(o.people[i]) && len(fitting) < count {
			fitting = append(fitting, o.people[i])
		}
	}
	return fitting
}

func pending(p *person) bool { return !p.removed && !p.accepted }
func active(p *person) bool  { return !p.removed && p.accepted }
func removed(p *person) bool { return p.removed }

func (o *organization) namespaces() []string {
	return []string{o.home, o.home + "--api", o.home + "--web"}
}

func (o *organization) member(ctx context.Context, name string) (*v1alpha1.OrgMember, error) {
	m := &v1alpha1.OrgMember{}
	return m, o.lab.admin.Get(ctx, client.ObjectKey{Namespace: o.home, Name: name}, m)
}

func (o *organization) checkGone(ctx context.Context, p *person) error {
	if _, err := o.member(ctx, p.name); !apierrors.IsNotFound(err) {
		return fmt.Errorf("%s is still there: %w", p.name, err)
	}
	return nil
}

// converged fails until everything is as declared, accepted and removed: states, conditions, every RoleBinding, letters.
func (o *organization) converged(ctx context.Context) error {
	var members v1alpha1.OrgMemberList
	if err := o.lab.admin.List(ctx, &members, client.InNamespace(o.home)); err != nil {
		return err
	}
	var errs []error
	for _, p := range o.people {
		switch i := slices.IndexFunc(members.Items, func(m v1alpha1.OrgMember) bool { return m.Name == p.name }); {
		case i < 0 && !p.removed:
			errs = append(errs, fmt.Errorf("%s is not there", p.name))
		case i >= 0 && p.removed:
			errs = append(errs, fmt.Errorf("%s is still there: %+v", p.name, members.Items[i].Status))
		case i >= 0:
			errs = append(errs, o.checkMember(p, &members.Items[i]))
		}
	}
	errs = append(errs, o.checkAccess(ctx), o.checkAssignments(ctx))
	return errors.Join(errs...)
}

func (o *organization) checkMember(p *person, m *v1alpha1.OrgMember) error {
	state := v1alpha1.StatePending
	if p.accepted {
		state = v1alpha1.StateActive
	}
	switch {
	case m.Status.State != state || m.Status.ObservedGeneration != m.Generation || !meta.IsStatusConditionTrue(m.Status.Conditions, v1alpha1.ConditionReady):
		return fmt.Errorf("%s is not %s and Ready: %+v", p.name, state, m.Status)
	case !p.accepted && !meta.IsStatusConditionTrue(m.Status.Conditions, v1alpha1.ConditionInvitationSent):
		return fmt.Errorf("%s: the invitation is not recorded as sent: %+v", p.name, m.Status)
	case !slices.ContainsFunc(o.mails.to(p.email), func(l letter) bool { return strings.Contains(l.id, string(m.UID)) }):
		return fmt.Errorf("%s got no letter", p.name)
	}
	return nil
}

// checkAccess compares every RoleBinding of ours.
func (o *organization) checkAccess(ctx context.Context) error {
	wanted := map[string][]string{o.home + "/orgkeeper:owner": {o.owner()}}
	for _, w := range workspaces {
		wanted[o.home+"--"+string(w)+"/orgkeeper:admin"] = []string{o.owner()}
	}
	give := func(binding, user string) {
		wanted[binding] = append(wanted[binding], user)
		slices.Sort(wanted[binding])
	}
	for _, p := range o.people {
		if !active(p) {
			continue
		}
		give(o.home+"--"+string(p.workspace)+"/orgkeeper:"+strings.ToLower(string(p.access)), p.email)
		switch p.role {
		case v1alpha1.RoleUserAdmin:
			give(o.home+"/orgkeeper:user-admins", p.email)
		case v1alpha1.RoleBillingAdmin:
			give(o.home+"/orgkeeper:billing-admins", p.email)
		default:
		}
	}
	var bindings rbacv1.RoleBindingList
	if err := o.lab.admin.List(ctx, &bindings); err != nil {
		return err
	}
	if diff := cmp.Diff(wanted, subjects(bindings.Items, o.namespaces()...)); diff != "" {
		return fmt.Errorf("RoleBindings (-want +got):\n%s", diff)
	}
	return nil
}

func (o *organization) checkAssignments(ctx context.Context) error {
	var assignments v1alpha1.WorkspaceAssignmentList
	if err := o.lab.admin.List(ctx, &assignments, client.InNamespace(o.home)); err != nil {
		return err
	}
	var errs []error
	for i := range assignments.Items {
		a := &assignments.Items[i]
		p := o.people[slices.IndexFunc(o.people, func(p *person) bool { return p.name == a.Spec.Member })]
		granted := len(a.Status.Workspaces) == 1 && a.Status.Workspaces[0].Granted
		if granted != active(p) || meta.IsStatusConditionTrue(a.Status.Conditions, v1alpha1.ConditionReady) == p.removed {
			errs = append(errs, fmt.Errorf("assignment of %s (%+v): %+v", p.name, *p, a.Status))
		}
	}
	return errors.Join(errs...)
}

// checkLetters: who was declared n times got n invitations; copies of one mail are the same to the last byte.
func (o *organization) checkLetters(t testing.TB) (copies int) {
	t.Helper()
	first := map[string]letter{}
	distinct := map[string]int{}
	for _, l := range o.mails.all() {
		same, seen := first[l.id]
		switch {
		case !seen:
			first[l.id] = l
			if l.kind == "invitation" {
				distinct[l.to]++
			}
		case same.link != l.link || same.raw != l.raw:
			t.Errorf("two copies of %s differ:\n%s", l.id, cmp.Diff(same.raw, l.raw))
		default:
			copies++
		}
		if l.kind == "invitation" && !strings.Contains(l.id, ".1.invitation@") {
			t.Errorf("%s: nobody asked for a second invitation", l.id)
		}
	}
	for _, p := range o.people {
		// Whoever was removed again soon may have got none.
		if got := distinct[p.email]; got > p.invited || got == 0 && !p.removed {
			t.Errorf("%d invitations to %s, declared %d times", got, p.name, p.invited)
		}
	}
	if n := distinct[o.owner()]; n != 0 {
		t.Errorf("%d invitations to the owner, who is not to be asked", n)
	}
	return copies
}

// remains fails until nothing is left of the organization.
func (o *organization) remains(ctx context.Context) error {
	var errs []error
	for _, name := range o.namespaces() {
		if err := o.lab.admin.Get(ctx, client.ObjectKey{Name: name}, namespace("")); !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("namespace %s is still there: %w", name, err))
		}
	}
	var bindings rbacv1.RoleBindingList
	if err := o.lab.admin.List(ctx, &bindings); err != nil {
		return err
	}
	for binding := range subjects(bindings.Items, o.namespaces()...) {
		errs = append(errs, fmt.Errorf("%s is left", binding))
	}
	return errors.Join(errs...)
}

func (o *organization) trust(user string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.trusted[user] = true
}

// guard looks at every RoleBinding as it is written, until the test ends: nobody is ever named who is not trusted.
func (o *organization) guard(t *testing.T) {
	t.Helper()
	w, err := o.lab.admin.Watch(t.Context(), &rbacv1.RoleBindingList{})
	check(t, err)
	done := make(chan struct{})
	t.Cleanup(func() {
		w.Stop()
		<-done
	})
	go func() {
		defer close(done)
		seen := 0
		for event := range w.ResultChan() {
			b, ok := event.Object.(*rbacv1.RoleBinding)
			if !ok {
				continue
			}
			seen++
			for binding, users := range subjects([]rbacv1.RoleBinding{*b}, o.namespaces()...) {
				for _, user := range users {
					o.mu.Lock()
					if !o.trusted[user] {
						t.Errorf("%s names %s, who has not accepted", binding, user)
					}
					o.mu.Unlock()
				}
			}
		}
		if seen == 0 {
			t.Error("the guard saw nothing")
		}
	}()
}
