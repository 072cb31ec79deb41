// Package rival starts the servers that are measured side by side: Gannet itself,
// the caches it is compared with, and the yardsticks of what a frame costs at all.
//
// # Life of a server
//
// A Kind is started in the server's namespace with all its threads on one core, and
// is returned as Running once it answers. It says its version and its whole
// configuration, for the report. Stop ends it; nothing of it remains, so that each
// round of a measurement has a fresh one, and an XDP program of one never sees the
// packets of another.
//
// # Invariants
//
//   - A server has one core. Gannet's control process and its data plane's helper
//     threads run on the other one, with the generator; they are not counted.
//   - All servers keep everything in memory, write nothing to disk, and have room
//     for all keys.
//   - What is not in this package's options has its own default, and the report
//     shows it.
package rival
