package config

import (
	"hash/fnv"
	"io"
)

// Hash is a fingerprint of what the data plane's configuration amounts to: two equal
// ones need no restart of a data plane that runs.
func (c *Config) Hash() uint64 {
	h := fnv.New64a()
	for i := range keys {
		if k := &keys[i]; k.Scope&ScopeDataplane != 0 {
			io.WriteString(h, k.Name+"="+k.get(c)+"\n") // a hash's Write never fails
		}
	}
	return h.Sum64()
}
