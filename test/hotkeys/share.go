package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"gannet/loadgen/synthetic"
	"gannet/wire"
)

// load is a closed loop of GETs from one socket, so many in flight, keys drawn by
// Zipf. Those of the most frequent keys are padded, as a client would do that has
// found them with a sketch.
type load struct {
	client *client
	batch  *ipv4.PacketConn
	zipf   *synthetic.Zipf
	random *rand.Rand
	out    []ipv4.Message
	in     []ipv4.Message
	header wire.RequestHeader
	lost   int64 // GETs without an answer in time
}

const (
	loadKeys   = 100_000
	loadAlpha  = 1.2
	loadPadded = 64 // most frequent keys
	loadValue  = 104
	inFlight   = 128
	loadBatch  = 32
	lossAfter  = 100 * time.Millisecond
	keyBits    = 20 // of a request id
)

func loadKey(dst []byte, n uint64) []byte { return fmt.Appendf(dst, "key-%012d", n) }

// loadValueOf tells its key in every word.
func loadValueOf(dst []byte, n uint64) []byte {
	for range loadValue / wordBytes {
		dst = binary.LittleEndian.AppendUint64(dst, n)
	}
	return dst
}

func newLoad(n *node, seed uint64) (*load, error) {
	c, err := n.dial(serverIPv4)
	if err != nil {
		return nil, err
	}
	l := &load{client: c, batch: ipv4.NewPacketConn(c.conn), header: c.header, random: rand.New(rand.NewPCG(seed, 1))}
	if l.zipf, err = synthetic.NewZipf(loadAlpha, loadKeys); err != nil {
		return nil, errors.Join(err, c.conn.Close())
	}
	_ = c.conn.SetReadBuffer(8 << 20) // best effort
	for range loadBatch {
		l.out = append(l.out, ipv4.Message{Buffers: [][]byte{make([]byte, 0, 512)}})
		l.in = append(l.in, ipv4.Message{Buffers: [][]byte{make([]byte, 2048)}})
	}
	return l, l.fill()
}

// fill stores all keys, many in a datagram.
func (l *load) fill() error {
	const each = 7
	for from := uint64(1); from <= loadKeys; from += each {
		c := l.client
		c.header.RequestID++
		c.request = wire.AppendRequest(c.request[:0], &c.header)
		for n := from; n < min(from+each, loadKeys+1); n++ {
			c.request = wire.AppendOp(c.request, 0, &wire.Op{Code: wire.Put, Key: loadKey(nil, n), Value: loadValueOf(nil, n)})
		}
		if err := l.send1(); err != nil {
			return fmt.Errorf("store key %d: %w", from, err)
		}
	}
	return nil
}

func (l *load) send1() error {
	for range 5 {
		if _, err := l.client.conn.Write(l.client.request); err != nil {
			return err
		}
		if _, err := l.client.receive(); !errors.Is(err, errNoReply) {
			return err
		}
	}
	return errNoReply
}

// run asks for that long and returns how many GETs were answered right.
func (l *load) run(ctx context.Context, lasts time.Duration) (answered int64, err error) {
	runtime.LockOSThread() // never unlocked: the thread, with its CPU, ends with the goroutine
	if err := pin(clientCPU); err != nil {
		return 0, err
	}
	end := time.Now().Add(lasts)
	open := 0
	for now := time.Now(); now.Before(end) && ctx.Err() == nil; now = time.Now() {
		for open+loadBatch <= inFlight {
			n, err := l.ask()
			if err != nil {
				return answered, err
			}
			open += n
		}
		n, err := l.collect(now)
		if errors.Is(err, errNoReply) {
			l.lost += int64(open)
			open = 0
			continue
		}
		if err != nil {
			return answered, err
		}
		open -= min(n, open)
		answered += int64(n)
	}
	return answered, ctx.Err()
}

func (l *load) ask() (int, error) {
	for i := range l.out {
		l.header.RequestID += 1 << keyBits
		number := l.zipf.Draw(l.random)
		h := l.header
		h.RequestID = l.header.RequestID&^(1<<keyBits-1) | number
		var room [32]byte
		key := loadKey(room[:0], number)
		h.KeyHash = wire.KeyHash(key)
		b := wire.AppendRequest(l.out[i].Buffers[0][:0], &h)
		op := wire.Op{Code: wire.Get, Key: key}
		if number <= loadPadded {
			op.Value = zeros[:padding(len(key), loadValue)]
		}
		l.out[i].Buffers[0] = wire.AppendOp(b, 0, &op)
	}
	n, err := l.batch.WriteBatch(l.out, 0)
	if err != nil {
		return n, fmt.Errorf("send: %w", err)
	}
	return n, nil
}

var zeros [1024]byte

func (l *load) collect(now time.Time) (int, error) {
	if err := l.client.conn.SetReadDeadline(now.Add(lossAfter)); err != nil {
		return 0, err
	}
	n, err := l.batch.ReadBatch(l.in, 0)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return 0, errNoReply
	}
	if err != nil {
		return 0, fmt.Errorf("receive: %w", err)
	}
	for i := range n {
		if err := checkLoadReply(l.in[i].Buffers[0][:l.in[i].N]); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// checkLoadReply compares a value with its key, whose number the request id tells.
func checkLoadReply(payload []byte) error {
	var reply wire.Reply
	var op wire.ReplyOp
	if reason := wire.ParseReply(payload, &reply); reason != wire.ReasonNone {
		return fmt.Errorf("reply does not parse: %v", reason)
	}
	ops := reply.Ops()
	if !ops.Next(&op) || op.Status != wire.StatusOK || !op.Intact() || len(op.Value) != loadValue {
		return fmt.Errorf("reply %d: %v, %d bytes, intact: %v", reply.RequestID, op.Status, len(op.Value), op.Intact())
	}
	if number := binary.LittleEndian.Uint64(op.Value); number != reply.RequestID&(1<<keyBits-1) {
		return fmt.Errorf("reply %d shows the value of key %d", reply.RequestID, number)
	}
	return nil
}

func pin(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("hotkeys: pin to CPU %d: %w", cpu, err)
	}
	return nil
}

// coreNanos is the run time of all that serves: the loop's thread and the kernel
// thread that polls the server's end.
func (n *node) coreNanos() (sum int64, err error) {
	for _, tid := range append(slices.Clone(n.napi.Server), n.board.Heartbeat(0).Thread()) {
		data, err := os.ReadFile("/proc/" + strconv.Itoa(tid) + "/schedstat")
		if err != nil {
			return 0, fmt.Errorf("hotkeys: %w", err)
		}
		nanos, err := strconv.ParseInt(strings.Fields(string(data))[0], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("hotkeys: %w", err)
		}
		sum += nanos
	}
	return sum, nil
}

// figures are those of one round.
type figures struct {
	gets   int64
	kernel uint64 // of these
	lost   int64
	nanos  float64 // of the server's core, a GET
}

func (n *node) round(ctx context.Context, l *load, lasts time.Duration) (f figures, err error) {
	hits, lost := n.answered(), l.lost
	before, err := n.coreNanos()
	if err != nil {
		return f, err
	}
	done := make(chan error)
	go func() {
		var err error
		f.gets, err = l.run(ctx, lasts)
		done <- err
	}()
	if err := <-done; err != nil {
		return f, err
	}
	after, err := n.coreNanos()
	if err != nil {
		return f, err
	}
	if f.gets == 0 {
		return f, errors.New("no GET was answered")
	}
	f.kernel, f.lost = n.answered()-hits, l.lost-lost
	f.nanos = float64(after-before) / float64(f.gets)
	return f, nil
}
