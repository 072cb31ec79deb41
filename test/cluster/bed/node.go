package bed

import (
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
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gannet/control"
	"gannet/ring"
	"gannet/security/mtls"
)

// Ports, the same on every node: each has an address of its own.
const (
	DataPort    = 9800
	ControlPort = 9741
	GossipPort  = 9742
	AdminPort   = 9743 // on loopback in the node's namespace; see [Node.HTTP]
)

// Node is one machine: a namespace, and the two processes of a node in it.
type Node struct {
	Name, Addr, Zone string
	DataDir          string
	// HTTP asks the node's admin port, whatever its switch port does.
	HTTP    *http.Client
	bed     *Bed
	index   int
	place   *place
	process *process // the control process; nil before the first start
	box     *middlebox
}

func nodeName(index int) string { return "node-" + strconv.Itoa(index+1) }

func (b *Bed) nodeAddr(index int) string { return fmt.Sprintf("10.79.%d.%d", b.number, 11+index) }

func (b *Bed) makeNode(index int) (_ *Node, err error) {
	n := &Node{Name: nodeName(index), Addr: b.nodeAddr(index), Zone: "zone-" + strconv.Itoa(index+1), bed: b, index: index}
	if len(b.cfg.Zones) > 0 {
		n.Zone = b.cfg.Zones[index%len(b.cfg.Zones)]
	}
	n.DataDir = b.path(n.Name)
	if n.place, err = newPlace(fmt.Sprintf("%s-n%d", b.prefix, index+1)); err != nil {
		return nil, err
	}
	n.HTTP = &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DialContext: n.dial, DisableKeepAlives: true}}
	return n, n.place.plug(fmt.Sprintf("b%dn%d", b.number, index+1), n.Addr)
}

// dial connects from inside the node's namespace.
func (n *Node) dial(ctx context.Context, network, addr string) (conn net.Conn, err error) {
	err = n.place.Do(func() error {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

// Do runs f on a thread inside the node's namespace.
func (n *Node) Do(f func() error) error { return n.place.Do(f) }

// Start starts the node, with these flags besides, and returns when its control
// process answers and its data plane runs.
func (n *Node) Start(ctx context.Context, flags ...string) error {
	cmd := exec.Command(filepath.Join(n.bed.cfg.Bin, "gannet"), append(n.args(), flags...)...)
	cmd.Env = withoutSettings(os.Environ())
	var err error
	if n.process, err = startIn(n.place, cmd, n.logPath()); err != nil {
		return err
	}
	return n.bed.await(ctx, 30*time.Second, n.Name+" runs", func(ctx context.Context) error {
		if n.process.ended() {
			return fmt.Errorf("%w: it ended", errHopeless)
		}
		if pids, err := n.place.processes(); err != nil || len(pids) < 2 {
			return fmt.Errorf("%d processes, %w", len(pids), err)
		}
		_, err := n.admin(ctx, "/healthz")
		return err
	})
}

// withoutSettings leaves out variables that a node would read as settings.
func withoutSettings(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(v string) bool { return strings.HasPrefix(v, "GANNET_") })
}

func (n *Node) args() []string {
	b := n.bed
	set := []string{
		"node", "--node-name=" + n.Name, "--zone=" + n.Zone, "--data-dir=" + n.DataDir, "--listen=" + n.Addr,
		"--memory=" + strconv.FormatInt(b.cfg.Memory, 10), "--cpus=" + n.cpus(), "--etcd-endpoints=" + strings.Join(b.Endpoints(), ","),
		"--expect-nodes=" + strconv.Itoa(b.cfg.Nodes), "--hugepages=never", "--datapath=" + b.cfg.Datapath,
	}
	if b.cfg.Datapath != "udp" {
		set = append(set, "--interface="+deviceName)
	}
	if b.cfg.Secure {
		files := mtls.DevFiles(b.Certs, n.Name)
		set = append(set, "--tls-cert="+files.Cert, "--tls-key="+files.Key, "--tls-ca="+files.CA, "--tls-crl="+files.CRL,
			"--gossip-key-file="+b.gossipKeys())
	}
	return append(set, b.cfg.Flags...)
}

// cpus gives nodes CPUs in turn.
func (n *Node) cpus() string {
	var cpus []string
	for i := range n.bed.cfg.Shards {
		cpus = append(cpus, strconv.Itoa((n.index*n.bed.cfg.Shards+i)%runtime.NumCPU()))
	}
	return strings.Join(cpus, ",")
}

func (n *Node) logPath() string { return n.bed.path(n.Name + ".log") }

// Dump is the end of what its processes have said.
func (n *Node) Dump() string { return tail(n.logPath()) }

// LogText is all that its processes have said.
func (n *Node) LogText() (string, error) {
	data, err := os.ReadFile(n.logPath())
	return string(data), err
}

// Kill ends both processes at once; the machine lives, and says that its ports are
// closed.
func (n *Node) Kill() error { return n.place.killAll() }

// Aim finds both processes, so that kill, which ends them as Kill does, need not search
// first: a search takes as long as some failovers do.
func (n *Node) Aim() (kill func() error, err error) {
	pids, err := n.place.processes()
	if err != nil {
		return nil, err
	}
	return func() error {
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL) // it may have ended
		}
		return n.place.killAll()
	}, nil
}

// KillControl ends the control process alone. Start starts it again.
func (n *Node) KillControl() error { return n.signalControl(unix.SIGKILL) }

// KillDataplane ends the data plane alone; the control process starts it again.
func (n *Node) KillDataplane() error {
	pids, err := n.place.processes()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if n.process == nil || pid != n.process.cmd.Process.Pid {
			_ = unix.Kill(pid, unix.SIGKILL) // it may have ended
		}
	}
	return nil
}

// Stop ends the node in order, and waits.
func (n *Node) Stop() error { return n.process.stop() }

// Pause stops both processes where they are.
func (n *Node) Pause() error { return n.place.signal(unix.SIGSTOP) }

// Resume lets both go on.
func (n *Node) Resume() error { return n.place.signal(unix.SIGCONT) }

// PauseControl stops the control process alone.
func (n *Node) PauseControl() error { return n.signalControl(unix.SIGSTOP) }

// ResumeControl lets it go on.
func (n *Node) ResumeControl() error { return n.signalControl(unix.SIGCONT) }

func (n *Node) signalControl(sig unix.Signal) error {
	if n.process == nil {
		return errNotStarted
	}
	if err := n.process.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("bed: control process of %s: %w", n.Name, err)
	}
	if sig == unix.SIGKILL {
		<-n.process.done
	}
	return nil
}

func (n *Node) end() { _ = n.place.killAll() }

func (n *Node) remove() error {
	if log := n.bed.cfg.Log; log != nil {
		text, _ := n.LogText()
		for line := range strings.Lines(text) {
			fmt.Fprintf(log, "%s: %s", n.Name, line)
		}
	}
	return errors.Join(n.box.close(), n.place.remove())
}

// Vanish takes the whole machine away: first its network, then its processes.
func (n *Node) Vanish() error { return errors.Join(n.Cut(), n.Kill()) }

const adminMost = 16 << 20

// admin asks the admin port; statuses from 300 on are errors.
func (n *Node) admin(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", AdminPort, path), nil)
	if err != nil {
		return nil, err
	}
	response, err := n.HTTP.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, adminMost))
	if err == nil && response.StatusCode >= http.StatusMultipleChoices {
		err = fmt.Errorf("%s of %s: status %d: %s", path, n.Name, response.StatusCode, body)
	}
	return body, err
}

// Ready is nil when the node says that clients may come.
func (n *Node) Ready(ctx context.Context) error {
	body, err := n.admin(ctx, "/readyz")
	if err != nil {
		return err
	}
	var answer control.Readiness
	if err := json.Unmarshal(body, &answer); err != nil {
		return err
	}
	if !answer.Ready {
		return errors.New(answer.Reason)
	}
	return nil
}

// Metric sums the samples of a family that have all these labels ("state=down").
func (n *Node) Metric(ctx context.Context, name string, match ...string) (float64, error) {
	body, err := n.admin(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	sum, found := 0.0, false
	for line := range strings.Lines(string(body)) {
		value, ok := sample(strings.TrimSpace(line), name, match)
		sum += value
		found = found || ok
	}
	if !found {
		return 0, fmt.Errorf("bed: %s has no metric %s %v", n.Name, name, match)
	}
	return sum, nil
}

// sample reads a line of the text format.
func sample(line, name string, match []string) (float64, bool) {
	rest, ok := strings.CutPrefix(line, name)
	if !ok || rest == "" || rest[0] != '{' && rest[0] != ' ' {
		return 0, false
	}
	at := strings.LastIndexByte(rest, ' ')
	labels := rest[:at]
	for _, m := range match {
		key, value, _ := strings.Cut(m, "=")
		if !strings.Contains(labels, key+"="+strconv.Quote(value)) {
			return 0, false
		}
	}
	value, err := strconv.ParseFloat(rest[at+1:], 64)
	return value, err == nil
}

const ringLongest = 500 * time.Millisecond

// Ring is what its control port says.
func (n *Node) Ring(ctx context.Context) (*ring.Ring, error) {
	ctx, cancel := context.WithTimeout(ctx, ringLongest)
	defer cancel()
	c, err := n.bed.Control(n, "client")
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Ring(ctx, nil)
}
