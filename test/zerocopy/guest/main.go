// Command guest is the init process of the emulated machine in which zero copy is
// shown. It brings up the machine, starts a real node on one network card and clients
// on the other, breaks things, and prints what came of it as one line of JSON on the
// serial console.
//
//	namespace of init                       namespace client
//	gannet node, gannet-dataplane           guest load …
//	  eth0 10.9.0.1/24  ───── hub of QEMU ─────  eth1 10.9.0.2/24
//
// The same binary is the client: "guest load".
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gannet/test/zerocopy/report"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "load" {
		if err := load(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "guest load:", err)
			os.Exit(1)
		}
		return
	}
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "guest: this is the init process of an emulated machine; run make test-zerocopy")
		os.Exit(2)
	}
	run := report.Run{}
	if err := scenario(&run); err != nil {
		run.Error = err.Error()
	}
	line, err := json.Marshal(run)
	if err != nil {
		line = []byte(err.Error())
	}
	fmt.Printf("\n%s%s\n", report.Prefix, line)
	time.Sleep(200 * time.Millisecond) // the console is slow
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	select {}
}

// option is the value of gannet.NAME on the kernel's command line.
func option(name string) string {
	line, _ := os.ReadFile("/proc/cmdline")
	for _, word := range strings.Fields(string(line)) {
		if value, ok := strings.CutPrefix(word, "gannet."+name+"="); ok {
			return value
		}
	}
	return ""
}

// scenario runs all steps, and notes what they showed.
func scenario(run *report.Run) error {
	if err := bringUp(); err != nil {
		return err
	}
	run.Driver, run.Kernel = option("driver"), release()
	n, err := startNode()
	if err != nil {
		return err
	}
	steps := []struct {
		name string
		do   func(*node, *report.Run) error
	}{
		{"rung", showRung}, {"load", mainLoad}, {"hot item", hotItem}, {"restart", warmRestart}, {"link flap", linkFlap}, {"quiet", quiet},
	}
	for _, step := range steps {
		began := time.Now()
		if err := step.do(n, run); err != nil {
			run.NodeLog = n.lastLines(40)
			return fmt.Errorf("%s: %w", step.name, err)
		}
		fmt.Printf("guest: %s took %v\n", step.name, time.Since(began).Round(time.Millisecond))
	}
	run.Deaths = n.deaths
	if run.Deaths > 0 {
		run.NodeLog = n.lastLines(40)
	}
	return nil
}
