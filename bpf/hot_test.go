package bpf

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"gannet/checksum"
	"gannet/security"
	"gannet/wire"
)

var hotSecret = [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

const (
	hotPeriod = time.Hour
	hotEpoch  = 7
	hotLoad   = 12345
)

// hotBench is a live program with an item published on shard 1.
type hotBench struct {
	*bench
	table   *HotTable
	cookies *security.Cookies
	origin  int64
	slot    int
}

func testHotConfig() SteerConfig {
	cfg := testConfig()
	cfg.Hot = &HotConfig{CookieSecret: hotSecret, CookiePeriod: hotPeriod}
	return cfg
}

func loadHot(tb testing.TB, change func(*SteerConfig)) *hotBench {
	tb.Helper()
	cfg := testHotConfig()
	if change != nil {
		change(&cfg)
	}
	h := &hotBench{bench: load(tb, cfg), cookies: security.NewCookies(hotSecret, int64(hotPeriod)), slot: -1}
	h.SetTrusted(true)
	h.table = h.Hot(1)
	h.origin = bootNanos(tb) - int64(100*time.Second)
	h.table.SetReply(hotEpoch, hotLoad)
	h.table.Stamp(bootNanos(tb))
	return h
}

// item is a published item of that value, stored 40 s ago, with TTLs far ahead.
func (h *hotBench) item(key, value string) HotItem {
	return HotItem{
		Hash: wire.KeyHash([]byte(key)), Version: 1 << 41, OriginNanos: h.origin,
		ExpiresTick: 8 * 1000, SoftTick: 8 * 500, StoredSecond: 60,
		CRC: checksum.CRC([]byte(value)), Sum: checksum.Sum([]byte(value)), Key: []byte(key), Value: []byte(value),
	}
}

func (h *hotBench) publish(item HotItem) {
	h.tb.Helper()
	if h.slot >= 0 {
		h.table.Withdraw(h.slot)
	}
	slot, ok := h.table.Publish(&item)
	if !ok {
		h.tb.Fatalf("%q of %d bytes was not published", item.Key, len(item.Value))
	}
	h.slot = slot
}

// hotRequest is a GET and what may be changed about it.
type hotRequest struct {
	header wire.RequestHeader
	op     wire.Op
	client netip.Addr
	vlan   bool
}

const hotClientPort = 40000

func (h *hotBench) request(client netip.Addr, key string, valueBytes int) hotRequest {
	h.tb.Helper()
	return hotRequest{
		client: client,
		header: wire.RequestHeader{
			Shard: 1, KeyHash: wire.KeyHash([]byte(key)), RequestID: 77, SessionID: 88, Epoch: hotEpoch,
			BudgetMicros: 5000, Cookie: h.cookies.Make(client.As16(), hotClientPort, bootNanos(h.tb)), MaxReplyBytes: 1452,
		},
		op: wire.Op{Code: wire.Get, Key: []byte(key), Value: make([]byte, hotPadding(len(key), valueBytes))},
	}
}

// hotPadding is the formula of docs/hotkeys.md.
func hotPadding(keyBytes, valueBytes int) int {
	up := func(n int) int { return (n + 7) &^ 7 }
	return max(0, up(112+valueBytes)-120-up(keyBytes))
}

func (r *hotRequest) payload() []byte {
	b := wire.AppendRequest(nil, &r.header)
	return wire.AppendOp(b, 0, &r.op)
}

func (r *hotRequest) frame(tb testing.TB) []byte {
	return packet{source: r.client, port: 9801, vlan: r.vlan, payload: r.payload()}.frame(tb)
}

// want is the shard's answer, built the shard's way.
func (h *hotBench) want(r *hotRequest, item *HotItem, ttl, age uint32) []byte {
	h.tb.Helper()
	var req wire.Request
	if reason := wire.ParseRequest(r.payload(), &req); reason != wire.ReasonNone {
		h.tb.Fatalf("the request does not parse: %v", reason)
	}
	return h.wantOf(&req, item, ttl, age)
}

func (h *hotBench) wantOf(req *wire.Request, item *HotItem, ttl, age uint32) []byte {
	h.tb.Helper()
	header := req.ReplyHeader()
	header.Epoch, header.Load, header.RxQueue = hotEpoch, hotLoad, 0
	buffer := make([]byte, 1472)
	var w wire.ReplyWriter
	w.Begin(buffer, &header, false)
	op := wire.ReplyOp{
		Code: wire.Get, Version: wire.Version(item.Version), TTLSeconds: ttl, AgeSeconds: age,
		CRC: item.CRC, TotalBytes: uint32(len(item.Value)), Value: item.Value,
	}
	if !w.Append(&op) {
		h.tb.Fatal("no room for the expected reply")
	}
	return buffer[:w.Finish()]
}

// answered runs a request that must be answered, checks every header and
// returns the payload.
func (h *hotBench) answered(r *hotRequest) []byte {
	h.tb.Helper()
	frame := r.frame(h.tb)
	var verdict uint32
	var out []byte
	moved := h.reasonsOf(func() { verdict, out = h.run(frame, nil) })
	if verdict != xdpTx || !maps.Equal(moved, map[Reason]uint64{Answered: 1}) {
		h.tb.Fatalf("verdict %d, counted %v, want an answer", verdict, moved)
	}
	return checkReplyFrame(h.tb, frame, out)
}

// checkReplyFrame decodes both frames with a library and compares the layers.
func checkReplyFrame(tb testing.TB, request, reply []byte) []byte {
	tb.Helper()
	q := gopacket.NewPacket(request, layers.LayerTypeEthernet, gopacket.Default)
	a := gopacket.NewPacket(reply, layers.LayerTypeEthernet, gopacket.Default)
	if a.ErrorLayer() != nil {
		tb.Fatalf("reply does not decode: %v", a.ErrorLayer().Error())
	}
	for _, flow := range []struct{ ask, answer gopacket.Flow }{
		{q.LinkLayer().LinkFlow(), a.LinkLayer().LinkFlow()},
		{q.NetworkLayer().NetworkFlow(), a.NetworkLayer().NetworkFlow()},
		{q.TransportLayer().TransportFlow(), a.TransportLayer().TransportFlow()},
	} {
		if flow.answer != flow.ask.Reverse() {
			tb.Fatalf("%v answered by %v", flow.ask, flow.answer)
		}
	}
	if (q.Layer(layers.LayerTypeDot1Q) != nil) != (a.Layer(layers.LayerTypeDot1Q) != nil) {
		tb.Fatal("the VLAN tag was not kept")
	}
	checkSums(tb, a, reply)
	return a.TransportLayer().LayerPayload()
}

// checkSums has the library compute lengths and checksums again.
func checkSums(tb testing.TB, a gopacket.Packet, reply []byte) {
	tb.Helper()
	var stack []gopacket.SerializableLayer
	for _, l := range a.Layers() {
		if u, ok := l.(*layers.UDP); ok {
			if u.Checksum == 0 {
				tb.Fatal("no UDP checksum")
			}
			_ = u.SetNetworkLayerForChecksum(a.NetworkLayer())
		}
		if l.LayerType() == gopacket.LayerTypePayload || l.LayerType() == gopacket.LayerTypeDecodeFailure {
			break
		}
		if s, ok := l.(gopacket.SerializableLayer); ok {
			stack = append(stack, s)
		}
		if l.LayerType() == layers.LayerTypeUDP {
			break
		}
	}
	again := serialize(tb, append(stack, gopacket.Payload(a.TransportLayer().LayerPayload()))...)
	if !bytes.Equal(again, reply) {
		tb.Fatalf("lengths or checksums are wrong:\n%x\n%x", reply, again)
	}
}

func TestHotAnswersAsTheShard(t *testing.T) {
	h := loadHot(t, nil)
	for _, client := range []netip.Addr{client4, client6} {
		for _, vlan := range []bool{false, true} {
			for _, keyBytes := range []int{1, 7, 8, 9, 16, 127, 250} {
				for _, valueBytes := range []int{0, 1, 8, 23, 24, 25, 100, 127, 128, 129, 511, 1000, 1023, 1024} {
					key, value := randomText(keyBytes), randomText(valueBytes)
					item := h.item(key, value)
					h.publish(item)
					r := h.request(client, key, valueBytes)
					r.vlan = vlan
					got := h.answered(&r)
					age, ttl := uint32((bootNanos(t)-h.origin)/1e9)-60, item.ExpiresTick/8-uint32((bootNanos(t)-h.origin)/1e9)
					if want := h.want(&r, &item, ttl, age); !bytes.Equal(got, want) && !sameButTimes(got, want) {
						t.Fatalf("key %d, value %d bytes, %v, VLAN %v:\n%x\n%x", keyBytes, valueBytes, client, vlan, got, want)
					}
				}
			}
		}
	}
}

// sameButTimes allows TTL and age one second, which may have passed meanwhile.
func sameButTimes(a, b []byte) bool {
	var x, y wire.Reply
	var p, q wire.ReplyOp
	if wire.ParseReply(a, &x) != 0 || wire.ParseReply(b, &y) != 0 {
		return false
	}
	one, other := x.Ops(), y.Ops()
	one.Next(&p)
	other.Next(&q)
	if p.TTLSeconds+1 < q.TTLSeconds || q.TTLSeconds+1 < p.TTLSeconds || p.AgeSeconds+1 < q.AgeSeconds || q.AgeSeconds+1 < p.AgeSeconds {
		return false
	}
	const times = wire.ReplyHeaderBytes + wire.ReplyOpOffsetTTLSeconds
	a, b = bytes.Clone(a), bytes.Clone(b)
	clear(a[times : times+8])
	clear(b[times : times+8])
	return bytes.Equal(a, b)
}

func randomText(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.IntN(256))
	}
	return string(b)
}

// Each line of the table in docs/hotkeys.md: what is not plain goes on to the
// shard, as it came, and is counted besides.
func TestHotFallsThrough(t *testing.T) {
	const key, value = "user:4711", "a value of a hundred bytes, more or less, it does not matter"
	old := bootNanos(t)
	for _, c := range []struct {
		name   string
		why    Reason // ReasonNone: not even looked at
		change func(*hotBench, *HotItem, *hotRequest)
	}{
		{"stage times wanted", ReasonNone, func(_ *hotBench, _ *HotItem, r *hotRequest) { r.header.Flags = wire.FlagStages }},
		{"another key of the same hash", ReasonNone, func(_ *hotBench, _ *HotItem, r *hotRequest) { r.op.Key = []byte("user:4712") }},
		{"a shorter key of the same hash", ReasonNone, func(_ *hotBench, _ *HotItem, r *hotRequest) { r.op.Key = []byte("user:471") }},
		{"another hash", ReasonNone, func(_ *hotBench, _ *HotItem, r *hotRequest) { r.header.KeyHash++ }},
		{"another shard", ReasonNone, func(_ *hotBench, _ *HotItem, r *hotRequest) { r.header.Shard = 0 }},
		{"a shard that does not exist", ReasonNone, func(_ *hotBench, _ *HotItem, r *hotRequest) { r.header.Shard = 999 }},
		{"not a GET", ReasonNone, func(_ *hotBench, _ *HotItem, r *hotRequest) { r.op.Code = wire.Put }},
		{"no padding", HotUnpadded, func(_ *hotBench, _ *HotItem, r *hotRequest) { r.op.Value = nil }},
		{"8 bytes of padding too few", HotUnpadded, func(_ *hotBench, _ *HotItem, r *hotRequest) { r.op.Value = r.op.Value[8:] }},
		{"padding that is no multiple of 8", HotOther, func(_ *hotBench, _ *HotItem, r *hotRequest) { r.op.Value = append(r.op.Value, 0) }},
		{"metadata only", HotOther, func(_ *hotBench, _ *HotItem, r *hotRequest) { r.op.Flags = wire.OpNoValue }},
		{"pacing", HotOther, func(_ *hotBench, _ *HotItem, r *hotRequest) { r.header.GrantRateKbit = 1 }},
		{"reply room too small to be legal", HotOther, func(_ *hotBench, _ *HotItem, r *hotRequest) { r.header.MaxReplyBytes = 1167 }},
		{"older epoch", HotEpoch, func(_ *hotBench, _ *HotItem, r *hotRequest) { r.header.Epoch-- }},
		{"newer epoch", HotEpoch, func(_ *hotBench, _ *HotItem, r *hotRequest) { r.header.Epoch++ }},
		{"newer version wanted", HotBehind, func(_ *hotBench, i *HotItem, r *hotRequest) { r.header.MinVersion = wire.Version(i.Version + 1) }},
		{"expired", HotExpired, func(_ *hotBench, i *HotItem, _ *hotRequest) { i.ExpiresTick = 8 * 100 }},
		{"past its soft TTL", HotExpired, func(_ *hotBench, i *HotItem, _ *hotRequest) { i.SoftTick = 8 * 100 }},
		{"no cookie", HotUnproven, func(_ *hotBench, _ *HotItem, r *hotRequest) { r.header.Cookie = 0 }},
		{"wrong cookie", HotUnproven, func(_ *hotBench, _ *HotItem, r *hotRequest) { r.header.Cookie ^= 1 << 63 }},
		{"another port's cookie", HotUnproven, func(h *hotBench, _ *HotItem, r *hotRequest) {
			r.header.Cookie = h.cookies.Make(r.client.As16(), hotClientPort+1, old)
		}},
		{"cookie of two periods ago", HotUnproven, func(h *hotBench, _ *HotItem, r *hotRequest) {
			r.header.Cookie = h.cookies.Make(r.client.As16(), hotClientPort, old+2*int64(hotPeriod))
		}},
		{"not trusted", HotOther, func(h *hotBench, _ *HotItem, _ *hotRequest) { h.SetTrusted(false) }},
		{"a shard that stopped", HotOther, func(h *hotBench, _ *HotItem, _ *hotRequest) { h.table.Stamp(old - int64(2*time.Hour)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := loadHot(t, nil)
			item, r := h.item(key, value), h.request(client4, key, len(value))
			c.change(h, &item, &r)
			h.publish(item)
			h.fallsThrough(r.frame(t), c.why)
		})
	}
}

// fallsThrough runs a frame that goes on to the shard unchanged.
func (h *hotBench) fallsThrough(frame []byte, why Reason) {
	h.tb.Helper()
	want := map[Reason]uint64{Redirected: 1}
	if why != ReasonNone {
		want[why] = 1
	}
	var verdict uint32
	var out []byte
	moved := h.reasonsOf(func() { verdict, out = h.run(frame, nil) })
	if verdict != xdpRedirect || !maps.Equal(moved, want) {
		h.tb.Fatalf("verdict %d, counted %v, want %v", verdict, moved, want)
	}
	if !bytes.Equal(out[MetaBytes:], frame) {
		h.tb.Fatalf("bytes changed:\n%x\n%x", frame, out[MetaBytes:])
	}
}

// What is not forbidden is answered.
func TestHotAnswersWhatMayVary(t *testing.T) {
	const key, value = "k", "some value"
	for name, change := range map[string]func(*hotBench, *HotItem, *hotRequest){
		"sender without a ring": func(_ *hotBench, _ *HotItem, r *hotRequest) { r.header.Epoch = 0 },
		"longer padding":        func(_ *hotBench, _ *HotItem, r *hotRequest) { r.op.Value = make([]byte, 1200) },
		"padding of any bytes":  func(_ *hotBench, _ *HotItem, r *hotRequest) { r.op.Value = bytes.Repeat([]byte{0xA5}, 80) },
		"lease wanted":          func(_ *hotBench, _ *HotItem, r *hotRequest) { r.op.Flags = wire.OpLease | wire.OpStaleOK },
		"a token":               func(_ *hotBench, _ *HotItem, r *hotRequest) { r.op.Arg = 1 << 60 },
		"that version":          func(_ *hotBench, i *HotItem, r *hotRequest) { r.header.MinVersion = wire.Version(i.Version) },
		"no limits":             func(_ *hotBench, _ *HotItem, r *hotRequest) { r.header.MaxReplyBytes, r.header.BudgetMicros = 0, 0 },
		"no TTLs":               func(_ *hotBench, i *HotItem, _ *hotRequest) { i.ExpiresTick, i.SoftTick = HotNever, HotNever },
		"stored this second":    func(_ *hotBench, i *HotItem, _ *hotRequest) { i.StoredSecond = 1 << 26 },
		"the cookie before": func(h *hotBench, _ *HotItem, r *hotRequest) {
			r.header.Cookie = security.NewCookies(hotSecret, int64(hotPeriod)).Make(r.client.As16(), hotClientPort, bootNanos(t)-int64(hotPeriod))
		},
	} {
		t.Run(name, func(t *testing.T) {
			if bootNanos(t) < int64(hotPeriod) && name == "the cookie before" {
				t.Log("booted less than a cookie period ago: the one before lies before the clock's zero")
			}
			h := loadHot(t, nil)
			item, r := h.item(key, value), h.request(client6, key, len(value))
			change(h, &item, &r)
			h.publish(item)
			got := h.answered(&r)
			var reply wire.Reply
			var op wire.ReplyOp
			if reason := wire.ParseReply(got, &reply); reason != wire.ReasonNone {
				t.Fatal(reason)
			}
			ops := reply.Ops()
			if !ops.Next(&op) || !op.Intact() || string(op.Value) != value || op.Version != wire.Version(item.Version) {
				t.Fatalf("answer %+v", op)
			}
			if none := op.TTLSeconds == wire.NoTTL; none != (item.ExpiresTick == HotNever) {
				t.Errorf("TTL %d", op.TTLSeconds)
			}
			if item.StoredSecond == 1<<26 && op.AgeSeconds != 0 {
				t.Errorf("age %d", op.AgeSeconds)
			}
		})
	}
}

func TestHotAgreesOnCookies(t *testing.T) {
	h := loadHot(t, nil)
	h.publish(h.item("k", "v"))
	for range 200 {
		var b [16]byte
		for i := range b {
			b[i] = byte(rand.IntN(256))
		}
		b[0] = 0x20
		client := netip.AddrFrom16(b)
		if rand.IntN(2) == 0 {
			client = netip.AddrFrom4([4]byte{10, b[1], b[2], b[3]})
		}
		r := h.request(client, "k", 1)
		h.answered(&r)
	}
}

func TestHotWithdrawn(t *testing.T) {
	h := loadHot(t, nil)
	item := h.item("key", "value")
	h.publish(item)
	r := h.request(client4, "key", 5)
	h.answered(&r)
	h.table.Withdraw(h.slot)
	h.fallsThrough(r.frame(t), ReasonNone)
	h.table.Withdraw(h.slot) // again: nothing
	if slot, ok := h.table.Publish(&item); !ok || slot != h.slot {
		t.Fatalf("published in slot %d %v, want %d again", slot, ok, h.slot)
	}
	h.answered(&r)
	if hits := h.table.Hits(h.slot); hits != 2 {
		t.Fatalf("%d hits, want 2", hits)
	}
}

func TestHotPublishesWhatFits(t *testing.T) {
	h := loadHot(t, nil)
	refuse := func(name string, change func(*HotItem)) {
		item := h.item("key", "value")
		change(&item)
		if _, ok := h.table.Publish(&item); ok {
			t.Errorf("%s: published", name)
		}
	}
	refuse("hash 0", func(i *HotItem) { i.Hash = 0 })
	refuse("no key", func(i *HotItem) { i.Key = nil })
	refuse("long key", func(i *HotItem) { i.Key = make([]byte, 251) })
	refuse("long value", func(i *HotItem) { i.Value = make([]byte, 1025) })
	// A set holds 8; the ninth of the same set finds no place until one goes.
	item := h.item("key", "value")
	var slots []int
	for n := range uint64(hotWays) {
		item.Hash = 5<<32 | n + 1
		slot, ok := h.table.Publish(&item)
		if !ok || slot/hotWays != 5 || slices.Contains(slots, slot) {
			t.Fatalf("item %d: slot %d %v, others %v", n, slot, ok, slots)
		}
		slots = append(slots, slot)
	}
	item.Hash = 5<<32 | 100
	if _, ok := h.table.Publish(&item); ok {
		t.Fatal("nine items in a set of eight")
	}
	h.table.Withdraw(slots[3])
	if slot, ok := h.table.Publish(&item); !ok || slot != slots[3] {
		t.Fatalf("slot %d %v, want %d", slot, ok, slots[3])
	}
	if h.Hot(2) != nil || h.Hot(-1) != nil || load(t, testConfig()).Hot(0) != nil {
		t.Error("a table of no shard")
	}
}

// The guard's limits hold for what the kernel answers, too.
func TestHotIsRateLimited(t *testing.T) {
	h := loadHot(t, func(cfg *SteerConfig) { cfg.Rate = Rate{PacketsPerSecond: 1, Burst: 3} })
	h.publish(h.item("k", "v"))
	r := h.request(client4, "k", 1)
	frame := r.frame(t)
	moved := h.reasonsOf(func() {
		for range 10 {
			h.run(frame, nil)
		}
	})
	if moved[Answered] < 3 || moved[Answered] > 5 || moved[DropRate]+moved[Answered] != 10 {
		t.Fatalf("counted %v, want about 3 answers and the rest dropped", moved)
	}
}

// With frames of several buffers only those that lie in the first one whole are
// answered.
func TestHotWithFrags(t *testing.T) {
	h := loadHot(t, func(cfg *SteerConfig) { cfg.Frags = true })
	value := randomText(600)
	h.publish(h.item("key", value))
	r := h.request(client4, "key", len(value))
	h.answered(&r)
	frame := r.frame(t)
	for _, linear := range []int{len(frame) - 1, len(frame) / 2, payloadAt4 + 130, payloadAt4 + 120} {
		moved := h.reasonsOf(func() { h.run(frame, &xdpContext{DataEnd: uint32(linear)}) })
		if moved[Answered] != 0 || moved[Redirected] != 1 {
			t.Errorf("%d of %d bytes in the first buffer: %v", linear, len(frame), moved)
		}
	}
}

// Bytes behind the datagram are cut off.
func TestHotCutsTheFrame(t *testing.T) {
	h := loadHot(t, nil)
	h.publish(h.item("key", "value"))
	r := h.request(client4, "key", 5)
	frame := append(r.frame(t), 1, 2, 3, 4, 5)
	verdict, out := h.run(frame, nil)
	if want := payloadAt4 + 112 + 5; verdict != xdpTx || len(out) != want {
		t.Fatalf("verdict %d, %d bytes, want %d", verdict, len(out), want)
	}
}

func TestHotTableAllocatesNothing(t *testing.T) {
	h := loadHot(t, nil)
	item := h.item("key", "value")
	n := testing.AllocsPerRun(100, func() {
		slot, _ := h.table.Publish(&item)
		h.table.SetReply(1, 2)
		h.table.Stamp(3)
		_ = h.table.Hits(slot)
		h.table.Withdraw(slot)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestWeakOrder(t *testing.T) {
	if weakOrder("amd64") != 0 || weakOrder("arm64") != 1 {
		t.Error("which CPUs reorder loads?")
	}
	cfg, err := testHotConfig().withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	spec, err := steerSpec(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := spec.Variables[steerVarHotWeakOrder].Set(uint8(1)); err != nil {
		t.Fatal(err)
	}
	collection, err := ebpf.NewCollection(spec)
	skipUnsupported(t, explain("load with barriers", err))
	collection.Close()
}

func TestHotConfigIsChecked(t *testing.T) {
	cfg := testConfig()
	cfg.Hot = &HotConfig{}
	if _, err := LoadSteer(cfg); !errors.Is(err, ErrConfig) {
		t.Fatalf("loaded without a cookie period: %v", err)
	}
}
