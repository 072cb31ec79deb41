package dataplane

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"gannet/dataplane/porttest"
	"gannet/wire"
)

// modelItem is what a map of Go thinks is stored.
type modelItem struct {
	value   []byte
	version wire.Version
}

// TestLoopAgainstAMap sends random datagrams of mixed operations and compares each
// answer with a plain map.
func TestLoopAgainstAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opt := porttest.Options{
			Strict: true, MaxSegments: rapid.IntRange(1, 2).Draw(t, "segments"),
			LateFlushes: rapid.IntRange(0, 3).Draw(t, "late"), SendAtMost: rapid.SampledFrom([]int{0, 1, 5}).Draw(t, "sendAtMost"),
		}
		r := newRapidRig(t, opt)
		defer r.end()
		model := map[string]modelItem{}
		for range rapid.IntRange(1, 30).Draw(t, "datagrams") {
			ops := drawOps(t, model)
			got := r.exchange(ops)
			for i := range ops {
				check(t, model, &ops[i], got[i])
			}
		}
	})
}

func drawOps(t *rapid.T, model map[string]modelItem) []wire.Op {
	ops := make([]wire.Op, rapid.IntRange(1, 6).Draw(t, "ops"))
	room := 1300
	for i := range ops {
		key := fmt.Sprint("key", rapid.IntRange(0, 5).Draw(t, "key"))
		op := wire.Op{Code: rapid.SampledFrom([]wire.Opcode{
			wire.Get, wire.Get, wire.Put, wire.Delete, wire.Add, wire.Replace, wire.CAS,
		}).Draw(t, "code"), Key: []byte(key)}
		if op.Code != wire.Get && op.Code != wire.Delete {
			n := rapid.IntRange(0, min(room, 600)).Draw(t, "bytes")
			op.Value = bytes.Repeat([]byte{rapid.Byte().Draw(t, "fill")}, n)
			room -= n
		}
		if op.Code == wire.CAS {
			op.Arg = uint64(model[key].version) + uint64(rapid.IntRange(0, 1).Draw(t, "off"))
		}
		ops[i] = op
	}
	return ops
}

// check compares one answer with the model, and changes the model.
func check(t *rapid.T, model map[string]modelItem, op *wire.Op, got wire.ReplyOp) {
	key := string(op.Key)
	item, there := model[key]
	want, stores := wire.StatusOK, false
	switch op.Code {
	case wire.Get:
		if !there {
			want = wire.StatusMiss
		} else if !bytes.Equal(got.Value, item.value) || got.Version != item.version {
			t.Fatalf("GET %s: %d bytes of version %v, want %d of %v", key, len(got.Value), got.Version, len(item.value), item.version)
		}
	case wire.Put:
		stores = true
	case wire.Delete:
		if !there {
			want = wire.StatusNotFound
		}
		delete(model, key)
	case wire.Add:
		if stores = !there; there {
			want = wire.StatusExists
		}
	case wire.Replace:
		if stores = there; !there {
			want = wire.StatusNotFound
		}
	case wire.CAS:
		switch {
		case !there:
			want = wire.StatusNotFound
		case op.Arg != uint64(item.version):
			want = wire.StatusVersionMismatch
		default:
			stores = true
		}
	}
	if got.Status != want {
		t.Fatalf("%v %s: %v, want %v", op.Code, key, got.Status, want)
	}
	if stores {
		if there && got.Version <= item.version {
			t.Fatalf("%v %s: version %v after %v", op.Code, key, got.Version, item.version)
		}
		model[key] = modelItem{bytes.Clone(op.Value), got.Version}
	}
}
