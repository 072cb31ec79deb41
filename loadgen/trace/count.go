package trace

import (
	"errors"
	"io"

	"github.com/spaolacci/murmur3"
)

// Counts is what a scan of a whole trace finds.
type Counts struct {
	// Requests counts what Next delivers.
	Requests int64
	// Records counts the lines or records they came from: fewer where a record
	// stands for several requests (arc's runs, cachelib's op_count).
	Records    int64
	UniqueKeys int64
}

// Count reads a trace to its end. Keys are told apart by 64 bits of hash: among
// 10 million keys the chance of one mistake is about 3 in a million.
func Count(path, format string) (Counts, error) {
	r, err := Open(path, format)
	if err != nil {
		return Counts{}, err
	}
	defer r.Close()
	c, err := CountAll(r)
	c.Records = r.records()
	return c, err
}

// CountAll counts what is left in a source, which must end; Records stays 0.
func CountAll(src Source) (Counts, error) {
	var c Counts
	seen := make(map[uint64]struct{})
	var req Request
	for {
		err := src.Next(&req)
		if errors.Is(err, io.EOF) {
			c.UniqueKeys = int64(len(seen))
			return c, nil
		}
		if err != nil {
			return c, err
		}
		c.Requests++
		seen[murmur3.Sum64(req.Key)] = struct{}{}
	}
}
