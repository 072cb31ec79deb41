package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"gannet/board"
	"gannet/control"
)

// dataplanePath is the data plane that TestMain built.
var dataplanePath string

// runAsGannet in the environment makes the test binary a gannet.
const runAsGannet = "GANNET_TEST_RUN_AS_GANNET"

func TestMain(m *testing.M) {
	if os.Getenv(runAsGannet) != "" {
		main()
	}
	// The test binary is also the gannet that scripts run; only the tests need the
	// data plane built.
	if strings.HasSuffix(os.Args[0], ".test") {
		if err := buildDataplane(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	testscript.Main(cleanup{m}, map[string]func(){"gannet": main})
}

// cleanup takes the built data plane away after the tests.
type cleanup struct{ m *testing.M }

func (c cleanup) Run() int {
	defer func() { _ = os.RemoveAll(filepath.Dir(dataplanePath)) }()
	return c.m.Run()
}

func buildDataplane() error {
	dir, err := os.MkdirTemp("", "gannet-test-")
	if err != nil {
		return err
	}
	dataplanePath = filepath.Join(dir, "gannet-dataplane")
	build := exec.Command("go", "build", "-o", dataplanePath, "gannet/cmd/gannet-dataplane")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("build the data plane: %w\n%s", err, out), os.RemoveAll(dir))
	}
	return nil
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("GANNET_DATAPLANE_BINARY", dataplanePath)
			e.Setenv("HOME", e.WorkDir)
			e.Values[nodesKey{}] = map[string]*testNode{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"node": cmdNode, "http": cmdHTTP, "json": cmdJSON, "code": cmdCode,
		},
	})
}

type nodesKey struct{}

// testNode is a running gannet dev or gannet node.
type testNode struct {
	cmd     *exec.Cmd
	ended   chan struct{}
	err     error // after ended
	dataDir string
	admin   string
	control string

	mu     sync.Mutex
	more   *sync.Cond
	lines  []string // of both streams
	seen   int      // lines that a wait has passed
	closed bool     // there will be no more lines
}

// cmdNode: see the cases.
func cmdNode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: node port | start VERB [flags…] | stop | kill | signal NAME | hup TEXT | fenced | gone")
	}
	nodes := ts.Value(nodesKey{}).(map[string]*testNode)
	switch args[0] {
	case "port": // chooses NODE_PORT
		ts.Setenv("NODE_PORT", scriptPort(ts))
		return
	case "start": // runs a verb until it says that it is ready
		nodes["node"] = startNode(ts, args[1], args[2:])
		return
	}
	n := nodes["node"]
	if n == nil {
		ts.Fatalf("no node was started")
	}
	switch args[0] {
	case "stop": // SIGTERM, and the exit code must be 0
		n.stop(ts)
	case "kill": // SIGKILL to the control process alone
		ts.Check(n.cmd.Process.Kill())
		<-n.ended
	case "signal": // to the data plane; waits until another one serves
		n.signalDataplane(ts, args[1])
	case "hup": // SIGHUP; waits for a line of the log
		ts.Check(n.cmd.Process.Signal(unix.SIGHUP))
		n.awaitLine(ts, func(line string) bool { return strings.Contains(line, args[1]) })
	case "fenced": // waits until the fence has lapsed
		n.awaitFence(ts)
	case "gone": // the data directory is
		if _, err := os.Stat(n.dataDir); !os.IsNotExist(err) {
			ts.Fatalf("%s is still there: %v", n.dataDir, err)
		}
	default:
		ts.Fatalf("node %s: unknown", args[0])
	}
}

func startNode(ts *testscript.TestScript, verb string, flags []string) *testNode {
	n := &testNode{ended: make(chan struct{})}
	n.more = sync.NewCond(&n.mu)
	port := ts.Getenv("NODE_PORT")
	if port == "" {
		port = scriptPort(ts)
		ts.Setenv("NODE_PORT", port)
	}
	args := append([]string{verb, "--data-port=" + port, "--admin=127.0.0.1:0", "--control-port=0", "--gossip-port=0"}, flags...)
	if verb != "dev" {
		n.dataDir = ts.MkAbs("data")
		args = append(args, "--data-dir="+n.dataDir, "--memory=16MiB", "--shards=1")
	}
	n.cmd = exec.Command(lookIn(ts.Getenv("PATH"), "gannet"), args...)
	n.cmd.Dir = ts.Getenv("WORK")
	n.cmd.Env = append(os.Environ(), "GANNET_DATAPLANE_BINARY="+dataplanePath)
	pipe, writer, err := os.Pipe()
	ts.Check(err)
	n.cmd.Stdout, n.cmd.Stderr = writer, writer
	ts.Check(n.cmd.Start())
	ts.Check(writer.Close())
	go n.read(pipe)
	go n.wait()
	ts.Defer(n.end)
	n.awaitReady(ts)
	ts.Setenv("GANNET_SERVER", "127.0.0.1:"+port)
	ts.Setenv("ADMIN", n.admin)
	ts.Setenv("CONTROL", n.control)
	return n
}

func scriptPort(ts *testscript.TestScript) string {
	at, err := freePorts()
	ts.Check(err)
	return strconv.Itoa(at)
}

func lookIn(path, name string) string {
	for _, dir := range filepath.SplitList(path) {
		if full := filepath.Join(dir, name); unix.Access(full, unix.X_OK) == nil {
			return full
		}
	}
	return name
}

func (n *testNode) read(pipe *os.File) {
	scanner := bufio.NewScanner(pipe)
	for scanner.Scan() {
		n.mu.Lock()
		n.lines = append(n.lines, scanner.Text())
		n.more.Broadcast()
		n.mu.Unlock()
	}
	_ = pipe.Close()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	n.more.Broadcast()
}

// awaitLine passes lines until one is wanted.
func (n *testNode) awaitLine(ts *testscript.TestScript, wanted func(line string) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		for n.seen < len(n.lines) {
			n.seen++
			if wanted(n.lines[n.seen-1]) {
				return
			}
		}
		if n.closed {
			ts.Fatalf("the node ended before it said what was waited for:\n%s", strings.Join(n.lines, "\n"))
		}
		n.more.Wait()
	}
}

// wait does not wait for the pipe: a data plane that lives on holds it open.
func (n *testNode) wait() {
	n.err = n.cmd.Wait()
	close(n.ended)
}

// awaitReady reads what the node prints until it says that it is ready. dev says
// so in words, the others in their log.
func (n *testNode) awaitReady(ts *testscript.TestScript) {
	n.awaitLine(ts, func(line string) bool {
		fields := strings.Fields(line)
		logged := strings.Contains(line, `msg="admin port"`)
		switch {
		case logged:
			_, n.admin, _ = strings.Cut(line, "url=")
		case strings.Contains(line, `msg="control port"`):
			_, n.control, _ = strings.Cut(line, "addr=")
		case len(fields) > 1 && fields[0] == "admin":
			n.admin = fields[1]
		case len(fields) > 2 && fields[0] == "control":
			n.control = fields[2]
		case len(fields) > 1 && fields[0] == "memory":
			n.dataDir = fields[1]
		}
		return logged || line == "Ctrl-C ends it."
	})
}

// end leaves nothing behind, whatever the script did.
func (n *testNode) end() {
	_ = n.cmd.Process.Signal(unix.SIGTERM)
	<-n.ended
	path := control.BoardPath(n.dataDir)
	if _, err := os.Stat(path); err != nil {
		return // attaching would make the directory again
	}
	b, err := board.Attach(path)
	if err != nil {
		return
	}
	defer b.Close()
	var left control.Target
	left.PID, left.StartTicks = b.Node().PID()
	if process, err := control.OpenProcess(left); err == nil {
		_ = process.Signal(unix.SIGKILL)
		_ = process.Close()
	}
}

func (n *testNode) stop(ts *testscript.TestScript) {
	ts.Check(n.cmd.Process.Signal(unix.SIGTERM))
	<-n.ended
	if n.err != nil {
		ts.Fatalf("after SIGTERM: %v", n.err)
	}
}

func (n *testNode) board(ts *testscript.TestScript) *board.Board {
	b, err := board.Attach(control.BoardPath(n.dataDir))
	ts.Check(err)
	return b
}

// signalDataplane signals the data plane and, unless it is only told to end, waits
// until another one has taken its place and serves.
func (n *testNode) signalDataplane(ts *testscript.TestScript, name string) {
	b := n.board(ts)
	defer b.Close()
	before := b.Node().Starts()
	pid, _ := b.Node().PID()
	ts.Check(unix.Kill(pid, unix.SignalNum(name)))
	eventually(ts, "another data plane serves", func() bool {
		return b.Node().Starts() > before && b.Node().Phase() == board.PhaseServing
	})
}

func (n *testNode) awaitFence(ts *testscript.TestScript) {
	b := n.board(ts)
	defer b.Close()
	eventually(ts, "the fence has lapsed", func() bool { return !b.Fence().Allows(control.BootNanos()) })
}

// eventually waits for an event on memory that nothing announces.
func eventually(ts *testscript.TestScript, what string, ok func() bool) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			ts.Fatalf("waited in vain until %s", what)
		}
	}
}

// cmdHTTP: http CODE PATH gets a page of the admin port and prints its body.
func cmdHTTP(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: http CODE PATH")
	}
	response, err := http.Get(ts.Getenv("ADMIN") + args[1])
	ts.Check(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	ts.Check(err)
	_, err = ts.Stdout().Write(body)
	ts.Check(err)
	if got := strconv.Itoa(response.StatusCode); got != args[0] {
		ts.Fatalf("%s answers %s:\n%s", args[1], got, body)
	}
}

// cmdJSON: json FILE KEY[=VALUE]… checks that FILE is one JSON object with the keys.
func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: json FILE KEY[=VALUE]…")
	}
	var object map[string]any
	decoder := json.NewDecoder(strings.NewReader(ts.ReadFile(args[0])))
	ts.Check(decoder.Decode(&object))
	if decoder.Decode(new(any)) != io.EOF {
		ts.Fatalf("%s holds more than one JSON value", args[0])
	}
	for _, arg := range args[1:] {
		key, want, compare := strings.Cut(arg, "=")
		got, ok := object[key]
		if !ok || compare && fmt.Sprint(got) != want {
			ts.Fatalf("%s is %v, want %s", key, got, arg)
		}
	}
}

// cmdCode: code N COMMAND… runs gannet and expects the exit code.
func cmdCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N COMMAND…")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}
