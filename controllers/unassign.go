package controllers

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	authorizationv1client "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/assignee"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// Objects in workspaces lose the label LabelAssignee when the member it names is deleted. What happens at what moment:
//
//   - OrgMemberReconciler ends the access first, then hands the OrgMember, which its finalizer keeps, to the Unassigner.
//   - UnassignReconciler, with workers of its own, goes through kinds and workspaces for all who leave a home at that time.
//   - OrgMemberReconciler lets the OrgMember go when that is done, or was given up.
//
// Nothing is recorded: an operator that starts finds the OrgMember and goes through all again, which finds what is left. Nothing
// is watched or cached either: labelled objects may be a million, those who leave are few, and a list with a selector when one
// does takes in kinds that were not there when the operator started.
//
// Labels that name nobody are left alone: the member may not have arrived yet, or somebody keeps the label in Git.

// UnassignConfig is what the Unassigner goes by.
type UnassignConfig struct {
	// Kinds are those whose objects have assignees.
	Kinds assignee.Kinds
	// Page is how many objects to read at once.
	Page int64
	// Timeout is how long the answer to one request may take.
	Timeout time.Duration
}

// Unassigner knows who leaves and how far the objects that are assigned to them are. One that is nil unassigns nothing.
type Unassigner struct {
	UnassignConfig
	metadata  metadata.Interface
	discovery discovery.DiscoveryInterfaceWithContext
	reviews   authorizationv1client.SelfSubjectRulesReviewsGetter

	mu      sync.Mutex
	leavers map[types.UID]*leaver
	// homes and members are the queues of UnassignReconciler and OrgMemberReconciler.
	homes, members queue
	// forbidden is what the people of workspaces were told that may not be touched there.
	forbidden *assignee.Told
}

// leaver is somebody whose access has ended, and who waits for the end of this.
type leaver struct {
	home, name string
	uid        types.UID
	done       bool
	// deleted is when the leaving began: when the OrgMember was deleted.
	deleted time.Time
	// tries counts the rounds in a row that failed and took nothing off, the first of them at since; the next may be at next.
	tries       int
	since, next time.Time
	// failing is when the first round failed since this operator started, whatever was taken off later.
	failing time.Time
	// trouble is why the last one failed.
	trouble string
	// found counts what was taken off, by workspace, since this operator started.
	found map[string]assignee.Counts
}

// Limits of the tries of a kind that cannot be listed or patched.
const (
	// unassignPatience is how long a member waits for a kind without any progress. It may be down with its conversion webhook or
	// its API server; to wait costs nothing but that the name is not free.
	unassignPatience = time.Hour
	// unassignLimit is how long after the OrgMember was deleted a kind that fails is tried, whatever else makes progress: a kind that
	// answers now and then, or objects that somebody goes on assigning, must not keep a member for ever. It ends no round: however
	// many objects there are, they are gone through as long as pages come in.
	unassignLimit = 24 * time.Hour
	// unassignLast is for how long an operator tries at least, also one that was not there until the limit had passed. What it needs
	// may be starting beside it.
	unassignLast     = 10 * time.Minute
	unassignMinDelay = time.Second
	unassignMaxDelay = 5 * time.Minute
)

// unassignTold is of how many workspaces it is remembered what their people were told. Those of one that is forgotten are told again
// when the next member leaves.
const unassignTold = 10_000

// NewUnassigner gives one with connections of its own; nil when there are no kinds. It is not limited but in how much it does at
// once: see unassignAtOnce.
func NewUnassigner(c *rest.Config, u UnassignConfig) (*Unassigner, error) {
	if u.Kinds.None() {
		return nil, nil
	}
	c = rest.CopyConfig(c)
	c.QPS, c.Timeout = -1, u.Timeout
	c.Wrap(func(rt http.RoundTripper) http.RoundTripper { return impatient{rt} })
	objects, err := metadata.NewForConfig(c)
	if err != nil {
		return nil, fmt.Errorf("make a client of metadata: %w", err)
	}
	kinds, err := discovery.NewDiscoveryClientForConfig(c)
	if err != nil {
		return nil, fmt.Errorf("make a client of kinds: %w", err)
	}
	reviews, err := authorizationv1client.NewForConfig(c)
	if err != nil {
		return nil, fmt.Errorf("make a client of reviews: %w", err)
	}
	return &Unassigner{
		UnassignConfig: u, metadata: objects, discovery: kinds, reviews: reviews,
		leavers: map[types.UID]*leaver{}, forbidden: assignee.NewTold(unassignTold),
	}, nil
}

// impatient takes the wish to be asked again out of answers: client-go would do so up to ten times, and forget the reason given. A
// kind whose conversion webhook is gone answers so. Its turn comes again in the next round.
type impatient struct{ http.RoundTripper }

// RoundTrip is that of the transport behind.
func (i impatient) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := i.RoundTripper.RoundTrip(r)
	if err == nil {
		answer.Header.Del("Retry-After")
	}
	return answer, err
}

// keeps says why somebody whose access has ended is not to go yet; empty when they may. When the organization goes as a whole
// its workspaces go, or are retained as they are.
func (u *Unassigner) keeps(h rules.Home, m *v1alpha1.OrgMember) string {
	if u == nil || !h.Live() || !assignee.Possible(m.Name) {
		return ""
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	l := u.leavers[m.UID]
	if l == nil {
		l = &leaver{home: m.Namespace, name: m.Name, uid: m.UID, deleted: m.DeletionTimestamp.Time, found: map[string]assignee.Counts{}}
		u.leavers[m.UID] = l
	}
	if l.done {
		return ""
	}
	if u.homes != nil {
		u.homes.Add(request(m.Namespace, m.Namespace))
	}
	if l.trouble != "" {
		return "all access has ended; some objects could not be unassigned, which is tried again: " + l.trouble
	}
	return "all access has ended; the objects assigned to " + m.Name + " lose their assignee, then the member goes"
}

// unassignBatch is how many are gone through the objects for at once; their names must fit into the address of a request.
const unassignBatch = 50

// due gives those of a home for whom it is time, or says when it is. leaving are all who are being deleted there; the others are
// forgotten.
func (u *Unassigner) due(home string, leaving []v1alpha1.OrgMember, now time.Time) (batch []*leaver, wake time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	here := map[types.UID]bool{}
	for i := range leaving {
		here[leaving[i].UID] = true
	}
	maps.DeleteFunc(u.leavers, func(uid types.UID, l *leaver) bool { return l.home == home && !here[uid] })
	for _, l := range u.leavers {
		switch {
		case l.home != home:
		case l.done:
			wake = rules.Earliest(wake, now.Add(unassignMaxDelay)) // to forget them
		case l.waits(now):
			wake = rules.Earliest(wake, l.next)
		default:
			batch = append(batch, l)
		}
	}
	slices.SortFunc(batch, func(a, b *leaver) int { return a.next.Compare(b.next) })
	if len(batch) > unassignBatch {
		return batch[:unassignBatch], now
	}
	return batch, wake
}

// count takes down what a round took off for one of those it was for, however it ended.
func (u *Unassigner) count(l *leaver, d *round) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for workspace, counts := range d.found[l.name] {
		if l.found[workspace] == nil {
			l.found[workspace] = assignee.Counts{}
		}
		for kind, n := range counts {
			l.found[workspace][kind] += n
		}
		l.tries = 0
	}
}

// settle takes down how a round went for one of those it was for, and wakes their OrgMember. It says whether all is over for them.
func (u *Unassigner) settle(l *leaver, d *round, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if l.trouble = d.trouble(l.name); l.trouble == "" {
		l.done = true
	} else {
		if l.tries == 0 || l.since.After(now) {
			l.since = now
		}
		if l.failing.IsZero() || l.failing.After(now) {
			l.failing = now
		}
		l.next = now.Add(min(unassignMinDelay<<min(l.tries, 20), unassignMaxDelay))
		l.tries++
		l.done = l.tooLong(now)
	}
	if u.members != nil {
		first(u.members).Add(request(l.home, l.name))
	}
	return l.done
}

// waits says that the next try is yet to come. What is further ahead than a try ever waits was set by a clock that ran ahead and was
// put right since; so were the beginnings of the tries, from which the limits count, and they begin anew: see settle.
func (l *leaver) waits(now time.Time) bool {
	return l.next.After(now) && !l.next.After(now.Add(unassignMaxDelay))
}

// tooLong says that what fails is not to be waited for any longer.
func (l *leaver) tooLong(now time.Time) bool {
	return now.Sub(l.since) >= unassignPatience || (now.Sub(l.deleted) >= unassignLimit && now.Sub(l.failing) >= unassignLast)
}

// comings is a source of requests for the homes that somebody leaves.
func (u *Unassigner) comings() source.Source {
	return source.Func(func(_ context.Context, q queue) error {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.homes = q
		return nil
	})
}

// goings is a source of requests for the members who may go.
func (u *Unassigner) goings() source.Source {
	return source.Func(func(_ context.Context, q queue) error {
		if u == nil {
			return nil
		}
		u.mu.Lock()
		defer u.mu.Unlock()
		u.members = q
		return nil
	})
}

// kindOf is a kind as people write it.
func kindOf(kind schema.GroupVersionResource) string { return kind.GroupResource().String() }
