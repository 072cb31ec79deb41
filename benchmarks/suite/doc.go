// Package suite measures servers side by side and judges the figures.
//
// # Life of a figure
//
// A Subject is one server under one load: memcached over UDP with 1 KB values, say.
// A Group puts the subjects together that are compared with each other, and names
// their Ratios with the goals. The runner goes through a group round by round; in
// each round every subject is started afresh, loaded until its core is full,
// measured, and ended, in the same namespaces over the same link by the same
// generator. A round's figure is nanoseconds of the server's core per key; a ratio
// is taken within a round; its row is the median over the rounds, with its spread.
//
// # What makes a round void
//
//   - the hypervisor took more than 10 % of the server's core;
//   - the server used less than 90 % of what was left of its core: then it was not
//     saturated, and its figure says something about waiting;
//   - the generator says that it was the limit itself;
//   - a request was answered with an error.
//
// Void rounds are repeated, up to twice the number wanted; a row with less than
// three good ones is void. A wrong value or a miss is no void round: it ends the
// measurement.
package suite
