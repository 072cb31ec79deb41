package main

import (
	"encoding/binary"
	"errors"
	"fmt"

	"gannet/wire"
)

// A value is made of words that all say the number of its writing, and its place:
//
//	word i = number << 16 | i
//
// and its length follows from the number, too. Whatever is put together from two
// writings contradicts itself.
const (
	maxValueWords = 128
	wordBytes     = 8
)

func valueWords(number uint64) int { return 1 + int(number*37%maxValueWords) }

// appendValue appends the value of a writing.
func appendValue(b []byte, number uint64) []byte {
	for i := range valueWords(number) {
		b = binary.LittleEndian.AppendUint64(b, number<<16|uint64(i))
	}
	return b
}

// errTorn says that a value is not of one piece.
var errTorn = errors.New("torn value")

// numberOf reads the number of its writing from a value, and checks all of it.
func numberOf(value []byte) (uint64, error) {
	if len(value) < wordBytes {
		return 0, fmt.Errorf("%w: %d bytes", errTorn, len(value))
	}
	number := binary.LittleEndian.Uint64(value) >> 16
	if len(value) != valueWords(number)*wordBytes {
		return 0, fmt.Errorf("%w: %d bytes, number %d has %d", errTorn, len(value), number, valueWords(number)*wordBytes)
	}
	for i := range len(value) / wordBytes {
		if word := binary.LittleEndian.Uint64(value[i*wordBytes:]); word != number<<16|uint64(i) {
			return 0, fmt.Errorf("%w: word %d of number %d is %#x", errTorn, i, number, word)
		}
	}
	return number, nil
}

// readValue takes the only operation out of a reply, checks everything that says
// it is whole, and returns the number of its writing.
func readValue(payload []byte, op *wire.ReplyOp) (number uint64, err error) {
	var reply wire.Reply
	if reason := wire.ParseReply(payload, &reply); reason != wire.ReasonNone {
		return 0, fmt.Errorf("%w: reply does not parse: %v", errTorn, reason)
	}
	ops := reply.Ops()
	if !ops.Next(op) || op.Status != wire.StatusOK {
		return 0, nil
	}
	if !op.Intact() {
		return 0, fmt.Errorf("%w: CRC", errTorn)
	}
	return numberOf(op.Value)
}
