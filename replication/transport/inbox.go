package transport

import "sync"

// inbox collects what happens outside of the driver. It never blocks: what fills it is
// bounded by the windows of the streams.
type inbox struct {
	mu     sync.Mutex
	events []any
	bell   chan struct{} // of capacity 1
}

func newInbox() *inbox { return &inbox{bell: make(chan struct{}, 1)} }

func (b *inbox) post(ev any) {
	b.mu.Lock()
	b.events = append(b.events, ev)
	b.mu.Unlock()
	select {
	case b.bell <- struct{}{}:
	default:
	}
}

// take returns what has come since the last time.
func (b *inbox) take() []any {
	b.mu.Lock()
	defer b.mu.Unlock()
	events := b.events
	b.events = nil
	return events
}
