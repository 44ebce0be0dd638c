package rules

import (
	"fmt"
	"strings"
	"time"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// Home is what the rules know of an organization's home namespace at one moment.
type Home struct {
	// Namespace is the home's name.
	Namespace string
	// Organization is the one in force; nil when there is none.
	Organization *v1alpha1.Organization
	// Terminating: the namespace is being deleted.
	Terminating bool
	// Owner names the OrgMember who owns the organization now; empty when nobody does. See Owner.
	Owner string
	// Guarded: the admission policies are installed as shipped. Without them nobody knows who declared what, so nobody gets
	// a role, an access or the ownership who does not have it.
	Guarded bool
	// UsernamePrefix comes before an email to make the default username.
	UsernamePrefix string
	// Now is the moment the rules are asked about.
	Now time.Time
}

// Leaving says that the organization or its whole home is being deleted: nobody has access any more and nothing of it
// is protected.
func (h Home) Leaving() bool {
	return h.Terminating || (h.Organization != nil && h.Organization.DeletionTimestamp != nil)
}

// Live says that the organization exists and stays.
func (h Home) Live() bool { return h.Organization != nil && !h.Leaving() }

// handsOver says that a member owned the organization as far as is recorded, and another does now. Were the object to go
// before that is recorded, and the other to fall out, nobody would be left to own it.
func (h Home) handsOver(member string) bool {
	return h.Live() && h.Organization.Status.Owner == member && h.Owner != "" && h.Owner != member
}

// verdict says why nothing can be granted in a home that is not live.
func (h Home) verdict() Verdict {
	if h.Leaving() {
		return reconciling(v1alpha1.ReasonOrganizationDeleting,
			fmt.Sprintf("the organization in namespace %s is being deleted; all access has ended", h.Namespace))
	}
	return waiting(v1alpha1.ReasonOrganizationNotFound,
		fmt.Sprintf("namespace %s has no Organization; create one", h.Namespace))
}

// InForce is the Organization that counts in a namespace: the oldest, the first by name among equally old ones.
// nil when there is none.
func InForce(organizations []v1alpha1.Organization) *v1alpha1.Organization {
	var oldest *v1alpha1.Organization
	for i := range organizations {
		if oldest == nil || olderOrganization(&organizations[i], oldest) {
			oldest = &organizations[i]
		}
	}
	return oldest
}

// Name is what people call the organization.
func Name(o *v1alpha1.Organization) string {
	if o.Spec.DisplayName != "" {
		return string(o.Spec.DisplayName)
	}
	return o.Name
}

// JudgeOrganization says what the Ready condition of an Organization is to say. The owner is the standing of the member
// that owns it now, nil when there is none; wanted says whether the member that spec.owner names exists.
func JudgeOrganization(h Home, o *v1alpha1.Organization, owner *Standing, wanted bool) Verdict {
	switch {
	case h.Organization != nil && h.Organization.UID != o.UID:
		return stalled(v1alpha1.ReasonDuplicateOrganization,
			fmt.Sprintf("namespace %s already has the organization %s; delete this one", h.Namespace, h.Organization.Name))
	case !h.Live():
		return reconciling(v1alpha1.ReasonDeleting, "all access ends; then the organization "+o.Name+" goes")
	case !wanted:
		return waiting(v1alpha1.ReasonOwnerNotFound,
			fmt.Sprintf("the owner %s is not an OrgMember of namespace %s%s; add it, or name another in spec.owner", o.Spec.Owner, h.Namespace, stillOwns(h)))
	case h.Owner != o.Spec.Owner && !h.Guarded:
		return reconciling(v1alpha1.ReasonPolicyNotEnforced,
			fmt.Sprintf("%s does not become the owner of %s%s %s", o.Spec.Owner, o.Name, stillOwns(h), untilGuarded))
	case h.Owner != o.Spec.Owner:
		return waiting(v1alpha1.ReasonOwnerNotUsable,
			fmt.Sprintf("%s cannot own %s%s; make them an active admin (a person who is not leaving: neither being deleted nor with spec.expiresAt), or name another in spec.owner",
				o.Spec.Owner, o.Name, stillOwns(h)))
	case owner == nil || !owner.Active:
		message := fmt.Sprintf("the owner %s has not joined yet", o.Spec.Owner)
		if owner != nil && owner.State != v1alpha1.StatePending {
			message += " and is " + strings.ToLower(string(owner.State))
		}
		return ready(v1alpha1.ReasonOwnerNotActive, message)
	}
	return ready(v1alpha1.ReasonReady, "roles are in force")
}

func stillOwns(h Home) string {
	if h.Owner == "" {
		return ""
	}
	return " (" + h.Owner + " remains the owner)"
}
