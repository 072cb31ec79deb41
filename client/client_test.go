package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gannet/client"
	"gannet/client/clienttest"
	"gannet/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ctx = context.Background()

// open makes a client with time to spare: tests assert on outcomes, not times, on a
// machine that may stand still for a while.
func open(t testing.TB, s *clienttest.Server, opts ...client.Option) *client.Client {
	t.Helper()
	opts = append([]client.Option{client.WithTimeout(3 * time.Minute)}, opts...)
	c, err := client.Open([]string{s.Addr()}, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func pair(t testing.TB, config clienttest.Config, opts ...client.Option) (*clienttest.Server, *client.Client) {
	t.Helper()
	s := clienttest.New(t, config)
	return s, open(t, s, opts...)
}

// soon ends a call that has no good end: shortly after it began, and later where that
// was too short for this machine to come to the outcome.
func soon(t testing.TB, call func(context.Context) error, outcome func(error) bool) (err error) {
	t.Helper()
	for wait := 20 * time.Millisecond; wait < 20*time.Second; wait *= 2 {
		short, cancel := context.WithTimeout(ctx, wait)
		err = call(short)
		cancel()
		if outcome(err) {
			break
		}
	}
	return err
}

// is says of an error that it is this one.
func is(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }

func bytesOf(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestPutGetDelete(t *testing.T) {
	_, c := pair(t, clienttest.Config{Shards: 2})
	if _, err := c.Get(ctx, "greeting"); err != client.ErrMiss { //nolint:errorlint // bare by contract
		t.Fatalf("get before put: %v, want bare ErrMiss", err)
	}
	version := must[client.Version](t)(c.Put(ctx, "greeting", []byte("hello"), client.WithTTL(90*time.Second)))
	item := must[client.Item](t)(c.Get(ctx, "greeting"))
	if string(item.Value) != "hello" || item.Version != version || item.TTL != 90*time.Second {
		t.Fatalf("got %+v, want hello at %v for 90s", item, version)
	}
	if err := c.Delete(ctx, "greeting"); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(ctx, "greeting"); !errors.Is(err, client.ErrNotFound) {
		t.Fatalf("second delete: %v, want ErrNotFound", err)
	}
}

func TestWrites(t *testing.T) {
	_, c := pair(t, clienttest.Config{})
	first := must[client.Version](t)(c.Add(ctx, "k", []byte("1")))
	if _, err := c.Add(ctx, "k", []byte("2")); !errors.Is(err, client.ErrExists) {
		t.Fatalf("add again: %v, want ErrExists", err)
	}
	if n := must[int64](t)(c.Incr(ctx, "k", -42)); n != -41 {
		t.Fatalf("incr: %d, want -41", n)
	}
	if _, err := c.CompareAndSwap(ctx, "k", []byte("x"), first); !errors.Is(err, client.ErrVersion) {
		t.Fatalf("cas with an old version: %v, want ErrVersion", err)
	}
	item := must[client.Item](t)(c.Get(ctx, "k"))
	must[client.Version](t)(c.CompareAndSwap(ctx, "k", []byte("x"), item.Version))
	if _, err := c.Incr(ctx, "k", 1); !errors.Is(err, client.ErrNotANumber) {
		t.Fatalf("incr of x: %v, want ErrNotANumber", err)
	}
	if _, err := c.Replace(ctx, "absent", nil); !errors.Is(err, client.ErrNotFound) {
		t.Fatalf("replace of nothing: %v, want ErrNotFound", err)
	}
	must[client.Version](t)(c.Touch(ctx, "k", 1500*time.Millisecond))
	if item := must[client.Item](t)(c.Get(ctx, "k")); item.TTL != 2*time.Second {
		t.Fatalf("TTL after touch: %v, want 1.5s rounded up to 2s", item.TTL)
	}
	must[time.Duration](t)(c.Ping(ctx))
	if stats := must[json.RawMessage](t)(c.Stats(ctx)); !bytes.Contains(stats, []byte("policy")) {
		t.Fatalf("stats: %s", stats)
	}
}

// TestStatuses: every status that a node can answer has an error to test for.
func TestStatuses(t *testing.T) {
	s, c := pair(t, clienttest.Config{}, client.WithRetransmit(5*time.Second, 5*time.Second))
	for _, row := range []struct {
		status wire.Status
		want   error
	}{
		{wire.StatusMiss, client.ErrMiss},
		{wire.StatusExists, client.ErrExists},
		{wire.StatusNotFound, client.ErrNotFound},
		{wire.StatusVersionMismatch, client.ErrVersion},
		{wire.StatusLeaseGranted, client.ErrMiss},
		{wire.StatusLeaseWait, client.ErrLeaseWait},
		{wire.StatusLeaseRefused, client.ErrLeaseRefused},
		{wire.StatusTooLarge, client.ErrTooLarge},
		{wire.StatusNoMemory, client.ErrNoMemory},
		{wire.StatusOverloaded, client.ErrOverloaded},
		{wire.StatusTooLate, client.ErrOverloaded},
		{wire.StatusTooLate, client.ErrTimeout},
		{wire.StatusBadRequest, client.ErrBadRequest},
		{wire.StatusNotANumber, client.ErrNotANumber},
		{wire.StatusUnsupported, client.ErrUnsupported},
		{wire.StatusFenced, client.ErrFenced},
		{wire.StatusOutcomeUnknown, client.ErrOutcomeUnknown},
		{wire.StatusForbidden, client.ErrForbidden},
		{wire.StatusBehind, client.ErrBehind},
	} {
		s.Answer(wire.Put, row.status, 1)
		if _, err := c.Put(ctx, "k", []byte("v")); !errors.Is(err, row.want) {
			t.Errorf("%v: error %v, want %v", row.status, err, row.want)
		}
	}
	c = open(t, s, client.WithRetransmit(time.Millisecond, 5*time.Millisecond))
	for _, passing := range []wire.Status{wire.StatusUnavailable, wire.StatusCookieRequired, wire.StatusChanged} {
		s.Set("k", []byte("v"))
		s.Answer(wire.Get, passing, 3)
		if item := must[client.Item](t)(c.Get(ctx, "k")); string(item.Value) != "v" {
			t.Errorf("get through %v: %q", passing, item.Value)
		}
	}
}

func TestArguments(t *testing.T) {
	_, c := pair(t, clienttest.Config{MaxValueBytes: 2000})
	for name, got := range map[string]error{
		"empty key":   second(c.Put(ctx, "", nil)),
		"long key":    second(c.Get(ctx, strings.Repeat("k", 251))),
		"negative":    second(c.Put(ctx, "k", nil, client.WithTTL(-1))),
		"TTL too big": second(c.Put(ctx, "k", nil, client.WithTTL(client.MaxTTL+1))),
		"soft ≥ hard": second(c.Put(ctx, "k", nil, client.WithTTL(time.Second), client.WithSoftTTL(time.Second))),
		"version 0":   second(c.CompareAndSwap(ctx, "k", nil, 0)),
		"cas lease":   second(c.CompareAndSwap(ctx, "k", nil, 1, client.WithLease(1))),
	} {
		if !errors.Is(got, client.ErrBadRequest) {
			t.Errorf("%s: %v, want ErrBadRequest", name, got)
		}
	}
	if err := second(c.Put(ctx, "k", make([]byte, 2001))); !errors.Is(err, client.ErrTooLarge) {
		t.Errorf("value over the limit: %v, want ErrTooLarge", err)
	}
	for _, servers := range [][]string{nil, {"a:1", "b:1"}, {""}, {"127.0.0.1:x"}, {"127.0.0.1:0"}, {":9800:1"}} {
		if _, err := client.Open(servers); !errors.Is(err, client.ErrBadRequest) {
			t.Errorf("open %q: %v, want ErrBadRequest", servers, err)
		}
	}
}

func isError(err, want error) bool { return errors.Is(err, want) }

func second[T any](_ T, err error) error { return err }

// TestSizes stores and reads values around every border of the format.
func TestSizes(t *testing.T) {
	for _, payload := range []int{1232, 1472, 8972, 65507} {
		_, c := pair(t, clienttest.Config{Shards: 2}, client.WithMaxPayload(payload))
		for _, size := range []int{0, 1, 7, 8, 1023, 1024, 1025, 1296, 1297, 1343, 1344, 1345, 2048, 3000, 65400, 102_400, 1 << 20} {
			key, value := fmt.Sprintf("key-%d", size), bytesOf(size, 1)
			must[client.Version](t)(c.Put(ctx, key, value))
			item := must[client.Item](t)(c.GetInto(ctx, key, make([]byte, 3, 2000)))
			if !bytes.Equal(item.Value, value) {
				t.Fatalf("payload %d: value of %d bytes came back as %d bytes", payload, size, len(item.Value))
			}
		}
	}
}

func TestCookiesAreRenewed(t *testing.T) {
	s, c := pair(t, clienttest.Config{Shards: 3}, client.WithSourcePorts(3), client.WithRetransmit(5*time.Second, 5*time.Second))
	for round := range 5 {
		for i := range 30 {
			key := fmt.Sprint("key", i)
			must[client.Version](t)(c.Put(ctx, key, []byte(key)))
			if item := must[client.Item](t)(c.Get(ctx, key)); string(item.Value) != key {
				t.Fatalf("round %d: %q for %q", round, item.Value, key)
			}
		}
		s.RotateCookies()
	}
	if c.Counters().Resent > 2 {
		t.Errorf("%d timeouts: a demand for a cookie must be answered at once", c.Counters().Resent)
	}
}

func TestLeases(t *testing.T) {
	s, c := pair(t, clienttest.Config{})
	item, err := c.Get(ctx, "k", client.TakeLease())
	if !errors.Is(err, client.ErrMiss) || item.Lease == 0 {
		t.Fatalf("first reader: %+v, %v, want a lease beside ErrMiss", item, err)
	}
	other, err := c.Get(ctx, "k", client.TakeLease())
	if !errors.Is(err, client.ErrLeaseWait) || other.Wait != 50*time.Millisecond {
		t.Fatalf("second reader: %+v, %v, want ErrLeaseWait for 50ms", other, err)
	}
	s.Set("k", []byte("newer"))
	if err := second(c.Put(ctx, "k", []byte("stale"), client.WithLease(item.Lease))); !errors.Is(err, client.ErrLeaseRefused) {
		t.Fatalf("put with an overtaken lease: %v, want ErrLeaseRefused", err)
	}
}

func TestReadOptions(t *testing.T) {
	s, c := pair(t, clienttest.Config{})
	version := client.Version(s.Set("k", bytesOf(5000, 2)))
	if err := second(c.Get(ctx, "k", client.AtLeast(version+1))); !errors.Is(err, client.ErrBehind) {
		t.Errorf("at least a later version: %v, want ErrBehind", err)
	}
	item := must[client.Item](t)(c.Get(ctx, "k", client.MetadataOnly()))
	if len(item.Value) != 0 || item.Version != version {
		t.Errorf("metadata only: %+v", item)
	}
}

func TestGetMulti(t *testing.T) {
	s, c := pair(t, clienttest.Config{Shards: 2}, client.WithRetransmit(200*time.Millisecond, 5*time.Second))
	var keys []string
	for i := range 500 {
		key := fmt.Sprint("key", i)
		keys = append(keys, key)
		if i%3 != 0 {
			s.Set(key, bytesOf(i*i%7000, uint64(i)))
		}
	}
	before := s.Count(wire.Get)
	results := must[[]client.Result](t)(c.GetMulti(ctx, keys))
	checkMulti(t, s, keys, results)
	// About 50, and more for parts that are asked for again on a busy machine.
	if datagrams := int(c.Counters().Sent); datagrams > len(keys)/4 {
		t.Errorf("%d datagrams for %d keys: several keys must share one", datagrams, s.Count(wire.Get)-before)
	}
	_, err := c.GetMulti(ctx, []string{"key1", ""})
	if !errors.Is(err, client.ErrBadRequest) {
		t.Errorf("an empty key among others: %v, want ErrBadRequest", err)
	}
}

func checkMulti(t *testing.T, s *clienttest.Server, keys []string, results []client.Result) {
	t.Helper()
	for i, r := range results {
		want := s.Value(keys[i])
		switch {
		case want == nil && r.Err == client.ErrMiss: //nolint:errorlint // bare by contract
		case want != nil && r.Err == nil && bytes.Equal(r.Value, want):
		default:
			t.Fatalf("key %q: %d bytes, %v; stored are %d", keys[i], len(r.Value), r.Err, len(want))
		}
	}
}

// TestGetMultiUnderLoss: results are put under their own keys, whatever is lost,
// repeated and reordered.
func TestGetMultiUnderLoss(t *testing.T) {
	s, c := pair(t, clienttest.Config{Shards: 2}, client.WithRetransmit(time.Millisecond, 8*time.Millisecond))
	var keys []string
	for i := range 200 {
		keys = append(keys, fmt.Sprint("key", i))
		if i%5 != 0 {
			s.Set(keys[i], bytesOf(i*37%4000, uint64(i)))
		}
	}
	s.SetFaults(clienttest.Faults{Seed: 7, LoseRequests: 0.1, LoseReplies: 0.2, Repeat: 0.2, Swap: 0.3, Damage: 0.05})
	for range 5 {
		checkMulti(t, s, keys, must[[]client.Result](t)(c.GetMulti(ctx, keys)))
	}
}

// TestRetriedWritesCountOnce: a lost acknowledgement must not add twice.
func TestRetriedWritesCountOnce(t *testing.T) {
	s, c := pair(t, clienttest.Config{}, client.WithRetransmit(time.Millisecond, 8*time.Millisecond))
	s.Set("n", []byte("0"))
	s.SetFaults(clienttest.Faults{Seed: 3, LoseRequests: 0.2, LoseReplies: 0.4, Repeat: 0.3, Swap: 0.2})
	for want := int64(1); want <= 100; want++ {
		if got := must[int64](t)(c.Incr(ctx, "n", 1)); got != want {
			t.Fatalf("after %d increments: %d", want, got)
		}
	}
	if s.Count(wire.Incr) == 100 {
		t.Error("nothing was sent again: the fault never fired")
	}
}

func TestManyCallers(t *testing.T) {
	s, c := pair(t, clienttest.Config{Shards: 2}, client.WithRetransmit(5*time.Millisecond, 50*time.Millisecond))
	s.SetFaults(clienttest.Faults{Seed: 5, LoseReplies: 0.02, Repeat: 0.1, Swap: 0.1})
	var wg sync.WaitGroup
	for worker := range 32 {
		wg.Go(func() {
			dst := make([]byte, 0, 4096)
			for i := range 50 {
				key := fmt.Sprintf("key-%d-%d", worker, i)
				value := bytesOf(i*60, uint64(worker))
				if err := second(c.Put(ctx, key, value)); err != nil {
					t.Errorf("put: %v", err)
				}
				if item, err := c.GetInto(ctx, key, dst); err != nil || !bytes.Equal(item.Value, value) {
					t.Errorf("get: %d bytes of %d, %v", len(item.Value), len(value), err)
				}
			}
		})
	}
	wg.Wait()
}

func TestTimeouts(t *testing.T) {
	s, c := pair(t, clienttest.Config{})
	_ = second(c.Get(ctx, "k"))
	s.SetFaults(clienttest.Faults{LoseRequests: 1})
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	err := second(c.Get(short, "k"))
	if !errors.Is(err, client.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("get without an answer: %v, want ErrTimeout and DeadlineExceeded", err)
	}
	if errors.Is(err, client.ErrOutcomeUnknown) {
		t.Errorf("a read's outcome is never unknown: %v", err)
	}
	incr := func(ctx context.Context) error { return second(c.Incr(ctx, "k", 1)) }
	if err := soon(t, incr, is(client.ErrOutcomeUnknown)); !errors.Is(err, client.ErrOutcomeUnknown) {
		t.Errorf("incr without an answer: %v, want ErrOutcomeUnknown", err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	before := c.Counters().Sent
	if err := second(c.Put(cancelled, "k", nil)); !errors.Is(err, context.Canceled) || errors.Is(err, client.ErrTimeout) {
		t.Errorf("cancelled put: %v, want context.Canceled", err)
	}
	if c.Counters().Sent != before {
		t.Error("a put that was cancelled before it began was sent all the same")
	}
	cancelled, cancel = context.WithCancel(ctx)
	defer cancel()
	s.SetFaults(clienttest.Faults{Request: func(r *wire.Request) bool {
		if asks(r, wire.Put) {
			cancel()
		}
		return false
	}})
	if err := second(c.Put(cancelled, "k", nil)); !errors.Is(err, context.Canceled) || !errors.Is(err, client.ErrOutcomeUnknown) {
		t.Errorf("put cancelled on its way: %v, want context.Canceled and ErrOutcomeUnknown", err)
	}
}

func TestNodeDown(t *testing.T) {
	s := clienttest.New(t, clienttest.Config{})
	c := open(t, s)
	must[time.Duration](t)(c.Ping(ctx))
	s.Stop()
	get := func(ctx context.Context) error { return second(c.Get(ctx, "k")) }
	if err := soon(t, get, is(client.ErrUnavailable)); !errors.Is(err, client.ErrUnavailable) {
		t.Errorf("get from a closed port: %v, want ErrUnavailable", err)
	}
}

// TestRidesOverRestart: calls that begin while the node is down end well.
func TestRidesOverRestart(t *testing.T) {
	s, c := pair(t, clienttest.Config{Shards: 2})
	must[client.Version](t)(c.Put(ctx, "k", []byte("v")))
	s.Stop()
	got := make(chan error)
	go func() { got <- second(c.Get(ctx, "k")) }()
	for c.Counters().Refused == 0 {
		time.Sleep(time.Millisecond) // the kernel tells nobody else
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Fatalf("get across a restart: %v", err)
	}
}

// TestOtherShardsAfterRestart: a node that comes back with other shards is asked
// on its new ones.
func TestOtherShardsAfterRestart(t *testing.T) {
	s := clienttest.New(t, clienttest.Config{Shards: 4})
	c := open(t, s)
	for i := range 20 {
		must[client.Version](t)(c.Put(ctx, fmt.Sprint("key", i), nil))
	}
	s.Stop()
	get := func(ctx context.Context) error { return second(c.Get(ctx, "key1")) }
	if err := soon(t, get, is(client.ErrUnavailable)); !errors.Is(err, client.ErrUnavailable) {
		t.Fatalf("get from closed ports: %v, want ErrUnavailable", err)
	}
	_, port, _ := strings.Cut(s.Addr(), ":")
	number := must[int](t)(strconv.Atoi(port))
	clienttest.New(t, clienttest.Config{Shards: 2, Port: number})
	for i := range 20 {
		key := fmt.Sprint("key", i)
		must[client.Version](t)(c.Put(ctx, key, []byte(key)))
		must[client.Item](t)(c.Get(ctx, key))
	}
	if got := must[client.Limits](t)(c.Limits(ctx)).Shards; got != 2 {
		t.Errorf("the client knows %d shards, the node has 2", got)
	}
}

// TestForeignReplies: an answer to another session is not taken for one's own,
// though its request id fits.
func TestForeignReplies(t *testing.T) {
	s, c := pair(t, clienttest.Config{})
	must[time.Duration](t)(c.Ping(ctx))
	s.SetFaults(clienttest.Faults{Reply: func(b []byte) bool { b[wire.OffsetSessionID] ^= 1; return true }})
	get := func(ctx context.Context) error { return second(c.Get(ctx, "k")) }
	came := func(error) bool { return c.Counters().Dropped["foreign"] > 0 }
	if err := soon(t, get, came); !errors.Is(err, client.ErrTimeout) || !came(err) {
		t.Errorf("%v, dropped %v", err, c.Counters().Dropped)
	}
}

func TestCloseEndsCalls(t *testing.T) {
	s := clienttest.New(t, clienttest.Config{})
	c := open(t, s)
	must[time.Duration](t)(c.Ping(ctx))
	arrived := make(chan struct{}, 100)
	s.SetFaults(clienttest.Faults{Request: func(*wire.Request) bool { arrived <- struct{}{}; return false }})
	got := make(chan error)
	go func() { got <- second(c.Get(ctx, "k")) }()
	<-arrived
	c.Close()
	if err := <-got; !errors.Is(err, client.ErrClosed) {
		t.Errorf("get while closing: %v, want ErrClosed", err)
	}
	if err := second(c.Get(ctx, "k")); !errors.Is(err, client.ErrClosed) {
		t.Errorf("get after close: %v, want ErrClosed", err)
	}
}

// TestCorrupt: a value that never arrives whole is an error, not a wrong value.
func TestCorrupt(t *testing.T) {
	s, c := pair(t, clienttest.Config{})
	for _, size := range []int{100, 5000} {
		s.Set("k", bytesOf(size, 1))
		s.SetFaults(clienttest.Faults{Damage: 1})
		if item, err := c.Get(ctx, "k"); !errors.Is(err, client.ErrCorrupt) {
			t.Errorf("size %d: %d bytes, %v, want ErrCorrupt", size, len(item.Value), err)
		}
		s.SetFaults(clienttest.Faults{})
	}
}

// TestLearnsSourcePorts: requests end up on source ports that arrive on the
// shard's own queue.
func TestLearnsSourcePorts(t *testing.T) {
	queue := func(_ int, port uint16) uint16 { return port % 4 }
	s, c := pair(t, clienttest.Config{Shards: 1, Queue: queue}, client.WithSourcePorts(2))
	for range 300 {
		must[time.Duration](t)(c.Ping(ctx))
	}
	before := s.SourcePorts()
	for range 50 {
		must[time.Duration](t)(c.Ping(ctx))
	}
	for port, n := range s.SourcePorts() {
		if port%4 != 0 && n != before[port] {
			t.Errorf("port %d (queue %d) still used %d times", port, port%4, n-before[port])
		}
	}
}

func TestGetIntoAllocatesNothing(t *testing.T) {
	get := cannedGet(t)
	for range 20 {
		get() // opens the sockets
	}
	if n := testing.AllocsPerRun(1000, get); n != 0 && !raceDetector {
		t.Errorf("GetInto allocates %v times, want 0", n)
	}
}

func BenchmarkGetInto(b *testing.B) {
	get := cannedGet(b)
	b.ReportAllocs()
	for b.Loop() {
		get()
	}
}

// cannedGet returns a GET of 500 bytes from a node that allocates nothing.
func cannedGet(t testing.TB) func() {
	node := clienttest.NewCanned(t, bytesOf(500, 1))
	c, err := client.Open([]string{node.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	dst := make([]byte, 0, 1024)
	return func() {
		if item, err := c.GetInto(ctx, "key", dst); err != nil || len(item.Value) != 500 {
			t.Fatal(len(item.Value), err)
		}
	}
}

func TestCountersNameDrops(t *testing.T) {
	s, c := pair(t, clienttest.Config{})
	s.Set("k", []byte("v"))
	s.SetFaults(clienttest.Faults{Repeat: 1})
	must[client.Item](t)(c.Get(ctx, "k"))
	must[client.Item](t)(c.Get(ctx, "k"))
	for range 100 {
		must[time.Duration](t)(c.Ping(ctx)) // its reply follows the repeated one on a socket
	}
	if c.Counters().Dropped["late"] == 0 {
		t.Errorf("dropped: %v, want late ones", c.Counters().Dropped)
	}
	s.SetFaults(clienttest.Faults{Reply: func(b []byte) bool { b[wire.OffsetVersion] = 9; return true }})
	get := func(ctx context.Context) error { return second(c.Get(ctx, "k")) }
	came := func(error) bool { return c.Counters().Dropped["version"] > 0 }
	if err := soon(t, get, came); !errors.Is(err, client.ErrTimeout) {
		t.Errorf("replies of another version: %v, want ErrTimeout", err)
	}
	if c.Counters().Dropped["version"] == 0 {
		t.Errorf("dropped: %v, want malformed ones by reason", c.Counters().Dropped)
	}
}
