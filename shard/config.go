package shard

import (
	"fmt"

	"gannet/shard/evict"
)

// MinMemoryBytes is the smallest shard.
const MinMemoryBytes = 4 << 20

// maxRoomBytes is the most header room. The largest class has space for it whether
// or not there is room, so that classes do not depend on it.
const maxRoomBytes = 512

// maxMemoryBytes is what 32-bit handles in units of 8 bytes reach.
const maxMemoryBytes = 32 << 30

// withDefaults fills in what is not given and refuses what makes no sense.
func (c Config) withDefaults() (Config, error) {
	if c.Policy == "" {
		c.Policy = "default"
	}
	if c.MaxValueBytes == 0 {
		c.MaxValueBytes = DefaultMaxValueBytes
	}
	if c.Growth == 0 {
		c.Growth = DefaultGrowth
	}
	if c.LeaseNanos == 0 {
		c.LeaseNanos = DefaultLeaseNanos
	}
	if c.TombstoneNanos == 0 {
		c.TombstoneNanos = 60e9
	}
	if c.UploadNanos == 0 {
		c.UploadNanos = 5e9
	}
	if c.MaxUploads == 0 {
		c.MaxUploads = 64
	}
	if c.HeaderRoomFromBytes == 0 {
		c.HeaderRoomFromBytes = DefaultRoomFromBytes
	}
	return c, c.check()
}

func (c *Config) check() error {
	switch {
	case c.MemoryBytes < MinMemoryBytes || c.MemoryBytes > maxMemoryBytes:
		return fmt.Errorf("shard %d: memory of %d bytes: give %d to %d for each shard", c.ID, c.MemoryBytes, MinMemoryBytes, int64(maxMemoryBytes))
	case c.MaxValueBytes < 1 || c.MaxValueBytes > MaxValueBytesLimit:
		return fmt.Errorf("shard %d: values of %d bytes: the limit may be 1 to %d", c.ID, c.MaxValueBytes, MaxValueBytesLimit)
	case int64(c.MaxValueBytes) > c.MemoryBytes/8:
		return fmt.Errorf("shard %d: values of %d bytes need %d bytes of memory, not %d", c.ID, c.MaxValueBytes, 8*c.MaxValueBytes, c.MemoryBytes)
	case c.Growth < 1.02 || c.Growth > 2:
		return fmt.Errorf("shard %d: class growth %v: give 1.02 to 2", c.ID, c.Growth)
	case c.LeaseNanos < 0 || c.TombstoneNanos < 0 || c.UploadNanos < 0:
		return fmt.Errorf("shard %d: times cannot be negative", c.ID)
	case c.CapacityItems < 0 || c.HeaderRoomBytes < 0 || c.HeaderRoomBytes > maxRoomBytes || c.HeaderRoomBytes%8 != 0:
		return fmt.Errorf("shard %d: capacity %d or header room %d: room is 0 to 512 in steps of 8", c.ID, c.CapacityItems, c.HeaderRoomBytes)
	case c.HeaderRoomFromBytes < 1 || c.HeaderRoomFromBytes > MaxValueBytesLimit:
		return fmt.Errorf("shard %d: header room from values of %d bytes: give 1 to %d", c.ID, c.HeaderRoomFromBytes, MaxValueBytesLimit)
	case c.MaxUploads < 1 || c.MaxUploads > 4096:
		return fmt.Errorf("shard %d: %d uploads at once: give 1 to 4096", c.ID, c.MaxUploads)
	}
	return c.checkPolicy()
}

func (c *Config) checkPolicy() error {
	if c.Policy == "default" {
		return nil
	}
	for _, name := range evict.Names() {
		if name == c.Policy {
			return nil
		}
	}
	return fmt.Errorf("shard %d: %w %q: use default or one of %v", c.ID, evict.ErrUnknownPolicy, c.Policy, evict.Names())
}
