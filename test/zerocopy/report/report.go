// Package report is what the emulated machine tells about a run, in one line of
// JSON on its serial console.
package report

// Prefix begins the line; nothing else on the console begins so.
const Prefix = "GANNET-ZEROCOPY "

// Load is what a client saw of a stretch of requests.
type Load struct {
	Gets       int64    `json:"gets"`
	Puts       int64    `json:"puts"`
	Bytes      int64    `json:"bytes"`  // of values received and compared
	Wrong      int64    `json:"wrong"`  // values that are not what was stored
	Failed     int64    `json:"failed"` // requests without an answer, after retransmission
	Missing    int64    `json:"missing"`
	Fenced     int64    `json:"fenced"` // PUTs refused by the fence, and asked again
	Resent     uint64   `json:"resent"`
	Corrupt    uint64   `json:"corrupt"` // datagrams dropped for a bad checksum
	Seconds    float64  `json:"seconds"`
	FirstError string   `json:"first_error,omitempty"`
	Notes      []string `json:"notes,omitempty"`
}

// Sent are the data plane's counters of how values left.
type Sent struct {
	InPlace      uint64 `json:"in_place"`
	InPlaceBytes uint64 `json:"in_place_bytes"`
	CopiedBytes  uint64 `json:"copied_bytes"`
	LargeCopied  uint64 `json:"large_copied_bytes"`
	TailBytes    uint64 `json:"tail_bytes"`
	RoomBusy     uint64 `json:"room_busy"`
	Slots        uint64 `json:"slots"` // in flight now
	Turns        uint64 `json:"turns"`
	PortChanges  uint64 `json:"port_changes"`
}

// Minus is what was added since before; Slots stay as they are.
func (s Sent) Minus(before Sent) Sent {
	s.InPlace -= before.InPlace
	s.InPlaceBytes -= before.InPlaceBytes
	s.CopiedBytes -= before.CopiedBytes
	s.LargeCopied -= before.LargeCopied
	s.TailBytes -= before.TailBytes
	s.RoomBusy -= before.RoomBusy
	s.Turns -= before.Turns
	s.PortChanges -= before.PortChanges
	return s
}

// Run is all of one driver.
type Run struct {
	Driver    string   `json:"driver"`
	Kernel    string   `json:"kernel"`
	Error     string   `json:"error,omitempty"` // why it ended early
	Rung      string   `json:"rung"`
	WhyNot    []string `json:"why_not,omitempty"`
	ZeroCopy  bool     `json:"zero_copy"`  // XDP_OPTIONS of the data plane's socket
	TxInvalid uint64   `json:"tx_invalid"` // XDP_STATISTICS of that socket, over all incarnations
	Main      Load     `json:"main"`
	MainSent  Sent     `json:"main_sent"`
	Hot       Load     `json:"hot"`
	HotSent   Sent     `json:"hot_sent"`
	Restart   Load     `json:"restart"` // while the data plane was killed
	Recovery  string   `json:"recovery"`
	Killed    bool     `json:"killed"`
	Flap      Load     `json:"flap"` // while the link went down and up
	FlapRung  string   `json:"flap_rung"`
	FlapMoves uint64   `json:"flap_moves"`
	Slots     uint64   `json:"slots"` // in flight when all was quiet, at the end
	Deaths    int      `json:"deaths"`
	// The data plane checks the census in every turn, and dies when it is wrong.
	CensusTurns uint64   `json:"census_turns"`
	NodeLog     []string `json:"node_log,omitempty"` // its end, when something went wrong
}
