package clienttest

import (
	"strconv"

	"gannet/wire"
)

// store is a node's memory. It is used under the server's lock.
type store struct {
	maxValueBytes int
	forgets       bool
	sequence      uint64
	items         map[string]*item
	leases        map[string]lease
	grants        map[string]uint16
	uploads       map[uploadKey]*uploading
	remembered    map[requestKey]wire.ReplyOp
}

type item struct {
	value                   []byte
	version                 uint64
	ttlSeconds, softSeconds uint32
	stale                   bool
}

// lease is the right to load a key. A lapsed one counts until another has been given.
type lease struct {
	token  uint64
	lapsed bool
}

type requestKey struct{ session, request uint64 }

type uploadKey struct{ session, transfer uint64 }

// uploading is a value of which parts are here.
type uploading struct {
	value []byte
	have  map[uint32]bool
	bytes int
}

func (st *store) init(config *Config) {
	st.maxValueBytes, st.forgets = config.MaxValueBytes, config.ForgetTransfers
	st.items = map[string]*item{}
	st.leases = map[string]lease{}
	st.grants = map[string]uint16{}
	st.uploads = map[uploadKey]*uploading{}
	st.remembered = map[requestKey]wire.ReplyOp{}
}

func (st *store) put(key string, value []byte, ttlSeconds, softSeconds uint32) uint64 {
	st.sequence++
	version := uint64(wire.MakeVersion(1, st.sequence))
	st.items[key] = &item{value: append([]byte(nil), value...), version: version, ttlSeconds: ttlSeconds, softSeconds: softSeconds}
	delete(st.leases, key)
	return version
}

func (it *item) describe(answer *wire.ReplyOp) {
	answer.Version = wire.Version(it.version)
	if it.ttlSeconds != 0 {
		answer.TTLSeconds = it.ttlSeconds
	}
}

// lease gives the right to load a missing key to the first who asks.
func (st *store) lease(op *wire.Op, request *wire.Request, answer *wire.ReplyOp) {
	if !st.take(op, request, answer) {
		answer.Status, answer.Token = wire.StatusLeaseWait, 50
		return
	}
	answer.Status = wire.StatusLeaseGranted
}

// take gives a key's lease to the first who asks.
func (st *store) take(op *wire.Op, request *wire.Request, answer *wire.ReplyOp) bool {
	key := string(op.Key)
	token := request.SessionID ^ request.RequestID // as good as unique
	if held, taken := st.leases[key]; taken && !held.lapsed && held.token != token {
		return false
	}
	st.leases[key] = lease{token: token}
	answer.Token = token
	answer.Flags |= wire.ReplyLease
	return true
}

// describeHot adds what is not the item's own: staleness, refresh lease, L1 grant.
func (st *store) describeHot(it *item, op *wire.Op, request *wire.Request, answer *wire.ReplyOp) {
	if it.stale {
		answer.Flags |= wire.ReplyStale
		if op.Flags&wire.OpLease != 0 {
			st.take(op, request, answer)
		}
		return
	}
	if millis := st.grants[string(op.Key)]; millis != 0 {
		answer.Flags |= wire.ReplyL1Grant
		answer.L1GrantMillis = millis
	}
}

// write carries out a mutation, once for each request id.
func (st *store) write(request *wire.Request, op *wire.Op, answer *wire.ReplyOp) {
	id := requestKey{request.SessionID, request.RequestID}
	if before, repeated := st.remembered[id]; repeated && request.OpCount == 1 {
		*answer = before
		return
	}
	if op.Flags&wire.OpSegment != 0 {
		value, whole := st.part(request, op)
		if !whole {
			answer.Status = wire.StatusPartial
			return
		}
		op.Value = value
	}
	st.apply(op, answer)
	if op.Flags&wire.OpSegment == 0 || !st.forgets {
		st.remembered[id] = *answer
	}
}

// part files a part of an upload and returns the value once it is whole.
func (st *store) part(request *wire.Request, op *wire.Op) (value []byte, whole bool) {
	id := uploadKey{request.SessionID, op.Transfer}
	up := st.uploads[id]
	if up == nil {
		up = &uploading{value: make([]byte, op.TotalBytes), have: map[uint32]bool{}}
		st.uploads[id] = up
	}
	if !up.have[op.OffsetBytes] {
		up.have[op.OffsetBytes] = true
		up.bytes += copy(up.value[op.OffsetBytes:], op.Value)
	}
	if up.bytes < len(up.value) {
		return nil, false
	}
	delete(st.uploads, id)
	return up.value, true
}

func (st *store) apply(op *wire.Op, answer *wire.ReplyOp) {
	key := string(op.Key)
	it := st.items[key]
	if answer.Status = st.admit(op, it); answer.Status != wire.StatusOK {
		if it != nil {
			answer.Version = wire.Version(it.version)
		}
		return
	}
	switch op.Code {
	case wire.Delete:
		delete(st.items, key)
		delete(st.leases, key)
	case wire.Touch:
		it.ttlSeconds = op.TTLSeconds
		answer.Version = wire.Version(it.version)
	case wire.Incr:
		st.incr(it, op, answer)
	default:
		answer.Version = wire.Version(st.put(key, op.Value, op.TTLSeconds, op.SoftSeconds))
	}
}

// admit says whether an operation may be carried out.
func (st *store) admit(op *wire.Op, it *item) wire.Status {
	if op.Code == wire.Delete {
		delete(st.leases, string(op.Key)) // also when there is no item
	}
	switch op.Code {
	case wire.Add:
		if it != nil {
			return wire.StatusExists
		}
	case wire.Put:
		if lease, held := st.leases[string(op.Key)]; op.Arg != 0 && (!held || lease.token != op.Arg) {
			return wire.StatusLeaseRefused
		}
	default:
		if it == nil {
			return wire.StatusNotFound
		}
	}
	if op.Code == wire.CAS && op.Arg != it.version {
		return wire.StatusVersionMismatch
	}
	if len(op.Value) > st.maxValueBytes {
		return wire.StatusTooLarge
	}
	return wire.StatusOK
}

func (st *store) incr(it *item, op *wire.Op, answer *wire.ReplyOp) {
	n, err := strconv.ParseInt(string(it.value), 10, 64)
	if err != nil {
		answer.Status = wire.StatusNotANumber
		return
	}
	n += int64(op.Arg)
	it.value = strconv.AppendInt(nil, n, 10)
	st.sequence++
	it.version = uint64(wire.MakeVersion(1, st.sequence))
	answer.Token, answer.Version = uint64(n), wire.Version(it.version)
}
