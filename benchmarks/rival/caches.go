package rival

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gannet/test/lab"
)

// memoryBytes is each cache's: several times what the measured keys need.
const memoryBytes = 512 << 20

// startGannet starts a node as a user would. Flags may override what is set here.
func (h Host) startGannet(ctx context.Context, flags []string) (*Running, error) {
	node, err := h.Lab.StartNode(ctx, lab.NodeConfig{
		Bin: h.Bin, Datapath: "xdp", Shards: 1, Memory: memoryBytes, CPUs: strconv.Itoa(h.CPU), Flags: flags,
	})
	if err != nil {
		return nil, err
	}
	pid, err := node.DataplanePID()
	if err != nil {
		return nil, errors.Join(err, node.Stop())
	}
	return &Running{
		PID: pid, Version: line(filepath.Join(h.Bin, "gannet"), "version"), Config: h.gannetConfig(flags), Stop: node.Stop, Log: node.Log,
	}, nil
}

// gannetConfig is what the node was told; the rest has the defaults that `gannet dev
// --help` prints.
func (h Host) gannetConfig(flags []string) string {
	args := []string{
		"dev", "--datapath=xdp", "--shards=1", fmt.Sprintf("--cpus=%d", h.CPU), fmt.Sprintf("--memory=%d", memoryBytes),
		"--listen=" + lab.ServerAddr, "--interface=" + lab.ServerDevice,
	}
	return commandLine("gannet", append(args, flags...))
}

func (h Host) startMemcached(ctx context.Context) (*Running, error) {
	args := []string{
		"-u", "root", "-l", lab.ServerAddr, "-p", strconv.Itoa(memcachedPort), "-U", strconv.Itoa(memcachedPort),
		"-t", "1", "-m", strconv.Itoa(memoryBytes >> 20), "-c", "1024",
	}
	p, err := h.start("", "memcached", args...)
	if err != nil {
		return nil, fmt.Errorf("%w: scripts/rivals.sh installs it", err)
	}
	conn, err := p.awaitPort(ctx, h.Lab, memcachedPort)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	settings, err := converse(conn, "stats settings\r\n", func(l string) bool { return l == "END" })
	if err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return p.running(line("memcached", "--version"), commandLine("memcached", args)+"\n"+settings), nil
}

func (h Host) startRedis(ctx context.Context) (*Running, error) {
	args := []string{
		"--bind", lab.ServerAddr, "--port", strconv.Itoa(redisPort), "--protected-mode", "no", "--daemonize", "no",
		"--save", "", "--appendonly", "no", "--io-threads", "1", "--maxmemory", strconv.Itoa(memoryBytes), "--maxmemory-policy", "allkeys-lru",
	}
	p, err := h.start("", "redis-server", args...)
	if err != nil {
		return nil, fmt.Errorf("%w: scripts/rivals.sh installs it", err)
	}
	conn, err := p.awaitPort(ctx, h.Lab, redisPort)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	// PING after it marks the end, whatever the number of settings.
	settings, err := converse(conn, "CONFIG GET *\r\nPING\r\n", func(l string) bool { return l == "+PONG" })
	if err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return p.running(line("redis-server", "--version"), commandLine("redis-server", args)+"\n"+pairs(settings)), nil
}

// converse sends a text and reads lines until the last.
func converse(conn net.Conn, text string, last func(string) bool) (string, error) {
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := conn.Write([]byte(text)); err != nil {
		return "", err
	}
	var all strings.Builder
	r := bufio.NewReader(conn)
	for {
		l, err := r.ReadString('\n')
		if err != nil {
			return "", fmt.Errorf("its settings: %w", err)
		}
		l = strings.TrimRight(l, "\r\n")
		if last(l) {
			return all.String(), nil
		}
		all.WriteString(l + "\n")
	}
}

// pairs makes "name value" lines of a RESP array of bulk strings.
func pairs(resp string) string {
	var words []string
	rows := strings.Split(resp, "\n")
	for i := 0; i+1 < len(rows); i++ {
		if strings.HasPrefix(rows[i], "$") {
			words = append(words, rows[i+1])
			i++
		}
	}
	var all strings.Builder
	for i := 0; i+1 < len(words); i += 2 {
		fmt.Fprintf(&all, "%s %s\n", words[i], words[i+1])
	}
	return all.String()
}
