package client

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The errors a call can end with; test for them with errors.Is. Each says what
// the caller can do about it.
var (
	// ErrMiss says that the key is not in the cache. Get, GetInto and GetMulti
	// return it as it is, without wrapping.
	ErrMiss = errors.New("miss: the key is not in the cache; load the value from its source and put it")
	// ErrExists answers Add for a key that is there.
	ErrExists = errors.New("the key exists already; use put or replace to overwrite it")
	// ErrNotFound answers Delete, Touch, Replace, CompareAndSwap and Incr for a
	// key that is not there.
	ErrNotFound = errors.New("the key is not in the cache; put it first")
	// ErrVersion answers CompareAndSwap when another write came first.
	ErrVersion = errors.New("the item has another version by now; get it again and retry with the new one")
	// ErrNotANumber answers Incr for a value that is no decimal 64-bit integer,
	// or when the sum would leave that range.
	ErrNotANumber = errors.New("the value is not a decimal 64-bit integer, or the sum would overflow; put a number first")
	// ErrLeaseWait says that another reader is loading this key just now.
	ErrLeaseWait = errors.New("another reader holds the lease for this key; ask again after the wait that the item names")
	// ErrLeaseRefused answers a Put whose lease a delete or a newer put has
	// overtaken. The value it carried may be stale.
	ErrLeaseRefused = errors.New("the lease has been overtaken by a delete or a newer put; load the value again")
	// ErrBehind says that the leader has not seen the version asked for with AtLeast, or
	// that there was only a follower to ask, which is still being given the key's range.
	ErrBehind = errors.New("the node does not have the asked version yet; ask again or accept an older one")
	// ErrTooLarge says that a key or value is longer than the node takes.
	ErrTooLarge = errors.New("too large for the node; split the value, or raise the node's max-value")
	// ErrBadRequest says that an argument was refused, here or by the node.
	ErrBadRequest = errors.New("bad request")
	// ErrUnsupported says that the node does not know the operation.
	ErrUnsupported = errors.New("the node does not support this operation; upgrade it")
	// ErrForbidden says that the node's policy forbids the operation to this client.
	ErrForbidden = errors.New("the node forbids this operation to this client; check its allow-list and roles")
	// ErrNoMemory says that the node found no room even by evicting.
	ErrNoMemory = errors.New("the node has no room for the item; give it more memory or store less")
	// ErrOverloaded says that the node shed the request to stay fast.
	ErrOverloaded = errors.New("the node is overloaded and shed the request; slow down, then retry")
	// ErrFenced says that the node may not acknowledge writes at present.
	ErrFenced = errors.New("the node's fence has lapsed and it takes no writes; reads work, retry the write later")
	// ErrMoved says that each node asked named another one as the key's owner until
	// the deadline: the ring is changing, or the client cannot reach its newest form.
	ErrMoved = errors.New("the key belongs to another node in a newer ring, which could not be had in time; call again")
	// ErrTimeout says that no answer came in time.
	ErrTimeout = errors.New("no answer in time; check the address and that the node runs, or allow more time")
	// ErrUnavailable says that the node is known to be down: it refused packets
	// or said so itself, until the deadline.
	ErrUnavailable = errors.New("the node is not serving; check that it runs and listens on this address")
	// ErrOutcomeUnknown says that a write may or may not have been applied.
	ErrOutcomeUnknown = errors.New("the write may or may not have been applied; get the item to see")
	// ErrCorrupt says that every copy of a value received failed its checksum.
	ErrCorrupt = errors.New("the value received does not match its checksum; treat it as a miss and report it")
	// ErrProtocol says that the node answered what makes no sense.
	ErrProtocol = errors.New("the node's answer does not fit the question; check that both speak the same protocol version")
	// ErrClosed says that the client was closed.
	ErrClosed = errors.New("the client is closed; open a new one")
)

// OpError says which operation on which key failed, where and why.
type OpError struct {
	Op     string // "get", "put", …
	Key    string
	Server string // as given to Open, or the member's name
	Err    error
}

func (e *OpError) Error() string {
	if e.Key == "" {
		return fmt.Sprintf("%s at %s: %v", e.Op, e.Server, e.Err)
	}
	return fmt.Sprintf("%s %q at %s: %v", e.Op, e.Key, e.Server, e.Err)
}

func (e *OpError) Unwrap() error { return e.Err }

// timeoutError is what a call ends with when its time is over. It is ErrTimeout
// or the better known reason, the context's own error, and for a write that was
// sent also ErrOutcomeUnknown.
type timeoutError struct {
	reason         error
	ctxErr         error
	outcomeUnknown bool
}

// newTimeout makes the error of a call whose time is over. The context's own
// error belongs to it when the deadline was the context's, also when the call's
// timer noticed first. A call that was cancelled says so instead of blaming the
// node.
func newTimeout(ctx context.Context, reason error, outcomeUnknown bool) error {
	ctxErr := ctx.Err()
	if at, ok := ctx.Deadline(); ctxErr == nil && ok && !time.Now().Before(at) {
		ctxErr = context.DeadlineExceeded
	}
	if errors.Is(ctxErr, context.Canceled) {
		reason = ctxErr
	}
	return &timeoutError{reason: reason, ctxErr: ctxErr, outcomeUnknown: outcomeUnknown}
}

func (e *timeoutError) Error() string {
	msg := e.reason.Error()
	if e.outcomeUnknown {
		msg += "; " + ErrOutcomeUnknown.Error()
	}
	return msg
}

func (e *timeoutError) Unwrap() []error {
	errs := []error{e.reason}
	if e.ctxErr != nil {
		errs = append(errs, e.ctxErr)
	}
	if e.outcomeUnknown {
		errs = append(errs, ErrOutcomeUnknown)
	}
	return errs
}

// Timeout makes the error a net.Error-like one for callers that look for it.
func (e *timeoutError) Timeout() bool { return !errors.Is(e.ctxErr, context.Canceled) }
