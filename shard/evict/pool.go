package evict

// blockWords is the size of one block of policy memory in 32-bit words (512 B).
const blockWords = 128

// blockBytes is the same in bytes.
const blockBytes = 4 * blockWords

// chunkBlocks is how many blocks a pool asks its source for at once (64 KiB).
const chunkBlocks = 128

// noBlock is the id of no block.
const noBlock uint32 = 0

// Source hands out memory for policies: words 32-bit words, or nil when there is
// no more. It is called rarely, for 64 KiB at a time.
type Source func(words int) []uint32

type block [blockWords]uint32

// Pool cuts memory into equal blocks for the policies of one shard. Blocks are
// never given back to the source; a free block is chained through its word 0.
type Pool struct {
	source    Source
	blocks    []*block // by id; id 0 is none
	free      uint32   // the first free block
	freeCount int
	heapBytes int64
}

// NewPool makes a pool over source; nil means the Go heap. When the source is
// exhausted the pool goes on with the Go heap, and HeapBytes says how much.
func NewPool(source Source) *Pool {
	return &Pool{source: source, blocks: make([]*block, 1)}
}

// HeapBytes is the memory that came from the Go heap.
func (p *Pool) HeapBytes() int64 { return p.heapBytes }

// TotalBytes is all memory the pool has taken, in use or free.
func (p *Pool) TotalBytes() int64 { return int64(len(p.blocks)-1) * blockBytes }

// UsedBytes is the memory in blocks that policies hold now.
func (p *Pool) UsedBytes() int64 { return p.TotalBytes() - int64(p.freeCount)*blockBytes }

// get takes a block out; its contents are whatever they were.
func (p *Pool) get() uint32 {
	if p.free == noBlock {
		p.grow()
	}
	id := p.free
	p.free = p.blocks[id][0]
	p.freeCount--
	return id
}

func (p *Pool) put(id uint32) {
	p.blocks[id][0] = p.free
	p.free = id
	p.freeCount++
}

func (p *Pool) grow() {
	var words []uint32
	if p.source != nil {
		words = p.source(chunkBlocks * blockWords)
	}
	if len(words) < blockWords {
		words = make([]uint32, chunkBlocks*blockWords)
		p.heapBytes += chunkBlocks * blockBytes
	}
	for ; len(words) >= blockWords; words = words[blockWords:] {
		p.blocks = append(p.blocks, (*block)(words))
		p.put(uint32(len(p.blocks) - 1))
	}
}
