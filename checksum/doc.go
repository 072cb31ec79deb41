// Package checksum computes the two sums that travel with a value, so that no reply ever has to read the value again for them.
//
// The life of a sum: when a value is stored, each unit of UnitBytes gets a one's-complement partial sum (RFC 1071) and a CRC32C.
// When a reply is built, the stored sums of its units are combined with the sum of the freshly written headers: Combine for the
// UDP checksum, CombineCRC for the checksum that the client verifies end to end. Finish then turns the combined sum into the
// value of the header field.
// The hash of keys, which wire and shard both need, lives here, too.
//
// Invariants:
//
//   - A partial sum is the folded, not complemented sum of the bytes read as big-endian 16-bit words, an odd last byte being the
//     high half of a word. It is 0 only when every byte is 0; otherwise "zero" is written 0xFFFF. Equal bytes therefore always
//     give equal sums, in whatever pieces they are summed.
//   - A piece that begins at an odd offset of the whole has its sum's bytes swapped: Combine's last argument.
//   - CombineCRC(CRC(a), CRC(b), len(b)) == CRC(a followed by b).
package checksum

// UnitBytes is the length of the pieces of a value that carry sums of their own. Segments begin at multiples of it.
const UnitBytes = 1024
