package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gannet/board"
	"gannet/test/zerocopy/report"
)

// node is the node under test.
type node struct {
	cmd       *exec.Cmd
	pid       int // of the data plane
	deaths    int // of data planes that nobody killed
	txInvalid uint64
	board     *board.Board
}

const nodeLog = "/tmp/node.log"

// startNode starts a node as a user would, with patience for a slow machine, and
// waits until it serves.
func startNode() (*node, error) {
	log, err := os.Create(nodeLog)
	if err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	defer log.Close()
	n := &node{cmd: exec.Command("/bin/gannet", "node", "--node-name=zerocopy", "--data-dir="+dataDir, "--listen="+serverAddr,
		"--interface="+serverDevice, "--datapath=auto", "--shards=1", "--memory="+option("memory"), "--frames=512", "--etcd-embed=true", "--etcd-dir=/tmp/etcd",
		"--etcd-client-url=http://127.0.0.1:0", "--etcd-peer-url=http://127.0.0.1:0", "--watchdog=10s", "--dead-man=10s", "--log-level=info")}
	n.cmd.Env = []string{"PATH=/bin", "HOME=/tmp", "GOTRACEBACK=all"}
	n.cmd.Stdout, n.cmd.Stderr = log, log
	if err := n.cmd.Start(); err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	if err := n.awaitServing(); err != nil {
		return nil, fmt.Errorf("node: %w:\n%s", err, strings.Join(n.lastLines(60), "\n"))
	}
	return n, nil
}

// awaitServing waits for a data plane that serves, other than the one before.
func (n *node) awaitServing() error {
	before := n.pid
	return await(60*time.Second, func() (bool, error) {
		pids := childrenOf(n.cmd.Process.Pid, "gannet-dataplane")
		if len(pids) != 1 || pids[0] == before {
			return false, errors.New("there is no data plane")
		}
		b, err := board.Attach(filepath.Join(dataDir, "board"))
		if err != nil {
			return false, err
		}
		if b.Node().Phase() != board.PhaseServing {
			return false, errors.Join(fmt.Errorf("the data plane is %v", b.Node().Phase()), b.Close())
		}
		n.board, n.pid = b, pids[0]
		return true, nil
	})
}

// watch notes whether the data plane has died by itself.
func (n *node) watch() {
	pids := childrenOf(n.cmd.Process.Pid, "gannet-dataplane")
	if len(pids) == 1 && pids[0] == n.pid {
		return
	}
	n.deaths++
	_ = n.awaitServing()
}

// socket asks the kernel about the data plane's AF_XDP socket.
func (n *node) socket() (zeroCopy bool, stats unix.XDPStatistics, err error) {
	pidfd, err := unix.PidfdOpen(n.pid, 0)
	if err != nil {
		return false, stats, fmt.Errorf("pidfd of the data plane: %w", err)
	}
	defer unix.Close(pidfd)
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.pid))
	if err != nil {
		return false, stats, fmt.Errorf("descriptors of the data plane: %w", err)
	}
	for _, e := range fds {
		number, _ := strconv.Atoi(e.Name())
		if target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", n.pid, number)); !strings.HasPrefix(target, "socket:") {
			continue
		}
		fd, err := unix.PidfdGetfd(pidfd, number, 0)
		if err != nil {
			return false, stats, fmt.Errorf("copy of descriptor %d: %w", number, err)
		}
		zc, st, ok := socketState(fd)
		_ = unix.Close(fd)
		if ok {
			return zc, st, nil
		}
	}
	return false, stats, errors.New("the data plane has no AF_XDP socket")
}

// noteInvalid adds the present socket's invalid descriptors.
func (n *node) noteInvalid() {
	if _, st, err := n.socket(); err == nil {
		n.txInvalid += st.Tx_invalid_descs
	}
}

// sent reads the data plane's counters.
func (n *node) sent() report.Sent {
	c := n.board.Counters(0)
	return report.Sent{
		InPlace: c.Get(board.CountInPlaceSent), InPlaceBytes: c.Get(board.CountValueBytesInPlace),
		CopiedBytes: c.Get(board.CountValueBytesCopied), LargeCopied: c.Get(board.CountLargeBytesCopied),
		TailBytes: c.Get(board.CountValueBytesTail), RoomBusy: c.Get(board.CountRoomBusy),
		Slots: c.Get(board.CountSlotsInFlight), Turns: c.Get(board.CountTurns), PortChanges: c.Get(board.CountPortChanges),
	}
}

func (n *node) lastLines(count int) []string {
	data, _ := os.ReadFile(nodeLog)
	lines := strings.Split(string(bytes.TrimSpace(data)), "\n")
	return lines[max(0, len(lines)-count):]
}
