package rules

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// maxTransfers is how many moves of the ownership status.transfers remembers.
const maxTransfers = 5

// Transfers is what status.transfers of an Organization is to say when owner is recorded as its owner: one move more if
// another is recorded now. The first owner of an organization took over from nobody. It is to be written together with
// status.owner, so that no move is forgotten and none told twice.
func Transfers(o *v1alpha1.Organization, owner string, members []v1alpha1.OrgMember, now time.Time) []v1alpha1.OwnershipTransfer {
	past, before := o.Status.Transfers, o.Status.Owner
	if before == "" || owner == "" || before == owner {
		return past
	}
	t := v1alpha1.OwnershipTransfer{
		Serial: 1,
		From:   before, FromUID: uidOf(before, members),
		To: owner, ToUID: uidOf(owner, members),
		At: metav1.NewTime(now.Truncate(time.Second)),
	}
	if len(past) > 0 {
		t.Serial = past[len(past)-1].Serial + 1
	}
	all := append(slices.Clone(past), t)
	return all[max(0, len(all)-maxTransfers):]
}

// uidOf is the UID of the member of a name; empty for nobody, and for somebody who never was active: they own nothing, but
// came after an owner of the same name who was removed by force.
func uidOf(name string, members []v1alpha1.OrgMember) string {
	for i := range members {
		if m := &members[i]; m.Name == name && m.Status.AcceptedAt != nil {
			return string(m.UID)
		}
	}
	return ""
}

// Notice is a mail to a member about a move of the ownership.
type Notice struct {
	// Transfer is the move.
	Transfer v1alpha1.OwnershipTransfer
	// Gained: the member is the new owner; else the owner before.
	Gained bool
	// Record is the status to record before the mail goes out.
	Record *v1alpha1.OwnershipNotice
}

// Other is the name and UID of the other one of the two.
func (n Notice) Other() (name string, uid string) {
	if n.Gained {
		return n.Transfer.From, n.Transfer.FromUID
	}
	return n.Transfer.To, n.Transfer.ToUID
}

// NextNotice says which mail about a move of the ownership is due to a member, or, when at is not zero, the moment to look
// again. Neither: nothing is due.
//
// Each member is told of the latest move to or from them alone: nobody shall read "you own" who does not any more. As with
// invitations the record comes before the mail, so that a crash between the two repeats the same mail and never forgets one.
func NextNotice(h Home, m *v1alpha1.OrgMember) (due *Notice, at time.Time) {
	t := latestTransfer(h, m)
	if t == nil || !reachable(m) {
		return nil, Never
	}
	record := &v1alpha1.OwnershipNotice{Serial: t.Serial}
	if told := m.Status.OwnershipNotice; told != nil && told.Serial > t.Serial {
		return nil, Never // what we know of the organization is older than what the member was told
	} else if told != nil && told.Serial == t.Serial {
		record = told.DeepCopy()
	}
	next, at := nextTry(record.MailDelivery, h.Now)
	if next == nil {
		return nil, at
	}
	record.MailDelivery = *next
	return &Notice{Transfer: *t, Gained: t.ToUID == string(m.UID), Record: record}, Never
}

// reachable says whether there is somebody to write to: a person with an email who is not being deleted. Who was suspended
// or whose membership is over is to know as well.
func reachable(m *v1alpha1.OrgMember) bool {
	_, robot := Robot(m)
	return !robot && m.DeletionTimestamp == nil && m.Spec.Email != ""
}

// latestTransfer is the latest move of the ownership to or from a member; nil when there was none, or when the organization
// is going.
func latestTransfer(h Home, m *v1alpha1.OrgMember) *v1alpha1.OwnershipTransfer {
	if !h.Live() {
		return nil
	}
	for _, t := range slices.Backward(h.Organization.Status.Transfers) {
		if t.ToUID == string(m.UID) || t.FromUID == string(m.UID) {
			return &t
		}
	}
	return nil
}

// PersonName is what people call a member: the display name, or the name of the OrgMember. Not the email, which is for
// those who may see members.
func PersonName(m *v1alpha1.OrgMember) string {
	if m.Spec.DisplayName != "" {
		return string(m.Spec.DisplayName)
	}
	return m.Name
}
