package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

func (b *bench) promote(ctx context.Context, p person) error {
	m := &v1alpha1.OrgMember{ObjectMeta: metav1.ObjectMeta{Namespace: p.home, Name: p.name}}
	return b.pipeline.Patch(ctx, m, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"role":"BillingAdmin"}}`)))
}

// moveThereAndBack assigns somebody to another workspace of the home and back, and waits for access each time. Where there is one
// workspace, it takes the assignment away and gives it again, twice.
func (b *bench) moveThereAndBack(ctx context.Context, p person) (took [2]time.Duration, err error) {
	own, move := strings.TrimPrefix(p.namespace, p.home+"--"), b.move
	other := "w1"
	if own == other {
		other = "w0"
	}
	if b.workspaces == 1 {
		other, move = own, b.assignAgain
	}
	if took[0], err = move(ctx, p, own, other); err != nil {
		return took, err
	}
	took[1], err = move(ctx, p, other, own)
	return took, err
}

// move assigns somebody to another workspace. It returns once they have no access to the one before, or the way back would find it
// still there; this is not counted.
func (b *bench) move(ctx context.Context, p person, from, to string) (took time.Duration, err error) {
	a := &v1alpha1.WorkspaceAssignment{ObjectMeta: metav1.ObjectMeta{Namespace: p.home, Name: p.name}}
	patch := fmt.Appendf(nil, `{"spec":{"workspaces":[%q]}}`, to)
	began := time.Now()
	if err := b.pipeline.Patch(ctx, a, client.RawPatch("application/merge-patch+json", patch)); err != nil {
		return 0, err
	}
	p.namespace = p.home + "--" + to
	if err := b.access(ctx, p, true); err != nil {
		return 0, err
	}
	took = time.Since(began)
	p.namespace = p.home + "--" + from
	return took, b.access(ctx, p, false)
}

// assignAgain takes somebody's assignment away and gives it again.
func (b *bench) assignAgain(ctx context.Context, p person, _, _ string) (time.Duration, error) {
	a := &v1alpha1.WorkspaceAssignment{}
	if err := b.pipeline.Get(ctx, client.ObjectKey{Namespace: p.home, Name: p.name}, a); err != nil {
		return 0, err
	}
	if err := b.pipeline.Delete(ctx, a); err != nil {
		return 0, err
	}
	if err := b.access(ctx, p, false); err != nil {
		return 0, err
	}
	again := &v1alpha1.WorkspaceAssignment{ObjectMeta: metav1.ObjectMeta{Namespace: p.home, Name: p.name}, Spec: a.Spec}
	began := time.Now()
	err := eventually(ctx, 5*time.Millisecond, func() error { return b.pipeline.Create(ctx, again.DeepCopy()) }) // the old one goes first
	if err == nil {
		err = b.access(ctx, p, true)
	}
	return time.Since(began), err
}
