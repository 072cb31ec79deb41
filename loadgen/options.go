package loadgen

import (
	"errors"
	"fmt"
	"time"

	"gannet/loadgen/trace"
)

// Defaults of the replay options.
const (
	DefaultConnections = 8
	DefaultValueBytes  = 100
	DefaultOpTimeout   = 5 * time.Second
)

// ErrOptions is wrapped by errors about options that make no sense.
var ErrOptions = errors.New("replay options")

// ReplayOptions says what to replay, and against which node.
type ReplayOptions struct {
	Source trace.Source // read to its end, not closed
	Server string       // "host:port" of the node

	Trace  string // name of the trace for the report
	Format string // of the trace, for the report

	// Connections is the number of workers, each with one request in flight.
	// With 1 the node meets the requests in the order of the trace.
	Connections int
	// Limit ends the replay after so many GETs; 0 = the whole trace.
	Limit int64
	// ValueBytes, when not 0, is the size of every value, whatever the trace says.
	ValueBytes int
	// DefaultValueBytes is the size of values whose size the trace does not say.
	DefaultValueBytes int
	// TTLSeconds is given to every PUT for which the trace has no TTL; 0 = none.
	TTLSeconds uint32
	// OpTimeout bounds each operation, and how long one that the node refuses for
	// the moment (overload, lapsed fence) is tried again. Longer than a restart of the node, it lets
	// a replay ride over one without errors.
	OpTimeout time.Duration
	// SourcePorts is the number of sockets to each shard; 0 = two, one with one
	// connection.
	SourcePorts int
	// Progress, if set, is called about ten times a second and once at the end,
	// from one goroutine.
	Progress func(Progress)
}

// Progress is how far a replay has come.
type Progress struct {
	Requests int64 // GETs answered or failed
	Hits     int64
	Errors   int64
	Elapsed  time.Duration
}

func (o *ReplayOptions) setDefaults() error {
	if o.Connections == 0 {
		o.Connections = DefaultConnections
	}
	if o.DefaultValueBytes == 0 {
		o.DefaultValueBytes = DefaultValueBytes
	}
	if o.OpTimeout == 0 {
		o.OpTimeout = DefaultOpTimeout
	}
	if o.SourcePorts == 0 {
		o.SourcePorts = min(o.Connections, 2)
	}
	switch {
	case o.Source == nil:
		return fmt.Errorf("%w: no trace: give a trace file or a synthetic load", ErrOptions)
	case o.Connections < 1 || o.Connections > 4096:
		return fmt.Errorf("%w: %d connections: give 1 to 4096", ErrOptions, o.Connections)
	case o.ValueBytes < 0 || o.DefaultValueBytes < 0:
		return fmt.Errorf("%w: value size %d: give a size of 0 or more", ErrOptions, min(o.ValueBytes, o.DefaultValueBytes))
	case o.Limit < 0:
		return fmt.Errorf("%w: limit %d: give the number of requests, or 0 for all", ErrOptions, o.Limit)
	}
	return nil
}
