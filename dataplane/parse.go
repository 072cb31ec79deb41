package dataplane

import "gannet/wire"

// parse reads all datagrams of the batch. Those of several frames are kept out:
// a request is one frame long, whatever the MTU.
func (l *Loop) parse() {
	for i := range l.batch[:l.batchSize] {
		in := &l.batch[i]
		in.verdict, in.token = verdictNone, 0
		if len(in.rx.More) > 0 {
			l.dropChain(in)
			continue
		}
		in.reason = wire.ParseRequest(in.rx.Payload, &in.req)
		if in.reason != wire.ReasonNone {
			l.counts.wire[in.reason]++
			continue
		}
		in.code = firstOpcode(in.rx.Payload)
	}
}

func (l *Loop) dropChain(in *inbound) {
	for _, f := range in.rx.More {
		l.port.Release(f)
	}
	in.rx.More = nil
	l.drop(in, ReasonTooLongForFrame)
}

// firstOpcode reads the first operation's code of a datagram that was checked.
func firstOpcode(payload []byte) wire.Opcode {
	return wire.Opcode(payload[int(payload[wire.OffsetHeaderWords])*wire.AlignBytes+wire.OpOffsetOpcode])
}

// drop gives a datagram back unanswered.
func (l *Loop) drop(in *inbound, why Reason) {
	l.counts.reason[why]++
	in.verdict = verdictGone
	l.port.Release(in.rx.Frame) // the frame now belongs to the port
}
