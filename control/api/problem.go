package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// problemType prefixes a problem's code to make its type, a URI by RFC 9457.
const problemType = "urn:gannet:problem:"

// Problem is a request that was not carried out, and why: the body of the answer.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`

	header http.Header
}

func (p *Problem) Error() string { return fmt.Sprintf("%s (%d %s)", p.Detail, p.Status, p.Title) }

func newProblem(status int, code, format string, args ...any) *Problem {
	return &Problem{
		Type: problemType + code, Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...),
		header: http.Header{},
	}
}

func (p *Problem) with(name, value string) *Problem {
	p.header.Set(name, value)
	return p
}

// refuse answers with a problem; an error that is none is the server's own fault.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var p *Problem
	if !errors.As(err, &p) {
		s.cfg.Log.Error("control port: request failed", "path", r.URL.Path, "error", err)
		p = newProblem(http.StatusInternalServerError, "failed", "this node could not do it; its log says why")
	}
	s.counts.problem(p.Status)
	h := w.Header()
	for name := range p.header {
		h.Set(name, p.header.Get(name))
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	body, _ := json.Marshal(p) // strings and a number always encode
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // the asker has gone: nobody to tell
}

// problemOf reads the problem that a server answered with.
func problemOf(response *http.Response) error {
	p := &Problem{Status: response.StatusCode, Title: http.StatusText(response.StatusCode)}
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<14))
	if err != nil || json.Unmarshal(body, p) != nil || p.Detail == "" {
		p.Detail = "the server answers " + response.Status + "; is this the control port of a node?"
	}
	return p
}
