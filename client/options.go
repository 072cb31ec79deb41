package client

import (
	"fmt"
	"time"

	"gannet/security/mtls"
)

// Defaults of the options; each option's comment says when to change it.
const (
	DefaultTimeout     = time.Second
	DefaultSourcePorts = 4
	DefaultMinRTO      = time.Millisecond
	DefaultMaxRTO      = 100 * time.Millisecond
	DefaultRetryShare  = 0.1
	DefaultLoadBound   = 1.25
	DefaultRefreshers  = 8
	// DefaultMaxPayload fits 1500-byte Ethernet frames: 1500 − 20 − 8.
	DefaultMaxPayload = 1472
)

// settings are the options after they were applied.
type settings struct {
	timeout         time.Duration
	sourcePorts     int
	minRTO, maxRTO  time.Duration
	maxPayloadBytes int
	probePath       bool // look for longer ones
	retryShare      float64
	loadBound       float64
	l1Bytes         int
	l1Longest       time.Duration
	control         *mtls.Store
	refreshers      int
	breaker         breakerSettings
	noPadding       bool
	incast          IncastMode
	linkBits        int64 // 0 = as the interface says
}

// Option changes one setting of Open.
type Option func(*settings) error

// WithTimeout bounds every call whose context has no earlier deadline. Make it
// longer than a node's restart (about a second) to ride over one.
func WithTimeout(d time.Duration) Option {
	return func(s *settings) error {
		if d <= 0 {
			return fmt.Errorf("%w: timeout %v: give a positive duration", ErrBadRequest, d)
		}
		s.timeout = d
		return nil
	}
}

// WithSourcePorts sets how many sockets the client keeps to each shard. More
// find the right receive queue sooner where the NIC spreads by port, and spread
// the reading of replies over more goroutines.
func WithSourcePorts(n int) Option {
	return func(s *settings) error {
		if n < 1 || n > 64 {
			return fmt.Errorf("%w: %d source ports: give 1 to 64", ErrBadRequest, n)
		}
		s.sourcePorts = n
		return nil
	}
}

// WithRetransmit sets the shortest and longest time to wait for an answer
// before asking again. Between them the time follows the measured round trips:
// smoothed mean plus four mean deviations, doubled after each silence.
func WithRetransmit(shortest, longest time.Duration) Option {
	return func(s *settings) error {
		if shortest < 10*time.Microsecond || longest < shortest {
			return fmt.Errorf("%w: retransmit between %v and %v: give at least 10µs, and longest ≥ shortest", ErrBadRequest, shortest, longest)
		}
		s.minRTO, s.maxRTO = shortest, longest
		return nil
	}
}

// WithRetryShare bounds what is sent beyond one datagram a call, as a share of all
// calls: second questions to another replica, and what is sent again after a silence.
// What a quiet time saves up, a bad moment may use: 64 datagrams at most. Where the way
// loses more than that and the node is well, what is lost is sent again all the same.
func WithRetryShare(share float64) Option {
	return func(s *settings) error {
		if !(share >= 0 && share <= 1) {
			return fmt.Errorf("%w: retry share %v: give 0 to 1", ErrBadRequest, share)
		}
		s.retryShare = share
		return nil
	}
}

// WithLoadBound sets how much busier than the mean of a key's replicas its leader
// may be before some of its reads go to the others. Larger keeps reads on leaders. Once
// a good part goes, it bounds how many more reads than the others each replica gets, too.
func WithLoadBound(factor float64) Option {
	return func(s *settings) error {
		if !(factor >= 1) {
			return fmt.Errorf("%w: load bound %v: give 1 or more", ErrBadRequest, factor)
		}
		s.loadBound = factor
		return nil
	}
}

// WithMaxPayload sets the longest UDP payload in bytes to send and to accept, as it
// is: a path that takes less loses what is longer. Without it datagrams are
// DefaultMaxPayload long, and longer, up to jumbo frames, on paths that were proved
// to take that in both directions, and for as long as they do.
func WithMaxPayload(bytes int) Option {
	return func(s *settings) error {
		if bytes < 1232 || bytes > 65507 {
			return fmt.Errorf("%w: payload of %d bytes: give 1232 to 65507", ErrBadRequest, bytes)
		}
		s.maxPayloadBytes, s.probePath = bytes, false
		return nil
	}
}

// WithL1 lets the client keep copies of the hottest items in its own memory, of so
// many bytes with all that belongs to them, 64 KiB or more, and each for at most
// longest, 1 s to 5 s. Only items that the nodes find hot and that are seldom written
// are kept, and only while the client hears of writes: it subscribes to the control
// ports of the ring's members (see WithControl). A read may then return what an
// acknowledged write elsewhere has replaced, for as long as the message takes, some
// milliseconds, and for longest at most if all goes wrong. This client's own writes
// are seen at once. A copy may be served past the item's soft TTL.
func WithL1(bytes int, longest time.Duration) Option {
	return func(s *settings) error {
		if bytes < 64<<10 || longest < time.Second || longest > 5*time.Second {
			return fmt.Errorf("%w: L1 of %d bytes for %v: give 65536 or more, and 1s to 5s", ErrBadRequest, bytes, longest)
		}
		s.l1Bytes, s.l1Longest = bytes, longest
		return nil
	}
}

// WithControl has the client show certificates to the nodes' control ports, and
// verify theirs. Without it the connections are plain TCP, for trusted networks. The
// store's owner keeps it running (see [mtls.Store.Run]).
func WithControl(store *mtls.Store) Option {
	return func(s *settings) error {
		s.control = store
		return nil
	}
}

// WithRefreshers bounds the loads that GetOrLoad runs in the background at once, past
// soft TTLs. A refresh that finds all busy is left to the next reader.
func WithRefreshers(n int) Option {
	return func(s *settings) error {
		if n < 1 {
			return fmt.Errorf("%w: %d refreshers: give 1 or more", ErrBadRequest, n)
		}
		s.refreshers = n
		return nil
	}
}

// WithBreaker sets when a node is not asked first any more: when so many of its last
// calls failed or were overtaken by a second question to another replica. After a
// pause between one and two times the given one the client probes it, until it answers
// in good time; no read waits for that.
func WithBreaker(failures, calls uint, pause time.Duration) Option {
	return func(s *settings) error {
		if failures < 1 || calls < failures || pause <= 0 {
			return fmt.Errorf("%w: breaker at %d of %d calls for %v: give 1 or more of at least as many, and a positive pause", ErrBadRequest, failures, calls, pause)
		}
		s.breaker = breakerSettings{failures, calls, pause}
		return nil
	}
}

// WithoutPadding keeps reads of hot keys as short as all others. By default they are
// as long as their reply, which nodes with an XDP datapath can answer in the kernel.
// Use it where upstream bandwidth is dearer than the nodes' time.
func WithoutPadding() Option {
	return func(s *settings) error {
		s.noPadding = true
		return nil
	}
}

func newSettings(opts []Option) (settings, error) {
	s := settings{
		timeout: DefaultTimeout, sourcePorts: DefaultSourcePorts,
		minRTO: DefaultMinRTO, maxRTO: DefaultMaxRTO, maxPayloadBytes: DefaultMaxPayload, probePath: true,
		retryShare: DefaultRetryShare, loadBound: DefaultLoadBound, refreshers: DefaultRefreshers,
		breaker: breakerSettings{failures: 5, calls: 20, pause: 100 * time.Millisecond},
	}
	for _, opt := range opts {
		if err := opt(&s); err != nil {
			return s, err
		}
	}
	return s, nil
}

// getOptions are the choices of one read.
type getOptions struct {
	minVersion   Version
	lease        bool
	metadataOnly bool
}

// GetOption changes one read.
type GetOption func(*getOptions)

// AtLeast refuses an item older than v with ErrBehind: pass the version that an
// earlier call returned to never see time run backwards.
func AtLeast(v Version) GetOption { return func(o *getOptions) { o.minVersion = v } }

// TakeLease asks for the right to load the key if it misses or is stale. The
// one reader that gets it finds it in Item.Lease beside ErrMiss (or beside the
// stale value); the others get ErrLeaseWait (or the stale value without lease).
func TakeLease() GetOption { return func(o *getOptions) { o.lease = true } }

// MetadataOnly leaves the value out of the answer.
func MetadataOnly() GetOption { return func(o *getOptions) { o.metadataOnly = true } }

// writeOptions are the choices of one write.
type writeOptions struct {
	ttl, softTTL time.Duration
	lease        Lease
}

// WriteOption changes one write.
type WriteOption func(*writeOptions)

// WithTTL lets the item expire. It is rounded up to whole seconds; zero means
// that the item does not expire, and MaxTTL is the longest.
func WithTTL(d time.Duration) WriteOption { return func(o *writeOptions) { o.ttl = d } }

// WithSoftTTL marks the item stale after d, before WithTTL removes it: readers
// still get it, and one of them gets the lease to refresh it.
func WithSoftTTL(d time.Duration) WriteOption { return func(o *writeOptions) { o.softTTL = d } }

// WithLease hands back the lease a Get brought. Only Put, Add and Replace use it.
func WithLease(l Lease) WriteOption { return func(o *writeOptions) { o.lease = l } }

// seconds rounds a TTL up to the wire's unit.
func seconds(d time.Duration) (uint32, error) {
	if d < 0 || d > MaxTTL {
		return 0, fmt.Errorf("%w: TTL %v: give 0 (none) to %v", ErrBadRequest, d, MaxTTL)
	}
	return uint32((d + time.Second - 1) / time.Second), nil
}

// wireTTLs checks and converts both TTLs of a write.
func (o *writeOptions) wireTTLs() (ttlSeconds, softSeconds uint32, err error) {
	if ttlSeconds, err = seconds(o.ttl); err != nil {
		return 0, 0, err
	}
	if softSeconds, err = seconds(o.softTTL); err != nil {
		return 0, 0, err
	}
	if ttlSeconds != 0 && softSeconds >= ttlSeconds {
		return 0, 0, fmt.Errorf("%w: soft TTL %v with TTL %v: the soft one must be shorter by a second or more", ErrBadRequest, o.softTTL, o.ttl)
	}
	return ttlSeconds, softSeconds, nil
}
