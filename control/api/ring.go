package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"gannet/ring"
	"gannet/security/mtls"
)

// RingType is the media type of an encoded ring.
const RingType = "application/vnd.gannet.ring"

// rings holds the ring that is served and wakes those that wait for a newer one.
type rings struct {
	mu      sync.Mutex
	current *ring.Ring    // guarded by mu; nil: none yet
	encoded []byte        // guarded by mu; never changed
	newer   chan struct{} // guarded by mu; closed when current is replaced
}

func (r *rings) init() { r.newer = make(chan struct{}) }

// SetRing serves this ring from now on, unless a newer one is served already.
func (s *Server) SetRing(next *ring.Ring) {
	r := &s.ring
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current != nil && r.current.Epoch() >= next.Epoch() {
		return
	}
	r.current, r.encoded = next, next.AppendEncode(nil)
	close(r.newer)
	r.newer = make(chan struct{})
}

func (r *rings) get() (*ring.Ring, []byte, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current, r.encoded, r.newer
}

// after waits until there is a ring with an epoch beyond this one; nil: there was none
// before the context ended.
func (r *rings) after(ctx context.Context, epoch uint64) (*ring.Ring, []byte) {
	for {
		current, encoded, newer := r.get()
		if current != nil && uint64(current.Epoch()) > epoch {
			return current, encoded
		}
		select {
		case <-newer:
		case <-ctx.Done():
			return nil, nil
		}
	}
}

func (s *Server) getRing(w http.ResponseWriter, r *http.Request, _ mtls.Identity) error {
	current, encoded, _ := s.ring.get()
	if text := r.URL.Query().Get("after"); text != "" {
		epoch, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return newProblem(http.StatusBadRequest, "bad-request", "after=%q is no epoch; write a whole number", text)
		}
		ctx, cancel := context.WithTimeout(r.Context(), s.cfg.pollLongest)
		defer cancel()
		s.counts.polls.Add(1)
		current, encoded = s.ring.after(ctx, epoch)
		s.counts.polls.Add(-1)
		if current == nil {
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
	}
	if current == nil {
		return newProblem(http.StatusServiceUnavailable, "no-ring", "this node has no ring yet; try again in a moment").with("Retry-After", "1")
	}
	if err := s.bounded(w); err != nil {
		return err
	}
	h := w.Header()
	h.Set("ETag", strconv.Quote(strconv.FormatUint(uint64(current.Epoch()), 10)))
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept")
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		return writeJSON(w, asJSON(current))
	}
	h.Set("Content-Type", RingType)
	_, _ = w.Write(encoded) // the asker has gone: nobody to tell
	return nil
}

// RingJSON is a ring for people and scripts.
type RingJSON struct {
	Epoch    uint32       `json:"epoch"`
	Replicas int          `json:"replicas"`
	Members  []MemberJSON `json:"members"`
}

// MemberJSON is a member of a ring. Its id is a string: it is beyond what all readers
// of JSON keep exact.
type MemberJSON struct {
	ID      string  `json:"id"`
	Name    string  `json:"name"`
	Zone    string  `json:"zone"`
	State   string  `json:"state"`
	Addr    string  `json:"addr"`
	Control string  `json:"control,omitempty"`
	Gossip  string  `json:"gossip,omitempty"`
	Shards  uint16  `json:"shards"`
	Weight  uint8   `json:"weight"`
	Share   float64 `json:"share"`
}

func asJSON(r *ring.Ring) *RingJSON {
	out := &RingJSON{Epoch: r.Epoch(), Replicas: r.ReplicaCount()}
	for _, m := range r.Members() {
		member := MemberJSON{
			ID: strconv.FormatUint(m.ID, 10), Name: m.Name, Zone: m.Zone, State: m.State.String(), Addr: m.Addr.String(),
			Shards: m.Shards, Weight: m.Weight, Share: r.Share(m.ID),
		}
		if m.Control.IsValid() {
			member.Control = m.Control.String()
		}
		if m.Gossip.IsValid() {
			member.Gossip = m.Gossip.String()
		}
		out.Members = append(out.Members, member)
	}
	return out
}

func writeJSON(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n')) // the asker has gone: nobody to tell
	return nil
}
