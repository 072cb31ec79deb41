package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// node is `gannet dev` on the server.
type node struct {
	cmd   *exec.Cmd
	hold  io.WriteCloser // its stdin: the node ends when it is closed
	rung  string
	ended chan error
}

// patience is how long a node may take to prefault its memory and to answer, and
// to end.
const patience = 3 * time.Minute

// startNode starts a node for a case and reads from its first lines which rung it took.
func startNode(ctx context.Context, h *host, inv *Inventory, c *testCase) (*node, error) {
	cpus, err := cpuList(c.Layout.ServerCPUs)
	if err != nil {
		return nil, err
	}
	args := []string{
		h.path("gannet"), "dev", "--node-name=bench", "--listen=" + h.Address.String(), "--datapath=" + c.Datapath.Datapath,
		fmt.Sprintf("--shards=%d", len(cpus)), "--cpus=" + c.Layout.ServerCPUs, fmt.Sprintf("--memory=%d", inv.MemoryBytes),
		"--admin=127.0.0.1:0",
	}
	if c.Datapath.Datapath == "xdp" {
		args = append(args, "--interface="+h.Interface)
	}
	// The shell holds the node and ends it when our end of its stdin closes, also when
	// that is because the connection broke.
	script := quote(append(args, inv.NodeFlags...)...) + " 2>&1 & node=$!; cat >/dev/null; kill -TERM $node; wait $node"
	n := &node{cmd: h.command(context.WithoutCancel(ctx), script), ended: make(chan error, 1)}
	if n.hold, err = n.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	if err := n.cmd.Start(); err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	said := make(chan error, 1)
	go n.read(out, said)
	return n, n.await(ctx, said)
}

// read waits for the lines that name the rung, and then only keeps the pipe empty.
func (n *node) read(out io.Reader, said chan<- error) {
	lines := bufio.NewScanner(out)
	var all strings.Builder
	for lines.Scan() {
		all.WriteString(lines.Text() + "\n")
		if fields := strings.Fields(lines.Text()); len(fields) == 2 && fields[0] == "datapath" {
			n.rung = fields[1]
			said <- nil
			_, _ = io.Copy(io.Discard, out)
			n.ended <- n.cmd.Wait()
			return
		}
	}
	n.ended <- n.cmd.Wait()
	said <- fmt.Errorf("the node ended at once: %s", strings.TrimSpace(all.String()))
}

func (n *node) await(ctx context.Context, said <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case err := <-said:
		return err
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("node: not ready: %w", ctx.Err()), n.stop())
	}
}

// stop ends the node and waits for its end.
func (n *node) stop() error {
	if err := n.hold.Close(); err != nil {
		return fmt.Errorf("node: %w", err)
	}
	select {
	case <-n.ended: // by SIGTERM: its exit status says nothing
		return nil
	case <-time.After(patience):
		return errors.Join(errors.New("node: it did not end"), n.cmd.Process.Kill())
	}
}
