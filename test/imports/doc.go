// Package imports holds the policy of who may import whom. Its test fails when a
// package of this module imports one that the table does not grant: data flows
// NIC → bpf → xsk → dataplane → shard and back, control flows only over the
// board, and the privileged data plane links nothing that allocates in the
// background.
package imports
