package main

import (
	"fmt"
	"strings"
)

// table is a Markdown table that grows by rows.
type table struct{ strings.Builder }

func (t *table) row(cells ...string) { fmt.Fprintf(t, "| %s |\n", strings.Join(cells, " | ")) }

func (t *table) head(cells ...string) {
	t.row(cells...)
	t.WriteString(strings.Repeat("|---", len(cells)) + "|\n")
}

// markdown is the tables of the page: assumptions, then figures.
func markdown(m model, results []figures) string {
	return "\n" + assumptions(m) + "\n" + figureTable(results) + "\n"
}

func assumptions(m model) string {
	rules, t := m.rules(), &table{}
	t.head("assumed", "")
	t.row("nodes, zones, copies", fmt.Sprintf("%d, %d, %d", m.Nodes, m.Zones, m.Replicas))
	t.row("data", fmt.Sprintf("%.0f TB unique, %.1f GB a node with copies", m.DataBytes/1e12,
		m.DataBytes*float64(m.Replicas)/float64(m.Nodes)/1e9))
	t.row("writes", fmt.Sprintf("%.0f M/s of 1 KB over the fleet", m.WritesPerSecond/1e6))
	t.row("a node takes copies in at", fmt.Sprintf("%.1f GB/s", m.CopyBytesPerSecond/1e9))
	t.row("clients", fmt.Sprintf("%d of %.0f requests/s, a quarter of each kind", m.Clients, m.RequestsPerSecond))
	t.row("network, one way", fmt.Sprintf("%s to %s", duration(m.HopNanos), duration(2*m.HopNanos)))
	t.row("client's timeout", duration(m.TimeoutNanos))
	t.row("etcd: read, write", duration(m.EtcdReadNanos)+", "+duration(m.EtcdWriteNanos))
	t.row("etcd: commit to first watcher, and between watchers", duration(m.EtcdWatchNanos)+", "+duration(m.EtcdFanOut))
	t.row("ring's bytes to first lookup by it", duration(m.DecodeNanos))
	t.row("leases; kept alive every", duration(m.LeaseNanos)+"; "+duration(m.KeepAliveNanos))
	t.row("fence; renewed every", duration(rules.FenceNanos)+"; "+duration(rules.RenewNanos))
	t.row("silence that makes a witness", duration(rules.SilenceNanos))
	t.row("restart of a node's processes", duration(m.RestartNanos))
	t.row("items are of no use after an absence of", duration(m.TombstoneNanos))
	return t.String()
}

func figureTable(results []figures) string {
	t := &table{}
	each := func(name string, cell func(*figures) string) {
		cells := []string{name}
		for i := range results {
			cells = append(cells, cell(&results[i]))
		}
		t.row(cells...)
	}
	names := []string{""}
	for i := range results {
		names = append(names, results[i].Name)
	}
	t.head(names...)
	each("what happens", func(g *figures) string { return g.Text })
	each("simulated", func(g *figures) string { return fmt.Sprintf("%.0f s", g.Seconds) })
	each("epochs", func(g *figures) string { return fmt.Sprint(g.Epochs) })
	each("copied", func(g *figures) string { return fmt.Sprintf("%.2f TB", g.MovedBytes/1e12) })
	each("could not be avoided", func(g *figures) string {
		if g.LeastBytes == 0 {
			return "–"
		}
		return fmt.Sprintf("%.2f TB", g.LeastBytes/1e12)
	})
	each("max/mean of the leaders' shares: before, worst, after", func(g *figures) string {
		return fmt.Sprintf("%.3f, %.3f, %.3f", g.MaxBefore, g.MaxPeak, g.MaxAfter)
	})
	each("failure → ring without the dead", func(g *figures) string { return durationOrNone(g.RoutedNanos) })
	each("failure → writes back everywhere", func(g *figures) string { return durationOrNone(g.WritesNanos) })
	for k := range kinds {
		each("clients up to date after a new ring, by "+kindNames[k]+": p50, p99, worst", func(g *figures) string {
			c := g.Converge[k]
			return fmt.Sprintf("%s, %s, %s", duration(percentile(c, 50)), duration(percentile(c, 99)), duration(percentile(c, 100)))
		})
	}
	requestRows(each)
	etcdRows(each)
	return t.String()
}

func requestRows(each func(string, func(*figures) string)) {
	share := func(part, all float64) string { return fmt.Sprintf("%.4f %%", 100*part/max(all, 1)) }
	each("GETs that needed the second try", func(g *figures) string { return share(g.Retried, g.Requests) })
	each("GETs without an answer; worst second", func(g *figures) string {
		return share(g.Failed, g.Requests) + "; " + share(g.WorstFailed, 1)
	})
	each("GETs answered by a node without the item; worst second", func(g *figures) string {
		return share(g.NotStored, g.Requests) + "; " + share(g.WorstNotStored, 1)
	})
}

func etcdRows(each func(string, func(*figures) string)) {
	for _, op := range []operation{opRenew, opKeepAlive} {
		each("etcd, steady: "+operationNames[op], func(g *figures) string { return fmt.Sprintf("%.0f/s", g.EtcdSteady[op]) })
	}
	each("etcd: requests in the busiest second", func(g *figures) string { return fmt.Sprint(g.EtcdPeak) })
	for _, op := range []operation{opRegister, opSwap, opWatch} {
		each("etcd: "+operationNames[op], func(g *figures) string { return fmt.Sprint(g.EtcdTotal[op]) })
	}
	each("etcd: sent to watchers", func(g *figures) string { return fmt.Sprintf("%.1f MB", g.EtcdBytes/1e6) })
}

func duration(nanos int64) string {
	switch {
	case nanos >= 10*second:
		return fmt.Sprintf("%.0f s", float64(nanos)/float64(second))
	case nanos >= second:
		return fmt.Sprintf("%.2f s", float64(nanos)/float64(second))
	case nanos >= millisecond:
		return fmt.Sprintf("%.0f ms", float64(nanos)/float64(millisecond))
	}
	return fmt.Sprintf("%.0f µs", float64(nanos)/float64(microsecond))
}

func durationOrNone(nanos int64) string {
	if nanos == 0 {
		return "–"
	}
	return duration(nanos)
}
