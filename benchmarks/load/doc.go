// Package load runs the generator beside the meter.
//
// # Life of a job
//
// The suite describes a Job as JSON and starts its own program again inside the
// client's namespace. There Run offers the load, samples what the server has used
// when the measured phase begins and when it ends, and prints a Report. Requests
// that were answered between the two samples are divided by what the server used
// between them: whatever happened before and after counts on neither side.
package load
