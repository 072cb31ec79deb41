package bpf

import "github.com/cilium/ebpf"

// Verdict is what an XDP program says about a packet.
type Verdict uint32

// The verdicts of the steering program.
const (
	VerdictDrop     Verdict = 1
	VerdictPass     Verdict = 2
	VerdictTX       Verdict = 3 // back to where it came from
	VerdictRedirect Verdict = 4
)

// TestRun runs the program once on a frame that comes from no interface
// (BPF_PROG_TEST_RUN), on rx queue 0, and returns what became of the frame, in
// room: metadata, if there is any, then the packet. Checks and measurements use
// it; what happens is counted as for any packet.
func (s *Steer) TestRun(frame, room []byte) (Verdict, []byte, error) {
	opts := ebpf.RunOptions{Data: frame, DataOut: room}
	verdict, err := s.program.Run(&opts)
	if err != nil {
		return 0, nil, explain("run the steering program once", err)
	}
	return Verdict(verdict), opts.DataOut, nil
}
