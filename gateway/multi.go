package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"
	"unicode/utf8"

	"gannet/client"
)

// The bounds of one multi-get. The list has room for the longest keys, each byte
// written as an escape.
const (
	maxKeys            = 1000
	maxListBytes       = maxKeys * (6*maxKeyBytes + 8)
	maxMultiValueBytes = 16 << 20
)

// keyList is the body of POST /v1/keys.
type keyList struct {
	Keys []textKey `json:"keys"`
}

// textKey is a key in JSON, which can only be text.
type textKey string

// UnmarshalJSON reads a string and refuses escapes that stand for no character:
// the decoder would replace them, and the answer would be about another key.
func (k *textKey) UnmarshalJSON(raw []byte) error {
	if len(raw) == 0 || raw[0] != '"' {
		return errors.New("a key is not a string")
	}
	if loneSurrogate(raw) {
		return errors.New("a key has half of a surrogate pair")
	}
	return json.Unmarshal(raw, (*string)(k))
}

// loneSurrogate looks for a \u escape of half a surrogate pair. raw is valid JSON.
func loneSurrogate(raw []byte) bool {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		i++ // at the escaped character, so that \\ is not read as two beginnings
		if raw[i] != 'u' || raw[i+1]|0x20 != 'd' || raw[i+2] < '8' {
			continue // no escape from D800 to DFFF
		}
		var pair string
		if i+11 > len(raw) || json.Unmarshal([]byte(`"`+string(raw[i-1:i+11])+`"`), &pair) != nil || pair[0] == 0xEF {
			return true // what follows is not the other half
		}
		i += 10
	}
	return false
}

// keyItem is the answer for one key of POST /v1/keys.
type keyItem struct {
	Key         string    `json:"key"`
	Found       bool      `json:"found"`
	ValueBase64 *[]byte   `json:"value_base64,omitempty"`
	Version     uint64    `json:"version,omitempty,string"`
	TTLSeconds  *int64    `json:"ttl_seconds,omitempty"`
	AgeSeconds  *int64    `json:"age_seconds,omitempty"`
	Stale       bool      `json:"stale,omitempty"`
	Problem     *document `json:"problem,omitempty"`
}

// keys serves /v1/keys.
func (g *Gateway) keys(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		return problemMethod("POST")
	}
	keys, err := readKeys(r)
	if err != nil {
		return err
	}
	results, err := g.fetch(r, keys)
	if err != nil {
		return err
	}
	return g.writeItems(w, r, keys, results)
}

func readKeys(r *http.Request) ([]string, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, newProblem(http.StatusUnsupportedMediaType, "media-type", "send the keys as Content-Type: application/json")
	}
	body, err := readBody(r, maxListBytes)
	if err != nil {
		return nil, err
	}
	list, err := parseKeys(body)
	if err != nil {
		return nil, problemBadRequest(`the body is not {"keys": ["…", …]}: ` + err.Error())
	}
	if len(list) > maxKeys {
		return nil, newProblem(http.StatusRequestEntityTooLarge, "too-many-keys",
			fmt.Sprintf("%d keys; one request takes up to %d", len(list), maxKeys))
	}
	keys := make([]string, len(list))
	for i, key := range list {
		if len(key) == 0 || len(key) > maxKeyBytes {
			return nil, problemBadRequest(fmt.Sprintf("keys[%d] has %d bytes; a key has 1 to %d", i, len(key), maxKeyBytes))
		}
		keys[i] = string(key)
	}
	return keys, nil
}

func parseKeys(body []byte) ([]textKey, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("it is not UTF-8")
	}
	var list keyList
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&list); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the object")
	}
	if list.Keys == nil {
		return nil, errors.New("there are no keys")
	}
	return list.Keys, nil
}

// fetch reads the keys in runs that cannot bring more bytes than are left of the
// budget. Keys behind its end get a problem; so do, unasked, those behind a run
// that nobody answered.
func (g *Gateway) fetch(r *http.Request, keys []string) ([]client.Result, error) {
	limitBytes, err := g.limit(r.Context())
	if err != nil {
		return nil, err
	}
	results := make([]client.Result, 0, len(keys))
	var refusal error
	for leftBytes := maxMultiValueBytes; len(results) < len(keys); {
		rest := keys[len(results):]
		if leftBytes <= 0 {
			refusal = problemFull()
		}
		if refusal != nil {
			results = append(results, client.Result{Err: refusal})
			continue
		}
		run := rest[:min(len(rest), max(1, leftBytes/limitBytes))]
		answers, err := g.cache.GetMulti(r.Context(), run)
		if len(answers) != len(run) {
			return nil, err // the call as a whole failed
		}
		refusal = silence(answers)
		for i := range answers {
			leftBytes -= len(answers[i].Value)
		}
		results = append(results, answers...)
	}
	return results, nil
}

func problemFull() *problem {
	return newProblem(http.StatusRequestEntityTooLarge, "response-full",
		fmt.Sprintf("one response carries %d MiB of values; ask for this key in another request", maxMultiValueBytes>>20))
}

// unanswered returns the first error when there was no answer to any key.
func unanswered(answers []client.Result) error {
	for i := range answers {
		if err := answers[i].Err; err == nil || errors.Is(err, client.ErrMiss) {
			return nil
		}
	}
	return answers[0].Err
}

// silence returns the error that makes it pointless to ask for more: no answer to
// any key, because there is nobody.
func silence(answers []client.Result) error {
	err := unanswered(answers)
	for _, nobody := range []error{client.ErrTimeout, client.ErrUnavailable, client.ErrClosed, context.Canceled} {
		if errors.Is(err, nobody) {
			return err
		}
	}
	return nil
}

// writeItems writes the answers one by one, so that no second copy of all of them
// is made. When no key got an answer the response is the problem of the first.
func (g *Gateway) writeItems(w http.ResponseWriter, r *http.Request, keys []string, results []client.Result) error {
	for i := range results {
		g.metrics.countRead(results[i].Err)
	}
	if len(results) > 0 {
		if err := unanswered(results); err != nil {
			return err
		}
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	hits, misses := 0, 0
	separator := `{"items":[`
	for i := range results {
		item, _ := json.Marshal(g.keyItem(r, keys[i], &results[i])) // strings, bytes and numbers always encode
		if _, err := io.WriteString(w, separator); err != nil {
			return nil // the asker has gone: nobody to tell
		}
		_, _ = w.Write(item)
		g.metrics.sentBytes.Add(float64(len(results[i].Value)))
		switch err := results[i].Err; {
		case err == nil:
			hits++
		case errors.Is(err, client.ErrMiss):
			misses++
		}
		results[i].Value = nil
		separator = ","
	}
	if len(results) == 0 {
		_, _ = io.WriteString(w, separator)
	}
	_, _ = fmt.Fprintf(w, `],"hits":%d,"misses":%d,"problems":%d}`+"\n", hits, misses, len(results)-hits-misses)
	return nil
}

func (g *Gateway) keyItem(r *http.Request, key string, result *client.Result) *keyItem {
	switch err := result.Err; {
	case errors.Is(err, client.ErrMiss):
		return &keyItem{Key: key}
	case err != nil:
		p := asProblem(r, err)
		g.metrics.problems.WithLabelValues(p.code).Inc()
		return &keyItem{Key: key, Problem: p.document()}
	}
	value := result.Value
	if value == nil {
		value = []byte{} // found and empty; nil would be written as null
	}
	ageSeconds := int64(result.Age / time.Second)
	item := &keyItem{
		Key: key, Found: true, ValueBase64: &value, Version: uint64(result.Version),
		AgeSeconds: &ageSeconds, Stale: result.Stale,
	}
	if result.TTL != client.NoTTL {
		ttlSeconds := int64(result.TTL / time.Second)
		item.TTLSeconds = &ttlSeconds
	}
	return item
}
