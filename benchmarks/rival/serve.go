package rival

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"gannet/benchmarks/gomsg"
)

// ServeGoMsg serves the plain Go rival until ctx ends.
func ServeGoMsg(ctx context.Context, out io.Writer, addr string) error {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return fmt.Errorf("%s: %w", VerbGoMsg, err)
	}
	s, err := gomsg.Listen(at)
	if err != nil {
		return err
	}
	fmt.Fprint(out, ready)
	return s.Serve(ctx)
}

// ServeReflector attaches the reflector to a device until ctx ends.
func ServeReflector(ctx context.Context, out io.Writer, device, object string) error {
	nic, err := net.InterfaceByName(device)
	if err != nil {
		return fmt.Errorf("%s: %w", VerbReflect, err)
	}
	spec, err := ebpf.LoadCollectionSpec(object)
	if err != nil {
		return fmt.Errorf("%s: %w: scripts/rivals.sh builds it", VerbReflect, err)
	}
	programs, err := ebpf.NewCollection(spec)
	if err != nil {
		return fmt.Errorf("%s: load: %w", VerbReflect, err)
	}
	defer programs.Close()
	attached, err := link.AttachXDP(link.XDPOptions{
		Program: programs.Programs["reflect"], Interface: nic.Index, Flags: link.XDPDriverMode,
	})
	if err != nil {
		return fmt.Errorf("%s: attach to %s: %w", VerbReflect, device, err)
	}
	defer attached.Close()
	fmt.Fprint(out, ready)
	<-ctx.Done()
	return nil
}
