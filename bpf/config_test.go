package bpf

import (
	"errors"
	"testing"
	"time"
)

func TestLoadRefusesWhatCannotBe(t *testing.T) {
	for name, spoil := range map[string]func(*SteerConfig){
		"no port":                  func(c *SteerConfig) { c.PortBase = 0 },
		"no shards":                func(c *SteerConfig) { c.Shards = 0 },
		"ports beyond 65535":       func(c *SteerConfig) { c.PortBase = 65535 },
		"negative queues":          func(c *SteerConfig) { c.Queues = -1 },
		"too many queues":          func(c *SteerConfig) { c.Queues = 1 << 16 },
		"stale at once":            func(c *SteerConfig) { c.StaleAfter = time.Microsecond },
		"negative allow capacity":  func(c *SteerConfig) { c.AllowCapacity = -1 },
		"negative rate sources":    func(c *SteerConfig) { c.RateSources = -1 },
		"negative rate":            func(c *SteerConfig) { c.Rate.PacketsPerSecond = -1 },
		"allow-list over capacity": func(c *SteerConfig) { c.AllowCapacity = 1; c.Allow = prefixes("10.0.0.0/8", "11.0.0.0/8") },
	} {
		cfg := testConfig()
		spoil(&cfg)
		if s, err := LoadSteer(cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
}

func TestDefaults(t *testing.T) {
	cfg, err := SteerConfig{PortBase: 9800, Shards: 3}.withDefaults()
	if err != nil || cfg.Queues != 3 || cfg.StaleAfter != DefaultStaleAfter ||
		cfg.AllowCapacity != DefaultAllowCapacity || cfg.RateSources != DefaultRateSources {
		t.Fatalf("%+v, %v", cfg, err)
	}
	last := SteerConfig{PortBase: 65535, Shards: 1}
	if _, err := last.withDefaults(); err != nil {
		t.Errorf("port 65535 alone: %v", err)
	}
}
