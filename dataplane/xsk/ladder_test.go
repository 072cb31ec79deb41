package xsk

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"gannet/bpf"
	"gannet/dataplane/port"
)

// fakeProgram refuses what it is told to.
type fakeProgram struct {
	refuseMode  map[bpf.Mode]error
	refuseQueue map[int]error
	attached    []bpf.Mode
	closed      int
}

func (f *fakeProgram) Attach(_ int, mode bpf.Mode) error {
	f.attached = append(f.attached, mode)
	return f.refuseMode[mode]
}

func (f *fakeProgram) RegisterSocket(queue, _ int) error { return f.refuseQueue[queue] }

func (f *fakeProgram) Close() error { f.closed++; return nil }

func TestLadderTakesTheBest(t *testing.T) {
	net := newTopology(t, 2, 1500)
	o := ladderOptions(0)
	o.Rungs = nil
	l := net.open(t, o)
	if l.Rung != port.RungXDPCopy || len(l.Ports) != 2 || len(l.Steps) != 2 {
		t.Fatalf("took %s with %d ports: %v", l.Rung, len(l.Ports), l.Steps)
	}
	if !errors.Is(l.Steps[0].Err, ErrUnsupported) || l.Steps[0].Rung != port.RungXDPZeroCopy {
		t.Errorf("zero-copy on veth: %v", l.Steps[0])
	}
	for q, p := range l.Ports {
		if c := p.Caps(); c.Rung != port.RungXDPCopy || int(c.Queue) != q {
			t.Errorf("port %d: %+v", q, c)
		}
	}
	o.Interface = "lo"
	l = net.open(t, o)
	if l.Rung != port.RungXDPGeneric || len(l.Steps) != 3 || !errors.Is(l.Steps[1].Err, unix.EOPNOTSUPP) {
		t.Errorf("on lo: %v", l.Steps)
	}
}

// TestLadderSparesTheHopeless: a driver that says it has no zero-copy is not asked
// for it: that would register all slabs first.
func TestLadderSparesTheHopeless(t *testing.T) {
	net := newTopology(t, 1, 1500)
	o := ladderOptions(0)
	o.Rungs = nil
	loads := 0
	o.Load = func(c bpf.SteerConfig) (Program, error) {
		loads++
		return loadSteer(c)
	}
	if l := net.open(t, o); l.Rung != port.RungXDPCopy || loads != 1 {
		t.Fatalf("took %s after %d programs; zero-copy on veth should not have been tried", l.Rung, loads)
	}
}

// TestLadderIsAllOrNothing: when the last thing fails, all before it is undone.
func TestLadderIsAllOrNothing(t *testing.T) {
	net := newTopology(t, 2, 1500)
	refusal := errors.New("queue 1 refused")
	f := &fakeProgram{refuseQueue: map[int]error{1: refusal}}
	o := ladderOptions(port.RungXDPCopy)
	o.Rungs = []port.Rung{port.RungXDPCopy, port.RungXDPGeneric}
	o.Load = func(bpf.SteerConfig) (Program, error) { return f, nil }
	_, err := tryIn(t, net.server, func() (*Ladder, error) { return OpenLadder(o) })
	var all *LadderError
	if !errors.As(err, &all) || len(all.Steps) != 2 || !errors.Is(err, refusal) {
		t.Fatalf("got %v", err)
	}
	if f.closed != 2 || len(f.attached) != 2 || f.attached[1] != bpf.Generic {
		t.Errorf("program closed %d times, attached %v", f.closed, f.attached)
	}
	for _, s := range all.Steps {
		if !strings.Contains(err.Error(), s.Rung.String()) {
			t.Errorf("the error does not name %s: %v", s.Rung, err)
		}
	}
	// Both queues are free again.
	net.open(t, ladderOptions(port.RungXDPCopy))
}

func TestLadderRefusesOtherRungs(t *testing.T) {
	net := newTopology(t, 1, 1500)
	_, err := tryIn(t, net.server, func() (*Ladder, error) { return OpenLadder(ladderOptions(port.RungUDP)) })
	if err == nil || !strings.Contains(err.Error(), "udp") {
		t.Errorf("got %v", err)
	}
}

func TestLadderGoesWithoutSlabs(t *testing.T) {
	l, note, calls := (*Ladder)(nil), "", 0
	o := ladderOptions(port.RungXDPCopy)
	net := newTopology(t, 1, 1500)
	o.Customize = func(_ int, p *PortOptions) {
		calls++
		p.Bind, p.Slabs = BindZeroCopy, slabFile(t, "/dev/shm") // refused on veth
		if calls > 1 {
			p.Bind = BindCopy // as a driver that takes zero-copy without XDP_USE_SG
		}
	}
	link := interfaceIn(t, net, serverLink)
	in(t, net.server, func() (struct{}, error) {
		var err error
		o.Queues = 1
		l, note, err = o.tryRung(link, port.RungXDPCopy)
		return struct{}{}, err
	})
	closing(t, l)
	if !strings.Contains(note, "tails are copied") || l.Ports[0].Caps().MaxSegments != 1 {
		t.Errorf("note %q, capabilities %+v", note, l.Ports[0].Caps())
	}
}

func TestProbe(t *testing.T) {
	net := newTopology(t, 2, 1500)
	probe := func(name string) Report {
		return in(t, net.server, func() (Report, error) { return Probe(name) })
	}
	r := probe(serverLink)
	if r.Driver != "veth" || r.Queues != 2 || r.MTU != 1500 || !r.Up || r.ProgramID != 0 {
		t.Errorf("%+v", r)
	}
	if f := r.Features; f.Known && (!f.Native || !f.Redirect || f.ZeroCopy) {
		t.Errorf("features of veth: %+v", f)
	}
	if r.Rungs[1].Err != nil || r.Rungs[2].Err != nil || r.Features.Known && !errors.Is(r.Rungs[0].Err, ErrUnsupported) {
		t.Errorf("rungs of veth: %+v", r.Rungs)
	}
	if r = probe("lo"); r.Rungs[2].Err != nil || r.Features.Known && !errors.Is(r.Rungs[1].Err, ErrUnsupported) {
		t.Errorf("rungs of lo: %+v", r.Rungs)
	}
	net.open(t, ladderOptions(port.RungXDPCopy))
	if r = probe(serverLink); r.ProgramID == 0 || !errors.Is(r.Rungs[1].Err, ErrBusy) {
		t.Errorf("with a program attached: %+v", r)
	}
	if _, err := tryIn(t, net.server, func() (Report, error) { return Probe("gnt-xsk-none") }); err == nil {
		t.Error("an interface that does not exist was probed")
	}
}

func TestJudge(t *testing.T) {
	card := Report{Interface: "eth9", Driver: "ice", MTU: 1500, Up: true, Features: Features{
		Known: true, Native: true, Redirect: true, ZeroCopy: true, ZeroCopyMaxSegments: 8,
	}}
	jumbo, down, old := card, card, card
	jumbo.MTU, down.Up, old.Features = 9000, false, Features{}
	for name, c := range map[string]struct {
		r    Report
		rung port.Rung
		ok   bool
	}{
		"a good card":                  {card, port.RungXDPZeroCopy, true},
		"jumbo without multi-buffer":   {jumbo, port.RungXDPCopy, false},
		"jumbo on generic":             {jumbo, port.RungXDPGeneric, true},
		"down":                         {down, port.RungXDPGeneric, false},
		"a kernel that does not say":   {old, port.RungXDPZeroCopy, true},
		"a driver that knows none":     {Report{Up: true, Features: Features{Known: true}}, port.RungXDPCopy, false},
		"generic needs no driver":      {Report{Up: true, Features: Features{Known: true}}, port.RungXDPGeneric, true},
		"native, but not in zero-copy": {Report{Up: true, Features: Features{Known: true, Native: true, Redirect: true}}, port.RungXDPZeroCopy, false},
	} {
		if err := c.r.judge(c.rung, nil); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseFeatures(t *testing.T) {
	attribute := func(kind uint16, value []byte) []byte {
		b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
		return append(binary.NativeEndian.AppendUint16(b, kind), value...)
	}
	message := append(
		attribute(netdevAttrFeatures, binary.NativeEndian.AppendUint64(nil, featureBasic|featureRedirect|featureZeroCopy)),
		attribute(netdevAttrZCSegments, binary.NativeEndian.AppendUint32(nil, 8))...)
	f, err := parseFeatures(message)
	want := Features{Known: true, Native: true, Redirect: true, ZeroCopy: true, ZeroCopyMaxSegments: 8}
	if err != nil || f != want {
		t.Errorf("%+v, %v", f, err)
	}
	if f, _ := parseFeatures(nil); f.ZeroCopyMaxSegments != 1 {
		t.Errorf("without the attribute: %+v", f)
	}
}
