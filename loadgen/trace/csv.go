package trace

import (
	"bytes"
	"math"
	"strings"
)

// twitterFields is the number of columns of a Twitter trace.
const twitterFields = 7

// twitterDecoder reads time, key, key size, value size, client, operation, TTL.
type twitterDecoder struct{ lines }

var twitterOps = map[string]Op{
	"get": Get, "gets": Get, "set": Put, "add": Add, "replace": Replace, "cas": CompareAndSwap,
	"append": Append, "prepend": Prepend, "delete": Delete, "incr": Incr, "decr": Decr, "touch": Touch,
}

func (d *twitterDecoder) next(req *Request) error {
	line, err := d.lines.next()
	if err != nil {
		return err
	}
	fields, ok := splitTwitter(line)
	if !ok {
		return d.errorf("fewer than %d columns (time,key,key size,value size,client,operation,TTL): check --format, or delete the line", twitterFields)
	}
	op, known := twitterOps[string(fields[5])]
	if !known {
		return d.errorf("unknown operation %.40q: use get, gets, set, add, replace, cas, append, prepend, delete, incr, decr or touch", fields[5])
	}
	if len(fields[1]) == 0 {
		return d.errorf("the key is empty: delete the line")
	}
	*req = Request{Op: op, Key: fields[1]}
	return d.twitterNumbers(req, &fields)
}

func (d *twitterDecoder) twitterNumbers(req *Request, fields *[twitterFields][]byte) error {
	var err error
	if req.TimeSeconds, err = d.uint(fields[0], "time", math.MaxUint64); err != nil {
		return err
	}
	keyBytes, err := d.uint(fields[2], "key size", math.MaxInt32)
	if err != nil {
		return err
	}
	valueBytes, err := d.uint(fields[3], "value size", math.MaxInt32)
	if err != nil {
		return err
	}
	ttl, err := d.uint(fields[6], "TTL", math.MaxUint32)
	if err != nil {
		return err
	}
	req.KeyBytes, req.ValueBytes, req.TTLSeconds = int(keyBytes), int(valueBytes), uint32(ttl)
	if valueBytes == 0 && req.Op == Get {
		req.ValueBytes = Unknown // a get that missed in production
	}
	return nil
}

// splitTwitter cuts the last five columns from the right, because an anonymised
// key may hold a comma.
func splitTwitter(line []byte) (fields [twitterFields][]byte, ok bool) {
	for i := twitterFields - 1; i >= 2; i-- {
		comma := bytes.LastIndexByte(line, ',')
		if comma < 0 {
			return fields, false
		}
		fields[i], line = bytes.TrimSpace(line[comma+1:]), line[:comma]
	}
	comma := bytes.IndexByte(line, ',')
	if comma < 0 {
		return fields, false
	}
	fields[0], fields[1] = bytes.TrimSpace(line[:comma]), line[comma+1:]
	return fields, true
}

// cachelibMark begins every file of this format.
const cachelibMark = "op_time,"

// The columns the decoder uses; where they stand is told by the header.
const (
	colTime = iota
	colKey
	colKeySize
	colOp
	colOpCount
	colSize
	colHits
	colTTL
	cachelibFields
)

var cachelibColumns = [cachelibFields]string{"op_time", "key", "key_size", "op", "op_count", "size", "cache_hits", "ttl"}

var cachelibOps = map[string]Op{
	"GET": Get, "GET_LEASE": Get, "SET": Put, "SET_LEASE": Put, "ADD": Add, "REPLACE": Replace,
	"CAS": CompareAndSwap, "APPEND": Append, "PREPEND": Prepend, "DELETE": Delete,
	"INCR": Incr, "INCREMENT": Incr, "DECR": Decr, "DECREMENT": Decr, "TOUCH": Touch,
}

// cachelibDecoder reads CacheLib's key-value traces. A row stands for op_count
// requests.
type cachelibDecoder struct {
	lines
	columns [cachelibFields]int
	width   int
	row     Request
	left    uint64
}

func (d *cachelibDecoder) next(req *Request) error {
	if d.width == 0 {
		if err := d.header(); err != nil {
			return err
		}
	}
	for d.left == 0 {
		if err := d.readRow(); err != nil {
			return err
		}
	}
	d.left--
	*req = d.row
	return nil
}

func (d *cachelibDecoder) header() error {
	line, err := d.lines.next()
	if err != nil {
		return err
	}
	d.taken--
	names := strings.Split(string(line), ",")
	for i, want := range cachelibColumns {
		at := indexOf(names, want)
		if at < 0 {
			return d.errorf("the header has no column %s: put the header %s,usecase,sub_usecase first",
				want, strings.Join(cachelibColumns[:], ","))
		}
		d.columns[i] = at
	}
	d.width = len(names)
	return nil
}

func indexOf(names []string, want string) int {
	for i, n := range names {
		if strings.TrimSpace(n) == want {
			return i
		}
	}
	return -1
}

func (d *cachelibDecoder) readRow() error {
	line, err := d.lines.next()
	if err != nil {
		return err
	}
	var fields [cachelibFields][]byte
	if got := d.split(line, &fields); got != d.width {
		return d.errorf("%d columns where the header has %d: delete the line", got, d.width)
	}
	op, known := cachelibOps[string(fields[colOp])]
	if !known {
		return d.errorf("unknown operation %.40q: use GET, GET_LEASE, SET, DELETE or another of CacheLib's", fields[colOp])
	}
	if len(fields[colKey]) == 0 {
		return d.errorf("the key is empty: delete the line")
	}
	d.row = Request{Op: op, Key: fields[colKey]}
	return d.rowNumbers(&fields)
}

// split finds the used columns of a row and returns how many columns it has.
func (d *cachelibDecoder) split(line []byte, fields *[cachelibFields][]byte) int {
	count := 0
	for more := true; more; count++ {
		var field []byte
		field, line, more = bytes.Cut(line, []byte{','})
		for i, at := range d.columns {
			if at == count {
				fields[i] = bytes.TrimSpace(field)
			}
		}
	}
	return count
}

func (d *cachelibDecoder) rowNumbers(fields *[cachelibFields][]byte) error {
	limits := [cachelibFields]uint64{
		colTime: math.MaxUint64, colKeySize: math.MaxInt32, colOpCount: math.MaxUint32,
		colSize: math.MaxInt32, colHits: math.MaxUint32, colTTL: math.MaxUint32,
	}
	var n [cachelibFields]uint64
	for i, limit := range limits {
		if i == colKey || i == colOp {
			continue
		}
		var err error
		if n[i], err = d.uint(fields[i], cachelibColumns[i], limit); err != nil {
			return err
		}
	}
	d.row.TimeSeconds, d.row.KeyBytes, d.row.TTLSeconds = n[colTime], int(n[colKeySize]), uint32(n[colTTL])
	d.row.ValueBytes, d.left = int(n[colSize]), n[colOpCount]
	if n[colSize] == 0 && n[colHits] == 0 && d.row.Op == Get {
		d.row.ValueBytes = Unknown // a get that missed in production
	}
	return nil
}
