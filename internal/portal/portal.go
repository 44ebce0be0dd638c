package portal

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/orgkeeper/orgkeeper/internal/invite"
)

// Status is what an invitation stands at, and thereby which page is shown.
type Status string

const (
	// Open: waiting for the person's answer.
	Open Status = "Open"
	// Accepted: by this very call.
	Accepted Status = "Accepted"
	// Declined: by this very call.
	Declined Status = "Declined"
	// AlreadyAccepted: accepted before; also the answer to a second Accept and to a late Decline.
	AlreadyAccepted Status = "AlreadyAccepted"
	// AlreadyDeclined: declined before; also the answer to a second Decline and to a late Accept.
	AlreadyDeclined Status = "AlreadyDeclined"
	// Expired: the time to answer is over.
	Expired Status = "Expired"
	// Superseded: a newer mail was sent, and only its link works.
	Superseded Status = "Superseded"
	// Withdrawn: there is nothing to join any more; the member or the organization is gone, going or suspended.
	Withdrawn Status = "Withdrawn"
)

// Invitation is what the pages show. Organization, Inviter and Name come from tenants and are shown as tenanttext
// makes them; all may be empty where the status leaves nothing to say (Superseded, Withdrawn).
type Invitation struct {
	Status Status
	// Organization is the name to show.
	Organization string
	// Role is one of Admin, BillingAdmin, UserAdmin and Member: the present one, whatever the mail said.
	Role string
	// Inviter is a mail address or user name.
	Inviter string
	// Name is the invited person's.
	Name    string
	Expires time.Time
	// Workspaces are the names to show of those that wait for the person, and MoreWorkspaces how many there are beside
	// them. They too come from tenants.
	Workspaces     []string
	MoreWorkspaces int
	// Locales are the person's languages as others know them, the likeliest first, such as it or pl-PL. Empty or unknown
	// ones do no harm.
	Locales []string
}

// Store knows what links stand for. It judges the claims by its own clock: their signature is checked, their expiry
// is not. An error means that it cannot tell now; the person is asked to try again.
type Store interface {
	// Invitation changes nothing.
	Invitation(context.Context, invite.Claims) (Invitation, error)
	// Accept and Decline answer an Open invitation and return it as it then stands, with status Accepted or
	// Declined; of any other they return the status and change nothing.
	Accept(context.Context, invite.Claims) (Invitation, error)
	Decline(context.Context, invite.Claims) (Invitation, error)
}

// Config is what Handler needs. Verify, Store and Now are required; a zero Log logs nothing, nil Metrics count nothing.
type Config struct {
	// Verify tells a genuine token's claims, as invite.Keys does.
	Verify func(token string) (invite.Claims, error)
	Store  Store
	// Log gets a line for each request, without token, address or name. The Store finds it in its context.
	Log     logr.Logger
	Metrics *Metrics
	// Now times the requests.
	Now    func() time.Time
	Limits Limits
	// TrustedProxies are where X-Forwarded-For is believed from.
	TrustedProxies []netip.Prefix
}

// Handler serves
//
//	GET  /i/{token}           the invitation; HEAD too
//	POST /i/{token}/accept    the answer yes
//	POST /i/{token}/decline   the answer no
//
// and for everything else a page that says so: 404 for other paths and bad tokens, 405 with Allow for other
// methods. Ended invitations (expired, superseded, withdrawn) are 410, a Store that fails is 503 with Retry-After, a
// form sent from another site is 403, a body beyond 4 KiB is 413, and who asks beyond the Limits gets 429 with
// Retry-After. Pages are in the language that the browser asks for, else in the person's, else in English.
//
// Serve it over HTTPS: browsers tell where a form comes from (Sec-Fetch-Site) only there and on localhost, and since
// the pages hide their address (Referrer-Policy: no-referrer) nothing else tells it. Over plain HTTP to another
// host, browsers get the 403; programs that send no Origin are not concerned.
func Handler(c Config) http.Handler {
	p := &portal{
		Config:  c,
		clients: newLimiter[netip.Prefix](c.Limits.PerAddress, maxBuckets),
		links:   newLimiter[invite.Claims](c.Limits.PerLink, maxBuckets),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /i/{token}", p.genuine(p.show))
	mux.HandleFunc("POST /i/{token}/accept", p.genuine(p.answer(c.Store.Accept)))
	mux.HandleFunc("POST /i/{token}/decline", p.genuine(p.answer(c.Store.Decline)))
	// The mux's own answers are not pages.
	mux.HandleFunc("/i/{token}", notAllowed("GET, HEAD"))
	mux.HandleFunc("/i/{token}/accept", notAllowed("POST"))
	mux.HandleFunc("/i/{token}/decline", notAllowed("POST"))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { plain(w, r, http.StatusNotFound, "notfound") })

	sameSite := http.NewCrossOriginProtection()
	sameSite.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		plain(w, r, http.StatusForbidden, "forbidden")
	}))
	return p.logged(secured(p.limited(sameSite.Handler(mux))))
}

type portal struct {
	Config
	clients      *limiter[netip.Prefix]
	links        *limiter[invite.Claims]
	unnamedProxy sync.Once
}

// genuine lets through what has a token that we signed, and not too often. Only genuine links are told apart when
// counting: made-up ones count for their sender alone, and could fill no table.
func (p *portal) genuine(next func(http.ResponseWriter, *http.Request, invite.Claims)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		claims, err := p.Verify(r.PathValue("token"))
		if err != nil {
			plain(w, r, http.StatusNotFound, "invalid")
			return
		}
		if delay := p.links.wait(claims, p.Now()); delay > 0 {
			tooMany(w, r, delay)
			return
		}
		next(w, r, claims)
	}
}

// patience is how long the Store may take, so that a person hears of it before the server cuts the connection.
const patience = 8 * time.Second

// ask asks the Store, which logs what it does where we log.
func (p *portal) ask(r *http.Request, do func(context.Context, invite.Claims) (Invitation, error), claims invite.Claims) (Invitation, error) {
	ctx, cancel := context.WithTimeout(logr.NewContext(r.Context(), p.Log), patience)
	defer cancel()
	return do(ctx, claims)
}

func (p *portal) show(w http.ResponseWriter, r *http.Request, claims invite.Claims) {
	inv, err := p.ask(r, p.Store.Invitation, claims)
	// Links are relative to /i/{token}, so that the portal may live below a path of its own.
	p.reply(w, r, inv, err, r.PathValue("token"))
}

// maxBody bounds what a form may send, in bytes. Ours send nothing.
const maxBody = 4 << 10

func (p *portal) answer(do func(context.Context, invite.Claims) (Invitation, error)) func(http.ResponseWriter, *http.Request, invite.Claims) {
	return func(w http.ResponseWriter, r *http.Request, claims invite.Claims) {
		if err := drain(w, r); err != nil {
			code := http.StatusBadRequest
			if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
				code = http.StatusRequestEntityTooLarge
			}
			plain(w, r, code, "badrequest")
			return
		}
		inv, err := p.ask(r, do, claims)
		if err == nil && inv.Status == Open {
			err = errors.New("invitation is open after an answer")
		}
		// The page itself in place of a redirect: a person without a browser sees it too, and sending the form again
		// does no harm.
		p.reply(w, r, inv, err, "../"+r.PathValue("token"))
	}
}

// reply shows the invitation; path leads to its page from the present one.
func (p *portal) reply(w http.ResponseWriter, r *http.Request, inv Invitation, err error, path string) {
	status, ok := statusPages[inv.Status]
	if err == nil && !ok {
		// Better to ask for patience than to claim anything.
		err = fmt.Errorf("invitation has the unknown status %q", inv.Status)
	}
	if err != nil {
		p.Log.Error(err, "Invitation cannot be served", "route", r.Pattern)
		w.Header().Set("Retry-After", "10")
		render(w, http.StatusServiceUnavailable, page{Name: "unavailable", Path: path, tongue: speak(r)})
		return
	}
	render(w, status.code, invitationPage(speak(r, inv.Locales...), status.name, inv, path))
}

func notAllowed(allow string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", allow)
		plain(w, r, http.StatusMethodNotAllowed, "notallowed")
	}
}
