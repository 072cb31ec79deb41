// Package wirefuzz sends a running node datagrams that break the format, and watches that nothing comes of it.
//
// The life of a run: the proven source says HELLO, learns its cookie, and stores a sentinel item. Then batches go out, half of them
// garbage and half good requests with the good cookie and one thing broken, each behind the other's source; a third stream are
// well-formed requests of the unproven source, which carry no good cookie. A HELLO closes each batch and is waited for, so that no
// datagram is merely lost in a full socket buffer. At the end the sentinel is read back.
//
// What must hold, and what Result tells: the node answers to the end; the sentinel is untouched, although most of the broken
// requests were aimed at it; and no datagram from the unproven source was answered with more bytes than it had.
//
// Invariants: what is sent as broken is broken (wire.ParseRequest was asked, and Result.Reasons counts its answers); the datagrams
// of a seed are always the same but for the cookie, which is the node's.
package wirefuzz
