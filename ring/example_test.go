package ring_test

import (
	"fmt"
	"net/netip"

	"gannet/ring"
)

func node(id uint64, zone string) ring.Member {
	return ring.Member{
		ID: id, Name: fmt.Sprintf("node-%d", id), Zone: zone, Weight: 1, Shards: 8,
		Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(id)}), 9800),
	}
}

// A leader fails, and its first follower leads.
func Example() {
	spec := ring.Spec{Epoch: 1, Members: ring.Correct([]ring.Member{node(1, "a"), node(2, "b"), node(3, "c")})}
	r, err := ring.Build(spec)
	if err != nil {
		fmt.Println(err)
		return
	}
	const keyHash = 0x0123456789abcdef
	set := r.Replicas(keyHash, nil)
	fmt.Println("leader", set[0].Name, "follower", set[1].Name)

	for i := range spec.Members {
		if spec.Members[i].ID == set[0].ID {
			spec.Members[i].State = ring.Down
		}
	}
	spec.Epoch++
	if r, err = ring.Build(spec); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("leader", r.Owner(keyHash).Name)
	// Output:
	// leader node-2 follower node-1
	// leader node-1
}

// A node joins: what must be copied before it serves.
func ExampleRing_Next() {
	joining := node(4, "a")
	joining.State = ring.Joining
	members := ring.Correct([]ring.Member{node(1, "a"), node(2, "b"), node(3, "c")})
	r, err := ring.New(7, append(members, joining))
	if err != nil {
		fmt.Println(err)
		return
	}
	copied := 0.0
	for _, m := range ring.Diff(r, r.Next()) {
		copied += m.Share() * float64(len(m.Gaining(nil)))
	}
	fmt.Printf("epoch %d: it owns %.2f; epoch %d: it owns %.2f; to copy: %.2f of the data\n",
		r.Epoch(), r.Share(4), r.Next().Epoch(), r.Next().Share(4), copied)
	// Output:
	// epoch 7: it owns 0.00; epoch 8: it owns 0.25; to copy: 0.42 of the data
}
