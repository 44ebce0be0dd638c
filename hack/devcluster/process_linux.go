// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import "syscall"

// endWithParent keeps a terminal's Ctrl-C from reaching a child directly, since children are stopped in order, and ends
// the child when devcluster is killed. That can only be SIGKILL: without devcluster there is no order left to keep.
func endWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
