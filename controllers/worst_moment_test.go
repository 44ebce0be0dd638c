package controllers_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/controllers"
)

var momentSeed = flag.Uint64("moment", 0, "of what TestRemovalAtTheWorstMoment leaves to chance; 0 takes a new one and tells it")

// Fifty times somebody with access to fifty workspaces and a thousand contacts is removed at the worst moment, by chance: while they
// accept, while a workspace of theirs is being created, while they are assigned something in there, while the operator starts anew.
// Each time a search through all that the cluster holds finds nothing that names them, but what docs/leaving.md says is left.
func TestRemovalAtTheWorstMoment(t *testing.T) {
	const rounds, workspaces, contacts, newContacts = 50, 50, 1000, 3
	const half = 500 * time.Millisecond
	seed := *momentSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("again: go test ./controllers -run TestRemovalAtTheWorstMoment -moment %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	o := operate(t, unassigning(t, "contacts.crm.example.com", nil), ordinaryPages)
	h := o.home(t)
	h.found()
	h.contacts()
	all := h.manyWorkspaces(workspaces)
	work, look := h.office(), h.search()
	for i := range contacts {
		work.add(h.in(fmt.Sprintf("w%02d", i%workspaces)), fmt.Sprintf("contact-%04d", i))
	}
	leaver := func(round int) string { return fmt.Sprintf("leaver%02d", round) }
	work.assign(leaver(0))
	var assigning sync.WaitGroup
	defer assigning.Wait()
	var early, late int
	for round := range rounds {
		name := leaver(round)
		m, young := h.member(name, v1alpha1.RoleMember), h.workspace(fmt.Sprintf("young%02d", round))
		h.create(m)
		for i, some := range all {
			h.create(h.assignment(fmt.Sprintf("%s-%d", name, i), name, v1alpha1.AccessEdit, some...))
		}
		h.create(h.assignment(name+"-young", name, v1alpha1.AccessAdmin, v1alpha1.WorkspaceName(young.Name)))
		assigning.Wait()
		if n := work.assignedTo(name); n != contacts {
			t.Fatalf("round %d: %d contacts are assigned to %s, not %d", round, n, name, contacts)
		}

		// All of this at once, each at its moment of the next half second, with the removal among it. Workspaces come early, so
		// that some of the work in them is assigned before the removal.
		var storm sync.WaitGroup
		var leaves atomic.Bool
		after := map[string]bool{} // what was given to them after they were removed, perhaps
		moment := func(within time.Duration) <-chan time.Time {
			return time.After(time.Duration(random.Int64N(int64(within))))
		}
		for _, deed := range []struct {
			within time.Duration
			do     func() error
		}{
			{half, func() error { return h.join(m) }},
			{half / 5, func() error { return admin.Create(t.Context(), young) }},
			{half, func() error {
				leaves.Store(true)
				return admin.Delete(t.Context(), m.DeepCopy())
			}},
			{half / 5, func() error {
				for i := range newContacts {
					o, err := work.addSoon(h.in(young.Name), fmt.Sprintf("contact-%d", i), name)
					if err != nil {
						return err
					}
					if leaves.Load() {
						after[o] = true
					}
				}
				return nil
			}},
		} {
			now := moment(deed.within)
			storm.Go(func() {
				<-now
				if err := deed.do(); err != nil {
					t.Error(err)
				}
			})
		}
		if round%5 == 0 {
			<-moment(half)
			o.restart(t)
		}
		storm.Wait()
		if t.Failed() {
			return
		}
		h.goes(m)
		for _, o := range look.labelled(name) {
			if !after[o] { // what is labelled for somebody who has left names nobody, and stays as it is
				t.Errorf("round %d: %s is still assigned to %s", round, o, name)
			}
		}
		early, late = early+newContacts-len(after), late+len(after)
		if round+1 < rounds {
			assigning.Go(func() { work.assign(leaver(round + 1)) }) // somebody who is yet to come
		}
		look.grants(name)
		look.statuses(name)
		if t.Failed() {
			return
		}
	}
	t.Logf("in workspaces that had just come, %d contacts were assigned before the removal, and %d after it", early, late)
	if early == 0 || late == 0 {
		t.Error("the moments do not vary")
	}
	look.everywhere(leaver, rounds)
}

// ordinaryPages are as long as those that users get.
func ordinaryPages(o *operator) {
	change := o.change
	o.change = func(d *controllers.Deps) {
		change(d)
		d.Unassigner.Page = 500
	}
}

// manyWorkspaces makes workspaces w00 and so on, and gives their names, ten for each assignment.
func (h *home) manyWorkspaces(count int) (tens [][]v1alpha1.WorkspaceName) {
	h.t.Helper()
	for i := range count {
		w := h.workspace(fmt.Sprintf("w%02d", i))
		h.create(w)
		if i%10 == 0 {
			tens = append(tens, nil)
		}
		tens[i/10] = append(tens[i/10], v1alpha1.WorkspaceName(w.Name))
	}
	h.eventually("the workspaces", func() error {
		var missing int
		for i := range count {
			if !h.get(namespace(h.in(fmt.Sprintf("w%02d", i)))) {
				missing++
			}
		}
		if missing > 0 {
			return fmt.Errorf("%d have no namespace", missing)
		}
		return nil
	})
	return tens
}

// join makes somebody accept as the page would, unless they are removed before.
func (h *home) join(m *v1alpha1.OrgMember) error {
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		fresh := m.DeepCopy()
		if err := admin.Get(h.t.Context(), client.ObjectKeyFromObject(m), fresh); err != nil || fresh.DeletionTimestamp != nil {
			return client.IgnoreNotFound(err)
		}
		accept(fresh)
		return client.IgnoreNotFound(admin.Status().Update(h.t.Context(), fresh))
	})
}
