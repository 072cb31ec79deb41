package replication

import (
	"fmt"
	"net/netip"
	"testing"

	"gannet/ring"
)

// fleetRecord is a ring of members in three zones that all serve.
func fleetRecord(b *testing.B, members int) Record {
	spec := ring.Spec{Epoch: 1, Replicas: 2}
	for i := range members {
		spec.Members = append(spec.Members, ring.Member{
			ID: uint64(i + 1), Name: fmt.Sprint("n", i), Zone: fmt.Sprint("z", i%3), Shards: 1, Weight: 1,
			Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 9800),
		})
	}
	r, err := ring.Build(spec)
	if err != nil {
		b.Fatal(err)
	}
	return NewRecord(r, 9, nil)
}

// BenchmarkReports is a round of reports of all members: quiet ones, and those of a
// zone's loss, in which 120 of 300 accuse a third of all: not enough to promote yet.
func BenchmarkReports(b *testing.B) {
	const members = 300
	rec := fleetRecord(b, members)
	for _, loss := range []bool{false, true} {
		b.Run(fmt.Sprintf("loss=%v", loss), func(b *testing.B) {
			c := NewController(Config{}, 1, 0)
			c.Step(0, Elected{Yes: true})
			c.Step(0, RecordSeen{Record: rec})
			now, number := int64(0), uint64(0)
			b.ReportAllocs()
			for b.Loop() {
				now += 10 * ms
				number++
				for id := uint64(1); id <= members; id++ {
					r := Report{From: id, Life: 1, Number: number, Epoch: 1, Warm: true}
					if loss && id%3 != 0 && id <= 180 {
						r.Accused = zoneAccused
					}
					c.Step(now, Reported{r})
				}
			}
		})
	}
}

var zoneAccused = func() (list []Accusation) {
	for id := uint64(3); id <= 300; id += 3 {
		list = append(list, Accusation{Suspect: id, Sign: Silence})
	}
	return list
}()
