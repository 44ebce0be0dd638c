package controllers_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// refusing answers some requests with an error, as long as ill is true.
func refusing(ill *atomic.Bool, code int32, which func(*http.Request) bool) func(http.RoundTripper) http.RoundTripper {
	return func(rt http.RoundTripper) http.RoundTripper {
		return answering{rt, func(r *http.Request) *metav1.Status {
			if !ill.Load() || !which(r) {
				return nil
			}
			status := &metav1.Status{Code: code, Message: "not now"}
			if code == http.StatusForbidden {
				status.Reason = metav1.StatusReasonForbidden
			}
			if code == http.StatusNotFound {
				status.Reason = metav1.StatusReasonNotFound
			}
			return status
		}}
	}
}

func configMapLists(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/configmaps")
}

// Whatever is taken off elsewhere in the meantime, a kind that fails keeps nobody longer than a day.
func TestUnassignLimit(t *testing.T) {
	const day, step = 24 * time.Hour, 20 * time.Minute // of steps, three are shorter than the patience without progress
	var ill atomic.Bool
	ill.Store(true)
	h := operate(t, unassigning(t, "contacts.crm.example.com,configmaps", refusing(&ill, http.StatusServiceUnavailable, configMapLists))).home(t)
	mia := h.two("mia")["mia"]
	h.contacts()
	h.grant("", "configmaps")
	h.assigned(configMap, h.in("api"), "mia", 1)
	again := h.assigned(contact, h.in("web"), "mia", 1)[0]
	h.delete(mia)
	h.waitsFor(mia, "in api, configmaps: list: not now")
	for passed := time.Duration(0); passed < day-step; passed += step {
		patch := []byte(`{"metadata":{"labels":{"orgkeeper.dev/assignee":"mia"}}}`)
		if err := admin.Patch(t.Context(), again, client.RawPatch("application/merge-patch+json", patch)); err != nil {
			t.Fatal(err)
		}
		h.later(step)
		h.eventually("progress", func() error {
			if h.assignees(contact, h.in("web"))["mia"] != 0 {
				return errors.New("the contact is still theirs")
			}
			return nil
		})
		if !h.get(mia) {
			t.Fatalf("mia went %s after the deletion, with progress all the time", passed+step)
		}
	}
	h.later(step)
	h.goes(mia)
	const told = "some objects still name mia, who left, as their assignee: configmaps: list: not now"
	h.tells(v1alpha1.ReasonUnassignFailed, map[string][]string{"web": {told}, "api": {told}})
}

// An operator that was not there for days does not give up at once: what it needs may be starting beside it.
func TestUnassignAfterTheLimit(t *testing.T) {
	var ill atomic.Bool
	o := operate(t, unassigning(t, "configmaps", refusing(&ill, http.StatusServiceUnavailable, configMapLists)))
	h := o.home(t)
	members := h.two("mia", "bob")
	h.grant("", "configmaps")
	h.assigned(configMap, h.in("web"), "mia", 1)
	h.assigned(configMap, h.in("web"), "bob", 1)
	o.stop()
	h.delete(members["mia"])
	h.clock.Step(48 * time.Hour)
	ill.Store(true)
	o.start(t)
	h.waitsFor(members["mia"], "configmaps: list: not now")
	h.later(9 * time.Minute)
	h.waitsFor(members["mia"], "configmaps: list: not now")
	ill.Store(false)
	h.goes(members["mia"])
	h.isAssigned(configMap, h.in("web"), map[string]int{"": 1, "bob": 1})

	// Ten minutes are enough for that, though.
	ill.Store(true)
	o.stop()
	h.delete(members["bob"])
	h.clock.Step(48 * time.Hour)
	o.start(t)
	h.waitsFor(members["bob"], "configmaps: list: not now")
	h.later(11 * time.Minute)
	h.goes(members["bob"])
	h.isAssigned(configMap, h.in("web"), map[string]int{"": 1, "bob": 1})
}

// The moment of the next try that a clock named which ran ahead is not waited for once that clock is put right.
func TestUnassignAfterTheClockRanAhead(t *testing.T) {
	const ahead = 50 * time.Minute // shorter than the patience
	var ill atomic.Bool
	var tries atomic.Int32
	ill.Store(true)
	h := operate(t, unassigning(t, "configmaps", refusing(&ill, http.StatusServiceUnavailable, func(r *http.Request) bool {
		if configMapLists(r) {
			tries.Add(1)
			return true
		}
		return false
	}))).home(t)
	mia := h.two("mia")["mia"]
	h.grant("", "configmaps")
	h.assigned(configMap, h.in("web"), "mia", 1)
	h.delete(mia)
	h.waitsFor(mia, "configmaps: list: not now")
	h.clock.Step(ahead)
	before := tries.Load()
	h.eventually("it is tried by that clock", func() error {
		if got := tries.Load() - before; got < 3 { // in two workspaces: the round that may have begun before is over
			return fmt.Errorf("%d times", got)
		}
		return nil
	})
	h.clock.Step(-ahead)
	ill.Store(false)
	h.goes(mia)
	h.isAssigned(configMap, h.in("web"), map[string]int{"": 1})
}

// An API server of somebody's that gives the first page over and over keeps nobody either.
func TestUnassignEndlessPages(t *testing.T) {
	var ill atomic.Bool
	ill.Store(true)
	refuse := refusing(&ill, http.StatusForbidden, func(r *http.Request) bool { return r.Method == http.MethodPatch })
	endless := func(rt http.RoundTripper) http.RoundTripper {
		return between{refuse(rt), func(r *http.Request) error {
			query := r.URL.Query()
			query.Del("continue")
			r.URL.RawQuery = query.Encode()
			return nil
		}}
	}
	h := operate(t, unassigning(t, "contacts.crm.example.com", endless)).home(t)
	mia := h.two("mia")["mia"]
	h.contacts()
	h.assigned(contact, h.in("web"), "mia", smallPage+1)
	h.delete(mia)
	h.waitsFor(mia, "in web, contacts.crm.example.com: list: the same page comes again and again; contacts.crm.example.com: patch mia-")
	h.later(time.Hour)
	h.goes(mia)
}

// Who may not ask which kinds there are does not know that there are none.
func TestUnassignMayNotDiscover(t *testing.T) {
	const blind = "in web, all kinds: get on /api and /apis, which tell the kinds, is forbidden; bind the ClusterRole system:discovery to orgkeeper's service account"
	for name, c := range map[string]struct {
		path string
		code int32
		want string
	}{
		"core group":                   {"/api", http.StatusForbidden, blind},
		"groups":                       {"/apis", http.StatusForbidden, blind},
		"core group that is not there": {"/api", http.StatusNotFound, "in web, *: the API server tells none of them at /api"},
	} {
		t.Run(name, func(t *testing.T) {
			var ill atomic.Bool
			ill.Store(true)
			h := operate(t, unassigning(t, "configmaps", refusing(&ill, c.code, func(r *http.Request) bool { return r.URL.Path == c.path }))).home(t)
			members := h.two("mia", "bob")
			h.grant("", "configmaps")
			h.assigned(configMap, h.in("web"), "mia", 1)
			h.assigned(configMap, h.in("web"), "bob", 1)
			h.delete(members["mia"])
			h.nobodyNamedSoon(h.user("mia"))
			h.waitsFor(members["mia"], c.want)
			ill.Store(false)
			h.goes(members["mia"])
			h.isAssigned(configMap, h.in("web"), map[string]int{"": 1, "bob": 1})

			ill.Store(true)
			h.delete(members["bob"])
			h.waitsFor(members["bob"], c.want)
			h.later(time.Hour)
			h.goes(members["bob"])
			told := "some objects still name bob, who left, as their assignee: " + strings.TrimPrefix(c.want, "in web, ")
			h.tells(v1alpha1.ReasonUnassignFailed, map[string][]string{"web": {told}, "api": {told}})
		})
	}
}
