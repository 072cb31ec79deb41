package space

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// Space is a named network namespace. The zero value is none.
type Space struct {
	name   string
	handle netns.NsHandle
}

// New makes a namespace; it needs root.
func New(name string) (Space, error) {
	s := Space{name: name, handle: netns.None()}
	err := OnOwnThread(func() error {
		home, err := netns.Get()
		if err != nil {
			return err
		}
		defer home.Close()
		if s.handle, err = netns.NewNamed(name); err != nil {
			return err
		}
		return netns.Set(home)
	})
	if err != nil {
		return s, fmt.Errorf("namespace %s: %w", name, err)
	}
	return s, nil
}

// Find returns a namespace that another process has made.
func Find(name string) (Space, error) {
	handle, err := netns.GetFromName(name)
	if err != nil {
		return Space{}, fmt.Errorf("namespace %s: %w", name, err)
	}
	return Space{name, handle}, nil
}

// Remove gives the namespace back to the kernel, with the links in it. One that was
// not made, or is gone, is no error.
func (s Space) Remove() error {
	if s.name == "" {
		return nil
	}
	if s.handle.IsOpen() {
		_ = s.handle.Close()
	}
	if err := netns.DeleteNamed(s.name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove namespace %s: %w", s.name, err)
	}
	return nil
}

// Name is what `ip netns exec` knows the namespace by.
func (s Space) Name() string { return s.name }

// Handle is the namespace's file descriptor, open until Remove.
func (s Space) Handle() int { return int(s.handle) }

// Link names the namespace as where an interface shall be.
func (s Space) Link() netlink.NsFd { return netlink.NsFd(s.handle) }

// Do runs f on a thread inside the namespace, which ends with f.
func (s Space) Do(f func() error) error {
	return OnOwnThread(func() error {
		if err := netns.Set(s.handle); err != nil {
			return fmt.Errorf("enter namespace %s: %w", s.name, err)
		}
		return f()
	})
}

// Start starts cmd inside the namespace.
func (s Space) Start(cmd *exec.Cmd) error { return s.Do(cmd.Start) }

// OnOwnThread runs f on a locked thread that is thrown away after it.
func OnOwnThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime ends the thread
		done <- f()
	}()
	return <-done
}
