package invalidate

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// Action is what a notice asks for.
type Action string

// The actions.
const (
	ActionInvalidate Action = "invalidate" // drop the copy of Key unless its version is Version or newer
	ActionFlush      Action = "flush"      // drop all copies of items that Origin led; without Origin, all
	ActionHeartbeat  Action = "heartbeat"  // all up to here was told
)

// Notice is what a subscriber is told.
type Notice struct {
	Action   Action
	Key      []byte // of an invalidation
	Version  uint64 // of an invalidation
	Origin   uint64 // node id; 0: all, or none
	Sequence uint64 // of the origin
	Reason   Reason // of a flush
	Covered  bool   // of a flush: from now on Origin's events are followed, and copies may be kept

	line []byte
}

// notice in JSON. A key that is not text is in base64. Origins are strings: they are
// beyond what all readers of JSON keep exact. A version is a number, as the event has
// been agreed on; it needs a reader that keeps 64 bits.
type noticeJSON struct {
	Action    Action  `json:"action"`
	Key       *string `json:"key,omitempty"`
	KeyBase64 []byte  `json:"key_base64,omitempty"`
	Version   uint64  `json:"version,omitempty"`
	Origin    string  `json:"origin,omitempty"`
	Sequence  uint64  `json:"sequence,omitempty"`
	Reason    string  `json:"reason,omitempty"`
	Covered   *bool   `json:"covered,omitempty"`
}

// Line is the notice as a line of JSON, with its end. The caller must not change it.
func (n *Notice) Line() []byte { return n.line }

// encode fills in the line, before the notice is shared.
func (n *Notice) encode() *Notice {
	out := noticeJSON{Action: n.Action, Version: n.Version, Sequence: n.Sequence}
	if n.Origin != 0 {
		out.Origin = fmt.Sprintf("%016x", n.Origin)
	}
	switch {
	case n.Action == ActionFlush:
		out.Reason = n.Reason.String()
		if n.Origin != 0 {
			out.Covered = &n.Covered
		}
	case n.Action != ActionInvalidate:
	case utf8.Valid(n.Key):
		text := string(n.Key)
		out.Key = &text
	default:
		out.KeyBase64 = n.Key
	}
	line, err := json.Marshal(out)
	if err != nil {
		panic(err) // strings and numbers always encode
	}
	n.line = append(line, '\n')
	return n
}
