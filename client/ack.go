package client

import "gannet/wire"

// Ack is what a node said of a write that it carried out.
type Ack struct {
	Key     string
	Version Version
	// Degraded says that no follower was known to be in sync: the write is lost if its
	// leader is.
	Degraded bool
}

// OnWrite has do called with each acknowledged write of this client, by the goroutine
// that writes, before the call returns: to count degraded ones, for example. It must be
// quick. A later call replaces it, nil ends it.
func (c *Client) OnWrite(do func(Ack)) {
	if do == nil {
		c.onWrite.Store(nil)
		return
	}
	c.onWrite.Store(&do)
}

// acknowledged tells of a write that was carried out.
func (c *Client) acknowledged(key string, answer *wire.ReplyOp) {
	if do := c.onWrite.Load(); do != nil {
		(*do)(Ack{Key: key, Version: Version(answer.Version), Degraded: answer.Flags&wire.ReplyDegraded != 0})
	}
}
