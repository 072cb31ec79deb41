package bpf

import (
	"net/netip"
	"testing"
)

// FuzzSteer runs frames through the program and its slow twin.
func FuzzSteer(f *testing.F) {
	for _, c := range frameCases(f) {
		f.Add(c.frame)
	}
	allow := []netip.Prefix{netip.MustParsePrefix("128.0.0.0/1"), netip.MustParsePrefix("2001:db8::/32")}
	cfg := testConfig()
	cfg.Allow = allow
	cfg.Frags = true
	b := load(f, cfg)
	twin := classifier{portBase: 9800, ports: 2, allow: allow, socket: true}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) < ethBytes || len(frame) > 9000 {
			return // the kernel runs no shorter frames
		}
		b := &bench{Steer: b.Steer, tb: t}
		b.expect(frame, twin.classify(frame))
	})
}
