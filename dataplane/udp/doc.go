// Package udp is the lowest rung of the ladder: a [port.Port] on a kernel socket.
// It needs no privilege, and is what every other rung is compared with.
//
// A datagram's life:
//
//	arm      Recv gives free frames to recvmmsg, a slot each: payload, sender's
//	         address and control messages land where they stay
//	Recv     one recvmmsg; what came is lent to the shard, what was longer than
//	         a frame is counted and its frame stays
//	Send     the frame joins the tx queue; nothing is copied, not even a tail:
//	         the kernel gathers the two pieces itself
//	Flush    one sendmmsg. Neighbours in the queue of one length for one peer
//	         leave as one UDP GSO message: the replies of a large value
//	done     the kernel has copied the pieces when sendmmsg returns: frame and
//	         token are free at once. So places rx and completion stay empty.
//
// One goroutine owns a port; only Wake is for others. Every frame is in exactly one
// of free, fill (armed), held and tx. A socket bound to all addresses answers from
// the address it was asked at.
package udp
