package wire_test

import (
	"fmt"

	"gannet/checksum"
	"gannet/wire"
)

// One exchange, both sides: the server answers in the frame the request came in.
func Example() {
	key := []byte("user:42")
	header := wire.RequestHeader{RequestID: 7, SessionID: 9, KeyHash: wire.KeyHash(key), Cookie: 0xC00C1E}
	frame := make([]byte, 0, wire.DefaultReplyRoomBytes)
	frame = wire.AppendRequest(frame, &header)
	frame = wire.AppendOp(frame, 0, &wire.Op{Code: wire.Get, Key: key})

	var request wire.Request
	if reason := wire.ParseRequest(frame, &request); reason != wire.ReasonNone {
		fmt.Println("malformed:", reason)
		return
	}
	var op wire.Op
	for ops := request.Ops(); ops.Next(&op); {
		fmt.Printf("%v %s\n", op.Code, op.Key) // all keys are looked up before the frame is overwritten
	}

	value := []byte("Ada")
	replyHeader := request.ReplyHeader()
	var w wire.ReplyWriter
	w.Begin(frame[:request.ReplyRoomBytes()], &replyHeader, false)
	w.Append(&wire.ReplyOp{
		Code: wire.Get, Version: wire.MakeVersion(3, 1), TTLSeconds: wire.NoTTL, CRC: checksum.CRC(value), TotalBytes: 3, Value: value,
	})
	datagram := frame[:w.Finish()]

	var reply wire.Reply
	if reason := wire.ParseReply(datagram, &reply); reason != wire.ReasonNone {
		fmt.Println("malformed:", reason)
		return
	}
	var answer wire.ReplyOp
	for ops := reply.Ops(); ops.Next(&answer); {
		fmt.Printf("%v %v %s, version %v, intact: %v\n", answer.Code, answer.Status, answer.Value, answer.Version, answer.Intact())
	}
	// Output:
	// GET user:42
	// GET OK Ada, version 3.1, intact: true
}
