package bed

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// class is a kind of packet, told by its ports.
type class uint32

const (
	everything class = iota
	gossip
	replication // all of the control port
)

// rule names packets: those of a class, to or from a peer.
type rule struct {
	Peer  uint32 // IPv4 address; 0: any
	Class class
}

// middlebox is a program on both sides of a switch port that drops packets by chance,
// as the map says: rule → chance, of 2³² − 1.
type middlebox struct {
	rules    *ebpf.Map
	to, from *ebpf.Program
}

const maxRules = 4 * maxNodes

func newMiddlebox(p *place) (_ *middlebox, err error) {
	m := &middlebox{}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.close())
		}
	}()
	m.rules, err = ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 8, ValueSize: 4, MaxEntries: maxRules})
	if err != nil {
		return nil, fmt.Errorf("bed: rules: %w", err)
	}
	const sourceOffset, destinationOffset = 26, 30 // behind an Ethernet header
	if m.to, err = m.program(sourceOffset); err != nil {
		return nil, err
	}
	if m.from, err = m.program(destinationOffset); err != nil {
		return nil, err
	}
	return m, outside.wire.Do(func() error { return m.attach(p.port) })
}

// program drops what a rule names; the peer's address is at peerOffset.
func (m *middlebox) program(peerOffset int32) (*ebpf.Program, error) {
	const (
		typeOffset, protocolOffset, portsOffset = 12, 23, 34
		ok, shot                                = 0, 2 // TC_ACT_
	)
	code := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.Mov.Imm(asm.R7, int32(everything)), // class
		asm.Mov.Imm(asm.R8, 0),                 // peer
		asm.LoadAbs(typeOffset, asm.Half),
		asm.JNE.Imm(asm.R0, unix.ETH_P_IP, "judge"),
		asm.LoadAbs(peerOffset, asm.Word),
		asm.Mov.Reg(asm.R8, asm.R0),
		asm.LoadAbs(protocolOffset, asm.Byte),
		asm.JEq.Imm(asm.R0, unix.IPPROTO_TCP, "ports"),
		asm.JNE.Imm(asm.R0, unix.IPPROTO_UDP, "judge"),
		asm.LoadAbs(portsOffset, asm.Half).WithSymbol("ports"),
		asm.JEq.Imm(asm.R0, GossipPort, "gossip"),
		asm.JEq.Imm(asm.R0, ControlPort, "control"),
		asm.LoadAbs(portsOffset+2, asm.Half),
		asm.JEq.Imm(asm.R0, GossipPort, "gossip"),
		asm.JEq.Imm(asm.R0, ControlPort, "control"),
		asm.Ja.Label("judge"),
		asm.Mov.Imm(asm.R7, int32(gossip)).WithSymbol("gossip"),
		asm.Ja.Label("judge"),
		asm.Mov.Imm(asm.R7, int32(replication)).WithSymbol("control"),
		asm.Mov.Imm(asm.R9, 0).WithSymbol("judge"),
	}
	for i, r := range []struct{ peer, class asm.Register }{{asm.R9, asm.R9}, {asm.R8, asm.R9}, {asm.R9, asm.R7}, {asm.R8, asm.R7}} {
		next := fmt.Sprint("next", i)
		code = append(code,
			asm.StoreMem(asm.RFP, -8, r.peer, asm.Word),
			asm.StoreMem(asm.RFP, -4, r.class, asm.Word),
			asm.LoadMapPtr(asm.R1, m.rules.FD()),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, -8),
			asm.FnMapLookupElem.Call(),
			asm.JEq.Imm(asm.R0, 0, next),
			asm.LoadMem(asm.R6, asm.R0, 0, asm.Word),
			asm.FnGetPrandomU32.Call(),
			asm.LSh.Imm(asm.R0, 32), asm.RSh.Imm(asm.R0, 32),
			asm.JLE.Reg(asm.R0, asm.R6, "drop"),
			asm.Mov.Imm(asm.R0, 0).WithSymbol(next),
		)
	}
	code = append(code,
		asm.Mov.Imm(asm.R0, ok), asm.Return(),
		asm.Mov.Imm(asm.R0, shot).WithSymbol("drop"), asm.Return(),
	)
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, Instructions: code, License: "GPL"})
	if err != nil {
		return nil, fmt.Errorf("bed: middlebox: %w", err)
	}
	return p, nil
}

// attach puts the programs on a port, on a thread in the switch's namespace.
func (m *middlebox) attach(port string) error {
	link, err := netlink.LinkByName(port)
	if err != nil {
		return fmt.Errorf("bed: port %s: %w", port, err)
	}
	index := link.Attrs().Index
	qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}}
	if err := netlink.QdiscAdd(qdisc); err != nil {
		return fmt.Errorf("bed: port %s: clsact: %w", port, err)
	}
	for parent, program := range map[uint32]*ebpf.Program{netlink.HANDLE_MIN_INGRESS: m.from, netlink.HANDLE_MIN_EGRESS: m.to} {
		err := netlink.FilterAdd(&netlink.BpfFilter{
			FilterAttrs: netlink.FilterAttrs{LinkIndex: index, Parent: parent, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: 1},
			Fd:          program.FD(), Name: "bed", DirectAction: true,
		})
		if err != nil {
			return fmt.Errorf("bed: port %s: filter: %w", port, err)
		}
	}
	return nil
}

func (m *middlebox) close() error {
	if m == nil {
		return nil
	}
	var errs []error
	if m.rules != nil {
		errs = append(errs, m.rules.Close())
	}
	for _, p := range []*ebpf.Program{m.to, m.from} {
		if p != nil {
			errs = append(errs, p.Close())
		}
	}
	return errors.Join(errs...)
}

// set gives a rule a chance in percent; 0 removes it.
func (m *middlebox) set(r rule, percent float64) error {
	if percent <= 0 {
		if err := m.rules.Delete(r); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("bed: rule: %w", err)
		}
		return nil
	}
	chance := uint32(min(percent/100, 1) * math.MaxUint32)
	if err := m.rules.Put(r, chance); err != nil {
		return fmt.Errorf("bed: rule: %w", err)
	}
	return nil
}

// clear removes all rules.
func (m *middlebox) clear() error {
	var rules []rule
	var r rule
	var chance uint32
	for all := m.rules.Iterate(); all.Next(&r, &chance); {
		rules = append(rules, r)
	}
	var errs []error
	for _, r := range rules {
		errs = append(errs, m.set(r, 0))
	}
	return errors.Join(errs...)
}

func peerOf(n *Node) uint32 {
	a := netip.MustParseAddr(n.Addr).As4()
	return binary.BigEndian.Uint32(a[:])
}

// drop has the node's port drop packets of a class, from and to these peers or all.
func (n *Node) drop(c class, percent float64, peers ...*Node) error {
	if n.box == nil {
		var err error
		if n.box, err = newMiddlebox(n.place); err != nil {
			return err
		}
	}
	if len(peers) == 0 {
		return n.box.set(rule{Class: c}, percent)
	}
	var errs []error
	for _, p := range peers {
		errs = append(errs, n.box.set(rule{Peer: peerOf(p), Class: c}, percent))
	}
	return errors.Join(errs...)
}

// Cut takes the node off the network, or cuts it off from these peers: nothing
// passes, nobody is told.
func (n *Node) Cut(peers ...*Node) error {
	if len(peers) > 0 {
		return n.drop(everything, 100, peers...)
	}
	return outside.wire.Do(func() error { return setMaster(n.place.port, false) })
}

// CutGossip drops gossip, over UDP and TCP, from and to these peers, or all.
func (n *Node) CutGossip(peers ...*Node) error { return n.drop(gossip, 100, peers...) }

// CutControl drops what goes from or to a control port: replication, invalidations.
func (n *Node) CutControl(peers ...*Node) error { return n.drop(replication, 100, peers...) }

// Loss drops packets by chance, each way.
func (n *Node) Loss(percent float64) error { return n.drop(everything, percent) }

// LossGossip drops gossip by chance, each way.
func (n *Node) LossGossip(percent float64) error { return n.drop(gossip, percent) }

// LossControl drops what goes from or to control ports by chance, each way.
func (n *Node) LossControl(percent float64) error { return n.drop(replication, percent) }

// Heal ends all that the node's port does.
func (n *Node) Heal() error {
	var err error
	if n.box != nil {
		err = n.box.clear()
	}
	return errors.Join(err, outside.wire.Do(func() error { return setMaster(n.place.port, true) }))
}
