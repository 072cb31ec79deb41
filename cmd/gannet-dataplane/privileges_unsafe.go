package main

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// dropPrivileges takes all capabilities from all threads. Sockets, UMEMs, maps and
// the XDP link stay open: they were checked when they were made. With keep, threads
// other than the calling one and the shards' may raise those again that another rung
// needs (see climber); without, nobody can.
//
// Capabilities belong to threads. Threads that the runtime starts later inherit
// from those there are.
func dropPrivileges(keep bool) error {
	_, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("set no_new_privs: %w", threadsError(errno))
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	_, _, _ = syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0, 0)
	var left [2]unix.CapUserData
	if keep {
		left = climbingCapabilities()
	}
	_, _, errno = syscall.AllThreadsSyscall(unix.SYS_CAPSET,
		uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&left[0])), 0)
	if errno != 0 {
		return fmt.Errorf("drop capabilities: %w", threadsError(errno))
	}
	return dropOwnPrivileges()
}

// climbingCapabilities are those of AF_XDP sockets and XDP programs, as far as the
// process has them: permitted, not effective.
func climbingCapabilities() (left [2]unix.CapUserData) {
	var have [2]unix.CapUserData
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if unix.Capget(&header, &have[0]) != nil {
		return left
	}
	for _, c := range []int{unix.CAP_NET_RAW, unix.CAP_NET_ADMIN, unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_IPC_LOCK} {
		left[c/32].Permitted |= have[c/32].Permitted & (1 << (c % 32))
	}
	return left
}

// dropOwnPrivileges leaves the calling thread nothing that it could raise.
func dropOwnPrivileges() error {
	return setOwn([2]unix.CapUserData{})
}

// raisePrivileges gives effect to what is permitted to the calling thread, until
// lowerPrivileges.
func raisePrivileges() error {
	caps := climbingCapabilities()
	for i := range caps {
		caps[i].Effective = caps[i].Permitted
	}
	return setOwn(caps)
}

func lowerPrivileges() { _ = setOwn(climbingCapabilities()) } // giving up is always allowed

func setOwn(caps [2]unix.CapUserData) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capset(&header, &caps[0]); err != nil {
		return fmt.Errorf("set the thread's capabilities: %w", err)
	}
	return nil
}

func threadsError(errno syscall.Errno) error {
	if errno == unix.ENOTSUP {
		return errors.New("a build with cgo cannot reach all threads: build with CGO_ENABLED=0")
	}
	return errno
}
