package controllers_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/controllers"
)

// answering answers requests itself, in place of the API server, for which answer gives a status.
type answering struct {
	http.RoundTripper
	answer func(*http.Request) *metav1.Status
}

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	status := a.answer(r)
	if status == nil {
		return a.RoundTripper.RoundTrip(r)
	}
	status.Kind, status.APIVersion, status.Status = "Status", "v1", metav1.StatusFailure
	body, err := json.Marshal(status)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: int(status.Code), Request: r, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(string(body))),
	}, nil
}

// Where the operator may not even ask what it may do, as in a cluster that takes system:basic-user from everybody, all access ends
// at once all the same, and who leaves is kept for an hour, not for ever.
func TestUnassignMayNotAsk(t *testing.T) {
	refuse := func(r *http.Request) *metav1.Status {
		if !strings.HasSuffix(r.URL.Path, "/selfsubjectrulesreviews") {
			return nil
		}
		return &metav1.Status{Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Message: "nobody may ask"}
	}
	h := operate(t, unassigning(t, "configmaps", func(rt http.RoundTripper) http.RoundTripper { return answering{rt, refuse} })).home(t)
	mia := h.two("mia")["mia"]
	h.delete(mia)
	h.nobodyNamedSoon(h.user("mia"))
	h.waitsFor(mia, "in web, all kinds: ask what may be done: nobody may ask; bind the ClusterRole system:basic-user to orgkeeper's service account")
	h.later(time.Hour)
	h.goes(mia)
	const told = "some objects still name mia, who left, as their assignee: all kinds: ask what may be done: nobody may ask; bind the ClusterRole system:basic-user to orgkeeper's service account"
	h.tells(v1alpha1.ReasonUnassignFailed, map[string][]string{"web": {told}, "api": {told}})
}

// What an object says is not for all who may read the OrgMember.
func TestUnassignQuotesNoValues(t *testing.T) {
	var heals atomic.Bool
	refuse := func(r *http.Request) *metav1.Status {
		if r.Method != http.MethodPatch || !strings.Contains(r.URL.Path, "/contacts/") || heals.Load() {
			return nil
		}
		const phone = `Invalid value: "+39 02 5550100": should be a number`
		return &metav1.Status{
			Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid, Message: "spec.phone: " + phone,
			Details: &metav1.StatusDetails{Name: "mia-0", Causes: []metav1.StatusCause{
				{Type: metav1.CauseTypeFieldValueInvalid, Field: "spec.phone", Message: phone},
				{Type: metav1.CauseTypeFieldValueInvalid, Field: "spec.phone", Message: phone},
			}},
		}
	}
	h := operate(t, unassigning(t, "contacts.crm.example.com", func(rt http.RoundTripper) http.RoundTripper { return answering{rt, refuse} })).home(t)
	mia := h.two("mia")["mia"]
	h.contacts()
	h.assigned(contact, h.in("web"), "mia", 1)
	h.delete(mia)
	h.waitsFor(mia, "in web, contacts.crm.example.com: patch mia-0: the object is invalid in spec.phone")
	if said := message(mia); strings.Contains(said, "5550100") {
		t.Errorf("the member says: %s", said)
	}
	heals.Store(true)
	h.goes(mia)
	h.isAssigned(contact, h.in("web"), map[string]int{"": 1})
}

// reticent is a client that somebody is always quicker than with the status of the workspace young.
type reticent struct{ client.Client }

func (c reticent) Status() client.SubResourceWriter { return reticentStatus{c.Client.Status()} }

type reticentStatus struct{ client.SubResourceWriter }

func (s reticentStatus) Patch(ctx context.Context, o client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
	if _, workspace := o.(*v1alpha1.Workspace); workspace && o.GetName() == "young" {
		return apierrors.NewConflict(schema.GroupResource{Resource: "workspaces"}, o.GetName(), errors.New("somebody was quicker"))
	}
	return s.SubResourceWriter.Patch(ctx, o, patch, options...)
}

// A workspace has its namespace, and work in it may be somebody's, a moment before its status says so.
func TestUnassignInYoungWorkspace(t *testing.T) {
	h := operate(t, unassigning(t, "configmaps", nil), func(o *operator) {
		unassign := o.change
		o.change = func(d *controllers.Deps) {
			unassign(d)
			d.Client = reticent{d.Client}
		}
	}).home(t)
	mia, young := h.two("mia")["mia"], h.workspace("young")
	h.grant("", "configmaps")
	h.create(young)
	h.eventually("the namespace", func() error {
		if !h.get(namespace(h.in("young"))) {
			return errors.New("there is none")
		}
		return nil
	})
	h.assigned(configMap, h.in("young"), "mia", 1)
	if h.get(young); young.Status.Namespace != "" {
		t.Fatal("its status says so")
	}
	h.delete(mia)
	h.goes(mia)
	h.isAssigned(configMap, h.in("young"), map[string]int{"": 1})
}
