package main

import (
	"errors"
	"fmt"

	"gannet/bpf"
	"gannet/config"
	"gannet/dataplane/port"
	"gannet/dataplane/udp"
	"gannet/dataplane/xsk"
)

// datapath is a port for each shard, and what they stand on.
type datapath struct {
	ports   []port.Port
	rung    port.Rung
	whyNot  []string   // why each better rung was not taken
	refusal error      // the same, for errors.Is
	steer   *bpf.Steer // nil below the XDP rungs
}

// openDatapath takes the best rung that works and that the configuration allows.
func (n *node) openDatapath() error {
	var whyNot []string
	var refusal error
	if n.cfg.Datapath != config.DatapathUDP {
		d, err := n.openXDP()
		if err == nil {
			return n.took(d)
		}
		if n.cfg.Datapath == config.DatapathXDP {
			return fmt.Errorf("datapath xdp: %w (datapath auto would take kernel sockets)", err)
		}
		whyNot, refusal = reasonsOf(err), err
	}
	d, err := n.openUDP()
	if err != nil {
		return err
	}
	d.whyNot, d.refusal = whyNot, refusal
	return n.took(d)
}

func (n *node) took(d *datapath) error {
	n.datapath = d
	n.log.Info("datapath", "rung", d.rung.String(), "why_not_better", d.whyNot)
	return nil
}

// reasonsOf says for each rung why it was not taken.
func reasonsOf(err error) []string {
	var ladder *xsk.LadderError
	if !errors.As(err, &ladder) {
		return []string{err.Error()}
	}
	var reasons []string
	for _, step := range ladder.Steps {
		reasons = append(reasons, step.String())
	}
	return reasons
}

func (n *node) openUDP() (*datapath, error) {
	maxPayload, frameBytes := udpLimits(n.cfg.Listen, n.cfg.Interface)
	group, err := udp.OpenAll(udp.Options{
		Address: n.cfg.Listen, BasePort: n.cfg.DataPort, Shards: len(n.cpus), Frames: n.cfg.Frames,
		MaxPayload: maxPayload, FrameBytes: frameBytes,
	})
	if err != nil {
		return nil, err
	}
	d := &datapath{rung: port.RungUDP}
	for _, p := range group.Ports {
		d.ports = append(d.ports, p)
	}
	return d, nil
}
