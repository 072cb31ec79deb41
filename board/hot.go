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
}

// HotKeys is a shard's report of its heavy hitters, greatest first. Writer: that shard.
type HotKeys struct{ rec record }

// MaxHot is the length of the report.
const MaxHot = 64

const (
	hotHeadBytes = 32 // hash, count, key length:32 | in kernel:1, kernel hits
	hotInKernel  = 1 << 32
	hotKeyBytes  = 256
	hotBytes     = MaxHot * (hotHeadBytes + hotKeyBytes)
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
		storeUint64(head[16:], uint64(len(key)))
		if k.InKernel {
			storeUint64(head[16:], uint64(len(key))|hotInKernel)
		}
		storeUint64(head[24:], k.KernelHits)
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
		n := word &^ hotInKernel
		if n > uint64(len(data)-hotHeadBytes) {
			break
		}
		end := hotHeadBytes + int(n)
		keys = append(keys, Hot{
			Hash: loadUint64(data), Count: loadUint64(data[8:]), Key: data[hotHeadBytes:end],
			InKernel: word&hotInKernel != 0, KernelHits: loadUint64(data[24:]),
		})
		data = data[end:]
	}
	return keys
}
