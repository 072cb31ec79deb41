package bpf

import (
	"bytes"
	"testing"
)

// What is redirected arrives in the socket's memory as it was sent, with the
// metadata in the bytes before it.
func TestRedirectedPacketsArrive(t *testing.T) {
	for _, mode := range []Mode{Native, Generic} {
		t.Run(mode.String(), func(t *testing.T) {
			inNamespace(t)
			near, far := vethPair(t, 1, 1500)
			ifindex := far.Attrs().Index
			b := loadIdle(t, testConfig())
			b.attach(ifindex, mode)
			in := openReceiver(t, ifindex, 0)
			if err := b.RegisterSocket(0, in.fd); err != nil {
				t.Fatal(err)
			}
			out := openWire(t, near.Attrs().Index)
			for _, c := range goodCases(t) {
				before := bootNanos(t)
				b.Stamp(0, before)
				out.send(c.frame)
				front, frame := in.receive()
				if !bytes.Equal(frame, c.frame) {
					t.Fatalf("%s: sent %x, received %x", c.name, c.frame, frame)
				}
				meta, ok := ReadMeta(front)
				if !ok || meta.Queue != 0 || meta.ArrivalNanos < before || meta.ArrivalNanos > bootNanos(t) {
					t.Fatalf("%s: metadata %+v %v", c.name, meta, ok)
				}
			}
		})
	}
}
