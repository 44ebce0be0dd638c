package rules

// Owner names the OrgMember who owns the organization now; empty when nobody does. want is the one that spec.owner
// names, have the one that status.owner names; nil when they do not exist.
//
// Ownership moves only to a usable admin. As long as want is not one, have keeps it, whatever happens to their object,
// if they ever were active. Where nobody was yet, want begins as the owner, or is the owner to be until they join. Only
// who was active is recorded in status.owner: see Roll.Recorded. In a home that is not guarded, ownership neither moves nor
// begins.
func Owner(h Home, want, have *MemberFacts) string {
	h.Owner = "" // nobody is protected while the question is who is
	want, have = person(want), person(have)
	if have != nil && wasActive(h, *have) {
		// Recorded as active, so that from the first moment they are protected as the one before was.
		if h.Guarded && want != nil && want.Member.Status.AcceptedAt != nil && Judge(h, *want).Usable {
			return want.Member.Name
		}
		return have.Member.Name
	}
	if !h.Guarded {
		want = have
	}
	if want != nil && mayBegin(h, *want) {
		return want.Member.Name
	}
	return ""
}

// person is f unless it is nobody or a robot.
func person(f *MemberFacts) *MemberFacts {
	if f == nil {
		return nil
	}
	if _, robot := Robot(f.Member); robot {
		return nil
	}
	return f
}

// wasActive says that the member is or once was active. The record of it is a moment younger than the fact.
func wasActive(h Home, f MemberFacts) bool {
	return f.Member.Status.AcceptedAt != nil || Judge(h, f).Active
}

// mayBegin says that a person may be the first owner: one who is active, or who can still join, and whose membership has
// no end. Their role is no matter, since the owner is an admin.
func mayBegin(h Home, f MemberFacts) bool {
	canJoin := !Joined(f.Member) && !f.keptOut(h) && f.Member.DeletionTimestamp == nil
	return f.Member.Spec.ExpiresAt == nil && (canJoin || Judge(h, f).Active)
}
