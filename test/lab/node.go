package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// NodeConfig is a node started as a user would start it.
type NodeConfig struct {
	Bin      string // folder with gannet and gannet-dataplane
	Datapath string // xdp or udp
	Shards   int
	Memory   int64  // bytes
	CPUs     string // of the shards, e.g. "0"; empty: the node's default, the highest numbers
	Flags    []string
	Log      io.Writer // nil: kept in the data directory
}

// Node is a running node in the lab's server namespace.
type Node struct {
	lab  *Lab
	cmd  *exec.Cmd
	dir  string
	exit chan error
}

const adminPort = 9743

// StartNode starts `gannet dev` in the server namespace and returns once it
// answers a real GET.
func (l *Lab) StartNode(ctx context.Context, cfg NodeConfig) (*Node, error) {
	dir, err := os.MkdirTemp("/dev/shm", "gannet-lab-")
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	args := []string{
		"dev", "--node-name=lab", "--data-dir=" + dir + "/data", "--listen=" + ServerAddr, "--datapath=" + cfg.Datapath,
		"--shards=" + strconv.Itoa(max(cfg.Shards, 1)), "--memory=" + strconv.FormatInt(cfg.Memory, 10),
	}
	if cfg.Datapath != "udp" {
		args = append(args, "--interface="+ServerDevice)
	}
	if cfg.CPUs != "" {
		args = append(args, "--cpus="+cfg.CPUs)
	}
	n := &Node{lab: l, dir: dir, exit: make(chan error, 1)}
	n.cmd = exec.Command(filepath.Join(cfg.Bin, "gannet"), append(args, cfg.Flags...)...)
	logFile, err := os.Create(filepath.Join(dir, "node.log"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lab: %w", err), os.RemoveAll(dir))
	}
	defer logFile.Close()
	n.cmd.Stdout, n.cmd.Stderr = logFile, logFile
	if cfg.Log != nil {
		n.cmd.Stdout, n.cmd.Stderr = cfg.Log, cfg.Log
	}
	if err := l.Server.Start(n.cmd); err != nil {
		return nil, errors.Join(fmt.Errorf("lab: start node: %w", err), os.RemoveAll(dir))
	}
	go func() { n.exit <- n.cmd.Wait() }()
	if err := n.awaitReady(ctx); err != nil {
		return nil, errors.Join(err, n.Stop())
	}
	return n, nil
}

// Stop ends the node by SIGTERM and removes its files.
func (n *Node) Stop() error {
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	var err error
	select {
	case err = <-n.exit:
	case <-time.After(20 * time.Second):
		_ = n.cmd.Process.Kill()
		err = errors.Join(errors.New("node did not end within 20 s of SIGTERM"), <-n.exit)
	}
	if pid, found := n.DataplanePID(); found == nil {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		err = errors.Join(err, errors.New("the data plane outlived its node"))
	}
	// The node leaves its data for a successor, on a mount of its own.
	if unmount := unix.Unmount(n.dir+"/data", unix.MNT_DETACH); unmount != nil && !errors.Is(unmount, unix.EINVAL) && !errors.Is(unmount, unix.ENOENT) {
		err = errors.Join(err, unmount)
	}
	return errors.Join(err, os.RemoveAll(n.dir))
}

// PID is the control process.
func (n *Node) PID() int { return n.cmd.Process.Pid }

// DataplanePID finds the node's data plane.
func (n *Node) DataplanePID() (int, error) { return DataplaneOf(n.PID()) }

// DataplaneOf finds the data plane among the children of a control process.
func DataplaneOf(control int) (int, error) {
	matches, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, fmt.Errorf("lab: %w", err)
	}
	for _, path := range matches {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // the process ended meanwhile
		}
		pid, command, parent := parseStat(string(data))
		if parent == control && command != "" && strings.HasPrefix("gannet-dataplane", command) {
			return pid, nil
		}
	}
	return 0, errors.New("lab: the node has no data plane process now")
}

// parseStat reads pid, command and parent of /proc/PID/stat (proc(5)).
func parseStat(line string) (pid int, command string, parent int) {
	open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return 0, "", 0
	}
	pid, _ = strconv.Atoi(strings.TrimSpace(line[:open]))
	rest := strings.Fields(line[end+1:])
	if len(rest) > 1 && rest[0] != "Z" {
		parent, _ = strconv.Atoi(rest[1])
	}
	return pid, line[open+1 : end], parent
}

// Log returns what the node has printed so far.
func (n *Node) Log() string {
	data, err := os.ReadFile(filepath.Join(n.dir, "node.log"))
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// Get asks the node's admin port, from inside its namespace.
func (n *Node) Get(ctx context.Context, path string) (string, error) {
	dial := func(ctx context.Context, network, _ string) (conn net.Conn, err error) {
		err = n.lab.Server.Do(func() error {
			var d net.Dialer
			conn, err = d.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", strconv.Itoa(adminPort)))
			return err
		})
		return conn, err
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://node"+path, nil)
	if err != nil {
		return "", fmt.Errorf("lab: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("lab: admin port: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("lab: %s answered %s", path, resp.Status)
	}
	return string(body), err
}

// Metric sums a metric over its labels; match, if any, must occur in the line.
func (n *Node) Metric(ctx context.Context, name, match string) (float64, error) {
	page, err := n.Get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	var sum float64
	lines := bufio.NewScanner(strings.NewReader(page))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || (rest[0] != ' ' && rest[0] != '{') || !strings.Contains(line, match) {
			continue
		}
		v, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		if err != nil {
			return 0, fmt.Errorf("lab: metric line %q: %w", line, err)
		}
		sum += v
	}
	return sum, nil
}

// awaitReady polls /readyz, which itself makes a GET through the data path.
func (n *Node) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		select {
		case err := <-n.exit:
			n.exit <- err
			return fmt.Errorf("lab: the node ended at once (%v):\n%s", err, n.Log())
		case <-ctx.Done():
			return fmt.Errorf("lab: the node was not ready in time (%v):\n%s", last, n.Log())
		case <-tick.C:
			if _, last = n.Get(ctx, "/readyz"); last == nil {
				return nil
			}
		}
	}
}

// RunJSON runs a command in the client namespace and decodes its stdout.
func (l *Lab) RunJSON(ctx context.Context, into any, stderr io.Writer, name string, args ...string) error {
	out, err := l.Run(ctx, stderr, name, args...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, into); err != nil {
		return fmt.Errorf("lab: output of %s: %w", name, err)
	}
	return nil
}

// Run runs a command in the client namespace and returns its stdout.
func (l *Lab) Run(ctx context.Context, stderr io.Writer, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, stderr
	if err := l.Client.Start(cmd); err != nil {
		return nil, fmt.Errorf("lab: start %s: %w", name, err)
	}
	if err := cmd.Wait(); err != nil {
		return []byte(out.String()), fmt.Errorf("lab: %s: %w", name, err)
	}
	return []byte(out.String()), nil
}
