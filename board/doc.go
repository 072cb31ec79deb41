// Package board is the shared memory on which the two processes of a node meet:
// the data plane, which serves, and the control process, which does everything
// that allocates or waits.
//
// The life of a board: whoever of the two comes first creates the file, under a
// lock on its name; the other finds it and maps it ([Open]). It opens with a
// directory of areas, each with an identity, a layout version, a place and a
// writer. A process uses the areas whose layout it knows, skips those it does not
// know, and reports those of another version ([Board.Need]), so that neighbours
// one version apart still understand each other. Either process may die and come
// back: it maps the same file and goes on. When the geometry must change (another
// number of shards), the data plane puts a new file under the name, and the
// control process notices ([Board.Replaced]) and opens it anew.
//
// Invariants:
//
//   - every word has one writer, named in the area's type and in
//     docs/concurrency.md;
//   - every shared word is read and written through sync/atomic, eight bytes at
//     a time, so that no reader sees half a word on any machine;
//   - what is longer than a word stands behind a sequence lock ([record]) or in a
//     single-producer single-consumer queue ([Queue]); a reader that meets a
//     writer which died in the middle gives up instead of waiting for it;
//   - nothing here blocks, and nothing allocates once the board is open, except
//     where a method says so.
//
// All times on the board are nanoseconds of CLOCK_BOOTTIME, which both processes
// share.
package board
