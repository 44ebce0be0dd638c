// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package stack

import "syscall"

// endWithTest keeps a terminal's Ctrl-C from a process. Only Linux can also end it with the test.
func endWithTest() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
