package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/controllers"
)

// unsteady is a client whose writes of status fail as the test says.
type unsteady struct {
	client.Client
	fail func() error
}

func (u unsteady) Status() client.SubResourceWriter {
	return unsteadyStatus{u.Client.Status(), u.fail}
}

type unsteadyStatus struct {
	client.SubResourceWriter
	fail func() error
}

func (u unsteadyStatus) Patch(ctx context.Context, o client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
	if err := u.fail(); err != nil {
		return err
	}
	return u.SubResourceWriter.Patch(ctx, o, patch, options...)
}

var (
	errLost = errors.New("connection refused")
	errGone = apierrors.NewNotFound(schema.GroupResource{}, "")
)

// candidate is a member who is to be invited, as a sender that is called by the test sees them: cache and all.
func candidate(t *testing.T, change func(*controllers.Deps)) (*home, *v1alpha1.OrgMember) {
	t.Helper()
	h := operate(t, idle, with(change)).home(t)
	h.found()
	mia := h.member("mia", v1alpha1.RoleMember)
	h.create(mia)
	h.eventually("the cache shows the organization", func() error {
		seen, err := h.deps.Facts.Home(t.Context(), h.name)
		if err != nil || seen.Organization == nil {
			return fmt.Errorf("no organization: %w", err)
		}
		return nil
	})
	// As her own controller leaves her.
	pending := client.RawPatch(types.MergePatchType, []byte(`{"status":{"state":"Pending","role":"Member"}}`))
	if err := admin.Status().Patch(t.Context(), mia, pending); err != nil {
		t.Fatal(err)
	}
	h.eventually("the cache shows her", func() error {
		seen := &v1alpha1.OrgMember{}
		if err := h.deps.Client.Get(t.Context(), client.ObjectKeyFromObject(mia), seen); err != nil || seen.Status.State == "" {
			return fmt.Errorf("not yet: %w", err)
		}
		return nil
	})
	return h, mia
}

// The roles and the access are worked out before the member's own controller has had its turn. They give nothing: a member
// without our finalizer could go the next moment and leave what was given behind.
func TestNoAccessBeforeTheFinalizer(t *testing.T) {
	unstamped(t)
	h, _ := candidate(t, func(*controllers.Deps) {})
	jane := h.member("jane", v1alpha1.RoleAdmin)
	acme, web := h.organization("acme", ""), h.workspace("web")
	h.create(web)
	turn := func(of reconcile.Reconciler, o client.Object) error {
		_, err := of.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(o)})
		return err
	}
	organizations := reconcile.AsReconciler(h.deps.Client, &controllers.OrganizationReconciler{Deps: h.deps})
	members := reconcile.AsReconciler(h.deps.Client, &controllers.OrgMemberReconciler{Deps: h.deps})
	workspaces := &controllers.WorkspaceReconciler{Deps: h.deps}
	// The cache may be behind what the turn before wrote; a conflict says so, and another turn mends it.
	both := func() error { return errors.Join(turn(organizations, acme), turn(workspaces, web)) }
	h.eventually("a turn", both)
	h.eventually("another turn", both)
	if in := h.named(h.user("jane")); in != nil {
		t.Errorf("jane, whom nothing holds yet, is named by %v", in)
	}
	h.eventually("the turn of her own controller", func() error { return turn(members, jane) })
	h.eventually("jane has role and access", func() error {
		if err := both(); err != nil {
			return err
		}
		if in := h.named(h.user("jane")); len(in) != 2 {
			return fmt.Errorf("she is named by %v", in)
		}
		return nil
	})
}

// Several senders act on the same state of a member, as a paused leader and its successor would: one mail goes out, since
// the record comes first and only one can write it.
func TestOnlyOneSenderSends(t *testing.T) {
	h, mia := candidate(t, func(*controllers.Deps) {})
	var senders sync.WaitGroup
	var conflicts atomic.Int32
	for range 6 {
		sender := &controllers.InvitationReconciler{Deps: h.deps}
		senders.Go(func() {
			if _, err := sender.Reconcile(context.Background(), mia.DeepCopy()); apierrors.IsConflict(err) {
				conflicts.Add(1)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	senders.Wait()
	if got := len(h.mail.to(h.user("mia"))); got != 1 || conflicts.Load() != 5 {
		t.Errorf("%d mails, %d senders met a conflict", got, conflicts.Load())
	}
	h.get(mia)
	if mia.Status.Invitation.Attempts != 1 || mia.Status.Invitation.SentAt == nil {
		t.Errorf("status.invitation: %+v", mia.Status.Invitation)
	}
}

// A sender with an old copy of a member writes nothing and sends nothing.
func TestSenderWithOldFacts(t *testing.T) {
	h, mia := candidate(t, func(*controllers.Deps) {})
	old := mia.DeepCopy()
	edit(h, mia, func(m *v1alpha1.OrgMember) { m.Spec.Suspended = true })
	sender := &controllers.InvitationReconciler{Deps: h.deps}
	if _, err := sender.Reconcile(t.Context(), old); !apierrors.IsConflict(err) {
		t.Errorf("acting on an old copy: %v, not a conflict", err)
	}
	if got := h.mail.to(h.user("mia")); got != nil {
		t.Error("a suspended member was invited")
	}
}

// The first record cannot be written: no mail.
func TestNoRecordNoMail(t *testing.T) {
	h, mia := candidate(t, func(d *controllers.Deps) { d.Client = unsteady{d.Client, func() error { return errLost }} })
	sender := &controllers.InvitationReconciler{Deps: h.deps}
	if _, err := sender.Reconcile(t.Context(), mia); !errors.Is(err, errLost) {
		t.Errorf("%v", err)
	}
	if got := h.mail.to(h.user("mia")); got != nil {
		t.Error("a mail went out that nothing tells of")
	}
}

// The mail is out and the API server is away for a while: the outcome is recorded when it is back, and nothing is
// sent twice.
func TestOutcomeIsRecordedLate(t *testing.T) {
	var writes atomic.Int32
	h, mia := candidate(t, func(d *controllers.Deps) {
		d.Client = unsteady{d.Client, func() error {
			if n := writes.Add(1); n > 1 && n < 8 {
				return errLost
			}
			return nil
		}}
	})
	sender := &controllers.InvitationReconciler{Deps: h.deps}
	if _, err := sender.Reconcile(t.Context(), mia); err != nil {
		t.Error(err)
	}
	h.becomesSent(mia)
	if _, err := sender.Reconcile(t.Context(), mia); err != nil {
		t.Error(err)
	}
	if got := len(h.mail.to(h.user("mia"))); got != 1 {
		t.Errorf("%d mails", got)
	}
}

func (h *home) becomesSent(m *v1alpha1.OrgMember) {
	h.t.Helper()
	if h.get(m); m.Status.Invitation == nil || m.Status.Invitation.SentAt == nil || reading(m, "InvitationSent") != "True/InvitationSent" {
		h.t.Errorf("status.invitation: %+v", m.Status.Invitation)
	}
}

// The operator dies between sending and recording. The next one sends again, and it is the very same mail: Message-ID,
// date and link.
func TestCrashRepeatsTheSameMail(t *testing.T) {
	var writes atomic.Int32
	h, mia := candidate(t, func(d *controllers.Deps) {
		d.Client = unsteady{d.Client, func() error {
			if writes.Add(1) == 2 {
				return errGone // which ends the tries: nothing of this sender is heard of again
			}
			return nil
		}}
	})
	sender := &controllers.InvitationReconciler{Deps: h.deps}
	if _, err := sender.Reconcile(t.Context(), mia); err != nil {
		t.Fatal(err)
	}
	h.get(mia)
	if mia.Status.Invitation == nil || mia.Status.Invitation.SentAt != nil {
		t.Fatalf("the test lost no write: %+v", mia.Status.Invitation)
	}
	h.clock.Step(3 * 60 * 60 * 1e9)
	if _, err := sender.Reconcile(t.Context(), mia); err != nil {
		t.Fatal(err)
	}
	h.becomesSent(mia)
	letters := h.mail.to(h.user("mia"))
	if len(letters) != 2 {
		t.Fatalf("%d mails", len(letters))
	}
	if diff := cmp.Diff(letters[0], letters[1], cmp.AllowUnexported(letter{})); diff != "" {
		t.Errorf("the mail repeated after a crash is another one: %s", diff)
	}
	if mia.Status.Invitation.Attempts != 2 || mia.Status.Invitation.Serial != 1 {
		t.Errorf("status.invitation: %+v", mia.Status.Invitation)
	}
}

// A member who was deleted and made anew, or asked again, while the mail was on its way: the outcome is not theirs.
func TestOutcomeOfAnotherInvitation(t *testing.T) {
	var h *home
	var mia *v1alpha1.OrgMember
	var writes atomic.Int32
	h, mia = candidate(t, func(d *controllers.Deps) {
		d.Client = unsteady{d.Client, func() error {
			if writes.Add(1) == 2 {
				h.delete(mia)
				edit(h, mia, func(m *v1alpha1.OrgMember) { m.Finalizers = nil }) // no operator does
				h.goes(mia)
				h.create(h.member("mia", v1alpha1.RoleMember))
				return errLost
			}
			return nil
		}}
	})
	sender := &controllers.InvitationReconciler{Deps: h.deps}
	if _, err := sender.Reconcile(t.Context(), mia.DeepCopy()); err != nil {
		t.Error(err)
	}
	h.get(mia)
	if mia.Status.Invitation != nil {
		t.Errorf("the new member has the outcome of the old one's invitation: %+v", mia.Status.Invitation)
	}
}

// A mail that waits is not due while the member is suspended: nothing says that it is about to be sent. It goes out after.
func TestSuspendedWhileTheMailWaits(t *testing.T) {
	h := operate(t).home(t)
	h.found()
	h.mail.say(refusedForNow)
	mia := h.member("mia", v1alpha1.RoleMember)
	h.create(mia)
	h.becomes(mia, "InvitationSent", "False/InvitationDeferred")

	suspend := func(yes bool) {
		before := mia.DeepCopy()
		mia.Spec.Suspended = yes
		if err := admin.Patch(t.Context(), mia, client.MergeFrom(before)); err != nil {
			t.Fatal(err)
		}
	}
	suspend(true)
	h.becomes(mia, "InvitationSent", "")
	h.mail.say(nil)
	suspend(false)
	h.later(time.Hour)
	h.becomes(mia, "InvitationSent", "True/InvitationSent")
	h.mailed("mia", 1)
}
