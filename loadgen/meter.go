package loadgen

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"gannet/client"
)

// meterEvery is the time between two looks at the node's counters.
const meterEvery = 500 * time.Millisecond

// nodeStats is what a replay wants to know of the node.
type nodeStats struct {
	Evictions uint64 `json:"evictions"`
	Policy    string `json:"policy"`
	Datapath  string `json:"datapath"`
	Items     uint64 `json:"items"`
}

// meter adds up the node's evictions during a replay. The node counts from 0 when
// its data plane is restarted: hence looks in between.
type meter struct {
	client    *client.Client
	last      nodeStats
	evictions uint64
}

// newMeter takes the first look, from which the meter counts.
func newMeter(ctx context.Context, c *client.Client) (*meter, error) {
	m := &meter{client: c}
	if err := m.look(ctx); err != nil {
		return nil, err
	}
	m.evictions = 0
	return m, nil
}

// look reads the node's counters.
func (m *meter) look(ctx context.Context) error {
	raw, err := m.client.Stats(ctx)
	if err != nil {
		return err
	}
	var now nodeStats
	if err := json.Unmarshal(raw, &now); err != nil {
		return fmt.Errorf("the node's STATS are not the JSON expected: %w", err)
	}
	m.take(now)
	return nil
}

func (m *meter) take(now nodeStats) {
	m.evictions += now.Evictions
	if now.Evictions >= m.last.Evictions {
		m.evictions -= m.last.Evictions
	}
	m.last = now
}

// run looks now and then until the function it returns is called.
func (m *meter) run(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(meterEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				_ = m.look(ctx) // the last look is the one that must work
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { cancel(); <-ended }
}

// describe fills in what the node says.
func (m *meter) describe(r *ReplayReport) {
	r.Policy, r.Datapath, r.Items, r.Evictions = m.last.Policy, m.last.Datapath, m.last.Items, m.evictions
}
