package main

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// dropPrivileges gives up all capabilities of all threads, for good. Sockets,
// UMEMs, maps and the XDP link stay open: they were checked when they were made.
//
// Capabilities belong to threads. Threads that the runtime starts later inherit
// from those there are.
func dropPrivileges() error {
	_, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("set no_new_privs: %w", threadsError(errno))
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	_, _, errno = syscall.AllThreadsSyscall(unix.SYS_CAPSET,
		uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none[0])), 0)
	if errno != 0 {
		return fmt.Errorf("drop capabilities: %w", threadsError(errno))
	}
	return nil
}

func threadsError(errno syscall.Errno) error {
	if errno == unix.ENOTSUP {
		return errors.New("a build with cgo cannot reach all threads: build with CGO_ENABLED=0")
	}
	return errno
}
