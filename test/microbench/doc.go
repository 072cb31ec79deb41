// Command microbench compares the microbenchmarks of this folder with a committed
// baseline (baseline.json), so that a data path that has become slower, or begun to
// allocate, is noticed on any machine.
//
// Nanoseconds of two machines do not compare, ratios nearly do: each figure is
// divided by that of BenchmarkReference, a loop of loads, additions and a copy that
// never changes, measured in the same run. The least of several counts is taken,
// because noise only adds. An allocation where the baseline has none fails the run;
// a ratio of more than twice the baseline's is only reported, for caches and memory
// differ between machines.
//
//	scripts/microbench.sh           measure and compare
//	UPDATE=1 scripts/microbench.sh  measure and make that the baseline
package main
