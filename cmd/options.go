package main

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"go.uber.org/zap/zapcore"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/controllers"
	"github.com/orgkeeper/orgkeeper/internal/activity"
	"github.com/orgkeeper/orgkeeper/internal/assignee"
	"github.com/orgkeeper/orgkeeper/internal/invite"
	"github.com/orgkeeper/orgkeeper/internal/mail"
	"github.com/orgkeeper/orgkeeper/internal/portal"
	"github.com/orgkeeper/orgkeeper/internal/rbac"
)

// options are all settings of the operator. A setting is a flag; secrets are files that a flag names.
type options struct {
	leaderElect          bool
	leaderElectNamespace string
	metricsAddress       string
	pprofAddress         string
	portalAddress        string
	portalURL            string
	portalCert           string
	portalKey            string
	portalLimits         portal.Limits
	trustedProxies       []netip.Prefix
	keysDir              string
	usernamePrefix       string
	roles                rbac.Roles
	mailFrom             mail.Address
	templatesDir         string
	smtp                 mail.Config
	mailRate             float64
	mailWorkers          int
	mailLimit            int
	activity             activity.Config
	assignable           assignee.Kinds
	log                  zap.Options
	// rest is what stands behind the flags.
	rest []string
}

// bind defines the flags.
func (o *options) bind(fs *flag.FlagSet) {
	fs.BoolVar(&o.leaderElect, "leader-elect", true, "act only while holding the lease; with more than one replica, needed")
	fs.StringVar(&o.leaderElectNamespace, "leader-elect-namespace", os.Getenv("POD_NAMESPACE"), "namespace of the lease; default: the environment variable POD_NAMESPACE")
	fs.StringVar(&o.metricsAddress, "metrics-bind-address", ":8081", "host:port that serves /metrics, /healthz and /readyz")
	fs.StringVar(&o.pprofAddress, "pprof-bind-address", "", "host:port that serves Go profiles under /debug/pprof/, without asking who reads them: of this machine alone, such as 127.0.0.1:6060 (kubectl port-forward reaches it); empty: off")
	fs.StringVar(&o.portalAddress, "portal-bind-address", ":8080", "host:port that serves the invitation page")
	fs.StringVar(&o.portalURL, "portal-url", "", "address of the invitation page as people reach it, such as https://orgkeeper.example; links in mails start with it (required)")
	fs.StringVar(&o.portalCert, "portal-tls-cert-file", "", "file with the page's certificate and its chain, PEM; read again when it changes. Empty: plain HTTP, for a proxy in front that does TLS")
	fs.StringVar(&o.portalKey, "portal-tls-key-file", "", "file with the certificate's key, PEM")
	fs.IntVar(&o.portalLimits.PerAddress, "portal-rate-limit", 300, "requests a minute that one client may make of the page: an IPv4 address, or an IPv6 network of 64 bits; 0: no limit")
	fs.IntVar(&o.portalLimits.PerLink, "portal-link-rate-limit", 60, "requests a minute that are answered with one invitation link; 0: no limit")
	fs.Func("portal-trusted-proxies", "networks or addresses of the proxies in front of the page, such as 10.0.0.0/8,fd00::/8; X-Forwarded-For is believed from them alone", o.trustProxies)
	fs.StringVar(&o.keysDir, "invitation-keys-dir", "", "folder with the keys of invitation links, one file of at least 32 bytes each, base64 or raw; the first by name signs, all verify; read again when they change (required)")
	fs.StringVar(&o.usernamePrefix, "username-prefix", "", "what the cluster's authenticator puts before an email to make the username, such as oidc:")
	fs.StringVar(&o.roles.View, "view-role", "view", "ClusterRole behind the access View")
	fs.StringVar(&o.roles.Edit, "edit-role", "edit", "ClusterRole behind the access Edit")
	fs.StringVar(&o.roles.Admin, "admin-role", "orgkeeper:workspace-admin", "ClusterRole behind the access Admin")
	fs.StringVar(&o.mailFrom.Address, "mail-from", "", "sender of all mails, such as invitations@orgkeeper.example (required)")
	fs.StringVar(&o.mailFrom.Name, "mail-from-name", "orgkeeper", "name shown beside the sender")
	fs.StringVar(&o.templatesDir, "mail-templates-dir", "", "folder with templates of mails to use in place of orgkeeper's own, such as it/invitation.txt.tmpl; read at start")
	fs.StringVar(&o.smtp.Address, "smtp-address", "", "host:port of the mail server (required, here or in --smtp-settings-dir)")
	o.smtp.TLS = mail.StartTLS
	fs.Var(&o.smtp.TLS, "smtp-tls", "starttls (usual on port 587), tls (usual on port 465) or none")
	fs.StringVar(&o.smtp.Username, "smtp-username", "", "user for AUTH; empty: no AUTH")
	fs.StringVar(&o.smtp.PasswordFile, "smtp-password-file", "", "file with the password for AUTH; read for each mail")
	fs.StringVar(&o.smtp.CAFile, "smtp-ca-file", "", "file with the certificates to trust, PEM; empty: the system's; read for each mail")
	fs.StringVar(&o.smtp.ServerName, "smtp-server-name", "", "name expected in the mail server's certificate; empty: the host of --smtp-address")
	fs.StringVar(&o.smtp.HELO, "smtp-helo", "", "name to say HELO with; empty: the domain of --mail-from")
	fs.StringVar(&o.smtp.SettingsDir, "smtp-settings-dir", "", "folder with files that win over the flags: address, tls, username, password, ca.crt, server-name, helo, dkim-domain, dkim-selector, dkim.key; read for each mail, so that a changed Secret needs no restart")
	fs.DurationVar(&o.smtp.Timeout, "smtp-timeout", 30*time.Second, "longest time to hand over one mail")
	fs.StringVar(&o.smtp.DKIM.Domain, "dkim-domain", "", "domain to sign mails for (DKIM), with --dkim-selector and --dkim-key-file; empty: the mail server signs, or nobody")
	fs.StringVar(&o.smtp.DKIM.Selector, "dkim-selector", "", "name of the key in DNS, <selector>._domainkey.<domain>")
	fs.StringVar(&o.smtp.DKIM.KeyFile, "dkim-key-file", "", "file with the private key, PEM: RSA of at least 2048 bits, or Ed25519; read for each mail")
	fs.Float64Var(&o.mailRate, "mail-rate", 10, "how many mails to try in a second, at most; 0: no limit")
	fs.IntVar(&o.mailWorkers, "mail-workers", 4, "how many mails to try at once, at most; each takes a connection to the mail server, which is kept for a while")
	fs.IntVar(&o.mailLimit, "mail-limit-per-organization", 200, "how many mails about invitations, roles and ends of memberships an organization's members are sent in any 24 hours, at most; the others wait; 0: no limit")
	bindActivity(fs, &o.activity)
	fs.Var(&o.assignable, "assignable", "kinds whose objects lose the label "+v1alpha1.LabelAssignee+" when the member it names leaves, such as contacts.crm.example.com,configmaps; *: all that are granted; see docs/leaving.md")
	o.log.StacktraceLevel = zapcore.DPanicLevel // an error that a retry mends needs no stack
	o.log.BindFlags(fs)
}

// validate names every setting that is missing or wrong.
func (o *options) validate() error {
	o.portalURL = strings.TrimRight(o.portalURL, "/")
	problems := []error{
		nothing(o.rest),
		validURL("--portal-url", o.portalURL),
		validAddress("--portal-bind-address", o.portalAddress),
		validAddress("--metrics-bind-address", o.metricsAddress),
		validLoopback("--pprof-bind-address", o.pprofAddress),
		given("--invitation-keys-dir", o.keysDir, "the folder with the keys of invitation links"),
		given("--view-role", o.roles.View, "a ClusterRole"),
		given("--edit-role", o.roles.Edit, "a ClusterRole"),
		given("--admin-role", o.roles.Admin, "a ClusterRole"),
	}
	if (o.portalCert == "") != (o.portalKey == "") {
		problems = append(problems, errors.New("--portal-tls-cert-file and --portal-tls-key-file must be given both or not at all"))
	}
	if o.portalLimits.PerAddress < 0 || o.portalLimits.PerLink < 0 {
		problems = append(problems, errors.New("--portal-rate-limit and --portal-link-rate-limit must be 0 or more requests a minute"))
	}
	problems = append(problems, o.validMailLimits()...)
	if o.leaderElect {
		problems = append(problems, given("--leader-elect-namespace", o.leaderElectNamespace, "a namespace when POD_NAMESPACE is not set"))
	}
	if o.mailFrom.Validate() != nil {
		problems = append(problems, errors.New("--mail-from must be an address such as invitations@orgkeeper.example"))
	}
	if err := o.smtp.Validate(); err != nil {
		problems = append(problems, fmt.Errorf("--smtp-address, --smtp-tls, --smtp-username, --smtp-password-file, --dkim-domain and the like: %w", err))
	}
	if err := o.activity.Validate(); err != nil {
		problems = append(problems, fmt.Errorf("--activity-bind-address and the other --activity- flags: %w", err))
	}
	return errors.Join(problems...)
}

// invitations reads the files that links and mails need, so that what is wrong with them stops the start.
func (o *options) invitations() (controllers.Invitations, error) {
	i := controllers.Invitations{From: o.mailFrom, PortalURL: o.portalURL}
	var keysErr, templatesErr, smtpErr error
	i.Keys, keysErr = invite.LoadKeys(o.keysDir)
	i.Templates, templatesErr = mail.LoadTemplates(o.templatesDir)
	o.smtp.MaxIdle = o.mailWorkers
	i.SMTP, smtpErr = mail.NewSMTP(o.smtp)
	return i, errors.Join(keysErr, templatesErr, smtpErr)
}

// trustProxies reads a list of networks and addresses, and adds to what was given before.
func (o *options) trustProxies(list string) error {
	for entry := range strings.SplitSeq(list, ",") {
		entry = strings.TrimSpace(entry)
		network, err := netip.ParsePrefix(entry)
		if err != nil {
			address, err := netip.ParseAddr(entry)
			if err != nil {
				return fmt.Errorf("%q is neither a network such as 10.0.0.0/8 nor an address", entry)
			}
			network = netip.PrefixFrom(address.Unmap(), address.Unmap().BitLen())
		}
		o.trustedProxies = append(o.trustedProxies, network.Masked())
	}
	return nil
}

// nothing refuses what is no flag: all flags behind it would be ignored, as in "--leader-elect false --mail-rate=1".
func nothing(rest []string) error {
	if len(rest) == 0 {
		return nil
	}
	return fmt.Errorf("%q is no flag, and what comes after it was not read; a value is joined by =, such as --leader-elect=false", rest[0])
}

func (o *options) validMailLimits() (problems []error) {
	if !(o.mailRate >= 0) { // NaN neither
		problems = append(problems, errors.New("--mail-rate must be zero or more"))
	}
	if o.mailWorkers < 1 || o.mailWorkers > maxMailWorkers {
		problems = append(problems, fmt.Errorf("--mail-workers must be from 1 to %d", maxMailWorkers))
	}
	if o.mailLimit < 0 || o.mailLimit > math.MaxInt32 {
		problems = append(problems, errors.New("--mail-limit-per-organization must be zero or more"))
	}
	return problems
}

// maxMailWorkers is more connections than any mail server welcomes from one client.
const maxMailWorkers = 100

func given(flag, value, what string) error {
	if value == "" {
		return fmt.Errorf("%s must name %s", flag, what)
	}
	return nil
}

func validAddress(flag, address string) error {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return fmt.Errorf("%s must be host:port such as :8080, not %q", flag, address)
	}
	return nil
}

// validLoopback wants an address that nobody reaches from elsewhere, or none. Names could lead anywhere.
func validLoopback(flag, address string) error {
	if address == "" {
		return nil
	}
	a, err := netip.ParseAddrPort(address)
	if err != nil || !a.Addr().Unmap().IsLoopback() {
		return fmt.Errorf("%s must be an address of the loopback with a port, such as 127.0.0.1:6060 or [::1]:6060, not %q", flag, address)
	}
	return nil
}

func validURL(flag, address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%s must be an address such as https://orgkeeper.example, not %q", flag, address)
	}
	return nil
}
