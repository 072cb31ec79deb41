package trace

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

// maxRunBlocks bounds one line of an arc trace: longer runs are damage, not data.
const maxRunBlocks = 1 << 24

// lines reads text line by line and knows where it is.
type lines struct {
	in     *bufio.Reader
	number int64 // of the line last read, blank ones included
	taken  int64 // lines that were neither blank nor skipped by the format
}

func newLines(r *bufio.Reader) lines { return lines{in: r} }

// next returns the next line that is not blank, without its end.
func (l *lines) next() ([]byte, error) {
	for {
		line, err := l.in.ReadSlice('\n')
		if len(line) > 0 || err == nil {
			l.number++
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, l.errorf("longer than %d bytes: is this a text trace, and is the format right?", readBytes)
		case err != nil && err != io.EOF:
			return nil, l.errorf("%w: the file is damaged or cut off; fetch it again", err)
		}
		if text := bytes.TrimSpace(line); len(text) > 0 {
			l.taken++
			return text, nil
		}
		if err == io.EOF {
			return nil, io.EOF
		}
	}
}

func (l *lines) recordsRead() int64 { return l.taken }

func (l *lines) errorf(format string, args ...any) error {
	return fmt.Errorf("line %d: "+format, append([]any{l.number}, args...)...)
}

// uint is parseUint with an error that names the line and the field.
func (l *lines) uint(text []byte, field string, limit uint64) (uint64, error) {
	n, ok := parseUint(text)
	if !ok || n > limit {
		return 0, l.errorf("%s is %.40q, not a number from 0 to %d: check --format, or delete the line", field, text, limit)
	}
	return n, nil
}

// parseUint reads decimal digits without allocating.
func parseUint(text []byte) (uint64, bool) {
	if len(text) == 0 || len(text) > 20 {
		return 0, false
	}
	var n uint64
	for _, c := range text {
		d := uint64(c - '0')
		if d > 9 || n > (math.MaxUint64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}

// cut splits off the first word at a space or tab.
func cut(text []byte) (word, rest []byte) {
	i := bytes.IndexAny(text, " \t")
	if i < 0 {
		return text, nil
	}
	return text[:i], bytes.TrimLeft(text[i:], " \t")
}

// arcDecoder expands runs of blocks.
type arcDecoder struct {
	lines
	block, left uint64
	key         [20]byte
}

func (d *arcDecoder) next(req *Request) error {
	for d.left == 0 {
		if err := d.run(); err != nil {
			return err
		}
	}
	*req = Request{Key: strconv.AppendUint(d.key[:0], d.block, 10), KeyBytes: Unknown, ValueBytes: Unknown}
	d.block++
	d.left--
	return nil
}

func (d *arcDecoder) run() error {
	line, err := d.lines.next()
	if err != nil {
		return err
	}
	first, rest := cut(line)
	count, _ := cut(rest)
	if d.block, err = d.uint(first, "start block", math.MaxUint64-maxRunBlocks); err != nil {
		return err
	}
	d.left, err = d.uint(count, "number of blocks", maxRunBlocks)
	return err
}

// keysDecoder takes each line as a key.
type keysDecoder struct{ lines }

func (d *keysDecoder) next(req *Request) error {
	for {
		line, err := d.lines.next()
		if err != nil {
			return err
		}
		if bytes.IndexByte(line, '*') < 0 {
			*req = Request{Key: line, KeyBytes: Unknown, ValueBytes: Unknown}
			return nil
		}
		d.taken--
	}
}

// adaptsizeDecoder reads "sequence key size".
type adaptsizeDecoder struct{ lines }

func (d *adaptsizeDecoder) next(req *Request) error {
	line, err := d.lines.next()
	if err != nil {
		return err
	}
	_, rest := cut(line)
	key, size := cut(rest)
	if len(key) == 0 || len(size) == 0 {
		return d.errorf("want sequence, key and size, found %.60q: check --format, or delete the line", line)
	}
	bytes, err := d.uint(size, "size", math.MaxInt)
	if err != nil {
		return err
	}
	*req = Request{Key: key, KeyBytes: Unknown, ValueBytes: int(bytes)}
	return nil
}
