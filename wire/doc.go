// Package wire is Gannet's datagram format, version 1. docs/protocol.md is the normative text; this is the codec of both sides.
//
// The life of a datagram: the client lays down a request header (AppendRequest), extensions if any (AppendExtension), and one to 255
// operations (AppendOp). The server reads it with ParseRequest, which checks every byte that has a meaning and answers with a
// Reason: ReasonNone, or the first rule that is broken. The operations of a good request are walked with Request.Ops; keys and values
// are borrowed from the datagram. (Request.PlainGet is the short way through plain GETs.) The reply is usually built in the request's
// own frame by a ReplyWriter: the request's header fields were copied out by the parser and survive, its keys and values do not.
// BeginEcho and FinishEcho lay the reply over the request and leave what it echoes where it stands. The client reads the reply with
// ParseReply and checks each value's CRC with ReplyOp.Intact.
//
// Invariants:
//
//   - Nothing here allocates, reads a clock, or panics on any input.
//   - A request that parses is canonical: every reserved bit and every byte of padding between fields is zero. (The value of a GET,
//     PING or HELLO is padding by choice of the sender and may hold anything.)
//   - What Append* writes from operations that pass Op.Check parses again to the same fields, and what ReplyWriter writes does too.
//   - All offsets are named constants, because the eBPF programs and the dissector rely on the same numbers.
package wire
