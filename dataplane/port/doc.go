// Package port is the contract between the shard loop and whatever carries its
// datagrams: AF_XDP queues, kernel sockets, or memory in tests.
//
// A port lends frames. The life of one:
//
//	Recv     the port lends a frame that holds a request            held by the loop
//	Send     the loop hands it back as a reply                      owned by the port
//	Release  or hands it back unused                                owned by the port
//	Lease    the loop borrows an empty frame, addressed like        held by the loop
//	         another one: for replies of several datagrams
//
// Every frame is in exactly one place. The places are counted by [Census], and
// their sum never changes while the port is open:
//
//	free + fill + rx + held + tx + completion = all
//
// A reply is written into the frame of its request, so a GET costs no second
// frame and no allocation. A reply may end in a second piece that lies outside
// the frame, in a slab ([Tx.Tail]): the port sends it without copying when
// [Caps.MaxSegments] allows. Where [Caps.InPlaceBytes] is set and the piece has room
// in front of it ([Tx.RoomBytes]), the frame's part is moved there, and one piece
// leaves; the frame stands for the slot until it is back. The memory of such a piece
// must not change until the port returns its [Tx.Token] through Completed.
//
// A port belongs to one goroutine. Nothing here allocates after Open.
package port
