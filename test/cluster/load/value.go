package load

import (
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
)

// keyPrefix makes keys 16 bytes long.
const keyPrefix = "load:"

// Key is the name of a key, from 0.
func Key(i int) string {
	digits := strconv.Itoa(i)
	return keyPrefix + strings.Repeat("0", max(0, 11-len(digits))) + digits
}

// keyIndex is what Key was made of.
func keyIndex(key string) (int, bool) {
	rest, ok := strings.CutPrefix(key, keyPrefix)
	if !ok {
		return 0, false
	}
	i, err := strconv.Atoi(rest)
	return i, err == nil
}

// A value is: key (4), number of the write (4), and 8-byte words that follow from both.
const valueHeader = 8

var errForeign = errors.New("the value is not one of this key's writes")

func fillValue(value []byte, key, number uint32) {
	binary.LittleEndian.PutUint32(value, key)
	binary.LittleEndian.PutUint32(value[4:], number)
	word := uint64(key)<<32 | uint64(number)
	for rest := value[valueHeader:]; len(rest) > 0; {
		word = word*6364136223846793005 + 1442695040888963407
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], word)
		rest = rest[copy(rest, b[:]):]
	}
}

// readValue gives the number of the write that a value is of. It looks at both ends;
// the client has compared the sum.
func readValue(value []byte, key uint32, length int) (number uint32, err error) {
	if len(value) != length || length < valueHeader || binary.LittleEndian.Uint32(value) != key {
		return 0, errForeign
	}
	return binary.LittleEndian.Uint32(value[4:]), nil
}
