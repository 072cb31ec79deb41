package dataplane

// Reason says why the loop refused, shed or dropped something. Those of the wire
// format and of the port are counted apart.
type Reason uint8

// The reasons.
const (
	ReasonMalformedUnproven Reason = iota // malformed, and nobody to tell: dropped
	ReasonMalformedAnswered               // malformed, answered with an error
	ReasonNoCookie                        // answered with a fresh cookie
	ReasonLateAnswered                    // time budget over: answered TOO_LATE
	ReasonLateDropped                     // time budget over, too many to answer: dropped
	ReasonWrongShard                      // header or key of another shard, or of none: answered MOVED
	ReasonNotOwned                        // key of another node: answered MOVED
	ReasonFenced                          // write after the fence: answered FENCED, or OUTCOME_UNKNOWN when it fell meanwhile
	ReasonHandOverFull                    // the other shard's queue is full: dropped
	ReasonHandInNoFrame                   // no frame for a datagram handed over: dropped
	ReasonNoReplyFrame                    // no frame for the rest of a reply: answered OVERLOADED, or left out
	ReasonContinuationsFull               // too many long values at once: only the first part was sent
	ReasonWheelFull                       // too many paced replies: sent at once
	ReasonTooLongForFrame                 // a request of several frames
	ReasonDrained                         // still unsent when the loop had to end
	ReasonBadApply                        // a record of the control process made no sense
	ReasonHeld                            // write to a range that this node leads and may not write yet: answered FENCED
	ReasonWaitsFull                       // too many acknowledgements wait for followers: marked degraded
	ReasonLacking                         // GET of a range that this node follows and has not whole: answered BEHIND
	NumReasons
)

var reasonNames = [NumReasons]string{
	"malformed_unproven", "malformed_answered", "no_cookie", "late_answered", "late_dropped", "wrong_shard", "not_owned",
	"fenced", "hand_over_full", "hand_in_no_frame", "no_reply_frame", "continuations_full", "wheel_full",
	"too_long_for_frame", "drained", "bad_apply", "held", "waits_full", "lacking",
}

// String returns the reason as a metric label.
func (r Reason) String() string {
	if r < NumReasons {
		return reasonNames[r]
	}
	return "unknown"
}
