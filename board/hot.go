package board

// Hot is one heavy hitter of a shard.
type Hot struct {
	Hash  uint64
	Count uint64 // estimated requests a second
	Key   []byte // 250 bytes at most

	// InKernel says that the key is published to the XDP program now, which has
	// answered KernelHits GETs of it since it was published last.
	InKernel   bool
	KernelHits uint64

	// GrantMillis is how long clients may keep copies of it, 0 = not at all; Grants, how
	// many replies said so since the key stood out.
	GrantMillis uint16
	Grants      uint64
}

// HotKeys is a shard's report of its heavy hitters, greatest first. Writer: that shard.
type HotKeys struct{ rec record }

// MaxHot is the length of the report.
const MaxHot = 64

const (
	hotHeadBytes  = 40 // hash, count, key length:32 | in kernel:1 | 0:15 | grant ms:16, kernel hits, grants
	hotInKernel   = 1 << 32
	hotGrantShift = 48
	hotKeyBytes   = 256
	hotBytes      = MaxHot * (hotHeadBytes + hotKeyBytes)
)

// HotKeys returns a shard's report.
func (b *Board) HotKeys(shard int) *HotKeys { return &HotKeys{record{b.words(AreaHot, shard)}} }

// Set publishes the report, using room, which it returns (grown if need be) for
// the next time. What is beyond MaxHot is left out.
func (h *HotKeys) Set(keys []Hot, room []byte) []byte {
	room = room[:0]
	for _, k := range keys[:min(len(keys), MaxHot)] {
		var head [hotHeadBytes]byte
		key := k.Key[:min(len(k.Key), hotKeyBytes)]
		storeUint64(head[:], k.Hash)
		storeUint64(head[8:], k.Count)
		word := uint64(len(key)) | uint64(k.GrantMillis)<<hotGrantShift
		if k.InKernel {
			word |= hotInKernel
		}
		storeUint64(head[16:], word)
		storeUint64(head[24:], k.KernelHits)
		storeUint64(head[32:], k.Grants)
		room = append(append(room, head[:]...), key...)
	}
	h.rec.write(room)
	return room
}

// Get returns the report. It allocates.
func (h *HotKeys) Get() []Hot {
	data, _ := h.rec.read(nil)
	var keys []Hot
	for len(data) >= hotHeadBytes {
		word := loadUint64(data[16:])
		n := word & (hotInKernel - 1)
		if n > uint64(len(data)-hotHeadBytes) {
			break
		}
		end := hotHeadBytes + int(n)
		keys = append(keys, Hot{
			Hash: loadUint64(data), Count: loadUint64(data[8:]), Key: data[hotHeadBytes:end],
			InKernel: word&hotInKernel != 0, KernelHits: loadUint64(data[24:]),
			GrantMillis: uint16(word >> hotGrantShift), Grants: loadUint64(data[32:]),
		})
		data = data[end:]
	}
	return keys
}
