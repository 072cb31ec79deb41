package bench

import (
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"pgregory.net/rapid"

	"gannet/checksum"
)

func drawRoute(t *rapid.T) *route {
	r := &route{mac: [6]byte{2, 1}, nextHop: [6]byte{2, 2}}
	if rapid.Bool().Draw(t, "v6") {
		b := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "addresses")
		r.from, r.to = netip.AddrFrom16([16]byte(b)), netip.AddrFrom16([16]byte(b[16:]))
		return r
	}
	b := rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "addresses")
	r.from, r.to = netip.AddrFrom4([4]byte(b)), netip.AddrFrom4([4]byte(b[4:]))
	return r
}

// TestFrames holds headers against another implementation.
func TestFrames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRoute(t)
		// Ports that gopacket takes for no other protocol.
		source, port := rapid.Uint16Range(30000, 32000).Draw(t, "source"), rapid.Uint16Range(30000, 32000).Draw(t, "port")
		payload := rapid.SliceOfN(rapid.Byte(), 0, 1400).Draw(t, "payload")
		f := newFlow(r, source, port)
		packet := make([]byte, len(f.header)+len(payload))
		for i := range packet {
			packet[i] = 0xAA // whatever the frame held before
		}
		copy(packet[len(f.header):], payload)
		f.put(packet, len(payload))

		p := gopacket.NewPacket(packet, layers.LayerTypeEthernet, gopacket.Default)
		if e := p.ErrorLayer(); e != nil {
			t.Fatal(e.Error())
		}
		udp := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
		if uint16(udp.SrcPort) != source || uint16(udp.DstPort) != port || string(udp.Payload) != string(payload) {
			t.Fatalf("%v", udp)
		}
		if ip, ok := p.NetworkLayer().(*layers.IPv4); ok {
			if checksum.Sum(ip.Contents) != 0xffff || udp.Checksum != 0 || ip.SrcIP.String() != r.from.String() {
				t.Fatalf("%+v", ip)
			}
		} else {
			whole := append(append([]byte(nil), udp.Contents...), udp.Payload...)
			pseudo := checksum.PseudoIPv6(r.from.As16(), r.to.As16(), protocolUDP, uint32(udp.Length))
			if udp.Checksum == 0 || !checksum.Verify(checksum.Add(pseudo, checksum.Sum(whole))) {
				t.Fatalf("bad UDP checksum %#04x", udp.Checksum)
			}
		}
		if got, ok := parse(packet); !ok || got.source != source || got.destination != port || string(got.payload) != string(payload) {
			t.Fatalf("parsed as %+v", got)
		}
		if got, ok := parse(packet[:rapid.IntRange(0, len(packet)-1).Draw(t, "cut")]); ok {
			t.Fatalf("a packet cut short parsed as %+v", got)
		}
	})
}
