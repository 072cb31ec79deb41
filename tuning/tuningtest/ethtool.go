package tuningtest

import (
	"slices"

	"golang.org/x/sys/unix"

	"gannet/tuning"
)

// Driver names the driver.
func (n *NIC) Driver(nic string) (tuning.Driver, error) {
	if nic != n.Name {
		return tuning.Driver{}, unix.ENODEV
	}
	return tuning.Driver{Name: n.DriverName}, nil
}

// Channels gives the number of queues.
func (n *NIC) Channels(nic string) (tuning.Channels, error) {
	if err := n.is(nic, n.MaxCombined > 0); err != nil {
		return tuning.Channels{}, err
	}
	return tuning.Channels{Combined: uint32(n.Combined), MaxCombined: uint32(n.MaxCombined)}, nil
}

// SetChannels makes queues anew. As in the kernel, a table that somebody has set keeps the queues that it names.
func (n *NIC) SetChannels(nic string, c tuning.Channels) error {
	if err := n.is(nic, n.MaxCombined > 0); err != nil {
		return err
	}
	count := int(c.Combined)
	if count < 1 || count > n.MaxCombined || c.RX != 0 || c.TX != 0 {
		return unix.EINVAL
	}
	if len(n.rssSet) > 0 && int(slices.Max(n.rssSet)) >= count {
		return unix.EINVAL
	}
	for _, r := range n.rules {
		if r.Queue >= count {
			return unix.EINVAL
		}
	}
	return n.tree.change("channels", func() {
		n.Combined = count
		n.makeQueues(count)
	})
}

// Rings gives the lengths of rings.
func (n *NIC) Rings(nic string) (tuning.Rings, error) { return n.rings, n.is(nic, n.RingMax > 0) }

// SetRings sets them.
func (n *NIC) SetRings(nic string, r tuning.Rings) error {
	if err := n.is(nic, n.RingMax > 0); err != nil {
		return err
	}
	if r.RX > n.rings.MaxRX || r.TX > n.rings.MaxTX {
		return unix.EINVAL
	}
	return n.tree.change("rings", func() { n.rings.RX, n.rings.TX = r.RX, r.TX })
}

// Coalesce gives interrupt moderation.
func (n *NIC) Coalesce(nic string) (tuning.Coalesce, error) {
	return n.coalesce, n.is(nic, n.MicrosNow > 0)
}

// SetCoalesce sets it.
func (n *NIC) SetCoalesce(nic string, c tuning.Coalesce) error {
	if err := n.is(nic, n.MicrosNow > 0); err != nil {
		return err
	}
	return n.tree.change("coalesce", func() { n.coalesce = c })
}

// RSS gives the table: the one that was set, or else the driver's own.
func (n *NIC) RSS(nic string) ([]uint32, error) {
	if err := n.is(nic, n.RSSLength > 0); err != nil {
		return nil, err
	}
	if n.rssSet != nil {
		return slices.Clone(n.rssSet), nil
	}
	table := make([]uint32, n.RSSLength)
	for i := range table {
		table[i] = uint32(i % n.Combined)
	}
	return table, nil
}

// SetRSS sets the table.
func (n *NIC) SetRSS(nic string, table []uint32) error {
	if err := n.is(nic, n.RSSLength > 0); err != nil {
		return err
	}
	if len(table) > 0 && (len(table) != n.RSSLength || int(slices.Max(table)) >= n.Combined) {
		return unix.EINVAL
	}
	return n.tree.change("rss", func() { n.rssSet = slices.Clone(table) })
}

func (n *NIC) feature(name string) *bool {
	switch {
	case name == "rx-ntuple-filter" && n.FlowSlots > 0:
		return &n.ntuple
	case name == "rx-lro" && n.DriverName != "ena":
		return &n.lro
	}
	return nil
}

// Feature reads a switch.
func (n *NIC) Feature(nic, name string) (tuning.Feature, error) {
	f := n.feature(name)
	if err := n.is(nic, f != nil); err != nil {
		return tuning.Feature{}, err
	}
	return tuning.Feature{On: *f}, nil
}

// SetFeature turns a switch. Without the filter there are no rules.
func (n *NIC) SetFeature(nic, name string, on bool) error {
	f := n.feature(name)
	if err := n.is(nic, f != nil); err != nil {
		return err
	}
	return n.tree.change("feature "+name, func() {
		*f = on
		if !n.ntuple {
			n.rules = nil
		}
	})
}

// FlowRules gives the rules.
func (n *NIC) FlowRules(nic string) ([]tuning.FlowRule, int, error) {
	if err := n.is(nic, n.FlowSlots > 0); err != nil {
		return nil, 0, err
	}
	return slices.Clone(n.rules), n.FlowSlots, nil
}

// AddFlowRule adds a rule, in place of what was there.
func (n *NIC) AddFlowRule(nic string, r tuning.FlowRule) error {
	if err := n.is(nic, n.FlowSlots > 0 && n.ntuple); err != nil {
		return err
	}
	if r.Queue >= n.Combined || r.Location >= n.FlowSlots {
		return unix.EINVAL
	}
	return n.tree.change("flow rule", func() {
		n.rules = slices.DeleteFunc(n.rules, func(o tuning.FlowRule) bool { return o.Location == r.Location })
		n.rules = append(n.rules, r)
		n.sortRules()
	})
}

// DeleteFlowRule deletes a rule.
func (n *NIC) DeleteFlowRule(nic string, location int) error {
	if err := n.is(nic, n.FlowSlots > 0); err != nil {
		return err
	}
	at := slices.IndexFunc(n.rules, func(r tuning.FlowRule) bool { return r.Location == location })
	if at < 0 {
		return unix.ENOENT
	}
	return n.tree.change("flow rule", func() {
		n.rules = slices.Delete(n.rules, at, at+1)
		if len(n.rules) == 0 {
			n.rules = nil
		}
	})
}

// SetRules puts rules there, of whoever.
func (n *NIC) SetRules(rules ...tuning.FlowRule) { n.ntuple, n.rules = true, rules; n.sortRules() }

func (n *NIC) sortRules() {
	slices.SortFunc(n.rules, func(a, b tuning.FlowRule) int { return a.Location - b.Location })
}

// SetTable puts a table of queues there that somebody else has set.
func (n *NIC) SetTable(table []uint32) { n.rssSet = table }
