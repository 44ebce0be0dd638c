package rules

import "time"

// Outage is what all senders know together of the mail server. The zero value: it can be used. While it cannot, one mail
// at a time probes it, at growing intervals, and all others wait.
type Outage struct {
	// Failures is how many tries in a row found that the mail server cannot be used.
	Failures int32
	// Until is when to try again.
	Until time.Time
	// Probing: a mail is being tried.
	Probing bool
}

// Admit says whether a mail may be tried now, and if not when to ask again.
func (o Outage) Admit(now time.Time) (ok bool, at time.Time) {
	switch {
	case o.Failures == 0:
		return true, Never
	case o.Probing:
		return false, now.Add(firstOutage)
	// A moment further ahead than any wait was set by a clock that was put right since.
	case reached(o.Until, now) || o.Until.After(now.Add(maxOutage)):
		return true, Never
	}
	return false, o.Until
}

// Failed is the outage after one more try that found the mail server unusable. Of several that were on their way together
// when it began, the first alone counts.
func (o Outage) Failed(now time.Time, jitter float64) Outage {
	if o.Failures > 0 && !o.Probing {
		return o
	}
	failures := min(o.Failures, 1<<20) + 1
	return Outage{Failures: failures, Until: now.Add(Retry(failures, true, jitter))}
}
