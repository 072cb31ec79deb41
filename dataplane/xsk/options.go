package xsk

import (
	"fmt"
	"math/bits"
	"time"

	"gannet/alloc"
)

// Bind is the way a socket is bound to its queue.
type Bind uint8

// Ways to bind.
const (
	BindCopy     Bind = iota // the kernel copies between its buffers and the frames
	BindZeroCopy             // the card reads and writes the frames
)

func (b Bind) String() string {
	if b == BindZeroCopy {
		return "zero-copy"
	}
	return "copy"
}

// Slabs is memory outside of the frames from which tails are sent in place. It
// must be a file on hugetlbfs or tmpfs, which the socket maps a second time, right
// behind its frames: a UMEM is one range of addresses.
type Slabs struct {
	Path  string
	Bytes []byte // the mapping in which the tails given to Send lie, from the file's start
	// Huge says that the file is on 2 MiB pages. Then replies can leave in place: a
	// packet may lie anywhere in such a page (XDP_UMEM_UNALIGNED_CHUNK_FLAG). On small
	// pages the kernel would swallow those that cross from one into another.
	Huge bool
	// OneDescriptor says that the driver takes no packets of several descriptors
	// (xdp_zc_max_segs is 1): XDP_USE_SG is not asked for, and tails are copied.
	OneDescriptor bool
}

// tails says whether tails leave as descriptors of their own.
func (s *Slabs) tails() bool { return s != nil && !s.OneDescriptor }

// inPlace says whether replies leave out of the slabs in one descriptor.
func (s *Slabs) inPlace() bool { return s != nil && s.Huge }

// Options says how to open the socket of one hardware queue.
type Options struct {
	Interface string
	Queue     int
	Bind      Bind
	// MultiBuffer asks for packets of several descriptors (XDP_USE_SG): requests
	// longer than a frame. The XDP program must be of the xdp.frags kind.
	MultiBuffer bool
	// Slabs, when set, are part of the UMEM. Unless they say OneDescriptor, that
	// implies XDP_USE_SG.
	Slabs *Slabs

	Frames     int // frames in all; 0 = 4,096
	FrameBytes int // 2,048 or 4,096; 0 = 4,096, but a Port chooses by the MTU
	Slots      int // entries in each queue, a power of two; 0 = half of Frames, rounded up
	MaxBatch   int // datagrams a Recv or Send takes; 0 = 64
	// HeadroomBytes are kept free in front of received packets, beyond the kernel's 256.
	HeadroomBytes int

	Huge     alloc.Huge // 2 MiB pages for the frames
	NUMANode int        // alloc.NoNUMA for any. The zero value is node 0
	// BindWait is how long to try again while the queue is taken: the kernel frees it
	// some time after the socket was closed, about 80 ms when its process was killed.
	// 0 = 500 ms; negative = try once.
	BindWait time.Duration
	// BusyPollMicros turns on preferred busy polling, with that many microseconds a
	// poll; 0 leaves it off.
	BusyPollMicros int
}

const (
	defaultFrames     = 4096
	defaultFrameBytes = 4096
	defaultMaxBatch   = 64
	defaultBindWait   = 500 * time.Millisecond
)

func orElse(v, fallback int) int {
	if v == 0 {
		return fallback
	}
	return v
}

func (o Options) withDefaults() Options {
	o.Frames = orElse(o.Frames, defaultFrames)
	o.FrameBytes = orElse(o.FrameBytes, defaultFrameBytes)
	o.Slots = orElse(o.Slots, nextPowerOfTwo(o.Frames/2))
	o.MaxBatch = orElse(o.MaxBatch, defaultMaxBatch)
	if o.BindWait == 0 {
		o.BindWait = defaultBindWait
	}
	return o
}

func nextPowerOfTwo(n int) int {
	if n <= 1 {
		return 1
	}
	return 1 << bits.Len(uint(n-1))
}

func (o Options) check() error {
	switch {
	case o.Interface == "":
		return fmt.Errorf("xsk: no interface given")
	case o.Queue < 0 || o.Queue > 1<<16-1:
		return fmt.Errorf("xsk: queue %d of %s: take 0 to 65,535", o.Queue, o.Interface)
	case o.FrameBytes != 2048 && o.FrameBytes != 4096:
		return fmt.Errorf("xsk: frames of %d bytes: the kernel takes 2,048 or 4,096", o.FrameBytes)
	case o.Frames < 8 || o.Frames > 1<<22:
		return fmt.Errorf("xsk: %d frames: take 8 to 4,194,304", o.Frames)
	case o.HeadroomBytes < 0 || o.HeadroomBytes > 512:
		return fmt.Errorf("xsk: headroom of %d bytes: take 0 to 512", o.HeadroomBytes)
	case o.Slots < 4 || o.Slots > 1<<17 || o.Slots&(o.Slots-1) != 0:
		return fmt.Errorf("xsk: queues of %d entries: take a power of two from 4 to 131,072", o.Slots)
	case o.MaxBatch < 1 || o.MaxBatch > o.Slots:
		return fmt.Errorf("xsk: batches of %d: take 1 to the %d entries of a queue", o.MaxBatch, o.Slots)
	case o.BusyPollMicros < 0:
		return fmt.Errorf("xsk: busy polling for %d µs: take 0 or more", o.BusyPollMicros)
	}
	return nil
}
