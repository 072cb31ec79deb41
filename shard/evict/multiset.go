package evict

// multiset counts handles: an open hash with linear probing in pool blocks, a
// handle standing in it once for each time it was added.
type multiset struct {
	pool  *Pool
	dir   []uint32 // blocks of the table; a power of two of them, or none
	count int
}

func (m *multiset) bytes() int64 { return int64(len(m.dir)) * blockBytes }

func (m *multiset) slots() uint32 { return uint32(len(m.dir) * blockWords) }

func (m *multiset) slot(i uint32) *uint32 {
	return &m.pool.blocks[m.dir[i/blockWords]][i%blockWords]
}

// home is where the probing for a handle starts.
func (m *multiset) home(h uint32) uint32 {
	return uint32(uint64(h*0x9E3779B1) * uint64(m.slots()) >> 32)
}

func (m *multiset) add(h uint32) {
	if m.count*4 >= int(m.slots())*3 {
		m.grow()
	}
	m.place(h)
	m.count++
}

func (m *multiset) place(h uint32) {
	mask := m.slots() - 1
	i := m.home(h)
	for *m.slot(i) != None {
		i = (i + 1) & mask
	}
	*m.slot(i) = h
}

// take removes one occurrence of h and says whether there was one.
func (m *multiset) take(h uint32) bool {
	if m.count == 0 {
		return false
	}
	mask := m.slots() - 1
	i := m.home(h)
	for *m.slot(i) != h {
		if *m.slot(i) == None {
			return false
		}
		i = (i + 1) & mask
	}
	m.closeGap(i)
	m.count--
	return true
}

// closeGap moves later entries of the probe sequence back over slot i, so that
// none is cut off from its home.
func (m *multiset) closeGap(i uint32) {
	mask := m.slots() - 1
	for j := (i + 1) & mask; *m.slot(j) != None; j = (j + 1) & mask {
		home := m.home(*m.slot(j))
		if (j-home)&mask >= (j-i)&mask {
			*m.slot(i) = *m.slot(j)
			i = j
		}
	}
	*m.slot(i) = None
}

// grow doubles the table.
func (m *multiset) grow() {
	old := m.dir
	m.dir = make([]uint32, max(1, 2*len(old)))
	for i := range m.dir {
		m.dir[i] = m.pool.get()
		*m.pool.blocks[m.dir[i]] = block{}
	}
	for _, id := range old {
		for _, h := range m.pool.blocks[id] {
			if h != None {
				m.place(h)
			}
		}
		m.pool.put(id)
	}
}

func (m *multiset) release() {
	for _, id := range m.dir {
		m.pool.put(id)
	}
	*m = multiset{pool: m.pool}
}
