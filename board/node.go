package board

import (
	"encoding/json"
	"fmt"
	"sync/atomic"
)

// Phase is what the data plane is doing.
type Phase uint64

// The phases of a data plane.
const (
	PhaseNone Phase = iota
	PhaseStarting
	PhaseServing
	PhaseDraining
	PhaseStopped
)

var phaseNames = [...]string{"none", "starting", "serving", "draining", "stopped"}

// String returns the phase's name.
func (p Phase) String() string {
	if int(p) < len(phaseNames) {
		return phaseNames[p]
	}
	return "unknown"
}

// NodeInfo is what the data plane says about itself when it starts to serve. It
// is stored as JSON, so that a field may be added without a new layout.
type NodeInfo struct {
	NodeID     uint64      `json:"node_id"`
	BootID     string      `json:"boot_id"`   // of the kernel
	MemoryID   uint64      `json:"memory_id"` // another one means that the items are gone
	ConfigHash uint64      `json:"config_hash"`
	Listen     string      `json:"listen"`
	BasePort   uint16      `json:"base_port"`
	Policy     string      `json:"policy"`
	MaxValue   int         `json:"max_value_bytes"`
	Version    string      `json:"version"`
	Shards     []ShardInfo `json:"shards"`
}

// ShardInfo says on what a shard stands, and how it came up.
type ShardInfo struct {
	Rung      string   `json:"rung"`              // step of the datapath ladder taken
	WhyNot    []string `json:"why_not,omitempty"` // why each better step was not
	Interface string   `json:"interface,omitempty"`
	Queue     int      `json:"queue"`
	CPU       int      `json:"cpu"`
	Port      uint16   `json:"port"`
	Recovery  string   `json:"recovery,omitempty"` // fresh, clean or unclean, and what was undone
	Memory    int64    `json:"memory_bytes"`
}

// Node is the data plane's word on itself. Writer: data plane.
type Node struct {
	words []atomic.Uint64
	info  record
}

const (
	nodeInfoBytes = 32 << 10
	nodeBytes     = lineBytes + recordHeadBytes + nodeInfoBytes

	nodePID      = 0
	nodeStarted  = 1
	nodePhase    = 2
	nodeStarts   = 3
	nodeEpoch    = 4
	nodePIDStart = 5
)

// Node returns the data plane's area.
func (b *Board) Node() *Node {
	w := b.words(AreaNode, 0)
	return &Node{words: w[:8], info: record{w[8:]}}
}

// Start is called by a data plane that has come up: it says who it is.
func (n *Node) Start(pid int, pidStartTicks uint64, nowNanos int64) {
	n.words[nodePhase].Store(uint64(PhaseStarting))
	n.words[nodePIDStart].Store(pidStartTicks)
	n.words[nodeStarted].Store(uint64(nowNanos))
	n.words[nodePID].Store(uint64(pid))
	n.words[nodeStarts].Add(1)
}

// PID returns the data plane's process id (0 = none yet) and the start time of
// that process in clock ticks (field 22 of /proc/PID/stat), which together name
// it for good.
func (n *Node) PID() (pid int, pidStartTicks uint64) {
	return int(n.words[nodePID].Load()), n.words[nodePIDStart].Load()
}

// StartedNanos returns when the data plane started.
func (n *Node) StartedNanos() int64 { return int64(n.words[nodeStarted].Load()) }

// Starts counts the data planes that ever started on this board.
func (n *Node) Starts() uint64 { return n.words[nodeStarts].Load() }

// SetPhase says what the data plane is doing.
func (n *Node) SetPhase(p Phase) { n.words[nodePhase].Store(uint64(p)) }

// Phase returns what the data plane said last; it may have died since.
func (n *Node) Phase() Phase { return Phase(n.words[nodePhase].Load()) }

// SetEpoch says which ring the data plane serves by.
func (n *Node) SetEpoch(epoch uint32) { n.words[nodeEpoch].Store(uint64(epoch)) }

// Epoch returns the ring that the data plane serves by.
func (n *Node) Epoch() uint32 { return uint32(n.words[nodeEpoch].Load()) }

// SetInfo publishes info. It allocates.
func (n *Node) SetInfo(info NodeInfo) error {
	data, err := json.Marshal(info)
	if err != nil {
		return fmt.Errorf("board: encode node info: %w", err)
	}
	if !n.info.write(data) {
		return fmt.Errorf("board: node info takes %d bytes, there is room for %d: use fewer shards", len(data), n.info.room())
	}
	return nil
}

// Info returns what was published last; false when nothing was yet. It allocates.
func (n *Node) Info() (NodeInfo, bool) {
	var info NodeInfo
	data, ok := n.info.read(nil)
	if !ok || json.Unmarshal(data, &info) != nil {
		return NodeInfo{}, false
	}
	return info, true
}
