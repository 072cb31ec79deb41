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
	if got := defines(t, "wire.h"); !maps.Equal(got, want) {
		t.Errorf("wire.h has %v, package wire %v", got, want)
	}
	checkStart(t)
}

func defines(t *testing.T, name string) map[string]int {
	t.Helper()
	got := map[string]int{}
	for _, define := range regexp.MustCompile(`(?m)^#define WIRE_(\w+) (\S+)`).FindAllStringSubmatch(header(t, name), -1) {
		value, err := strconv.ParseInt(define[2], 0, 32)
		if err != nil {
			t.Fatal(err)
		}
		got[define[1]] = int(value)
	}
	return got
}

// The hot stage reads and writes GETs and their answers where package wire does.
func TestGetIsTheWires(t *testing.T) {
	want := map[string]int{
		"GET": int(wire.Get), "OP_LEASE": int(wire.OpLease), "OP_STALE_OK": int(wire.OpStaleOK),
		"REPLY_HEADER_BYTES": wire.ReplyHeaderBytes, "MIN_REPLY_ROOM_BYTES": wire.MinReplyRoomBytes,
	}
	if got := defines(t, "wireget.h"); !maps.Equal(got, want) {
		t.Errorf("wireget.h has %v, package wire %v", got, want)
	}
	const op, reply = wire.RequestHeaderBytes, wire.ReplyHeaderBytes
	common := map[string]int{
		"key_hash": wire.OffsetKeyHash, "request_id": wire.OffsetRequestID, "session_id": wire.OffsetSessionID,
		"packet_number": wire.OffsetPacketNumber, "tag": wire.OffsetTag, "epoch": wire.OffsetEpoch,
	}
	get := map[string]int{
		"budget": wire.OffsetBudgetMicros, "cookie": wire.OffsetCookie, "min_version": wire.OffsetMinVersion,
		"grant_offset": wire.OffsetGrantOffsetMicros, "grant_rate": wire.OffsetGrantRateKbit, "expected_bytes": wire.OffsetExpectedBytes,
		"fan_out": wire.OffsetFanOut, "reply_room": wire.OffsetMaxReplyBytes,
		"opcode": op + wire.OpOffsetOpcode, "op_flags": op + wire.OpOffsetFlags, "key_bytes": op + wire.OpOffsetKeyBytes,
		"reserved": op + wire.OpOffsetReserved, "value_bytes": op + wire.OpOffsetValueBytes, "ttl_seconds": op + wire.OpOffsetTTLSeconds,
		"soft_seconds": op + wire.OpOffsetSoftSeconds, "argument": op + wire.OpOffsetArg,
	}
	answer := map[string]int{
		"load": wire.OffsetLoad, "rx_queue": wire.OffsetRxQueue,
		"opcode": reply + wire.ReplyOpOffsetOpcode, "status": reply + wire.ReplyOpOffsetStatus, "op_flags": reply + wire.ReplyOpOffsetFlags,
		"value_bytes": reply + wire.ReplyOpOffsetValueBytes, "version": reply + wire.ReplyOpOffsetVersion,
		"ttl_seconds": reply + wire.ReplyOpOffsetTTLSeconds, "age_seconds": reply + wire.ReplyOpOffsetAgeSeconds,
		"crc": reply + wire.ReplyOpOffsetCRC, "grant_and_index": reply + wire.ReplyOpOffsetL1GrantMillis,
		"token": reply + wire.ReplyOpOffsetToken, "total_bytes": reply + wire.ReplyOpOffsetTotalBytes, "offset_bytes": reply + wire.ReplyOpOffsetOffsetBytes,
	}
	maps.Copy(get, common)
	maps.Copy(answer, common)
	text := header(t, "wireget.h")
	cut := strings.Index(text, "struct wire_answer {")
	checkFields(t, "struct wire_get", text[:cut], get)
	checkFields(t, "struct wire_answer", text[cut:], answer)
}

// checkFields compares the offsets of a struct that begins with a wire_start.
func checkFields(t *testing.T, name, text string, want map[string]int) {
	t.Helper()
	got, offset := map[string]int{}, 8
	for _, field := range regexp.MustCompile(`(?m)^\t__u(\d+) (\w+)(?:\[(\d)\])?;`).FindAllStringSubmatch(text, -1) {
		bits, _ := strconv.Atoi(field[1])
		count, _ := strconv.Atoi("0" + field[3])
		got[field[2]] = offset
		offset += bits / 8 * max(1, count)
	}
	if !maps.Equal(got, want) {
		t.Errorf("%s has %v, package wire %v", name, got, want)
	}
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
