package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/controllers"
)

// everywhere is an API server whose lists of RoleBindings in all namespaces are counted; the first may be refused or held up.
type everywhere struct {
	client.Reader
	lists  *atomic.Int64
	during func(list int64) error
}

func (e everywhere) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	o := client.ListOptions{}
	o.ApplyOptions(options)
	if _, ok := list.(*rbacv1.RoleBindingList); ok && o.Namespace == "" {
		if err := e.during(e.lists.Add(1)); err != nil {
			return err
		}
	}
	return e.Reader.List(ctx, list, options...)
}

// Many who are removed at once have few lists of all RoleBindings made for them, of which the first fail, and nobody is let go while
// something names them.
func TestManyLeaveAtOnce(t *testing.T) {
	const many = 40
	var lists atomic.Int64
	all := make(chan struct{})
	open := sync.OnceFunc(func() { close(all) })
	h := operate(t, with(func(d *controllers.Deps) {
		d.Live = everywhere{d.Live, &lists, func(list int64) error {
			if list <= 2 {
				return errForbidden
			}
			<-all
			return nil
		}}
	})).home(t)
	t.Cleanup(open)
	h.found()
	var names []v1alpha1.WorkspaceName
	for i := range 4 {
		w := h.workspace(fmt.Sprintf("w%d", i))
		h.create(w)
		names = append(names, v1alpha1.WorkspaceName(w.Name))
	}
	var leavers []client.Object
	for i := range many {
		name := fmt.Sprintf("m%02d", i)
		m := h.member(name, v1alpha1.RoleMember, joined)
		leavers = append(leavers, m)
		h.create(m, h.assignment(name, name, v1alpha1.AccessEdit, names...))
	}
	for i := range many {
		for _, w := range names {
			h.has(h.user(fmt.Sprintf("m%02d", i)), h.in(string(w)), v1alpha1.AccessEdit)
		}
	}
	before := lists.Load()
	var removing sync.WaitGroup
	for _, m := range leavers {
		removing.Go(func() {
			if err := admin.Delete(t.Context(), m); err != nil {
				t.Error(err)
			}
		})
	}
	removing.Wait()
	for i := range many {
		for _, w := range names {
			h.has(h.user(fmt.Sprintf("m%02d", i)), h.in(string(w)), "")
		}
	}
	open()
	h.goes(leavers...)
	for i := range many {
		h.nobodyNamed([]string{h.user(fmt.Sprintf("m%02d", i))})
	}
	if n := lists.Load() - before; n < 3 || n > many/2 {
		t.Errorf("%d lists for %d who left", n, many)
	}
	t.Logf("%d lists", lists.Load()-before)
}

// stuck is a client that cannot change or delete RoleBindings of a namespace.
type stuck struct {
	client.Client
	in *atomic.Pointer[string]
}

func (s stuck) fails(o client.Object) error {
	if _, binding := o.(*rbacv1.RoleBinding); binding && o.GetNamespace() == *s.in.Load() {
		return errTooLarge
	}
	return nil
}

func (s stuck) Update(ctx context.Context, o client.Object, options ...client.UpdateOption) error {
	if err := s.fails(o); err != nil {
		return err
	}
	return s.Client.Update(ctx, o, options...)
}

func (s stuck) Delete(ctx context.Context, o client.Object, options ...client.DeleteOption) error {
	if err := s.fails(o); err != nil {
		return err
	}
	return s.Client.Delete(ctx, o, options...)
}

// A workspace may want its own home for its namespace, and never gets it. Whoever leaves is looked for there all the same.
func TestLeaverOfAHomeThatAWorkspaceWants(t *testing.T) {
	var in atomic.Pointer[string]
	in.Store(new(string))
	h := operate(t, with(func(d *controllers.Deps) { d.Client = stuck{d.Client, &in} })).home(t)
	acme, _ := h.found()
	w := h.workspace("w")
	w.Spec.Namespace = h.name
	ann := h.member("ann", v1alpha1.RoleUserAdmin, joined)
	h.create(w, ann)
	h.eventually("ann is named", func() error {
		if h.named(h.user("ann")) == nil {
			return errors.New("nowhere")
		}
		return nil
	})
	in.Store(&h.name)
	h.delete(ann)
	h.becomes(ann, "Ready", "False/"+v1alpha1.ReasonDeleting)
	if in := h.named(h.user("ann")); !h.get(ann) || in == nil {
		t.Errorf("named by %v, she is to stay until nothing names her: %v", in, ann.DeletionTimestamp)
	}
	in.Store(new(string))
	h.touch(acme)
	h.goes(ann)
}
