package wire

import (
	"bytes"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/gopacket/gopacket/pcapgo"
)

// TestDissectorReadsCapturedTraffic sends requests and replies between two sockets on the loopback interface, and has tshark read
// what a packet socket captured there: frames as the kernel made them, checksums left to the hardware and all.
func TestDissectorReadsCapturedTraffic(t *testing.T) {
	handle, err := pcapgo.NewEthernetHandle("lo")
	if err != nil {
		t.Skipf("no packet socket on lo (it takes CAP_NET_RAW): %v", err)
	}
	defer handle.Close()
	node, client := loopbackSocket(t), loopbackSocket(t)
	requests, replies := requestCases(), replyCases()
	var frames [][]byte
	for i := range requests {
		frames = append(frames, sendAndCapture(t, handle, client, node, requests[i].build()))
	}
	for _, c := range replies {
		frames = append(frames, sendAndCapture(t, handle, node, client, buildReply(&c.header, c.ops)))
	}
	shown := dissectFrames(t, frames)
	if len(shown) != len(requests)+len(replies) {
		t.Fatalf("%d frames are shown of %d requests and %d replies", len(shown), len(requests), len(replies))
	}
	for i := range requests {
		expectRequest(t, shown[i], &requests[i])
	}
	for i := range replies {
		expectReply(t, shown[len(requests)+i], &replies[i])
	}
}

func loopbackSocket(t *testing.T) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// sendAndCapture sends one datagram and returns the frame in which it went. The loopback interface shows each frame twice, leaving
// and arriving; the second one is skipped while the next datagram is waited for, because its payload is another.
func sendAndCapture(t *testing.T, handle *pcapgo.EthernetHandle, from, to *net.UDPConn, datagram []byte) []byte {
	t.Helper()
	target := to.LocalAddr().(*net.UDPAddr)
	if _, err := from.WriteToUDP(datagram, target); err != nil {
		t.Fatal(err)
	}
	ports := slices.Concat(bigEndian(from.LocalAddr().(*net.UDPAddr).Port), bigEndian(target.Port))
	const headerBytes = 14 + 20 + 8
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		frame, _, err := handle.ReadPacketData()
		if err != nil {
			t.Fatal(err)
		}
		if len(frame) >= headerBytes && bytes.Equal(frame[34:38], ports) && bytes.Equal(frame[headerBytes:], datagram) {
			return slices.Clone(frame)
		}
	}
	t.Fatal("the datagram was not captured")
	return nil
}

func bigEndian(port int) []byte {
	return []byte{byte(port >> 8), byte(port)}
}
