package board

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// TestQueueAgainstAList pushes and pops at random, opens either end anew in
// between, and compares with a list.
func TestQueueAgainstAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mem := heapBytes(queueStride(4096))
		layQueue(mem)
		producer, consumer := newQueue(mem), newQueue(mem)
		type record struct {
			kind uint32
			data []byte
		}
		var want []record
		lost := uint64(0)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				producer = newQueue(mem)
			case 1:
				consumer = newQueue(mem)
			case 2, 3, 4, 5:
				n := rapid.SampledFrom([]int{0, 1, 7, 8, 9, 100, 1000, 2039, 2040, 2041, 5000}).Draw(t, "bytes")
				r := record{rapid.Uint32Range(1, 1000).Draw(t, "kind"), bytes.Repeat([]byte{byte(n)}, n)}
				room := producer.Room()
				if producer.Push(r.kind, r.data) {
					want = append(want, r)
				} else {
					lost++
					if n <= room {
						t.Fatalf("no room for %d bytes, %d were promised", n, room)
					}
				}
			default:
				kind, data, ok, err := consumer.Peek()
				if err != nil || ok != (len(want) > 0) {
					t.Fatalf("peek with %d records: %v %v", len(want), ok, err)
				}
				if !ok {
					continue
				}
				if kind != want[0].kind || !bytes.Equal(data, want[0].data) {
					t.Fatalf("record of kind %d and %d bytes, want %d and %d", kind, len(data), want[0].kind, len(want[0].data))
				}
				if rapid.Bool().Draw(t, "pop") {
					consumer.Pop()
					want = want[1:]
				}
			}
		}
		if consumer.Lost() != lost || (consumer.Filled() == 0) != (len(want) == 0) {
			t.Fatalf("lost %d, want %d; filled %d with %d records", consumer.Lost(), lost, consumer.Filled(), len(want))
		}
	})
}

func TestAnEmptyQueueHasRoomForTheLongestRecord(t *testing.T) {
	q := NewQueue(4096)
	for range 50 { // wherever its indices stand
		if !q.Push(1, make([]byte, q.MaxRecord())) {
			t.Fatal("no room")
		}
		if _, data, ok, err := q.Peek(); !ok || err != nil || len(data) != q.MaxRecord() {
			t.Fatal("not there")
		}
		q.Pop()
		q.Push(1, make([]byte, 40))
		_, _, _, _ = q.Peek()
		q.Pop()
	}
}

func TestTheOldestStayWhenAQueueOverflows(t *testing.T) {
	q := NewQueue(4096)
	pushed := 0
	for i := range 1000 {
		if q.Push(1, binary.LittleEndian.AppendUint64(nil, uint64(i))) {
			pushed++
		}
	}
	if pushed != 4096/16 || q.Lost() != uint64(1000-pushed) {
		t.Fatalf("%d pushed, %d lost", pushed, q.Lost())
	}
	_, data, _, _ := q.Peek()
	if binary.LittleEndian.Uint64(data) != 0 {
		t.Error("the oldest was overwritten")
	}
}

func TestWhatAProducerDidNotCommitIsNotThere(t *testing.T) {
	mem := heapBytes(queueStride(4096))
	layQueue(mem)
	dead := newQueue(mem)
	dead.Push(1, []byte("whole"))
	room, _ := dead.Reserve(2, 100)
	copy(room, "half")
	next := newQueue(mem) // its successor
	next.Push(3, []byte("after"))
	q := newQueue(mem)
	for _, want := range []string{"whole", "after"} {
		if _, data, ok, err := q.Peek(); !ok || err != nil || string(data) != want {
			t.Fatalf("got %q %v %v, want %q", data, ok, err, want)
		}
		q.Pop()
	}
}

func TestFollowStartsAfterWhatIsThere(t *testing.T) {
	q := NewQueue(4096)
	q.Push(1, []byte("old"))
	if q.Followed() {
		t.Error("followed before anybody does")
	}
	q.Follow(true)
	q.Push(1, []byte("new"))
	if _, data, _, _ := q.Peek(); string(data) != "new" || !q.Followed() {
		t.Errorf("got %q", data)
	}
	q.Follow(false)
	if q.Followed() {
		t.Error("still followed")
	}
}

// FuzzTornQueue opens a queue whose words and records are anything: it may lose
// everything, but must neither crash nor go on for ever, and must work afterwards.
func FuzzTornQueue(f *testing.F) {
	f.Add([]byte{}, uint64(0), uint64(0))
	f.Add([]byte{255, 255, 255, 255, 255, 255, 255, 255}, uint64(16), uint64(0))
	f.Add([]byte{8, 0, 0, 0, 1, 0, 0, 0}, uint64(4097), uint64(1))
	f.Add([]byte{8, 0, 0, 0, 1, 0, 0, 0}, uint64(0), uint64(1<<63))
	f.Add([]byte{240, 15, 0, 0, 255, 255, 255, 255}, uint64(4096), uint64(8))
	f.Fuzz(func(t *testing.T, ring []byte, tail, head uint64) {
		mem := heapBytes(queueStride(4096))
		layQueue(mem)
		copy(mem[queueHeadBytes:], ring)
		words := wordsOf(mem)
		words[wordTail].Store(tail)
		words[wordHead].Store(head)
		producer, consumer := newQueue(mem), newQueue(mem)
		producer.Push(1, []byte("first")) // may be lost
		for range 4096 {
			_, _, ok, err := consumer.Peek()
			if err != nil && !errors.Is(err, ErrTorn) {
				t.Fatal(err)
			}
			if !ok && err == nil {
				break
			}
			if ok {
				consumer.Pop()
			}
		}
		producer = newQueue(mem)
		producer.Push(1, []byte("lost, or not"))
		_, _, _, _ = consumer.Peek()
		consumer.Follow(true)
		if !producer.Push(7, []byte("good")) {
			t.Fatal("no room in an empty queue")
		}
		if kind, data, ok, err := consumer.Peek(); !ok || err != nil || kind != 7 || string(data) != "good" {
			t.Fatalf("after the repair: %d %q %v %v", kind, data, ok, err)
		}
	})
}

func TestMutationsPassUnchanged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := NewQueue(16384)
		in := Mutation{
			Kind:    MutationKind(rapid.Uint32Range(1, uint32(MutationScanEnd)).Draw(t, "kind")),
			Version: rapid.Uint64().Draw(t, "version"), Hash: rapid.Uint64().Draw(t, "hash"),
			TTLSeconds: rapid.Uint32().Draw(t, "ttl"), SoftSeconds: rapid.Uint32().Draw(t, "soft"), AsOfSeconds: rapid.Uint32().Draw(t, "as of"),
			Cached: rapid.Bool().Draw(t, "cached"),
			Key:    rapid.SliceOfN(rapid.Byte(), 0, 250).Draw(t, "key"), Value: rapid.SliceOfN(rapid.Byte(), 0, 3000).Draw(t, "value"),
		}
		q.PushMutation(&in)
		var out Mutation
		ok, err := q.PeekMutation(&out)
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		if out.Kind != in.Kind || out.Version != in.Version || out.Hash != in.Hash || out.TTLSeconds != in.TTLSeconds ||
			out.SoftSeconds != in.SoftSeconds || out.AsOfSeconds != in.AsOfSeconds || out.Cached != in.Cached || !bytes.Equal(out.Key, in.Key) || !bytes.Equal(out.Value, in.Value) {
			t.Fatalf("got %+v, want %+v", out, in)
		}
		if rest, err := NextMutation(in.Append(nil), &out); err != nil || len(rest) != 0 || out.Cached || !bytes.Equal(out.Key, in.Key) {
			t.Fatalf("it travels as %+v, %v", out, err)
		}
	})
}

func TestARecordThatIsNoMutationIsSkipped(t *testing.T) {
	q := NewQueue(4096)
	q.Push(99, make([]byte, 100))
	q.Push(uint32(MutationPut), make([]byte, 10))
	q.PushMutation(&Mutation{Kind: MutationDelete, Key: []byte("k")})
	var m Mutation
	for range 2 {
		if _, err := q.PeekMutation(&m); !errors.Is(err, ErrBadMutation) {
			t.Fatalf("got %v", err)
		}
	}
	if ok, err := q.PeekMutation(&m); !ok || err != nil || m.Kind != MutationDelete {
		t.Error("the good one behind them is lost")
	}
}
