package rules

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

const (
	// maxFarewells is how many farewells status.farewells holds.
	maxFarewells = 1000
	// maxFarewellBytes is how much of an Organization they take, as farewellBytes counts. etcd takes objects of 1.5 MiB, and the
	// API server gives up the record of who wrote which field before that: an Organization that cannot be written would hold
	// all who leave it.
	maxFarewellBytes = 800 << 10
	// farewellFrame is what a farewell takes beside its texts, the record of who wrote its fields and an error included.
	farewellFrame = 650
)

// Farewells is what status.farewells of an Organization is to say: those who leave are added, and those dropped who were told
// and are gone. An OrgMember stays until its farewell is there, so that none is forgotten; and a farewell stays as long as its
// OrgMember is held by our finalizer, so that none is told twice. dropped counts those who will not be told since too many wait.
func Farewells(o *v1alpha1.Organization, leaving, members []v1alpha1.OrgMember, now time.Time) (next []v1alpha1.Farewell, dropped int) {
	if len(o.Status.Farewells)+len(leaving) == 0 {
		return nil, 0
	}
	here := make(map[string]bool, len(members))
	for i := range members {
		here[string(members[i].UID)] = held(&members[i])
	}
	gone := func(f v1alpha1.Farewell) bool { return !here[f.UID] }
	next = slices.DeleteFunc(slices.Clone(o.Status.Farewells), func(f v1alpha1.Farewell) bool { return told(f.MailDelivery) && gone(f) })
	noted, size := make(map[string]bool, len(next)), 0
	for i := range next {
		noted[next[i].UID] = true
		size += farewellBytes(&next[i])
	}
	for i := range leaving {
		if noted[string(leaving[i].UID)] {
			continue
		}
		f := farewell(&leaving[i], now)
		size += farewellBytes(&f)
		for len(next) >= maxFarewells || size > maxFarewellBytes {
			oldest := slices.IndexFunc(next, gone)
			if oldest < 0 {
				return next, dropped // until some of those who are noted are gone
			}
			size -= farewellBytes(&next[oldest])
			next = slices.Delete(next, oldest, oldest+1)
			dropped++
		}
		next = append(next, f)
	}
	return next, dropped
}

func farewellBytes(f *v1alpha1.Farewell) int {
	return farewellFrame + len(f.UID) + len(f.Member) + len(f.Email) + len(f.DisplayName) + len(f.Locale)
}

func told(d v1alpha1.MailDelivery) bool { return d.SentAt != nil || d.RejectedAt != nil }

// farewell is that of a member. The end that they were about to be told of when the OrgMember was deleted is the same mail.
func farewell(m *v1alpha1.OrgMember, now time.Time) v1alpha1.Farewell {
	f := v1alpha1.Farewell{
		UID: string(m.UID), Member: m.Name, Email: m.Spec.Email, DisplayName: m.Spec.DisplayName, Locale: m.Spec.Locale,
		Serial: 1, At: metav1.NewTime(now.Truncate(time.Second)),
	}
	if n := m.Status.MembershipNotice; n != nil {
		f.Serial = n.Serial + 1
		if n.Change == v1alpha1.MembershipEnded && m.Status.State == v1alpha1.StateExpired {
			f.Serial, f.At, f.MailDelivery = n.Serial, n.At, *n.MailDelivery.DeepCopy()
		}
	}
	return f
}

// DueFarewell says that somebody is leaving who is to be told of it by mail: a person who has joined, and was not told already
// that the membership is over. Whom our finalizer holds no longer was seen to before, whatever else may hold the object. When the
// whole organization goes, nobody is told.
func DueFarewell(h Home, m *v1alpha1.OrgMember, s Standing) bool {
	_, robot := Robot(m)
	if m.DeletionTimestamp == nil || !held(m) || s.Protected != "" || m.Status.AcceptedAt == nil || robot || m.Spec.Email == "" || !h.Live() {
		return false
	}
	n := m.Status.MembershipNotice
	return n == nil || n.Change != v1alpha1.MembershipEnded || m.Status.State != v1alpha1.StateExpired || !told(n.MailDelivery)
}

// Noted says that the farewell of a member is on record.
func Noted(o *v1alpha1.Organization, m *v1alpha1.OrgMember) bool {
	return slices.ContainsFunc(o.Status.Farewells, func(f v1alpha1.Farewell) bool { return f.UID == string(m.UID) })
}

// NextFarewells says which farewells are due, so many of them at most: the records to write before the mails go out, or, when at is
// not zero, the moment to look again. Neither: nothing is due.
func NextFarewells(h Home, most int) (records []v1alpha1.Farewell, at time.Time) {
	if !h.Live() {
		return nil, Never
	}
	for i := range h.Organization.Status.Farewells {
		f := &h.Organization.Status.Farewells[i]
		next, later := nextTry(f.MailDelivery, h.Now)
		if next == nil {
			at = Earliest(at, later)
			continue
		}
		record := f.DeepCopy()
		record.MailDelivery = *next
		if records = append(records, *record); len(records) == most {
			break
		}
	}
	if len(records) > 0 {
		return records, Never
	}
	return nil, at
}
