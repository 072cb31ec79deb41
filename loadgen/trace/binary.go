package trace

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// oracleBytes is the size of an oracleGeneral record.
const oracleBytes = 24

// records reads fixed binary records and knows where it is.
type records struct {
	in     *bufio.Reader
	buf    [oracleBytes]byte
	size   int
	number int64
	key    [20]byte
}

func newRecords(r *bufio.Reader, size int) records { return records{in: r, size: size} }

func (r *records) next() ([]byte, error) {
	n, err := io.ReadFull(r.in, r.buf[:r.size])
	switch {
	case err == nil:
		r.number++
		return r.buf[:r.size], nil
	case errors.Is(err, io.ErrUnexpectedEOF) && n > 0:
		return nil, fmt.Errorf("record %d: %d bytes left of %d: the file is cut off, or the format is another", r.number+1, n, r.size)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("record %d: %w in the compressed data: fetch the file again", r.number+1, err)
	case err == io.EOF:
		return nil, io.EOF
	}
	return nil, fmt.Errorf("record %d: %w: the file is damaged; fetch it again", r.number+1, err)
}

func (r *records) recordsRead() int64 { return r.number }

// intDecoder reads bare big-endian keys.
type intDecoder struct{ records }

func (d *intDecoder) next(req *Request) error {
	b, err := d.records.next()
	if err != nil {
		return err
	}
	key := int64(int32(binary.BigEndian.Uint32(b)))
	if d.size == 8 {
		key = int64(binary.BigEndian.Uint64(b))
	}
	*req = Request{Key: strconv.AppendInt(d.key[:0], key, 10), KeyBytes: Unknown, ValueBytes: Unknown}
	return nil
}

// oracleDecoder reads libCacheSim's records; the next access time is ignored.
type oracleDecoder struct{ records }

func (d *oracleDecoder) next(req *Request) error {
	b, err := d.records.next()
	if err != nil {
		return err
	}
	*req = Request{
		TimeSeconds: uint64(binary.LittleEndian.Uint32(b)),
		Key:         strconv.AppendUint(d.key[:0], binary.LittleEndian.Uint64(b[4:]), 10),
		ValueBytes:  int(binary.LittleEndian.Uint32(b[12:])),
		KeyBytes:    Unknown,
	}
	return nil
}
