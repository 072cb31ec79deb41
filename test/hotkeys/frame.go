package main

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"gannet/wire"
)

// path is how a client's frames come: addresses, ports, a VLAN tag or none.
type path struct {
	client, server netip.Addr
	clientPort     uint16
	serverPort     uint16
	vlan           uint16 // 0 = none
}

var paths = []path{
	{client: netip.MustParseAddr("192.0.2.7"), server: netip.MustParseAddr("192.0.2.1"), clientPort: 40000, serverPort: 9800},
	{client: netip.MustParseAddr("2001:db8::7"), server: netip.MustParseAddr("2001:db8::1"), clientPort: 40001, serverPort: 9800},
	{client: netip.MustParseAddr("192.0.2.8"), server: netip.MustParseAddr("192.0.2.1"), clientPort: 40002, serverPort: 9800, vlan: 5},
	{client: netip.MustParseAddr("2001:db8::8"), server: netip.MustParseAddr("2001:db8::1"), clientPort: 40003, serverPort: 9800, vlan: 5},
}

func (p *path) String() string {
	if p.vlan != 0 {
		return fmt.Sprintf("%v VLAN %d", p.client, p.vlan)
	}
	return p.client.String()
}

// frame puts headers in front of a payload.
func (p *path) frame(payload []byte) ([]byte, error) {
	network := layers.EthernetTypeIPv4
	if p.client.Is6() {
		network = layers.EthernetTypeIPv6
	}
	eth := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 7}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, EthernetType: network}
	stack := []gopacket.SerializableLayer{eth}
	if p.vlan != 0 {
		eth.EthernetType = layers.EthernetTypeDot1Q
		stack = append(stack, &layers.Dot1Q{VLANIdentifier: p.vlan, Type: network})
	}
	udp := &layers.UDP{SrcPort: layers.UDPPort(p.clientPort), DstPort: layers.UDPPort(p.serverPort)}
	if p.client.Is4() {
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: p.client.AsSlice(), DstIP: p.server.AsSlice()}
		_ = udp.SetNetworkLayerForChecksum(ip)
		stack = append(stack, ip)
	} else {
		ip := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP, SrcIP: p.client.AsSlice(), DstIP: p.server.AsSlice()}
		_ = udp.SetNetworkLayerForChecksum(ip)
		stack = append(stack, ip)
	}
	buffer := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buffer, options, append(stack, udp, gopacket.Payload(payload))...); err != nil {
		return nil, fmt.Errorf("build a frame: %w", err)
	}
	return buffer.Bytes(), nil
}

// headerBytes is what lies in front of the payload.
func (p *path) headerBytes() int {
	n := 14 + 20 + 8
	if p.client.Is6() {
		n += 20
	}
	if p.vlan != 0 {
		n += 4
	}
	return n
}

// padding is the length of the value that a GET needs in order to be as long as
// its reply (docs/hotkeys.md).
func padding(keyBytes, valueBytes int) int {
	up := func(n int) int { return (n + wire.AlignBytes - 1) &^ (wire.AlignBytes - 1) }
	return max(0, up(wire.MinReplyBytes+valueBytes)-wire.MinRequestBytes-up(keyBytes))
}

// paddedGet appends a GET whose reply may be that long.
func paddedGet(b []byte, h *wire.RequestHeader, key []byte, valueBytes int) []byte {
	start := len(b)
	h.KeyHash = wire.KeyHash(key)
	b = wire.AppendRequest(b, h)
	return wire.AppendOp(b, start, &wire.Op{Code: wire.Get, Key: key, Value: make([]byte, padding(len(key), valueBytes))})
}
