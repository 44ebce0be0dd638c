// Package mail composes the mails that orgkeeper sends and hands them to an SMTP server.
//
// A mail is a Content in an Envelope, and its words are Templates: orgkeeper's own, in each of Languages, or those of a
// folder over them. Templates see views, one type for each sort of mails, never what the caller passed.
//
// Composing is pure: equal input gives equal bytes, so that a mail which has to be sent again after a crash or a
// lost acknowledgement is the same mail, link and Message-ID included. Sending tells apart what the caller must
// do next (see Kind).
//
// The package knows no Kubernetes, no members and no tokens: it is given addresses, words and a link. What a
// tenant wrote is shown as tenanttext makes it: one line or a few, capped, with nothing hidden in it and nothing to
// click. Neither its errors nor the printed form of its types show an address, a password or a link.
package mail
