package bench

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"gannet/loadgen/values"
	"gannet/wire"
)

// memcached speaks memcached's text protocol. A request is a get of several keys, or
// as many sets. Answers come in the order of the keys.
type memcached struct {
	text       keyText
	sizes      Sizes
	ttlSeconds uint32
	udp        bool // datagrams, each behind a header
}

// Memcached's UDP header: request id, number of this datagram, number of datagrams,
// reserved; each 16 bits, big-endian.
const (
	udpHeaderBytes = 8
	// datagramBytes is the longest that memcached sends.
	datagramBytes = 1400
)

var (
	crlf     = []byte("\r\n")
	endLine  = []byte("END")
	okStored = []byte("STORED")
	valueTag = []byte("VALUE ")
	space    = []byte(" ")
)

// closings: END closes the answer to a get.
func (c *memcached) closings(write bool) int {
	if write {
		return 0
	}
	return 1
}

// most is the longest request.
func (c *memcached) most(write bool, keys int) int {
	head := 0
	if c.udp {
		head = udpHeaderBytes
	}
	if !write {
		return head + len("get") + keys*(1+c.text.bytes) + len(crlf)
	}
	const words = len("set  0 4294967295 1048576\r\n\r\n")
	return head + keys*(words+c.text.bytes+c.sizes.Max())
}

func (c *memcached) parts(bool, []uint32) int { return 1 }

func (c *memcached) encode(b []byte, _ *lane, sequence uint64, s *slot, keys []uint32, _ int) int {
	if c.most(s.write, len(keys)) > len(b) {
		return 0
	}
	d := b[:0]
	if c.udp {
		d = binary.BigEndian.AppendUint16(d, uint16(sequence))
		d = append(d, 0, 0, 0, 1, 0, 0)
	}
	if s.write {
		for _, key := range keys {
			d = c.appendSet(d, key&^answered)
		}
		return len(d)
	}
	d = append(d, "get"...)
	for _, key := range keys {
		d = c.text.append(append(d, ' '), key&^answered)
	}
	return len(append(d, crlf...))
}

func (c *memcached) appendSet(d []byte, number uint32) []byte {
	d = append(d, "set "...)
	at := len(d)
	d = c.text.append(d, number)
	keyHash := wire.KeyHash(d[at:])
	d = strconv.AppendUint(append(d, " 0 "...), uint64(c.ttlSeconds), 10)
	bytes := c.sizes.Bytes(keyHash)
	d = append(strconv.AppendInt(append(d, ' '), int64(bytes), 10), crlf...)
	return append(values.Append(d, keyHash, bytes), crlf...)
}

func (c *memcached) decode(w *worker, l *lane, data []byte) int {
	if c.udp {
		c.datagram(w, l, data)
		return len(data)
	}
	read := 0
	for read < len(data) {
		sequence, s := l.pending.oldest()
		if s == nil {
			w.strange(kindUnexpected)
			return len(data)
		}
		n := c.answer(w, l, sequence, s, data[read:])
		if n == 0 {
			break
		}
		read += n
	}
	return read
}

// answer reads one line, with the value behind it if there is one, of the answer to
// a request. 0: it is not complete.
func (c *memcached) answer(w *worker, l *lane, sequence uint64, s *slot, data []byte) int {
	eol := bytes.Index(data, crlf)
	if eol < 0 {
		return 0
	}
	line := data[:eol]
	switch {
	case bytes.HasPrefix(line, valueTag):
		return c.value(w, l, sequence, s, line, data)
	case bytes.Equal(line, endLine) && !s.write:
		for left := s.operations(); left > 0; left-- {
			w.miss(l, sequence, s)
		}
		w.shut(l, sequence, s)
	case bytes.Equal(line, okStored) && s.write:
		w.stored(l, sequence, s)
	case s.write:
		w.fail(l, sequence, s, kindRefused)
	default:
		w.failRest(l, sequence, s, kindRefused)
	}
	return eol + len(crlf)
}

// value reads VALUE key flags bytes, and the value.
func (c *memcached) value(w *worker, l *lane, sequence uint64, s *slot, line, data []byte) int {
	name, rest, _ := bytes.Cut(line[len(valueTag):], space)
	_, count, _ := bytes.Cut(rest, space)
	length, ok := decimal(count)
	if !ok {
		w.failRest(l, sequence, s, kindMalformed)
		return len(data)
	}
	from := len(line) + len(crlf)
	end := from + length + len(crlf)
	if len(data) < end {
		return 0
	}
	c.found(w, l, sequence, s, name, data[from:from+length])
	return end
}

// found takes a value: of the next operation whose key it is. Those passed over
// have missed.
func (c *memcached) found(w *worker, l *lane, sequence uint64, s *slot, name, value []byte) {
	number, ok := c.text.number(name)
	keys := l.pending.keysOf(sequence, int(s.count))
	from := int(s.count) - s.operations()
	for at := from; ok && at < len(keys); at++ {
		if keys[at] != number {
			continue
		}
		for range at - from {
			w.miss(l, sequence, s)
		}
		w.hit(l, sequence, s, number, value)
		return
	}
	w.counts[s.phase].errors[kindUnexpected]++
	s.failed = true
}

// decimal reads a length.
func decimal(text []byte) (n int, ok bool) {
	if len(text) == 0 || len(text) > 7 {
		return 0, false
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}
