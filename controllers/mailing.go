package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/invite/tenanttext"
	"github.com/orgkeeper/orgkeeper/internal/mail"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// What all controllers that send mails have in common. Each records a try, hands the mail over, and records the outcome.
// The first record needs the newest version of the object that keeps it, so a second or a paused sender that acts on old facts meets a
// conflict and sends nothing. A crash between handing over and the second record repeats the same mail, with the same
// Message-ID and date.

// mailing is a sort of mails, as the log, Events and metrics call it.
type mailing struct {
	sort                     string // in Message-IDs and metrics
	name, action, taken      string
	sent, deferred, rejected string // reasons
	dropped                  string // the reason of what is given up, where that has one of its own
}

// try is one try to hand a mail over. attempts counts the tries, this one included.
type try struct {
	mailing
	serial, attempts int32
	// about is the OrgMember where another object keeps the record.
	about *v1alpha1.OrgMember
	// giveUp is until when a mail that is refused for now is tried again; zero for ever.
	giveUp time.Time
}

// outcome is how a try ended, as the status of the member tells it.
type outcome struct {
	try
	kind                              mail.Kind // empty: sent
	reason, words                     string
	sentAt, rejectedAt, nextAttemptAt *metav1.Time
}

const sent mail.Kind = ""

// noMore tells of a mail that is given up.
const noMore = "; it is tried no more"

// maxLastError is the limit of lastError in the status.
const maxLastError = 256

// lastError is what the try met; empty when the mail is out.
func (o outcome) lastError() string {
	if o.kind == sent {
		return ""
	}
	return cut(o.words, maxLastError)
}

// counts says whether the outcome is still of the mail that the status tells of: another may be due since, or a successor
// sent this one while we were paused, and our failure takes nothing of that back.
func (o outcome) counts(serial int32, sentAt *metav1.Time) bool {
	return serial == o.serial && (sentAt == nil || o.kind == sent)
}

// record writes the outcome down.
func (o outcome) record(d *v1alpha1.MailDelivery) {
	d.SentAt, d.RejectedAt, d.NextAttemptAt, d.LastError = o.sentAt, o.rejectedAt, o.nextAttemptAt, o.lastError()
}

// grace is how long a mail that is being handed over may go on after the operator was told to stop. Cut off, it might
// have been taken, and would have to be sent again.
const grace = 10 * time.Second

// handOver sends a mail, unless it could not be composed, and says how that ended.
func (d Deps) handOver(ctx context.Context, p *pass, t try, message mail.Message, composed error) outcome {
	err := composed
	if err == nil {
		err = d.send(ctx, p, t, message)
	}
	now := metav1.NewTime(d.Clock.Now())
	o := outcome{try: t}
	switch o.kind, o.reason, o.words = t.classify(err); o.kind {
	case sent:
		o.sentAt = &now
	case mail.Permanent:
		o.rejectedAt = &now
	case mail.Unavailable:
		// When to try again is the matter of all mails together: see Post.
	case mail.Temporary, mail.Ambiguous:
		if !t.giveUp.IsZero() && !now.Time.Before(t.giveUp) {
			o.rejectedAt, o.reason, o.words = &now, cmp.Or(t.dropped, t.rejected), cut(o.words, maxLastError-len(noMore))+noMore
			break
		}
		next := metav1.NewTime(now.Add(rules.Retry(t.attempts, false, rand.Float64()))) //nolint:gosec // jitter needs no secret
		o.nextAttemptAt = &next
	}
	return o
}

// send sends a mail, and tells the others what is learned of the mail server by that.
func (d Deps) send(ctx context.Context, p *pass, t try, message mail.Message) error {
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })()
	begin := d.Clock.Now()
	err := d.Invitations.SMTP.Send(sending, message)
	d.Metrics.took(t.sort, d.Clock.Since(begin))
	if ctx.Err() == nil {
		var failure *mail.Error
		_ = errors.As(err, &failure)
		p.tell(failure)
	}
	return err
}

func (s mailing) classify(err error) (kind mail.Kind, reason, words string) {
	if err == nil {
		return sent, s.sent, s.taken
	}
	var failure *mail.Error
	if !errors.As(err, &failure) {
		// It could not be composed: no server ever will take it.
		return mail.Permanent, s.rejected, err.Error()
	}
	reason = map[mail.Kind]string{
		mail.Permanent:   s.rejected,
		mail.Temporary:   s.deferred,
		mail.Ambiguous:   s.deferred,
		mail.Unavailable: v1alpha1.ReasonMailerUnavailable,
	}[failure.Kind]
	return failure.Kind, reason, failure.Error()
}

// persistence is how long a worker tries to record an outcome before it leaves the rest to a later reconcile, which
// would send the same mail again. It outlasts a restart of the API server.
const persistence = 40 * time.Second

// between are the waits between those tries. They grow to the cap and stay there.
var between = wait.Backoff{Duration: 20 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 12, Cap: 2 * time.Second}

// persist records an outcome in the newest version of the object that keeps the record, tells it, and comes back when the next
// try is due. note writes it down; it says no when the record is of something else since, and the outcome is nobody's any more.
func persist[S any, T interface {
	*S
	client.Object
}](ctx context.Context, d Deps, keeper T, o outcome, note func(fresh T) bool) (ctrl.Result, error) {
	err := persistAll(ctx, d, keeper, func(fresh T) []outcome {
		if !note(fresh) {
			return nil
		}
		return []outcome{o}
	})
	if err != nil {
		return ctrl.Result{}, err
	}
	return d.afterOutcome(o), nil
}

// persistAll records the outcomes of mails that one object keeps the record of, by one write. note writes them down, and says which.
func persistAll[S any, T interface {
	*S
	client.Object
}](ctx context.Context, d Deps, keeper T, note func(fresh T) []outcome) error {
	// The mails are out: record it even when the operator is being stopped.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), persistence)
	defer cancel()

	write := func(fresh T) (done bool, err error) {
		before := fresh.DeepCopyObject().(T)
		if fresh.GetUID() != keeper.GetUID() {
			return false, nil
		}
		noted := note(fresh)
		if len(noted) == 0 && equality.Semantic.DeepEqual(before, fresh) {
			return false, nil
		}
		if err := d.patchStatus(ctx, before, fresh); err != nil {
			return false, err
		}
		for _, o := range noted {
			d.Metrics.count(o.sort, o.kind)
			d.tellOutcome(ctx, fresh, o)
		}
		return true, nil
	}
	// Mostly nobody wrote since the try was recorded, and the version in hand is the newest.
	done, err := write(keeper.DeepCopyObject().(T))
	if done || apierrors.IsNotFound(err) {
		return nil
	}
	err = between.DelayFunc().Until(ctx, true, true, func(ctx context.Context) (bool, error) {
		fresh := T(new(S))
		if err := d.Live.Get(ctx, client.ObjectKeyFromObject(keeper), fresh); err != nil {
			return apierrors.IsNotFound(err), nil
		}
		_, err := write(fresh)
		return err == nil || apierrors.IsNotFound(err), nil
	})
	if err != nil {
		return fmt.Errorf("record the outcome of a mail: %w", err)
	}
	return nil
}

// afterOutcome comes back when the next try is due.
func (d Deps) afterOutcome(o outcome) ctrl.Result {
	if o.kind == mail.Unavailable {
		return ctrl.Result{RequeueAfter: afterConflict, Priority: new(0)} // to wait with the others
	}
	if o.nextAttemptAt == nil {
		return ctrl.Result{}
	}
	return d.wakeAt(o.nextAttemptAt.Time)
}

// tellOutcome logs an outcome and emits an Event. Neither says who the mail is for but by the name of the object.
func (d Deps) tellOutcome(ctx context.Context, keeper client.Object, o outcome) {
	log, words := ctrl.LoggerFrom(ctx), o.words
	var about runtime.Object // which also tells Events apart that are about the same version of the keeper
	if o.about != nil {
		log, words, about = log.WithValues("member", o.about.Name), o.about.Name+": "+words, o.about
	}
	if o.kind == sent {
		d.Recorder.Eventf(keeper, about, corev1.EventTypeNormal, o.reason, o.action, "%s", words)
		log.Info(o.name+" sent", "serial", o.serial)
		return
	}
	d.Recorder.Eventf(keeper, about, corev1.EventTypeWarning, o.reason, o.action, "%s", words)
	log.Info(o.name+" not sent", "serial", o.serial, "reason", o.reason, "answer", o.words)
}

// maxName is how much of a name mails show, in characters.
const maxName = 100

// organizationName is what mails call an organization.
func organizationName(o *v1alpha1.Organization) string {
	return cmp.Or(tenanttext.Line(rules.Name(o), maxName), o.Name)
}

// envelope addresses a mail to a member of an organization. sort and serial tell the member's mails apart for good.
func (i Invitations) envelope(o *v1alpha1.Organization, m *v1alpha1.OrgMember, serial int32, sort string, date time.Time) mail.Envelope {
	var locale v1alpha1.Locale
	if o.Spec.Invitations != nil {
		locale = o.Spec.Invitations.Locale
	}
	return mail.Envelope{
		MessageID: fmt.Sprintf("%s.%d.%s@%s", m.UID, serial, sort, i.From.Domain()),
		From:      i.From,
		To:        mail.Address{Name: string(m.Spec.DisplayName), Address: string(m.Spec.Email)},
		Date:      date,
		Language:  mail.Language(string(m.Spec.Locale), string(locale)),
	}
}
