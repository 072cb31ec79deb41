package shard

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

const testStart = int64(1_000_000_000_000)

// tempTmpfs makes a folder on tmpfs for mapped files.
func tempTmpfs(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "gnt-shard-")
	if err != nil {
		dir = t.TempDir()
	} else {
		t.Cleanup(func() { os.RemoveAll(dir) })
	}
	return dir
}

func openShard(t testing.TB, cfg Config) *Shard {
	t.Helper()
	cfg.NUMANode = -1
	s, _, err := Open(cfg, testStart)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// entry is what the model holds for a key.
type entry struct {
	value         []byte
	version       uint64
	expires, soft uint32 // ticks; never
}

// model is the oracle: a plain map. The shard may forget items when it evicts;
// it must never show anything the map does not hold.
type model struct {
	items map[string]*entry
	now   int64
}

func (m *model) tick() uint32 { return uint32((m.now - testStart) / (1e9 / ticksPerSecond)) }

func (m *model) deadline(seconds uint32) uint32 {
	if seconds == 0 {
		return never
	}
	return m.tick() + seconds*ticksPerSecond + 1
}

func (m *model) live(key string) *entry {
	e := m.items[key]
	if e != nil && e.expires != never && m.tick() >= e.expires {
		delete(m.items, key)
		return nil
	}
	return e
}

type machine struct {
	t     *rapid.T
	s     *Shard
	cfg   Config
	m     model
	large bool
	// evicted: items went away by themselves; before, none may be missing.
	evicted   bool
	transfers uint64
	keys      []string
}

func (x *machine) key() []byte {
	return []byte(x.keys[rapid.IntRange(0, len(x.keys)-1).Draw(x.t, "key")])
}

func (x *machine) value() []byte {
	n := rapid.OneOf(rapid.IntRange(0, 200), rapid.IntRange(96, 100), rapid.IntRange(900, 1100), rapid.IntRange(2000, 9000)).Draw(x.t, "len")
	if x.large {
		n = rapid.OneOf(rapid.IntRange(0, 3000), rapid.IntRange(0, 100<<10)).Draw(x.t, "large")
	}
	b := make([]byte, n)
	seed := rapid.Byte().Draw(x.t, "seed")
	for i := range b {
		b[i] = seed + byte(i*7)
	}
	return b
}

func (x *machine) times() (ttl, soft uint32) {
	switch rapid.IntRange(0, 3).Draw(x.t, "times") {
	case 1:
		return uint32(rapid.IntRange(1, 20).Draw(x.t, "ttl")), 0
	case 2:
		ttl = uint32(rapid.IntRange(2, 2000).Draw(x.t, "ttl"))
		return ttl, uint32(rapid.IntRange(1, int(ttl)-1).Draw(x.t, "soft"))
	case 3:
		return 0, uint32(rapid.IntRange(1, 20).Draw(x.t, "soft"))
	}
	return 0, 0
}

// absent allows an item to be missing from the shard, and then forgets it.
func (x *machine) absent(key string) {
	if x.noteEvictions(); !x.evicted && x.m.live(key) != nil {
		x.t.Fatalf("%q is lost", key)
	}
	delete(x.m.items, key)
}

// noteEvictions learns whether the shard may have forgotten items.
func (x *machine) noteEvictions() {
	d := &x.s.stats.ByDrop
	x.evicted = x.evicted || d[DropMemory]+d[DropSlabMove]+d[DropIndex]+d[DropCapacity] > 0
}

func (x *machine) checkHit(g *Get) {
	e := x.m.live(string(g.Key))
	if e == nil {
		x.t.Fatalf("%q: hit, the model has none", g.Key)
	}
	if !bytes.Equal(e.value, g.Item.Value) || e.version != g.Item.Version {
		x.t.Fatalf("%q: %d bytes of version %d, want %d of %d", g.Key, len(g.Item.Value), g.Item.Version, len(e.value), e.version)
	}
	if !checkUnits(g.Item.table, e.value) {
		x.t.Fatalf("%q: wrong sums", g.Key)
	}
	if stale := e.soft != never && x.m.tick() >= e.soft; stale != (g.Outcome == Stale) {
		x.t.Fatalf("%q: outcome %d, stale is %v", g.Key, g.Outcome, stale)
	}
	if (g.Item.TTLSeconds == NoTTL) != (e.expires == never) {
		x.t.Fatalf("%q: ttl %d", g.Key, g.Item.TTLSeconds)
	}
}

func (x *machine) get(g *Get) {
	switch g.Outcome {
	case Hit, Stale:
		x.checkHit(g)
	case Miss:
		x.absent(string(g.Key))
	default:
		x.t.Fatalf("outcome %d", g.Outcome)
	}
}

func (x *machine) Get(t *rapid.T) {
	x.t = t
	key := x.key()
	g := Get{Hash: Hash(key), Key: key}
	x.s.Get(&g, x.m.now)
	x.get(&g)
}

func (x *machine) GetBatch(t *rapid.T) {
	x.t = t
	gets := make([]Get, rapid.IntRange(1, 80).Draw(t, "n"))
	for i := range gets {
		key := x.key()
		gets[i] = Get{Hash: Hash(key), Key: key}
	}
	x.s.GetBatch(gets, x.m.now)
	for i := range gets {
		x.get(&gets[i])
	}
}

func (x *machine) Write(t *rapid.T) {
	x.t = t
	key := x.key()
	w := Write{Op: Op(rapid.IntRange(int(Put), int(CAS)).Draw(t, "op")), Hash: Hash(key), Key: key}
	if w.Op != Delete && w.Op != Touch {
		w.Value = x.value()
	}
	if w.Op != Delete {
		w.TTLSeconds, w.SoftSeconds = x.times()
	}
	e := x.m.live(string(key))
	if w.Op == CAS && e != nil {
		w.Arg = e.version + uint64(rapid.IntRange(0, 1).Draw(t, "off"))
	}
	x.s.Write(&w, x.m.now)
	x.written(&w)
}

// written brings the model up to date with the answer, which must be one the
// model allows.
func (x *machine) written(w *Write) {
	key := string(w.Key)
	e := x.m.live(key)
	switch w.Status {
	case OK:
		x.done(w, e)
	case NotFound:
		if w.Op == Put || w.Op == Add {
			x.t.Fatalf("op %d: not found", w.Op)
		}
		x.absent(key)
	case Exists:
		if w.Op != Add || e == nil {
			x.t.Fatalf("exists: op %d, model %v", w.Op, e)
		}
	case VersionMismatch:
		if w.Op != CAS || e == nil || e.version == w.Arg {
			x.t.Fatalf("mismatch: op %d, model %v", w.Op, e)
		}
	default:
		x.t.Fatalf("op %d: status %d", w.Op, w.Status)
	}
}

func (x *machine) done(w *Write, e *entry) {
	key := string(w.Key)
	if e == nil && w.Op != Put && w.Op != Add {
		x.t.Fatalf("op %d on %q done, the model has none", w.Op, key)
	}
	switch w.Op {
	case Delete:
		delete(x.m.items, key)
	case Touch:
		e.expires, e.soft = x.m.deadline(w.TTLSeconds), x.m.deadline(w.SoftSeconds)
	case Add:
		if x.noteEvictions(); e != nil && !x.evicted {
			x.t.Fatalf("added %q twice", key)
		}
		fallthrough
	default:
		if e != nil && w.Version <= e.version {
			x.t.Fatalf("version %d after %d", w.Version, e.version)
		}
		x.m.items[key] = &entry{append([]byte(nil), w.Value...), w.Version, x.m.deadline(w.TTLSeconds), x.m.deadline(w.SoftSeconds)}
	}
}

// Bulk writes many keys with one shape of value: classes fill, starve and give
// slabs to each other, and the index grows.
func (x *machine) Bulk(t *rapid.T) {
	x.t = t
	n, from := rapid.IntRange(1, 400).Draw(t, "bulk"), rapid.IntRange(0, len(x.keys)-1).Draw(t, "from")
	value := x.value()
	op := rapid.SampledFrom([]Op{Put, Put, Put, Delete}).Draw(t, "op")
	ttl, soft := x.times()
	for i := range n {
		key := []byte(x.keys[(from+i*7)%len(x.keys)])
		w := Write{Op: op, Hash: Hash(key), Key: key}
		if op == Put {
			w.Value, w.TTLSeconds, w.SoftSeconds = value, ttl, soft
		}
		x.s.Write(&w, x.m.now)
		x.written(&w)
	}
}

// Pins keeps an item's bytes in place while other things happen to it.
func (x *machine) Pins(t *rapid.T) {
	x.t = t
	key := x.key()
	g := Get{Hash: Hash(key), Key: key, NoTouch: true}
	x.s.Get(&g, x.m.now)
	x.get(&g)
	if g.Outcome == Miss || !x.s.Pin(g.Item.Handle) {
		return
	}
	want := append([]byte(nil), g.Item.Value...)
	for range rapid.IntRange(0, 3).Draw(t, "meanwhile") {
		x.Write(t)
		x.Bulk(t)
		x.overwrite(key, len(want), byte(rapid.IntRange(0, 255).Draw(t, "fill")))
	}
	if !bytes.Equal(want, g.Item.Value) {
		t.Fatalf("the pinned value of %q changed", key)
	}
	x.s.Unpin(g.Item.Handle)
}

// overwrite puts a value of some length, which may fit where the old one is.
func (x *machine) overwrite(key []byte, bytesLong int, fill byte) {
	w := Write{Op: Put, Hash: Hash(key), Key: key, Value: bytes.Repeat([]byte{fill}, bytesLong)}
	x.s.Write(&w, x.m.now)
	x.written(&w)
}

func (x *machine) Incr(t *rapid.T) {
	x.t = t
	key := x.key()
	if rapid.Bool().Draw(t, "number") {
		w := Write{Op: Put, Hash: Hash(key), Key: key, Value: strconv.AppendInt(nil, rapid.Int64().Draw(t, "start"), 10)}
		x.s.Write(&w, x.m.now)
		x.written(&w)
	}
	w := Write{Op: Incr, Hash: Hash(key), Key: key, Arg: uint64(rapid.Int64().Draw(t, "delta"))}
	x.s.Write(&w, x.m.now)
	e := x.m.live(string(key))
	if w.Status == NotFound {
		x.absent(string(key))
		return
	}
	if e == nil {
		t.Fatalf("incr: status %d without an item", w.Status)
	}
	have, err := strconv.ParseInt(string(e.value), 10, 64)
	sum := have + int64(w.Arg)
	overflow := (int64(w.Arg) > 0 && sum < have) || (int64(w.Arg) < 0 && sum > have)
	if (err != nil || overflow) != (w.Status == NotANumber) {
		t.Fatalf("incr of %q by %d: status %d", e.value, int64(w.Arg), w.Status)
	}
	if w.Status == OK {
		if w.Number != sum {
			t.Fatalf("incr: %d, want %d", w.Number, sum)
		}
		e.value, e.version = strconv.AppendInt(nil, sum, 10), w.Version
	}
}

func (x *machine) Upload(t *rapid.T) {
	x.t = t
	key, value := x.key(), x.value()
	if len(value) == 0 {
		return
	}
	x.transfers++
	u := Upload{Transfer: x.transfers, TotalBytes: len(value)}
	u.Write = Write{Op: Put, Hash: Hash(key), Key: key, Client: 7}
	parts := rapid.Permutation(seq(units(len(value)))).Draw(t, "order")
	stop := len(parts)
	if rapid.IntRange(0, 4).Draw(t, "abandon") == 0 {
		stop = rapid.IntRange(0, len(parts)-1).Draw(t, "stop")
	}
	for n, p := range parts[:stop] {
		u.OffsetBytes = p * UnitBytes
		u.Data = value[u.OffsetBytes:min(len(value), u.OffsetBytes+UnitBytes)]
		switch got := x.s.UploadPart(&u, x.m.now); {
		case got == BusyUploads && n == 0:
			return
		case n < len(parts)-1 && got != Partial, n == len(parts)-1 && got != OK:
			t.Fatalf("part %d of %d: status %d", n, len(parts), got)
		}
	}
	if stop == len(parts) {
		u.Write.Value = value
		x.written(&u.Write)
	}
}

func seq(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

func (x *machine) Time(t *rapid.T) {
	x.m.now += rapid.OneOf(rapid.Int64Range(0, 2e9), rapid.Int64Range(0, 600e9)).Draw(t, "step")
	x.s.Advance(x.m.now, rapid.IntRange(0, 5000).Draw(t, "budget"))
}

func (x *machine) Scan(t *rapid.T) {
	x.t = t
	seen := map[string]int{}
	var c Cursor
	for !x.s.Scan(&c, nil, rapid.IntRange(1, 50).Draw(t, "slice"), x.m.now, func(v View) bool {
		seen[string(v.Key)]++
		e := x.m.live(string(v.Key))
		if e == nil || !bytes.Equal(e.value, v.Value) || e.version != v.Version {
			t.Fatalf("scan shows %q, not as the model has it", v.Key)
		}
		return true
	}) {
	}
	for key, n := range seen {
		if n != 1 {
			t.Fatalf("scan shows %q %d times", key, n)
		}
	}
	for key := range x.m.items {
		if x.m.live(key) != nil && seen[key] == 0 {
			x.absent(key)
		}
	}
}

// Reopen ends the shard, cleanly or not, and attaches to what it left.
func (x *machine) Reopen(t *rapid.T) {
	if x.cfg.Dir == "" {
		return
	}
	x.noteEvictions()
	clean := rapid.Bool().Draw(t, "clean")
	var err error
	if clean {
		err = x.s.Close()
	} else {
		err = x.s.unmap()
	}
	if err != nil {
		t.Fatal(err)
	}
	s, rec, err := Open(x.cfg, x.m.now)
	if err != nil || rec.Fresh || rec.Clean != clean {
		t.Fatalf("reopen: %+v, %v", rec, err)
	}
	x.s = s
}

func (x *machine) Check(t *rapid.T) {
	if err := x.s.Integrity(true); err != nil {
		t.Fatal(err)
	}
}

func testModel(t *testing.T, cfg Config, keys int, large bool) {
	rapid.Check(t, func(rt *rapid.T) {
		c := cfg
		c.NUMANode = -1
		if c.Dir != "" {
			dir, err := os.MkdirTemp(c.Dir, "m")
			if err != nil {
				rt.Fatal(err)
			}
			defer os.RemoveAll(dir)
			c.Dir = dir
		}
		s, _, err := Open(c, testStart)
		if err != nil {
			rt.Fatal(err)
		}
		x := &machine{t: rt, s: s, cfg: c, large: large, m: model{items: map[string]*entry{}, now: testStart}}
		defer func() { x.s.Close() }()
		for i := range keys {
			x.keys = append(x.keys, fmt.Sprintf("key-%d%s", i, bytes.Repeat([]byte("x"), i%200)))
		}
		rt.Repeat(map[string]func(*rapid.T){
			"get": x.Get, "batch": x.GetBatch, "write": x.Write, "write2": x.Write, "write3": x.Write, "incr": x.Incr,
			"bulk": x.Bulk, "bulk2": x.Bulk, "pins": x.Pins,
			"upload": x.Upload, "time": x.Time, "scan": x.Scan, "reopen": x.Reopen, "": x.Check,
		})
	})
}

func TestModelRoomy(t *testing.T) {
	for _, policy := range []string{"lru", "default"} {
		t.Run(policy, func(t *testing.T) {
			testModel(t, Config{MemoryBytes: 64 << 20, Policy: policy, Dir: tempTmpfs(t)}, 700, false)
		})
	}
}

func TestModelEvicting(t *testing.T) {
	for _, policy := range []string{"lru", "default"} {
		t.Run(policy, func(t *testing.T) {
			testModel(t, Config{MemoryBytes: 4 << 20, Policy: policy, Dir: tempTmpfs(t)}, 1500, true)
		})
	}
}
