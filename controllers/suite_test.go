package controllers_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"go.uber.org/goleak"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/test/cluster"
)

// One control plane for all tests of the package. Each test has homes of its own in it, and an operator of its own that
// acts with the rights of config/rbac and no others.
var (
	plane  *cluster.Cluster
	rights *rest.Config
	admin  client.Client
	scheme = runtime.NewScheme()
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	// Tests that run together wait much more than they compute.
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		return 1, err
	}
	ctrl.SetLogger(logr.Discard()) // each operator has a logger of its own
	klog.SetLogger(present.logger())
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if plane, err = cluster.Start(); err != nil {
		return 1, err
	}
	defer func() {
		if stopped := plane.Stop(); err == nil {
			err = stopped
		}
	}()
	if err := plane.Install(ctx); err != nil {
		return 1, err
	}
	if rights, err = plane.Operator(ctx); err != nil {
		return 1, err
	}
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return 1, err
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return 1, err
	}
	if admin, err = client.New(plane.Admin, client.Options{Scheme: scheme}); err != nil {
		return 1, err
	}
	before := goleak.IgnoreCurrent()
	if code = m.Run(); code == 0 {
		err = goleak.Find(before,
			// Connections to the API server are client-go's, and stay for whoever asks next.
			goleak.IgnoreAnyFunction("golang.org/x/net/http2.(*clientConnReadLoop).run"),
			// A watch of metadata that is stopped between two events keeps its goroutine; client-go's as well.
			goleak.IgnoreTopFunction("k8s.io/apimachinery/pkg/watch.(*filteredWatch).loop"))
	}
	return code, err
}
