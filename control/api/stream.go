package api

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"time"

	"gannet/control/invalidate"
	"gannet/security/mtls"
)

// LinesType is the media type of a stream of JSON lines.
const LinesType = "application/x-ndjson"

// getInvalidations writes what the hub tells until one side has enough. Problems can
// be told only before the first line. With ?of=granted the writes will do of whose
// items a node has granted copies.
func (s *Server) getInvalidations(w http.ResponseWriter, r *http.Request, peer mtls.Identity) error {
	interest := invalidate.InterestAll
	if r.URL.Query().Get("of") == "granted" {
		interest = invalidate.InterestGranted
	}
	sub, err := s.cfg.Hub.Subscribe(interest)
	switch {
	case errors.Is(err, invalidate.ErrTooManySubscribers):
		return newProblem(http.StatusServiceUnavailable, "too-many-subscribers",
			"this node has as many subscribers as it takes; subscribe to another").with("Retry-After", "10")
	case err != nil:
		return newProblem(http.StatusServiceUnavailable, "shutting-down", "this node is shutting down; subscribe to another")
	}
	defer sub.Close()
	w.Header().Set("Content-Type", LinesType)
	w.Header().Set("Cache-Control", "no-store")
	switch err := s.copyLines(w, r, sub); {
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.counts.slow.Add(1)
		s.cfg.Log.Info("subscriber dropped: it does not read", "remote", r.RemoteAddr, "peer", peer)
	default:
		s.counts.ended.Add(1)
	}
	return nil
}

func (s *Server) copyLines(w http.ResponseWriter, r *http.Request, sub *invalidate.Subscription) error {
	control := http.NewResponseController(w)
	var lines bytes.Buffer
	for {
		notices, err := sub.Next(r.Context())
		if err != nil {
			return err
		}
		lines.Reset()
		for _, n := range notices {
			lines.Write(n.Line())
		}
		if err := control.SetWriteDeadline(time.Now().Add(s.cfg.writeLongest)); err != nil {
			return err
		}
		if _, err := w.Write(lines.Bytes()); err != nil {
			return err
		}
		if err := control.Flush(); err != nil {
			return err
		}
	}
}
