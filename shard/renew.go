package shard

import "gannet/alloc"

// renew replaces a region that held something else by an empty one.
func renew(r *alloc.Region) (*alloc.Region, error) {
	if r.Fresh {
		return r, nil
	}
	if err := r.Remove(); err != nil {
		return r, err
	}
	return alloc.Open(r.Spec())
}
