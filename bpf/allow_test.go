package bpf

import (
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

func (b *bench) allow(list ...netip.Prefix) {
	b.tb.Helper()
	if err := b.SetAllow(list); err != nil {
		b.tb.Fatal(err)
	}
}

func TestAllow(t *testing.T) {
	good4, good6 := packet{}.frame(t), packet{source: client6}.frame(t)
	b := load(t, testConfig())
	for _, c := range []struct {
		list         []netip.Prefix
		want4, want6 Reason
	}{
		{nil, Redirected, Redirected},
		{prefixes("192.0.2.7/32"), Redirected, DropSource},
		{prefixes("192.0.2.6/32"), DropSource, DropSource},
		{prefixes("192.0.2.99/24"), Redirected, DropSource}, // host bits do not matter
		{prefixes("2001:db8::/64"), DropSource, Redirected},
		{prefixes("::/0"), DropSource, Redirected}, // all of IPv6 is not IPv4
		{prefixes("0.0.0.0/0"), Redirected, DropSource},
		{prefixes("::ffff:192.0.2.0/120"), Redirected, DropSource},
		{prefixes("10.0.0.0/8", "192.0.0.0/16", "192.0.0.0/16", "2001:db8::7/128"), Redirected, Redirected},
		{prefixes("10.0.0.0/8"), DropSource, DropSource},
		{nil, Redirected, Redirected},
	} {
		b.allow(c.list...)
		b.expect(good4, c.want4)
		b.expect(good6, c.want6)
		if t.Failed() {
			t.Fatal(c.list)
		}
	}
}

func TestAllowFromConfig(t *testing.T) {
	cfg := testConfig()
	cfg.Allow = prefixes("10.0.0.0/8")
	load(t, cfg).expect(packet{}.frame(t), DropSource)
}

func TestBadListLeavesTheOldOneInForce(t *testing.T) {
	cfg := testConfig()
	cfg.AllowCapacity = 2
	b := load(t, cfg)
	b.allow(prefixes("10.0.0.0/8")...)
	for _, list := range [][]netip.Prefix{
		{{}},
		{netip.MustParsePrefix("192.0.2.0/24"), {}},
		prefixes("192.0.2.0/24", "192.0.3.0/24", "192.0.4.0/24"),
	} {
		if err := b.SetAllow(list); !errors.Is(err, ErrConfig) {
			t.Fatalf("%v: error %v", list, err)
		}
		b.expect(packet{}.frame(t), DropSource)
	}
	b.allow(prefixes("192.0.2.0/24", "192.0.2.0/24", "192.0.3.0/24")...) // two are distinct
	b.expect(packet{}.frame(t), Redirected)
}

// While two lists replace each other, who is on both is let in and who is on
// neither is not, whichever instant the packet comes.
func TestAllowSwapIsAtomic(t *testing.T) {
	b := load(t, testConfig())
	shared := prefixes("192.0.2.7/32")
	lists := [2][]netip.Prefix{slices.Clone(shared), slices.Clone(shared)}
	for i := range 200 {
		lists[0] = append(lists[0], netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 32))
		lists[1] = append(lists[1], netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(i)}), 32))
	}
	b.allow(lists[0]...)
	var swaps atomic.Int64
	failed := make(chan error, 1)
	go func() {
		for i := 1; i <= 40; i++ {
			if err := b.SetAllow(lists[i%2]); err != nil {
				failed <- err
				return
			}
			swaps.Add(1)
		}
		failed <- nil
	}()
	on, off := packet{}.frame(t), packet{source: netip.MustParseAddr("192.0.2.8")}.frame(t)
	for swaps.Load() < 40 {
		select {
		case err := <-failed:
			if err != nil {
				t.Fatal(err)
			}
		default:
		}
		b.expect(on, Redirected)
		b.expect(off, DropSource)
	}
}

// The trie agrees with netip about any list and any source.
func TestAllowAgreesWithNetip(t *testing.T) {
	b := load(t, testConfig())
	rapid.Check(t, func(rt *rapid.T) {
		list := rapid.SliceOfN(drawPrefix(), 1, 20).Draw(rt, "list")
		if err := b.SetAllow(list); err != nil {
			rt.Fatal(err)
		}
		twin := classifier{portBase: 9800, ports: 2, socket: true, allow: list}
		for _, source := range rapid.SliceOfN(drawAddress(), 1, 8).Draw(rt, "sources") {
			frame := packet{source: source}.frame(t)
			b.expect(frame, twin.classify(frame))
		}
	})
}

// Few distinct bits, so that prefixes often match.
func drawAddress() *rapid.Generator[netip.Addr] {
	return rapid.Custom(func(t *rapid.T) netip.Addr {
		octet := rapid.SampledFrom([]byte{0, 1, 2, 127, 128, 255})
		if rapid.Bool().Draw(t, "IPv4") {
			return netip.AddrFrom4([4]byte{10, 0, octet.Draw(t, "c"), octet.Draw(t, "d")})
		}
		// 0a00:… begins with the bytes of the IPv4 addresses.
		return netip.AddrFrom16([16]byte{10, 0, octet.Draw(t, "c"), octet.Draw(t, "d"), 15: octet.Draw(t, "z")})
	})
}

func drawPrefix() *rapid.Generator[netip.Prefix] {
	return rapid.Custom(func(t *rapid.T) netip.Prefix {
		address := drawAddress().Draw(t, "address")
		return netip.PrefixFrom(address, rapid.IntRange(0, address.BitLen()).Draw(t, "bits"))
	})
}
