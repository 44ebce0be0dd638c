package rules

import (
	"time"
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
