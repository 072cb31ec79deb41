package wire

import "strconv"

// Opcode says what an operation does.
type Opcode uint8

const (
	Get     Opcode = 1
	Put     Opcode = 2
	Delete  Opcode = 3
	Touch   Opcode = 4
	Add     Opcode = 5 // stores only what is not there
	Replace Opcode = 6 // stores only over what is there
	CAS     Opcode = 7 // stores only over the version in Arg
	Incr    Opcode = 8
	Ping    Opcode = 9
	Stats   Opcode = 10
	Hello   Opcode = 11
	Ring    Opcode = 12 // the node's ring; Arg: offset in bytes, a multiple of SegmentBytes

	// OpcodeCount bounds the opcodes; 0 is none.
	OpcodeCount = 13
)

// opRule is what the format allows an operation to carry.
type opRule struct {
	name  string
	flags OpFlags
	key   bool // 1 to MaxKeyBytes; otherwise no key
	value bool
	ttl   bool // TTL and soft TTL
	arg   bool
	alone bool // the only operation of its datagram: such replies are longer than their operations
}

const (
	readFlags  = OpSegment | OpLease | OpNoValue | OpStaleOK
	storeFlags = OpSegment | OpAckReplica
)

var opRules = [OpcodeCount]opRule{
	Get:     {name: "GET", flags: readFlags, key: true, value: true, arg: true},
	Put:     {name: "PUT", flags: storeFlags, key: true, value: true, ttl: true, arg: true},
	Delete:  {name: "DELETE", flags: OpAckReplica, key: true},
	Touch:   {name: "TOUCH", flags: OpAckReplica, key: true, ttl: true},
	Add:     {name: "ADD", flags: storeFlags, key: true, value: true, ttl: true, arg: true},
	Replace: {name: "REPLACE", flags: storeFlags, key: true, value: true, ttl: true, arg: true},
	CAS:     {name: "CAS", flags: storeFlags, key: true, value: true, ttl: true, arg: true},
	Incr:    {name: "INCR", flags: OpAckReplica, key: true, arg: true},
	Ping:    {name: "PING", value: true, alone: true},
	Stats:   {name: "STATS"},
	Hello:   {name: "HELLO", value: true, alone: true},
	Ring:    {name: "RING", arg: true},
}

// Known reports whether the format defines the opcode.
func (o Opcode) Known() bool {
	return o != 0 && o < OpcodeCount
}

// HasKey reports whether the operation acts on a key.
func (o Opcode) HasKey() bool {
	return o.Known() && opRules[o].key
}

// Writes reports whether the operation may change an item.
func (o Opcode) Writes() bool {
	return o >= Put && o <= Incr
}

// NeedsCookie reports whether a server answers the operation only to a proven address.
func (o Opcode) NeedsCookie() bool {
	return o != Ping && o != Hello
}

func (o Opcode) String() string {
	if o.Known() {
		return opRules[o].name
	}
	return "opcode " + strconv.Itoa(int(o))
}
