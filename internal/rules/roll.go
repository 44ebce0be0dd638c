package rules

import (
	"slices"
	"time"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// Roll is what the standings of all members come to.
type Roll struct {
	// Counts are the numbers of members by state.
	Counts v1alpha1.MemberCounts
	// Admins are the usable admins by name, sorted.
	Admins []string
	// Owner is the standing of the owner, or of the owner to be; nil when there is neither.
	Owner *Standing
	// Recorded is what status.owner is to say: the owner, once it is on record that they were active; empty before. From
	// then on they are protected, so whom status.owner names does own the organization.
	Recorded string
	// Leaving are those who leave and are to be told of it by mail.
	Leaving []v1alpha1.OrgMember
	// Access is who has which role in the home.
	Access HomeAccess
	// Wake is when time alone changes the roll; zero for never.
	Wake time.Time

	// seated counts the people who have a seat; seatless are those who lack nothing but one. Settled are those of the offered
	// whose offer is no matter any more.
	seated   int32
	seatless []*v1alpha1.OrgMember
	settled  []string
}

// HomeAccess is who has which role in an organization's home, as sorted usernames.
type HomeAccess struct {
	// Owner has every right. One user, or none.
	Owner []string
	// Admins have what admins always have.
	Admins []string
	// SharedAdmins have what admins have unless the administration is OwnerOnly.
	SharedAdmins []string
	// BillingAdmins and UserAdmins have the role of that name.
	BillingAdmins, UserAdmins []string
}

// Take calls the roll: it judges every member of an organization. robotHomes says of a namespace whether its service
// accounts may be members.
func Take(h Home, members []v1alpha1.OrgMember, robotHomes func(namespace string) bool) Roll {
	claims := ClaimsOf(members, h.UsernamePrefix)
	roll := Roll{Wake: Earliest(h.subscriptionWake(), h.noticeWake())}
	for i := range members {
		f := claims.Facts(&members[i], robotHomes)
		s := Judge(h, f)
		roll.add(s)
		roll.count(h, f)
		if DueFarewell(h, &members[i], s) {
			roll.Leaving = append(roll.Leaving, members[i])
		}
		if s.Owner {
			roll.Owner = &s
			if members[i].Status.AcceptedAt != nil {
				roll.Recorded = s.Name
			}
		}
	}
	roll.Access.finish(h)
	slices.Sort(roll.Admins)
	return roll
}

func (r *Roll) add(s Standing) {
	r.Counts.Total++
	switch s.State {
	case v1alpha1.StatePending:
		r.Counts.Pending++
	case v1alpha1.StateActive:
		r.Counts.Active++
	case v1alpha1.StateSuspended:
		r.Counts.Suspended++
	case v1alpha1.StateDeclined:
		r.Counts.Declined++
	case v1alpha1.StateExpired:
		r.Counts.Expired++
	}
	r.Wake = Earliest(r.Wake, s.Wake)
	if s.Usable {
		r.Admins = append(r.Admins, s.Name)
	}
	if s.Active {
		r.Access.add(s)
	}
}

func (a *HomeAccess) add(s Standing) {
	switch {
	case s.Owner:
		a.Owner = append(a.Owner, s.Username)
	case s.Role == v1alpha1.RoleAdmin:
		a.Admins = append(a.Admins, s.Username)
	case s.Role == v1alpha1.RoleBillingAdmin:
		a.BillingAdmins = append(a.BillingAdmins, s.Username)
	case s.Role == v1alpha1.RoleUserAdmin:
		a.UserAdmins = append(a.UserAdmins, s.Username)
	}
}

func (a *HomeAccess) finish(h Home) {
	for _, users := range []*[]string{&a.Owner, &a.Admins, &a.BillingAdmins, &a.UserAdmins} {
		slices.Sort(*users)
		*users = slices.Compact(*users)
	}
	if h.Organization != nil && h.Organization.Spec.Administration != v1alpha1.AdministrationOwnerOnly {
		a.SharedAdmins = a.Admins
	}
}

// Claims knows who claims which email and username, oldest first.
type Claims struct {
	prefix              string
	byEmail, byUsername map[string]*v1alpha1.OrgMember
}

// ClaimsOf are the claims of all members of an organization, who must not change meanwhile.
func ClaimsOf(members []v1alpha1.OrgMember, usernamePrefix string) Claims {
	c := Claims{usernamePrefix, make(map[string]*v1alpha1.OrgMember, len(members)), make(map[string]*v1alpha1.OrgMember, len(members))}
	claim := func(by map[string]*v1alpha1.OrgMember, key string, m *v1alpha1.OrgMember) {
		if holder := by[key]; key != "" && (holder == nil || olderMember(m, holder)) {
			by[key] = m
		}
	}
	for i := range members {
		claim(c.byEmail, EmailKey(members[i].Spec.Email), &members[i])
		claim(c.byUsername, Username(&members[i], usernamePrefix), &members[i])
	}
	return c
}

// Facts are what must be known of the others to judge one of the members. robotHomes says of a namespace whether its service
// accounts may be members.
func (c Claims) Facts(m *v1alpha1.OrgMember, robotHomes func(namespace string) bool) MemberFacts {
	f := MemberFacts{Member: m}
	if holder := c.byEmail[EmailKey(m.Spec.Email)]; holder != nil && holder != m {
		f.SameEmail = holder.Name
	}
	if holder := c.byUsername[Username(m, c.prefix)]; holder != nil && holder != m {
		f.SameUsername = holder.Name
	}
	if namespace, robot := Robot(m); robot {
		f.RobotAllowed = robotHomes(namespace)
	}
	return f
}
