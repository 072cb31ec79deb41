package api

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"
	"unicode/utf8"

	"gannet/security/mtls"
)

// HotKey is one of the hottest keys.
type HotKey struct {
	Key      []byte
	Requests uint64 // estimated, a second; what clients answer by their own copies is not in it
	// InKernel: the XDP program answers GETs of it, KernelHits so far.
	InKernel   bool
	KernelHits uint64
	// GrantMillis is how long clients may keep copies (L1), 0 = not at all; Grants, how
	// many replies have said so since the key stood out.
	GrantMillis uint16
	Grants      uint64
}

// HotJSON is the answer of /v1/hot.
type HotJSON struct {
	Keys []HotKeyJSON `json:"keys"`
}

// HotKeyJSON is a hot key; one that is not text is in base64.
type HotKeyJSON struct {
	Key       *string `json:"key,omitempty"`
	KeyBase64 []byte  `json:"key_base64,omitempty"`
	Requests  uint64  `json:"requests_per_second"`
	// Served is where its GETs are answered, the nearest last: "shard", "kernel", "l1".
	Served      []string `json:"served_from"`
	KernelHits  uint64   `json:"kernel_hits"`
	GrantMillis uint16   `json:"l1_grant_ms"`
	Grants      uint64   `json:"l1_grants"`
}

// served lists where GETs of the key are answered. The shard always is one: others
// answer what they can.
func (k *HotKey) served() []string {
	places := []string{"shard"}
	if k.InKernel {
		places = append(places, "kernel")
	}
	if k.GrantMillis != 0 {
		places = append(places, "l1")
	}
	return places
}

func (s *Server) getHot(w http.ResponseWriter, _ *http.Request, _ mtls.Identity) error {
	if err := s.bounded(w); err != nil {
		return err
	}
	out := HotJSON{Keys: []HotKeyJSON{}}
	for _, k := range s.cfg.Hot() {
		entry := HotKeyJSON{
			Requests: k.Requests, Served: k.served(), KernelHits: k.KernelHits, GrantMillis: k.GrantMillis, Grants: k.Grants,
		}
		if utf8.Valid(k.Key) {
			text := string(k.Key)
			entry.Key = &text
		} else {
			entry.KeyBase64 = k.Key
		}
		out.Keys = append(out.Keys, entry)
	}
	w.Header().Set("Cache-Control", "no-store")
	return writeJSON(w, out)
}

// What Drain may fail with.
var (
	ErrUnknownNode = errors.New("no node of this name is in the ring; `gannet ring` lists them")
	// ErrNotNow is to be wrapped with the reason.
	ErrNotNow = errors.New("the node cannot be drained now")
)

// drainJSON is the body of a request to drain, and of its answer.
type drainJSON struct {
	Node string `json:"node"`
}

func (s *Server) postDrain(w http.ResponseWriter, r *http.Request, peer mtls.Identity) error {
	control := http.NewResponseController(w)
	if err := errors.Join(control.SetReadDeadline(time.Now().Add(bodyLongest)), s.bounded(w)); err != nil {
		return err
	}
	var request drainJSON
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&request); err != nil && !errors.Is(err, io.EOF) {
		return newProblem(http.StatusBadRequest, "bad-request", `the body is not {"node":"NAME"}: %v`, err)
	}
	s.cfg.Log.Info("drain asked for", "node", request.Node, "peer", peer, "remote", r.RemoteAddr)
	switch err := s.cfg.Drain(r.Context(), request.Node); {
	case errors.Is(err, ErrUnknownNode):
		return newProblem(http.StatusNotFound, "unknown-node", "%v", err)
	case errors.Is(err, ErrNotNow):
		return newProblem(http.StatusConflict, "not-now", "%v", err)
	case err != nil:
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	body, _ := json.Marshal(request)   // a string always encodes
	_, _ = w.Write(append(body, '\n')) // the asker has gone: nobody to tell
	return nil
}
