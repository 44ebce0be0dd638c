package controllers_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// Removal overtakes everything else that waits: whoever is removed while hundreds are brought in does not keep the access
// until the last of them is in.
func TestRemovalOvertakesABurst(t *testing.T) {
	h := operate(t).home(t)
	_, mia, _ := h.staffed(v1alpha1.AccessEdit)
	const burst = 300
	names := make(chan string)
	var creators sync.WaitGroup
	for range 10 {
		creators.Go(func() {
			for name := range names {
				for _, err := range []error{
					admin.Create(context.Background(), h.member(name, v1alpha1.RoleMember, joined)),
					admin.Create(context.Background(), h.assignment(name, name, v1alpha1.AccessEdit, "web")),
				} {
					if err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for i := range burst {
		names <- fmt.Sprintf("m%d", i)
	}
	close(names)
	creators.Wait()
	began := time.Now()
	h.delete(mia)
	h.goes(mia)
	removal := time.Since(began)
	if in := h.named(h.user("mia")); in != nil {
		t.Errorf("mia is named by %v", in)
	}
	pending := 0
	for _, o := range h.all() {
		if reading(o, "Ready") == "" || reading(o, "Ready") == "False/Progressing" {
			pending++
		}
	}
	h.eventually("the burst is in", func() error {
		for _, o := range h.all() {
			if got := reading(o, "Ready"); got != "True/Active" && got != "True/Granted" && got != "True/Ready" && got != "False/MemberNotFound" {
				return fmt.Errorf("%T %s: %s", o, o.GetName(), got)
			}
		}
		return nil
	})
	t.Logf("removed after %s, with %d objects waiting; the burst was in after %s", removal, pending, time.Since(began))
}
