package ring

import "fmt"

// State says what a member does in its ring.
type State uint8

// The states of a member. Placed means that its points lie on the circle; serving,
// that it may lead or follow ranges.
const (
	// Active is placed and serving.
	Active State = iota
	// Joining is neither: it receives its future ranges, and Next has it.
	Joining
	// Leaving is placed and serving until its ranges are handed off.
	Leaving
	// Down is placed, so that nothing moves between the others, and not serving: the
	// first follower of each of its ranges leads it.
	Down
	// Returning was down and is being repaired: as Down, but active in Next.
	Returning

	states = iota
)

var stateNames = [states]string{"active", "joining", "leaving", "down", "returning"}

func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// ParseState reads what String writes.
func ParseState(name string) (State, error) {
	for s, known := range stateNames {
		if name == known {
			return State(s), nil
		}
	}
	return 0, fmt.Errorf("state %q is none of %v", name, stateNames)
}

// Placed tells whether the member's points lie on the circle.
func (s State) Placed() bool { return s != Joining && s < states }

// Serves tells whether the member may lead and follow ranges.
func (s State) Serves() bool { return s == Active || s == Leaving }

// Stays tells whether the member is active in the ring that Next gives.
func (s State) Stays() bool { return s == Active || s == Joining || s == Returning }
