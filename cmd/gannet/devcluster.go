package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"gannet/config"
	"gannet/control"
	"gannet/security/mtls"
)

// portStep is between the ports of two nodes of a small cluster.
const portStep = 100

// devCluster is a small cluster on loopback: an etcd in this process, and each node a
// pair of processes of its own, so that killing one is a real failure.
type devCluster struct {
	env    *Env
	cmd    *devCmd
	base   *config.Loaded
	dir    string
	log    *slog.Logger
	etcd   *control.Etcd
	certs  string // directory; empty: no TLS
	nodes  []*devNode
	output sync.Mutex // held while a line is written
}

// devNode is one node of it.
type devNode struct {
	name, zone, dataDir     string
	data, ctl, gossip, http netip.AddrPort
	args                    []string
	process                 *exec.Cmd
	ended                   chan struct{}
	err                     error // after ended
}

// runCluster runs it until a signal comes or all nodes have ended.
func (c *devCmd) runCluster(env *Env) (err error) {
	d := &devCluster{env: env, cmd: c}
	if d.base, err = c.load(env, "gannet dev", without(devDefaults, "shards")); err != nil {
		return err
	}
	d.log, _ = newLog(env.Stderr, &d.base.Config)
	if d.dir, err = os.MkdirTemp(roomyDir(int64(c.Nodes)*int64(d.base.Memory)), "gannet-dev-"); err != nil {
		return fmt.Errorf("make a temporary data directory: %w", err)
	}
	defer func() { err = errors.Join(err, d.clean()) }()
	if err := d.prepare(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := d.startEtcd(ctx); err != nil {
		return err
	}
	defer d.etcd.Close()
	// Children get a signal when the thread dies that started them: so it must not.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for _, n := range d.nodes {
		if err := d.start(n); err != nil {
			return errors.Join(err, d.stop())
		}
	}
	ready := make(chan error, 1)
	go func() { ready <- d.awaitReady(ctx) }()
	return errors.Join(d.wait(ready), d.stop())
}

// wait returns when it is time to end.
func (d *devCluster) wait(ready <-chan error) error {
	gone := make(chan struct{})
	go func() {
		for _, n := range d.nodes {
			<-n.ended
		}
		close(gone)
	}()
	for {
		select {
		case err := <-ready:
			if err != nil {
				return err
			}
			d.print(d.env.Stdout)
		case sig := <-d.env.Signals:
			if sig != unix.SIGHUP {
				return nil
			}
		case <-gone:
			return errors.New("all nodes have ended")
		}
	}
}

// prepare decides names, ports and certificates.
func (d *devCluster) prepare() error {
	zones := d.cmd.Zones
	if len(zones) == 0 {
		zones = []string{"zone-a", "zone-b", "zone-c"}
	}
	for i := range d.cmd.Nodes {
		n := &devNode{name: fmt.Sprintf("node-%d", i+1), zone: zones[i%len(zones)], ended: make(chan struct{})}
		n.dataDir = filepath.Join(d.dir, n.name)
		if err := d.choosePorts(n, i); err != nil {
			return err
		}
		d.nodes = append(d.nodes, n)
	}
	if d.cmd.Secure {
		return d.makeCerts()
	}
	return nil
}

func (d *devCluster) choosePorts(n *devNode, i int) error {
	base := &d.base.Config
	for _, p := range []struct {
		at   *netip.AddrPort
		addr netip.Addr
		port uint16
		name string
	}{
		{&n.data, base.Listen, base.DataPort, "data-port"},
		{&n.ctl, base.Listen, base.ControlPort, "control-port"},
		{&n.gossip, base.Listen, base.GossipPort, "gossip-port"},
		{&n.http, base.Admin.Addr(), base.Admin.Port(), "admin"},
	} {
		port := int(p.port) + portStep*i
		if p.port == 0 {
			var err error
			if port, err = freeTCPPort(p.addr); err != nil {
				return err
			}
		}
		if port > 65535 {
			return fmt.Errorf("%s %d leaves no room for %d nodes, %d apart; choose a lower one", p.name, p.port, d.cmd.Nodes, portStep)
		}
		*p.at = netip.AddrPortFrom(p.addr, uint16(port))
	}
	return nil
}

func freeTCPPort(addr netip.Addr) (int, error) {
	listener, err := net.Listen("tcp", netip.AddrPortFrom(addr, 0).String())
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	return listener.Addr().(*net.TCPAddr).Port, listener.Close()
}

const devCertsValid = 30 * 24 * time.Hour

// makeCerts makes certificates for nodes, etcd, a client and an admin, and a key for
// gossip.
func (d *devCluster) makeCerts() error {
	d.certs = filepath.Join(d.dir, "certs")
	names := []string{"etcd"}
	for _, n := range d.nodes {
		names = append(names, n.name)
	}
	err := mtls.DevCA(d.certs, mtls.DevOptions{
		NodeNames: names, Hosts: []string{"127.0.0.1", "::1", "localhost", d.base.Listen.String()}, ValidFor: devCertsValid, Now: time.Now(),
	})
	if err != nil {
		return err
	}
	var key [32]byte
	if _, err := rand.Read(key[:]); err != nil {
		return fmt.Errorf("make a key for gossip: %w", err)
	}
	return os.WriteFile(d.gossipKeys(), []byte(base64.StdEncoding.EncodeToString(key[:])+"\n"), 0o600)
}

func (d *devCluster) gossipKeys() string { return filepath.Join(d.certs, "gossip.keys") }

func (d *devCluster) startEtcd(ctx context.Context) (err error) {
	client, peer := d.base.EtcdClientURL, d.base.EtcdPeerURL
	var files mtls.Files
	if d.certs != "" {
		files = mtls.DevFiles(d.certs, "etcd")
		client, peer = asHTTPS(client), asHTTPS(peer)
	}
	d.etcd, err = control.StartEtcd(ctx, "dev", filepath.Join(d.dir, "etcd"), client, peer, files, d.log)
	return err
}

func asHTTPS(url string) string {
	if rest, plain := strings.CutPrefix(url, "http://"); plain {
		return "https://" + rest
	}
	return url
}

// flags are the arguments of a node: what was given to this verb, and what makes the
// node one of these.
func (d *devCluster) flags(n *devNode, index int) ([]string, error) {
	set := map[string]string{}
	for key, value := range devDefaults {
		if !d.base.Given(key) {
			set[key] = value
		}
	}
	for key, value := range givenFlags(d.cmd.Plugins) {
		set[key] = value
	}
	for key, value := range map[string]string{
		"node-name": n.name, "node-id": "0", "zone": n.zone, "data-dir": n.dataDir, "data-port": strconv.Itoa(int(n.data.Port())),
		"control-port": strconv.Itoa(int(n.ctl.Port())), "gossip-port": strconv.Itoa(int(n.gossip.Port())), "admin": n.http.String(),
		"etcd-embed": "false", "etcd-endpoints": d.etcd.ClientURL, "expect-nodes": strconv.Itoa(len(d.nodes)),
		"etcd-dir": filepath.Join(n.dataDir, "etcd"),
	} {
		set[key] = value
	}
	delete(set, "etcd-client-url")
	delete(set, "etcd-peer-url")
	if d.certs != "" {
		files := mtls.DevFiles(d.certs, n.name)
		set["tls-cert"], set["tls-key"], set["tls-ca"], set["tls-crl"] = files.Cert, files.Key, files.CA, files.CRL
		set["gossip-key-file"] = d.gossipKeys()
	}
	if err := d.spread(set, index); err != nil {
		return nil, err
	}
	args := []string{"node"}
	if d.cmd.ConfigFile != "" {
		args = append(args, "--config="+d.cmd.ConfigFile)
	}
	for _, k := range config.Keys() {
		if value, ok := set[k.Name]; ok {
			args = append(args, k.Flag()+"="+value)
		}
	}
	return args, nil
}

// spread gives each node CPUs of its own as far as there are enough.
func (d *devCluster) spread(set map[string]string, index int) error {
	if d.base.Given("cpus") {
		delete(set, "shards")
		return nil
	}
	allowed, err := control.AllowedCPUs()
	if err != nil {
		return err
	}
	shards, err := strconv.Atoi(set["shards"])
	if err != nil || shards < 1 || shards > len(allowed) {
		return nil // the node says what is wrong with it
	}
	var cpus []string
	for i := range shards {
		cpus = append(cpus, strconv.Itoa(allowed[(index*shards+i)%len(allowed)]))
	}
	set["cpus"] = strings.Join(cpus, ",")
	delete(set, "shards")
	return nil
}

// start starts a node.
func (d *devCluster) start(n *devNode) (err error) {
	index := 0
	for i := range d.nodes {
		if d.nodes[i] == n {
			index = i
		}
	}
	if n.args, err = d.flags(n, index); err != nil {
		return err
	}
	program, err := exec.LookPath(d.env.Program)
	if err != nil {
		return fmt.Errorf("find the own executable: %w", err)
	}
	n.process = exec.Command(program, n.args...)
	n.process.Env = d.env.Environ
	// A group of its own: Ctrl-C reaches this process alone, which ends the nodes.
	n.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGTERM}
	pipe, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	n.process.Stdout, n.process.Stderr = writer, writer
	err = n.process.Start()
	if closeErr := writer.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return errors.Join(fmt.Errorf("start %s: %w", n.name, err), pipe.Close())
	}
	go d.relay(n, pipe)
	go func() {
		n.err = n.process.Wait()
		close(n.ended)
	}()
	return nil
}

// relay prints what a node says, with its name in front.
func (d *devCluster) relay(n *devNode, pipe *os.File) {
	defer pipe.Close()
	lines := bufio.NewScanner(pipe)
	for lines.Scan() {
		d.say("%s: %s\n", n.name, lines.Text())
	}
}

func (d *devCluster) say(format string, args ...any) {
	d.output.Lock()
	defer d.output.Unlock()
	fmt.Fprintf(d.env.Stderr, format, args...)
}

const devReadyLongest = 60 * time.Second

// awaitReady waits until every node says that clients may come.
func (d *devCluster) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, devReadyLongest)
	defer cancel()
	for _, n := range d.nodes {
		if err := d.awaitNode(ctx, n); err != nil {
			return err
		}
		go d.watch(n)
	}
	return nil
}

func (d *devCluster) awaitNode(ctx context.Context, n *devNode) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	why := "it does not answer"
	for {
		ready, reason := askReady(ctx, n.http)
		if ready {
			return nil
		}
		if reason != "" {
			why = reason
		}
		select {
		case <-tick.C:
		case <-n.ended:
			return fmt.Errorf("%s ended before it was ready; its own message stands above", n.name)
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %s: %s", n.name, devReadyLongest, why)
		}
	}
}

func askReady(ctx context.Context, admin netip.AddrPort) (ready bool, reason string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin.String()+"/readyz", nil)
	if err != nil {
		return false, err.Error()
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false, ""
	}
	defer response.Body.Close()
	var answer control.Readiness
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return false, ""
	}
	return answer.Ready, answer.Reason
}

// watch says when a node has ended, and how it can be started again.
func (d *devCluster) watch(n *devNode) {
	<-n.ended
	var words []string
	for _, arg := range append([]string{d.env.Program}, n.args...) {
		words = append(words, shellWord(arg))
	}
	d.say("%s has ended (%v). To start it again:\n  %s\n", n.name, n.process.ProcessState, strings.Join(words, " "))
}

const devStopLongest = 20 * time.Second

// stop ends all nodes, also those whose control process is gone.
func (d *devCluster) stop() error {
	for _, n := range d.nodes {
		if n.process != nil && n.process.Process != nil {
			_ = n.process.Process.Signal(unix.SIGTERM) // it may have ended
			_ = n.process.Process.Signal(unix.SIGCONT)
		}
	}
	patience := time.NewTimer(devStopLongest)
	defer patience.Stop()
	var errs []error
	for _, n := range d.nodes {
		if n.process == nil || n.process.Process == nil {
			continue
		}
		select {
		case <-n.ended:
		case <-patience.C:
			patience.Reset(0)
			_ = n.process.Process.Kill()
			<-n.ended
			errs = append(errs, fmt.Errorf("%s did not end within %s and was killed", n.name, devStopLongest))
		}
		errs = append(errs, control.EndLeftover(n.dataDir, d.log))
	}
	return errors.Join(errs...)
}

// clean removes the data.
func (d *devCluster) clean() error {
	var errs []error
	for _, n := range d.nodes {
		if _, err := os.Stat(n.dataDir); err == nil {
			errs = append(errs, unmountData(n.dataDir))
		}
	}
	return errors.Join(append(errs, os.RemoveAll(d.dir))...)
}

func (d *devCluster) print(w io.Writer) {
	d.output.Lock()
	defer d.output.Unlock()
	fmt.Fprintf(w, "gannet %s: %d nodes are ready\n\n", versionString(), len(d.nodes))
	fmt.Fprintf(w, "  %-8s %-8s %-22s %-22s %-22s %s\n", "node", "zone", "data (udp)", "control (tcp)", "admin (http)", "process")
	for _, n := range d.nodes {
		fmt.Fprintf(w, "  %-8s %-8s %-22s %-22s %-22s %d\n", n.name, n.zone, n.data, n.ctl, "http://"+n.http.String(), n.process.Process.Pid)
	}
	fmt.Fprintf(w, "\n  etcd     %s\n  data     %s\n", d.etcd.ClientURL, d.dir)
	flags := ""
	if d.certs != "" {
		fmt.Fprintf(w, "  certs    %s\n", d.certs)
		files := mtls.DevFiles(d.certs, string(mtls.RoleAdmin))
		flags = fmt.Sprintf(" --tls-cert %s --tls-key %s --tls-ca %s", files.Cert, files.Key, files.CA)
	}
	server, port := "", ""
	if addr := d.nodes[0].data.String(); addr != defaultServer {
		server = " --server " + addr
	}
	if addr := d.nodes[0].ctl.String(); addr != defaultControl {
		port = " --server " + addr
	}
	program := shellWord(d.env.Program)
	fmt.Fprintf(w, "\nTry, in another shell:\n  %s put greeting hello%s && %[1]s get greeting%[2]s\n  %[1]s ring%[3]s%[4]s\n  %[1]s watch invalidations%[3]s%[4]s\n",
		program, server, port, flags)
	fmt.Fprint(w, "\nCtrl-C ends it.\n")
}

const defaultControl = "127.0.0.1:9741"
