package facts_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	toolscache "k8s.io/client-go/tools/cache"
	source "k8s.io/client-go/tools/cache/testing"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/facts"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// ofMembers is a cache of OrgMembers alone.
type ofMembers struct {
	cache.Cache
	toolscache.SharedIndexInformer
}

func (c ofMembers) GetInformer(context.Context, client.Object, ...cache.InformerGetOption) (cache.Informer, error) {
	return c.SharedIndexInformer, nil
}

// born is how many seconds ago a member was made, and under which UID.
func born(ago int, uid string) func(*v1alpha1.OrgMember) {
	return func(m *v1alpha1.OrgMember) {
		m.CreationTimestamp, m.UID = metav1.NewTime(now.Add(-time.Duration(ago)*time.Second)), types.UID(uid)
	}
}

// Whatever becomes of members, the lines come to be what counting all who wait says.
func TestLines(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	server := source.NewFakeControllerSource()
	present := map[string]*v1alpha1.OrgMember{}
	add := func(name string, uid int) {
		m := member([]string{"acme", "initech"}[random.IntN(2)], name, described, born(random.IntN(3), fmt.Sprint(name, uid)))
		if random.IntN(3) > 0 {
			waits(m)
		}
		present[name] = m
		server.Add(m.DeepCopy()) // which it writes into
	}
	for i := range 20 {
		add(fmt.Sprintf("m%02d", i), 0)
	}
	informer := toolscache.NewSharedIndexInformer(server, &v1alpha1.OrgMember{}, 0, toolscache.Indexers{})
	stop := make(chan struct{})
	defer close(stop)
	go informer.Run(stop)

	var lines facts.Lines
	members := ofMembers{SharedIndexInformer: informer}
	for range 2 { // as each controller that asks does
		if err := lines.Follow(t.Context(), members); err != nil {
			t.Fatal(err)
		}
		if err := lines.WaitForSync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	right := func() error {
		for _, m := range present {
			var waiting []v1alpha1.OrgMember
			for _, w := range present {
				if len(w.Status.Conditions) > 0 && w.Status.Conditions[0].Reason == v1alpha1.ReasonInvitationLimited && w.Namespace == m.Namespace {
					waiting = append(waiting, *w)
				}
			}
			if got, want := lines.Ahead(m), rules.AheadInLine(m, waiting); got != want {
				return fmt.Errorf("%d ahead of %s/%s, not %d", got, m.Namespace, m.Name, want)
			}
		}
		return nil
	}
	if err := right(); err != nil {
		t.Fatalf("at the beginning: %v", err)
	}
	for change := range 300 {
		name := fmt.Sprintf("m%02d", random.IntN(20))
		m := present[name]
		next := m.DeepCopy()
		switch random.IntN(6) {
		case 0: // another of that name, perhaps as old, perhaps elsewhere
			server.Delete(m.DeepCopy())
			add(name, change+1)
			continue
		case 1: // the same, and nobody saw the old one go
			born(random.IntN(3), fmt.Sprint(name, change+1))(next)
		case 2:
			next.DeletionTimestamp = &metav1.Time{Time: now}
		case 3:
			described(next)
			next.Status.Conditions = next.Status.Conditions[len(m.Status.Conditions):]
		default:
			waits(next)
		}
		present[name] = next
		server.Modify(next.DeepCopy())
	}
	last := error(nil)
	if err := wait.PollUntilContextTimeout(t.Context(), time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		last = right()
		return last == nil, nil
	}); err != nil {
		t.Fatal(last)
	}
}

// Who is told to stop while not everybody is in line yet is not held up.
func TestLinesStopped(t *testing.T) {
	var lines facts.Lines
	members := ofMembers{SharedIndexInformer: toolscache.NewSharedIndexInformer(source.NewFakeControllerSource(), &v1alpha1.OrgMember{}, 0, toolscache.Indexers{})}
	if err := lines.Follow(t.Context(), members); err != nil {
		t.Fatal(err)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if err := lines.WaitForSync(stopped); err != nil {
		t.Errorf("told to stop: %v", err)
	}
	late, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := lines.WaitForSync(late); err == nil {
		t.Error("a line that nobody has come to yet counts as known")
	}
}

// BenchmarkLines asks how many go before a member of whose organization so many wait: each mail of an
// import does.
func BenchmarkLines(b *testing.B) {
	for _, n := range sizes {
		objects := crowd(20) // two of whom wait, and a thing of each kind
		for i := range n - 2 {
			objects = append(objects, member("acme", fmt.Sprintf("waits-%05d", i), described, waits))
		}
		r := cached(b, objects)
		last := objects[len(objects)-1].(*v1alpha1.OrgMember)
		var lines facts.Lines
		if err := lines.Follow(b.Context(), r.Reader.(cache.Cache)); err != nil {
			b.Fatal(err)
		}
		if err := lines.WaitForSync(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("waiting=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if ahead := lines.Ahead(last); ahead != n-1 {
					b.Fatal(ahead)
				}
			}
		})
	}
}
