package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gannet/test/lab"
	"gannet/test/weather"
)

const (
	jumboMTU   = 9000
	jumboBytes = 100_000
	// jumboFew is how many datagrams a value of jumboBytes comes in at most, when they
	// are longer than usual; usual ones are 98.
	jumboFew   = 49
	jumboLasts = 300 * time.Millisecond
)

// overJumbo reads and rewrites values over links that take frames of 9,000 bytes: that
// they are used is a condition, and that a router on the way that swallows them, from
// one moment to the next, costs no operation is counted with the rest.
func (e *env) overJumbo(ctx context.Context) (sum word, err error) {
	for _, datapath := range []string{"udp", "xdp"} {
		err := e.withJumbo(ctx, datapath, func(path *weather.Path, h *helper) error {
			few, err := untilJumbo(ctx, h)
			if err != nil {
				return err
			}
			sum.Note += fmt.Sprintf("%s with jumbo frames: %.0f datagrams a value of 100 KB; ", datapath, few)
			if path == nil {
				return nil
			}
			w, err := narrow(ctx, path, h)
			sum.N, sum.Of = sum.N+w.N+int64(w.X), sum.Of+w.Of
			sum.Note += fmt.Sprintf("%.0f reads failed as a link of 1,500 came between; ", w.X)
			return err
		})
		if err != nil {
			return sum, fmt.Errorf("%s: %w", datapath, err)
		}
	}
	return sum, nil
}

// withJumbo is underWeather with long frames. The weather's path is none for XDP,
// which does not see it.
func (e *env) withJumbo(ctx context.Context, datapath string, measure func(*weather.Path, *helper) error) (err error) {
	network, err := lab.New(lab.Config{MTU: jumboMTU})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, network.Close()) }()
	var path *weather.Path
	if datapath == "udp" {
		path, err = weather.Open(weather.End{Space: network.Client, Address: lab.ClientAddr},
			weather.End{Space: network.Server, Address: lab.ServerAddr}, jumboMTU, lossSeed)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, path.Close()) }()
	}
	node, err := network.StartNode(ctx, lab.NodeConfig{Bin: e.bin, Datapath: datapath, Shards: 1, Memory: 128 << 20})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Stop()) }()
	h, err := hire(network.Client.Start, job{Kind: "lossy", Servers: servers, Readers: 4})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.dismiss()) }()
	return measure(path, h)
}

// untilJumbo writes and reads until a value comes in few datagrams.
func untilJumbo(ctx context.Context, h *helper) (datagrams float64, err error) {
	for range 10 {
		if _, err := h.order(ctx, word{Says: "put", N: jumboBytes, Took: jumboLasts}); err != nil {
			return 0, err
		}
		w, err := h.order(ctx, word{Says: "get", N: jumboBytes, Took: jumboLasts})
		if err != nil {
			return 0, err
		}
		if datagrams = float64(w.At) / max(1, float64(w.Of)); datagrams <= jumboFew {
			return datagrams, nil
		}
	}
	return 0, fmt.Errorf("a value of %d bytes still comes in %.0f datagrams", jumboBytes, datagrams)
}

// narrow lets a link of the usual MTU come between while values are read and
// rewritten.
func narrow(ctx context.Context, path *weather.Path, h *helper) (word, error) {
	swallowed := path.TooLong.Load()
	path.Set(weather.Sky{LongestBytes: 1500})
	w, err := h.order(ctx, word{Says: "rewrite", N: jumboBytes, Took: 2 * jumboLasts})
	switch {
	case err != nil:
		return w, err
	case path.TooLong.Load() == swallowed:
		return w, errors.New("the narrow link swallowed nothing: the fault never fired")
	case w.Of < leastReads:
		return w, fmt.Errorf("only %d reads over the narrow link", w.Of)
	}
	return w, nil
}
