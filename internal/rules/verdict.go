package rules

import (
	"time"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// Verdict is what the conditions Ready, Reconciling and Stalled are to say of an object.
type Verdict struct {
	// Ready: the operator did all it can.
	Ready bool
	// Stalled: only an edit of the declared objects helps.
	Stalled bool
	// Reconciling: work is under way and goes on by itself.
	Reconciling bool
	// Reason is one of the reasons of the API package.
	Reason string
	// Message names the object, what is wrong and what to do.
	Message string
}

// Withheld is the verdict when some access is withheld, because the home is not guarded. What stands against the object
// anyway comes first.
func (v Verdict) Withheld(some bool) Verdict {
	if !some || !v.Ready {
		return v
	}
	return reconciling(v1alpha1.ReasonPolicyNotEnforced, "somebody's new access is withheld "+untilGuarded)
}

const untilGuarded = "until the admission policies are as shipped; see the condition PolicyEnforced of the Organization"

func ready(reason, message string) Verdict {
	return Verdict{Ready: true, Reason: reason, Message: message}
}

func waiting(reason, message string) Verdict { return Verdict{Reason: reason, Message: message} }

func stalled(reason, message string) Verdict {
	return Verdict{Stalled: true, Reason: reason, Message: message}
}

func reconciling(reason, message string) Verdict {
	return Verdict{Reconciling: true, Reason: reason, Message: message}
}

// Earliest is the earlier of two moments, where the zero time means never.
func Earliest(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// reached says whether a moment has come.
func reached(at, now time.Time) bool { return !now.Before(at) }

// Never is the moment that does not come.
var Never = time.Time{}
