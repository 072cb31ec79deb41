package suite

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// Config says how much is measured, and with what.
type Config struct {
	Rounds int
	Quick  bool   // one row, two short rounds: shows that the suite works, not what servers cost
	Full   bool   // longer rounds, and more of them
	Only   string // the one row to measure; "" = all
	Bin    string // folder with gannet and gannet-dataplane
	Native string // folder with the compiled C rivals
	Root   string // of the repository: other measurements are run from there
	Self   string // this program, which starts itself as generator and as server
	Log    io.Writer
}

// CPUs of the two sides.
const (
	ServerCPU    = 0
	GeneratorCPU = 1
)

// timing of one measurement.
type timing struct {
	warmUp, measure time.Duration
}

func (c *Config) saturated() timing {
	switch {
	case c.Quick:
		return timing{300 * time.Millisecond, 800 * time.Millisecond}
	case c.Full:
		return timing{time.Second, 5 * time.Second}
	}
	return timing{500 * time.Millisecond, 2 * time.Second}
}

// paced runs are longer: p99.9 of a slow server needs the requests.
func (c *Config) paced() timing {
	switch {
	case c.Quick:
		return timing{200 * time.Millisecond, 500 * time.Millisecond}
	case c.Full:
		return timing{500 * time.Millisecond, 10 * time.Second}
	}
	return timing{500 * time.Millisecond, 2500 * time.Millisecond}
}

// Rounds wanted, and those of them below which a row is void.
const (
	usualRounds = 5
	quickRounds = 2
	fullRounds  = 15
	fewest      = 3
)

func (c *Config) setDefaults() error {
	if c.Rounds == 0 {
		switch {
		case c.Quick:
			c.Rounds = quickRounds
		case c.Full:
			c.Rounds = fullRounds
		default:
			c.Rounds = usualRounds
		}
	}
	if c.Log == nil {
		c.Log = io.Discard
	}
	if runtime.NumCPU() < 2 {
		return errors.New("suite: the server and the generator need a CPU each: measure on a machine with two or more")
	}
	if os.Geteuid() != 0 {
		return errors.New("suite: network namespaces and pinned kernel threads need root: run as root")
	}
	for _, need := range []struct{ path, by string }{
		{filepath.Join(c.Bin, "gannet"), "make build"},
		{filepath.Join(c.Bin, "gannet-dataplane"), "make build"},
		{filepath.Join(c.Native, "echo"), "scripts/rivals.sh"},
		{filepath.Join(c.Native, "echo.bpf.o"), "scripts/rivals.sh"},
		{filepath.Join(c.Native, "reflect.bpf.o"), "scripts/rivals.sh"},
	} {
		if _, err := os.Stat(need.path); err != nil {
			return fmt.Errorf("suite: %w: %s builds it", err, need.by)
		}
	}
	return nil
}

// most is how many rounds are tried to get those wanted.
func (c *Config) most() int {
	if c.Quick {
		return c.Rounds
	}
	return 2 * c.Rounds
}

// enough is how many good rounds a row needs to stand.
func (c *Config) enough() int { return min(fewest, c.Rounds) }
