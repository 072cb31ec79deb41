// Command fleet simulates hundreds of nodes: the real ring, the real controller and
// the client's routing by the ring, over data planes, an etcd and a network that are
// modelled.
//
// One event queue carries everything; time is simulated, and the same seed gives the
// same figures. A scenario stops, kills, starts and registers nodes; the controller's
// own step code turns what the nodes report into rings; the modelled etcd swaps them
// in and tells its watchers; each node then knows what it must hold and copies what
// it lacks, and each client routes its requests by whichever ring it has. What is
// counted is what a fleet's owner asks: epochs, bytes, evenness, how long clients
// went by an old ring, what etcd had to do.
//
// The assumptions are the constants of model.go, and docs/fleet.md prints them.
package main
