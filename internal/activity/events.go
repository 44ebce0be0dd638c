package activity

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/orgkeeper/orgkeeper/internal/rules"
)

const (
	// maxEvents bounds a batch: kube-apiserver sends 400, and log shippers hundreds or thousands. With maxUsername it bounds
	// what is kept of a batch while it is read.
	maxEvents = 20000
	// maxUsername is as long as the username of a member gets (status.username); maxNamespace is that of a label.
	maxUsername, maxNamespace = 640, 63
)

var (
	errMalformed = errors.New("not an EventList of audit.k8s.io/v1")
	errTooMany   = fmt.Errorf("more than %d events", maxEvents)
)

// use is somebody's use of a namespace.
type use struct{ namespace, username string }

// seen is what events tell of one use: how many there were, and when the latest was.
type seen struct {
	events int
	latest time.Time
}

// batch is what is kept of an EventList.
type batch struct {
	uses map[use]seen
	// ignored counts the events that are nobody's use of a namespace.
	ignored int
}

// event has those fields of audit.k8s.io/v1 Event that matter.
type event struct {
	Stage                    string    `json:"stage"`
	User                     user      `json:"user"`
	ImpersonatedUser         user      `json:"impersonatedUser"`
	RequestReceivedTimestamp time.Time `json:"requestReceivedTimestamp"`
	StageTimestamp           time.Time `json:"stageTimestamp"`
	ObjectRef                struct {
		Namespace string `json:"namespace"`
	} `json:"objectRef"`
	ResponseStatus struct {
		Code int64 `json:"code"`
	} `json:"responseStatus"`
}

type user struct {
	Username string `json:"username"`
}

// skipped takes any value and keeps nothing.
type skipped struct{}

func (*skipped) UnmarshalJSON([]byte) error { return nil }

// decode reads an EventList to its end, one event at a time. Of a list that is not whole nothing is returned.
func decode(body io.Reader, impersonators []string) (batch, error) {
	d := decoder{Decoder: json.NewDecoder(body), impersonators: impersonators, batch: batch{uses: map[use]seen{}}}
	if err := d.list(); err != nil {
		return batch{}, err
	}
	return d.batch, nil
}

type decoder struct {
	*json.Decoder
	impersonators []string
	batch         batch
	kind, version string
	items         bool
	count         int
}

func (d *decoder) list() error {
	if err := d.expect(json.Delim('{')); err != nil {
		return err
	}
	for d.More() {
		key, err := d.Token()
		if err == nil {
			err = d.field(key)
		}
		if err != nil {
			return malformed(err)
		}
	}
	if err := d.expect(json.Delim('}')); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return malformed(err)
	}
	// These may come last: a sender may sort the fields.
	if d.kind != "EventList" || d.version != "audit.k8s.io/v1" {
		return errMalformed
	}
	return nil
}

func (d *decoder) field(key json.Token) error {
	switch key {
	case "kind":
		return d.Decode(&d.kind)
	case "apiVersion":
		return d.Decode(&d.version)
	case "items":
		if d.items {
			return errMalformed // which of two lists would be meant?
		}
		d.items = true
		return d.events()
	}
	return d.Decode(&skipped{})
}

// events reads the items.
func (d *decoder) events() error {
	begin, err := d.Token()
	if err != nil || begin == nil { // null is an empty list in Go
		return err
	}
	if begin != json.Delim('[') {
		return errMalformed
	}
	for d.More() {
		if d.count++; d.count > maxEvents {
			return errTooMany
		}
		var e event
		if err := d.Decode(&e); err != nil {
			return err
		}
		d.note(&e)
	}
	return d.expect(json.Delim(']'))
}

func (d *decoder) expect(want json.Token) error {
	got, err := d.Token()
	if err != nil || got != want {
		return malformed(err)
	}
	return nil
}

// malformed says in our own words that a body is not what was expected: errors of JSON quote what they found. Reading that
// failed is passed on.
func malformed(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) || errors.Is(err, errTooMany) {
		return err
	}
	return errMalformed
}

func (d *decoder) note(e *event) {
	u, ok := d.use(e)
	if !ok {
		d.batch.ignored++
		return
	}
	s := d.batch.uses[u]
	s.events++
	at := e.StageTimestamp
	if at.IsZero() {
		at = e.RequestReceivedTimestamp
	}
	if at.After(s.latest) {
		s.latest = at
	}
	d.batch.uses[u] = s
}

// use says whose use of which namespace an event is; false for what is nobody's.
func (d *decoder) use(e *event) (use, bool) {
	u := use{e.ObjectRef.Namespace, actor(e, d.impersonators)}
	return u, answered(e) && person(u.username) && u.namespace != "" && len(u.namespace) <= maxNamespace
}

// answered says that the request was let in. ResponseStarted is that of a watch, an exec or the like, which may go on for
// hours. When a request is received nobody knows yet whether it may be made, and who is turned away has used nothing.
func answered(e *event) bool {
	if e.Stage != "ResponseComplete" && e.Stage != "ResponseStarted" {
		return false
	}
	code := e.ResponseStatus.Code
	return code != 0 && code != http.StatusUnauthorized && code != http.StatusForbidden
}

// actor is who made the request. Whoever impersonates somebody acts themselves: the other may be asleep.
func actor(e *event, impersonators []string) string {
	if e.ImpersonatedUser.Username != "" && slices.Contains(impersonators, e.User.Username) {
		return e.ImpersonatedUser.Username
	}
	return e.User.Username
}

// person says whether a user may be a member at all: all of the system's are none, but for service accounts.
func person(username string) bool {
	if username == "" || len(username) > maxUsername {
		return false
	}
	if !strings.HasPrefix(username, "system:") {
		return true
	}
	_, _, account := rules.ServiceAccount(username)
	return account
}
