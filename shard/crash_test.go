package shard

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"gannet/alloc"
)

// copyFiles takes a picture of the mapped files, as a crash would leave them.
func copyFiles(t testing.TB, s *Shard, dir string) {
	t.Helper()
	for _, r := range []*alloc.Region{s.indexRegion, s.slabRegion} {
		content, err := os.ReadFile(r.Path())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(r.Path())), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCrashAtEveryStep kills the shard at each step that a mutation, a growth of
// the index or a move of a slab is made of, and looks at what a successor finds:
// every item but the one being written, unharmed, and that one old, new or gone.
func TestCrashAtEveryStep(t *testing.T) {
	dir := tempTmpfs(t)
	live, dead := filepath.Join(dir, "live"), filepath.Join(dir, "dead")
	for _, d := range []string{live, dead} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s := openShard(t, Config{MemoryBytes: 4 << 20, Dir: live, MaxValueBytes: 10000})
	c := &crasher{t: t, s: s, dir: dead, want: map[string]string{}, seen: map[string]int{}}
	s.index.hook = c.step
	c.run()
	for _, step := range []string{
		"filled", "insert-tagged", "insert-counted", "replaced", "removed", "grow",
		"rewrite-noted", "rewrite-begun", "rewrite-half", "rewritten",
		"sweep-intent", "sweep-copied", "sweep-moved", "sweep-ending", "slab-class",
	} {
		if c.seen[step] == 0 {
			t.Errorf("no crash at %q", step)
		}
	}
}

type crasher struct {
	t      *testing.T
	s      *Shard
	dir    string
	want   map[string]string // what was acknowledged
	key    string            // being written
	value  string            // to be there, "" = deleted
	evicts uint64
	seen   map[string]int
	count  int
}

func (c *crasher) run() {
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 2500 {
		c.key = fmt.Sprint("key", r.IntN(1500))
		c.evicts = 0
		if r.IntN(5) == 0 {
			c.value = ""
			del(c.s, c.key)
			delete(c.want, c.key)
			continue
		}
		size := 20
		if i > 1500 {
			size = 3000
		}
		c.value = c.key + string(bytes.Repeat([]byte{byte(i)}, r.IntN(size)))
		mustPut(c.t, c.s, c.key, c.value)
		c.want[c.key] = c.value
	}
}

// step is called by the shard at each step; it looks closely at the first of
// each kind and at a few of the later ones.
func (c *crasher) step(name string) {
	c.seen[name]++
	c.count++
	if c.seen[name] > 6 && c.count%997 != 0 {
		return
	}
	copyFiles(c.t, c.s, c.dir)
	cfg := c.s.cfg
	cfg.Dir, cfg.Log = c.dir, nil
	s, rec, err := Open(cfg, c.s.now)
	if err != nil || rec.Fresh || rec.Clean {
		c.t.Fatalf("%s: %+v, %v", name, rec, err)
	}
	defer s.Close()
	c.check(name, s)
	for s.Advance(s.now, 1000) >= 1000 { //nolint:revive // until nothing is left to do
	}
	c.check(name, s)
	if err := s.Integrity(true); err != nil {
		c.t.Fatalf("%s (%d): %v", name, c.seen[name], err)
	}
}

func (c *crasher) check(name string, s *Shard) {
	lost := 0
	for key, value := range c.want {
		g := get(s, key)
		switch {
		case g.Outcome == Hit && string(g.Item.Value) == value:
		case key == c.key && (g.Outcome == Miss || string(g.Item.Value) == c.value):
		case g.Outcome == Miss:
			lost++
		default:
			c.t.Fatalf("%s: %q is not what was stored", name, key)
		}
	}
	if evicted := c.evicted() + s.stats.ByDrop[DropSlabMove]; lost > int(evicted) || s.stats.ByDrop[DropCorrupt] > 0 {
		c.t.Fatalf("%s: %d items lost, %d evicted before; drops %v", name, lost, evicted, s.stats.ByDrop)
	}
}

func (c *crasher) evicted() uint64 {
	d := &c.s.stats.ByDrop
	return d[DropMemory] + d[DropSlabMove] + d[DropIndex] + 1 // one may be under way
}

// TestRepeatedCrashes: more unclean ends than there are generations, with no
// time for the pass in between.
func TestRepeatedCrashes(t *testing.T) {
	cfg := Config{MemoryBytes: 8 << 20, Dir: tempTmpfs(t), NUMANode: -1}
	s := openShard(t, cfg)
	for i := range 1000 {
		mustPut(t, s, fmt.Sprint(i), "value")
	}
	bad := get(s, "500").Item
	bad.Value[0] ^= 1
	for range 9 {
		if err := s.unmap(); err != nil {
			t.Fatal(err)
		}
		var err error
		if s, _, err = Open(cfg, testStart); err != nil {
			t.Fatal(err)
		}
	}
	defer s.Close()
	if get(s, "500").Outcome != Miss {
		t.Error("a damaged item was served")
	}
	for i := range 1000 {
		if i != 500 && get(s, fmt.Sprint(i)).Outcome != Hit {
			t.Fatalf("%d is lost", i)
		}
	}
	for s.Advance(s.now, 1000) >= 1000 { //nolint:revive // until nothing is left to do
	}
	if s.verifying || s.Len() != 999 {
		t.Errorf("verifying %v, %d items", s.verifying, s.Len())
	}
	intact(t, s)
}

func TestAttachRefuses(t *testing.T) {
	dir := tempTmpfs(t)
	cfg := Config{MemoryBytes: 8 << 20, Dir: dir, NUMANode: -1}
	for name, change := range map[string]func(*Config, *superblock){
		"memory":     func(c *Config, _ *superblock) { c.MemoryBytes = 16 << 20 },
		"links":      func(c *Config, _ *superblock) { c.Policy = "lru" },
		"max value":  func(c *Config, _ *superblock) { c.MaxValueBytes = 5000 },
		"boot":       func(_ *Config, b *superblock) { b.bootID[3]++ },
		"magic":      func(_ *Config, b *superblock) { b.magic++ },
		"layout":     func(_ *Config, b *superblock) { b.layout++ },
		"index size": func(_ *Config, b *superblock) { b.sweep = 1 << 40 },
	} {
		s := openShard(t, cfg)
		mustPut(t, s, "k", "v")
		next := cfg
		change(&next, s.super)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s, rec, err := Open(next, testStart)
		if err != nil || !rec.Fresh || rec.Reason == "" || get(s, "k").Outcome != Miss {
			t.Errorf("%s: %+v, %v", name, rec, err)
		}
		intact(t, s)
		s.Close()
	}
}

// TestSecondOwner: two processes must not have one shard.
func TestSecondOwner(t *testing.T) {
	cfg := Config{MemoryBytes: 8 << 20, Dir: tempTmpfs(t), NUMANode: -1}
	openShard(t, cfg)
	if s, _, err := Open(cfg, testStart); err == nil {
		s.Close()
		t.Error("opened twice")
	}
}

// TestIntegrityFindsPlants breaks one thing at a time.
func TestIntegrityFindsPlants(t *testing.T) {
	for name, plant := range map[string]func(*Shard, Handle, place){
		"value":       func(s *Shard, h Handle, _ place) { s.mem.value(h, s.mem.head(h).word)[10] ^= 4 },
		"key":         func(s *Shard, h Handle, _ place) { s.mem.key(h, s.mem.head(h).word)[0] ^= 1 },
		"sum":         func(s *Shard, h Handle, _ place) { s.mem.table(h, s.mem.head(h).word)[1] ^= 1 },
		"version":     func(s *Shard, h Handle, _ place) { s.mem.head(h).version = 1 << 60 },
		"key length":  func(s *Shard, h Handle, _ place) { s.mem.head(h).word ^= 1 },
		"ttl flag":    func(s *Shard, h Handle, _ place) { s.mem.head(h).word ^= flagTTL },
		"link":        func(s *Shard, h Handle, _ place) { s.mem.links(h).Next += 3 },
		"tag":         func(s *Shard, _ Handle, p place) { s.index.at(p.bucket).tags[p.slot]++ },
		"handle":      func(s *Shard, _ Handle, p place) { s.index.at(p.bucket).handles[p.slot]++ },
		"far handle":  func(s *Shard, _ Handle, p place) { s.index.at(p.bucket).handles[p.slot] = ^uint32(0) },
		"lost entry":  func(s *Shard, _ Handle, p place) { s.index.at(p.bucket).handles[p.slot] = 0 },
		"twice":       func(s *Shard, h Handle, p place) { s.index.insert(mix(s.hashAt(h)), h) },
		"slab class":  func(s *Shard, h Handle, _ place) { s.classTable[h>>s.slabShift]++ },
		"free list":   func(s *Shard, h Handle, _ place) { s.slabOf(h).freeHead = h },
		"item count":  func(s *Shard, _ Handle, _ place) { s.super.items++ },
		"policy":      func(s *Shard, h Handle, _ place) { s.classes[s.slabOf(h).class].policy.Remove(h) },
		"budget":      func(s *Shard, _ Handle, _ place) { s.budget-- },
		"overflow":    func(s *Shard, _ Handle, _ place) { s.forgetOverflow() },
		"stray entry": func(s *Shard, h Handle, p place) { s.strayEntry(h, p) },
	} {
		s := openShard(t, Config{MemoryBytes: 8 << 20, Policy: "lru"})
		for i := range 2000 {
			mustPut(t, s, fmt.Sprint(i), fmt.Sprint("a value long enough to be hit ", i))
		}
		intact(t, s)
		h, p := s.lookup(mix(Hash([]byte("777"))), []byte("777"))
		plant(s, h, p)
		if err := s.Integrity(true); err == nil {
			t.Errorf("%s: not found", name)
		}
	}
}

// forgetOverflow clears a count that is not zero.
func (s *Shard) forgetOverflow() {
	for b := uint64(0); ; b++ {
		if s.index.at(b).overflow() > 0 {
			s.index.at(b).meta = 0
			return
		}
	}
}

// strayEntry moves an entry to a bucket before its home.
func (s *Shard) strayEntry(h Handle, p place) {
	for b := p.home - 1; ; b-- {
		if i := s.index.at(b).vacant(); i >= 0 {
			s.index.at(b).tags[i], s.index.at(b).handles[i] = tagOf(mix(s.hashAt(h))), h
			s.index.at(p.bucket).handles[p.slot] = 0
			return
		}
	}
}

// TestDamagedIndex: after an unclean end nothing in the index may be followed
// blindly.
func TestDamagedIndex(t *testing.T) {
	cfg := Config{MemoryBytes: 8 << 20, Dir: tempTmpfs(t), NUMANode: -1}
	s := openShard(t, cfg)
	for i := range 3000 {
		mustPut(t, s, fmt.Sprint(i), "value")
	}
	r := rand.New(rand.NewPCG(1, 9))
	buckets := s.indexRegion.Bytes()[s.indexAt:][:s.super.target*bucketBytes]
	for range 300 {
		at := r.IntN(len(buckets)/4) * 4
		binary.LittleEndian.PutUint32(buckets[at:], r.Uint32())
	}
	if err := s.unmap(); err != nil {
		t.Fatal(err)
	}
	s, rec, err := Open(cfg, testStart)
	if err != nil || !rec.Verify {
		t.Fatalf("%+v, %v", rec, err)
	}
	defer s.Close()
	gets := make([]Get, 64)
	for i := 0; i < 3000; i += len(gets) {
		for j := range gets {
			key := fmt.Appendf(nil, "%d", i+j)
			gets[j] = Get{Hash: Hash(key), Key: key}
		}
		s.GetBatch(gets, s.now)
		for j := range gets {
			if gets[j].Outcome == Hit && string(gets[j].Item.Value) != "value" {
				t.Fatal("a wrong value")
			}
		}
	}
	for s.Advance(s.now, 1000) >= 1000 { //nolint:revive // until nothing is left to do
	}
	for i := range 3000 {
		mustPut(t, s, fmt.Sprint(i), "again")
	}
}

// TestHugetlbfs runs a shard on 2 MiB pages of a real hugetlbfs, with a restart.
func TestHugetlbfs(t *testing.T) {
	giveBack, err := alloc.BorrowHugePages(80 << 20)
	if err != nil {
		t.Skip(err)
	}
	defer giveBack()
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "hugetlbfs", 0, "pagesize=2M"); err != nil {
		t.Skipf("mount hugetlbfs: %v", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	for _, huge := range []alloc.Huge{alloc.Require, alloc.Auto} {
		cfg := Config{ID: int(huge), MemoryBytes: 32 << 20, Dir: dir, Huge: huge, NUMANode: -1, Prefault: true}
		s := openShard(t, cfg)
		for i := range 60000 {
			mustPut(t, s, fmt.Sprint(i), string(make([]byte, i%1000)))
		}
		intact(t, s)
		n := s.Len()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s, rec, err := Open(cfg, testStart)
		if err != nil || rec.Fresh || !rec.Clean || rec.Fell != "" || s.Len() != n {
			t.Fatalf("%+v, %v", rec, err)
		}
		for s.Advance(s.now, 1000) >= 1000 { //nolint:revive // until nothing is left to do
		}
		intact(t, s)
		s.Close()
	}
}
