package xsk

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"gannet/checksum"
	"gannet/dataplane/port"
)

// samplePacket is a request as a card delivers it.
func samplePacket(t testing.TB, client, server string, vlan uint16, payload []byte) []byte {
	t.Helper()
	r := &rawPeer{
		vlan: vlan, client: netip.MustParseAddr(client), server: netip.MustParseAddr(server),
		mac: net.HardwareAddr{2, 0, 0, 0, 0, 2}, serverMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1},
	}
	b, err := r.build(payload)
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte(nil), b...)
}

// sampleText is long enough to need no padding.
const sampleText = "a request that fills an Ethernet frame"

func samples(t testing.TB) map[string][]byte {
	return map[string][]byte{
		"IPv4":        samplePacket(t, "10.0.0.2", "10.0.0.1", 0, []byte(sampleText)),
		"IPv6":        samplePacket(t, "fd00::2", "fd00::1", 0, []byte(sampleText)),
		"tagged IPv4": samplePacket(t, "10.0.0.2", "10.0.0.1", 5, []byte(sampleText)),
		"tagged IPv6": samplePacket(t, "fd00::2", "fd00::1", 5, nil),
	}
}

func TestParse(t *testing.T) {
	for name, packet := range samples(t) {
		var h headers
		if !parse(packet, &h) {
			t.Errorf("%s: refused", name)
			continue
		}
		want := port.Addr{IP: netip.MustParseAddr("10.0.0.2").As16(), Port: rawPeerPort}
		if h.v6 {
			want.IP = netip.MustParseAddr("fd00::2").As16()
		}
		from := port.Addr{IP: [16]byte{1, 2, 3, 4, 5, 6, 7, 8}} // what was in its place is gone
		h.readFrom(packet, &from)
		if from != want || h.localPort(packet) != testPortBase {
			t.Errorf("%s: from %v to port %d", name, from, h.localPort(packet))
		}
		got := packet[h.payload : int(h.payload)+int(h.bytes)]
		if string(got) != sampleText && len(got) != 0 {
			t.Errorf("%s: payload %q", name, got)
		}
	}
}

// TestParseRefuses changes one thing of a good packet at a time.
func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		name, packet string
		change       func(b []byte) []byte
	}{
		{"cut in Ethernet", "IPv4", func(b []byte) []byte { return b[:13] }},
		{"cut in IPv4", "IPv4", func(b []byte) []byte { return b[:33] }},
		{"cut in UDP", "IPv4", func(b []byte) []byte { return b[:41] }},
		{"cut in the payload", "IPv4", func(b []byte) []byte { return b[:len(b)-1] }},
		{"cut in IPv6", "IPv6", func(b []byte) []byte { return b[:53] }},
		{"cut in the payload", "IPv6", func(b []byte) []byte { return b[:len(b)-1] }},
		{"cut in the tag", "tagged IPv4", func(b []byte) []byte { return b[:17] }},
		{"to a group", "IPv4", set(0, 0x01)},
		{"from a group", "IPv4", set(6, 0x01)},
		{"ARP", "IPv4", set(13, 0x06)},
		{"two tags", "tagged IPv4", set(16, 0x81)},
		{"IPv4 options", "IPv4", set(14, 0x46)},
		{"IPv4 version", "IPv4", set(14, 0x65)},
		{"more fragments", "IPv4", set(20, 0x20)},
		{"fragment offset", "IPv4", set(21, 0x01)},
		{"TCP", "IPv4", set(23, 6)},
		{"TCP", "IPv6", set(20, 6)},
		{"IPv6 version", "IPv6", set(14, 0x40)},
		{"IPv4 total too long", "IPv4", set(17, 200)},
		{"IPv4 total too short", "IPv4", set(17, 19)},
		{"IPv4 without UDP", "IPv4", set(17, 27)},
		{"IPv6 too long", "IPv6", set(19, 200)},
		{"UDP longer than IP", "IPv4", set(39, 60)},
		{"UDP shorter than its header", "IPv4", set(39, 7)},
	} {
		var h headers
		if parse(c.change(samples(t)[c.packet]), &h) {
			t.Errorf("%s, %s: taken", c.packet, c.name)
		}
	}
}

func set(at int, to byte) func([]byte) []byte {
	return func(b []byte) []byte { b[at] = to; return b }
}

// slowParse is parse as one would say it: the oracle.
func slowParse(b []byte) (payload []byte, v6, ok bool) {
	take := func(n int) []byte {
		if n < 0 || n > len(b) {
			return nil
		}
		head := b[:n:n]
		b = b[n:]
		return head
	}
	ethernet := take(14)
	if ethernet == nil || ethernet[0]&1 == 1 || ethernet[6]&1 == 1 {
		return nil, false, false
	}
	kind := binary.BigEndian.Uint16(ethernet[12:])
	if kind == 0x8100 {
		tag := take(4)
		if tag == nil {
			return nil, false, false
		}
		kind = binary.BigEndian.Uint16(tag[2:])
	}
	var ip []byte
	bodyBytes := 0
	switch kind {
	case 0x0800:
		ip = take(20)
		if ip == nil || ip[0] != 0x45 || ip[6]&0x3f != 0 || ip[7] != 0 || ip[9] != 17 {
			return nil, false, false
		}
		bodyBytes = int(ip[2])<<8 + int(ip[3]) - 20
	case 0x86dd:
		ip, v6 = take(40), true
		if ip == nil || ip[0]&0xf0 != 0x60 || ip[6] != 17 {
			return nil, false, false
		}
		bodyBytes = int(ip[4])<<8 + int(ip[5])
	default:
		return nil, false, false
	}
	b = take(bodyBytes)
	udp := take(8)
	if udp == nil {
		return nil, false, false
	}
	payload = take(int(udp[4])<<8 + int(udp[5]) - 8)
	return payload, v6, payload != nil
}

func FuzzParse(f *testing.F) {
	for _, p := range samples(f) {
		f.Add(p, []byte("the reply"))
	}
	f.Fuzz(func(t *testing.T, packet, reply []byte) {
		var h headers
		ok := parse(packet, &h)
		want, v6, wantOK := slowParse(packet)
		if ok != wantOK {
			t.Fatalf("parse says %v, its slow twin %v", ok, wantOK)
		}
		if !ok {
			return
		}
		if got := packet[h.payload : int(h.payload)+int(h.bytes)]; !bytes.Equal(got, want) || h.v6 != v6 {
			t.Fatalf("payload %x (IPv6 %v), want %x (%v)", got, h.v6, want, v6)
		}
		checkTurned(t, packet, &h, reply[:min(len(reply), 1400)])
	})
}

// checkTurned makes the reply and takes it apart again.
func checkTurned(t *testing.T, request []byte, h *headers, reply []byte) {
	t.Helper()
	packet := append(append([]byte(nil), request[:h.payload]...), reply...)
	turnRound(packet, h, len(reply), checksum.Sum(reply))
	payload, v6, ok := slowParse(packet)
	if !ok || v6 != h.v6 || !bytes.Equal(payload, reply) {
		t.Fatalf("the reply does not parse: %x", packet)
	}
	ip, udp := packet[h.ip:h.udp()], packet[h.udp():]
	pseudo := uint16(0)
	if v6 {
		pseudo = checksum.PseudoIPv6([16]byte(ip[8:]), [16]byte(ip[24:]), 17, uint32(len(udp)))
	} else {
		pseudo = checksum.PseudoIPv4([4]byte(ip[12:]), [4]byte(ip[16:]), 17, uint16(len(udp)))
		if checksum.Sum(ip) != 0xffff {
			t.Fatalf("IPv4 header checksum: %x", ip)
		}
	}
	if !checksum.Verify(checksum.Add(pseudo, checksum.Sum(udp))) {
		t.Fatalf("UDP checksum: %x", packet)
	}
	old := request[h.udp():]
	if !bytes.Equal(packet[:6], request[6:12]) || !bytes.Equal(packet[6:12], request[:6]) ||
		!bytes.Equal(udp[:2], old[2:4]) || !bytes.Equal(udp[2:4], old[:2]) {
		t.Fatal("addresses are not swapped")
	}
}

func TestKernelVersions(t *testing.T) {
	for release, want := range map[string]kernelVersion{
		"6.18.44-generic": {6, 18, 44}, "6.6": {6, 6, 0}, "5.15.0-91+deb": {5, 15, 0}, "7.3.4": {7, 3, 4}, "": {}, "x": {},
		"6.18.44.1": {6, 18, 44},
	} {
		if got := parseKernel(release); got != want {
			t.Errorf("%q is %v, want %v", release, got, want)
		}
	}
	for release, want := range map[string]bool{"6.18.43": false, "6.18.44": true, "6.6.100": false, "7.0.0": true, "6.19.0": true} {
		if got := tailsSupported(parseKernel(release)) == nil; got != want {
			t.Errorf("tails on %s: %v", release, got)
		}
	}
	if multiBufferSupported(parseKernel("6.5.9")) == nil || multiBufferSupported(parseKernel("6.6.0")) != nil {
		t.Error("multi-buffer begins with 6.6")
	}
}

func BenchmarkTurnRound(b *testing.B) {
	for _, name := range []string{"IPv4", "IPv6"} {
		packet := samples(b)[name]
		b.Run(name, func(b *testing.B) {
			var h headers
			if !parse(packet, &h) {
				b.Fatal("the request does not parse")
			}
			for b.Loop() {
				turnRound(packet, &h, 100, 0x1234)
			}
		})
	}
}
