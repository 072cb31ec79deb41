package bpf

import "fmt"

// A Reason says what became of a packet. Numbers and names are those of enum
// reason in reason.h, and Reason.String is fit for a metric's label.
type Reason uint32

// The reasons, in the order in which a packet can meet them.
const (
	ReasonNone Reason = iota

	PassTruncated
	PassMulticast
	PassOtherHost
	PassNotIP
	PassIPOptions
	PassIPMalformed
	PassFragment
	PassIPv6Extension
	PassNotUDP
	PassOtherPort
	PassSplit
	PassNoSocket
	PassStale

	DropUDPLength
	DropShort
	DropMagic
	DropVersion
	DropReply
	DropFlags
	DropHeaderLength
	DropNoOperation
	DropSource
	DropRate

	Answered
	Redirected

	MetaFailed
	HotOther
	HotUnpadded
	HotEpoch
	HotBehind
	HotExpired
	HotUnproven
	HotBusy

	ReuseportSelected
	ReuseportShort
	ReuseportMagic
	ReuseportNoSocket

	reasons
)

// reasonSlots is the length of a CPU's row of counters (REASON_SLOTS).
const reasonSlots = 64

var reasonNames = [reasons]string{
	ReasonNone:        "none",
	PassTruncated:     "pass_truncated",
	PassMulticast:     "pass_multicast",
	PassOtherHost:     "pass_other_host",
	PassNotIP:         "pass_not_ip",
	PassIPOptions:     "pass_ip_options",
	PassIPMalformed:   "pass_ip_malformed",
	PassFragment:      "pass_fragment",
	PassIPv6Extension: "pass_ipv6_extension",
	PassNotUDP:        "pass_not_udp",
	PassOtherPort:     "pass_other_port",
	PassSplit:         "pass_split",
	PassNoSocket:      "pass_no_socket",
	PassStale:         "pass_stale",
	DropUDPLength:     "drop_udp_length",
	DropShort:         "drop_short",
	DropMagic:         "drop_magic",
	DropVersion:       "drop_version",
	DropReply:         "drop_reply",
	DropFlags:         "drop_flags",
	DropHeaderLength:  "drop_header_length",
	DropNoOperation:   "drop_no_operation",
	DropSource:        "drop_source",
	DropRate:          "drop_rate",
	Answered:          "answered",
	Redirected:        "redirected",
	MetaFailed:        "meta_failed",
	HotOther:          "hot_other",
	HotUnpadded:       "hot_unpadded",
	HotEpoch:          "hot_epoch",
	HotBehind:         "hot_behind",
	HotExpired:        "hot_expired",
	HotUnproven:       "hot_unproven",
	HotBusy:           "hot_busy",
	ReuseportSelected: "reuseport_selected",
	ReuseportShort:    "reuseport_short",
	ReuseportMagic:    "reuseport_magic",
	ReuseportNoSocket: "reuseport_no_socket",
}

func (r Reason) String() string {
	if r < reasons {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason_%d", uint32(r))
}

// Steering is the number of reasons of the steering program: 1 to Steering.
const Steering = HotBusy

// Dropped says that the packet went nowhere.
func (r Reason) Dropped() bool { return r >= DropUDPLength && r <= DropRate }
