package shard

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"gannet/checksum"
)

func put(s *Shard, key, value string, change ...func(*Write)) Write {
	w := Write{Op: Put, Hash: Hash([]byte(key)), Key: []byte(key), Value: []byte(value)}
	for _, c := range change {
		c(&w)
	}
	s.Write(&w, s.now)
	return w
}

func mustPut(t testing.TB, s *Shard, key, value string) Write {
	t.Helper()
	w := put(s, key, value)
	if w.Status != OK {
		t.Fatalf("put %q: status %d", key, w.Status)
	}
	return w
}

func del(s *Shard, key string) Write {
	w := Write{Op: Delete, Hash: Hash([]byte(key)), Key: []byte(key)}
	s.Write(&w, s.now)
	return w
}

func get(s *Shard, key string, change ...func(*Get)) Get {
	g := Get{Hash: Hash([]byte(key)), Key: []byte(key)}
	for _, c := range change {
		c(&g)
	}
	s.Get(&g, s.now)
	return g
}

func wants(client, request uint64) func(*Get) {
	return func(g *Get) { g.Lease, g.Client, g.Request = true, client, request }
}

func token(v uint64) func(*Write) { return func(w *Write) { w.Token = v } }

func intact(t *testing.T, s *Shard) {
	t.Helper()
	if err := s.Integrity(true); err != nil {
		t.Fatal(err)
	}
}

func TestLease(t *testing.T) {
	s := openShard(t, Config{MemoryBytes: 8 << 20, LeaseNanos: 2e9})
	first := get(s, "k", wants(1, 10))
	if first.Outcome != LeaseGranted || first.Item.Token == 0 {
		t.Fatalf("first reader: %+v", first)
	}
	if g := get(s, "k", wants(1, 10)); g.Item.Token != first.Item.Token {
		t.Error("the same request got another token")
	}
	if g := get(s, "k", wants(2, 10)); g.Outcome != LeaseWait || g.Item.WaitMillis == 0 {
		t.Errorf("second reader: %+v", g)
	}
	if w := put(s, "k", "v", token(first.Item.Token+1)); w.Status != LeaseRefused {
		t.Errorf("wrong token: status %d", w.Status)
	}
	if w := put(s, "k", "v", token(first.Item.Token)); w.Status != OK {
		t.Errorf("right token: status %d", w.Status)
	}
	if w := put(s, "k", "v", token(first.Item.Token)); w.Status != LeaseRefused {
		t.Errorf("token used twice: status %d", w.Status)
	}
}

// TestStaleSet is the race leases are for: a value read from the database before
// a DELETE (or a newer PUT) must not be stored after it.
func TestStaleSet(t *testing.T) {
	for name, overtake := range map[string]func(*Shard){
		"delete": func(s *Shard) { del(s, "k") },
		"put":    func(s *Shard) { put(s, "k", "newer") },
		"apply": func(s *Shard) {
			s.Apply(&Mutation{Kind: RecordDelete, Hash: Hash([]byte("k")), Key: []byte("k"), Version: 1 << 41}, s.now)
		},
	} {
		s := openShard(t, Config{MemoryBytes: 8 << 20})
		lease := get(s, "k", wants(1, 1)).Item.Token
		overtake(s)
		if w := put(s, "k", "stale", token(lease)); w.Status != LeaseRefused {
			t.Errorf("%s: the stale value was taken: status %d", name, w.Status)
		}
	}
}

func TestLeaseLapses(t *testing.T) {
	s := openShard(t, Config{MemoryBytes: 8 << 20, LeaseNanos: 1e9})
	first := get(s, "k", wants(1, 1)).Item.Token
	s.begin(s.now + 1e9)
	second := get(s, "k", wants(2, 1))
	if second.Outcome != LeaseGranted || second.Item.Token == first {
		t.Fatalf("after the lease: %+v", second)
	}
	if w := put(s, "k", "late", token(first)); w.Status != LeaseRefused {
		t.Errorf("lapsed and given to another: status %d", w.Status)
	}
}

func TestSoftTTL(t *testing.T) {
	s := openShard(t, Config{MemoryBytes: 8 << 20})
	put(s, "k", "v", func(w *Write) { w.TTLSeconds, w.SoftSeconds = 100, 10 })
	if g := get(s, "k"); g.Outcome != Hit || g.Item.TTLSeconds != 100 {
		t.Fatalf("fresh: %+v", g)
	}
	s.begin(s.now + 11e9)
	if g := get(s, "k"); g.Outcome != Stale || g.Item.Token != 0 {
		t.Errorf("a reader that wants no token: %+v", g)
	}
	first, second := get(s, "k", wants(1, 1)), get(s, "k", wants(2, 1))
	if first.Outcome != Stale || first.Item.Token == 0 || string(first.Item.Value) != "v" {
		t.Errorf("first reader: %+v", first)
	}
	if second.Outcome != Stale || second.Item.Token != 0 {
		t.Errorf("second reader: %+v", second)
	}
	if w := put(s, "k", "w", token(first.Item.Token)); w.Status != OK {
		t.Errorf("refresh: status %d", w.Status)
	}
	if g := get(s, "k"); g.Outcome != Hit || string(g.Item.Value) != "w" {
		t.Errorf("refreshed: %+v", g)
	}
}

func TestMinVersion(t *testing.T) {
	s := openShard(t, Config{MemoryBytes: 8 << 20})
	w := mustPut(t, s, "k", "v")
	if g := get(s, "k", func(g *Get) { g.MinVersion = w.Version + 1 }); g.Outcome != Behind || g.Item.Version != w.Version {
		t.Errorf("%+v", g)
	}
	if g := get(s, "k", func(g *Get) { g.MinVersion = w.Version }); g.Outcome != Hit {
		t.Errorf("%+v", g)
	}
}

func TestRetries(t *testing.T) {
	s := openShard(t, Config{MemoryBytes: 8 << 20})
	mustPut(t, s, "n", "5")
	id := func(request uint64) func(*Write) {
		return func(w *Write) { w.Client, w.Request = 3, request }
	}
	incr := func(w *Write) { w.Op, w.Value, w.Arg = Incr, nil, 2 }
	for range 3 {
		if w := put(s, "n", "", incr, id(1)); w.Status != OK || w.Number != 7 {
			t.Fatalf("incr: %+v", w)
		}
	}
	if w := put(s, "n", "", incr, id(2)); w.Number != 9 {
		t.Errorf("another request: %+v", w)
	}
	add := func(w *Write) { w.Op = Add }
	first := put(s, "a", "v", add, id(4))
	again := put(s, "a", "v", add, id(4))
	if first.Status != OK || again.Status != OK || again.Version != first.Version || !again.Repeated {
		t.Errorf("add: %+v, again %+v", first, again)
	}
	if w := put(s, "a", "v", add, id(5)); w.Status != Exists {
		t.Errorf("another add: %+v", w)
	}
	lease := get(s, "l", wants(3, 6)).Item.Token
	for range 2 {
		if w := put(s, "l", "v", token(lease), id(7)); w.Status != OK {
			t.Errorf("retried fill: %+v", w)
		}
	}
}

func TestApplyOrders(t *testing.T) {
	s := openShard(t, Config{MemoryBytes: 8 << 20, TombstoneNanos: 10e9})
	apply := func(kind RecordKind, version uint64, value string) Status {
		return s.Apply(&Mutation{Kind: kind, Hash: Hash([]byte("k")), Key: []byte("k"), Version: version, Value: []byte(value)}, s.now)
	}
	steps := []struct {
		kind    RecordKind
		version uint64
		want    Status
		value   string
	}{
		{RecordPut, 50, OK, "a"},
		{RecordPut, 50, Outdated, "a"},
		{RecordPut, 40, Outdated, "a"},
		{RecordDelete, 45, Outdated, "a"},
		{RecordPut, 60, OK, "b"},
		{RecordTouch, 60, OK, "b"},
		{RecordDelete, 70, OK, ""},
		{RecordPut, 65, Outdated, ""}, // late: the tombstone knows better
		{RecordPut, 71, OK, "c"},
	}
	for i, st := range steps {
		value := st.value
		if st.want == Outdated {
			value = "wrong"
		}
		if got := apply(st.kind, st.version, value); got != st.want {
			t.Errorf("step %d: status %d, want %d", i, got, st.want)
		}
		if g := get(s, "k"); string(g.Item.Value) != st.value {
			t.Errorf("step %d: value %q, want %q", i, g.Item.Value, st.value)
		}
	}
	if w := mustPut(t, s, "k", "own"); w.Version <= 71 {
		t.Errorf("own version %d is not above those seen", w.Version)
	}
	s.SetEpoch(5)
	if w := mustPut(t, s, "k", "own"); w.Version>>40 != 5 || s.Epoch() != 5 {
		t.Errorf("version %#x in epoch 5", w.Version)
	}
	s.SetEpoch(4)
	if s.Epoch() != 5 {
		t.Error("the epoch went back")
	}
}

func TestUnits(t *testing.T) {
	s := openShard(t, Config{MemoryBytes: 16 << 20})
	for _, n := range []int{0, 1, 127, 128, 129, 1023, 1024, 1025, 5000, 100 << 10} {
		value := bytes.Repeat([]byte{1, 2, 3, 250, 255}, n/5+1)[:n]
		mustPut(t, s, "k", string(value))
		g := get(s, "k")
		u := &g.Item
		for i := range u.Units() {
			part := value[i*UnitBytes : min(n, (i+1)*UnitBytes)]
			if u.CRC(i) != checksum.CRC(part) || u.Sum(i) != checksum.Sum(part) {
				t.Errorf("%d bytes, unit %d: wrong sums", n, i)
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	s := openShard(t, Config{MemoryBytes: 8 << 20, MaxValueBytes: 1000})
	long := string(bytes.Repeat([]byte("k"), 251))
	for name, c := range map[string]struct {
		w    Write
		want Status
	}{
		"no key":      {put(s, "", "v"), BadRequest},
		"long key":    {put(s, long, "v"), BadRequest},
		"wrong hash":  {put(s, "k", "v", func(w *Write) { w.Hash++ }), BadRequest},
		"ttl":         {put(s, "k", "v", func(w *Write) { w.TTLSeconds = MaxTTLSeconds + 1 }), BadRequest},
		"soft":        {put(s, "k", "v", func(w *Write) { w.TTLSeconds, w.SoftSeconds = 5, 5 }), BadRequest},
		"op":          {put(s, "k", "v", func(w *Write) { w.Op = 99 }), BadRequest},
		"large value": {put(s, "k", string(make([]byte, 1001))), TooLarge},
	} {
		if c.w.Status != c.want {
			t.Errorf("%s: status %d, want %d", name, c.w.Status, c.want)
		}
	}
	for _, cfg := range []Config{
		{MemoryBytes: 1 << 20},
		{MemoryBytes: 64 << 30},
		{MemoryBytes: 8 << 20, MaxValueBytes: 2 << 20},
		{MemoryBytes: 8 << 20, Growth: 0.5},
		{MemoryBytes: 8 << 20, Policy: "random"},
		{MemoryBytes: 8 << 20, HeaderRoomBytes: 3},
	} {
		if s, _, err := Open(cfg, 1); err == nil {
			s.Close()
			t.Errorf("%+v was accepted", cfg)
		}
	}
}

// TestPinned: the slot of a deleted item stays as it is until the last Unpin.
func TestPinned(t *testing.T) {
	s := openShard(t, Config{MemoryBytes: 8 << 20})
	value := string(bytes.Repeat([]byte("pinned"), 100))
	mustPut(t, s, "k", value)
	g := get(s, "k")
	s.Pin(g.Item.Handle)
	s.Pin(g.Item.Handle)
	del(s, "k")
	for i := range 20000 {
		mustPut(t, s, fmt.Sprint("other", i), value)
	}
	if s.stats.ByDrop[DropMemory] == 0 {
		t.Fatal("the memory was not filled")
	}
	s.Unpin(g.Item.Handle)
	if string(g.Item.Value) != value {
		t.Fatal("the pinned value was overwritten")
	}
	intact(t, s)
	s.Unpin(g.Item.Handle)
	if s.Stats().Pins != 0 {
		t.Errorf("%d pins left", s.Stats().Pins)
	}
	intact(t, s)
}

// TestSmallNode: few slabs and all sizes at once must neither fail a PUT nor
// throw away most of what is stored.
func TestSmallNode(t *testing.T) {
	s := openShard(t, Config{MemoryBytes: 16 << 20})
	r := rand.New(rand.NewPCG(1, 2))
	value := string(make([]byte, 100<<10))
	for i := range 30000 {
		size := int(100 * float64(uint(1)<<r.UintN(10)) * (0.5 + r.Float64()))
		mustPut(t, s, fmt.Sprint(i), value[:min(size, 100<<10)])
	}
	st := s.Stats()
	if filled := float64(st.KeyBytes+st.ValueBytes) / (16 << 20); filled < 0.5 {
		t.Errorf("only %.2f of the memory holds keys and values: %+v", filled, st.ByDrop)
	}
	t.Logf("%.3f of memory is keys and values, %d slabs moved in 30000 puts", float64(st.KeyBytes+st.ValueBytes)/(16<<20), st.SlabMoves)
	intact(t, s)
}

// TestExpiredAreSwept: nobody asks, and yet the memory comes back.
func TestExpiredAreSwept(t *testing.T) {
	s := openShard(t, Config{MemoryBytes: 16 << 20})
	ttls := []uint32{1, 5, 250, 256, 260, 300, 5000, 65530, 65536, 70000, 200000}
	for i, ttl := range ttls {
		for j := range 10 {
			put(s, fmt.Sprint(i, "-", j), "v", func(w *Write) { w.TTLSeconds = ttl })
		}
	}
	for i, ttl := range ttls {
		at := testStart + int64(ttl)*1e9
		for s.Advance(at, 1000) >= 1000 { //nolint:revive // until nothing is left to do
		}
		if want := (len(ttls) - i) * 10; s.Len() != want {
			t.Fatalf("before %d s: %d items, want %d", ttl, s.Len(), want)
		}
		for s.Advance(at+2e9, 1000) >= 1000 { //nolint:revive // the same
		}
		intact(t, s)
	}
	if s.Len() != 0 || s.Stats().WheelEntries != 0 || s.stats.ByDrop[DropWheel] != uint64(10*len(ttls)) {
		t.Errorf("%d items, %d entries, %d swept", s.Len(), s.Stats().WheelEntries, s.stats.ByDrop[DropWheel])
	}
}

// TestWheelIsCompacted: a key that is overwritten all the time leaves a stale
// entry each time, and these must not pile up.
func TestWheelIsCompacted(t *testing.T) {
	s := openShard(t, Config{MemoryBytes: 16 << 20})
	for i := range 500 {
		put(s, fmt.Sprint("still", i), "v", func(w *Write) { w.TTLSeconds = 5000 })
	}
	for i := range 60000 {
		put(s, "hot", fmt.Sprint(i), func(w *Write) { w.TTLSeconds = uint32(1000 + i%3) })
		if i%100 == 0 {
			s.Advance(s.now+1e6, 1000)
		}
	}
	s.Advance(s.now, 1<<20)
	if n := s.Stats().WheelEntries; n > 2*501+4096 {
		t.Errorf("%d entries for 501 items", n)
	}
	for s.Advance(s.now+6000e9, 1<<20) >= 1<<20 { //nolint:revive // until nothing is left to do
	}
	if s.Len() != 0 {
		t.Errorf("compaction lost the timers of %d items", s.Len())
	}
}

func TestAdvanceIsBounded(t *testing.T) {
	s := openShard(t, Config{MemoryBytes: 16 << 20})
	for i := range 5000 {
		put(s, fmt.Sprint(i), "v", func(w *Write) { w.TTLSeconds = 10 })
	}
	now := s.now + 20e9
	for before := s.Len(); s.Len() > 0; before = s.Len() {
		if work := s.Advance(now, 100); work > 110 || before-s.Len() > 110 {
			t.Fatalf("%d steps, %d items at once with a budget of 100", work, before-s.Len())
		}
	}
}

func TestHeavy(t *testing.T) {
	s := openShard(t, Config{MemoryBytes: 16 << 20})
	mustPut(t, s, "hot", "v")
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 200000 {
		switch {
		case i%5 == 0:
			get(s, "hot")
		case i%20 == 1:
			get(s, "warm")
		default:
			get(s, fmt.Sprint("cold", r.IntN(100000)))
		}
	}
	top := s.Heavy(nil)
	if len(top) < 2 || string(top[0].Key) != "hot" || string(top[1].Key) != "warm" {
		t.Fatalf("%d heavy hitters: %+v", len(top), top)
	}
	if top[0].Share < 0.17 || top[0].Share > 0.23 || top[0].Handle == 0 || top[1].Handle != 0 {
		t.Errorf("hot: %+v, warm: %+v", top[0], top[1])
	}
	for sec := range 400 {
		s.Advance(s.now+int64(sec)*1e9, 100)
	}
	if top = s.Heavy(nil); len(top) != 0 {
		t.Errorf("yesterday's favourites: %+v", top)
	}
}

// TestBatchEqualsSingle compares GetBatch with its twin on two equal shards.
func TestBatchEqualsSingle(t *testing.T) {
	a, b := openShard(t, Config{MemoryBytes: 8 << 20}), openShard(t, Config{MemoryBytes: 8 << 20})
	r := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		gets := make([]Get, 1+r.IntN(150))
		for i := range gets {
			key := fmt.Sprint(r.IntN(3000))
			gets[i] = Get{Hash: Hash([]byte(key)), Key: []byte(key), Lease: r.IntN(4) == 0, Client: uint64(r.IntN(3)), Request: uint64(r.IntN(9))}
		}
		single := append([]Get(nil), gets...)
		a.GetBatch(gets, a.now)
		for i := range single {
			b.Get(&single[i], b.now)
			if x, y := &gets[i], &single[i]; x.Outcome != y.Outcome || x.Item.Version != y.Item.Version || !bytes.Equal(x.Item.Value, y.Item.Value) || x.Item.Token != y.Item.Token {
				t.Fatalf("%q: %+v in a batch, %+v alone", x.Key, x, y)
			}
		}
		for range 200 {
			key, value, ttl := fmt.Sprint(r.IntN(3000)), string(make([]byte, r.IntN(20000))), uint32(r.IntN(5))
			for _, s := range []*Shard{a, b} {
				put(s, key, value, func(w *Write) { w.TTLSeconds = ttl })
			}
		}
		for _, s := range []*Shard{a, b} {
			s.Advance(s.now+5e8, 1000)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	for _, policy := range []string{"lru", "default"} {
		s := openShard(t, Config{MemoryBytes: 8 << 20, Policy: policy})
		keys := make([][]byte, 40000)
		for i := range keys {
			keys[i] = fmt.Appendf(nil, "key-%d", i)
		}
		value := make([]byte, 3000)
		gets := make([]Get, 64)
		n := 0
		step := func() {
			for i := range gets {
				k := keys[(n*7+i)%len(keys)]
				gets[i] = Get{Hash: Hash(k), Key: k, Lease: true}
			}
			s.GetBatch(gets, s.now)
			for range 64 {
				k := keys[n%len(keys)]
				n++
				w := Write{Op: Put, Hash: Hash(k), Key: k, Value: value[:n*13%3000], TTLSeconds: uint32(n % 100), Client: 1, Request: uint64(n)}
				s.Write(&w, s.now)
			}
			s.Advance(s.now+1e7, 100)
		}
		for warm := 0; warm < 2000 && !raceEnabled; warm++ {
			step()
		}
		if got := testing.AllocsPerRun(100, step); got >= 1 && !raceEnabled {
			t.Errorf("%s: %v allocations in 64 GETs and 64 PUTs", policy, got)
		}
	}
}

func TestScanWhileGrowing(t *testing.T) {
	s := openShard(t, Config{MemoryBytes: 32 << 20})
	want := map[string]bool{}
	for i := range 5000 {
		mustPut(t, s, fmt.Sprint("old", i), "v")
		want[fmt.Sprint("old", i)] = true
	}
	seen := map[string]int{}
	var c Cursor
	for n := 0; !s.Scan(&c, nil, 20, s.now, func(v View) bool {
		seen[string(v.Key)]++
		return true
	}); n++ {
		for i := range max(0, 200-n) {
			mustPut(t, s, fmt.Sprint("new", n, "-", i), "v")
		}
	}
	for key := range want {
		if seen[key] != 1 {
			t.Fatalf("%q was visited %d times", key, seen[key])
		}
	}
	count := 0
	c = Cursor{}
	half := ^uint64(0) / 2
	for !s.Scan(&c, func(hash uint64) bool { return hash >= half }, 1000, s.now, func(v View) bool {
		count++
		if v.Hash < half {
			t.Fatalf("hash %x is outside the range", v.Hash)
		}
		return true
	}) {
	}
	if share := float64(count) / float64(s.Len()); share < 0.45 || share > 0.55 {
		t.Errorf("half the range held %.2f of the items", share)
	}
}

func TestCapacityItems(t *testing.T) {
	s := openShard(t, Config{MemoryBytes: 16 << 20, Policy: "lru", CapacityItems: 100})
	for i := range 1000 {
		mustPut(t, s, fmt.Sprint(i), string(make([]byte, i)))
		get(s, "0") // stays
	}
	if s.Len() != 100 || get(s, "0").Outcome != Hit || get(s, "901").Outcome != Hit || get(s, "900").Outcome != Miss {
		t.Errorf("%d items; %d %d %d", s.Len(), get(s, "0").Outcome, get(s, "901").Outcome, get(s, "900").Outcome)
	}
	intact(t, s)
}

func TestUploadLimits(t *testing.T) {
	s := openShard(t, Config{MemoryBytes: 16 << 20, MaxUploads: 3, UploadNanos: 1e9})
	part := func(transfer uint64, offset int) Status {
		key := fmt.Appendf(nil, "up%d", transfer)
		return s.UploadPart(&Upload{
			Write: Write{Op: Put, Hash: Hash(key), Key: key, Client: 1}, Transfer: transfer,
			TotalBytes: 5000, OffsetBytes: offset, Data: make([]byte, UnitBytes),
		}, s.now)
	}
	for i := range uint64(3) {
		if got := part(i, 0); got != Partial {
			t.Fatalf("upload %d: status %d", i, got)
		}
	}
	if got := part(9, 0); got != BusyUploads {
		t.Errorf("one too many: status %d", got)
	}
	if got := part(1, 1000); got != BadRequest {
		t.Errorf("crooked offset: status %d", got)
	}
	if got := part(1, 4096); got != BadRequest {
		t.Errorf("past the end: status %d", got)
	}
	missing := 0
	s.Missing(1, 1, func(from, to int) { missing += to - from })
	if missing != 5000-UnitBytes {
		t.Errorf("%d bytes missing", missing)
	}
	if get(s, "up1").Outcome != Miss {
		t.Error("half an upload is visible")
	}
	if !s.AbortUpload(1, 2) || s.AbortUpload(1, 2) {
		t.Error("abort")
	}
	s.Advance(s.now+2e9, 100)
	if s.Stats().Uploads != 0 || s.stats.ByDrop[DropUpload] != 3 {
		t.Errorf("%d uploads left, %d dropped", s.Stats().Uploads, s.stats.ByDrop[DropUpload])
	}
	intact(t, s)
}
