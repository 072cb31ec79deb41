package xsk

import (
	"errors"
	"fmt"
)

var (
	// ErrUnsupported matches errors that say: this kernel, driver or interface
	// cannot do it. The ladder steps down on it.
	ErrUnsupported = errors.New("not supported here")
	// ErrPrivilege matches errors that say: this process may not do it.
	ErrPrivilege = errors.New("not permitted")
	// ErrBusy matches errors that say: another socket has the queue.
	ErrBusy = errors.New("queue is taken")
)

// An UnsupportedError names what is missing.
type UnsupportedError struct {
	Feature string // what was wanted
	Needs   string // what would bring it
	Err     error  // what the kernel said; may be nil
}

func (e *UnsupportedError) Error() string {
	s := fmt.Sprintf("%s is not supported here (needs %s)", e.Feature, e.Needs)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Is makes errors.Is(err, ErrUnsupported) true.
func (e *UnsupportedError) Is(target error) bool { return target == ErrUnsupported }

func (e *UnsupportedError) Unwrap() error { return e.Err }

// A PrivilegeError names the capability that is missing.
type PrivilegeError struct {
	Action string
	Needs  string
	Err    error
}

func (e *PrivilegeError) Error() string {
	return fmt.Sprintf("%s: run as root or grant %s: %v", e.Action, e.Needs, e.Err)
}

// Is makes errors.Is(err, ErrPrivilege) true.
func (e *PrivilegeError) Is(target error) bool { return target == ErrPrivilege }

func (e *PrivilegeError) Unwrap() error { return e.Err }

// A BusyError says which queue another socket has.
type BusyError struct {
	Interface string
	Queue     int
	Err       error
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("bind to queue %d of %s: another AF_XDP socket has it; stop its process: %v", e.Queue, e.Interface, e.Err)
}

// Is makes errors.Is(err, ErrBusy) true.
func (e *BusyError) Is(target error) bool { return target == ErrBusy }

func (e *BusyError) Unwrap() error { return e.Err }
