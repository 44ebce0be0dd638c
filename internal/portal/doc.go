// Package portal serves the web page behind an invitation's link: it shows the invitation and takes the answer.
//
// Opening a link changes nothing, since mail scanners open links too; only the buttons do. The pages need no
// JavaScript and load nothing. A link that is forged, cut or of another cluster gets one and the same page, and
// nothing is looked up for it.
//
// The handler knows HTTP and words. What a link stands for now, and what an answer to it does, is the Store's
// affair, which knows Kubernetes.
package portal
