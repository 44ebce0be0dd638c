package controllers_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/controllers"
)

// An assignment that was looked at before its Workspace was judged waits silently for the namespace. When the judgement is that
// there will be none, that is told, and nobody is left to wonder about an assignment without any status.
func TestAssignmentToAWorkspaceThatNeverHadANamespace(t *testing.T) {
	var judged gate
	o := operate(t, with(func(d *controllers.Deps) {
		d.Client = judgesLate{d.Client, &judged}
	}))
	h := o.home(t)
	h.found()
	mia := h.member("mia", v1alpha1.RoleMember, joined)
	h.create(mia)
	h.becomes(mia, "Ready", "True/Active")

	web, a := h.workspace("web", func(w *v1alpha1.Workspace) { w.Spec.Namespace = "kube-public" }), h.assignment("mia", "mia", v1alpha1.AccessEdit, "web")
	judged.after(func(ctx context.Context) bool {
		seen := a.DeepCopy()
		return admin.Get(ctx, client.ObjectKeyFromObject(a), seen) == nil && controllerutil.ContainsFinalizer(seen, v1alpha1.FinalizerAssignment)
	})
	h.create(web, a)
	h.becomes(web, "Ready", "False/NamespaceInvalid")
	h.comesTo(a, "False/WorkspaceNotReady", map[string]string{"web": "WorkspaceNotReady"})
}

// gate is open once a condition holds, and as long as there is none: other tests have Workspaces, too.
type gate struct {
	condition atomic.Pointer[func(context.Context) bool]
}

func (g *gate) after(holds func(context.Context) bool) { g.condition.Store(&holds) }

func (g *gate) open(ctx context.Context) bool {
	condition := g.condition.Load()
	return condition == nil || (*condition)(ctx)
}

// judgesLate writes the status of a Workspace once the gate is open.
type judgesLate struct {
	client.Client
	gate *gate
}

func (c judgesLate) Status() client.SubResourceWriter {
	return lateJudgement{c.Client.Status(), c.gate}
}

type lateJudgement struct {
	client.SubResourceWriter
	gate *gate
}

func (w lateJudgement) Patch(ctx context.Context, o client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
	if _, workspace := o.(*v1alpha1.Workspace); workspace {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		for tick := time.NewTicker(10 * time.Millisecond); !w.gate.open(ctx); {
			select {
			case <-ctx.Done():
				return fmt.Errorf("what the judgement waits for does not come: %w", ctx.Err())
			case <-tick.C:
			}
		}
	}
	return w.SubResourceWriter.Patch(ctx, o, patch, options...)
}
