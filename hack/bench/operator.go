package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// operator is orgkeeper's process.
type operator struct {
	cmd     *exec.Cmd
	metrics string // URL
	exited  chan struct{}
}

// operator is the one that was started last; nil before the first.
func (b *bench) operator() *operator { return b.running.Load() }

// startOperator returns when the operator leads.
func (b *bench) startOperator(ctx context.Context) error {
	if err := b.launchOperator(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	return eventually(ctx, 50*time.Millisecond, b.operator().leads)
}

func (b *bench) launchOperator() error {
	log, err := os.OpenFile(filepath.Join(b.dir, "log", "orgkeeper.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	address := func(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }
	binary, err := filepath.Abs(b.options.operator)
	if err != nil {
		return err
	}
	cmd := exec.Command(binary, append([]string{
		"--kubeconfig=" + filepath.Join(b.dir, "operator.kubeconfig"),
		"--leader-elect-namespace=orgkeeper-system",
		"--portal-bind-address=" + address(b.ports.Portal), "--portal-url=http://" + address(b.ports.Portal),
		"--portal-rate-limit=0", "--portal-link-rate-limit=0", // everybody answers from one address
		"--metrics-bind-address=" + address(b.ports.Metrics),
		"--invitation-keys-dir=" + filepath.Join(b.dir, "keys"),
		"--mail-from=invitations@orgkeeper.example",
		"--smtp-address=" + address(b.ports.SMTP), "--smtp-tls=none",
		"--mail-rate=0", "--mail-limit-per-organization=0",
	}, strings.Fields(b.options.flags)...)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the operator (make build builds it): %w", err)
	}
	o := &operator{cmd: cmd, metrics: "http://" + address(b.ports.Metrics) + "/metrics", exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ends is for the log; leads and scrape notice
		close(o.exited)
	}()
	b.running.Store(o)
	return nil
}

// kill ends the operator as a crash would.
func (o *operator) kill() {
	_ = o.cmd.Process.Kill()
	<-o.exited
}

// end asks the operator to stop, and insists.
func (o *operator) end() {
	_ = o.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-o.exited:
	case <-time.After(time.Minute):
		o.kill()
	}
}

func (o *operator) ended() bool {
	select {
	case <-o.exited:
		return true
	default:
		return false
	}
}

// leads fails until the operator is the leader.
func (o *operator) leads() error {
	g, err := o.scrape()
	if err != nil {
		return err
	}
	if g.sum("leader_election_master_status") == 0 {
		return errors.New("the operator does not lead")
	}
	return nil
}

// gauges are the operator's metrics of one moment.
type gauges map[string]*dto.MetricFamily

// scraper gives up on an operator that hangs.
var scraper = &http.Client{Timeout: 10 * time.Second}

// errEnded is nothing to wait for the end of.
var errEnded = errors.New("the operator ended: see log/orgkeeper.log")

func (o *operator) scrape() (gauges, error) {
	if o.ended() {
		return nil, errEnded
	}
	answer, err := scraper.Get(o.metrics)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", o.metrics, answer.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(answer.Body)
}

// sum adds all values of a metric whose labels are as given, name and value in turn.
func (g gauges) sum(name string, labels ...string) float64 {
	var sum float64
	for _, m := range g[name].GetMetric() {
		if matches(m, labels) {
			sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return sum
}

func matches(m *dto.Metric, labels []string) bool {
	for i := 0; i < len(labels); i += 2 {
		if label(m, labels[i]) != labels[i+1] {
			return false
		}
	}
	return true
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// reconciles are how often each controller reconciled, by "controller result".
func (g gauges) reconciles() map[string]float64 {
	counts := map[string]float64{}
	for _, m := range g["controller_runtime_reconcile_total"].GetMetric() {
		counts[label(m, "controller")+" "+label(m, "result")] += m.GetCounter().GetValue()
	}
	return counts
}

// busy is how much waits in queues or is being worked on.
func (g gauges) busy() float64 {
	return g.sum("workqueue_depth") + g.sum("controller_runtime_active_workers")
}
