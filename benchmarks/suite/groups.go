package suite

import (
	"gannet/benchmarks/rival"
	"gannet/loadgen/bench"
)

// Ratio is a row: the cost of one subject ÷ the cost of another, within a round.
type Ratio struct {
	Row     string
	Over    string // subject above the line
	Under   string // subject below it
	Goal    float64
	AtLeast bool // else at most
	Note    string
}

// Group is what is compared with each other.
type Group struct {
	Subjects []Subject
	Ratios   []Ratio
}

// slowed gives every subject of the group the same ballast, so much that also the
// cheapest of them is full at a rate that one generator's core can offer.
func (g Group) slowed(ballast float64) Group {
	for i := range g.Subjects {
		g.Subjects[i].Ballast = ballast
	}
	return g
}

// Subjects that more than one part of the suite asks for.
const (
	gannet1K    = "gannet-get-1k"
	memcached1K = "memcached-udp-get-1k"
	redis1K     = "redis-get-1k"
	goMsg1K     = "go-recvmmsg-get-1k"
)

// groups in the order in which they run.
func groups() []Group {
	return []Group{oneKey().slowed(0.4), sixteenKeys().slowed(0.6), sixteenWrites().slowed(0.6), echo().slowed(0.7), reflect().slowed(0.8)}
}

func oneKey() Group {
	return Group{
		Subjects: []Subject{
			get(gannet1K, "Gannet, AF_XDP", rival.Gannet, bench.Gannet, kilobyte),
			get(memcached1K, "memcached, UDP", rival.Memcached, bench.MemcachedUDP, kilobyte),
			get("memcached-tcp-get-1k", "memcached, TCP", rival.Memcached, bench.MemcachedTCP, kilobyte).over(tcpClients),
			get(redis1K, "Redis, TCP", rival.Redis, bench.Redis, kilobyte).over(tcpClients),
			get(goMsg1K, "Go recvmmsg", rival.GoMsg, bench.Gannet, kilobyte),
			frames("reflector-1k", "XDP_TX reflector", rival.Reflector, headerBytes+kilobyte),
		},
		Ratios: []Ratio{{Row: "get1k", Over: gannet1K, Under: memcached1K, Goal: 1.0 / 4, Note: "server ns/GET, 1 KB, 1 key a datagram: Gannet ÷ memcached UDP"}},
	}
}

func sixteenKeys() Group {
	return Group{
		Subjects: []Subject{
			get("gannet-get16", "Gannet, AF_XDP", rival.Gannet, bench.Gannet, smallValue).batched(),
			get("memcached-udp-get16", "memcached, UDP", rival.Memcached, bench.MemcachedUDP, smallValue).batched(),
			get("redis-get16", "Redis, TCP, pipeline 16", rival.Redis, bench.Redis, smallValue).batched().over(tcpClients),
			get("memcached-tcp-get16", "memcached, TCP, 16 keys a get", rival.Memcached, bench.MemcachedTCP, smallValue).batched().over(tcpClients),
		},
		Ratios: []Ratio{
			{Row: "get16", Over: "gannet-get16", Under: "memcached-udp-get16", Goal: 1.0 / 15, Note: "server ns a key, 16 keys of 100 B a request: Gannet ÷ memcached UDP"},
			{Row: "get16", Over: "gannet-get16", Under: "redis-get16", Goal: 1.0 / 6, Note: "server ns a key, 16 keys of 100 B a request: Gannet ÷ Redis TCP pipeline 16"},
		},
	}
}

// sixteenWrites runs on a link of a greater MTU, for both: 16 PUTs of 100 B are
// 2,400 bytes, and a write is one datagram.
func sixteenWrites() Group {
	return Group{
		Subjects: []Subject{
			get("gannet-put16", "Gannet, AF_XDP", rival.Gannet, bench.Gannet, smallValue).batched().writing().jumbo(),
			get("redis-set16", "Redis, TCP, pipeline 16", rival.Redis, bench.Redis, smallValue).batched().writing().jumbo().over(tcpClients),
		},
		Ratios: []Ratio{{Row: "put16", Over: "gannet-put16", Under: "redis-set16", Goal: 1.0 / 4, Note: "server ns a PUT of 100 B, 16 a request, MTU 3498: Gannet ÷ Redis TCP pipeline 16 SET"}},
	}
}

func echo() Group {
	return Group{
		Subjects: []Subject{
			frames("c-echo-100", "C l2fwd echo, AF_XDP", rival.Echo, 100),
			get("gannet-get-100", "Gannet, AF_XDP", rival.Gannet, bench.Gannet, smallValue),
		},
		Ratios: []Ratio{{Row: "echo", Over: "c-echo-100", Under: "gannet-get-100", Goal: 0.8, AtLeast: true, Note: "server ns a frame: C l2fwd echo of 100 B frames ÷ Gannet GET of 100 B values"}},
	}
}

func reflect() Group {
	return Group{
		Subjects: []Subject{
			frames("reflector-equal", "XDP_TX reflector", rival.Reflector, paddedFrameBytes),
			get("gannet-get-padded", "Gannet, AF_XDP, padded requests", rival.Gannet, bench.Gannet, smallValue).padded(),
			get("gannet-hot", "Gannet, hot keys in XDP", rival.Gannet, bench.Gannet, smallValue).hot(),
		},
		Ratios: []Ratio{
			{Row: "reflect", Over: "reflector-equal", Under: "gannet-get-padded", Goal: 0.5, AtLeast: true, Note: "server ns a frame, equal sizes both ways: XDP_TX reflector ÷ Gannet GET"},
			{Row: "reflect", Over: "reflector-equal", Under: "gannet-hot", Goal: 0.8, AtLeast: true, Note: "server ns a frame, equal sizes both ways: XDP_TX reflector ÷ Gannet's hot-key path"},
		},
	}
}

func (g Group) subject(id string) *Subject {
	for i := range g.Subjects {
		if g.Subjects[i].ID == id {
			return &g.Subjects[i]
		}
	}
	return nil
}

// only keeps a group's ratios of one row, and the subjects that these name; nil
// when the group has no such row.
func (g Group) only(row string) *Group {
	var kept Group
	for _, r := range g.Ratios {
		if r.Row == row {
			kept.Ratios = append(kept.Ratios, r)
		}
	}
	if len(kept.Ratios) == 0 {
		return nil
	}
	for _, s := range g.Subjects {
		for _, r := range kept.Ratios {
			if s.ID == r.Over || s.ID == r.Under {
				kept.Subjects = append(kept.Subjects, s)
				break
			}
		}
	}
	return &kept
}
