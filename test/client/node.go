package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"gannet/test/lab"
)

// servers is where the one node of withNode answers.
var servers = []string{lab.ServerAddr + ":9800"}

// withNode runs measure against a real node on native XDP in a namespace. Jobs that
// start starts run at the other end of the link.
func (e *env) withNode(ctx context.Context, flags []string, measure func(start starter, n *lab.Node) error) (err error) {
	network, err := lab.New(lab.Config{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, network.Close()) }()
	cfg := lab.NodeConfig{Bin: e.bin, Datapath: "xdp", Shards: 1, Memory: 128 << 20, Flags: flags}
	if os.Getenv("VERBOSE") == "1" {
		cfg.Log = os.Stderr
	}
	node, err := network.StartNode(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w\nnode's log:\n%s", err, node.Log())
		}
		err = errors.Join(err, node.Stop())
	}()
	return measure(network.Client.Start, node)
}

// here starts a job in the namespace that this program is in.
func here(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is this program's to handle
	return cmd.Start()
}
