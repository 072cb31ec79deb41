package bpf_test

import (
	"maps"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"gannet/bpf"
	"gannet/wire"
)

func header(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The enum of the programs and the constants of Go are one list.
func TestReasonsAreTheProgramsReasons(t *testing.T) {
	names := regexp.MustCompile(`(?m)^\tREASON_(\w+),`).FindAllStringSubmatch(header(t, "reason.h"), -1)
	if len(names) < 20 {
		t.Fatalf("found %d reasons in reason.h", len(names))
	}
	for i, name := range names {
		if want, got := strings.ToLower(name[1]), bpf.Reason(i).String(); got != want {
			t.Errorf("reason %d is %q in Go and %q in C", i, got, want)
		}
	}
	if beyond := bpf.Reason(len(names)).String(); !strings.HasPrefix(beyond, "reason_") {
		t.Errorf("Go has %q, C has not", beyond)
	}
}

// Every reason that either loader reports, and no other, has a name fit for a
// metric's label.
func TestReasonsAreLabels(t *testing.T) {
	label := regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	seen := map[string]bool{}
	for r := bpf.ReasonNone; r <= bpf.ReuseportNoSocket; r++ {
		if name := r.String(); seen[name] || !label.MatchString(name) {
			t.Errorf("reason %d: %q", r, name)
		} else {
			seen[name] = true
		}
		if want := strings.HasPrefix(r.String(), "drop_"); r.Dropped() != want {
			t.Errorf("%v: Dropped() = %v", r, r.Dropped())
		}
	}
}

// The programs read the header where package wire writes it.
func TestHeaderIsTheWires(t *testing.T) {
	want := map[string]int{
		"MAGIC": wire.Magic, "VERSION": wire.FormatVersion,
		"FLAG_REPLY":           int(wire.FlagReply),
		"FLAGS_KNOWN":          int(wire.FlagReply | wire.FlagSealed | wire.FlagAuth | wire.FlagStages),
		"REQUEST_HEADER_BYTES": wire.RequestHeaderBytes, "OPERATION_BYTES": wire.OpHeaderBytes,
		"SMALLEST_REQUEST_BYTES": wire.MinRequestBytes,
	}
	got := map[string]int{}
	for _, define := range regexp.MustCompile(`(?m)^#define WIRE_(\w+) (\S+)`).FindAllStringSubmatch(header(t, "wire.h"), -1) {
		value, err := strconv.ParseInt(define[2], 0, 32)
		if err != nil {
			t.Fatal(err)
		}
		got[define[1]] = int(value)
	}
	if !maps.Equal(got, want) {
		t.Errorf("wire.h has %v, package wire %v", got, want)
	}
	checkStart(t)
}

// checkStart compares struct wire_start, field by field.
func checkStart(t *testing.T) {
	t.Helper()
	want := map[string]int{
		"magic": wire.OffsetMagic, "version": wire.OffsetVersion, "flags": wire.OffsetFlags,
		"shard": wire.OffsetShard, "operations": wire.OffsetOpCount, "header_words": wire.OffsetHeaderWords,
	}
	got, offset := map[string]int{}, 0
	for _, field := range regexp.MustCompile(`(?m)^\t__u(\d+) (\w+);`).FindAllStringSubmatch(header(t, "wire.h"), -1) {
		bits, err := strconv.Atoi(field[1])
		if err != nil {
			t.Fatal(err)
		}
		got[field[2]] = offset
		offset += bits / 8
	}
	if !maps.Equal(got, want) {
		t.Errorf("struct wire_start has %v, package wire %v", got, want)
	}
}
