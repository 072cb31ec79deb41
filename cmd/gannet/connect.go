package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"gannet/client"
	"gannet/config"
)

const defaultServer = "127.0.0.1:9800"

// outputFormat is the form of what goes to stdout.
type outputFormat string

const (
	outputText outputFormat = "text"
	outputJSON outputFormat = "json"
)

// UnmarshalText reads a flag.
func (o *outputFormat) UnmarshalText(text []byte) error {
	switch f := outputFormat(text); f {
	case outputText, outputJSON:
		*o = f
		return nil
	}
	return fmt.Errorf("%q is no output format; use text or json", text)
}

// durationFlag is a length of time with a unit, above 0.
type durationFlag time.Duration

// UnmarshalText reads a flag.
func (d *durationFlag) UnmarshalText(text []byte) error {
	value, err := config.ParseDuration(string(text))
	if err == nil && value == 0 {
		err = errors.New("is zero; write e.g. 500ms")
	}
	if err != nil {
		return fmt.Errorf("%q %w", text, err)
	}
	*d = durationFlag(value)
	return nil
}

// ttlFlag is a time to live: a duration, or days.
type ttlFlag time.Duration

// UnmarshalText reads a flag.
func (t *ttlFlag) UnmarshalText(text []byte) error {
	value, err := parseTTL(string(text))
	if err != nil {
		return fmt.Errorf("TTL %q %w", text, err)
	}
	*t = ttlFlag(value)
	return nil
}

func parseTTL(text string) (time.Duration, error) {
	value, err := config.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, numErr := strconv.ParseFloat(days, 64)
		if numErr != nil || !(n >= 0) || n > math.MaxInt32 {
			return 0, errors.New("is not a duration; write e.g. 60s, 12h or 30d")
		}
		value, err = time.Duration(min(n*24*float64(time.Hour), math.MaxInt64/2)), nil
	}
	switch {
	case err != nil:
		return 0, err
	case value == 0:
		return 0, errors.New("is zero; leave the flag out for an item that does not expire")
	case value > client.MaxTTL:
		return 0, fmt.Errorf("is too long; the longest is %dd, or leave the flag out for an item that does not expire", client.MaxTTL/(24*time.Hour))
	}
	return value, nil
}

// target says which node a verb talks to, and how it shows what it got.
type target struct {
	Server  string       `short:"s" placeholder:"HOST:PORT" help:"Node to talk to (GANNET_SERVER; default: 127.0.0.1:9800)."`
	Timeout durationFlag `default:"1s" help:"How long to try."`
	Output  outputFormat `short:"o" default:"text" help:"text or json."`
}

func (t *target) server(env *Env) string {
	if t.Server != "" {
		return t.Server
	}
	for _, entry := range env.Environ {
		if server, ok := strings.CutPrefix(entry, "GANNET_SERVER="); ok && server != "" {
			return server
		}
	}
	return defaultServer
}

// with opens a client, runs do and closes the client. A signal ends the call.
func (t *target) with(env *Env, do func(context.Context, *client.Client) error) error {
	c, err := client.Open([]string{t.server(env)}, client.WithTimeout(time.Duration(t.Timeout)), client.WithSourcePorts(1))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-env.Signals:
			cancel()
		case <-ctx.Done():
		}
	}()
	return errors.Join(do(ctx, c), c.Close())
}

// outcome tells what is an answer from what is an error.
func outcome(err error) error {
	switch {
	case errors.Is(err, client.ErrMiss), errors.Is(err, client.ErrNotFound):
		return errMiss
	case errors.Is(err, client.ErrExists), errors.Is(err, client.ErrVersion):
		return &unmetError{err}
	default:
		return err
	}
}

func writeJSON(env *Env, v any) error {
	encoder := json.NewEncoder(env.Stdout)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// itemJSON is an item in JSON. A value that is not text is in base64.
type itemJSON struct {
	Key         string  `json:"key"`
	Found       bool    `json:"found"`
	Value       *string `json:"value,omitempty"`
	ValueBase64 []byte  `json:"value_base64,omitempty"`
	Version     uint64  `json:"version,omitempty,string"`
	TTLSeconds  *int64  `json:"ttl_seconds,omitempty"`
	AgeSeconds  int64   `json:"age_seconds"`
	Stale       bool    `json:"stale,omitempty"`
	Error       string  `json:"error,omitempty"`
}

func jsonItem(key string, item *client.Item) itemJSON {
	out := itemJSON{
		Key: key, Found: true, Version: uint64(item.Version), Stale: item.Stale,
		AgeSeconds: int64(item.Age / time.Second),
	}
	if item.TTL != client.NoTTL {
		seconds := int64(item.TTL / time.Second)
		out.TTLSeconds = &seconds
	}
	if utf8.Valid(item.Value) {
		text := string(item.Value)
		out.Value = &text
	} else {
		out.ValueBase64 = item.Value
	}
	return out
}

// isTerminal tells whether a person looks on.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// valueText is a value from the command line: an argument, a file, or - for stdin.
type valueText struct {
	Value *string `arg:"" optional:"" help:"Value; - reads it from standard input."`
	File  string  `short:"f" placeholder:"PATH" help:"Read the value from a file."`
}

func (v *valueText) read(env *Env) ([]byte, error) {
	switch {
	case v.File != "" && v.Value != nil:
		return nil, errors.New("a value and --file are given; use one of them")
	case v.File != "":
		return readLimited(v.File)
	case v.Value == nil:
		return nil, errors.New("no value given; write it after the key, use - to read it from standard input, or --file PATH")
	case *v.Value == "-":
		return limit(env.Stdin, "standard input")
	default:
		return []byte(*v.Value), nil
	}
}

func readLimited(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the value: %w", err)
	}
	defer f.Close()
	return limit(f, path)
}

// maxValueBytes is more than any node stores: reading ends there.
const maxValueBytes = 1 << 20

func limit(r io.Reader, name string) ([]byte, error) {
	value, err := io.ReadAll(io.LimitReader(r, maxValueBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the value from %s: %w", name, err)
	}
	if len(value) > maxValueBytes {
		return nil, fmt.Errorf("the value in %s is larger than 1 MiB, the most a node can store; split it", name)
	}
	return value, nil
}
