package facts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/config/policy"
	"github.com/orgkeeper/orgkeeper/internal/guard"
)

// Policies says whether the admission policies are installed as shipped, whenever asked: from the cache, so that the first
// to ask after a start knows already, and nothing has to be remembered.
type Policies struct {
	policies, bindings Store
	shipped            guard.Set

	mu sync.Mutex
	// seen are the cache's objects that state was found from, which are others as soon as one changes. Whoever asks again
	// before pays next to nothing: every look at every member does.
	seen  []any
	state guard.State
}

// Store is where a cache keeps its objects of one kind: an informer's, by name.
type Store interface {
	// GetByKey returns the cache's own object, which nobody changes.
	GetByKey(name string) (object any, exists bool, err error)
}

// NewPolicies compares what two stores hold with what is shipped.
func NewPolicies(policies, bindings Store) (*Policies, error) {
	shipped, err := policy.Shipped()
	return &Policies{policies: policies, bindings: bindings, shipped: shipped}, err
}

// CachedPolicies is NewPolicies with the stores of a cache, which need not have been started yet. Every replica asks for them: the
// controllers of the leader alone would fill the cache with them only at their start.
func CachedPolicies(ctx context.Context, from cache.Informers) (*Policies, error) {
	policies, err1 := storeOf(ctx, from, &guard.Policy{})
	bindings, err2 := storeOf(ctx, from, &guard.Binding{})
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	return NewPolicies(policies, bindings)
}

// synced is a store that says nothing before it knows everything.
type synced struct {
	toolscache.SharedIndexInformer
	kind string
}

func storeOf(ctx context.Context, from cache.Informers, kind client.Object) (synced, error) {
	informer, err := from.GetInformer(ctx, kind, cache.BlockUntilSynced(false))
	if err != nil {
		return synced{}, err
	}
	shared, ok := informer.(toolscache.SharedIndexInformer)
	if !ok {
		return synced{}, fmt.Errorf("the informer of %T has no store: %T", kind, informer)
	}
	return synced{shared, fmt.Sprintf("%T", kind)}, nil
}

func (s synced) knows() error {
	if !s.HasSynced() {
		return fmt.Errorf("the cache does not know every %s yet", s.kind)
	}
	return nil
}

func (s synced) GetByKey(name string) (any, bool, error) {
	if err := s.knows(); err != nil {
		return nil, false, err
	}
	return s.GetStore().GetByKey(name)
}

// CachedMembers lists the OrgMembers of all homes whenever asked. They are the cache's own: do not change them. A list by the cache's
// reader would copy each, some 50 MB for a hundred thousand.
func CachedMembers(ctx context.Context, from cache.Informers) (func(context.Context) ([]*v1alpha1.OrgMember, error), error) {
	store, err := storeOf(ctx, from, &v1alpha1.OrgMember{})
	if err != nil {
		return nil, err
	}
	return func(context.Context) ([]*v1alpha1.OrgMember, error) {
		if err := store.knows(); err != nil {
			return nil, err
		}
		objects := store.GetStore().List()
		members := make([]*v1alpha1.OrgMember, 0, len(objects))
		for _, o := range objects {
			members = append(members, o.(*v1alpha1.OrgMember))
		}
		return members, nil
	}, nil
}

// State is whether all policies and bindings are as shipped.
func (p *Policies) State(context.Context) (guard.State, error) {
	now := make([]any, 0, len(p.shipped.Policies)+len(p.shipped.Bindings))
	look := func(store Store, name string) error {
		o, _, err := store.GetByKey(name)
		now = append(now, o)
		return err
	}
	for i := range p.shipped.Policies {
		if err := look(p.policies, p.shipped.Policies[i].Name); err != nil {
			return guard.State{}, err
		}
	}
	for i := range p.shipped.Bindings {
		if err := look(p.bindings, p.shipped.Bindings[i].Name); err != nil {
			return guard.State{}, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Equal(p.seen, now) {
		p.seen, p.state = now, guard.Compare(p.shipped, setOf(now))
	}
	return p.state, nil
}

// setOf are the objects among those that were looked for.
func setOf(objects []any) guard.Set {
	var s guard.Set
	for _, o := range objects {
		switch o := o.(type) {
		case *guard.Policy:
			s.Policies = append(s.Policies, *o)
		case *guard.Binding:
			s.Bindings = append(s.Bindings, *o)
		}
	}
	return s
}
