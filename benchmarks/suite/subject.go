package suite

import (
	"time"

	"gannet/benchmarks/load"
	"gannet/benchmarks/rival"
	"gannet/loadgen/bench"
	"gannet/test/lab"
	"gannet/wire"
)

// Subject is one server under one load.
type Subject struct {
	ID       string         `json:"id"`
	Title    string         `json:"title"`
	Kind     rival.Kind     `json:"kind"`
	Protocol bench.Protocol `json:"protocol"`
	Keys     int            `json:"keys"`
	// ValueBytes of each value. Echo: payload of each frame.
	ValueBytes     int     `json:"value_bytes"`
	WriteRatio     float64 `json:"write_ratio"`
	KeysPerRequest int     `json:"keys_per_request"`
	InFlight       int     `json:"in_flight"` // requests
	Connections    int     `json:"connections"`
	PadToReply     bool    `json:"pad_to_reply"`
	MTU            int     `json:"mtu"`
	// Settle is waited under load before measuring, beside the suite's warm-up.
	Settle time.Duration `json:"settle_ns"`
	// Ballast is the share of the server's core that is taken away while it is
	// saturated, the same for all subjects that are compared.
	Ballast float64 `json:"ballast"`
	// KernelAnswers says that the server's process is expected to have nothing to do.
	KernelAnswers bool     `json:"kernel_answers"`
	Flags         []string `json:"flags,omitempty"`
}

// Sizes that the goals name.
const (
	keyCount   = 10_000
	keyBytes   = 16
	kilobyte   = 1024
	smallValue = 100
	batchKeys  = 16
	inFlight   = 256
	// batchesInFlight requests of 16 keys.
	batchesInFlight = 128
	plainMTU        = 1500
	jumboMTU        = 3498 // the greatest that native XDP takes on veth without multi-buffer frames
	headerBytes     = 14 + 20 + 8
	hotKeys         = 16
	tcpClients      = 128
)

// paddedFrameBytes is the frame of a GET of a small value that was padded to the length
// of its reply. The reply itself leaves the padding of its last value away: 4 bytes.
const paddedFrameBytes = headerBytes + wire.ReplyHeaderBytes + wire.ReplyOpHeaderBytes + (smallValue+7)/8*8

func get(id, title string, kind rival.Kind, p bench.Protocol, valueBytes int) Subject {
	return Subject{
		ID: id, Title: title, Kind: kind, Protocol: p, Keys: keyCount, ValueBytes: valueBytes,
		KeysPerRequest: 1, InFlight: inFlight, Connections: 1, MTU: plainMTU,
	}
}

// over spreads the load over connections, with one request on its way on each.
func (s Subject) over(connections int) Subject {
	s.Connections, s.InFlight = connections, connections
	return s
}

// batched asks for 16 keys at a time. Fewer requests are on their way then: memcached
// answers with a datagram a key, and the link's queues hold 256.
func (s Subject) batched() Subject {
	s.KeysPerRequest, s.InFlight = batchKeys, batchesInFlight
	return s
}

func (s Subject) writing() Subject {
	s.WriteRatio = 1
	return s
}

func (s Subject) jumbo() Subject {
	s.MTU = jumboMTU
	return s
}

func (s Subject) padded() Subject {
	s.PadToReply = true
	return s
}

func (s Subject) hot() Subject {
	s.PadToReply, s.KernelAnswers, s.Keys, s.Settle = true, true, hotKeys, 1500*time.Millisecond
	s.Flags = append(s.Flags, "--hot-keys=on") // by itself it is off on veth
	return s
}

// frames is a yardstick that answers frames of one length with the same.
func frames(id, title string, kind rival.Kind, frameBytes int) Subject {
	return get(id, title, kind, bench.Echo, frameBytes-headerBytes)
}

// tcp says whether the load needs connections, and so kernel sockets.
func (s Subject) tcp() bool { return s.Protocol == bench.MemcachedTCP || s.Protocol == bench.Redis }

// lossy says that a lost datagram looks like a miss: memcached answers a multi-get over
// UDP with a datagram a key, and does not number them. The server has done its work for
// such a key, and it counts.
func (s Subject) lossy() bool { return s.Protocol == bench.MemcachedUDP && s.KeysPerRequest > 1 }

// job is the subject's load, closed loop.
func (s Subject) job(t timing, generatorCPU int) load.Job {
	j := load.Job{
		Protocol: s.Protocol, Server: rival.Address(s.Protocol), Datapath: bench.XDP, Interface: lab.ClientDevice,
		InFlight: s.InFlight, Keys: s.Keys, ValueBytes: s.ValueBytes, WriteRatio: s.WriteRatio,
		KeysPerRequest: s.KeysPerRequest, Connections: s.Connections, PadToReply: s.PadToReply,
		CPU: generatorCPU, Preload: s.Protocol != bench.Echo, WarmUp: t.warmUp + s.Settle, Duration: t.measure,
		Timeout: closedPatience, Seed: 1,
	}
	if s.tcp() {
		j.Datapath, j.Interface, j.Timeout = bench.UDP, "", openPatience
	}
	return j
}

// How long a request may be on its way. In a closed loop a lost datagram must not
// hold its place for long: memcached drops so many that the rest would not fill its
// core. In an open loop nothing waits for it.
const (
	closedPatience = 50 * time.Millisecond
	openPatience   = time.Second
)

// paced is the subject's load at a rate, open loop.
func (s Subject) paced(t timing, generatorCPU int, rate float64) load.Job {
	j := s.job(t, generatorCPU)
	j.InFlight, j.Rate, j.Timeout = 0, rate, openPatience
	return j
}
