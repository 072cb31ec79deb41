package loadgen_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gannet/client/clienttest"
	"gannet/loadgen"
	"gannet/wire"
)

const outageItems = 300

// nodeVariable makes the test binary a node: its port, and which item it has lost.
const nodeVariable = "GANNET_TEST_NODE"

func TestMain(m *testing.M) {
	if spec := os.Getenv(nodeVariable); spec != "" {
		beNode(spec)
		return
	}
	goleak.VerifyTestMain(m)
}

// beNode serves the items of an outage until it is killed.
func beNode(spec string) {
	var port, lost, wrong int
	if _, err := fmt.Sscanf(spec, "%d %d %d", &port, &lost, &wrong); err != nil {
		panic(err)
	}
	node, err := clienttest.Start(clienttest.Config{Port: port})
	if err != nil {
		panic(err)
	}
	for n := range outageItems {
		key := fmt.Sprintf("outage-%09d", n)
		node.Set(key, loadgen.AppendValue(nil, wire.KeyHash([]byte(key)), 100))
	}
	node.Set("outage-probe", loadgen.AppendValue(nil, wire.KeyHash([]byte("outage-probe")), 100))
	for n := range lost {
		node.Forget(fmt.Sprintf("outage-%09d", n))
	}
	for n := range wrong {
		node.Set(fmt.Sprintf("outage-%09d", outageItems-1-n), make([]byte, 100))
	}
	fmt.Println("ready")
	select {}
}

// keeper starts nodes in processes of their own, one after the other.
type keeper struct {
	t         *testing.T
	port      int
	successor string // what the second node has lost and got wrong
	freezing  bool   // kill a node that stands still

	mu      sync.Mutex
	pid     int
	stopped bool
	done    sync.WaitGroup
}

func keep(t *testing.T, successor string, freezing bool) *keeper {
	// The port of a node that was here a moment ago is free.
	probe, err := clienttest.Start(clienttest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	probe.Close()
	k := &keeper{t: t, successor: successor, freezing: freezing}
	if _, err := fmt.Sscanf(probe.Addr(), "127.0.0.1:%d", &k.port); err != nil {
		t.Fatal(err)
	}
	up := make(chan struct{})
	k.done.Go(func() { k.run(up) })
	<-up
	t.Cleanup(k.stop)
	return k
}

func (k *keeper) addr() string { return "127.0.0.1:" + strconv.Itoa(k.port) }

func (k *keeper) run(up chan struct{}) {
	flaws := "0 0"
	for n := 0; ; n++ {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", nodeVariable, k.port, flaws))
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			k.t.Error(err)
			return
		}
		k.mu.Lock()
		k.pid = cmd.Process.Pid
		over := k.stopped
		k.mu.Unlock()
		if over {
			_ = cmd.Process.Kill()
		}
		bufio.NewScanner(out).Scan()
		if n == 0 {
			close(up)
		}
		if k.freezing {
			k.done.Go(func() { k.killWhenStopped(cmd.Process.Pid) })
		}
		_ = cmd.Wait()
		flaws = k.successor
		k.mu.Lock()
		over = k.stopped
		k.mu.Unlock()
		if over {
			return
		}
	}
}

// killWhenStopped is a small watchdog.
func (k *keeper) killWhenStopped(pid int) {
	for {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return
		}
		var id int
		var name, state string
		if _, err := fmt.Sscan(string(stat), &id, &name, &state); err == nil && state == "T" {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func (k *keeper) current() (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.pid, nil
}

func (k *keeper) stop() {
	k.mu.Lock()
	k.stopped = true
	_ = syscall.Kill(k.pid, syscall.SIGKILL)
	k.mu.Unlock()
	k.done.Wait()
}

// TestKill: what the successor has lost and got wrong is found, exactly.
func TestKill(t *testing.T) {
	k := keep(t, "7 3", false)
	r, err := loadgen.Kill(ctx, loadgen.Outage{Server: k.addr(), DataPlanePID: k.current, Items: outageItems, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	if r.ItemsBefore != outageItems || r.ItemsAfter != outageItems-7 || r.Corrupt < 3 || r.FirstHitMillis <= 0 || r.Failed != 0 {
		t.Errorf("%+v", r)
	}
}

func TestFreeze(t *testing.T) {
	k := keep(t, "0 0", true)
	r, err := loadgen.Freeze(ctx, loadgen.Outage{Server: k.addr(), DataPlanePID: k.current, Items: outageItems, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Replaced || r.Corrupt != 0 || r.Failed != 0 || r.FirstAnswerMillis <= 0 || r.FirstHitMillis < r.FirstAnswerMillis {
		t.Errorf("%+v", r)
	}
}

func TestOutageRefusesNonsense(t *testing.T) {
	for _, o := range []loadgen.Outage{{}, {DataPlanePID: func() (int, error) { return 0, nil }, ValueBytes: 3}} {
		if _, err := loadgen.Kill(ctx, o); !errors.Is(err, loadgen.ErrOptions) {
			t.Errorf("%+v: %v, want ErrOptions", o, err)
		}
	}
}
