package trace

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Op is what a request asks for.
type Op uint8

// The operations traces know.
const (
	Get Op = iota
	Put
	Add
	Replace
	CompareAndSwap
	Append
	Prepend
	Delete
	Incr
	Decr
	Touch
)

var opNames = [...]string{"get", "put", "add", "replace", "cas", "append", "prepend", "delete", "incr", "decr", "touch"}

func (o Op) String() string {
	if int(o) < len(opNames) {
		return opNames[o]
	}
	return fmt.Sprintf("op(%d)", uint8(o))
}

// Unknown stands in ValueBytes and KeyBytes for what a trace does not say.
const Unknown = -1

// Request is one request of a trace.
type Request struct {
	Op Op
	// Key is valid until the next call of Next.
	Key []byte
	// KeyBytes is the size of the original key where the trace replaced it by an
	// anonymous one, else Unknown.
	KeyBytes int
	// ValueBytes is the size of the value, or Unknown.
	ValueBytes int
	// TTLSeconds is the item's time to live; 0 means none or not said.
	TTLSeconds uint32
	// TimeSeconds is the time of the request in the trace's own count, 0 if none.
	TimeSeconds uint64
}

// Source is a stream of requests: a recorded trace or a synthetic one.
type Source interface {
	// Next fills in the next request; io.EOF when there is none.
	Next(req *Request) error
}

// ErrFormat is wrapped by errors about a missing or unknown format name.
var ErrFormat = errors.New("trace format")

// decoder turns input into requests, one a call.
type decoder interface {
	next(req *Request) error
	// recordsRead is how many lines or records have been taken up.
	recordsRead() int64
}

var decoders = map[string]func(*bufio.Reader) decoder{
	"arc":       func(r *bufio.Reader) decoder { return &arcDecoder{lines: newLines(r)} },
	"int32":     func(r *bufio.Reader) decoder { return &intDecoder{records: newRecords(r, 4)} },
	"int64":     func(r *bufio.Reader) decoder { return &intDecoder{records: newRecords(r, 8)} },
	"keys":      func(r *bufio.Reader) decoder { return &keysDecoder{lines: newLines(r)} },
	"adaptsize": func(r *bufio.Reader) decoder { return &adaptsizeDecoder{lines: newLines(r)} },
	"twitter":   func(r *bufio.Reader) decoder { return &twitterDecoder{lines: newLines(r)} },
	"cachelib":  func(r *bufio.Reader) decoder { return &cachelibDecoder{lines: newLines(r)} },
	"oracle":    func(r *bufio.Reader) decoder { return &oracleDecoder{records: newRecords(r, oracleBytes)} },
}

// Formats lists the format names, in the order of the documentation.
func Formats() []string {
	return []string{"arc", "int32", "int64", "keys", "adaptsize", "twitter", "cachelib", "oracle"}
}

// Reader streams the requests of one trace.
type Reader struct {
	path    string
	format  string
	decoder decoder
	close   func() error
	err     error
}

// Open opens a trace file. format is one of Formats; it may be empty only for a
// file that begins with the header of cachelib.
func Open(path, format string) (*Reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open trace: %w", err)
	}
	r, err := NewReader(f, format)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open trace %s: %w", path, err)
	}
	r.path = path
	inner := r.close
	r.close = func() error { return errors.Join(inner(), f.Close()) }
	return r, nil
}

// NewReader reads a trace from any input, compressed or not.
func NewReader(in io.Reader, format string) (*Reader, error) {
	if _, known := decoders[format]; format != "" && !known {
		return nil, fmt.Errorf("unknown %w %q: use one of %s", ErrFormat, format, strings.Join(Formats(), ", "))
	}
	plain, closePlain, err := decompress(in)
	if err != nil {
		return nil, err
	}
	if format == "" {
		if format, err = detect(plain); err != nil {
			return nil, errors.Join(err, closePlain())
		}
	}
	return &Reader{path: "trace", format: format, decoder: decoders[format](plain), close: closePlain}, nil
}

// detect recognises the one format that has a header.
func detect(r *bufio.Reader) (string, error) {
	head, _ := r.Peek(len(cachelibMark))
	if bytes.Equal(head, []byte(cachelibMark)) {
		return "cachelib", nil
	}
	return "", fmt.Errorf("%w missing: the file has no header to tell it from; name one of %s",
		ErrFormat, strings.Join(Formats(), ", "))
}

// records is how many lines or records of the trace have been taken up.
func (r *Reader) records() int64 { return r.decoder.recordsRead() }

// Format is the format that is being read.
func (r *Reader) Format() string { return r.format }

// Next fills in the next request. It returns io.EOF at the end.
func (r *Reader) Next(req *Request) error {
	if r.err != nil {
		return r.err
	}
	err := r.decoder.next(req)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		r.err = io.EOF
	default:
		r.err = fmt.Errorf("%s (format %s): %w", r.path, r.format, err)
	}
	return r.err
}

// Close closes the file.
func (r *Reader) Close() error { return r.close() }
