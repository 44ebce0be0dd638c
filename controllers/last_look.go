package controllers

import (
	"context"
	"maps"
	"sync"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/facts"
	"github.com/orgkeeper/orgkeeper/internal/rbac"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// lastLooks let those who leave an organization at the same time share live lists of its RoleBindings. A list counts for a member
// only if it began after the cache showed that they leave and named them nowhere: the cache may be behind, and a list that began
// before may be as well. Whoever makes a list looks in the cache just before, for all who leave, and keeps for them what the list
// says; one list of a home is made at a time, and who comes meanwhile waits for the next. So thousands need few lists. The zero value is
// ready.
type lastLooks struct {
	mu sync.Mutex
	// turns are of the homes whose RoleBindings somebody lists, or waits to list.
	turns map[string]*turn
	// seen is what the last list of each home says: kept for who has not asked yet.
	seen map[string]look
}

// turn is whose holds it to list the RoleBindings of a home.
type turn struct {
	held  chan struct{}
	asked int
}

// look is what a list found.
type look struct {
	began time.Time
	// free are the usernames, by UID, of those who left and whom it does not name.
	free map[types.UID]string
}

// lookCounts is how long after it began a list counts. Who asks later, as somebody who waited for something else, has a new one: what
// somebody wrote since by old facts, only the cache shows.
const lookCounts = 5 * time.Second

// take says that a list found a member free, once.
func (l *lastLooks) take(m *v1alpha1.OrgMember, username string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.seen[m.Namespace]
	as, free := s.free[m.UID]
	l.drop(m)
	return free && as == username && now.Sub(s.began) < lookCounts
}

// forget takes back what was found of a member, who is named again.
func (l *lastLooks) forget(m *v1alpha1.OrgMember) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(m)
}

func (l *lastLooks) drop(m *v1alpha1.OrgMember) {
	s := l.seen[m.Namespace]
	if delete(s.free, m.UID); len(s.free) == 0 {
		delete(l.seen, m.Namespace)
	}
}

// keep puts what a list of a home found in the place of what the one before did, which says nothing that this one does not say of
// those who still wait. Of all homes, what nobody asked for in time is forgotten.
func (l *lastLooks) keep(home string, s look, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil {
		l.seen = map[string]look{}
	}
	l.seen[home] = s
	maps.DeleteFunc(l.seen, func(_ string, s look) bool { return len(s.free) == 0 || now.Sub(s.began) >= lookCounts })
}

// wait waits for the turn to list the RoleBindings of a home. It is to be left.
func (l *lastLooks) wait(ctx context.Context, home string) (leave func(), err error) {
	l.mu.Lock()
	t := l.turns[home]
	if t == nil {
		t = &turn{held: make(chan struct{}, 1)}
		if l.turns == nil {
			l.turns = map[string]*turn{}
		}
		l.turns[home] = t
	}
	t.asked++
	l.mu.Unlock()
	done := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if t.asked--; t.asked == 0 {
			delete(l.turns, home)
		}
	}
	select {
	case t.held <- struct{}{}:
		return func() { <-t.held; done() }, nil
	case <-ctx.Done():
		done()
		return nil, ctx.Err()
	}
}

// accessLeft are the namespaces where somebody who leaves is named yet. None: the cache shows none, and neither does a live list that
// began after it did.
func (r *OrgMemberReconciler) accessLeft(ctx context.Context, m *v1alpha1.OrgMember, username string) ([]string, error) {
	cached, err := r.cachedEverywhere(ctx, m.Namespace)
	if err != nil {
		return nil, err
	}
	if in := naming(cached, username); len(in) > 0 {
		r.looks.forget(m)
		return in, nil // the end of it wakes them
	}
	if r.looks.take(m, username, r.Steady.Now()) {
		return nil, nil
	}
	leave, err := r.looks.wait(ctx, m.Namespace)
	if err != nil {
		return nil, err
	}
	defer leave()
	if r.looks.take(m, username, r.Steady.Now()) { // of whoever had the turn meanwhile
		return nil, nil
	}
	return r.look(ctx, m, username)
}

// look lists live for a member, and for all who left their home as far as the cache shows at the beginning.
func (r *OrgMemberReconciler) look(ctx context.Context, m *v1alpha1.OrgMember, username string) ([]string, error) {
	began := r.Steady.Now()
	leaving, err := r.Facts.MembersBy(ctx, m.Namespace, facts.IndexLeaving, facts.Leaving)
	if err != nil {
		return nil, err
	}
	cached, err := r.cachedEverywhere(ctx, m.Namespace)
	if err != nil {
		return nil, err
	}
	live, err := r.liveEverywhere(ctx, m.Namespace)
	if err != nil {
		return nil, err
	}
	named, free := users(cached, live), map[types.UID]string{}
	for i := range leaving {
		as := rules.Username(&leaving[i], r.Facts.UsernamePrefix)
		if leaving[i].UID != m.UID && !named.Has(as) {
			free[leaving[i].UID] = as
		}
	}
	r.looks.keep(m.Namespace, look{began, free}, r.Steady.Now())
	return naming(live, username), nil
}

// naming are the namespaces of those RoleBindings that name a user.
func naming(bindings []rbacv1.RoleBinding, username string) []string {
	var in []rbacv1.RoleBinding
	for i := range bindings {
		if rbac.Names(&bindings[i], username) {
			in = append(in, bindings[i])
		}
	}
	return namespacesOf(in)
}

// users are all whom naming finds somewhere.
func users(lists ...[]rbacv1.RoleBinding) sets.Set[string] {
	all := sets.New[string]()
	for _, bindings := range lists {
		for i := range bindings {
			for _, s := range bindings[i].Subjects {
				if s.Namespace == "" {
					s.Namespace = bindings[i].Namespace // as rbac.Names
				}
				all.Insert(rbac.Username(s))
			}
		}
	}
	return all
}
