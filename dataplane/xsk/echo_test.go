package xsk

import (
	"testing"

	"gannet/dataplane/port"
)

// BenchmarkEcho carries 128-byte requests and replies of 112 bytes and a copied 1 KB
// over veth. Both ends run on this goroutine: the figure is what one core does for
// port, kernel and a raw client together.
func BenchmarkEcho(b *testing.B) {
	for name, batch := range map[string]int{"batch 1": 1, "batch 16": 16, "batch 64": 64} {
		b.Run(name, func(b *testing.B) { benchmarkEcho(b, batch) })
	}
}

func benchmarkEcho(b *testing.B, batch int) {
	net := newTopology(b, 1, 1500)
	l := net.open(b, ladderOptions(port.RungXDPCopy))
	p := l.Ports[0]
	client := newRawPeer(b, net, "10.77.0.1", "10.77.0.2", 0)
	request, err := client.build(make([]byte, 128))
	if err != nil {
		b.Fatal(err)
	}
	tail := make([]byte, 1024)
	rx, tx := make([]port.Rx, batch), make([]port.Tx, batch)
	descs, addrs := make([]Desc, batch), make([]uint64, batch)
	b.ReportAllocs()
	for b.Loop() {
		client.burst(request, descs)
		for left := batch; left > 0; {
			n := p.Recv(rx[:left])
			for i := range n {
				tx[i] = port.Tx{Frame: rx[i].Frame, Bytes: 112, Tail: tail, HasSum: true}
			}
			p.Send(tx[:n])
			_ = p.Flush()
			left -= n
		}
		client.collect(descs, addrs)
	}
	b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "echoes/s")
}

// burst sends one request in each of descs.
func (r *rawPeer) burst(request []byte, descs []Desc) {
	for i := range descs {
		descs[i] = Desc{Addr: r.free[len(r.free)-1-i], Len: uint32(len(request))}
		copy(r.sock.Bytes(descs[i]), request)
	}
	r.free = r.free[:len(r.free)-len(descs)]
	r.sock.Submit(descs)
	_ = r.sock.Push()
}

// collect receives as many replies and gives all frames back.
func (r *rawPeer) collect(descs []Desc, addrs []uint64) {
	for left := len(descs); left > 0; {
		n := r.sock.Receive(descs[:left])
		for i, d := range descs[:n] {
			addrs[i] = d.Addr &^ uint64(r.sock.FrameBytes()-1)
		}
		r.sock.Supply(addrs[:n])
		left -= n
	}
	for left := len(descs); left > 0; {
		n := r.sock.Reclaim(addrs[:left])
		r.free = append(r.free, addrs[:n]...)
		left -= n
	}
}
