// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package main

import "syscall"

// endWithParent keeps a terminal's Ctrl-C from reaching a child directly. Only Linux can also end the child when devcluster
// is killed.
func endWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
