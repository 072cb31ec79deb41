package tuning

import (
	"errors"
	"fmt"
)

// Ethtool is what the kernel tells and sets of interfaces by its ethtool interface. What a driver does not offer is an
// error that wraps ErrUnsupported.
type Ethtool interface {
	Driver(nic string) (Driver, error)
	Channels(nic string) (Channels, error)
	SetChannels(nic string, c Channels) error
	Rings(nic string) (Rings, error)
	SetRings(nic string, r Rings) error
	Coalesce(nic string) (Coalesce, error)
	SetCoalesce(nic string, c Coalesce) error
	// RSS gives the table that spreads flows over queues.
	RSS(nic string) ([]uint32, error)
	// SetRSS sets it; nil = the driver's own, over all queues.
	SetRSS(nic string, table []uint32) error
	Feature(nic, name string) (Feature, error)
	SetFeature(nic, name string, on bool) error
	// FlowRules gives the rules and the number of places for them.
	FlowRules(nic string) ([]FlowRule, int, error)
	AddFlowRule(nic string, r FlowRule) error
	DeleteFlowRule(nic string, location int) error
}

// ErrUnsupported is something that driver or kernel do not offer.
var ErrUnsupported = errors.New("not offered by the driver")

// Driver names a driver.
type Driver struct{ Name, Version, Firmware, Bus string }

// Channels are numbers of queues, as they are and as the driver would allow.
type Channels struct {
	RX, TX, Combined          uint32
	MaxRX, MaxTX, MaxCombined uint32
}

// Rings are lengths of the hardware's descriptor rings.
type Rings struct{ RX, TX, MaxRX, MaxTX uint32 }

// Coalesce says how long the hardware waits before it interrupts.
type Coalesce struct {
	AdaptiveRX, AdaptiveTX bool
	RXMicros, RXFrames     uint32
	TXMicros, TXFrames     uint32
}

// Feature is a switch of the interface.
type Feature struct{ On, Fixed bool }

// FlowRule sends the packets to one UDP port to one queue.
type FlowRule struct {
	IPv6     bool
	Port     uint16
	Queue    int
	Location int
	// Exact is false for a rule that also asks for something else; such a rule is never ours.
	Exact bool
}

// The values of the settings read like the arguments of ethtool(8).

func (c Channels) String() string {
	if c.MaxCombined > 0 {
		return fmt.Sprintf("combined %d", c.Combined)
	}
	return fmt.Sprintf("rx %d tx %d", c.RX, c.TX)
}

func (r Rings) String() string { return fmt.Sprintf("rx %d tx %d", r.RX, r.TX) }

func (c Coalesce) String() string {
	return fmt.Sprintf("adaptive-rx %s adaptive-tx %s rx-usecs %d rx-frames %d tx-usecs %d tx-frames %d",
		onOff(c.AdaptiveRX), onOff(c.AdaptiveTX), c.RXMicros, c.RXFrames, c.TXMicros, c.TXFrames)
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}
