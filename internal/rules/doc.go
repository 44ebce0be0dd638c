// Package rules is the law of orgkeeper as pure functions: from an organization, its members, workspaces and
// assignments, and a moment in time, to roles in force, states, next steps and what the conditions say.
//
// It knows no client, no clock and no log. Controllers read, ask here, and write down the answer; the invitation page
// asks the same questions. Whatever two controllers must agree on is decided here once:
//
//   - InForce: which Organization of a namespace counts.
//   - Owner: who owns it now, also while spec.owner is changed and members come and go.
//   - Judge: where one membership stands: state, role, access, protection of the owner.
//   - Take: the roll of all members, from which the home's access and the counts follow.
//   - AccessTo: who may do what in a workspace.
//   - Transfers, NextNotice: who is to be told that the ownership moved.
//   - JudgeAssignment, JudgeNamespace, NextInvitation, Answer: what comes of the rest.
//
// The one invariant behind it all: an organization that ever had an active owner has exactly one owner in force, and
// nobody who is not Active has access.
package rules
