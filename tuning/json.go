package tuning

import "encoding/json"

type changeJSON struct {
	Knob   string `json:"knob"`
	Target string `json:"target"`
	Now    string `json:"now"`
	Wanted string `json:"wanted"`
	State  State  `json:"state"`
	Reason string `json:"reason,omitempty"`
	Why    string `json:"why"`
	Source string `json:"source"`
}

// MarshalJSON gives the plan as `gannet tune plan -o json` prints it.
func (p *Plan) MarshalJSON() ([]byte, error) {
	changes := make([]changeJSON, len(p.Changes))
	for i, c := range p.Changes {
		changes[i] = changeJSON{c.Knob.Name, c.Setting.String(), c.Now, c.Wanted, c.State, c.Reason, c.Knob.Why, c.Knob.Source}
	}
	nic, driver := "", ""
	if n := p.Facts.NIC; n != nil {
		nic, driver = n.Name, n.Driver
	}
	return json.Marshal(map[string]any{
		"role": p.Options.Role, "kernel": p.Facts.Kernel, "virtual": p.Facts.Virtual, "nic": nic, "driver": driver,
		"layout": p.Layout, "pending": len(p.Pending()), "changes": changes,
	})
}
