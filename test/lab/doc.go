// Package lab builds the small network in which nodes are shown and measured:
// two network namespaces joined by a veth pair, a real node in one, whatever
// asks it in the other. Nothing of the host's own network is touched, and Close
// leaves nothing behind.
//
//	namespace gnt-lab-…-s            namespace gnt-lab-…-c
//	gannet dev, gannet-dataplane     gannet replay, generators
//	  gnt0  10.77.0.1/24  ───veth───  gnt1  10.77.0.2/24
package lab
