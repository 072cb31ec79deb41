package gossip

import (
	"bytes"
	"context"
	"log"
	"log/slog"
	"sync/atomic"
	"time"
)

// Warnings of the library are logged once in this time, with the number left out:
// anybody may send to the port, and each wrong datagram is a warning to it.
const warnEvery = time.Second

// logWriter puts the library's log into ours.
type logWriter struct {
	log     *slog.Logger
	now     func() time.Time
	last    atomic.Int64
	skipped atomic.Uint64
}

func newLogger(l *slog.Logger) *log.Logger {
	return log.New(&logWriter{log: l.With("from", "memberlist"), now: time.Now}, "", 0)
}

var levels = []struct {
	mark  string
	level slog.Level
}{
	// Its errors are lost datagrams and the like: nothing that ends it.
	{"[ERR] ", slog.LevelWarn},
	{"[WARN] ", slog.LevelInfo},
	{"[INFO] ", slog.LevelDebug},
	{"[DEBUG] ", slog.LevelDebug},
}

// Write takes one line.
func (w *logWriter) Write(line []byte) (int, error) {
	level, text := slog.LevelDebug, bytes.TrimSpace(line)
	for _, l := range levels {
		if rest, ok := bytes.CutPrefix(text, []byte(l.mark)); ok {
			level, text = l.level, rest
			break
		}
	}
	text = bytes.TrimPrefix(text, []byte("memberlist: "))
	ctx := context.Background()
	if !w.log.Enabled(ctx, level) {
		return len(line), nil
	}
	var skipped uint64
	if level > slog.LevelDebug {
		now, last := w.now().UnixNano(), w.last.Load()
		if now-last < warnEvery.Nanoseconds() || !w.last.CompareAndSwap(last, now) {
			w.skipped.Add(1)
			return len(line), nil
		}
		skipped = w.skipped.Swap(0)
	}
	w.log.Log(ctx, level, string(text), "left_out", skipped)
	return len(line), nil
}
