// Package activity tells when members last used their organization, from the audit events of kube-apiserver.
//
// Handler takes batches of audit events over HTTP and believes those alone that are whole and come from whom it knows.
// Tracker keeps in memory, of those events that are a member's deed, the latest moment of each member for as long as it is
// news, and writes it to status.lastActiveTime: at most once per member and interval, whichever replica heard of it, and
// never backwards.
//
// It knows nothing of what follows from a member's activity: the condition Dormant is the rules' affair.
package activity
