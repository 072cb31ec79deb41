// Command gannet is the face of the cache: it runs nodes and talks to them.
//
// A verb's life: main injects the process's world (streams, arguments, environment,
// signals) as an Env; the grammar in cli.go is parsed over it; the verb's own file
// does the work and returns an error or an exit code. Nothing below main reads a
// global, so that tests run verbs as the shell does.
//
// Invariants: what a verb found goes to stdout and nothing else does; an error goes
// to stderr and says what to do; the exit code is 0 for found or done, 1 for a miss
// or a condition that did not hold, 2 for an error.
package main
