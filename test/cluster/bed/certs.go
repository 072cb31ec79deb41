package bed

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"gannet/security/mtls"
)

const certsValid = 24 * time.Hour

// makeCerts makes certificates for all nodes that there may be, etcd, a client and an
// admin, and a key for gossip.
func (b *Bed) makeCerts() error {
	b.Certs = b.path("certs")
	names := []string{"etcd"}
	hosts := []string{"127.0.0.1", "localhost"}
	for i := range maxNodes {
		names, hosts = append(names, nodeName(i)), append(hosts, b.nodeAddr(i))
	}
	for i := range b.cfg.Etcds {
		hosts = append(hosts, b.etcdAddr(i))
	}
	if err := mtls.DevCA(b.Certs, mtls.DevOptions{NodeNames: names, Hosts: hosts, ValidFor: certsValid, Now: time.Now()}); err != nil {
		return err
	}
	var key [32]byte
	rand.Read(key[:]) // never fails
	if err := os.WriteFile(b.gossipKeys(), []byte(base64.StdEncoding.EncodeToString(key[:])+"\n"), 0o600); err != nil {
		return fmt.Errorf("bed: %w", err)
	}
	return nil
}

func (b *Bed) gossipKeys() string { return filepath.Join(b.Certs, "gossip.keys") }
