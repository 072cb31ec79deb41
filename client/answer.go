package client

import (
	"fmt"
	"time"

	"gannet/wire"
)

// statusErrors maps what a node answers to what a caller tests for.
var statusErrors = [wire.StatusCount]error{
	wire.StatusMiss:            ErrMiss,
	wire.StatusExists:          ErrExists,
	wire.StatusNotFound:        ErrNotFound,
	wire.StatusVersionMismatch: ErrVersion,
	wire.StatusLeaseGranted:    ErrMiss,
	wire.StatusLeaseWait:       ErrLeaseWait,
	wire.StatusLeaseRefused:    ErrLeaseRefused,
	wire.StatusMoved:           ErrMoved,
	wire.StatusTooLarge:        ErrTooLarge,
	wire.StatusNoMemory:        ErrNoMemory,
	wire.StatusOverloaded:      ErrOverloaded,
	wire.StatusTooLate:         errTooLate,
	wire.StatusBadRequest:      ErrBadRequest,
	wire.StatusNotANumber:      ErrNotANumber,
	wire.StatusUnsupported:     ErrUnsupported,
	wire.StatusFenced:          ErrFenced,
	wire.StatusOutcomeUnknown:  ErrOutcomeUnknown,
	wire.StatusForbidden:       ErrForbidden,
	wire.StatusBehind:          ErrBehind,
	wire.StatusBusyUploads:     ErrOverloaded,
	wire.StatusUnavailable:     ErrUnavailable,
	wire.StatusChanged:         ErrProtocol, // handled before
	wire.StatusPartial:         ErrProtocol, // handled before
	wire.StatusCookieRequired:  ErrProtocol, // handled before
}

// errTooLate is the node's word that the budget was over before its turn came:
// the node is behind, and for the caller the time is over.
var errTooLate = fmt.Errorf("%w: %w", ErrOverloaded, ErrTimeout)

// err is the operation's outcome as an error.
func (op *operation) err() error {
	if op.failure != nil {
		return op.failure
	}
	if op.answer.Status == wire.StatusOK {
		return nil
	}
	return statusErrors[op.answer.Status]
}

// item is the operation's outcome as an item.
func (op *operation) item() Item {
	a := &op.answer
	item := Item{
		Value: op.value, Version: Version(a.Version),
		TTL: NoTTL, Age: time.Duration(a.AgeSeconds) * time.Second,
		Stale: a.Flags&wire.ReplyStale != 0,
	}
	if a.TTLSeconds != wire.NoTTL {
		item.TTL = time.Duration(a.TTLSeconds) * time.Second
	}
	if a.Flags&wire.ReplyLease != 0 || a.Status == wire.StatusLeaseGranted {
		item.Lease = Lease(a.Token)
	}
	if a.Status == wire.StatusLeaseWait {
		item.Wait = time.Duration(a.Token) * time.Millisecond
	}
	return item
}

// checkKey refuses keys that the protocol cannot carry.
func checkKey(key string) error {
	if len(key) == 0 || len(key) > wire.MaxKeyBytes {
		return fmt.Errorf("%w: key of %d bytes: use 1 to %d bytes", ErrBadRequest, len(key), wire.MaxKeyBytes)
	}
	return nil
}

// keyHash places a key: in the ring by its upper bits, in a node by its lower ones.
func keyHash(key []byte) uint64 { return wire.KeyHash(key) }
