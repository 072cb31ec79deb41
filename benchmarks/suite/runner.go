package suite

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"gannet/benchmarks/cost"
	"gannet/benchmarks/load"
	"gannet/benchmarks/rival"
	"gannet/test/lab"
)

// VerbInside is how this program is started as the generator; its argument is a
// load.Job as JSON.
const VerbInside = "inside"

// runner measures and fills the document.
type runner struct {
	Config
	doc   *Document
	links map[int]*link // by MTU
}

// link is a pair of namespaces with what polls its server's end.
type link struct {
	lab  *lab.Lab
	poll []int
}

// Run measures what the configuration says. The document is also returned with an
// error: it has what was measured before.
func Run(ctx context.Context, c Config) (*Document, error) {
	doc := &Document{Servers: map[string]Server{}, Started: time.Now().UTC()}
	if err := c.setDefaults(); err != nil {
		return doc, err
	}
	t := c.saturated()
	doc.Config = RunConfig{
		Rounds: c.Rounds, WarmUp: t.warmUp.Seconds(), Measure: t.measure.Seconds(), Quick: c.Quick, Full: c.Full, Only: c.Only,
	}
	doc.Host = describeHost(ctx, c.Root)
	r := &runner{Config: c, doc: doc, links: map[int]*link{}}
	err := r.all(ctx)
	doc.Took = time.Since(doc.Started).Seconds()
	return doc, errors.Join(err, r.close())
}

// close removes the namespaces.
func (r *runner) close() error {
	var err error
	for _, l := range r.links {
		err = errors.Join(err, l.lab.Close())
	}
	return err
}

// on returns the link of an MTU, made on first use.
func (r *runner) on(mtu int) (*link, error) {
	if l, ok := r.links[mtu]; ok {
		return l, nil
	}
	network, err := lab.New(lab.Config{MTU: mtu})
	if err != nil {
		return nil, err
	}
	napi, err := network.PinNAPI(ServerCPU, GeneratorCPU)
	if err != nil {
		return nil, errors.Join(err, network.Close())
	}
	r.links[mtu] = &link{lab: network, poll: napi.Server}
	return r.links[mtu], nil
}

// served starts a subject's server, does something with it, and ends it.
func (r *runner) served(ctx context.Context, s *Subject, do func(*link, *rival.Running) error) (err error) {
	l, err := r.on(s.MTU)
	if err != nil {
		return err
	}
	host := rival.Host{Lab: l.lab, CPU: ServerCPU, Bin: r.Bin, Native: r.Native, Self: r.Self}
	server, err := host.Start(ctx, s.Kind, s.Flags...)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w\nits log:\n%s", s.ID, err, tail(server.Log(), 2000))
		}
		err = errors.Join(err, server.Stop())
	}()
	r.doc.Servers[string(s.Kind)] = Server{Version: server.Version, Config: server.Config}
	return do(l, server)
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// meter measures a server on its link.
func meter(l *link, server *rival.Running) cost.Meter {
	return cost.Meter{PID: server.PID, CPU: ServerCPU, Poll: l.poll}
}

// inside has this program do the job in the client's namespace, on the generator's
// core with all its threads.
func (r *runner) inside(ctx context.Context, l *link, m cost.Meter, j load.Job) (*load.Report, error) {
	j.Meter = m
	spec, err := json.Marshal(j)
	if err != nil {
		return nil, fmt.Errorf("suite: %w", err)
	}
	cmd := exec.CommandContext(ctx, r.Self, VerbInside, string(spec))
	// The thread that offers the load never gives up its processor: the runtime's
	// other work needs ones of its own, though all share a core.
	cmd.Env = append(os.Environ(), "GOMAXPROCS=4")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := l.lab.Client.StartOn(cmd, GeneratorCPU); err != nil {
		return nil, fmt.Errorf("suite: start the generator: %w", err)
	}
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("suite: generator: %w: %s", err, said.String())
	}
	report := &load.Report{}
	if err := json.Unmarshal(out.Bytes(), report); err != nil {
		return nil, fmt.Errorf("suite: what the generator printed: %w", err)
	}
	return report, nil
}

func (r *runner) logf(format string, args ...any) { fmt.Fprintf(r.Log, format+"\n", args...) }
