package mtls

import (
	"bytes"
	"crypto/x509"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

func TestIdentities(t *testing.T) {
	dir := set(t, time.Now(), time.Hour)
	cert, err := readCertificate(DevFiles(dir, "node-1").Cert)
	if err != nil {
		t.Fatal(err)
	}
	if id, err := IdentityOf(cert); err != nil || id != (Identity{RoleNode, "node-1"}) {
		t.Errorf("%v, %v", id, err)
	}
	cert.URIs = nil // it has the same in its subject
	if id, err := IdentityOf(cert); err != nil || id != (Identity{RoleNode, "node-1"}) {
		t.Errorf("%v, %v", id, err)
	}
	uri := Identity{RoleAdmin, "a"}.URI()
	for name, change := range map[string]func(*x509.Certificate){
		"two URIs":  func(c *x509.Certificate) { c.URIs = append(c.URIs, uri, uri) },
		"two units": func(c *x509.Certificate) { c.Subject.OrganizationalUnit = []string{"gannet-node", "gannet-admin"} },
		"no unit":   func(c *x509.Certificate) { c.Subject.OrganizationalUnit = []string{"cooks"} },
		"bad role":  func(c *x509.Certificate) { c.Subject.OrganizationalUnit = []string{"gannet-king"} },
		"no name":   func(c *x509.Certificate) { c.Subject.CommonName = "" },
		"long name": func(c *x509.Certificate) { c.Subject.CommonName = strings.Repeat("n", 64) },
	} {
		wrong := *cert
		change(&wrong)
		if id, err := IdentityOf(&wrong); err == nil {
			t.Errorf("%s: taken for %v", name, id)
		}
	}
}

func TestFilesMissing(t *testing.T) {
	for _, files := range []Files{{}, {Cert: "c"}, {Cert: "c", Key: "k"}, {CA: "a"}, {CRL: "r"}} {
		var missing *FilesError
		if _, err := Open(files, Options{}); !errors.As(err, &missing) {
			t.Errorf("%+v: %v", files, err)
		}
	}
	if _, err := Open(Files{Cert: "/no/c", Key: "/no/k", CA: "/no/a"}, Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent files: %v", err)
	}
}

// TestDevCA: keys are nobody else's, and a second call renews under the same authority.
func TestDevCA(t *testing.T) {
	now := time.Now()
	dir := set(t, now, time.Hour)
	for _, name := range []string{"ca-key.pem", "node-1-key.pem", "client-key.pem", "admin-key.pem"} {
		info, err := os.Stat(dir + "/" + name)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	ca, cert := content(t, DevFiles(dir, "").CA), content(t, DevFiles(dir, "node-1").Cert)
	issue(t, dir, now, 2*time.Hour)
	if !bytes.Equal(ca, content(t, DevFiles(dir, "").CA)) || bytes.Equal(cert, content(t, DevFiles(dir, "node-1").Cert)) {
		t.Error("the authority changed, or the certificate did not")
	}
	if err := DevCA(dir, DevOptions{NodeNames: []string{"../x"}, ValidFor: time.Hour, Now: now}); err == nil {
		t.Error("a node was given a path for a name")
	}
	write(t, dir+"/ca-key.pem", content(t, DevFiles(dir, "node-1").Key))
	if err := DevCA(dir, DevOptions{ValidFor: time.Hour, Now: now}); err == nil {
		t.Error("another's key signs")
	}
	if err := DevRevoke(dir, now, "nobody"); err == nil {
		t.Error("nobody was revoked")
	}
}

// TestRevokedWithAllThatCameBefore: a connection may rest on a certificate that was
// renewed since; whoever is revoked has none left.
func TestRevokedWithAllThatCameBefore(t *testing.T) {
	now := time.Now()
	dir := set(t, now, time.Hour)
	former, err := readCertificate(DevFiles(dir, "node-1").Cert)
	if err != nil {
		t.Fatal(err)
	}
	issue(t, dir, now, time.Hour)
	for range 2 { // again makes no difference
		if err := DevRevoke(dir, now, "node-1"); err != nil {
			t.Fatal(err)
		}
	}
	store, err := Open(DevFiles(dir, "node-2"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	revoked := store.current.Load().revoked
	latest, err := readCertificate(DevFiles(dir, "node-1").Cert)
	if err != nil {
		t.Fatal(err)
	}
	for _, cert := range []*x509.Certificate{former, latest} {
		if _, is := revoked[serialOf(cert)]; !is {
			t.Errorf("serial %x is not on the list", cert.SerialNumber)
		}
	}
	if len(revoked) != 2 {
		t.Errorf("%d are revoked, want 2", len(revoked))
	}
	issue(t, dir, now, time.Hour)
	if latest, err = readCertificate(DevFiles(dir, "node-1").Cert); err != nil {
		t.Fatal(err)
	}
	if _, is := revoked[serialOf(latest)]; is {
		t.Error("a new certificate is revoked already")
	}
}

// FuzzMaterial reads damaged files: errors, never panics.
func FuzzMaterial(f *testing.F) {
	dir := f.TempDir()
	if err := DevCA(dir, DevOptions{NodeNames: []string{"n"}, ValidFor: time.Hour, Now: time.Now()}); err != nil {
		f.Fatal(err)
	}
	files := DevFiles(dir, "n")
	var good [fileCount][]byte
	for i, path := range files.paths() {
		good[i], _ = os.ReadFile(path)
	}
	for i := range good {
		f.Add(uint8(i), good[i])
	}
	f.Add(uint8(3), []byte("-----BEGIN X509 CRL-----\n-----END X509 CRL-----\n"))
	f.Fuzz(func(t *testing.T, which uint8, content []byte) {
		contents := good
		contents[which%fileCount] = content
		if m, err := parse(files, contents); err == nil && m.certificate.Leaf == nil {
			t.Error("material without a certificate")
		}
	})
}
