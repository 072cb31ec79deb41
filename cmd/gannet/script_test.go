package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"gannet/board"
	"gannet/control"
)

// dataplanePath is the data plane that TestMain built.
var dataplanePath string

func TestMain(m *testing.M) {
	// The test binary is also the gannet that scripts run; only the tests need the
	// data plane built.
	if strings.HasSuffix(os.Args[0], ".test") {
		dir, err := buildDataplane()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		code := 1
		defer func() {
			_ = os.RemoveAll(dir)
			os.Exit(code)
		}()
	}
	testscript.Main(cleanup{m}, map[string]func(){"gannet": main})
}

// cleanup takes the built data plane away after the tests.
type cleanup struct{ m *testing.M }

func (c cleanup) Run() int {
	defer func() { _ = os.RemoveAll(filepath.Dir(dataplanePath)) }()
	return c.m.Run()
}

func buildDataplane() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "gannet-test-"); err != nil {
		return "", err
	}
	dataplanePath = filepath.Join(dir, "gannet-dataplane")
	build := exec.Command("go", "build", "-o", dataplanePath, "gannet/cmd/gannet-dataplane")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the data plane: %w\n%s", err, out)
	}
	return dir, nil
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
	out     bytes.Buffer // of both streams
	lines   chan string
	ended   chan struct{}
	err     error // after ended
	dataDir string
	admin   string
}

// cmdNode: node start VERB [flags…] | stop | kill | signal SIGNAL | wait-dead | data-dir-gone
func cmdNode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: node start VERB [flags…] | stop | kill | signal NAME | restarted")
	}
	nodes := ts.Value(nodesKey{}).(map[string]*testNode)
	if args[0] == "start" {
		nodes["node"] = startNode(ts, args[1], args[2:])
		return
	}
	n := nodes["node"]
	if n == nil {
		ts.Fatalf("no node was started")
	}
	switch args[0] {
	case "stop":
		n.stop(ts)
	case "kill":
		ts.Check(n.cmd.Process.Kill())
		<-n.ended
	case "signal":
		n.signalDataplane(ts, args[1])
	case "fenced":
		n.awaitFence(ts)
	case "gone":
		if _, err := os.Stat(n.dataDir); !os.IsNotExist(err) {
			ts.Fatalf("%s is still there: %v", n.dataDir, err)
		}
	default:
		ts.Fatalf("node %s: unknown", args[0])
	}
}

func startNode(ts *testscript.TestScript, verb string, flags []string) *testNode {
	n := &testNode{lines: make(chan string, 1000), ended: make(chan struct{})}
	port := ts.Getenv("NODE_PORT")
	if port == "" {
		port = freePort(ts)
		ts.Setenv("NODE_PORT", port)
	}
	args := append([]string{verb, "--data-port=" + port, "--admin=127.0.0.1:0", "--log-level=info"}, flags...)
	if verb == "node" {
		n.dataDir = ts.MkAbs("data")
		args = append(args, "--data-dir="+n.dataDir, "--memory=16MiB", "--shards=1")
	}
	n.cmd = exec.Command(lookIn(ts.Getenv("PATH"), "gannet"), args...)
	n.cmd.Env = append(os.Environ(), "GANNET_DATAPLANE_BINARY="+dataplanePath)
	pipe, writer, err := os.Pipe()
	ts.Check(err)
	n.cmd.Stdout, n.cmd.Stderr = writer, writer
	ts.Check(n.cmd.Start())
	ts.Check(writer.Close())
	go n.read(pipe)
	ts.Defer(func() {
		_ = n.cmd.Process.Signal(unix.SIGTERM)
		<-n.ended
	})
	n.awaitReady(ts)
	ts.Setenv("GANNET_SERVER", "127.0.0.1:"+port)
	ts.Setenv("ADMIN", n.admin)
	return n
}

func freePort(ts *testscript.TestScript) string {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	ts.Check(err)
	defer conn.Close()
	return strconv.Itoa(conn.LocalAddr().(*net.UDPAddr).Port)
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
	defer close(n.lines)
	scanner := bufio.NewScanner(pipe)
	for scanner.Scan() {
		n.lines <- scanner.Text()
	}
	_ = pipe.Close()
	n.err = n.cmd.Wait()
	close(n.ended)
}

// awaitReady reads what the node prints until it says that it is ready. dev says
// so in words, node in its log.
func (n *testNode) awaitReady(ts *testscript.TestScript) {
	for line := range n.lines {
		n.out.WriteString(line + "\n")
		fields := strings.Fields(line)
		switch {
		case len(fields) > 1 && fields[0] == "admin":
			n.admin = fields[1]
		case len(fields) > 1 && fields[0] == "memory":
			n.dataDir = fields[1]
		case strings.Contains(line, `msg="admin port"`):
			_, n.admin, _ = strings.Cut(line, "url=")
		}
		if line == "Ctrl-C ends it." || strings.Contains(line, `msg="admin port"`) {
			ts.Logf("%s", n.out.String())
			go func() { // what follows must not fill the pipe
				for range n.lines {
				}
			}()
			return
		}
	}
	ts.Fatalf("the node ended before it was ready:\n%s", n.out.String())
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
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
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
		if !asExit(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

func asExit(err error, exit **exec.ExitError) bool {
	e, ok := err.(*exec.ExitError)
	*exit = e
	return ok
}
