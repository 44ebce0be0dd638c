package controllers_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func unguarded(t *testing.T) {
	out, err := exec.Command(plane.Kubectl, "--kubeconfig", plane.Kubeconfig, "delete", "validatingadmissionpolicybindings", "--all").CombinedOutput()
	if err != nil {
		t.Fatal(strings.TrimSpace(string(out)))
	}
	_ = os.Stderr
	time.Sleep(3 * time.Second)
}
func trusting(*operator) {}
