package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"gannet/test/zerocopy/report"
)

// showRung asks the data plane and the kernel.
func showRung(n *node, run *report.Run) error {
	info, ok := n.board.Node().Info()
	if !ok || len(info.Shards) != 1 {
		return errors.New("the board says nothing of the shard")
	}
	run.Rung, run.WhyNot = info.Shards[0].Rung, info.Shards[0].WhyNot
	var err error
	run.ZeroCopy, _, err = n.socket()
	if err != nil && run.Rung != "udp" {
		return err
	}
	return nil
}

// client runs the load program in the client's namespace; begun is called once it
// runs.
func client(into *report.Load, begun func() error, args ...string) error {
	cmd := exec.Command("/proc/self/exe", append([]string{"load"}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	cmd.Stderr = os.Stdout
	if err := inClient(cmd.Start); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	var fault error
	if begun != nil {
		fault = begun()
	}
	decoded := json.NewDecoder(out).Decode(into)
	return errors.Join(fault, decoded, cmd.Wait())
}

// mainLoad is PUTs and GETs of three sizes, every byte compared.
func mainLoad(n *node, run *report.Run) error {
	var fill report.Load
	if err := client(&fill, nil, "-phase=fill"); err != nil {
		return err
	}
	if fill.Failed > 0 {
		return fmt.Errorf("%d of %d PUTs failed: %s", fill.Failed, fill.Puts, fill.FirstError)
	}
	before := n.settled()
	err := client(&run.Main, nil, "-phase=mixed", "-gets="+option("gets"))
	run.MainSent = n.settled().Minus(before)
	n.watch()
	return err
}

// settled reads the counters once they have been published and nothing is in flight.
func (n *node) settled() report.Sent {
	last := n.sent()
	_ = await(10*time.Second, func() (bool, error) {
		time.Sleep(100 * time.Millisecond)
		now := n.sent()
		same := now.InPlaceBytes == last.InPlaceBytes && now.CopiedBytes == last.CopiedBytes && now.Slots == 0
		last = now
		return same, fmt.Errorf("%d slots are in flight", now.Slots)
	})
	return last
}

// hotItem asks for one item many times at once.
func hotItem(n *node, run *report.Run) error {
	before := n.settled()
	err := client(&run.Hot, nil, "-phase=hot")
	run.HotSent = n.settled().Minus(before)
	n.watch()
	return err
}

// warmRestart kills the data plane in the middle of a load.
func warmRestart(n *node, run *report.Run) error {
	err := client(&run.Restart, func() error {
		time.Sleep(2 * time.Second)
		n.noteInvalid()
		if err := unix.Kill(n.pid, unix.SIGKILL); err != nil {
			return fmt.Errorf("kill the data plane: %w", err)
		}
		run.Killed = true
		return n.awaitServing()
	}, "-phase=timed", "-for=12s")
	if info, ok := n.board.Node().Info(); ok && len(info.Shards) == 1 {
		run.Recovery = info.Shards[0].Recovery
		if info.Shards[0].Rung != run.Rung {
			err = errors.Join(err, fmt.Errorf("after the restart the rung is %s: %v", info.Shards[0].Rung, info.Shards[0].WhyNot))
		}
	}
	return err
}

// linkFlap takes the server's link down and up in the middle of a load.
func linkFlap(n *node, run *report.Run) error {
	moves := n.sent().PortChanges
	err := client(&run.Flap, func() error {
		time.Sleep(time.Second)
		n.noteInvalid()
		link, err := netlink.LinkByName(serverDevice)
		if err != nil {
			return fmt.Errorf("%s: %w", serverDevice, err)
		}
		err = netlink.LinkSetDown(link)
		time.Sleep(500 * time.Millisecond)
		return errors.Join(err, netlink.LinkSetUp(link))
	}, "-phase=timed", "-for=14s")
	n.watch()
	back := await(20*time.Second, func() (bool, error) {
		info, _ := n.board.Node().Info()
		run.FlapRung = info.Shards[0].Rung
		return run.FlapRung == run.Rung, fmt.Errorf("the rung is %s", run.FlapRung)
	})
	run.FlapMoves = n.sent().PortChanges - moves
	return errors.Join(err, back)
}

// quiet looks for slots that have not come back.
func quiet(n *node, run *report.Run) error {
	sent := n.settled()
	run.Slots, run.CensusTurns = sent.Slots, sent.Turns
	n.noteInvalid()
	run.TxInvalid = n.txInvalid
	return nil
}
