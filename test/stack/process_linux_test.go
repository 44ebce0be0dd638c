// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package stack

import "syscall"

// endWithTest ends a process with the test's, however that ends, and keeps a terminal's Ctrl-C from it.
func endWithTest() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
