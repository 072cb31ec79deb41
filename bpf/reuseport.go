package bpf

import (
	"errors"
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// Reuseport is the loaded program that picks, among the kernel sockets of one
// SO_REUSEPORT group, the one of the shard named in the header.
type Reuseport struct {
	objects  reuseportObjects
	counters counterRows
	shards   int
}

// LoadReuseport loads the program with room for shards sockets. Load and
// Attach need CAP_BPF.
func LoadReuseport(shards int) (*Reuseport, error) {
	if shards < 1 || shards > math.MaxUint16 {
		return nil, configError("%d shards: give 1 to 65535", shards)
	}
	r := &Reuseport{shards: shards}
	if err := r.load(); err != nil {
		return nil, errors.Join(explain("load the reuseport program", err), r.Close())
	}
	return r, nil
}

func (r *Reuseport) load() error {
	spec, err := loadReuseport()
	if err != nil {
		return err
	}
	spec.Maps[reuseportMapShards].MaxEntries = uint32(r.shards)
	if err := sizeCounters(spec); err != nil {
		return err
	}
	if err := spec.LoadAndAssign(&r.objects, nil); err != nil {
		return err
	}
	return r.counters.open(r.objects.Counters)
}

// Attach makes the program choose among the sockets of fd's group: fd is a
// bound socket with SO_REUSEPORT, and one call serves the whole group. A group
// keeps the program until its last socket closes.
func (r *Reuseport) Attach(fd int) error {
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_EBPF, r.objects.SelectShard.FD())
	return explain(fmt.Sprintf("attach the reuseport program to socket %d", fd), err)
}

// Register makes fd, a bound socket of the group, the one of the shard. The
// kernel empties the slot when the socket closes.
func (r *Reuseport) Register(shard, fd int) error {
	if shard < 0 || shard >= r.shards {
		return configError("shard %d: loaded for shards 0 to %d", shard, r.shards-1)
	}
	err := r.objects.Shards.Put(uint32(shard), uint64(fd))
	return explain(fmt.Sprintf("register socket %d for shard %d", fd, shard), err)
}

// Counters sums the program's choices by reason, without a system call. After
// Close it gives the last figures.
func (r *Reuseport) Counters() map[Reason]uint64 {
	return r.counters.sum(ReuseportSelected, ReuseportNoSocket)
}

// Close frees this process's hold on the program and its maps; a group it is
// attached to keeps them.
func (r *Reuseport) Close() error {
	return errors.Join(r.counters.close(), r.objects.Close())
}
