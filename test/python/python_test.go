package python

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const clientDir = "../../clients/python"

func TestVectorsAndFaults(t *testing.T) {
	unittest(t, nil, "tests.test_vectors", "tests.test_client", "tests.test_ring")
}

func TestNode(t *testing.T) {
	python := findPython(t)
	bin := buildNode(t)
	server := startNode(t, bin, 1)
	unittest(t, []string{"GANNET_SERVER=" + server}, "tests.test_node")

	// 5000 bytes take several datagrams either way.
	for _, value := range []string{"hello", strings.Repeat("large", 1000)} {
		t.Run(strconv.Itoa(len(value)), func(t *testing.T) {
			script := "import gannet, sys\n" +
				"host, port, value = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode()\n" +
				"client = gannet.Client(host, port, timeout_seconds=30)\n" +
				"client.put('from-python', value)\n" +
				"item = client.get('from-go')\n" +
				"sys.exit(item is None or item.value != value)\n"
			host, port, _ := net.SplitHostPort(server)
			run(t, nil, filepath.Join(bin, "gannet"), "put", "from-go", value, "--server", server)
			run(t, nil, python, "-c", script, host, port, value)
			got := run(t, nil, filepath.Join(bin, "gannet"), "get", "from-python", "--server", server)
			if strings.TrimSuffix(got, "\n") != value {
				t.Errorf("gannet get prints %d bytes that are not the %d put", len(got), len(value))
			}
		})
	}
}

func TestCluster(t *testing.T) {
	const nodes = 3
	server := startNode(t, buildNode(t), nodes)
	host, first, _ := net.SplitHostPort(server)
	port, _ := strconv.Atoi(first)
	var servers []string
	for n := range nodes {
		servers = append(servers, net.JoinHostPort(host, strconv.Itoa(port+100*n))) // as gannet dev numbers them
	}
	unittest(t, []string{"GANNET_CLUSTER=" + strings.Join(servers, ",")}, "tests.test_cluster")
}

func findPython(t *testing.T) string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skipf("no python3 (Debian's package python3 has it): %v", err)
	}
	return python
}

// unittest runs modules of the client's tests, none of which may be skipped.
func unittest(t *testing.T, env []string, modules ...string) {
	t.Helper()
	args := append([]string{"-W", "error", "-m", "unittest"}, modules...)
	out := run(t, env, findPython(t), args...)
	if !strings.Contains(out, "\nOK") || strings.Contains(out, "skipped") || strings.Contains(out, "Ran 0 ") {
		t.Fatalf("some tests did not run:\n%s", out)
	}
}

// run runs a command in the client's folder and returns what it prints.
func run(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = clientDir
	cmd.Env = append(os.Environ(), append(env, "PYTHONDONTWRITEBYTECODE=1")...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(name), err, out)
	}
	return string(out)
}

// buildNode builds the two programs of a node and returns their folder.
func buildNode(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", dir, "gannet/cmd/gannet", "gannet/cmd/gannet-dataplane")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the node: %v\n%s", err, out)
	}
	return dir
}

// startNode runs gannet dev with so many nodes, with several shards where there are
// CPUs for them, until the test ends, and returns the first one's address.
func startNode(t *testing.T, bin string, nodes int) string {
	t.Helper()
	shards := min(2, runtime.NumCPU())
	port := freePorts(t, shards)
	node := exec.Command(filepath.Join(bin, "gannet"), "dev", "--datapath=udp", "--memory=64MiB", fmt.Sprintf("--nodes=%d", nodes),
		fmt.Sprintf("--data-port=%d", port), fmt.Sprintf("--shards=%d", shards), "--admin=127.0.0.1:0", "--control-port=0", "--gossip-port=0")
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	node.Stdout, node.Stderr = writer, writer
	err = node.Start()
	_ = writer.Close()
	if err != nil {
		_ = reader.Close()
		t.Fatal(err)
	}
	lines := bufio.NewScanner(reader)
	t.Cleanup(func() { stopNode(t, node, reader) })
	var said bytes.Buffer
	for lines.Scan() {
		fmt.Fprintln(&said, lines.Text())
		if lines.Text() == "Ctrl-C ends it." {
			return fmt.Sprintf("127.0.0.1:%d", port)
		}
	}
	t.Fatalf("the node ended before it was ready:\n%s", &said)
	return ""
}

// stopNode reads the node's last words, without which it could not write them,
// and ends it.
func stopNode(t *testing.T, node *exec.Cmd, reader *os.File) {
	_ = node.Process.Signal(unix.SIGTERM)
	var said bytes.Buffer
	if _, err := said.ReadFrom(reader); err != nil {
		t.Errorf("read the node's output: %v", err)
	}
	_ = reader.Close()
	if err := node.Wait(); err != nil {
		t.Errorf("the node after SIGTERM: %v\n%s", err, &said)
	}
}

// freePorts finds UDP ports in a row on which nobody listens; returns the first.
func freePorts(t *testing.T, count int) int {
	t.Helper()
	for range 100 {
		if first, ok := tryPorts(count); ok {
			return first
		}
	}
	t.Fatalf("found no %d free UDP ports in a row", count)
	return 0
}

func tryPorts(count int) (first int, ok bool) {
	first = 12000 + rand.IntN(18000) // below those that the system gives to others
	for i := range count {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: first + i})
		if err != nil {
			return 0, false
		}
		defer conn.Close()
	}
	return first, true
}
