package space_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"gannet/test/lab/space"
)

func TestWhatRunsInsideIsElsewhere(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	name := fmt.Sprintf("gnt-space-%d", os.Getpid())
	s, err := space.New(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Remove() }) // again, after the end below
	var inside, outside []netlink.Link
	err = errors.Join(s.Do(func() (err error) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "gnt-inside"
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
			return err
		}
		inside, err = netlink.LinkList()
		return err
	}), space.OnOwnThread(func() (err error) {
		outside, err = netlink.LinkList()
		return err
	}))
	if err != nil {
		t.Fatal(err)
	}
	if !named(inside, "gnt-inside") || named(outside, "gnt-inside") {
		t.Errorf("the interface is inside %v, outside %v; want true, false", named(inside, "gnt-inside"), named(outside, "gnt-inside"))
	}
	var is unix.Stat_t
	if err := unix.Fstat(s.Handle(), &is); err != nil {
		t.Errorf("the handle is not open: %v", err)
	}
	if err := s.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/run/netns/" + name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the name is still there: %v", err)
	}
}

func TestNothingToRemove(t *testing.T) {
	if err := (space.Space{}).Remove(); err != nil {
		t.Error(err)
	}
}

func named(links []netlink.Link, name string) bool {
	for _, l := range links {
		if l.Attrs().Name == name {
			return true
		}
	}
	return false
}
