package tuning

import (
	"fmt"
	"strings"
)

// Reference prints every knob for docs/tuning.md.
func Reference() string {
	var b strings.Builder
	for _, group := range Groups() {
		fmt.Fprintf(&b, "## %s\n", groupTitles[group])
		for _, k := range Knobs() {
			if k.Group == group {
				k.reference(&b)
			}
		}
		b.WriteString("\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

var groupTitles = map[string]string{
	"nic": "nic: the interface", "irq": "irq: interrupts", "cpu": "cpu: processors",
	"memory": "memory", "net": "net: the kernel's network stack",
}

func (k *Knob) reference(b *strings.Builder) {
	roles := make([]string, len(k.Roles))
	for i, r := range k.Roles {
		roles[i] = string(r)
	}
	set := "set by `apply`"
	if k.Advice {
		set = "advice only"
	}
	fmt.Fprintf(b, "\n### %s\n\n%s For %s; %s.\n\n", k.Name, k.What, strings.Join(roles, ", "), set)
	fmt.Fprintf(b, "- **Why:** %s.\n- **Trade-off:** %s\n- **Measure:** %s\n- **Source:** %s.\n", k.Why, k.Tradeoff, strings.TrimSuffix(k.Measure, ".")+".", k.Source)
}
