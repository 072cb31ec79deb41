package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

const dissector = "../docs/wireshark/gannet.lua"

// dissected is what tshark says of one datagram: field name → its values in order.
type dissected map[string][]string

// dissect writes the datagrams into a capture as if they had gone over the wire, and has tshark read it. A datagram with the flag
// REPLY goes from the node's port to the client's.
func dissect(t *testing.T, datagrams [][]byte) []dissected {
	t.Helper()
	var frames [][]byte
	for _, datagram := range datagrams {
		fromNode := len(datagram) > OffsetFlags && Flags(datagram[OffsetFlags])&FlagReply != 0
		frames = append(frames, ethernetFrame(t, datagram, fromNode))
	}
	return dissectFrames(t, frames)
}

// dissectFrames is dissect for whole Ethernet frames.
func dissectFrames(t *testing.T, frames [][]byte) []dissected {
	t.Helper()
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("tshark is missing: install it to test the dissector")
	}
	path := filepath.Join(t.TempDir(), "gannet.pcap")
	if err := os.WriteFile(path, captureFile(t, frames), 0o600); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	// Two passes, as in the window: only then do requests know their replies.
	// Heuristics first: a socket's port may be one that another protocol has registered.
	command := exec.Command(tshark, "-2", "-n", "-o", "udp.try_heuristic_first:TRUE", "-X", "lua_script:"+dissector, "-r", path, "-T", "json", "--no-duplicate-keys")
	command.Stderr = &stderr
	command.Env = append(os.Environ(), "HOME="+t.TempDir(), "LC_ALL=C.UTF-8")
	out, err := command.Output()
	if err != nil || bytes.Contains(stderr.Bytes(), []byte("gannet.lua")) {
		t.Fatalf("%v: %v\n%s", command.Args, err, stderr.Bytes())
	}
	var shown []struct {
		Source struct {
			Layers map[string]any `json:"layers"`
		} `json:"_source"`
	}
	if err := json.Unmarshal(out, &shown); err != nil {
		t.Fatalf("tshark's JSON: %v\n%s", err, out)
	}
	var all []dissected
	for _, frame := range shown {
		d := dissected{}
		d.collect("", frame.Source.Layers)
		all = append(all, d)
	}
	return all
}

// collect gathers the leaves of tshark's tree under their field names.
func (d dissected) collect(name string, node any) {
	switch node := node.(type) {
	case map[string]any:
		for child, value := range node {
			d.collect(child, value)
		}
	case []any:
		for _, value := range node {
			d.collect(name, value)
		}
	default:
		d[name] = append(d[name], fmt.Sprint(node))
	}
}

func captureFile(t *testing.T, frames [][]byte) []byte {
	t.Helper()
	var file bytes.Buffer
	w := pcapgo.NewWriter(&file)
	if err := w.WriteFileHeader(65535, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	for i, frame := range frames {
		info := gopacket.CaptureInfo{
			Timestamp: time.Unix(1_700_000_000, int64(i)*250_000), CaptureLength: len(frame), Length: len(frame),
		}
		if err := w.WritePacket(info, frame); err != nil {
			t.Fatal(err)
		}
	}
	return file.Bytes()
}

func ethernetFrame(t *testing.T, payload []byte, fromNode bool) []byte {
	t.Helper()
	ethernet := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4}
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: net.IPv4(192, 0, 2, 1), DstIP: net.IPv4(192, 0, 2, 2)}
	udp := &layers.UDP{SrcPort: 40_000, DstPort: BasePort + 2}
	if fromNode {
		ethernet.SrcMAC, ethernet.DstMAC = ethernet.DstMAC, ethernet.SrcMAC
		ip.SrcIP, ip.DstIP = ip.DstIP, ip.SrcIP
		udp.SrcPort, udp.DstPort = udp.DstPort, udp.SrcPort
	}
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	buffer := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buffer, options, ethernet, ip, udp, gopacket.Payload(payload)); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

// expect compares the values of a field, numbers as numbers, whatever base tshark shows them in.
func (d dissected) expect(t *testing.T, of, field string, want ...uint64) {
	t.Helper()
	var got []uint64
	for _, s := range d[field] {
		v, err := strconv.ParseUint(s, 0, 64)
		if err != nil {
			signed, signedErr := strconv.ParseInt(s, 0, 64)
			if signedErr != nil {
				t.Errorf("%s: %s is %q", of, field, s)
				return
			}
			v = uint64(signed)
		}
		got = append(got, v)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %s is %v, want %v", of, field, got, want)
	}
}

// expectBytes compares the values of a field of bytes, which tshark shows as 01:02:…
func (d dissected) expectBytes(t *testing.T, of, field string, want ...[]byte) {
	t.Helper()
	var shown []string
	for _, b := range want {
		if len(b) == 0 {
			continue // an empty field is not shown
		}
		s := ""
		for i, v := range b {
			if i > 0 {
				s += ":"
			}
			s += fmt.Sprintf("%02x", v)
		}
		shown = append(shown, s)
	}
	if fmt.Sprint(d[field]) != fmt.Sprint(shown) {
		t.Errorf("%s: %s is %v, want %v", of, field, d[field], shown)
	}
}

func TestDissectorReadsRequests(t *testing.T) {
	cases := requestCases()
	var datagrams [][]byte
	for i := range cases {
		datagrams = append(datagrams, cases[i].build())
	}
	frames := dissect(t, datagrams)
	if len(frames) != len(cases) {
		t.Fatalf("%d frames of %d", len(frames), len(cases))
	}
	for i, c := range cases {
		expectRequest(t, frames[i], &c)
	}
}

func expectRequest(t *testing.T, d dissected, c *requestCase) {
	t.Helper()
	h := &c.header
	for field, want := range map[string]uint64{
		"magic": Magic, "version": FormatVersion, "flags": uint64(h.Flags), "flags.stages": uint64(h.Flags >> 3), "shard": uint64(h.Shard),
		"count": uint64(len(c.ops)), "key_hash": h.KeyHash, "request_id": h.RequestID, "session_id": h.SessionID, "packet_number": 0,
		"epoch": uint64(h.Epoch), "budget_us": uint64(h.BudgetMicros), "cookie": h.Cookie, "min_version": uint64(h.MinVersion),
		"grant_offset_us": uint64(h.GrantOffsetMicros), "grant_rate_kbit": uint64(h.GrantRateKbit), "fan_out": uint64(h.FanOut),
		"expected_bytes": uint64(h.ExpectedBytes), "max_reply_bytes": uint64(h.MaxReplyBytes),
	} {
		d.expect(t, c.name, "gannet."+field, want)
	}
	columns := map[string][]uint64{}
	var keys, values [][]byte
	for _, o := range c.ops {
		add := func(field string, v uint64) { columns[field] = append(columns[field], v) }
		add("opcode", uint64(o.Code))
		add("flags", uint64(o.Flags))
		add("key_length", uint64(len(o.Key)))
		add("value_length", uint64(len(o.Value)))
		add("ttl_s", uint64(o.TTLSeconds))
		add("soft_ttl_s", uint64(o.SoftSeconds))
		add("arg", o.Arg)
		if o.Code == Incr {
			add("delta", o.Arg)
		}
		if o.Flags&OpSegment != 0 {
			add("total_bytes", uint64(o.TotalBytes))
			add("offset_bytes", uint64(o.OffsetBytes))
			add("transfer", o.Transfer)
		}
		keys, values = append(keys, o.Key), append(values, o.Value)
	}
	for field, want := range columns {
		d.expect(t, c.name, "gannet.op."+field, want...)
	}
	d.expectBytes(t, c.name, "gannet.op.key", keys...)
	d.expectBytes(t, c.name, "gannet.op.value", values...)
	for _, e := range c.extensions {
		if len(d["gannet.ext.type"]) != len(c.extensions) {
			t.Errorf("%s: extension %#x: shown are %v", c.name, e.Type, d["gannet.ext.type"])
		}
	}
	if len(d["gannet.malformed"]) != 0 {
		t.Errorf("%s: shown as malformed", c.name)
	}
}

func TestDissectorReadsReplies(t *testing.T) {
	cases := replyCases()
	var datagrams [][]byte
	for _, c := range cases {
		datagrams = append(datagrams, buildReply(&c.header, c.ops))
	}
	for i, d := range dissect(t, datagrams) {
		expectReply(t, d, &cases[i])
	}
}

func expectReply(t *testing.T, d dissected, c *replyCase) {
	t.Helper()
	h := &c.header
	for field, want := range map[string]uint64{
		"flags": uint64(h.Flags), "flags.reply": 1, "shard": uint64(h.Shard), "request_id": h.RequestID, "session_id": h.SessionID,
		"epoch": uint64(h.Epoch), "load": uint64(h.Load), "rx_queue": uint64(h.RxQueue),
	} {
		d.expect(t, c.name, "gannet."+field, want)
	}
	if h.Flags&FlagStages != 0 {
		d.expect(t, c.name, "gannet.stages.received_ns", h.Stages.ReceivedNanos)
		d.expect(t, c.name, "gannet.stages.served_ns", h.Stages.ServedNanos)
		d.expect(t, c.name, "gannet.stages.sent_ns", h.Stages.SentNanos)
	}
	columns := map[string][]uint64{}
	var values [][]byte
	for _, o := range c.ops {
		add := func(field string, v uint64) { columns[field] = append(columns[field], v) }
		add("opcode", uint64(o.Code))
		add("status", uint64(o.Status))
		add("flags", uint64(o.Flags))
		add("value_length", uint64(len(o.Value)))
		add("version", uint64(o.Version))
		add("version.epoch", uint64(o.Version.Epoch()))
		add("ttl_s", uint64(o.TTLSeconds))
		add("age_s", uint64(o.AgeSeconds))
		add("crc32c", uint64(o.CRC))
		add("l1_grant_ms", uint64(o.L1GrantMillis))
		add("index", uint64(o.Index))
		add("token", o.Token)
		add("total_bytes", uint64(o.TotalBytes))
		add("offset_bytes", uint64(o.OffsetBytes))
		values = append(values, o.Value)
	}
	for field, want := range columns {
		d.expect(t, c.name, "gannet.reply."+field, want...)
	}
	d.expectBytes(t, c.name, "gannet.reply.value", values...)
	if c.name == "hello" {
		d.expect(t, c.name, "gannet.hello.shards", 8)
		d.expect(t, c.name, "gannet.hello.base_port", BasePort)
		d.expect(t, c.name, "gannet.hello.node_id", 0x0A0B)
	}
	if len(d["gannet.malformed"]) != 0 {
		t.Errorf("%s: shown as malformed", c.name)
	}
}

// TestDissectorMatchesExchanges: a request knows the frame of its first reply, and a reply that of its request.
func TestDissectorMatchesExchanges(t *testing.T) {
	first, second := vectorHeader("a"), vectorHeader("a")
	second.RequestID++
	get, answer := []Op{op(Get, "a", nil)}, []ReplyOp{{Code: Get, Status: StatusMiss}}
	firstReply, secondReply := ReplyHeader{RequestID: first.RequestID, SessionID: first.SessionID}, ReplyHeader{RequestID: second.RequestID, SessionID: second.SessionID}
	frames := dissect(t, [][]byte{
		buildRequest(&first, get), buildRequest(&second, get), buildReply(&secondReply, answer), buildReply(&firstReply, answer),
	})
	frames[0].expect(t, "first request", "gannet.reply_in", 4)
	frames[1].expect(t, "second request", "gannet.reply_in", 3)
	frames[2].expect(t, "second reply", "gannet.request_in", 2)
	frames[3].expect(t, "first reply", "gannet.request_in", 1)
	if got := frames[3]["gannet.reply_time"]; len(got) != 1 || got[0] != "0.00075" {
		t.Errorf("time of the first reply: %v", got)
	}
}

// TestDissectorSurvivesMalformed: no Lua error on any of them, and those it cannot lay out are marked.
func TestDissectorSurvivesMalformed(t *testing.T) {
	var datagrams [][]byte
	var cases []malformedVector
	for _, v := range malformedCases() {
		if len(v.Datagram) != 0 {
			datagrams, cases = append(datagrams, v.Datagram), append(cases, v)
		}
	}
	marked := map[string]bool{"header_length": true, "extension": true, "op_bounds": true, "key_bounds": true, "trailing": true}
	for i, d := range dissect(t, datagrams) {
		if len(d["_ws.lua.error"]) != 0 {
			t.Errorf("%s %s: %v", cases[i].Direction, cases[i].Name, d)
		}
		if marked[cases[i].Reason] && len(d["gannet.malformed"]) == 0 {
			t.Errorf("%s %s is not shown as malformed: %v", cases[i].Direction, cases[i].Name, d)
		}
	}
}
