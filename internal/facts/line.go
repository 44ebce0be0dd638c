package facts

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// Lines are, for each home, those whose invitation waits for the organization's turn, as the cache shows them: in order. Each change of a member moves that member alone, so that nobody is listed to say how many go before one. The
// zero value is ready to Follow.
type Lines struct {
	mu    sync.Mutex
	lines map[string]*rules.Line
	// all says that everybody who waited at the beginning is in line.
	all toolscache.InformerSynced
}

// Follow begins to follow a cache, once however often it is called. It waits until the cache was filled.
func (l *Lines) Follow(ctx context.Context, c cache.Cache) error {
	informer, err := c.GetInformer(ctx, &v1alpha1.OrgMember{})
	if err != nil {
		return fmt.Errorf("follow who is in line for an invitation: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all != nil {
		return nil
	}
	registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { l.moved(nil, o) },
		UpdateFunc: l.moved,
		DeleteFunc: func(o any) { l.moved(o, nil) },
	})
	if err != nil {
		return fmt.Errorf("follow who is in line for an invitation: %w", err)
	}
	l.lines, l.all = map[string]*rules.Line{}, registration.HasSynced
	return nil
}

// WaitForSync waits until everybody is in line who waited when Follow was called, or until it is told to stop. Before, nobody must
// ask: they would be let through ahead of those who are not known yet.
func (l *Lines) WaitForSync(ctx context.Context) error {
	l.mu.Lock()
	all := l.all
	l.mu.Unlock()
	if all == nil || toolscache.WaitForCacheSync(ctx.Done(), all) || errors.Is(ctx.Err(), context.Canceled) {
		return nil
	}
	return fmt.Errorf("wait for who is in line for an invitation: %w", ctx.Err())
}

// Ahead is how many of a member's organization go before them, as rules.AheadInLine counts.
func (l *Lines) Ahead(m *v1alpha1.OrgMember) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if line := l.of(m); line != nil {
		return line.Ahead(m)
	}
	return 0
}

// of is the line that a member stands in; nil when nobody does, or for no member.
func (l *Lines) of(m *v1alpha1.OrgMember) *rules.Line {
	if m == nil {
		return nil
	}
	return l.lines[m.Namespace]
}

// moved takes a member from one state to another; nil: it was not there, or is not any more.
func (l *Lines) moved(before, after any) {
	if gone, ok := before.(toolscache.DeletedFinalStateUnknown); ok {
		before = gone.Obj
	}
	from, to := inLine(before), inLine(after)
	if from == nil && to == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if line := l.of(from); line != nil && (to == nil || to.UID != from.UID) {
		if line.Leave(from); len(*line) == 0 {
			delete(l.lines, from.Namespace)
		}
	}
	if to != nil {
		if l.of(to) == nil {
			l.lines[to.Namespace] = &rules.Line{}
		}
		l.of(to).Join(to)
	}
}

// inLine is the member that an object of the cache is, if they are in line; nil if not. Whoever is being deleted stands in
// nobody's way.
func inLine(o any) *v1alpha1.OrgMember {
	if m, ok := o.(*v1alpha1.OrgMember); ok && limited(m) && m.DeletionTimestamp == nil {
		return m
	}
	return nil
}

func limited(m *v1alpha1.OrgMember) bool {
	c := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionInvitationSent)
	return c != nil && c.Reason == v1alpha1.ReasonInvitationLimited
}
