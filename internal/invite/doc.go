// Package invite makes and checks the tokens in invitation links.
//
// A token says which member it invites (the object's UID), which sending of the invitation it belongs to (the
// serial) and until when it stands, and carries a proof that one of the operator's keys made it. It can be made
// again at any time from the same three facts, so nothing secret is ever stored in a resource.
//
// The package knows no Kubernetes, no clock and no store: whether a genuine token still opens anything
// (expired, superseded, member gone) is for the caller to judge.
package invite
