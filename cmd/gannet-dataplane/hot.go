package main

import (
	"os"
	"path/filepath"

	"gannet/bpf"
	"gannet/config"
	"gannet/dataplane"
	"gannet/shard"
)

// hotTable is a shard's part of the XDP program's published items, as its loop
// wants to see it.
type hotTable struct{ *bpf.HotTable }

// Publish lets the program answer GETs of an item.
func (t hotTable) Publish(item *shard.Published) (slot int, ok bool) {
	return t.HotTable.Publish((*bpf.HotItem)(item))
}

// The loop's table has at least as many slots.
const _ = uint(dataplane.HotSlots - bpf.HotSlots)

// hotConfig lets the program know the node's cookies; nil when it shall answer
// nothing itself.
func (n *node) hotConfig() *bpf.HotConfig {
	if n.cfg.HotKeys == config.HotKeysOff || n.cfg.HotKeys == config.HotKeysAuto && !isDevice(n.cfg.Interface) {
		return nil
	}
	return &bpf.HotConfig{CookieSecret: n.secret, CookiePeriod: cookiePeriod}
}

// isDevice tells whether an interface is a device, not one made by the kernel alone:
// what veth sends from XDP arrives only if there is an XDP program at its peer, too.
func isDevice(name string) bool {
	_, err := os.Stat(filepath.Join("/sys/class/net", name, "device"))
	return err == nil
}

// hotTable returns where a shard publishes its hottest items; nil below the XDP
// rungs. The node's listeners are all in trusted mode.
func (n *node) hotTable(shard int) dataplane.HotTable {
	steer := n.datapath.steer
	if steer == nil {
		return nil
	}
	table := steer.Hot(shard)
	if table == nil {
		return nil
	}
	steer.SetTrusted(true)
	return hotTable{table}
}
