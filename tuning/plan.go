package tuning

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"
)

// State says what a plan makes of a setting.
type State string

// The states.
const (
	StateGood        State = "good"        // it is as wanted
	StateChange      State = "change"      // it will be set
	StateAdvice      State = "advice"      // it should be other, and only a person can see to that
	StateLeft        State = "left"        // it does not apply; Reason says why
	StateUnsupported State = "unsupported" // host or driver do not offer it; Reason says why
)

// Change is the plan for one setting.
type Change struct {
	Knob    *Knob
	Setting Setting
	Now     string
	Wanted  string
	State   State
	Reason  string
}

// Plan is what a host needs for its role.
type Plan struct {
	Facts   *Facts
	Options *Options
	Layout  Layout
	Changes []Change // in the order in which they are to be made
}

// NewPlan compares the snapshot with what the knobs want.
func NewPlan(f *Facts, o *Options) (*Plan, error) {
	layoutOptions := LayoutOptions{NICNode: -1, Shards: o.Shards, Cores: o.Cores, ShardCPUs: o.ShardCPUs}
	if f.NIC != nil {
		layoutOptions.NICNode, layoutOptions.Queues = f.NIC.Node, f.NIC.queueLimit()
	}
	layout, err := NewLayout(&f.Topology, layoutOptions)
	if err != nil {
		return nil, err
	}
	p := &Plan{Facts: f, Options: o, Layout: layout}
	in := &Inputs{f, o, &p.Layout}
	for _, k := range Knobs() {
		if !k.has(o.Role) || !o.wants(k) {
			continue
		}
		for _, item := range k.Scan(f, o) {
			p.Changes = append(p.Changes, in.judge(k, item))
		}
	}
	p.order()
	return p, nil
}

// judge makes a change of an item.
func (in *Inputs) judge(k *Knob, item Item) Change {
	reading := in.Facts.Values[item.Setting]
	c := Change{Knob: k, Setting: item.Setting, Now: reading.Value}
	if reading.Err != nil {
		c.State, c.Reason = StateUnsupported, whyUnreadable(reading.Err)
		return c
	}
	if !in.Facts.Home && !item.Setting.ofNamespace() && !k.Advice {
		c.State, c.Reason = StateLeft, "it is the whole machine's, and this network namespace is not the machine's first"
		return c
	}
	if reading.Locked && !k.Advice {
		c.State, c.Reason = StateLeft, in.whyLocked()
		return c
	}
	want := k.Want(in, item)
	c.Wanted, c.Reason = want.Value, want.Leave
	switch {
	case want.Leave != "":
		c.State = StateLeft
	case want.Value == reading.Value:
		c.State = StateGood
	case k.Advice:
		c.State = StateAdvice
	default:
		c.State = StateChange
	}
	return c
}

func (in *Inputs) whyLocked() string {
	if !in.Facts.Home {
		return "the kernel lets it be set in the machine's first network namespace only"
	}
	return "the kernel does not let it be set"
}

// whyUnreadable turns an error into a reason that helps.
func whyUnreadable(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "this kernel or machine does not have it"
	case errors.Is(err, fs.ErrPermission):
		return "only root can read it"
	case errors.Is(err, ErrUnsupported):
		return ErrUnsupported.Error()
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP):
		return ErrUnsupported.Error() + " in the interface's present state"
	}
	return err.Error()
}

// order puts what restarts queues before what hangs on them. When queues become fewer, the table that spreads flows
// goes first: the kernel refuses to take a queue away that it names. Revert, backwards, is then right as well.
func (p *Plan) order() {
	rank := func(c Change) int {
		switch {
		case c.Knob.Name == "nic.rss" && p.fewerQueues():
			return 0
		case c.Knob.Reset:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(p.Changes, func(a, b Change) int { return rank(a) - rank(b) })
}

func (p *Plan) fewerQueues() bool {
	nic := p.Facts.NIC
	if nic == nil {
		return false
	}
	return min(len(p.Layout.Shards), nic.queueLimit()) < int(max(nic.Channels.Combined, nic.Channels.RX))
}

// early tells whether a change is to be made before the host is looked at again.
func (p *Plan) early(c Change) bool {
	return c.Knob.Reset || c.Knob.Name == "nic.rss" && p.fewerQueues()
}

// Pending lists what differs and can be set.
func (p *Plan) Pending() []Change {
	var list []Change
	for _, c := range p.Changes {
		if c.State == StateChange {
			list = append(list, c)
		}
	}
	return list
}

// without takes settings off that a former Apply found the driver to refuse.
func (p *Plan) without(refused map[Setting]string) {
	for i, c := range p.Changes {
		if reason, ok := refused[c.Setting]; ok && c.State == StateChange {
			p.Changes[i].State, p.Changes[i].Reason = StateUnsupported, reason
		}
	}
}

// MakePlan probes and plans.
func MakePlan(h *Host, o *Options) (*Plan, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	f, err := Probe(h, o)
	if err != nil {
		return nil, fmt.Errorf("look at this host: %w", err)
	}
	return NewPlan(f, o)
}
