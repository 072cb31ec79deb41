package mtls

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	devAuthority  = "Gannet development authority"
	authorityLife = 10 * 365 * 24 * time.Hour
	// A clock that is a little behind must not refuse what was issued just now.
	backdate = 5 * time.Minute
)

// DevOptions say what a development set has in it.
type DevOptions struct {
	NodeNames []string
	Hosts     []string // names and addresses that every node's certificate is for
	ValidFor  time.Duration
	Now       time.Time
}

// DevCA writes a working set into dir: an authority, a certificate and key for each
// node, for a client and for an admin, and an empty revocation list. An authority that
// is there already stays and signs the rest anew, so that a second call renews. It
// is for development and tests: the authority's key lies beside what it signs.
func DevCA(dir string, opts DevOptions) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the directory for certificates: %w", err)
	}
	ca, err := openAuthority(dir)
	if errors.Is(err, fs.ErrNotExist) {
		ca, err = makeAuthority(dir, opts.Now)
	}
	if err != nil {
		return err
	}
	for _, name := range opts.NodeNames {
		if err := ca.issue(name, Identity{RoleNode, name}, opts.Hosts, opts); err != nil {
			return err
		}
	}
	for _, role := range []Role{RoleClient, RoleAdmin} {
		if err := ca.issue(string(role), Identity{role, string(role)}, nil, opts); err != nil {
			return err
		}
	}
	return nil
}

// DevFiles are the files of one holder in such a set: of a node by its name, of
// "client" or "admin".
func DevFiles(dir, holder string) Files {
	return Files{
		Cert: filepath.Join(dir, holder+".pem"), Key: filepath.Join(dir, holder+"-key.pem"),
		CA: filepath.Join(dir, "ca.pem"), CRL: filepath.Join(dir, "ca.crl"),
	}
}

// DevRevoke puts all certificates of these holders that the set's authority has issued
// so far on its revocation list: a connection may rest on one that was renewed since.
func DevRevoke(dir string, now time.Time, holders ...string) error {
	ca, err := openAuthority(dir)
	if err != nil {
		return fmt.Errorf("open the authority in %s (`gannet certs dev --out %[1]s` makes one): %w", dir, err)
	}
	list, err := ca.list()
	if err != nil {
		return err
	}
	for _, holder := range holders {
		cert, err := readCertificate(DevFiles(dir, holder).Cert)
		if err != nil {
			return fmt.Errorf("%s has no certificate in %s: %w", holder, dir, err)
		}
		serials, err := ca.issued(holder)
		if err != nil {
			return err
		}
		for _, serial := range append(serials, cert.SerialNumber) {
			if !slices.ContainsFunc(list.RevokedCertificateEntries, func(e x509.RevocationListEntry) bool { return e.SerialNumber.Cmp(serial) == 0 }) {
				list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
					x509.RevocationListEntry{SerialNumber: serial, RevocationTime: now})
			}
		}
	}
	return ca.writeList(list.RevokedCertificateEntries, new(big.Int).Add(list.Number, big.NewInt(1)), now)
}

// authority signs certificates of one directory.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

func makeAuthority(dir string, now time.Time) (*authority, error) {
	a := &authority{dir: dir}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: newSerial(), Subject: pkix.Name{CommonName: devAuthority},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(authorityLife),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("make the authority: %w", err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("make the authority: %w", err)
	}
	if err := writeKey(a.path("ca-key.pem"), a.key); err != nil {
		return nil, err
	}
	if err := a.writeList(nil, big.NewInt(1), now); err != nil {
		return nil, err
	}
	return a, writeFile(a.path("ca.pem"), pemOf("CERTIFICATE", der), 0o644)
}

func openAuthority(dir string) (*authority, error) {
	a := &authority{dir: dir}
	var err error
	if a.cert, err = readCertificate(a.path("ca.pem")); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(a.path("ca-key.pem"))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM key", a.path("ca-key.pem"))
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.path("ca-key.pem"), err)
	}
	var ok bool
	if a.key, ok = key.(*ecdsa.PrivateKey); !ok || !a.key.PublicKey.Equal(a.cert.PublicKey) {
		return nil, fmt.Errorf("%s is not the key of ca.pem", a.path("ca-key.pem"))
	}
	return a, nil
}

// issue writes a certificate and its key. Both usages: a node is server and client,
// and an embedded etcd calls itself.
func (a *authority) issue(holder string, id Identity, hosts []string, opts DevOptions) error {
	if err := id.check(); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: newSerial(),
		Subject:      pkix.Name{CommonName: id.Name, OrganizationalUnit: []string{unitPrefix + string(id.Role)}},
		NotBefore:    opts.Now.Add(-backdate), NotAfter: opts.Now.Add(opts.ValidFor),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	template.URIs = append(template.URIs, id.URI())
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return fmt.Errorf("issue a certificate for %s: %w", id, err)
	}
	if err := a.record(holder, template.SerialNumber); err != nil {
		return err
	}
	files := DevFiles(a.dir, holder)
	if err := writeKey(files.Key, key); err != nil {
		return err
	}
	return writeFile(files.Cert, pemOf("CERTIFICATE", der), 0o644)
}

// issuedFile has a line for each certificate that was issued: holder, serial number.
const issuedFile = "ca-issued.txt"

func (a *authority) record(holder string, serial *big.Int) error {
	f, err := os.OpenFile(a.path(issuedFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("note what is issued: %w", err)
	}
	_, err = fmt.Fprintf(f, "%s %x\n", holder, serial)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("note what is issued: %w", err)
	}
	return nil
}

// issued are the serial numbers of a holder's certificates. A set may be older than
// the file.
func (a *authority) issued(holder string) (serials []*big.Int, err error) {
	text, err := os.ReadFile(a.path(issuedFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read what was issued: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		name, number, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name != holder {
			continue
		}
		serial, ok := new(big.Int).SetString(number, 16)
		if !ok {
			return nil, fmt.Errorf("%s: %q is no serial number", a.path(issuedFile), number)
		}
		serials = append(serials, serial)
	}
	return serials, nil
}

func (a *authority) list() (*x509.RevocationList, error) {
	content, err := os.ReadFile(a.path("ca.crl"))
	if err != nil {
		return nil, fmt.Errorf("read the revocation list: %w", err)
	}
	list, err := x509.ParseRevocationList(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.path("ca.crl"), err)
	}
	return list, nil
}

// writeList writes the list in DER, the one form that etcd reads, too.
func (a *authority) writeList(entries []x509.RevocationListEntry, number *big.Int, now time.Time) error {
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		RevokedCertificateEntries: entries, Number: number, ThisUpdate: now.Add(-backdate), NextUpdate: now.Add(authorityLife),
	}, a.cert, a.key)
	if err != nil {
		return fmt.Errorf("make the revocation list: %w", err)
	}
	return writeFile(a.path("ca.crl"), der, 0o644)
}

func newSerial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[0] &= 0x7f           // serial numbers are positive
	return new(big.Int).SetBytes(b[:])
}

func readCertificate(path string) (*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	certs, err := parseCertificates(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return certs[0], nil
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode a key: %w", err)
	}
	return writeFile(path, pemOf("PRIVATE KEY", der), 0o600)
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// writeFile replaces a file at once: a reader sees the former or the new one whole.
func writeFile(path string, content []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}
