package api

import "sync/atomic"

type counters struct {
	requests, slow, ended, clientProblems, serverProblems atomic.Uint64
	polls, streams                                        atomic.Int64
}

func (c *counters) problem(status int) {
	if status >= 500 {
		c.serverProblems.Add(1)
	} else {
		c.clientProblems.Add(1)
	}
}

// Stats are counters and gauges, for metrics.
type Stats struct {
	Requests uint64
	// Requests answered with a problem of the asker's making, and of this node's.
	ClientProblems, ServerProblems uint64
	// Subscribers that were dropped because they did not read, and others that ended.
	SlowSubscribers, EndedSubscribers uint64
	Polls, Streams                    int64 // requests that wait for a ring, replication streams
}

// Stats reads the counters.
func (s *Server) Stats() Stats {
	c := &s.counts
	return Stats{
		Requests: c.requests.Load(), ClientProblems: c.clientProblems.Load(), ServerProblems: c.serverProblems.Load(),
		SlowSubscribers: c.slow.Load(), EndedSubscribers: c.ended.Load(), Polls: c.polls.Load(), Streams: c.streams.Load(),
	}
}
