package xsk

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"gannet/alloc"
	"gannet/bpf"
	"gannet/checksum"
	"gannet/dataplane/port"
)

// rawPeer is a client on a raw Socket: it writes whole packets and reads whole
// replies, and finds fault with any header that is not right.
type rawPeer struct {
	sock           *Socket
	serverMAC, mac net.HardwareAddr
	server, client netip.Addr
	vlan           uint16 // 0 = no tag
	free           []uint64
}

const rawPeerPort = testPortBase + 5 // the test's program redirects it

func newRawPeer(t testing.TB, p *topology, server, client string, vlan uint16) *rawPeer {
	t.Helper()
	r := &rawPeer{vlan: vlan, server: netip.MustParseAddr(server), client: netip.MustParseAddr(client)}
	r.serverMAC = in(t, p.server, func() (net.HardwareAddr, error) {
		link, err := net.InterfaceByName(serverLink)
		return link.HardwareAddr, err
	})
	in(t, p.client, func() (struct{}, error) { return struct{}{}, r.open(t) })
	return r
}

func (r *rawPeer) open(t testing.TB) error {
	link, err := net.InterfaceByName(clientLink)
	if err != nil {
		return err
	}
	r.mac = link.HardwareAddr
	program, err := loadAnyUDP(bpf.SteerConfig{Queues: 1})
	if err != nil {
		return err
	}
	t.Cleanup(func() { _ = program.Close() })
	if err := program.Attach(link.Index, bpf.Native); err != nil {
		return err
	}
	r.sock, err = OpenSocket(Options{Interface: clientLink, Frames: 256, NUMANode: alloc.NoNUMA, BindWait: lateFree})
	if err != nil {
		return err
	}
	t.Cleanup(func() { _ = r.sock.Close() })
	for i := range r.sock.Frames() {
		r.free = append(r.free, uint64(i*r.sock.FrameBytes()))
	}
	n := r.sock.Supply(r.free[:128])
	r.free = r.free[n:]
	return program.RegisterSocket(0, r.sock.FD())
}

func (r *rawPeer) Addr() port.Addr { return port.Addr{IP: r.client.As16(), Port: rawPeerPort} }

// build makes the packet of a request.
func (r *rawPeer) build(payload []byte) ([]byte, error) {
	ethernet := &layers.Ethernet{SrcMAC: r.mac, DstMAC: r.serverMAC, EthernetType: layers.EthernetTypeIPv4}
	udp := &layers.UDP{SrcPort: rawPeerPort, DstPort: testPortBase}
	stack := []gopacket.SerializableLayer{ethernet}
	var network interface {
		gopacket.SerializableLayer
		gopacket.NetworkLayer
	} = &layers.IPv4{Version: 4, TTL: 9, TOS: 0xb9, Protocol: layers.IPProtocolUDP, SrcIP: r.client.AsSlice(), DstIP: r.server.AsSlice()}
	if r.client.Is6() {
		ethernet.EthernetType = layers.EthernetTypeIPv6
		network = &layers.IPv6{Version: 6, HopLimit: 9, TrafficClass: 0xb9, FlowLabel: 0xabcde, NextHeader: layers.IPProtocolUDP, SrcIP: r.client.AsSlice(), DstIP: r.server.AsSlice()}
	}
	if r.vlan != 0 {
		stack = append(stack, &layers.Dot1Q{VLANIdentifier: r.vlan, Priority: 3, Type: ethernet.EthernetType})
		ethernet.EthernetType = layers.EthernetTypeDot1Q
	}
	if err := udp.SetNetworkLayerForChecksum(network); err != nil {
		return nil, err
	}
	stack = append(stack, network, udp, gopacket.Payload(payload))
	b := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, stack...)
	return b.Bytes(), err
}

func (r *rawPeer) Send(payload []byte) error {
	packet, err := r.build(payload)
	if err != nil {
		return err
	}
	return r.sendRaw(packet)
}

func (r *rawPeer) sendRaw(packet []byte) error {
	r.reclaim()
	if len(r.free) == 0 {
		return errors.New("no free frame at the client")
	}
	d := Desc{Addr: r.free[len(r.free)-1], Len: uint32(len(packet))}
	r.free = r.free[:len(r.free)-1]
	copy(r.sock.Bytes(d), packet)
	if r.sock.Submit([]Desc{d}) != 1 {
		return errors.New("the client's tx queue is full")
	}
	return r.sock.Push()
}

func (r *rawPeer) reclaim() {
	addrs := make([]uint64, 64)
	n := r.sock.Reclaim(addrs)
	r.free = append(r.free, addrs[:n]...)
}

func (r *rawPeer) Receive(payload []byte, timeout time.Duration) (int, error) {
	var d [1]Desc
	for deadline := time.Now().Add(timeout); r.sock.Receive(d[:]) == 0; {
		if time.Now().After(deadline) {
			return 0, errors.New("nothing came")
		}
		if err := r.sock.Wait(time.Millisecond); err != nil {
			return 0, err
		}
	}
	n, err := r.check(r.sock.Bytes(d[0]), payload)
	frameBytes := uint64(r.sock.FrameBytes())
	r.sock.Supply([]uint64{d[0].Addr / frameBytes * frameBytes})
	return n, err
}

// check takes a reply apart.
func (r *rawPeer) check(packet, payload []byte) (int, error) {
	p := gopacket.NewPacket(packet, layers.LayerTypeEthernet, gopacket.Default)
	if e := p.ErrorLayer(); e != nil {
		return 0, e.Error()
	}
	if tag, _ := p.Layer(layers.LayerTypeDot1Q).(*layers.Dot1Q); (tag == nil) != (r.vlan == 0) || tag != nil && tag.VLANIdentifier != r.vlan {
		return 0, fmt.Errorf("the reply's VLAN tag is %v", tag)
	}
	var pseudo uint16
	udp := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
	if ip, ok := p.NetworkLayer().(*layers.IPv4); ok {
		if ip.TTL != hopLimit || ip.TOS != 0xb8 || ip.Flags != layers.IPv4DontFragment || checksum.Sum(ip.Contents) != 0xffff {
			return 0, fmt.Errorf("bad IPv4 header: %+v", ip)
		}
		pseudo = checksum.PseudoIPv4([4]byte(ip.SrcIP), [4]byte(ip.DstIP), 17, udp.Length)
	} else if ip, ok := p.NetworkLayer().(*layers.IPv6); ok {
		if ip.HopLimit != hopLimit || ip.TrafficClass != 0xb8 || ip.FlowLabel != 0 {
			return 0, fmt.Errorf("bad IPv6 header: %+v", ip)
		}
		pseudo = checksum.PseudoIPv6([16]byte(ip.SrcIP), [16]byte(ip.DstIP), 17, uint32(udp.Length))
	}
	whole := append(append([]byte(nil), udp.Contents...), udp.Payload...)
	if udp.Checksum == 0 || !checksum.Verify(checksum.Add(pseudo, checksum.Sum(whole))) {
		return 0, fmt.Errorf("bad UDP checksum %#04x", udp.Checksum)
	}
	if udp.SrcPort != testPortBase || udp.DstPort != rawPeerPort {
		return 0, fmt.Errorf("ports %d to %d", udp.SrcPort, udp.DstPort)
	}
	return copy(payload, udp.Payload), nil
}
