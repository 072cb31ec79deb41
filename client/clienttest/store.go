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
	leases        map[string]uint64
	uploads       map[uploadKey]*uploading
	remembered    map[requestKey]wire.ReplyOp
}

type item struct {
	value                   []byte
	version                 uint64
	ttlSeconds, softSeconds uint32
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
	st.leases = map[string]uint64{}
	st.uploads = map[uploadKey]*uploading{}
	st.remembered = map[requestKey]wire.ReplyOp{}
}

func (st *store) put(key string, value []byte, ttlSeconds, softSeconds uint32) uint64 {
	st.sequence++
	version := uint64(wire.MakeVersion(1, st.sequence))
	st.items[key] = &item{append([]byte(nil), value...), version, ttlSeconds, softSeconds}
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
	key := string(op.Key)
	if holder, taken := st.leases[key]; taken && holder != request.RequestID {
		answer.Status, answer.Token = wire.StatusLeaseWait, 50
		return
	}
	st.leases[key] = request.RequestID
	answer.Status, answer.Token = wire.StatusLeaseGranted, request.RequestID
	answer.Flags |= wire.ReplyLease
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
	switch op.Code {
	case wire.Add:
		if it != nil {
			return wire.StatusExists
		}
	case wire.Put:
		if lease, held := st.leases[string(op.Key)]; op.Arg != 0 && (!held || lease != op.Arg) {
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
