package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ErrRoute says that the server cannot be reached through the interface.
var ErrRoute = errors.New("no way to the server")

// neighbourPatience is how long a neighbour is waited for.
const neighbourPatience = 3 * time.Second

// findRoute asks the kernel how it would send.
func findRoute(ctx context.Context, link *net.Interface, server netip.AddrPort) (r route, err error) {
	r.to = server.Addr().Unmap()
	routes, err := netlink.RouteGet(r.to.AsSlice())
	if err != nil || len(routes) == 0 {
		return r, fmt.Errorf("%w %v: %w", ErrRoute, r.to, err)
	}
	way := routes[0]
	if way.LinkIndex != link.Index {
		return r, fmt.Errorf("%w %v through %s: the kernel would take another interface (number %d)", ErrRoute, r.to, link.Name, way.LinkIndex)
	}
	from, ok := netip.AddrFromSlice(way.Src)
	if !ok {
		return r, fmt.Errorf("%w %v: %s has no address", ErrRoute, r.to, link.Name)
	}
	r.from = from.Unmap()
	hop := r.to
	if gateway, ok := netip.AddrFromSlice(way.Gw); ok {
		hop = gateway.Unmap()
	}
	copy(r.mac[:], link.HardwareAddr)
	r.nextHop, err = resolve(ctx, link, hop, server)
	return r, err
}

// resolve lets the kernel find the neighbour's hardware address, by sending it an
// empty datagram.
func resolve(ctx context.Context, link *net.Interface, hop netip.Addr, server netip.AddrPort) (mac [6]byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, neighbourPatience)
	defer cancel()
	fd, err := connect(unix.SOCK_DGRAM, server, 0)
	if err != nil {
		return mac, err
	}
	defer unix.Close(fd)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		_, _ = unix.Write(fd, nil) // what matters is that the kernel asks
		neighbours, err := netlink.NeighList(link.Index, netlink.FAMILY_ALL)
		if err != nil {
			return mac, fmt.Errorf("neighbours on %s: %w", link.Name, err)
		}
		for _, n := range neighbours {
			if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap() == hop && len(n.HardwareAddr) == len(mac) {
				return [6]byte(n.HardwareAddr), nil
			}
		}
		select {
		case <-ctx.Done():
			return mac, fmt.Errorf("%w: nobody on %s answers for %v", ErrRoute, link.Name, hop)
		case <-tick.C:
		}
	}
}
