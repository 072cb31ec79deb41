package report

import (
	"gannet/benchmarks/stats"
	"gannet/benchmarks/suite"
)

// summary is a subject's medians over its good rounds.
type summary struct {
	subject                   suite.Subject
	nanos, poll, user, system float64
}

// summaries are those of all subjects with a good round, in the document's order.
func summaries(d *suite.Document) []summary {
	var all []summary
	for _, s := range d.Subjects {
		var nanos, poll, user, system []float64
		for _, r := range d.Rounds {
			if r.Subject != s.ID || r.Void != "" {
				continue
			}
			nanos, poll = append(nanos, r.Nanos), append(poll, r.Poll)
			user, system = append(user, r.User), append(system, r.System)
		}
		if len(nanos) == 0 {
			continue
		}
		all = append(all, summary{
			subject: s, nanos: stats.Median(nanos), poll: stats.Median(poll), user: stats.Median(user), system: stats.Median(system),
		})
	}
	return all
}

// title finds a subject's title; its id when there is none.
func title(d *suite.Document, id string) string {
	for _, s := range d.Subjects {
		if s.ID == id {
			return s.Title
		}
	}
	return id
}
