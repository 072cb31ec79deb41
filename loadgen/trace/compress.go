package trace

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// readBytes is the size of the read buffers, and the longest line there may be.
const readBytes = 64 << 10

var (
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
	xzMagic   = []byte{0xfd, '7', 'z', 'X', 'Z', 0}
	gzipMagic = []byte{0x1f, 0x8b}
)

func closeNothing() error { return nil }

// decompress looks at the first bytes and puts the right decompressor in front.
func decompress(in io.Reader) (*bufio.Reader, func() error, error) {
	raw := bufio.NewReaderSize(in, readBytes)
	head, err := raw.Peek(len(xzMagic))
	if err != nil && err != io.EOF {
		return nil, nil, fmt.Errorf("read the first bytes: %w", err)
	}
	switch {
	case bytes.HasPrefix(head, zstdMagic):
		return zstdReader(raw)
	case bytes.HasPrefix(head, xzMagic):
		return xzReader(raw)
	case bytes.HasPrefix(head, gzipMagic):
		return gzipReader(raw)
	}
	return raw, closeNothing, nil
}

func zstdReader(raw io.Reader) (*bufio.Reader, func() error, error) {
	z, err := zstd.NewReader(raw, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, nil, fmt.Errorf("zstd: %w", err)
	}
	return bufio.NewReaderSize(z, readBytes), func() error { z.Close(); return nil }, nil
}

func xzReader(raw io.Reader) (*bufio.Reader, func() error, error) {
	x, err := xz.NewReader(raw)
	if err != nil {
		return nil, nil, fmt.Errorf("xz: %w", err)
	}
	return bufio.NewReaderSize(x, readBytes), closeNothing, nil
}

func gzipReader(raw io.Reader) (*bufio.Reader, func() error, error) {
	g, err := gzip.NewReader(raw)
	if err != nil {
		return nil, nil, fmt.Errorf("gzip: %w", err)
	}
	return bufio.NewReaderSize(g, readBytes), g.Close, nil
}
