package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gannet/board"
	"gannet/dataplane/port"
	"gannet/wire"
)

// program is this command, built once.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "gannet-dataplane-")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "gannet-dataplane")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// process is a data plane whose control process is the test.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	dir   string
	board *board.Board
	log   bytes.Buffer
	addr  netip.AddrPort
}

// freePort returns the first of two neighbouring UDP ports that are free now, below
// those that the system gives to sockets that ask for none.
func freePort(t *testing.T) uint16 {
	t.Helper()
	for range 100 {
		at := 12000 + 2*rand.IntN(9000)
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: at})
		if err != nil {
			continue
		}
		next, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: at + 1})
		_ = c.Close()
		if err == nil {
			_ = next.Close()
			return uint16(at)
		}
	}
	t.Fatal("no two neighbouring free ports")
	return 0
}

func dataDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "gannet-dataplane-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// start runs a data plane and returns when it has said that it is ready.
func start(t *testing.T, dir string, at uint16, flags ...string) *process {
	t.Helper()
	return startBy(t, (*exec.Cmd).Start, dir, at, flags...)
}

func startBy(t *testing.T, run func(*exec.Cmd) error, dir string, at uint16, flags ...string) *process {
	t.Helper()
	p := &process{t: t, dir: dir, addr: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), at)}
	notify := filepath.Join(dir, "notify")
	_ = os.Remove(notify)
	listener, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	p.cmd = exec.Command(program, append([]string{
		"--data-dir=" + dir, fmt.Sprint("--data-port=", at), "--memory=64MiB",
	}, flags...)...)
	p.cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+notify)
	p.cmd.Stderr = &p.log
	if err := run(p.cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		if t.Failed() {
			t.Logf("log of the data plane:\n%s", p.log.String())
		}
	})
	_ = listener.SetReadDeadline(time.Now().Add(30 * time.Second))
	message := make([]byte, 100)
	n, err := listener.Read(message)
	if err != nil || string(message[:n]) != "READY=1" {
		t.Fatalf("the data plane is not ready: %v %q\n%s", err, message[:n], p.log.String())
	}
	if p.board, err = board.Attach(filepath.Join(dir, "board")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.board.Close() })
	p.board.Fence().Set(1 << 62)
	return p
}

// peerConn is a client that knows the wire format and little else.
type peerConn struct {
	t      *testing.T
	conn   net.Conn
	cookie uint64
	id     uint64
	shards int
}

func (p *process) dial(shard int) *peerConn {
	return dialFrom(p.t, netip.AddrPortFrom(p.addr.Addr(), p.addr.Port()+uint16(shard)))
}

func dialFrom(t *testing.T, to netip.AddrPort) *peerConn {
	t.Helper()
	conn, err := net.Dial("udp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := &peerConn{t: t, conn: conn}
	hello := c.ask(0, wire.Op{Code: wire.Hello, Value: make([]byte, wire.MinHelloPadBytes)})
	info, ok := wire.ParseHelloReply(hello.Value)
	if !ok {
		t.Fatal("no reply to HELLO")
	}
	c.cookie, c.shards = hello.Token, int(info.Shards)
	return c
}

// ask sends an operation until it is answered: UDP may lose it.
func (c *peerConn) ask(shard int, op wire.Op) wire.ReplyOp {
	c.t.Helper()
	c.id++
	h := wire.RequestHeader{RequestID: c.id, SessionID: 1, Cookie: c.cookie, Shard: uint16(shard), KeyHash: wire.KeyHash(op.Key)}
	request := wire.AppendOp(wire.AppendRequest(nil, &h), 0, &op)
	buffer := make([]byte, 2048)
	for range 50 {
		if _, err := c.conn.Write(request); err != nil && !errors.Is(err, unix.ECONNREFUSED) {
			c.t.Fatal(err)
		}
		_ = c.conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		n, err := c.conn.Read(buffer)
		if err != nil {
			continue
		}
		var reply wire.Reply
		if reason := wire.ParseReply(buffer[:n], &reply); reason != wire.ReasonNone {
			c.t.Fatalf("reply does not parse: %v", reason)
		}
		ops := reply.Ops()
		var answer wire.ReplyOp
		if reply.RequestID == c.id && ops.Next(&answer) {
			if !answer.Intact() {
				c.t.Fatal("CRC of the reply is wrong")
			}
			return answer
		}
	}
	c.t.Fatalf("%v was never answered", op.Code)
	return wire.ReplyOp{}
}

func (c *peerConn) shardOf(key string) int { return wire.ShardOf(wire.KeyHash([]byte(key)), c.shards) }

func (p *process) put(key, value string) {
	p.t.Helper()
	c := p.dial(0)
	got := p.dial(c.shardOf(key)).ask(c.shardOf(key), wire.Op{Code: wire.Put, Key: []byte(key), Value: []byte(value)})
	if got.Status != wire.StatusOK {
		p.t.Fatalf("PUT %s: %v", key, got.Status)
	}
}

func (p *process) get(key string) (string, wire.Status) {
	p.t.Helper()
	c := p.dial(0)
	got := p.dial(c.shardOf(key)).ask(c.shardOf(key), wire.Op{Code: wire.Get, Key: []byte(key)})
	return string(got.Value), got.Status
}

// terminate drains the data plane and wants it to end well.
func (p *process) terminate() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(unix.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Fatalf("after SIGTERM: %v\n%s", err, p.log.String())
	}
}

func (p *process) recovery(shard int) string {
	info, ok := p.board.Node().Info()
	if !ok {
		p.t.Fatal("no node info on the board")
	}
	return info.Shards[shard].Recovery
}

func TestServesAndRestartsWarm(t *testing.T) {
	dir, at := dataDir(t), freePort(t)
	p := start(t, dir, at, "--shards=2")
	for i := range 20 {
		p.put(fmt.Sprint("key-", i), fmt.Sprint("value-", i))
	}
	p.terminate()
	if phase := p.board.Node().Phase(); phase != board.PhaseStopped {
		t.Errorf("phase %v after the end", phase)
	}
	for _, end := range []string{"clean", "unclean"} {
		p = start(t, dir, at, "--shards=2")
		if got := p.recovery(0); !strings.HasPrefix(got, "warm") || strings.Contains(got, "unclean") != (end == "unclean") {
			t.Errorf("recovery %q after a %s end", got, end)
		}
		for i := range 20 {
			if value, status := p.get(fmt.Sprint("key-", i)); value != fmt.Sprint("value-", i) {
				t.Errorf("key-%d after a %s end: %v %q", i, end, status, value)
			}
		}
		if end == "clean" {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	}
}

func TestCookiesOutliveARestart(t *testing.T) {
	dir, at := dataDir(t), freePort(t)
	p := start(t, dir, at, "--shards=1")
	c := p.dial(0)
	p.terminate()
	start(t, dir, at, "--shards=1")
	if got := c.ask(0, wire.Op{Code: wire.Get, Key: []byte("k")}); got.Status != wire.StatusMiss {
		t.Errorf("with a cookie from before the restart: %v, want MISS", got.Status)
	}
}

func TestAnotherNumberOfShardsStartsFresh(t *testing.T) {
	dir, at := dataDir(t), freePort(t)
	p := start(t, dir, at, "--shards=1")
	p.put("k", "v")
	p.terminate()
	old := p.board
	p = start(t, dir, at, "--shards=2")
	if !old.Replaced() || p.board.Shards() != 2 {
		t.Error("the board was not replaced")
	}
	if _, status := p.get("k"); status != wire.StatusMiss {
		t.Errorf("key of the old memory: %v", status)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "shards-*")); len(left) != 1 {
		t.Errorf("memory files left: %v", left)
	}
}

func TestOnlyOneDataPlaneADirectory(t *testing.T) {
	dir, at := dataDir(t), freePort(t)
	start(t, dir, at, "--shards=1")
	out, err := exec.Command(program, "--data-dir="+dir, "--memory=64MiB", "--shards=1").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "another data plane uses") {
		t.Errorf("a second one: %v\n%s", err, out)
	}
}

func TestBadFlagsSayWhatToDo(t *testing.T) {
	out, err := exec.Command(program, "--memroy=1GiB").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), "--memory") {
		t.Errorf("%v\n%s", err, out)
	}
}

// statusLines returns a field of /proc/PID/task/*/status by thread.
func (p *process) statusLines(field string) map[string]string {
	p.t.Helper()
	lines := map[string]string{}
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.cmd.Process.Pid))
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // the thread ended
		}
		for line := range strings.Lines(string(data)) {
			if value, ok := strings.CutPrefix(line, field+":"); ok {
				lines[filepath.Base(filepath.Dir(file))] = strings.TrimSpace(value)
			}
		}
	}
	return lines
}

func TestPrivilegesAreGoneOnceItServes(t *testing.T) {
	p := start(t, dataDir(t), freePort(t), "--shards=1")
	for _, field := range []string{"CapEff", "CapPrm", "CapInh"} {
		for thread, caps := range p.statusLines(field) {
			if strings.Trim(caps, "0") != "" {
				t.Errorf("thread %s: %s is %s", thread, field, caps)
			}
		}
	}
	for thread, set := range p.statusLines("NoNewPrivs") {
		if set != "1" {
			t.Errorf("thread %s may gain privileges", thread)
		}
	}
	p.put("k", "v") // and it still works
}

func TestEachShardHasItsCPU(t *testing.T) {
	p := start(t, dataDir(t), freePort(t), "--shards=1")
	info, _ := p.board.Node().Info()
	p.put("k", "v")
	shardThread := fmt.Sprint(p.board.Heartbeat(0).Thread())
	lists := p.statusLines("Cpus_allowed_list")
	if lists[shardThread] != fmt.Sprint(info.Shards[0].CPU) {
		t.Errorf("the shard's thread may run on %q, its CPU is %d", lists[shardThread], info.Shards[0].CPU)
	}
	for thread, list := range lists {
		if thread != shardThread && list == lists[shardThread] {
			t.Errorf("thread %s shares the shard's CPU", thread)
		}
	}
}

func TestTheBoardSaysWhatRuns(t *testing.T) {
	p := start(t, dataDir(t), freePort(t), "--shards=1")
	info, ok := p.board.Node().Info()
	if !ok || info.BasePort != p.addr.Port() || len(info.Shards) != 1 || info.Shards[0].Rung != port.RungUDP.String() ||
		len(info.Shards[0].WhyNot) == 0 {
		t.Errorf("info %+v", info)
	}
	if pid, ticks := p.board.Node().PID(); pid != p.cmd.Process.Pid || ticks == 0 {
		t.Errorf("pid %d started at %d", pid, ticks)
	}
	if p.board.Node().Phase() != board.PhaseServing {
		t.Errorf("phase %v", p.board.Node().Phase())
	}
	if names := p.board.Reasons().Get(board.GroupStatus); len(names) != wire.StatusCount {
		t.Errorf("%d names of statuses", len(names))
	}
}
