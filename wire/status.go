package wire

import "strconv"

// Status is the outcome of an operation.
type Status uint8

const (
	StatusOK              Status = 0
	StatusMiss            Status = 1
	StatusExists          Status = 2
	StatusNotFound        Status = 3
	StatusVersionMismatch Status = 4
	StatusLeaseGranted    Status = 5 // a miss; Token is a lease
	StatusLeaseWait       Status = 6 // someone else fills it; Token is the milliseconds to wait
	StatusLeaseRefused    Status = 7 // a newer write or delete has overtaken the lease
	StatusMoved           Status = 8 // Token is the epoch of the ring that says so
	StatusTooLarge        Status = 9
	StatusNoMemory        Status = 10
	StatusOverloaded      Status = 11
	StatusTooLate         Status = 12 // the time budget was over before the operation began
	StatusBadRequest      Status = 13
	StatusNotANumber      Status = 14
	StatusCookieRequired  Status = 15 // Token is a fresh cookie
	StatusUnsupported     Status = 16
	StatusFenced          Status = 17 // the leader may not acknowledge writes now
	StatusOutcomeUnknown  Status = 18
	StatusForbidden       Status = 19
	StatusBehind          Status = 20 // older than the minimum version asked for
	StatusChanged         Status = 21 // the version whose segments were asked for is gone
	StatusPartial         Status = 22 // the segment is taken, the value not whole yet
	StatusUnavailable     Status = 23 // the data plane is down; sent by the control process
	StatusBusyUploads     Status = 24

	// StatusCount bounds the statuses.
	StatusCount = 25
)

var statusNames = [StatusCount]string{
	"OK", "MISS", "EXISTS", "NOT_FOUND", "VERSION_MISMATCH", "LEASE_GRANTED", "LEASE_WAIT", "LEASE_REFUSED", "MOVED", "TOO_LARGE",
	"NO_MEMORY", "OVERLOADED", "TOO_LATE", "BAD_REQUEST", "NOT_A_NUMBER", "COOKIE_REQUIRED", "UNSUPPORTED", "FENCED",
	"OUTCOME_UNKNOWN", "FORBIDDEN", "BEHIND", "CHANGED", "PARTIAL", "UNAVAILABLE", "BUSY_UPLOADS",
}

func (s Status) String() string {
	if s < StatusCount {
		return statusNames[s]
	}
	return "status " + strconv.Itoa(int(s))
}
