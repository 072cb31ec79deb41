package gateway

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"gannet/client"
	"gannet/wire"
)

const jsonType = "Content-Type: application/json"

// multiReply is what the documentation says that /v1/keys answers.
type multiReply struct {
	Items []struct {
		Key         string    `json:"key"`
		Found       bool      `json:"found"`
		ValueBase64 *[]byte   `json:"value_base64"`
		Version     string    `json:"version"`
		TTLSeconds  *int64    `json:"ttl_seconds"`
		AgeSeconds  *int64    `json:"age_seconds"`
		Stale       bool      `json:"stale"`
		Problem     *document `json:"problem"`
	} `json:"items"`
	Hits     int `json:"hits"`
	Misses   int `json:"misses"`
	Problems int `json:"problems"`
}

func (w *world) multi(keys ...string) (answer multiReply) {
	w.Helper()
	if keys == nil {
		keys = []string{}
	}
	body, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		w.Fatal(err)
	}
	got := w.do("POST", "/v1/keys", strings.NewReader(string(body)), jsonType)
	got.want(w.T, 200, jsonType, "Cache-Control: no-store")
	decoder := json.NewDecoder(strings.NewReader(string(got.body)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&answer); err != nil {
		w.Fatalf("%v: %s", err, got.body)
	}
	if len(answer.Items) != len(keys) {
		w.Fatalf("%d items for %d keys", len(answer.Items), len(keys))
	}
	for i, key := range keys {
		if answer.Items[i].Key != key {
			w.Errorf("items[%d] is about %q, want %q", i, answer.Items[i].Key, key)
		}
	}
	return answer
}

func TestMulti(t *testing.T) {
	w := newWorld(t)
	version := w.node.Set("binary", []byte{0, 0xFF, '"'})
	w.node.Set("empty", nil)
	w.do("PUT", "/v1/key/ending", strings.NewReader("soon"), "X-TTL-Seconds: 60").want(t, 204)
	answer := w.multi("binary", "absent", "empty", "ending", "binary", "grüße/😀\u0000")
	if answer.Hits != 4 || answer.Misses != 2 || answer.Problems != 0 {
		t.Errorf("%d hits, %d misses, %d problems", answer.Hits, answer.Misses, answer.Problems)
	}
	items := answer.Items
	if got := items[0]; !got.Found || string(*got.ValueBase64) != "\x00\xFF\"" || got.Version != fmt.Sprint(version) || got.TTLSeconds != nil || *got.AgeSeconds != 0 {
		t.Errorf("binary: %+v", got)
	}
	if got := items[1]; got.Found || got.ValueBase64 != nil || got.Version != "" || got.AgeSeconds != nil || got.Problem != nil {
		t.Errorf("absent: %+v", got)
	}
	if got := items[2]; !got.Found || got.ValueBase64 == nil || len(*got.ValueBase64) != 0 {
		t.Errorf("empty: %+v", got)
	}
	if got := items[3]; !got.Found || *got.TTLSeconds != 60 {
		t.Errorf("ending: %+v", got)
	}
}

func TestMultiOfNothing(t *testing.T) {
	w := newWorld(t)
	if got := w.multi(); got.Items == nil || got.Hits+got.Misses+got.Problems != 0 {
		t.Errorf("%+v", got)
	}
}

func TestMultiManyKeys(t *testing.T) {
	w := newWorld(t)
	keys := make([]string, maxKeys)
	for i := range keys {
		keys[i] = fmt.Sprintf("%0250d", i)
		if i%3 == 0 {
			w.node.Set(keys[i], []byte(keys[i]))
		}
	}
	answer := w.multi(keys...)
	for i, item := range answer.Items {
		if item.Found != (i%3 == 0) || item.Found && string(*item.ValueBase64) != keys[i] {
			t.Fatalf("key %d: %+v", i, item)
		}
	}
}

func TestMultiBadBodies(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("k", 251)
	many, err := json.Marshal(map[string]any{"keys": slices.Repeat([]string{"k"}, maxKeys+1)})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		body   string
		status int
		code   string
	}{
		{``, 400, "bad-request"},
		{`[]`, 400, "bad-request"},
		{`{}`, 400, "bad-request"},
		{`{"keys":null}`, 400, "bad-request"},
		{`{"keys":"k"}`, 400, "bad-request"},
		{`{"keys":[1]}`, 400, "bad-request"},
		{`{"keys":[null]}`, 400, "bad-request"},
		{`{"keys":[{}]}`, 400, "bad-request"},
		{`{"keys":[""]}`, 400, "bad-request"},
		{`{"keys":["` + long + `"]}`, 400, "bad-request"},
		{`{"keys":["k"],"more":1}`, 400, "bad-request"},
		{`{"keys":["k"]} {}`, 400, "bad-request"},
		{`{"keys":["k"`, 400, "bad-request"},
		{"{\"keys\":[\"\xFF\"]}", 400, "bad-request"},
		{`{"keys":["\ud83d"]}`, 400, "bad-request"},
		{`{"keys":["\uDE00\ud83d"]}`, 400, "bad-request"},
		{`{"keys":["\ud83dx\ude00"]}`, 400, "bad-request"},
		{string(many), 413, "too-many-keys"},
		{strings.Repeat(" ", maxListBytes+1), 413, "too-large"},
	} {
		w.do("POST", "/v1/keys", strings.NewReader(test.body), jsonType).wantProblem(t, test.status, test.code)
	}
	for _, kind := range []string{"Content-Type: ", "Content-Type: text/plain", "Content-Type: application/x-www-form-urlencoded"} {
		w.do("POST", "/v1/keys", strings.NewReader(`{"keys":[]}`), kind).wantProblem(t, 415, "media-type")
	}
	w.do("POST", "/v1/keys", strings.NewReader(`{"keys":[]}`), "Content-Type: application/json; charset=utf-8").want(t, 200)
}

// TestMultiPartial: a key that fails says so beside those that do not.
func TestMultiPartial(t *testing.T) {
	w := newWorld(t)
	w.node.Set("a", []byte("v"))
	w.multi("a") // introduces client and node
	w.node.Answer(wire.Get, wire.StatusForbidden, 1)
	answer := w.multi("a", "a")
	if answer.Hits != 1 || answer.Problems != 1 {
		t.Fatalf("%+v", answer)
	}
	for _, item := range answer.Items {
		if !item.Found && (item.Problem == nil || item.Problem.Type != problemType+"forbidden" || item.Problem.Status != 403) {
			t.Errorf("%+v", item)
		}
	}
	w.node.Answer(wire.Get, wire.StatusForbidden, 2)
	w.do("POST", "/v1/keys", strings.NewReader(`{"keys":["a","a"]}`), jsonType).wantProblem(t, 403, "forbidden")
}

// TestMultiBudget: no more is fetched than a response may carry.
func TestMultiBudget(t *testing.T) {
	held, mostHeld, asked := 0, 0, 0
	w := serve(t, withCache(&fakeCache{multi: func(keys []string) ([]client.Result, error) {
		results := make([]client.Result, len(keys))
		for i := range results {
			results[i].Value = make([]byte, maxValueBytes)
			results[i].TTL = client.NoTTL
		}
		held += len(keys) * maxValueBytes
		mostHeld = max(mostHeld, len(keys)*maxValueBytes)
		asked += len(keys)
		return results, nil
	}}))
	answer := w.multi(slices.Repeat([]string{"k"}, 20)...)
	const fit = maxMultiValueBytes / maxValueBytes
	if answer.Hits != fit || answer.Problems != 20-fit || asked != fit || held > maxMultiValueBytes {
		t.Errorf("%d hits, %d problems, %d asked, %d bytes held", answer.Hits, answer.Problems, asked, held)
	}
	if got := answer.Items[fit].Problem; got == nil || got.Type != problemType+"response-full" || got.Status != 413 {
		t.Errorf("%+v", got)
	}
}

// TestMultiBudgetsRest: what is left of the budget but may not hold a value is still
// tried with one key.
func TestMultiBudgetsRest(t *testing.T) {
	const valueBytes = 900_000
	w := serve(t, withCache(&fakeCache{multi: func(keys []string) ([]client.Result, error) {
		results := make([]client.Result, len(keys))
		for i := range results {
			results[i].Value = make([]byte, valueBytes)
		}
		return results, nil
	}}))
	const fit = (maxMultiValueBytes + valueBytes - 1) / valueBytes
	if answer := w.multi(slices.Repeat([]string{"k"}, 30)...); answer.Hits != fit || answer.Problems != 30-fit {
		t.Errorf("%d hits, %d problems, want %d hits", answer.Hits, answer.Problems, fit)
	}
}

// TestMultiStopsAsking: when nobody answers one run, the next is not waited for;
// when only a key is bad, it is.
func TestMultiStopsAsking(t *testing.T) {
	for name, test := range map[string]struct {
		failure error
		runs    int
		code    string
	}{
		"silence":   {client.ErrTimeout, 1, "timeout"},
		"down":      {client.ErrUnavailable, 1, "unavailable"},
		"bad value": {client.ErrCorrupt, 2, "corrupt"},
	} {
		t.Run(name, func(t *testing.T) {
			runs := 0
			w := serve(t, withCache(&fakeCache{multi: func(keys []string) ([]client.Result, error) {
				runs++
				results := make([]client.Result, len(keys))
				for i := range results {
					results[i].Err = fmt.Errorf("wrapped: %w", test.failure)
				}
				return results, results[0].Err
			}}))
			body, err := json.Marshal(map[string]any{"keys": slices.Repeat([]string{"k"}, 20)})
			if err != nil {
				t.Fatal(err)
			}
			answer := w.do("POST", "/v1/keys", strings.NewReader(string(body)), jsonType)
			if answer.StatusCode < 500 || !strings.Contains(string(answer.body), test.code) || runs != test.runs {
				t.Errorf("%d after %d runs: %s", answer.StatusCode, runs, answer.body)
			}
		})
	}
}

func TestMultiDeadNode(t *testing.T) {
	w := silentWorld(t, 50*time.Millisecond)
	w.do("POST", "/v1/keys", strings.NewReader(`{"keys":["a","b"]}`), jsonType).wantProblem(t, 504, "timeout", "Retry-After: 1")
}

// FuzzKeyList: a list that is taken means the same keys to every reader of JSON.
func FuzzKeyList(f *testing.F) {
	for _, seed := range []string{
		`{"keys":["a","b"]}`, `{"keys":["\ud83d\ude00"]}`, `{"keys":["\ud83d"]}`, `{"keys":["\\ud83d"]}`,
		`{"keys":["\ufffd"]}`, `{"keys":["\ude00\ud83d"]}`, `{"keys":["\uD83D\n"]}`, `{"keys":[]}`, `{"keys":["\ud83d\ud83d\ude00"]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		keys, err := parseKeys(body)
		if err != nil {
			return
		}
		replaced := 0
		for _, key := range keys {
			if !utf8.ValidString(string(key)) {
				t.Fatalf("key %q is no text", key)
			}
			replaced += strings.Count(string(key), "\uFFFD")
		}
		written := strings.Count(string(body), "\uFFFD") + strings.Count(strings.ToLower(string(body)), `\ufffd`)
		if replaced > written {
			t.Fatalf("%q: %d characters were replaced, %d stand there", body, replaced, written)
		}
		if again, err := json.Marshal(keyList{keys}); err != nil {
			t.Fatal(err)
		} else if twice, err := parseKeys(again); err != nil || !slices.Equal(twice, keys) {
			t.Fatalf("%q: read again: %q, %v", body, twice, err)
		}
	})
}
