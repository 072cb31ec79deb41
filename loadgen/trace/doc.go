// Package trace reads recorded cache traces as streams of requests.
//
// The life of a request: Open finds out from the first bytes of the file whether
// it is compressed (zstd, xz or gzip) and puts the decompressor in front; the
// format's decoder turns a line or a fixed record into one or several requests;
// Next copies the next one into the caller's Request, whose Key stays valid until
// the call after. Nothing is held but one record, so traces of any length stream.
//
// Formats:
//
//	arc        text: start block, number of blocks, ignored, sequence; every block
//	           of a run is one request
//	int32      big-endian signed 32-bit keys
//	int64      big-endian signed 64-bit keys
//	keys       text, one key a line; lines with a * are marks, not keys
//	adaptsize  text: sequence, key, size in bytes
//	twitter    CSV without a header: time, key, key size, value size, client,
//	           operation, TTL
//	cachelib   CSV with a header; op_count repeats a request
//	oracle     libCacheSim's oracleGeneral: little-endian records of 24 bytes
//	           (time u32, object u64, size u32, next access i64)
//
// Only cachelib can be recognised by its content; the others carry no header, and
// a wrong guess would replay nonsense without an error, so they must be named.
// Numeric keys are delivered as decimal text, so that a key met in a replay can
// be typed into a command line.
//
// Invariants: Next never returns a request together with an error; after an error
// or io.EOF every further Next returns the same; every error about the content
// names the line or record where it stands.
package trace
