package control

import "time"

// restarts decides how long to wait before the data plane is started again. Pure:
// the length of the life that ended is passed in.
type restarts struct{ quick int }

const (
	restartShortest = 50 * time.Millisecond
	restartLongest  = 5 * time.Second
	// A data plane that lived this long was sound, and its end is a single event:
	// starting it again at once can cost no more than one start a second.
	restartSound = time.Second
	// So many lives that ended before serving, in a row, end the supervisor: waiting
	// will not mend a port in use or a wrong interface.
	restartHopeless = 5
)

// next returns the wait. The first restart after a sound life is immediate: that is
// the case the warm restart is made for.
func (r *restarts) next(lived time.Duration) time.Duration {
	if lived >= restartSound {
		r.quick = 0
	}
	r.quick++
	if r.quick == 1 {
		return 0
	}
	wait := restartShortest << min(r.quick-2, 10)
	return min(wait, restartLongest)
}
