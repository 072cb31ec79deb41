package bpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Mode says how a program is attached.
type Mode int

// Modes of attachment.
const (
	Native  Mode = iota // in the driver
	Generic             // in the stack, after the skb is built
)

func (m Mode) String() string {
	if m == Generic {
		return "generic"
	}
	return "native"
}

func (m Mode) flags() link.XDPAttachFlags {
	if m == Generic {
		return link.XDPGenericMode
	}
	return link.XDPDriverMode
}

// Attach hooks the program to an interface. The link is not pinned: it ends
// with Detach, with Close, or with the process, however that ends. A Steer
// serves one interface, because its sockets are bound to queues of one.
func (s *Steer) Attach(ifindex int, mode Mode) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link != nil {
		return configError("attached already: load another Steer for interface %d", ifindex)
	}
	attached, err := link.AttachXDP(link.XDPOptions{Program: s.program, Interface: ifindex, Flags: mode.flags()})
	if err != nil {
		return explainAttach(ifindex, mode, err)
	}
	s.link = attached
	return nil
}

// Detach takes the program off its interface. It may be attached again.
func (s *Steer) Detach() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link == nil {
		return nil
	}
	err := s.link.Close()
	s.link = nil
	return err
}

func explainAttach(ifindex int, mode Mode, err error) error {
	name := interfaceName(ifindex)
	action := fmt.Sprintf("attach %s XDP to %s", mode, name)
	switch {
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EEXIST):
		conflict := &ConflictError{Interface: name, Mode: mode, Err: err}
		conflict.ProgramID, conflict.ProgramName = holder(ifindex)
		return conflict
	case errors.Is(err, unix.EOPNOTSUPP) && mode == Native:
		return &FeatureError{Feature: action, Minimum: "a driver with XDP; generic mode works everywhere", Err: err}
	case errors.Is(err, unix.ERANGE):
		return &FeatureError{Feature: action, Minimum: "a smaller MTU, or Frags", Err: err}
	}
	return explain(action, err)
}

func interfaceName(ifindex int) string {
	found, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		return fmt.Sprintf("interface %d", ifindex)
	}
	return found.Attrs().Name
}

// holder finds the program that sits on an interface, as far as it can.
func holder(ifindex int) (id uint32, name string) {
	found, err := netlink.LinkByIndex(ifindex)
	if err != nil || found.Attrs().Xdp == nil {
		return 0, ""
	}
	id = found.Attrs().Xdp.ProgId
	program, err := ebpf.NewProgramFromID(ebpf.ProgramID(id))
	if err != nil {
		return id, ""
	}
	defer program.Close()
	info, err := program.Info()
	if err != nil {
		return id, ""
	}
	return id, info.Name
}
