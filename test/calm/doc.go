// Command calm measures the row calm: does a control process under full load keep
// the shard loop from its turns?
//
// # The life of a round
//
// Two nodes share an etcd. The first one's shard has the highest CPU to itself and
// polls without a sleep, kept awake by a thin stream of GETs; its control process,
// the other node, etcd and this program share CPU 0. In one half of a round nothing
// else happens. In the other the second node takes 1,000 writes a second, whose
// invalidations reach the first by gossip and leave it to a subscriber, while its
// metrics are scraped every 100 ms, with a forced garbage collection each time. The
// halves change places from round to round.
//
// # What counts
//
// The data plane counts the turns that began over 100 µs after the one before. What
// the hypervisor takes counts in both halves alike. The row is the 97.5th percentile
// of the ratio of the two sums over bootstrap samples of the rounds. A round whose
// events came at less than 900 a second, or in which over a tenth of the time was
// stolen, is measured again.
package main
