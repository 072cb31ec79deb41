package bench

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"gannet/loadgen/synthetic"
	"gannet/wire"
)

// ErrOptions is wrapped by errors about options that make no sense.
var ErrOptions = errors.New("bench options")

// Protocol is what is spoken.
type Protocol string

// The protocols. Echo sends datagrams to something that sends them back as they are.
const (
	Gannet       Protocol = "gannet"
	MemcachedUDP Protocol = "memcached-udp"
	MemcachedTCP Protocol = "memcached-tcp"
	Redis        Protocol = "redis"
	Echo         Protocol = "echo"
)

// Datapath is how datagrams leave and arrive.
type Datapath string

// The datapaths. Connections (TCP) always take kernel sockets.
const (
	UDP Datapath = "udp" // kernel sockets, sendmmsg and recvmmsg
	XDP Datapath = "xdp" // AF_XDP sockets on Options.Interface
)

// Arrivals is the law of an open loop's schedule.
type Arrivals string

// The laws.
const (
	Poisson Arrivals = "poisson" // independent of each other: exponential gaps
	Uniform Arrivals = "uniform" // equal gaps
)

// Options says what load to offer, to whom, and how.
type Options struct {
	Protocol Protocol
	Server   netip.AddrPort // Gannet: any shard of the node

	Datapath  Datapath
	Interface string // XDP: the interface whose queues the sockets bind to
	Queues    []int  // XDP: the queue of each thread; nil = thread i has queue i
	// SourcePort is the first of the source ports that XDP takes, 0 = 20000. They
	// must not be those of kernel sockets on the same address.
	SourcePort uint16

	Open     bool // open loop: Rate; else closed: InFlight
	Rate     float64
	Arrivals Arrivals // "" = Poisson
	InFlight int      // closed loop: requests on their way, over all threads

	Keys           int
	KeyBytes       int                   // 0 = 16
	ValueSize      Sizes                 // nil = Fixed(100). Echo: payload bytes of a datagram
	ZipfS          float64               // 0 = uniform
	Popularity     *synthetic.Popularity // a model's, instead of ZipfS
	WriteRatio     float64               // share of the requests that store, 0 to 1
	TTLSeconds     uint32                // of what is stored; 0 = none
	KeysPerRequest int                   // operations a datagram, keys a multi-get, commands a pipeline; 0 = 1

	// Connections of each thread: source ports (Gannet: to each shard), or TCP
	// connections. 0 = 1.
	Connections int
	Threads     int   // 0 = 1
	CPUs        []int // that the threads are pinned to, in turn; nil leaves it to the kernel
	// Spin keeps a thread that has nothing to do from sleeping. It wants a core of
	// its own: beside a NAPI thread on the same core it is much slower.
	Spin bool

	Preload  bool          // store every key first
	WarmUp   time.Duration // offered, not counted
	Duration time.Duration
	Timeout  time.Duration // a request without answer is lost after it; 0 = 1 s
	// Budget is the time within which an answer is of use: later ones count as late.
	// Gannet's requests carry it. 0 = no such time.
	Budget time.Duration

	// SkipVerify compares no values. What does not belong counts as corrupt.
	SkipVerify bool
	// PadToReply makes GETs as long as their replies, as keys in the kernel's table of
	// hot keys need (docs/hotkeys.md). Only Gannet with one key a request.
	PadToReply bool
	Stages     bool // Gannet: ask for the stage times
	// MaxReplyBytes is the longest reply datagram asked for; 0 = what the MTU takes
	// with XDP, else 1472. Gannet only.
	MaxReplyBytes int
	Seed          uint64

	// Progress, if set, is called at each change of phase, once a second within one,
	// and at the end, from one goroutine.
	Progress func(Progress)
}

// Phase is a part of a run.
type Phase string

// The phases, in order.
const (
	PhasePreload Phase = "preload"
	PhaseWarmUp  Phase = "warm-up"
	PhaseMeasure Phase = "measure"
	PhaseDrain   Phase = "drain" // the last replies are waited for
	PhaseDone    Phase = "done"
)

// Progress is the state of a run at one moment. Counts are of the whole run up to
// now, warm-up included, without the preload: the difference of two calls is what
// happened between them.
type Progress struct {
	Phase     Phase
	Of        time.Duration // length of the phase, as far as known
	Elapsed   time.Duration // of the phase
	BootNanos int64         // CLOCK_BOOTTIME of this moment
	Stored    int           // preload: keys stored so far
	Requests  uint64        // sent
	Replies   uint64        // requests answered
	Keys      uint64        // operations answered
	Lost      uint64
	Errors    uint64
}

const (
	defaultKeyBytes   = 16
	defaultValueBytes = 100
	defaultTimeout    = time.Second
	defaultSourcePort = 20000

	mostKeys        = 1 << 30
	mostThreads     = 256
	mostConnections = 1024
	mostInFlight    = 1 << 15
)

func optionError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrOptions, fmt.Sprintf(format, args...))
}

func orElse[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}

func (o Options) withDefaults() Options {
	o.Protocol = orElse(o.Protocol, Gannet)
	o.Datapath = orElse(o.Datapath, UDP)
	o.Arrivals = orElse(o.Arrivals, Poisson)
	o.SourcePort = orElse(o.SourcePort, defaultSourcePort)
	o.KeyBytes = orElse(o.KeyBytes, defaultKeyBytes)
	o.KeysPerRequest = orElse(o.KeysPerRequest, 1)
	o.Connections = orElse(o.Connections, 1)
	o.Threads = orElse(o.Threads, 1)
	o.Timeout = orElse(o.Timeout, defaultTimeout)
	if o.ValueSize == nil {
		o.ValueSize = Fixed(defaultValueBytes)
	}
	if o.Protocol == Echo {
		o.Keys, o.Preload, o.WriteRatio = 1, false, 0
	}
	return o
}

// stream says that the protocol wants connections.
func (p Protocol) stream() bool { return p == MemcachedTCP || p == Redis }

func (o *Options) check() error {
	for _, check := range []func() error{o.checkTarget, o.checkLoad, o.checkKeys, o.checkThreads} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (o *Options) checkTarget() error {
	switch o.Protocol {
	case Gannet, MemcachedUDP, MemcachedTCP, Redis, Echo:
	default:
		return optionError("protocol %q: use gannet, memcached-udp, memcached-tcp, redis or echo", o.Protocol)
	}
	switch {
	case !o.Server.IsValid() || o.Server.Port() == 0:
		return optionError("no server: give an address and a port")
	case o.Datapath != UDP && o.Datapath != XDP:
		return optionError("datapath %q: use udp or xdp", o.Datapath)
	case o.Datapath == XDP && o.Protocol.stream():
		return optionError("%s takes connections, and those are the kernel's: leave the datapath at udp", o.Protocol)
	case o.Datapath == XDP && o.Interface == "":
		return optionError("the datapath xdp needs an interface")
	case o.Datapath == XDP && len(o.Queues) > 0 && len(o.Queues) < o.Threads:
		return optionError("%d queues for %d threads: each thread takes a queue of its own", len(o.Queues), o.Threads)
	}
	return nil
}

func (o *Options) checkLoad() error {
	switch {
	case o.Open && !(o.Rate >= 1 && o.Rate <= 1e9):
		return optionError("open loop at %g requests a second: give 1 or more", o.Rate)
	case o.Open && o.Arrivals != Poisson && o.Arrivals != Uniform:
		return optionError("arrivals %q: use poisson or uniform", o.Arrivals)
	case !o.Open && (o.InFlight < o.Threads || o.InFlight > mostInFlight):
		return optionError("closed loop with %d requests in flight: give %d, one a thread, to %d", o.InFlight, o.Threads, mostInFlight)
	case o.Duration < 10*time.Millisecond:
		return optionError("duration %v: give 10ms or more", o.Duration)
	case o.WarmUp < 0 || o.Timeout < time.Millisecond || o.Budget < 0:
		return optionError("warm-up %v, timeout %v, budget %v: none may be negative, and the timeout not under 1ms", o.WarmUp, o.Timeout, o.Budget)
	case !(o.WriteRatio >= 0 && o.WriteRatio <= 1):
		return optionError("write ratio %g: give 0 to 1", o.WriteRatio)
	}
	return nil
}

func (o *Options) checkKeys() error {
	switch {
	case o.Keys < 1 || o.Keys > mostKeys:
		return optionError("%d keys: give 1 to %d", o.Keys, mostKeys)
	case o.KeyBytes < minKeyBytes || o.KeyBytes > wire.MaxKeyBytes:
		return optionError("keys of %d bytes: give %d to %d", o.KeyBytes, minKeyBytes, wire.MaxKeyBytes)
	case o.KeysPerRequest < 1 || o.KeysPerRequest > wire.MaxOps:
		return optionError("%d keys a request: give 1 to %d", o.KeysPerRequest, wire.MaxOps)
	case o.TTLSeconds > wire.MaxTTLSeconds:
		return optionError("a TTL of %d s: give at most %d", o.TTLSeconds, wire.MaxTTLSeconds)
	case o.PadToReply && (o.Protocol != Gannet || o.KeysPerRequest > 1):
		return optionError("only gannet's requests of one key can be padded to the length of their replies")
	case o.MaxReplyBytes != 0 && (o.MaxReplyBytes < wire.MinReplyRoomBytes || o.MaxReplyBytes > 65507):
		return optionError("replies of at most %d bytes: give %d to 65507", o.MaxReplyBytes, wire.MinReplyRoomBytes)
	case o.Protocol == MemcachedUDP && o.WriteRatio > 0 && o.KeysPerRequest > 1:
		return optionError("memcached takes one set a datagram: give 1 key a request, or no writes")
	case o.Protocol == Echo && (o.KeysPerRequest > 1 || o.ValueSize.Max() < echoHeaderBytes):
		return optionError("echo wants one operation a request, and a value size of %d or more: the payload", echoHeaderBytes)
	}
	return nil
}

func (o *Options) checkThreads() error {
	switch {
	case o.Threads < 1 || o.Threads > mostThreads:
		return optionError("%d threads: give 1 to %d", o.Threads, mostThreads)
	case o.Connections < 1 || o.Connections > mostConnections:
		return optionError("%d connections a thread: give 1 to %d", o.Connections, mostConnections)
	case o.Protocol.stream() && !o.Open && o.InFlight < o.Threads*o.Connections:
		return optionError("%d requests in flight over %d connections: give at least as many", o.InFlight, o.Threads*o.Connections)
	}
	return nil
}
