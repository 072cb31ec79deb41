package bench

import (
	"bytes"
	"strconv"

	"gannet/loadgen/values"
	"gannet/wire"
)

// redis speaks RESP. A request is a pipeline of GETs, or of SETs, a key each.
type redis struct {
	text       keyText
	sizes      Sizes
	ttlSeconds uint32
}

var okLine = []byte("+OK")

func (c *redis) closings(bool) int { return 0 }

func (c *redis) parts(bool, []uint32) int { return 1 }

func (c *redis) most(write bool, keys int) int {
	const words = len("*5\r\n$3\r\nSET\r\n$250\r\n\r\n$1048576\r\n\r\n$2\r\nEX\r\n$10\r\n4294967295\r\n")
	each := words + c.text.bytes
	if write {
		each += c.sizes.Max()
	}
	return keys * each
}

func (c *redis) encode(b []byte, _ *lane, _ uint64, s *slot, keys []uint32, _ int) int {
	if c.most(s.write, len(keys)) > len(b) {
		return 0
	}
	d := b[:0]
	for _, key := range keys {
		if s.write {
			d = c.appendSet(d, key&^answered)
			continue
		}
		d = append(d, "*2\r\n$3\r\nGET\r\n"...)
		d, _ = c.appendKey(d, key&^answered)
	}
	return len(d)
}

func (c *redis) appendKey(d []byte, number uint32) (_ []byte, keyHash uint64) {
	d = appendLength(d, c.text.bytes)
	at := len(d)
	d = c.text.append(d, number)
	return append(d, crlf...), wire.KeyHash(d[at:])
}

func appendLength(d []byte, bytes int) []byte {
	return append(strconv.AppendInt(append(d, '$'), int64(bytes), 10), crlf...)
}

func (c *redis) appendSet(d []byte, number uint32) []byte {
	arguments := "*3\r\n$3\r\nSET\r\n"
	if c.ttlSeconds > 0 {
		arguments = "*5\r\n$3\r\nSET\r\n"
	}
	d, keyHash := c.appendKey(append(d, arguments...), number)
	bytes := c.sizes.Bytes(keyHash)
	d = append(values.Append(appendLength(d, bytes), keyHash, bytes), crlf...)
	if c.ttlSeconds == 0 {
		return d
	}
	var room [10]byte
	seconds := strconv.AppendUint(room[:0], uint64(c.ttlSeconds), 10)
	d = appendLength(append(d, "$2\r\nEX\r\n"...), len(seconds))
	return append(append(d, seconds...), crlf...)
}

func (c *redis) decode(w *worker, l *lane, data []byte) int {
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

// answer reads the answer to one command. 0: it is not complete.
func (c *redis) answer(w *worker, l *lane, sequence uint64, s *slot, data []byte) int {
	eol := bytes.Index(data, crlf)
	if eol < 0 {
		return 0
	}
	end := eol + len(crlf)
	line := data[:eol]
	switch {
	case s.write && bytes.Equal(line, okLine):
		w.stored(l, sequence, s)
	case !s.write && bytes.Equal(line, []byte("$-1")):
		w.miss(l, sequence, s)
	case !s.write && eol > 0 && line[0] == '$':
		length, ok := decimal(line[1:])
		if !ok {
			w.fail(l, sequence, s, kindMalformed)
			return len(data)
		}
		from := end
		if end += length + len(crlf); len(data) < end {
			return 0
		}
		w.hit(l, sequence, s, l.pending.keysOf(sequence, int(s.count))[int(s.count-s.left)], data[from:from+length])
	default:
		w.fail(l, sequence, s, kindRefused)
	}
	return end
}
