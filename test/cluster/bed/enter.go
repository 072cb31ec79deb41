package bed

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"gannet/test/lab/space"
)

const (
	namePrefix = "gnt-cl-"
	// envPrefix tells the program that it runs inside, and its namespaces' prefix.
	envPrefix = "BED_PREFIX"
	shmDir    = "/dev/shm"
)

// outside is what the process outside has made.
var outside struct {
	prefix string // of all names
	wire   *place // the switch
}

// ErrNotEntered says that a program did not begin with Enter.
var ErrNotEntered = errors.New("bed: the program does not run in the client's namespace: call bed.Enter first in main")

// Enter is the first line of main. It returns inside the client's namespace only.
func Enter() {
	if spec := os.Getenv(envEtcd); spec != "" {
		exit(runEtcd(spec))
	}
	if prefix := os.Getenv(envPrefix); prefix != "" {
		if err := settle(prefix); err != nil {
			exit(err)
		}
		return
	}
	err := runInside()
	var ended *exec.ExitError
	if errors.As(err, &ended) && ended.ExitCode() > 0 {
		os.Exit(ended.ExitCode()) // it has said why
	}
	exit(err)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bed:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// settle finds what the process outside has made.
func settle(prefix string) error {
	wire, err := space.Find(prefix + "-switch")
	if err != nil {
		return err
	}
	outside.prefix, outside.wire = prefix, &place{Space: wire}
	return nil
}

func entered() error {
	if outside.wire == nil {
		return ErrNotEntered
	}
	return nil
}

// runInside makes switch and client, runs this program in the client's namespace, and
// removes all that is left when it has ended.
func runInside() (err error) {
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root: run this as root")
	}
	if err := removeStale(); err != nil {
		return err
	}
	prefix := namePrefix + strconv.Itoa(os.Getpid())
	defer func() { err = errors.Join(err, removeAll(prefix)) }()
	wire, err := newPlace(prefix + "-switch")
	if err != nil {
		return err
	}
	outside.prefix, outside.wire = prefix, wire
	if err := wire.Do(makeBridge); err != nil {
		return err
	}
	client, err := newPlace(prefix + "-client")
	if err != nil {
		return err
	}
	if err := client.plug("p0", clientAddr); err != nil {
		return err
	}
	return runIn(client, prefix)
}

// runIn runs this program again inside a namespace, and passes signals on to it.
func runIn(p *place, prefix string) error {
	// The death of this thread ends the child, so the thread stays; what namespace
	// this process is in does not matter from here on.
	runtime.LockOSThread()
	if err := netns.Set(netns.NsHandle(p.Handle())); err != nil {
		return fmt.Errorf("enter %s: %w", p.Name(), err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), envPrefix+"="+prefix)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGTERM}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, unix.SIGTERM)
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s) // it may have ended
		}
	}()
	return cmd.Wait()
}

// removeStale removes what programs that are gone have left.
func removeStale() error {
	var errs []error
	for _, pattern := range []string{netnsDir, shmDir} {
		names, err := filepath.Glob(filepath.Join(pattern, namePrefix+"*"))
		if err != nil {
			return err
		}
		for _, name := range names {
			number, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(name), namePrefix), "-")
			pid, err := strconv.Atoi(number)
			if err == nil && unix.Kill(pid, 0) == unix.ESRCH {
				errs = append(errs, removeAll(namePrefix+number))
			}
		}
	}
	return errors.Join(errs...)
}

// removeAll removes namespaces, the processes in them, and directories of a prefix.
func removeAll(prefix string) error {
	var errs []error
	names, err := filepath.Glob(filepath.Join(netnsDir, prefix+"-*"))
	errs = append(errs, err)
	for _, name := range names {
		s, err := space.Find(filepath.Base(name))
		if err != nil {
			errs = append(errs, os.Remove(name)) // a name whose namespace is gone
			continue
		}
		errs = append(errs, (&place{Space: s}).remove())
	}
	dirs, err := filepath.Glob(filepath.Join(shmDir, prefix+"-*"))
	errs = append(errs, err)
	for _, dir := range dirs {
		errs = append(errs, removeDir(dir))
	}
	return errors.Join(errs...)
}

// removeDir removes a bed's directory. A node may have mounted something in it.
func removeDir(dir string) error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], dir+"/") {
			if err := unix.Unmount(fields[1], unix.MNT_DETACH); err != nil {
				return fmt.Errorf("unmount %s: %w", fields[1], err)
			}
		}
	}
	return os.RemoveAll(dir)
}
