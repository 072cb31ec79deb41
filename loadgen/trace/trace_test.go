package trace

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// line writes a request as text: op key keyBytes valueBytes ttl.
func line(r *Request) string {
	return fmt.Sprintf("%s %s %d %d %d", r.Op, r.Key, r.KeyBytes, r.ValueBytes, r.TTLSeconds)
}

func readAll(in []byte, format string) (lines []string, err error) {
	r, err := NewReader(bytes.NewReader(in), format)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var req Request
	for {
		err := r.Next(&req)
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		if err != nil {
			return lines, err
		}
		lines = append(lines, line(&req))
	}
}

func be32(keys ...int32) []byte {
	var b []byte
	for _, k := range keys {
		b = binary.BigEndian.AppendUint32(b, uint32(k))
	}
	return b
}

func be64(keys ...int64) []byte {
	var b []byte
	for _, k := range keys {
		b = binary.BigEndian.AppendUint64(b, uint64(k))
	}
	return b
}

func oracleRecord(time uint32, id uint64, size uint32, next int64) []byte {
	b := binary.LittleEndian.AppendUint32(nil, time)
	b = binary.LittleEndian.AppendUint64(b, id)
	b = binary.LittleEndian.AppendUint32(b, size)
	return binary.LittleEndian.AppendUint64(b, uint64(next))
}

const cachelibHeader = "op_time,key,key_size,op,op_count,size,cache_hits,ttl,usecase,sub_usecase\n"

// samples has a small input of every format and what it means.
var samples = []struct {
	format string
	in     []byte
	want   []string
}{
	{"arc", []byte("5 3 0 0\n9 0 0 1\n7 1 0 2\n"), []string{"get 5 -1 -1 0", "get 6 -1 -1 0", "get 7 -1 -1 0", "get 7 -1 -1 0"}},
	{"int32", be32(1, -2), []string{"get 1 -1 -1 0", "get -2 -1 -1 0"}},
	{"int64", be64(1<<40, -1), []string{"get 1099511627776 -1 -1 0", "get -1 -1 -1 0"}},
	{"keys", []byte("a\n*\r\nb c\n\n* end\nlast"), []string{"get a -1 -1 0", "get b c -1 -1 0", "get last -1 -1 0"}},
	{"adaptsize", []byte("1 17 300\n2 18 0\n"), []string{"get 17 -1 300 0", "get 18 -1 0 0"}},
	{
		"twitter", []byte("0,k,y,17,273,4,set,86400\n1,k2,9,0,4,gets,0\n2,k3,9,0,4,delete,0\n"),
		[]string{"put k,y 17 273 86400", "get k2 9 -1 0", "delete k3 9 0 0"},
	},
	{
		"cachelib", []byte(cachelibHeader + "60,ab,48,GET,2,87,1,0,3,3\n61,cd,24,SET,1,5,0,300,3,3\n62,ef,24,GET_LEASE,1,0,0,0,3,3\n"),
		[]string{"get ab 48 87 0", "get ab 48 87 0", "put cd 24 5 300", "get ef 24 -1 0"},
	},
	{
		"oracle", append(oracleRecord(7, 1<<63, 512, 9), oracleRecord(8, 3, 1, -1)...),
		[]string{"get 9223372036854775808 -1 512 0", "get 3 -1 1 0"},
	},
}

func TestFormats(t *testing.T) {
	for _, s := range samples {
		got, err := readAll(s.in, s.format)
		if err != nil || strings.Join(got, "\n") != strings.Join(s.want, "\n") {
			t.Errorf("%s: %q, %v; want %q", s.format, got, err, s.want)
		}
	}
	if len(samples) != len(Formats()) || len(decoders) != len(Formats()) {
		t.Errorf("%d samples, %d decoders for %d formats", len(samples), len(decoders), len(Formats()))
	}
}

func compressors(t *testing.T, in []byte) map[string][]byte {
	t.Helper()
	out := map[string][]byte{"plain": in}
	for name, open := range map[string]func(io.Writer) (io.WriteCloser, error){
		"gzip": func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil },
		"zstd": func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) },
		"xz":   func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) },
	} {
		var buf bytes.Buffer
		w, err := open(&buf)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(in); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		out[name] = buf.Bytes()
	}
	return out
}

func TestCompression(t *testing.T) {
	for name, in := range compressors(t, samples[0].in) {
		got, err := readAll(in, "arc")
		if err != nil || len(got) != len(samples[0].want) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if name == "plain" {
			continue
		}
		if _, err := readAll(in[:len(in)-5], "arc"); err == nil {
			t.Errorf("%s: a file that is cut off gave no error", name)
		}
	}
}

// TestErrorsNameThePlace: every complaint says where, and what to do.
func TestErrorsNameThePlace(t *testing.T) {
	cases := []struct{ format, in, want string }{
		{"", "1 2 3\n", "name one of arc"},
		{"csv", "", "use one of arc"},
		{"arc", "1 1 0 0\nx 1 0 0\n", "line 2: start block"},
		{"arc", "1 99999999999 0 0\n", "line 1: number of blocks"},
		{"arc", "1\n", "line 1: number of blocks"},
		{"int32", "\x00\x00\x00\x01\x00", "record 2: 1 bytes left of 4"},
		{"oracle", "short", "record 1: 5 bytes left of 24"},
		{"keys", strings.Repeat("k", readBytes+1), "line 1: longer than"},
		{"adaptsize", "1 2\n", "line 1: want sequence, key and size"},
		{"adaptsize", "1 2 -3\n", "line 1: size"},
		{"twitter", "1,2,3\n", "line 1: fewer than 7 columns"},
		{"twitter", "1,k,3,4,5,fly,7\n", "unknown operation"},
		{"twitter", "1,k,3,4,5,get,99999999999\n", "line 1: TTL"},
		{"cachelib", "op_time,key\n", "no column key_size"},
		{"cachelib", cachelibHeader + "\n1,2\n", "line 3: 2 columns where the header has 10"},
		{"cachelib", cachelibHeader + "1,,3,GET,1,1,1,0,0,0\n", "key is empty"},
	}
	for _, c := range cases {
		_, err := readAll([]byte(c.in), c.format)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %.30q: error %v, want %q", c.format, c.in, err, c.want)
		}
	}
}

func TestErrorsStay(t *testing.T) {
	r, err := NewReader(strings.NewReader("x\n1 1 0 0\n"), "arc")
	if err != nil {
		t.Fatal(err)
	}
	var req Request
	first, second := r.Next(&req), r.Next(&req)
	if first == nil || first != second {
		t.Errorf("first %v, then %v", first, second)
	}
}

func TestOpenAndCount(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.csv")
	if err := os.WriteFile(path, samples[6].in, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := Count(path, ""); err != nil || got != (Counts{Requests: 4, Records: 3, UniqueKeys: 3}) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := Open(path+".absent", "arc"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
}

// FuzzReaders: no input makes a reader panic, hang, or return an empty key.
func FuzzReaders(f *testing.F) {
	for i, s := range samples {
		f.Add(uint8(i), s.in)
	}
	f.Fuzz(func(t *testing.T, which uint8, in []byte) {
		r, err := NewReader(bytes.NewReader(in), Formats()[int(which)%len(Formats())])
		if err != nil {
			return
		}
		defer r.Close()
		var req Request
		for range 10_000 {
			if r.Next(&req) != nil {
				return
			}
			if len(req.Key) == 0 || req.ValueBytes < Unknown {
				t.Fatalf("request %+v", req)
			}
		}
	})
}
