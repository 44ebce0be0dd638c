package rules

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// Allowance is how many mails an organization may cause in a day, and how many it has. The count is the organization's and
// not its members', so that deleting and adding them again gives no further mail.
type Allowance struct {
	// Limit is how many mails may go out in any 24 hours; 0 for no limit.
	Limit int32
	// Sent is status.mails of the Organization.
	Sent []v1alpha1.MailCount
	// Now is the moment the allowance is asked about.
	Now time.Time
}

// window is how long a mail counts from the beginning of its hour. It is an hour more than a day, since nobody knows when in
// the hour it went out.
const window = 25 * time.Hour

// Turn says whether a mail may go out with so many of the organization's ahead of it, and if not when its turn comes: when
// as many as are ahead could have gone out before.
func (a Allowance) Turn(ahead int) (now bool, at time.Time) {
	if a.Limit <= 0 {
		return true, Never
	}
	counted, room := a.counted(), a.room()
	if ahead < room {
		return true, Never
	}
	// Each mail that went out, or goes out now, makes room a window later, and the one that takes the room a window after that.
	// Where more was sent than the limit is by now, the first to leave make none.
	surplus := max(-room, 0)
	room = max(room, 0)
	counted = append(counted, v1alpha1.MailCount{Hour: a.hour(), Count: int32(room)})
	rounds := time.Duration((ahead - room) / int(a.Limit))
	place := surplus + (ahead-room)%int(a.Limit)
	for _, c := range counted {
		at = c.Hour.Add((rounds + 1) * window)
		if place -= int(c.Count); place < 0 {
			break
		}
	}
	return false, at
}

// Taken says that nothing more may go out now. While it is not, whoever is ahead in line is about to go, or has gone and the
// line does not show it yet.
func (a Allowance) Taken() bool { return a.Limit > 0 && a.room() <= 0 }

// room is how many may go out now; less than zero where more went out than the limit is by now.
func (a Allowance) room() int {
	room := int(a.Limit)
	for _, c := range a.counted() {
		room -= int(c.Count)
	}
	return room
}

// Spend is what status.mails is to say when one more mail goes out.
func (a Allowance) Spend() []v1alpha1.MailCount {
	counted := a.counted()
	hour := a.hour()
	if last := len(counted) - 1; last >= 0 && !counted[last].Hour.Before(&hour) {
		counted[last].Count++
		return counted
	}
	return append(counted, v1alpha1.MailCount{Hour: hour, Count: 1})
}

// counted is what counts yet. What is far ahead was counted by a clock that was put right since, and would count for ever; the
// clocks of two operators may differ a little.
func (a Allowance) counted() []v1alpha1.MailCount {
	return slices.DeleteFunc(slices.Clone(a.Sent), func(c v1alpha1.MailCount) bool {
		return reached(c.Hour.Add(window), a.Now) || c.Hour.After(a.Now.Add(time.Hour))
	})
}

func (a Allowance) hour() metav1.Time { return metav1.NewTime(a.Now.UTC().Truncate(time.Hour)) }

// InLine is the status of an invitation that waits for its turn. What was sent before stays as it is, and its link good.
func InLine(present, record *v1alpha1.InvitationStatus, turn time.Time) *v1alpha1.InvitationStatus {
	next := metav1.NewTime(turn)
	waits := present.DeepCopy()
	if waits == nil {
		waits = record.DeepCopy()
		waits.Attempts = 0
	}
	waits.NextAttemptAt = &next
	return waits
}

// AheadInLine counts those of the waiting members of an organization who are older than m, which may be among them. The
// first to be added is the first to be sent a mail. This is the order; where it is asked for again and again, a Line answers.
func AheadInLine(m *v1alpha1.OrgMember, waiting []v1alpha1.OrgMember) int {
	ahead := 0
	for i := range waiting {
		if w := &waiting[i]; w.UID != m.UID && w.DeletionTimestamp == nil && older(w, m, 0, 0) {
			ahead++
		}
	}
	return ahead
}
