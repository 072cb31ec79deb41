package main

// reference has published miss ratios of real traces: libCacheSim aa0fc40, every
// object counts 1, capacities are 1, 5, 10 and 20 % of the unique keys. best is
// the least of FIFO, LRU, CLOCK, SIEVE, S3-FIFO, 2Q, ARC and W-TinyLFU.
type reference struct {
	path, format      string
	capacity          [4]int
	lru, s3fifo, best [4]float64
}

// references in the order in which they are replayed.
var references = []reference{
	{
		path: "arc/OLTP.lis.zst", format: "arc",
		capacity: [4]int{1868, 9344, 18688, 37376},
		lru:      [4]float64{0.5837, 0.3992, 0.3348, 0.2803},
		s3fifo:   [4]float64{0.5353, 0.3789, 0.3222, 0.2740},
		best:     [4]float64{0.5353, 0.3789, 0.3222, 0.2740},
	},
	{
		path: "arc/P3.lis.zst", format: "arc",
		capacity: [4]int{7625, 38127, 76254, 152508},
		lru:      [4]float64{0.9841, 0.9567, 0.8319, 0.4971},
		s3fifo:   [4]float64{0.9597, 0.8059, 0.6609, 0.4656},
		best:     [4]float64{0.9561, 0.8059, 0.6609, 0.4528},
	},
	{
		path: "scarab/scarab-recs.trace.xz", format: "int64",
		capacity: [4]int{2583, 12918, 25836, 51673},
		lru:      [4]float64{0.6529, 0.4829, 0.3940, 0.3048},
		s3fifo:   [4]float64{0.5725, 0.4414, 0.3718, 0.2991},
		best:     [4]float64{0.5725, 0.4414, 0.3718, 0.2991},
	},
	{
		path: "cache2k/orm-busy.trace.xz", format: "int32",
		capacity: [4]int{763, 3817, 7634, 15269},
		lru:      [4]float64{0.2297, 0.1587, 0.1199, 0.0789},
		s3fifo:   [4]float64{0.2436, 0.1475, 0.1111, 0.0721},
		best:     [4]float64{0.2297, 0.1447, 0.1090, 0.0673},
	},
	{
		path: "corda/trace_vaultservice.gz", format: "int64",
		capacity: [4]int{904, 4523, 9046, 18093},
		lru:      [4]float64{0.6667, 0.6667, 0.6667, 0.6667},
		s3fifo:   [4]float64{0.6667, 0.6667, 0.6667, 0.6667},
		best:     [4]float64{0.6667, 0.6667, 0.6667, 0.6667},
	},
	{
		path: "lirs/sprite.trace.gz", format: "keys",
		capacity: [4]int{70, 353, 707, 1415},
		lru:      [4]float64{0.8367, 0.3438, 0.1352, 0.0779},
		s3fifo:   [4]float64{0.7876, 0.3282, 0.1386, 0.0831},
		best:     [4]float64{0.7876, 0.3282, 0.1352, 0.0777},
	},
}
