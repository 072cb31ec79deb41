package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"gannet/client"
	"gannet/control"
	"gannet/control/api"
	"gannet/security/mtls"
	"gannet/wire"
)

// pair is two nodes: the one measured, and one that makes work for its control
// process.
type pair struct {
	dir    string
	etcd   *control.Etcd
	nodes  []*exec.Cmd
	admin  string // of the one measured
	client *client.Client
	mine   []string // keys of the node measured
	others []string
	events atomic.Int64 // seen by its subscriber
	stop   context.CancelFunc
}

const keysEach = 64

func startPair(ctx context.Context, bin string) (_ *pair, err error) {
	p := &pair{}
	ctx, p.stop = context.WithCancel(ctx)
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.dir, err = os.MkdirTemp("/dev/shm", "gannet-calm-"); err != nil {
		return nil, fmt.Errorf("calm: %w", err)
	}
	log := slog.New(slog.DiscardHandler)
	if p.etcd, err = control.StartEtcd(ctx, "calm", filepath.Join(p.dir, "etcd"), "http://127.0.0.1:0", "http://127.0.0.1:0", mtls.Files{}, log); err != nil {
		return nil, err
	}
	shardCPU := lastCPU()
	ports, err := freePorts(8)
	if err != nil {
		return nil, err
	}
	if err := p.start(bin, "measured", ports[:4], "--cpus="+shardCPU, "--spin=1s"); err != nil {
		return nil, err
	}
	if err := stayOnFirstCPU(); err != nil {
		return nil, err
	}
	if err := p.start(bin, "other", ports[4:], "--cpus=0"); err != nil {
		return nil, err
	}
	p.admin = "http://127.0.0.1:" + ports[3]
	if err := p.awaitReady(ctx, "http://127.0.0.1:"+ports[7]); err != nil {
		return nil, err
	}
	return p, p.connect(ctx, ports)
}

func (p *pair) start(bin, name string, ports []string, flags ...string) error {
	dataplane, err := filepath.Abs(filepath.Join(bin, "gannet-dataplane"))
	if err != nil {
		return fmt.Errorf("calm: %w", err)
	}
	args := append([]string{
		"node", "--node-name=" + name, "--data-dir=" + filepath.Join(p.dir, name), "--data-port=" + ports[0], "--control-port=" + ports[1],
		"--gossip-port=" + ports[2], "--admin=127.0.0.1:" + ports[3], "--memory=64MiB", "--shards=1", "--replicas=1", "--expect-nodes=2",
		"--etcd-endpoints=" + p.etcd.ClientURL, "--dataplane-binary=" + dataplane, "--hugepages=never", "--log-level=warn",
	}, flags...)
	cmd := exec.Command(filepath.Join(bin, "gannet"), args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("calm: start a node: %w", err)
	}
	p.nodes = append(p.nodes, cmd)
	return nil
}

func (p *pair) awaitReady(ctx context.Context, other string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for _, admin := range []string{p.admin, other} {
		for {
			if _, err := fetch(ctx, admin+"/readyz"); err == nil {
				break
			} else if ctx.Err() != nil {
				return fmt.Errorf("calm: a node is not ready: %w", err)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	return nil
}

// connect opens the client, finds keys of either node, and subscribes.
func (p *pair) connect(ctx context.Context, ports []string) (err error) {
	operator := api.NewClient("127.0.0.1:"+ports[1], nil, mtls.ClientOptions{})
	r, err := operator.Ring(ctx, nil)
	if err != nil {
		return err
	}
	for i := 0; len(p.mine) < keysEach || len(p.others) < keysEach; i++ {
		key := "calm:" + strconv.Itoa(i)
		list := &p.others
		if r.Owner(wire.KeyHash([]byte(key))).Name == "measured" {
			list = &p.mine
		}
		if len(*list) < keysEach {
			*list = append(*list, key)
		}
	}
	if p.client, err = client.Open([]string{"127.0.0.1:" + ports[0], "127.0.0.1:" + ports[4]}); err != nil {
		return err
	}
	for _, key := range p.mine {
		if _, err := p.client.Put(ctx, key, make([]byte, 100)); err != nil {
			return err
		}
	}
	go func() {
		_ = operator.Watch(ctx, func(line []byte) error {
			if strings.Contains(string(line), `"invalidate"`) {
				p.events.Add(1)
			}
			return nil
		})
	}()
	return nil
}

func (p *pair) close() {
	p.stop()
	if p.client != nil {
		_ = p.client.Close()
	}
	for _, cmd := range p.nodes {
		_ = cmd.Process.Signal(syscall.SIGTERM)
	}
	for _, cmd := range p.nodes {
		kill := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		kill.Stop()
	}
	if p.etcd != nil {
		p.etcd.Close()
	}
	for _, name := range []string{"measured", "other"} {
		_ = syscall.Unmount(filepath.Join(p.dir, name), syscall.MNT_DETACH)
	}
	_ = os.RemoveAll(p.dir)
}

// lateTurns reads the counter of the node measured.
func (p *pair) lateTurns(ctx context.Context) (float64, error) {
	page, err := fetch(ctx, p.admin+"/metrics")
	if err != nil {
		return 0, err
	}
	for lines := bufio.NewScanner(strings.NewReader(page)); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "gannet_loop_late_turns_total{"); ok {
			return strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		}
	}
	return 0, errors.New("calm: the node does not tell its late turns")
}

func fetch(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s", url, response.Status)
	}
	return string(body), err
}

// freePorts finds ports that are free for TCP.
func freePorts(n int) (ports []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("calm: %w", err)
		}
		defer l.Close()
		ports = append(ports, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
	return ports, nil
}
