package activity

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// received and done are the moments of the events below.
const (
	received = "2027-03-01T12:00:00.100000Z"
	done     = "2027-03-01T12:00:02.250000Z"
)

// auditEvent is an event as kube-apiserver sends it at level Metadata; pairs of a path and a JSON value alter it, and the
// value "-" leaves a field out.
func auditEvent(pairs ...string) string {
	e := map[string]any{}
	if err := json.Unmarshal([]byte(`{
		"level": "Metadata", "auditID": "5f0c1e9a-6d5e-4b44-8a3c-3a2f0c1f6c55", "stage": "ResponseComplete",
		"requestURI": "/api/v1/namespaces/acme--web/pods?limit=500", "verb": "list",
		"user": {"username": "jane@acme.example", "groups": ["system:authenticated"], "extra": {"authentication.kubernetes.io/credential-id": ["X509SHA256=0"]}},
		"sourceIPs": ["192.0.2.7"], "userAgent": "kubectl/v1.37.2 (linux/amd64) kubernetes/0123456",
		"objectRef": {"resource": "pods", "namespace": "acme--web", "apiVersion": "v1"},
		"responseStatus": {"metadata": {}, "code": 200},
		"requestReceivedTimestamp": "`+received+`", "stageTimestamp": "`+done+`",
		"annotations": {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": "RBAC: allowed by RoleBinding"}}`), &e); err != nil {
		panic(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		path := strings.Split(pairs[i], ".")
		at := e
		for _, name := range path[:len(path)-1] {
			if at[name] == nil {
				at[name] = map[string]any{}
			}
			at = at[name].(map[string]any)
		}
		last := path[len(path)-1]
		if pairs[i+1] == "-" {
			delete(at, last)
			continue
		}
		at[last] = json.RawMessage(pairs[i+1])
	}
	out, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	return string(out)
}

func eventList(events ...string) string {
	return `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + strings.Join(events, ",") + "]}\n"
}

func at(t testing.TB, moment string) time.Time {
	t.Helper()
	parsed, err := time.Parse(time.RFC3339Nano, moment)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestWhoseUse(t *testing.T) {
	jane := &use{"acme--web", "jane@acme.example"}
	as := func(name string) *use { return &use{"acme--web", name} }
	cases := map[string]struct {
		reason string
		event  string
		want   *use
	}{
		"a person reads":        {"reading is using", auditEvent(), jane},
		"a person writes":       {"writing too", auditEvent("verb", `"create"`, "responseStatus.code", "201"), jane},
		"a watch begins":        {"it may go on for hours", auditEvent("stage", `"ResponseStarted"`, "verb", `"watch"`), jane},
		"a shell begins":        {"101 is how it is let in", auditEvent("stage", `"ResponseStarted"`, "responseStatus.code", "101"), jane},
		"not found":             {"it was let in, and looked", auditEvent("responseStatus.code", "404"), jane},
		"conflict":              {"it was let in", auditEvent("responseStatus.code", "409"), jane},
		"server fault":          {"not the person's", auditEvent("responseStatus.code", "500"), jane},
		"forbidden":             {"who is turned away used nothing", auditEvent("responseStatus.code", "403"), nil},
		"unauthorized":          {"nobody knows who it was", auditEvent("responseStatus.code", "401"), nil},
		"no status":             {"it may have been refused", auditEvent("responseStatus", "-"), nil},
		"received":              {"it may still be refused", auditEvent("stage", `"RequestReceived"`), nil},
		"panic":                 {"nothing came of it", auditEvent("stage", `"Panic"`), nil},
		"unknown stage":         {"nobody knows what it means", auditEvent("stage", `"Dreaming"`), nil},
		"no stage":              {"it is no event", auditEvent("stage", "-"), nil},
		"no object":             {"/version is of no organization", auditEvent("objectRef", "-"), nil},
		"no namespace":          {"nodes are of no organization", auditEvent("objectRef.namespace", "-"), nil},
		"namespace too long":    {"there is none like it", auditEvent("objectRef.namespace", `"`+strings.Repeat("n", 64)+`"`), nil},
		"no user":               {"nobody's", auditEvent("user", "-"), nil},
		"anonymous":             {"system users never", auditEvent("user.username", `"system:anonymous"`), nil},
		"node":                  {"system users never", auditEvent("user.username", `"system:node:n1"`), nil},
		"API server":            {"system users never", auditEvent("user.username", `"system:apiserver"`), nil},
		"controller manager":    {"system users never", auditEvent("user.username", `"system:kube-controller-manager"`), nil},
		"robot":                 {"a service account may be a member", auditEvent("user.username", `"system:serviceaccount:acme:ci"`), as("system:serviceaccount:acme:ci")},
		"half a robot":          {"no service account is called so", auditEvent("user.username", `"system:serviceaccount:acme"`), nil},
		"user name of 1 MB":     {"no member is called so", auditEvent("user.username", `"`+strings.Repeat("j", 1<<20)+`"`), nil},
		"longest user name":     {"a prefix and the longest email", auditEvent("user.username", `"`+strings.Repeat("j", 640)+`"`), as(strings.Repeat("j", 640))},
		"impersonation":         {"who acts as jane is not jane", auditEvent("user.username", `"root@acme.example"`, "impersonatedUser.username", `"jane@acme.example"`), as("root@acme.example")},
		"robot impersonates":    {"who acts as jane is not jane", auditEvent("user.username", `"system:serviceaccount:acme:ci"`, "impersonatedUser.username", `"jane@acme.example"`), as("system:serviceaccount:acme:ci")},
		"system impersonates":   {"neither of the two acted as a member", auditEvent("user.username", `"system:admin"`, "impersonatedUser.username", `"jane@acme.example"`), nil},
		"gateway":               {"it signed jane in", auditEvent("user.username", `"system:serviceaccount:gate:way"`, "impersonatedUser.username", `"jane@acme.example"`), jane},
		"gateway by itself":     {"it may be a member, too", auditEvent("user.username", `"system:serviceaccount:gate:way"`), as("system:serviceaccount:gate:way")},
		"gateway for a system":  {"system users never", auditEvent("user.username", `"system:serviceaccount:gate:way"`, "impersonatedUser.username", `"system:admin"`), nil},
		"gateway's namesake":    {"another namespace", auditEvent("user.username", `"system:serviceaccount:evil:way"`, "impersonatedUser.username", `"jane@acme.example"`), as("system:serviceaccount:evil:way")},
		"impersonation of none": {"only groups were impersonated", auditEvent("impersonatedUser.groups", `["system:masters"]`), jane},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b, err := decode(strings.NewReader(eventList(c.event)), []string{"other", "system:serviceaccount:gate:way"})
			if err != nil {
				t.Fatal(err)
			}
			want := batch{uses: map[use]seen{}, ignored: 1}
			if c.want != nil {
				want = batch{uses: map[use]seen{*c.want: {1, at(t, done)}}}
			}
			if diff := cmp.Diff(want, b, cmp.AllowUnexported(batch{}, use{}, seen{})); diff != "" {
				t.Errorf("%s:\n%s", c.reason, diff)
			}
		})
	}
}

// Of many events in one batch the latest counts, in whichever order they come.
func TestLatestOfBatch(t *testing.T) {
	late, early := "2027-03-01T14:00:00.5+01:00", "2027-03-01T11:00:00Z"
	b, err := decode(strings.NewReader(eventList(
		auditEvent("stageTimestamp", `"`+early+`"`),
		auditEvent("stageTimestamp", `"`+late+`"`),
		auditEvent(),
		auditEvent("user.username", `"joe@acme.example"`, "stageTimestamp", "-"),
		auditEvent("user.username", `"kim@acme.example"`, "stageTimestamp", "null", "requestReceivedTimestamp", "-"),
		auditEvent("stage", `"Panic"`),
	)), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[use]seen{
		{"acme--web", "jane@acme.example"}: {3, at(t, late)},
		{"acme--web", "joe@acme.example"}:  {1, at(t, received)},
		{"acme--web", "kim@acme.example"}:  {1, time.Time{}}, // long ago, as far as it says
	}
	if diff := cmp.Diff(want, b.uses, cmp.AllowUnexported(use{}, seen{})); diff != "" || b.ignored != 1 {
		t.Errorf("ignored %d, uses:\n%s", b.ignored, diff)
	}
}

func TestLists(t *testing.T) {
	one := auditEvent()
	const kind, version = `"kind":"EventList"`, `"apiVersion":"audit.k8s.io/v1"`
	taken := map[string]string{
		"as kube-apiserver sends it": eventList(one),
		"empty":                      eventList(),
		"null":                       "{" + kind + "," + version + `,"items":null}`,
		"no items":                   "{" + kind + "," + version + "}",
		"sorted":                     "{" + version + `,"items":[` + one + "]," + kind + "}",
		"fields of later versions":   "{" + kind + "," + version + `,"later":{"items":[1,[2]]},"items":[` + one + "]}",
	}
	for name, body := range taken {
		if _, err := decode(strings.NewReader(body), nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	refused := map[string]string{
		"nothing":             "",
		"no JSON":             "jane was here",
		"an array":            "[" + one + "]",
		"a number":            "7",
		"an event":            one,
		"cut":                 eventList(one)[:200],
		"cut before the end":  strings.TrimSuffix(strings.TrimSpace(eventList(one)), "}"),
		"something after it":  eventList(one) + eventList(one),
		"rubbish after it":    eventList(one) + "x",
		"another kind":        strings.Replace(eventList(one), "EventList", "PodList", 1),
		"another version":     strings.Replace(eventList(one), "audit.k8s.io/v1", "audit.k8s.io/v1beta1", 1),
		"another group":       strings.Replace(eventList(one), "audit.k8s.io/v1", "v1", 1),
		"no kind":             "{" + version + `,"items":[` + one + "]}",
		"no version":          "{" + kind + `,"items":[` + one + "]}",
		"kind of another":     `{"kind":7,` + version + "}",
		"items twice":         "{" + kind + "," + version + `,"items":[` + one + `],"items":[]}`,
		"items no list":       "{" + kind + "," + version + `,"items":{}}`,
		"items a number":      "{" + kind + "," + version + `,"items":7}`,
		"an event no object":  eventList(one, `"x"`),
		"a user no object":    eventList(one, auditEvent("user", `"jane"`)),
		"a time that is none": eventList(one, auditEvent("stageTimestamp", `"yesterday"`)),
		"a code that is none": eventList(one, auditEvent("responseStatus.code", `"200"`)),
		"too deep":            eventList(one, strings.Repeat("[", 100000)),
	}
	for name, body := range refused {
		b, err := decode(strings.NewReader(body), nil)
		if !errors.Is(err, errMalformed) || b.uses != nil {
			t.Errorf("%s: got %v and %d uses, want %v and nothing", name, err, len(b.uses), errMalformed)
		}
	}
}

func TestTooManyEvents(t *testing.T) {
	many := func(n int) string { return eventList(strings.TrimSuffix(strings.Repeat("{},", n), ",")) }
	if b, err := decode(strings.NewReader(many(maxEvents)), nil); err != nil || b.ignored != maxEvents {
		t.Errorf("%d events: %v, %d ignored", maxEvents, err, b.ignored)
	}
	if _, err := decode(strings.NewReader(many(maxEvents+1)), nil); !errors.Is(err, errTooMany) {
		t.Errorf("%d events: got %v, want %v", maxEvents+1, err, errTooMany)
	}
}

// What a body holds is not kept while it is read: the worst list that is let in takes little more than its own size.
func TestMemoryOfBatch(t *testing.T) {
	var body strings.Builder
	body.WriteString(`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[`)
	for i := 0; body.Len() < 8<<20; i++ {
		if i > 0 {
			body.WriteString(",")
		}
		body.WriteString(auditEvent("user.username", fmt.Sprintf(`"%d"`, i), "userAgent", `"`+strings.Repeat("u", 1000)+`"`))
	}
	body.WriteString("]}")
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	b, err := decode(http.MaxBytesReader(httptest.NewRecorder(), nopCloser{strings.NewReader(body.String())}, 10<<20), nil)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if err != nil || len(b.uses) < 1000 {
		t.Fatalf("%d uses, %v", len(b.uses), err)
	}
	if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); kept > 2<<20 {
		t.Errorf("%d bytes are kept of %d uses in a body of %d", kept, len(b.uses), body.Len())
	}
	runtime.KeepAlive(b)
}

type nopCloser struct{ *strings.Reader }

func (nopCloser) Close() error { return nil }

// FuzzDecode: whatever comes is a list, whole, or leaves nothing behind; and what is kept is bounded.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(eventList(auditEvent())))
	f.Add([]byte(eventList()))
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := decode(strings.NewReader(string(body)), []string{"root"})
		if err != nil {
			if b.uses != nil || b.ignored != 0 {
				t.Fatalf("refused (%v), and kept %+v", err, b)
			}
			if !errors.Is(err, errMalformed) && !errors.Is(err, errTooMany) {
				t.Fatalf("an error of our own, not %v", err)
			}
			return
		}
		var list struct {
			Kind       string            `json:"kind"`
			APIVersion string            `json:"apiVersion"`
			Items      []json.RawMessage `json:"items"`
		}
		if err := json.Unmarshal(body, &list); err != nil {
			t.Fatalf("taken, and no JSON: %v", err)
		}
		events := b.ignored
		for u, s := range b.uses {
			if events += s.events; s.events < 1 || !person(u.username) || u.namespace == "" || len(u.namespace) > maxNamespace {
				t.Fatalf("kept %+v: %+v", u, s)
			}
		}
		if events > maxEvents {
			t.Fatalf("kept %d events", events)
		}
	})
}
