package controllers_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

var momentSeed = flag.Uint64("moment", 0, "of what TestRemovalAtTheWorstMoment leaves to chance; 0 takes a new one and tells it")

// Fifty times somebody is removed at the worst moment, by chance: while they accept, while a workspace of theirs is being created,
// while the operator starts anew, while more is assigned to them. Each time nothing is left that names them: no RoleBinding of the
// cluster, and none of a thousand contacts in fifty workspaces.
func TestRemovalAtTheWorstMoment(t *testing.T) {
	const rounds, workspaces, contacts = 50, 50, 1000
	seed := *momentSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("again: go test ./controllers -run TestRemovalAtTheWorstMoment -moment %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	o := operate(t, unassigning(t, "contacts.crm.example.com", nil))
	h := o.home(t)
	h.found()
	h.contacts()
	var all [][]v1alpha1.WorkspaceName // ten for each assignment
	for i := range workspaces {
		w := h.workspace(fmt.Sprintf("w%02d", i))
		h.create(w)
		if i%10 == 0 {
			all = append(all, nil)
		}
		all[i/10] = append(all[i/10], v1alpha1.WorkspaceName(w.Name))
	}
	h.eventually("the workspaces", func() error {
		var missing int
		for i := range workspaces {
			if !h.get(namespace(h.in(fmt.Sprintf("w%02d", i)))) {
				missing++
			}
		}
		if missing > 0 {
			return fmt.Errorf("%d have no namespace", missing)
		}
		return nil
	})
	for round := range rounds {
		name := fmt.Sprintf("m%02d", round)
		m := h.member(name, v1alpha1.RoleMember)
		h.create(m)
		late := h.workspace("late-" + name)
		for i, some := range all {
			h.create(h.assignment(fmt.Sprintf("%s-%d", name, i), name, v1alpha1.AccessEdit, some...))
		}
		h.create(h.assignment(name+"-late", name, v1alpha1.AccessAdmin, v1alpha1.WorkspaceName(late.Name)))
		share := contacts / rounds
		if round == 0 {
			share = contacts // all of them, once
		}
		for i := range workspaces {
			if n := share / workspaces; n > 0 {
				h.assigned(contact, h.in(fmt.Sprintf("w%02d", i)), name, n)
			} else if i < share {
				h.assigned(contact, h.in(fmt.Sprintf("w%02d", (i+round)%workspaces)), name, 1)
			}
		}

		// All of this at once, each at its moment of the next half second, with the removal among it.
		var storm sync.WaitGroup
		moment := func() <-chan time.Time {
			return time.After(time.Duration(random.Int64N(int64(500 * time.Millisecond))))
		}
		for _, do := range []func() error{
			func() error { return h.join(m) },
			func() error { return admin.Create(t.Context(), late) },
			func() error { return admin.Delete(t.Context(), m.DeepCopy()) },
		} {
			now := moment()
			storm.Go(func() {
				<-now
				if err := do(); err != nil {
					t.Error(err)
				}
			})
		}
		if round%5 == 0 {
			<-moment()
			o.restart(t)
		}
		storm.Wait()
		if t.Failed() {
			return
		}
		h.goes(m)
		h.nobodyNamed([]string{h.user(name)})
		for i := range workspaces {
			in := h.in(fmt.Sprintf("w%02d", i))
			if left := h.assignees(contact, in)[name]; left > 0 {
				t.Errorf("round %d: %d contacts of %s are still assigned to %s", round, left, in, name)
			}
		}
	}
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
