// Package weather is a path between two network namespaces that behaves as badly as
// it is told to: it loses, repeats and reorders packets, and swallows those that are
// too long, as a router does that tells nobody.
//
//	namespace A                    this process                    namespace B
//	  address a ── route ── TUN ══ pump A→B, pump B→A ══ TUN ── route ── address b
//
// A packet's life: the kernel of A routes what is for b into a TUN device, instead of
// over the link that joins the namespaces; a pump reads it, throws dice, and writes it
// into the device of B, now, twice, later than its successors, or not at all. Each
// direction has a pump, on a goroutine of its own, and its own dice; a seed gives the
// same fates to the same sequence of packets.
//
// A kernel's own emulation (sch_netem) is not in every kernel; TUN is.
package weather
