package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/controllers"
)

// cramped is a client to a server that takes RoleBindings of so many subjects only, as etcd takes objects of so many
// bytes only. To fill a real one takes thousands of members.
type cramped struct {
	client.Client
	most int
}

var errTooLarge = errors.New("etcdserver: request is too large")

func (c cramped) Create(ctx context.Context, o client.Object, options ...client.CreateOption) error {
	if b, ok := o.(*rbacv1.RoleBinding); ok && len(b.Subjects) > c.most {
		return errTooLarge
	}
	return c.Client.Create(ctx, o, options...)
}

func (c cramped) Update(ctx context.Context, o client.Object, options ...client.UpdateOption) error {
	if b, ok := o.(*rbacv1.RoleBinding); ok && len(b.Subjects) > c.most {
		return errTooLarge
	}
	return c.Client.Update(ctx, o, options...)
}

// forbidden is a client that may not write RoleBindings with subjects any more, as when the platform took `bind` on the role
// behind them from the operator.
type forbidden struct {
	client.Client
	now *atomic.Bool
}

func (f forbidden) Create(ctx context.Context, o client.Object, options ...client.CreateOption) error {
	if _, binding := o.(*rbacv1.RoleBinding); binding && f.now.Load() {
		return errForbidden
	}
	return f.Client.Create(ctx, o, options...)
}

func (f forbidden) Update(ctx context.Context, o client.Object, options ...client.UpdateOption) error {
	if _, binding := o.(*rbacv1.RoleBinding); binding && f.now.Load() {
		return errForbidden
	}
	return f.Client.Update(ctx, o, options...)
}

var errForbidden = apierrors.NewForbidden(rbacv1.Resource("rolebindings"), "orgkeeper:edit", errors.New("bind was taken away"))

// Who is removed loses the access even when the operator may no longer write the binding: then nobody keeps it.
func TestRemovalWithoutTheRightToBind(t *testing.T) {
	now := &atomic.Bool{}
	h := operate(t, with(func(d *controllers.Deps) { d.Client = forbidden{d.Client, now} })).home(t)
	h.found()
	web := h.workspace("web")
	h.create(web)
	var editors []*v1alpha1.OrgMember
	for i := range 2 {
		m := h.member(fmt.Sprintf("editor%d", i), v1alpha1.RoleMember, joined)
		h.create(m, h.assignment(m.Name, m.Name, v1alpha1.AccessEdit, "web"))
		h.has(h.user(m.Name), h.in("web"), v1alpha1.AccessEdit)
		editors = append(editors, m)
	}
	now.Store(true)
	h.delete(editors[0])
	h.goes(editors[0])
	h.has(h.user("editor0"), h.in("web"), "")
	h.becomes(web, "Ready", "False/AccessIncomplete")

	now.Store(false)
	h.touch(web)
	h.becomes(web, "Ready", "True/Ready")
	h.has(h.user("editor1"), h.in("web"), v1alpha1.AccessEdit)
}

// Whoever fills a workspace with more members than a RoleBinding can name must not keep anybody in it by that.
func TestCrowdedWorkspace(t *testing.T) {
	h := operate(t, with(func(d *controllers.Deps) { d.Client = cramped{d.Client, 3} })).home(t)
	h.found()
	web := h.workspace("web")
	h.create(web)
	guest := h.member("guest", v1alpha1.RoleMember, joined)
	h.create(guest, h.assignment("guest", "guest", v1alpha1.AccessView, "web"))
	var editors []*v1alpha1.OrgMember
	for i := range 3 {
		m := h.member(fmt.Sprintf("editor%d", i), v1alpha1.RoleMember, joined)
		h.create(m, h.assignment(m.Name, m.Name, v1alpha1.AccessEdit, "web"))
		editors = append(editors, m)
	}
	for _, m := range editors {
		h.has(h.user(m.Name), h.in("web"), v1alpha1.AccessEdit)
	}
	h.has(h.user("guest"), h.in("web"), v1alpha1.AccessView)

	late := []*v1alpha1.OrgMember{h.member("late0", v1alpha1.RoleMember, joined), h.member("late1", v1alpha1.RoleMember, joined)}
	for _, m := range late {
		h.create(m, h.assignment(m.Name, m.Name, v1alpha1.AccessEdit, "web"))
	}
	h.becomes(web, "Ready", "False/AccessIncomplete")

	h.delete(editors[0], guest)
	h.goes(editors[0], guest)
	h.has(h.user("editor0"), h.in("web"), "")
	h.has(h.user("guest"), h.in("web"), "")
	h.has(h.user("editor1"), h.in("web"), v1alpha1.AccessEdit)

	h.delete(late[0])
	h.becomes(web, "Ready", "True/Ready")
	h.has(h.user("late1"), h.in("web"), v1alpha1.AccessEdit)
}
