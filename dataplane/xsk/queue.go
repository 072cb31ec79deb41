package xsk

import "golang.org/x/sys/unix"

// Desc describes one piece of a packet: where in the UMEM, how long, and whether
// the packet goes on in the next descriptor.
type Desc = unix.XDPDesc

// Continued is set in Desc.Options when the packet goes on in the next descriptor.
const Continued = unix.XDP_PKT_CONTD

// shared is the part of a queue that both sides see. The two indices count entries
// ever put in and taken out; they wrap.
type shared struct {
	producer *uint32 // of fill and tx: we write it. Of rx and completion: the kernel
	consumer *uint32 // the other way round
	flags    *uint32 // only the kernel writes it
	mask     uint32  // entries - 1
	memory   []byte  // the mapping
}

func (s *shared) entries() uint32 { return s.mask + 1 }
