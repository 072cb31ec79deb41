package bpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

var (
	// ErrUnsupported matches every error that says: this kernel, driver or
	// interface cannot do it. A caller steps down the ladder on it.
	ErrUnsupported = errors.New("not supported here")
	// ErrPrivilege matches every error that says: it could be done, but not
	// by this process.
	ErrPrivilege = errors.New("not permitted")
	// ErrConflict matches a ConflictError.
	ErrConflict = errors.New("interface already has an XDP program")
	// ErrConfig matches an error in what the caller asked for.
	ErrConfig = errors.New("bad steering configuration")
)

// A FeatureError names what the kernel, the driver or the interface lacks.
type FeatureError struct {
	Feature string // what was asked for, such as "native XDP on lo"
	Minimum string // what brings it, such as "Linux 5.18", or what to do instead
	Err     error  // what the kernel said
}

func (e *FeatureError) Error() string {
	return fmt.Sprintf("%s is not supported here (needs %s): %v", e.Feature, e.Minimum, e.Err)
}

// Is makes errors.Is(err, ErrUnsupported) true.
func (e *FeatureError) Is(target error) bool { return target == ErrUnsupported }

func (e *FeatureError) Unwrap() error { return e.Err }

// A PrivilegeError names the capabilities that are missing.
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

// A ConflictError says who holds the interface. ProgramID is 0 when the
// holder could not be found out.
type ConflictError struct {
	Interface   string
	Mode        Mode
	ProgramID   uint32
	ProgramName string
	Err         error
}

func (e *ConflictError) Error() string {
	holder := "another XDP program"
	if e.ProgramID != 0 {
		holder = fmt.Sprintf("XDP program %d (%q)", e.ProgramID, e.ProgramName)
	}
	return fmt.Sprintf("attach to %s (%s): %s holds it; stop its owner, or `ip link set dev %s xdp off` if nobody owns it: %v",
		e.Interface, e.Mode, holder, e.Interface, e.Err)
}

// Is makes errors.Is(err, ErrConflict) true.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

func (e *ConflictError) Unwrap() error { return e.Err }

func configError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrConfig, fmt.Sprintf(format, args...))
}

// explain gives an error of the bpf system call its type.
func explain(action string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ebpf.ErrNotSupported), errors.Is(err, unix.EOPNOTSUPP):
		return &FeatureError{Feature: action, Minimum: minimumKernel, Err: err}
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES) && !isVerifierError(err):
		return &PrivilegeError{Action: action, Needs: "CAP_BPF and CAP_NET_ADMIN", Err: err}
	}
	return fmt.Errorf("%s: %w", action, err)
}

func isVerifierError(err error) bool {
	var verifier *ebpf.VerifierError
	return errors.As(err, &verifier)
}
