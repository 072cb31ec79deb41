package bpf

import (
	"errors"
	"fmt"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// stampWords is the length of struct stamp: one cache line.
const stampWords = 8

// Steer is the loaded steering program.
type Steer struct {
	program  *ebpf.Program
	maps     steerMaps
	counters counterRows
	settings mappedWords
	stamps   mappedWords // a queue's only writer is the shard that owns it
	hot      hotMemory
	queues   int

	mu    sync.Mutex // guards what follows
	allow allowList
	link  link.Link // nil while detached
}

// LoadSteer loads the program and its maps. Nothing is attached yet. Load,
// Attach and RegisterSocket need CAP_BPF and CAP_NET_ADMIN; everything else
// goes on after they are dropped.
func LoadSteer(cfg SteerConfig) (*Steer, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Steer{queues: cfg.Queues}
	if err := s.load(&cfg); err != nil {
		return nil, errors.Join(explain("load the steering program", err), s.Close())
	}
	if err := errors.Join(s.SetAllow(cfg.Allow), s.SetRate(cfg.Rate)); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Steer) load(cfg *SteerConfig) error {
	spec, err := steerSpec(cfg)
	if err != nil {
		return err
	}
	collection, err := ebpf.NewCollection(spec)
	if err != nil {
		return err
	}
	defer collection.Close() // of what was not taken out of it
	if err := collection.Assign(&s.maps); err != nil {
		return err
	}
	for name := range collection.Programs { // the one that was left
		s.program = collection.DetachProgram(name)
	}
	s.allow.open(&s.maps, cfg.AllowCapacity)
	return errors.Join(s.mapMemory(), s.openHot(cfg.Hot))
}

// steerSpec fits the object to the configuration.
func steerSpec(cfg *SteerConfig) (*ebpf.CollectionSpec, error) {
	spec, err := loadSteer()
	if err != nil {
		return nil, err
	}
	if cfg.Frags {
		delete(spec.Programs, steerProgSteerSingle)
	} else {
		delete(spec.Programs, steerProgSteerFrags)
	}
	spec.Maps[steerMapSockets].MaxEntries = uint32(cfg.Queues)
	spec.Maps[steerMapStamps].MaxEntries = uint32(cfg.Queues)
	spec.Maps[steerMapBuckets].MaxEntries = uint32(cfg.RateSources)
	spec.Maps[steerMapAllowA].MaxEntries = uint32(cfg.AllowCapacity)
	spec.Maps[steerMapAllowB].MaxEntries = uint32(cfg.AllowCapacity)
	spec.Maps[steerMapAllow].InnerMap.MaxEntries = uint32(cfg.AllowCapacity)
	return spec, errors.Join(
		sizeCounters(spec),
		sizeReadings(spec),
		sizeHot(spec, cfg),
		spec.Variables[steerVarPortBase].Set(cfg.PortBase),
		spec.Variables[steerVarPortCount].Set(uint16(cfg.Shards)),
		spec.Variables[steerVarOwnAddress].Set(cfg.addressWord()),
		spec.Variables[steerVarStaleNanos].Set(uint64(cfg.StaleAfter)),
	)
}

// sizeReadings gives every CPU its reading of the clock.
func sizeReadings(spec *ebpf.CollectionSpec) error {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return err
	}
	spec.Maps[steerMapReadings].MaxEntries = uint32(cpus)
	return nil
}

func (s *Steer) mapMemory() (err error) {
	if err = s.counters.open(s.maps.Counters); err != nil {
		return err
	}
	if s.settings, err = mapWords(s.maps.Settings); err != nil {
		return err
	}
	s.stamps, err = mapWords(s.maps.Stamps)
	return err
}

// RegisterSocket puts an AF_XDP socket into the slot of its rx queue. Packets
// reach it once the queue is stamped. The kernel empties the slot when the
// socket is closed.
func (s *Steer) RegisterSocket(queue, fd int) error {
	if queue < 0 || queue >= s.queues {
		return configError("rx queue %d: loaded for queues 0 to %d", queue, s.queues-1)
	}
	if err := s.maps.Sockets.Put(uint32(queue), uint32(fd)); err != nil {
		return explain(fmt.Sprintf("register AF_XDP socket %d for rx queue %d", fd, queue), err)
	}
	return nil
}

// SetRate replaces the per-source rate limit, between two packets.
func (s *Steer) SetRate(rate Rate) error {
	word, err := rate.word()
	if err != nil {
		return err
	}
	s.settings.store(0, word)
	return nil
}

// Stamp tells the dead man's switch that the owner of an rx queue lives and
// refills its fill queue. A new one also ends the reading of the clock that packets
// share: the owner stamps after every turn that had work. nowNanos is CLOCK_BOOTTIME. It allocates nothing and
// makes no system call. Only the owner calls it.
func (s *Steer) Stamp(queue int, nowNanos int64) {
	if uint(queue) < uint(s.queues) {
		s.stamps.store(queue*stampWords, uint64(nowNanos))
	}
}

// Counters sums what happened to packets, by reason, without a system call.
// Every reason of the steering program is there, zeros included. After Close
// it gives the last figures.
func (s *Steer) Counters() map[Reason]uint64 {
	return s.counters.sum(PassTruncated, Steering)
}

// Close detaches the program and frees its maps. The owners of queues stop
// stamping first: neither Stamp nor a HotTable may be used during or after Close.
func (s *Steer) Close() error {
	err := s.Detach()
	err = errors.Join(err, s.counters.close(), s.settings.close(), s.stamps.close(), s.hot.close(), s.maps.Close())
	if s.program != nil {
		err = errors.Join(err, s.program.Close())
	}
	return err
}
