package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"gannet/client"
	"gannet/test/cluster/bed"
)

// checkKill kills both processes of one leader after the other; their machine lives.
func checkKill(ctx context.Context, e *env) error {
	kills := 4
	if e.full {
		kills = 30
	}
	var trials []*trial
	differ := 0
	err := e.withCluster(ctx, bed.Config{}, func(b *bed.Bed, c *client.Client) error {
		for i := range kills {
			victim := b.Nodes()[i%len(b.Nodes())]
			t, err := during(ctx, b, c, victim, uint64(i+1), func(now func()) error {
				kill, err := victim.Aim()
				if err != nil {
					return err
				}
				now()
				if err := kill(); err != nil {
					return err
				}
				return sleep(ctx, 3*time.Second)
			})
			if err != nil {
				return err
			}
			t.say("kill")
			trials = append(trials, t)
			if err := revive(ctx, b, victim); err != nil {
				return err
			}
			more, err := countDiffering(ctx, b)
			if err != nil {
				return err
			}
			differ += more
		}
		return nil
	})
	if err != nil {
		return err
	}
	e.judgeKills(trials)
	e.table.AtMost("replicas_differ", float64(differ), 0, int64(kills), "keys", "that a follower did not hold as its leader did, after the return of each, when nobody wrote any more")
	return nil
}

func (e *env) judgeKills(trials []*trial) {
	n := int64(len(trials))
	failed, reads, lost, inBound, stale, never := 0, 0, 0, 0, 0, 0
	var backs []time.Duration
	for _, t := range trials {
		failed += t.history.FailedReads(0, t.end)
		reads += t.history.Reads(0, t.end)
		stale += t.history.StaleAcks(t.groups)
		covered, broken := t.losses()
		lost, inBound = lost+len(broken), inBound+len(covered)
		back, ok := t.back()
		if !ok {
			back = time.Duration(t.end - t.fault)
			never++
		}
		backs = append(backs, back)
	}
	slices.SortFunc(backs, cmp.Compare[time.Duration])
	note := fmt.Sprintf("%d reads around %d kills of both processes of a leader", reads, n)
	e.table.AtMost("kill_failed_reads", float64(failed), 0, n, "reads", note)
	note = "from SIGKILL to the first acknowledged write on the last of its ranges"
	if never > 0 {
		note += fmt.Sprintf("; %d times not within the run", never)
	}
	e.table.AtMost("kill_write_ms", millis(backs[len(backs)/2]), 300, n, "ms", "p50, "+note)
	e.table.AtMost("kill_write_ms", millis(backs[len(backs)-1]), 1000, n, "ms", "worst, "+note)
	e.table.AtMost("kill_lost_writes", float64(lost), 0, n, "writes",
		fmt.Sprintf("not marked degraded, and older than %v when the leader died; within the promise %d were lost", lagBound, inBound))
	e.table.AtMost("stale_acks", float64(stale), 0, n, "writes", "acknowledged under an epoch older than their range's")
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
