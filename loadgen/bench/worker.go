package bench

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"gannet/loadgen/values"
)

// worker is one thread: its lanes, its transport, and what it counts.
type worker struct {
	opt       *Options
	number    int
	cpu       int // -1: not pinned
	clock     clock
	transport transport
	codec     codec
	lanes     []*lane // by the transport's index
	byShard   []lanes
	text      keyText

	drawing  *drawing
	source   source
	schedule *schedule // nil: closed loop
	limit    int       // closed loop: requests on their way
	draft    draft
	open     int // requests on their way, over all lanes
	resend   []resend

	phase    phase
	now      int64 // of the last look at the clock
	start    int64 // of the run
	window   span  // in which what is sent counts
	counts   [phaseCount]counts
	late     int64 // replies later than this are late; 0 = never
	latency  *hdrhistogram.Histogram
	busy     busy
	totals   totals
	nextShow int64
	stop     *atomic.Bool
	failures int // preload: requests that had to be sent again
}

// lanes are those of one shard, taken in turn.
type lanes struct {
	all  []*lane
	next int
}

// span is from its first nanosecond to before its last.
type span struct{ from, to int64 }

func (s span) has(nanos int64) bool { return nanos >= s.from && nanos < s.to }

// resend names a request that is to be sent once more as it is.
type resend struct {
	lane     *lane
	sequence uint64
}

// clock counts nanoseconds since a moment.
type clock struct{ base time.Time }

func (c clock) nanos() int64 { return int64(time.Since(c.base)) }

// longestWait bounds every sleep, so that an end is noticed.
const longestWait = 10 * time.Millisecond

// showEvery is how often a thread tells its totals.
const showEvery = int64(time.Millisecond)

// pin takes a thread for this goroutine and ties it to its CPU. The thread is not
// given back: it ends with the goroutine.
func (w *worker) pin() error {
	runtime.LockOSThread()
	// Sleeps end when they should, not up to 50 µs later.
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("exact timers: %w", err)
	}
	if w.cpu < 0 {
		return nil
	}
	var set unix.CPUSet
	set.Set(w.cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin a generator's thread to CPU %d: %w: give a CPU that this process may run on", w.cpu, err)
	}
	return nil
}

// fill stores every key that is this thread's to store.
func (w *worker) fill(s *storing) error {
	w.phase, w.source, w.schedule, w.limit = phasePreload, s, nil, preloadInFlight
	w.draft.keys = w.draft.keys[:0]
	allowed := 3*w.opt.Keys + 1000
	for !w.stop.Load() {
		failures := w.failures
		sent, got, err := w.turn()
		if err != nil {
			return err
		}
		if w.failures > failures {
			time.Sleep(afterFailure)
		}
		if w.failures > allowed {
			return fmt.Errorf("store the keys: %d requests failed (%d lost, %v): can the server hold them all?", w.failures, w.counts[phasePreload].lost, w.errorNames(phasePreload))
		}
		if sent+got > 0 {
			continue
		}
		if w.open == 0 && len(s.again) == 0 && len(w.draft.keys) == 0 {
			w.totals.publish(&w.counts)
			return nil
		}
		if err := w.transport.wait(int64(time.Millisecond)); err != nil {
			return err
		}
	}
	return nil
}

// afterFailure is time for a node that refuses: its fence may have lapsed for a moment.
const afterFailure = 5 * time.Millisecond

// preloadInFlight is how many requests the preload keeps on their way.
const preloadInFlight = 64

// run offers the load until the window's end, and then waits for the last replies.
func (w *worker) run() error {
	w.phase = phaseAround
	for now := w.clock.nanos(); now < w.start && !w.stop.Load(); now = w.clock.nanos() {
		time.Sleep(time.Duration(w.start - now))
	}
	for !w.stop.Load() && !w.isOver(w.clock.nanos()) {
		if err := w.step(); err != nil {
			return err
		}
	}
	w.busy.end(min(w.now, w.window.to))
	if w.schedule != nil {
		w.counts[phaseWindow].unsent += w.schedule.passTo(w.window.to)
	}
	w.source = nil
	for deadline := w.window.to + int64(w.opt.Timeout); !w.stop.Load() && w.open > 0 && w.clock.nanos() < deadline; {
		if err := w.step(); err != nil {
			return err
		}
	}
	w.abandon()
	w.totals.publish(&w.counts)
	return nil
}

// catchUp is the share of the window for which an open loop goes on after it, when
// some of its requests could not be sent yet.
const catchUp = 20

// isOver says that there is nothing more to send.
func (w *worker) isOver(now int64) bool {
	if w.schedule == nil || w.source == nil {
		return now >= w.window.to
	}
	return now >= w.window.to+(w.window.to-w.window.from)/catchUp || now >= w.window.to && w.schedule.at() >= w.window.to
}

// step is one turn, with its time noted, and a sleep when it found nothing to do.
func (w *worker) step() error {
	began := w.clock.nanos()
	sent, got, err := w.turn()
	if err != nil {
		return err
	}
	w.busy.turn(began, w.clock.nanos(), sent+got > 0, w.window)
	if sent+got > 0 || w.opt.Spin {
		return nil
	}
	return w.transport.wait(w.patience(w.clock.nanos()))
}

// patience is how long to sleep at most.
func (w *worker) patience(now int64) int64 {
	patience := int64(longestWait)
	if w.schedule != nil && w.source != nil {
		patience = min(patience, w.schedule.at()-now)
	}
	return max(patience, 0)
}

// turn sends what is due, takes in what has come, and gives up what is overdue.
func (w *worker) turn() (sent, got int, err error) {
	w.now = w.clock.nanos()
	sent = w.again() + w.issue()
	if err := w.transport.flush(); err != nil {
		return 0, 0, err
	}
	if got, err = w.transport.receive(); err != nil {
		return 0, 0, err
	}
	if got > 0 {
		w.now = w.clock.nanos()
		for i := range got {
			lane, data := w.transport.message(i)
			if lane < len(w.lanes) {
				w.transport.consume(i, w.codec.decode(w, w.lanes[lane], data))
			}
		}
	}
	if w.now >= w.nextShow {
		w.expire()
		w.totals.publish(&w.counts)
		w.nextShow = w.now + showEvery
	}
	return sent, got, nil
}

// again sends once more what had to be.
func (w *worker) again() (sent int) {
	for n := len(w.resend); n > 0; n = len(w.resend) {
		r := w.resend[n-1]
		if s := r.lane.pending.find(r.sequence); s != nil {
			if !w.encode(r.lane, r.sequence, s) {
				return sent
			}
			sent++
		}
		w.resend = w.resend[:n-1]
	}
	return sent
}

// issue sends up to a batch of the requests that are due.
func (w *worker) issue() (sent int) {
	for sent < batch && w.source != nil {
		intended := w.now
		if w.schedule != nil {
			intended = w.schedule.at()
			if intended > w.now || intended >= w.window.to {
				break
			}
		} else if w.open >= w.limit {
			break
		}
		if len(w.draft.keys) == 0 && !w.source.next(&w.draft) {
			break
		}
		if !w.send(intended) {
			break
		}
		w.draft.keys = w.draft.keys[:0]
		if w.schedule != nil {
			w.schedule.pass()
		}
		sent++
	}
	return sent
}

// send puts the draft on its way; false when there is no room now.
func (w *worker) send(intended int64) bool {
	l := w.lane(w.draft.shard)
	if l == nil {
		return false
	}
	sequence, s := l.pending.start()
	if s.number != 0 {
		w.lose(l, s)
	}
	s.intended, s.sent, s.write, s.phase = intended, w.now, w.draft.write, w.phase
	if w.phase == phaseAround && w.window.has(intended) {
		s.phase = phaseWindow
	}
	l.pending.begin(sequence, s, w.draft.keys, w.codec.closings(s.write))
	if !w.encode(l, sequence, s) {
		l.pending.end(s)
		l.pending.next--
		return false
	}
	w.open++
	w.counts[s.phase].requests++
	return true
}

// lane chooses one of a shard's in turn, passing over connections that have their
// share on their way already.
func (w *worker) lane(shard int) *lane {
	ls := &w.byShard[shard]
	most := 1 << 30
	if w.transport.stream() {
		most = len(ls.all[0].pending.slots)
		if w.schedule == nil {
			most = min(most, (w.limit+len(ls.all)-1)/len(ls.all))
		}
	}
	for range ls.all {
		l := ls.all[ls.next]
		if ls.next++; ls.next == len(ls.all) {
			ls.next = 0
		}
		if l.pending.open < most {
			return l
		}
	}
	return nil
}

// encode queues a request's messages. False when the first has no room; later parts
// that have none are lost, and with them the request.
func (w *worker) encode(l *lane, sequence uint64, s *slot) bool {
	keys := l.pending.keysOf(sequence, int(s.count))
	for part := range w.codec.parts(s.write, keys) {
		b := w.transport.buffer(l.index)
		if b == nil && part > 0 && w.transport.flush() == nil {
			b = w.transport.buffer(l.index)
		}
		if b == nil {
			return part > 0
		}
		n := w.codec.encode(b, l, sequence, s, keys, part)
		if n == 0 {
			return part > 0
		}
		w.transport.commit(l.index, n)
	}
	return true
}

// The codec says what an operation's answer was by one of these; ended follows.

func (w *worker) hit(l *lane, sequence uint64, s *slot, key uint32, value []byte) {
	if !w.opt.SkipVerify && !w.isValue(key, value) {
		w.corrupt(l, sequence, s)
		return
	}
	w.counts[s.phase].hits++
	w.ended(l, sequence, s)
}

func (w *worker) isValue(key uint32, value []byte) bool {
	hash := w.text.hash(key)
	return values.Check(value, hash) && len(value) == w.opt.ValueSize.Bytes(hash)
}

func (w *worker) miss(l *lane, sequence uint64, s *slot) {
	w.counts[s.phase].misses++
	w.ended(l, sequence, s)
}

func (w *worker) stored(l *lane, sequence uint64, s *slot) {
	w.counts[s.phase].stored++
	w.ended(l, sequence, s)
}

func (w *worker) fail(l *lane, sequence uint64, s *slot, k kind) {
	w.counts[s.phase].errors[k]++
	s.failed = true
	w.ended(l, sequence, s)
}

// corrupt is what a value is that is not what was stored.
func (w *worker) corrupt(l *lane, sequence uint64, s *slot) {
	w.counts[s.phase].corrupt++
	s.failed = true
	w.ended(l, sequence, s)
}

// ended counts an operation's answer.
func (w *worker) ended(l *lane, sequence uint64, s *slot) {
	w.counts[s.phase].keys++
	w.shut(l, sequence, s)
}

// shut ends a request with the last of its answers.
func (w *worker) shut(l *lane, sequence uint64, s *slot) {
	if s.left--; s.left > 0 {
		return
	}
	c := &w.counts[s.phase]
	c.replies++
	latency := max(w.now-s.intended, 1)
	switch {
	case s.failed && s.phase == phasePreload:
		w.storeAgain(l, sequence, s)
	case s.failed || s.phase != phaseWindow:
	default:
		_ = w.latency.RecordValue(min(latency, mostNanos)) // inside its range
		if w.late > 0 && latency > w.late {
			c.late++
		}
	}
	l.pending.end(s)
	w.open--
}

// expire gives up what is overdue. Connections lose nothing.
func (w *worker) expire() {
	if w.transport.stream() {
		return
	}
	for _, l := range w.lanes {
		for _, s := l.pending.oldest(); s != nil && s.sent+int64(w.opt.Timeout) < w.now; _, s = l.pending.oldest() {
			w.lose(l, s)
		}
	}
}

// abandon loses what has no answer at the end.
func (w *worker) abandon() {
	for _, l := range w.lanes {
		for _, s := l.pending.oldest(); s != nil; _, s = l.pending.oldest() {
			w.lose(l, s)
		}
	}
}

func (w *worker) lose(l *lane, s *slot) {
	if s.phase == phasePreload {
		w.storeAgain(l, s.number-1, s)
	}
	w.counts[s.phase].lost++
	l.pending.end(s)
	w.open--
}

// storeAgain gives a request's keys back to the preload.
func (w *worker) storeAgain(l *lane, sequence uint64, s *slot) {
	storing, ok := w.source.(*storing)
	if !ok {
		return
	}
	w.failures++
	for _, key := range l.pending.keysOf(sequence, int(s.count)) {
		storing.again = append(storing.again, key&^answered)
	}
}

// failRest ends a request whose other operations will have no answers.
func (w *worker) failRest(l *lane, sequence uint64, s *slot, k kind) {
	closings := int(s.closings)
	for left := s.operations(); left > 0; left-- {
		w.fail(l, sequence, s, k)
	}
	for range closings {
		w.shut(l, sequence, s)
	}
}

// strange counts an answer that belongs to no request.
func (w *worker) strange(k kind) { w.counts[w.strangers()].errors[k]++ }

// strangers is the phase under which such answers count.
func (w *worker) strangers() phase {
	if w.phase != phasePreload && w.window.has(w.now) {
		return phaseWindow
	}
	return w.phase
}

func newRandom(seed uint64, number int) *rand.Rand {
	return rand.New(rand.NewPCG(seed, uint64(number)))
}

// errorNames are the counts of a phase's errors by name.
func (w *worker) errorNames(p phase) map[string]uint64 { return namesOf(&w.counts[p].errors) }

func namesOf(errors *[kindCount]uint64) map[string]uint64 {
	names := map[string]uint64{}
	for k, n := range errors {
		if n > 0 {
			names[kind(k).String()] += n
		}
	}
	return names
}
