package facts

import (
	"context"
	"fmt"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/config/policy"
	"github.com/orgkeeper/orgkeeper/internal/guard"
)

// Policies says whether the admission policies are installed as shipped, whenever asked: from the cache, so that the first
// to ask after a start knows already, and nothing has to be remembered.
type Policies struct {
	reader  client.Reader
	shipped guard.Set

	mu sync.Mutex
	// seen are the versions that state was found from. Whoever asks again before one changes pays next to nothing.
	seen  string
	state guard.State
}

// NewPolicies compares what a cache shows with what is shipped.
func NewPolicies(cache client.Reader) (*Policies, error) {
	shipped, err := policy.Shipped()
	return &Policies{reader: cache, shipped: shipped}, err
}

// State is whether all policies and bindings are as shipped.
func (p *Policies) State(ctx context.Context) (guard.State, error) {
	installed := guard.Set{Policies: make([]guard.Policy, 0, len(p.shipped.Policies)), Bindings: make([]guard.Binding, 0, len(p.shipped.Bindings))}
	var versions strings.Builder
	for i := range p.shipped.Policies {
		var o guard.Policy
		if found, err := p.get(ctx, p.shipped.Policies[i].Name, &o, &versions); err != nil {
			return guard.State{}, err
		} else if found {
			installed.Policies = append(installed.Policies, o)
		}
	}
	for i := range p.shipped.Bindings {
		var o guard.Binding
		if found, err := p.get(ctx, p.shipped.Bindings[i].Name, &o, &versions); err != nil {
			return guard.State{}, err
		} else if found {
			installed.Bindings = append(installed.Bindings, o)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen != versions.String() {
		p.seen, p.state = versions.String(), guard.Compare(p.shipped, installed)
	}
	return p.state, nil
}

func (p *Policies) get(ctx context.Context, name string, into client.Object, versions *strings.Builder) (bool, error) {
	err := p.reader.Get(ctx, client.ObjectKey{Name: name}, into, shared)
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("get %T %s: %w", into, name, err)
	}
	for _, part := range []string{string(into.GetUID()), "/", into.GetResourceVersion(), " "} {
		versions.WriteString(part)
	}
	return !apierrors.IsNotFound(err), nil
}
