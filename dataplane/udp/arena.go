package udp

import "gannet/alloc"

// openArena gets the frames' memory.
func openArena(bytes int64) ([]byte, func() error, error) {
	region, err := alloc.Open(alloc.Spec{
		Purpose: alloc.Frames, Bytes: bytes, Huge: alloc.Auto, NUMANode: alloc.NoNUMA, Prefault: true,
	})
	if err != nil {
		return nil, nil, err
	}
	return region.Bytes(), region.Close, nil
}
