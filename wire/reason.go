package wire

import "strconv"

// Reason says which rule of the format a datagram breaks. A datagram that breaks several has the reason of the first one in the
// order of the checks; the order is the parser's business.
type Reason uint8

const (
	ReasonNone            Reason = iota
	ReasonShort                  // shorter than the fixed header
	ReasonLong                   // longer than a UDP payload can be
	ReasonMagic                  // does not begin with Magic
	ReasonVersion                // another format version
	ReasonDirection              // a reply where a request belongs, or the other way round
	ReasonFlags                  // undefined flags, or FlagSealed with FlagAuth
	ReasonSealed                 // protected, but no session to open it with
	ReasonPacketNumber           // packet number or tag in a datagram that is not protected
	ReasonHeaderLength           // header shorter than its fixed part, or longer than the datagram
	ReasonOpCount                // no operation
	ReasonEpoch                  // wider than 24 bits
	ReasonReplyRoom              // the client accepts less than MinReplyRoomBytes
	ReasonExtension              // an extension's length is wrong, or it stands there twice
	ReasonMustUnderstand         // an unknown extension that must be understood
	ReasonOpBounds               // an operation's header reaches over the end
	ReasonOpcode                 // undefined
	ReasonOpFlags                // undefined, or not for this opcode
	ReasonReserved               // a reserved byte is not zero
	ReasonKeyLength              // 0, over MaxKeyBytes, or a key where none belongs
	ReasonKeyBounds              // the key reaches over the end
	ReasonValueUnexpected        // a value where none belongs
	ReasonValueBounds            // the value reaches over the end
	ReasonTTL                    // over MaxTTLSeconds, or where none belongs
	ReasonSoftTTL                // not below the TTL, over MaxTTLSeconds, or where none belongs
	ReasonArg                    // an argument where none belongs
	ReasonSegment                // offset not at a unit's border, or a part that does not fit its whole
	ReasonPadding                // padding that is not zero
	ReasonTrailing               // bytes after the last operation
	ReasonNotAlone               // PING or HELLO beside other operations
	ReasonHelloShort             // HELLO with less than MinHelloPadBytes
	ReasonStatus                 // undefined (replies)
	ReasonStages                 // FlagStages without the extension, or the other way round (replies)

	// ReasonCount bounds the reasons, for tables of counters.
	ReasonCount
)

var reasonNames = [ReasonCount]string{
	"none", "short", "long", "magic", "version", "direction", "flags", "sealed", "packet_number", "header_length", "op_count",
	"epoch", "reply_room", "extension", "must_understand", "op_bounds", "opcode", "op_flags", "reserved", "key_length", "key_bounds",
	"value_unexpected", "value_bounds", "ttl", "soft_ttl", "arg", "segment", "padding", "trailing", "not_alone", "hello_short",
	"status", "stages",
}

// String returns the reason as a metric label.
func (r Reason) String() string {
	if r < ReasonCount {
		return reasonNames[r]
	}
	return "reason_" + strconv.Itoa(int(r))
}

// Status returns what a malformed request is answered with, provided that its header could be read (Request.HeaderRead) and its
// cookie is good. Otherwise it is not answered at all.
func (r Reason) Status() Status {
	switch r {
	case ReasonNone:
		return StatusOK
	case ReasonMustUnderstand, ReasonOpcode:
		return StatusUnsupported
	}
	return StatusBadRequest
}
