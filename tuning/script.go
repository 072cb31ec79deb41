package tuning

import (
	_ "embed" // the scripts' first and last lines
	"fmt"
	"slices"
	"strings"
)

//go:embed shell/preamble.sh
var preamble string

//go:embed shell/epilogue.sh
var epilogue string

// GroupScript makes the script of a group of knobs, for hosts without Gannet.
func GroupScript(group string) string {
	var b strings.Builder
	b.WriteString("#!/bin/sh\n# shellcheck disable=SC2034,SC2317 # settings and functions that this group has no use for\n")
	b.WriteString(strings.ReplaceAll(preamble, "@NAME@", group))
	for _, k := range Knobs() {
		if k.Group == group {
			k.script(&b)
		}
	}
	b.WriteString(epilogue)
	return b.String()
}

// script writes a knob's lines: its own, or what follows from its one file and value.
func (k *Knob) script(b *strings.Builder) {
	fmt.Fprintf(b, "\n# %s: %s\n# Source: %s.\n", k.Name, k.Why, k.Source)
	lines := k.Shell
	if lines == "" {
		setting := k.Scan(nil, nil)[0].Setting
		lines = fmt.Sprintf("put %s %s", setting.Target, quote(k.Want(nil, Item{}).Value))
	}
	condition := ""
	if len(k.Roles) < len(Roles()) {
		names := make([]string, len(k.Roles))
		for i, r := range k.Roles {
			names[i] = fmt.Sprintf("[ \"$ROLE\" = %s ]", r)
		}
		condition = strings.Join(names, " || ")
		if len(names) > 1 && k.needsNIC() {
			condition = "{ " + condition + "; }"
		}
	}
	if k.needsNIC() {
		condition = strings.TrimSuffix("[ -n \"$NIC\" ] && "+condition, " && ")
	}
	if condition == "" {
		fmt.Fprintln(b, lines)
		return
	}
	fmt.Fprintf(b, "if %s; then\n%s\nfi\n", condition, indent(lines))
}

func (k *Knob) needsNIC() bool { return k.Group == "nic" || k.Group == "irq" }

func indent(lines string) string { return "\t" + strings.ReplaceAll(lines, "\n", "\n\t") }

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

const planHeader = `#!/bin/sh
# What gannet tune plan found for this host, as a plain script: role %s, %s.
# Made for the host as it was then: when it makes new queues, make the script anew behind it for what hangs on them.
#
# Usage: sh SCRIPT apply|revert
set -u
say() { printf '%%s\n' "$*"; }
put() {
	[ -e "$2" ] || { say "# $2 is not there"; return 0; }
	say "$2 = $1"
	printf '%%s\n' "$1" >"$2" || failed "$2"
}
tool() {
	say "ethtool $*"
	ethtool "$@" || failed "ethtool $*"
}
failed() {
	say "$1 failed; what was set before it stays: undo it with revert" >&2
	exit 1
}
`

// Script prints what is pending as a shell script, with the way back.
func (p *Plan) Script() string {
	var b, forth, back strings.Builder
	nic := "no interface"
	if p.Facts.NIC != nil {
		nic = p.Facts.NIC.Name
	}
	fmt.Fprintf(&b, planHeader, p.Options.Role, nic)
	for _, c := range p.Pending() {
		fmt.Fprintf(&forth, "\t# %s: %s\n\t%s\n", c.Knob.Name, c.Knob.Why, c.Setting.shell(p, c.Now, c.Wanted))
	}
	for _, c := range slices.Backward(p.Pending()) {
		fmt.Fprintf(&back, "\t%s\n", c.Setting.shell(p, c.Wanted, c.Now))
	}
	for _, c := range p.Changes {
		if c.State == StateAdvice {
			fmt.Fprintf(&forth, "\t# Advice, %s: %s: %s\n", c.Knob.Name, c.Setting, c.Wanted)
		}
	}
	fmt.Fprintf(&b, "\napply() {\n%s\t:\n}\n\nrevert() {\n%s\t:\n}\n\ncase ${1:-} in\napply | revert) \"$1\" ;;\n*) say \"usage: sh $0 apply|revert\" >&2; exit 2 ;;\nesac\n",
		forth.String(), back.String())
	return b.String()
}

// shell is the command that brings a setting from one value to another.
func (s Setting) shell(p *Plan, from, to string) string {
	nic := s.nic()
	switch s.Kind {
	case KindFile, KindChoice:
		return fmt.Sprintf("put %s %s", quote(to), s.Target)
	case KindIRQ:
		for _, irq := range p.Facts.NIC.IRQs {
			if irq.Name == s.rest() {
				return fmt.Sprintf("put %s /proc/irq/%d/smp_affinity_list", quote(to), irq.Number)
			}
		}
	case KindConfig:
		return configShell(s.Target, to)
	case KindBalancer:
		return configShell(s.Target, to) + "\n\tsystemctl try-restart irqbalance.service"
	case KindChannels:
		return fmt.Sprintf("tool -L %s %s", nic, to)
	case KindRings:
		return fmt.Sprintf("tool -G %s %s", nic, to)
	case KindCoalesce:
		_, changed := differing(from, to)
		return fmt.Sprintf("tool -C %s %s", nic, changed)
	case KindFeature:
		return fmt.Sprintf("tool -K %s %s %s", nic, s.rest(), to)
	case KindRSS:
		return s.rssShell(p, to)
	case KindFlow:
		return s.flowShell(from, to)
	}
	return ": " + s.String()
}

func configShell(path, value string) string {
	if value == absent {
		return "rm -f " + path
	}
	text := strings.TrimSuffix(strings.TrimPrefix(value, "="), "\n")
	return fmt.Sprintf("printf '%%s\\n' %s >%s", quote(text), path)
}

// rssShell: ethtool(8) can spread evenly, and go back to the driver's own; a table of somebody's it cannot put back.
func (s Setting) rssShell(p *Plan, value string) string {
	if strings.HasPrefix(value, "table ") {
		return fmt.Sprintf("say %s >&2", quote(s.nic()+" had a table of queues of its own, which ethtool cannot put back; gannet tune revert can"))
	}
	channels := p.Facts.NIC.Channels
	if value == fmt.Sprintf("equal %d", max(channels.Combined, channels.RX)) {
		return fmt.Sprintf("tool -X %s default", s.nic())
	}
	return fmt.Sprintf("tool -X %s %s", s.nic(), value)
}

func (s Setting) flowShell(from, to string) string {
	var queue, location int
	if _, err := fmt.Sscanf(to, "queue %d location %d", &queue, &location); err != nil {
		_, _ = fmt.Sscanf(from, "queue %d location %d", &queue, &location)
		return fmt.Sprintf("tool -N %s delete %d", s.nic(), location)
	}
	family, port, _ := strings.Cut(s.rest(), " ")
	return fmt.Sprintf("tool -N %s flow-type %s dst-port %s action %d loc %d", s.nic(), family, port, queue, location)
}
