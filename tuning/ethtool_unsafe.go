package tuning

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Kernel is the running kernel's ethtool interface, by ioctl: it is the one that every kernel has, and the only one for
// flow rules. It acts in the network namespace of the calling thread.
type Kernel struct{}

// The commands of linux/ethtool.h.
const (
	cmdDriver        = 0x03
	cmdGetCoalesce   = 0x0e
	cmdSetCoalesce   = 0x0f
	cmdGetRings      = 0x10
	cmdSetRings      = 0x11
	cmdStrings       = 0x1b
	cmdRuleCount     = 0x2e
	cmdRule          = 0x2f
	cmdRuleList      = 0x30
	cmdRuleDelete    = 0x31
	cmdRuleInsert    = 0x32
	cmdSetInfo       = 0x37
	cmdGetFeatures   = 0x3a
	cmdSetFeatures   = 0x3b
	cmdGetChannels   = 0x3c
	cmdSetChannels   = 0x3d
	cmdGetRSS        = 0x46
	cmdSetRSS        = 0x47
	stringsFeatures  = 4
	stringBytes      = 32
	flowUDP4         = 0x02
	flowUDP6         = 0x06
	locationSpecial  = 1 << 31
	featureBlockBits = 32
)

type coalesce struct {
	cmd, rxUsecs, rxFrames, rxUsecsIRQ, rxFramesIRQ             uint32
	txUsecs, txFrames, txUsecsIRQ, txFramesIRQ, statsBlockUsecs uint32
	adaptiveRX, adaptiveTX                                      uint32
	rest                                                        [11]uint32
}

type rings struct {
	cmd, rxMax, rxMiniMax, rxJumboMax, txMax uint32
	rx, rxMini, rxJumbo, tx                  uint32
}

type channels struct {
	cmd, maxRX, maxTX, maxOther, maxCombined uint32
	rx, tx, other, combined                  uint32
}

type stringSetInfo struct {
	cmd, reserved uint32
	mask          uint64
	count         uint32
	_             uint32
}

// flowSpec is struct ethtool_rx_flow_spec: 52 bytes of a union, the extension, then the same as masks.
type flowSpec struct {
	kind       uint32
	header     [52]byte
	ext        [20]byte
	headerMask [52]byte
	extMask    [20]byte
	_          [4]byte
	queue      uint64
	location   uint32
	_          uint32
}

// flowCommand is struct ethtool_rxnfc, with room for locations behind it.
type flowCommand struct {
	cmd, kind uint32
	data      uint64
	spec      flowSpec
	count     uint32
}

// The layouts that the kernel knows.
var (
	_ [92]byte  = [unsafe.Sizeof(coalesce{})]byte{}
	_ [36]byte  = [unsafe.Sizeof(rings{})]byte{}
	_ [168]byte = [unsafe.Sizeof(flowSpec{})]byte{}
	_ [188]byte = [unsafe.Offsetof(flowCommand{}.count) + 4]byte{}
)

// call is ioctl(SIOCETHTOOL).
func call(nic string, data unsafe.Pointer) error {
	var request struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}
	if nic == "" || len(nic) >= len(request.name) {
		return fmt.Errorf("interface %q: %w", nic, unix.ENODEV)
	}
	copy(request.name[:], nic)
	request.data = data
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket for ethtool: %w", err)
	}
	defer unix.Close(fd)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	runtime.KeepAlive(data)
	switch errno {
	case 0:
		return nil
	case unix.EOPNOTSUPP:
		return fmt.Errorf("%w (%w)", ErrUnsupported, errno)
	}
	return errno
}

// Driver asks who drives an interface.
func (Kernel) Driver(nic string) (Driver, error) {
	info := unix.EthtoolDrvinfo{Cmd: cmdDriver}
	err := call(nic, unsafe.Pointer(&info))
	return Driver{
		unix.ByteSliceToString(info.Driver[:]), unix.ByteSliceToString(info.Version[:]),
		unix.ByteSliceToString(info.Fw_version[:]), unix.ByteSliceToString(info.Bus_info[:]),
	}, err
}

// Channels reads numbers of queues.
func (Kernel) Channels(nic string) (Channels, error) {
	c := channels{cmd: cmdGetChannels}
	err := call(nic, unsafe.Pointer(&c))
	return Channels{c.rx, c.tx, c.combined, c.maxRX, c.maxTX, c.maxCombined}, err
}

// SetChannels sets numbers of queues; what is not a queue of packets stays.
func (Kernel) SetChannels(nic string, want Channels) error {
	c := channels{cmd: cmdGetChannels}
	if err := call(nic, unsafe.Pointer(&c)); err != nil {
		return err
	}
	c.cmd, c.rx, c.tx, c.combined = cmdSetChannels, want.RX, want.TX, want.Combined
	return call(nic, unsafe.Pointer(&c))
}

// Rings reads lengths of rings.
func (Kernel) Rings(nic string) (Rings, error) {
	r := rings{cmd: cmdGetRings}
	err := call(nic, unsafe.Pointer(&r))
	return Rings{r.rx, r.tx, r.rxMax, r.txMax}, err
}

// SetRings sets lengths of rings; those of small and jumbo buffers stay.
func (Kernel) SetRings(nic string, want Rings) error {
	r := rings{cmd: cmdGetRings}
	if err := call(nic, unsafe.Pointer(&r)); err != nil {
		return err
	}
	r.cmd, r.rx, r.tx = cmdSetRings, want.RX, want.TX
	return call(nic, unsafe.Pointer(&r))
}

// Coalesce reads interrupt moderation.
func (Kernel) Coalesce(nic string) (Coalesce, error) {
	c := coalesce{cmd: cmdGetCoalesce}
	err := call(nic, unsafe.Pointer(&c))
	return Coalesce{c.adaptiveRX != 0, c.adaptiveTX != 0, c.rxUsecs, c.rxFrames, c.txUsecs, c.txFrames}, err
}

// SetCoalesce sets interrupt moderation; what Coalesce does not have stays.
func (Kernel) SetCoalesce(nic string, want Coalesce) error {
	c := coalesce{cmd: cmdGetCoalesce}
	if err := call(nic, unsafe.Pointer(&c)); err != nil {
		return err
	}
	c.cmd, c.adaptiveRX, c.adaptiveTX = cmdSetCoalesce, uint32(boolInt(want.AdaptiveRX)), uint32(boolInt(want.AdaptiveTX))
	c.rxUsecs, c.rxFrames, c.txUsecs, c.txFrames = want.RXMicros, want.RXFrames, want.TXMicros, want.TXFrames
	return call(nic, unsafe.Pointer(&c))
}

// words is a structure of 32-bit words with an array at its end.
func words(nic string, w []uint32) error { return call(nic, unsafe.Pointer(unsafe.SliceData(w))) }

// struct ethtool_rxfh: cmd, context, table length, key length; a byte each of hash function and input transformation,
// 2 reserved ones; a reserved word; then table and key.
const rssHeaderWords, rssTable, rssFunction = 6, 2, 4

// RSS reads the table that spreads flows.
func (Kernel) RSS(nic string) ([]uint32, error) {
	header := make([]uint32, rssHeaderWords)
	header[0] = cmdGetRSS
	if err := words(nic, header); err != nil {
		return nil, err
	}
	size := int(header[rssTable])
	if size == 0 {
		return nil, ErrUnsupported
	}
	keyWords := (int(header[rssTable+1]) + 3) / 4
	all := make([]uint32, rssHeaderWords+size+keyWords)
	all[0], all[rssTable], all[rssTable+1] = cmdGetRSS, header[rssTable], header[rssTable+1]
	err := words(nic, all)
	return all[rssHeaderWords : rssHeaderWords+size], err
}

// SetRSS sets the table; its key and function stay.
func (Kernel) SetRSS(nic string, table []uint32) error {
	now := make([]uint32, rssHeaderWords)
	now[0] = cmdGetRSS
	if err := words(nic, now); err != nil {
		return err
	}
	all := make([]uint32, rssHeaderWords, rssHeaderWords+len(table))
	all[0], all[rssTable] = cmdSetRSS, uint32(len(table)) // 0 = the driver's own
	var function [4]byte
	binary.NativeEndian.PutUint32(function[:], now[rssFunction])
	function[0] = 0 // no change; the transformation has no such word in old kernels: say what it is
	all[rssFunction] = binary.NativeEndian.Uint32(function[:])
	return words(nic, append(all, table...))
}

// featureNumber finds a feature by its name, and the number of all.
func featureNumber(nic, name string) (number, count int, err error) {
	info := stringSetInfo{cmd: cmdSetInfo, mask: 1 << stringsFeatures}
	if err := call(nic, unsafe.Pointer(&info)); err != nil {
		return 0, 0, err
	}
	count = int(info.count)
	// struct ethtool_gstrings: cmd, set, count, then the names.
	data := make([]uint32, 3+count*stringBytes/4)
	data[0], data[1], data[2] = cmdStrings, stringsFeatures, info.count
	if err := words(nic, data); err != nil {
		return 0, 0, err
	}
	names := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(data[3:]))), count*stringBytes)
	for i := range count {
		if unix.ByteSliceToString(names[i*stringBytes:(i+1)*stringBytes]) == name {
			return i, count, nil
		}
	}
	return 0, 0, fmt.Errorf("feature %s: %w", name, ErrUnsupported)
}

// Feature reads a switch.
func (Kernel) Feature(nic, name string) (Feature, error) {
	n, count, err := featureNumber(nic, name)
	if err != nil {
		return Feature{}, err
	}
	// struct ethtool_gfeatures: cmd, number of blocks, then for each: available, requested, active, never changed.
	data := make([]uint32, 2+4*((count+featureBlockBits-1)/featureBlockBits))
	data[0], data[1] = cmdGetFeatures, uint32(len(data)-2)/4
	if err := words(nic, data); err != nil {
		return Feature{}, err
	}
	block, bit := data[2+4*(n/featureBlockBits):], uint32(1)<<(n%featureBlockBits)
	return Feature{On: block[2]&bit != 0, Fixed: block[0]&bit == 0 || block[3]&bit != 0}, nil
}

// SetFeature turns a switch.
func (Kernel) SetFeature(nic, name string, on bool) error {
	n, count, err := featureNumber(nic, name)
	if err != nil {
		return err
	}
	// struct ethtool_sfeatures: cmd, number of blocks, then for each: which to set, and to what.
	data := make([]uint32, 2+2*((count+featureBlockBits-1)/featureBlockBits))
	data[0], data[1] = cmdSetFeatures, uint32(len(data)-2)/2
	block, bit := data[2+2*(n/featureBlockBits):], uint32(1)<<(n%featureBlockBits)
	block[0] = bit
	if on {
		block[1] = bit
	}
	return words(nic, data)
}

// FlowRules reads the rules that pick a queue.
func (Kernel) FlowRules(nic string) ([]FlowRule, int, error) {
	head := flowCommand{cmd: cmdRuleCount}
	if err := call(nic, unsafe.Pointer(&head)); err != nil {
		return nil, 0, err
	}
	count := int(head.count)
	const locationsAt = int(unsafe.Offsetof(flowCommand{}.count)) + 4
	buffer := make([]uint64, (locationsAt+4*count)/8+1)
	list := (*flowCommand)(unsafe.Pointer(unsafe.SliceData(buffer)))
	list.cmd, list.count = cmdRuleList, head.count
	if err := call(nic, unsafe.Pointer(list)); err != nil {
		return nil, 0, err
	}
	size := int(list.data &^ locationSpecial)
	all := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(buffer))), 8*len(buffer))
	var rules []FlowRule
	for i := range count {
		one := flowCommand{cmd: cmdRule}
		one.spec.location = binary.NativeEndian.Uint32(all[locationsAt+4*i:])
		if err := call(nic, unsafe.Pointer(&one)); err != nil {
			return nil, 0, err
		}
		rules = append(rules, one.spec.rule())
	}
	return rules, size, nil
}

// portAt is where the destination port stands: behind two addresses and the source port.
func portAt(kind uint32) int {
	if kind == flowUDP6 {
		return 34
	}
	return 10
}

func (s *flowSpec) rule() FlowRule {
	r := FlowRule{IPv6: s.kind == flowUDP6, Queue: int(s.queue), Location: int(s.location)}
	if s.kind != flowUDP4 && s.kind != flowUDP6 {
		return r
	}
	at := portAt(s.kind)
	r.Port = binary.BigEndian.Uint16(s.header[at:])
	only := s.headerMask
	r.Exact = only[at] == 0xff && only[at+1] == 0xff
	only[at], only[at+1] = 0, 0
	zero := func(b byte) bool { return b == 0 }
	r.Exact = r.Exact && !slices.ContainsFunc(only[:], not(zero)) && !slices.ContainsFunc(s.extMask[:], not(zero))
	return r
}

func not(f func(byte) bool) func(byte) bool { return func(b byte) bool { return !f(b) } }

// AddFlowRule adds a rule.
func (Kernel) AddFlowRule(nic string, r FlowRule) error {
	c := flowCommand{cmd: cmdRuleInsert}
	s := &c.spec
	s.kind, s.queue, s.location = flowUDP4, uint64(r.Queue), uint32(r.Location)
	if r.IPv6 {
		s.kind = flowUDP6
	}
	at := portAt(s.kind)
	binary.BigEndian.PutUint16(s.header[at:], r.Port)
	binary.BigEndian.PutUint16(s.headerMask[at:], 0xffff)
	return call(nic, unsafe.Pointer(&c))
}

// DeleteFlowRule deletes a rule.
func (Kernel) DeleteFlowRule(nic string, location int) error {
	c := flowCommand{cmd: cmdRuleDelete}
	c.spec.location = uint32(location)
	return call(nic, unsafe.Pointer(&c))
}

// unsupported tells whether an error means that there is nothing to set.
func unsupported(err error) bool {
	return errors.Is(err, ErrUnsupported) || errors.Is(err, unix.EOPNOTSUPP)
}
