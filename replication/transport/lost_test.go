package transport

import (
	"path/filepath"
	"testing"

	"gannet/board"
	"gannet/replication"
)

// TestLostRecordsAreTold: whoever wants to hear of writes is told that there were some of
// which nothing is known, whether the log is replicated or only looked at.
func TestLostRecordsAreTold(t *testing.T) {
	for name, read := range map[string]func(r *logReader, b *board.Board){
		"replicated": func(r *logReader, b *board.Board) { r.read(b.Heartbeat(0), 1, func(replication.Event) {}) },
		"looked at":  func(r *logReader, _ *board.Board) { r.glance() },
	} {
		t.Run(name, func(t *testing.T) {
			b, err := board.Create(filepath.Join(t.TempDir(), "board"), board.Spec{Shards: 1, LogBytes: 64 << 10})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			var told []Write
			d := &Driver{cfg: Config{Wrote: func(writes []Write) { told = append(told, writes...) }}}
			r := &logReader{wrote: d.noteWrite, missed: d.noteLoss}
			q := b.Log(0)
			r.attach(q, 0)
			write := board.Mutation{Kind: board.MutationPut, Key: []byte("k"), Value: make([]byte, 1000)}
			for q.PushMutation(&write) {
				write.Version++
			}
			read(r, b)
			d.tellWrites()
			losses := 0
			for _, w := range told {
				if w.Lost {
					losses++
				}
			}
			if losses != 1 {
				t.Fatalf("of a loss %d were told", losses)
			}
			told = nil
			read(r, b)
			d.tellWrites()
			for _, w := range told {
				if w.Lost {
					t.Fatal("told twice")
				}
			}
		})
	}
}
