package tuning

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// Kind says how a setting is read and written.
type Kind string

// The kinds, and what a Target is for each.
const (
	KindFile     Kind = "file"     // a path in /sys or /proc
	KindChoice   Kind = "choice"   // a path to a file like "always [madvise] never"
	KindConfig   Kind = "config"   // a path to a whole file in /etc
	KindBalancer Kind = "balancer" // the same, for irqbalance, which is restarted
	KindCmdline  Kind = "cmdline"  // a parameter of the kernel's command line: read only
	KindIRQ      Kind = "irq"      // NIC and the interrupt's name: its CPUs
	KindChannels Kind = "channels" // NIC
	KindRings    Kind = "rings"    // NIC
	KindCoalesce Kind = "coalesce" // NIC
	KindRSS      Kind = "rss"      // NIC
	KindFeature  Kind = "feature"  // NIC and the feature's name
	KindFlow     Kind = "flow"     // NIC, udp4 or udp6, port
)

// Setting names one value of the host. It is comparable, and goes into the journal as it is.
type Setting struct {
	Kind   Kind   `json:"kind"`
	Target string `json:"target"`
}

// String names the setting for people.
func (s Setting) String() string {
	switch s.Kind {
	case KindFile, KindChoice, KindConfig, KindBalancer:
		return s.Target
	}
	return string(s.Kind) + " " + s.Target
}

// survivesBoot tells whether a reboot leaves the value as it is.
func (s Setting) survivesBoot() bool { return s.Kind == KindConfig || s.Kind == KindBalancer }

// ofNamespace tells whether the value belongs to the network namespace.
func (s Setting) ofNamespace() bool {
	return !s.survivesBoot() && (s.Kind != KindFile && s.Kind != KindChoice && s.Kind != KindIRQ ||
		strings.HasPrefix(s.Target, netDir+"/") || strings.HasPrefix(s.Target, "/proc/sys/net/"))
}

func (s Setting) nic() string {
	name, _, _ := strings.Cut(s.Target, " ")
	return name
}

func (s Setting) rest() string {
	_, rest, _ := strings.Cut(s.Target, " ")
	return rest
}

// absent is the value of a file that is not there, and of a rule.
const absent = "absent"

// Read gives the present value.
func (s Setting) Read(h *Host) (string, error) {
	value, err := s.read(h)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", s, err)
	}
	return value, nil
}

func (s Setting) read(h *Host) (string, error) {
	switch s.Kind {
	case KindFile, KindChoice:
		data, err := h.Files.ReadFile(s.Target)
		value := strings.Join(strings.Fields(string(data)), " ")
		if s.Kind == KindChoice && err == nil {
			value = chosen(value)
		}
		return value, err
	case KindConfig, KindBalancer:
		data, err := h.Files.ReadFile(s.Target)
		if errors.Is(err, fs.ErrNotExist) {
			return absent, nil
		}
		return "=" + string(data), err
	case KindCmdline:
		return parameter(h.text("/proc/cmdline"), s.Target), nil
	case KindIRQ:
		path, err := s.irqPath(h)
		if err != nil {
			return "", err
		}
		data, err := h.Files.ReadFile(path)
		return strings.TrimSpace(string(data)), err
	}
	return s.readEthtool(h)
}

func (s Setting) readEthtool(h *Host) (string, error) {
	nic := s.nic()
	switch s.Kind {
	case KindChannels:
		v, err := h.Ethtool.Channels(nic)
		return v.String(), err
	case KindRings:
		v, err := h.Ethtool.Rings(nic)
		return v.String(), err
	case KindCoalesce:
		v, err := h.Ethtool.Coalesce(nic)
		return v.String(), err
	case KindRSS:
		table, err := h.Ethtool.RSS(nic)
		return formatRSS(table), err
	case KindFeature:
		v, err := h.Ethtool.Feature(nic, s.rest())
		if err == nil && v.Fixed {
			return onOff(v.On), fmt.Errorf("it is always %s: %w", onOff(v.On), ErrUnsupported)
		}
		return onOff(v.On), err
	case KindFlow:
		return s.readFlow(h)
	}
	return "", fmt.Errorf("settings of kind %q are unknown: the journal is of a newer gannet", s.Kind)
}

// Write sets a value, as Read gives them.
func (s Setting) Write(h *Host, value string) error {
	if err := s.write(h, value); err != nil {
		return fmt.Errorf("set %s to %s: %w", s, shorten(value), err)
	}
	return nil
}

func (s Setting) write(h *Host, value string) error {
	switch s.Kind {
	case KindFile, KindChoice:
		return h.Files.WriteFile(s.Target, []byte(value+"\n"))
	case KindConfig:
		return writeConfig(h, s.Target, value)
	case KindBalancer:
		if err := writeConfig(h, s.Target, value); err != nil {
			return err
		}
		return h.Run("systemctl", "try-restart", "irqbalance.service")
	case KindCmdline:
		return errors.New("the kernel's command line is only advised")
	case KindIRQ:
		path, err := s.irqPath(h)
		if err != nil {
			return err
		}
		return h.Files.WriteFile(path, []byte(value+"\n"))
	}
	return s.writeEthtool(h, value)
}

func (s Setting) writeEthtool(h *Host, value string) error {
	nic := s.nic()
	fields, err := pairs(value)
	if err != nil && s.Kind != KindFeature && s.Kind != KindFlow && s.Kind != KindRSS {
		return err
	}
	switch s.Kind {
	case KindChannels:
		c, err := h.Ethtool.Channels(nic)
		if err != nil {
			return err
		}
		fields.number("rx", &c.RX, "tx", &c.TX, "combined", &c.Combined)
		return h.Ethtool.SetChannels(nic, c)
	case KindRings:
		r, err := h.Ethtool.Rings(nic)
		if err != nil {
			return err
		}
		fields.number("rx", &r.RX, "tx", &r.TX)
		return h.Ethtool.SetRings(nic, r)
	case KindCoalesce:
		c := Coalesce{AdaptiveRX: fields["adaptive-rx"] == "on", AdaptiveTX: fields["adaptive-tx"] == "on"}
		fields.number("rx-usecs", &c.RXMicros, "rx-frames", &c.RXFrames, "tx-usecs", &c.TXMicros, "tx-frames", &c.TXFrames)
		return h.Ethtool.SetCoalesce(nic, c)
	case KindRSS:
		return s.writeRSS(h, value)
	case KindFeature:
		return h.Ethtool.SetFeature(nic, s.rest(), value == "on")
	case KindFlow:
		return s.writeFlow(h, value)
	}
	return fmt.Errorf("settings of kind %q are unknown: the journal is of a newer gannet", s.Kind)
}

func writeConfig(h *Host, path, value string) error {
	if value == absent {
		err := h.Files.Remove(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return h.Files.Replace(path, []byte(strings.TrimPrefix(value, "=")))
}

// irqPath finds an interrupt by its name: numbers change when a driver makes its queues anew.
func (s Setting) irqPath(h *Host) (string, error) {
	for _, irq := range readIRQs(h, s.nic()) {
		if irq.Name == s.rest() {
			return fmt.Sprintf("/proc/irq/%d/smp_affinity_list", irq.Number), nil
		}
	}
	return "", fmt.Errorf("interrupt %s: %w", s.rest(), fs.ErrNotExist)
}

// chosen takes the word in brackets.
func chosen(value string) string {
	_, rest, ok := strings.Cut(value, "[")
	word, _, closed := strings.Cut(rest, "]")
	if !ok || !closed {
		return value
	}
	return word
}

// parameter finds a parameter of the kernel's command line.
func parameter(cmdline, name string) string {
	for _, word := range strings.Fields(cmdline) {
		if value, ok := strings.CutPrefix(word, name+"="); ok {
			return value
		}
	}
	return "not given"
}

// fields are the arguments of ethtool(8) as they stand in a value.
type fields map[string]string

func pairs(value string) (fields, error) {
	parts := strings.Fields(value)
	if len(parts)%2 != 0 {
		return nil, fmt.Errorf("%q is not made of names and values", value)
	}
	f := fields{}
	for i := 0; i < len(parts); i += 2 {
		f[parts[i]] = parts[i+1]
	}
	return f, nil
}

// number fills what is given: name and *uint32 in turns.
func (f fields) number(into ...any) {
	for i := 0; i < len(into); i += 2 {
		if n, err := strconv.ParseUint(f[into[i].(string)], 10, 32); err == nil {
			*into[i+1].(*uint32) = uint32(n)
		}
	}
}

// formatRSS writes a table that deals evenly over the first n queues as "equal n".
func formatRSS(table []uint32) string {
	if len(table) == 0 {
		return ""
	}
	n := slices.Max(table) + 1
	for i, q := range table {
		if q != uint32(i)%n {
			text := make([]string, len(table))
			for j, q := range table {
				text[j] = strconv.Itoa(int(q))
			}
			return "table " + strings.Join(text, ",")
		}
	}
	return fmt.Sprintf("equal %d", n)
}

func (s Setting) writeRSS(h *Host, value string) error {
	if list, ok := strings.CutPrefix(value, "table "); ok {
		var table []uint32
		for text := range strings.SplitSeq(list, ",") {
			q, err := strconv.ParseUint(text, 10, 32)
			if err != nil {
				return fmt.Errorf("table of queues: %w", err)
			}
			table = append(table, uint32(q))
		}
		return h.Ethtool.SetRSS(s.nic(), table)
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(value, "equal "), 10, 16)
	if err != nil || n == 0 {
		return fmt.Errorf("%q is not a spread over queues", value)
	}
	channels, err := h.Ethtool.Channels(s.nic())
	if err == nil && uint32(n) == max(channels.RX, channels.Combined) {
		return h.Ethtool.SetRSS(s.nic(), nil) // the driver's own: follows later changes of the queues
	}
	table, err := h.Ethtool.RSS(s.nic())
	if err != nil {
		return err
	}
	for i := range table {
		table[i] = uint32(i) % uint32(n)
	}
	return h.Ethtool.SetRSS(s.nic(), table)
}

// flow gives family and port of a rule's setting.
func (s Setting) flow() (ipv6 bool, port uint16) {
	family, text, _ := strings.Cut(s.rest(), " ")
	n, _ := strconv.ParseUint(text, 10, 16)
	return family == "udp6", uint16(n)
}

func (s Setting) findFlow(h *Host) (rule FlowRule, found bool, slots int, err error) {
	rules, slots, err := h.Ethtool.FlowRules(s.nic())
	if err == nil && slots == 0 {
		err = fmt.Errorf("it has no room for flow rules: %w", ErrUnsupported)
	}
	ipv6, port := s.flow()
	for _, r := range rules {
		if r.Exact && r.IPv6 == ipv6 && r.Port == port {
			return r, true, slots, err
		}
	}
	return FlowRule{}, false, slots, err
}

func (s Setting) readFlow(h *Host) (string, error) {
	rule, found, _, err := s.findFlow(h)
	if err != nil || !found {
		return absent, err
	}
	return fmt.Sprintf("queue %d location %d", rule.Queue, rule.Location), nil
}

func (s Setting) writeFlow(h *Host, value string) error {
	old, found, _, err := s.findFlow(h)
	if err != nil {
		return err
	}
	if found {
		if err := h.Ethtool.DeleteFlowRule(s.nic(), old.Location); err != nil {
			return err
		}
	}
	if value == absent {
		return nil
	}
	rule := FlowRule{Exact: true}
	rule.IPv6, rule.Port = s.flow()
	if _, err := fmt.Sscanf(value, "queue %d location %d", &rule.Queue, &rule.Location); err != nil {
		return fmt.Errorf("%q is not a flow rule: %w", value, err)
	}
	return h.Ethtool.AddFlowRule(s.nic(), rule)
}

// shorten keeps whole files out of messages.
func shorten(value string) string {
	if strings.HasPrefix(value, "=") {
		return fmt.Sprintf("%d lines", strings.Count(value, "\n"))
	}
	if len(value) > 60 {
		return value[:57] + "..."
	}
	return value
}
