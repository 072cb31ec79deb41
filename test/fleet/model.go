package main

import "gannet/replication"

const (
	microsecond = int64(1e3)
	millisecond = int64(1e6)
	second      = int64(1e9)
)

// model holds what is assumed about everything that is not our code.
type model struct {
	Nodes    int
	Zones    int
	Replicas uint8
	Clients  int // a quarter of them of each kind, see kinds

	DataBytes          float64 // unique, over the whole fleet
	WritesPerSecond    float64 // over the whole fleet, 1 KB each
	CopyBytesPerSecond float64 // at which one node takes items in

	RequestsPerSecond float64 // of one client, while anything is going on
	TimeoutNanos      int64   // after which a client tries another replica
	HopNanos          int64   // one way through the network, and up to as much again

	EtcdReadNanos  int64 // a linearizable read or a transaction that writes nothing
	EtcdWriteNanos int64
	EtcdWatchNanos int64 // from commit to the first watcher
	EtcdFanOut     int64 // from watcher to watcher

	DecodeNanos      int64 // from a ring's bytes to lookups in it
	TickNanos        int64 // of controller and nodes
	KeepAliveNanos   int64 // of each node's lease
	LeaseNanos       int64
	RestartNanos     int64 // a node's process, warm
	TombstoneNanos   int64 // after a longer absence a node's items are worthless
	ReportNanos      int64 // between two reports of a node without news
	UrgentNanos      int64 // of one that waits for something
	RestartsAtOnce   int
	StandInNanos     int64 // how long a member must be down before others copy for it
	ElectionNanos    int64 // from the lease's end to the next controller's first step
	MemberWatchNanos int64 // until the controller sees a registration
}

func defaultModel() model {
	return model{
		Nodes: 300, Zones: 3, Replicas: 2, Clients: 400,
		DataBytes: 5e12, WritesPerSecond: 1e6, CopyBytesPerSecond: 1e9,
		RequestsPerSecond: 1000, TimeoutNanos: 5 * millisecond, HopNanos: 30 * microsecond,
		EtcdReadNanos: 1 * millisecond, EtcdWriteNanos: 4 * millisecond, EtcdWatchNanos: 1 * millisecond, EtcdFanOut: 10 * microsecond,
		DecodeNanos: 30 * millisecond, TickNanos: 10 * millisecond,
		KeepAliveNanos: 500 * millisecond, LeaseNanos: 2 * second,
		RestartNanos: 3 * second, TombstoneNanos: 60 * second, ReportNanos: 500 * millisecond, UrgentNanos: 50 * millisecond,
		RestartsAtOnce: 20, ElectionNanos: 50 * millisecond, MemberWatchNanos: 5 * millisecond,
	}
}

// rules are the group's own durations.
func (m *model) rules() replication.Config {
	return replication.Config{Expect: m.Nodes, Replicas: m.Replicas}.WithDefaults()
}
