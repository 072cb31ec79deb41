package control

import (
	"context"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"time"

	"gannet/board"
)

//go:embed status.html
var statusPage string

var statusTemplate = template.Must(template.New("status").Parse(statusPage))

// page is what the status page shows.
type page struct {
	Name, Version, Policy     string
	Phase, Ready, Fence, Etcd string
	Role, Others, Controller  string
	Epoch                     uint32
	Starts, Kills             uint64
	Shards                    []pageShard
}

type pageShard struct {
	Index, CPU            int
	Port                  uint16
	Rung                  string
	WhyNot                []string
	Beat                  string
	Items, Hits, Misses   uint64
	HitRatio, Used, Limit string
}

func (a *admin) status(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyLongest)
	defer cancel()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	if err := statusTemplate.Execute(w, a.control.page(ctx)); err != nil {
		a.log.Debug("write the status page", "error", err)
	}
}

func (c *Control) page(ctx context.Context) page {
	p := page{Name: c.cfg.NodeName, Version: c.version, Phase: "no data plane", Ready: "yes", Etcd: "none"}
	if readiness := c.Readiness(ctx); !readiness.Ready {
		p.Ready = "no: " + readiness.Reason
	}
	if c.cfg.EtcdEmbed || len(c.cfg.EtcdEndpoints) > 0 {
		p.Etcd = "not answering"
		if c.etcdConnected() {
			p.Etcd = "connected"
		}
	}
	p.Role, p.Others, p.Controller = c.cluster.describe()
	now := BootNanos()
	c.link.With(func(b *board.Board) {
		info, _ := b.Node().Info()
		p.Policy, p.Phase, p.Epoch = info.Policy, b.Node().Phase().String(), b.Ring().Epoch()
		p.Starts, p.Kills = b.Node().Starts(), b.Control().Kills()
		p.Fence = "lapsed: writes are refused"
		if b.Fence().Allows(now) {
			p.Fence = "open"
		}
		for i, s := range info.Shards {
			p.Shards = append(p.Shards, shardLine(b, i, s, now))
		}
	})
	return p
}

func shardLine(b *board.Board, i int, s board.ShardInfo, now int64) pageShard {
	count := b.Counters(i)
	limit, used := b.ShardMemory(i).Totals()
	line := pageShard{
		Index: i, CPU: s.CPU, Port: s.Port, Rung: s.Rung, WhyNot: s.WhyNot,
		Beat:  time.Duration(max(now-b.Heartbeat(i).Nanos(), 0)).Round(time.Millisecond).String(),
		Items: count.Get(board.CountItems), Hits: count.Get(board.CountHits), Misses: count.Get(board.CountMisses),
		Used: mebibytes(used), Limit: mebibytes(limit), HitRatio: "–",
	}
	if asked := line.Hits + line.Misses; asked > 0 {
		line.HitRatio = fmt.Sprintf("%.4f", float64(line.Hits)/float64(asked))
	}
	return line
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
