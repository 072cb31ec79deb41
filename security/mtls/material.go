package mtls

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// Files names what a side of a connection needs. CRL may be empty, and for a server
// that asks nobody for a certificate (see [OpenServer]) CA may.
type Files struct {
	Cert string // the certificate and its intermediates, PEM
	Key  string // its key, PEM
	CA   string // the authorities that sign peers, PEM
	CRL  string // revoked certificates, PEM (one list or more) or DER
}

// Given tells whether any file is named.
func (f Files) Given() bool { return f != Files{} }

// FilesError is a set of files that is not complete.
type FilesError struct{ Given, Missing string }

func (e *FilesError) Error() string {
	return fmt.Sprintf("%s is given without %s; mutual TLS needs certificate, key and authorities (`gannet certs dev` makes a set)", e.Given, e.Missing)
}

// Check says which file is missing.
func (f Files) Check() error {
	named := []struct{ name, path string }{{"tls-cert", f.Cert}, {"tls-key", f.Key}, {"tls-ca", f.CA}}
	given, missing := "tls-crl", ""
	for _, n := range named {
		if n.path != "" {
			given = n.name
		} else if missing == "" {
			missing = n.name
		}
	}
	if missing != "" {
		return &FilesError{Given: given, Missing: missing}
	}
	return nil
}

func (f Files) paths() [fileCount]string { return [fileCount]string{f.Cert, f.Key, f.CA, f.CRL} }

const fileCount = 4

// material is what the files amounted to when they last fitted together. It never
// changes.
type material struct {
	generation  uint64
	certificate tls.Certificate
	roots       *x509.CertPool // nil: peers are not asked for certificates
	revoked     map[serial]struct{}
	staleAt     time.Time // when the first of the lists should have been replaced; zero: never
}

// serial names a certificate: serial numbers are unique per issuer.
type serial struct{ issuer, number string }

func serialOf(cert *x509.Certificate) serial {
	return serial{string(cert.RawIssuer), cert.SerialNumber.String()}
}

// parse makes material of the files' contents.
func parse(files Files, contents [fileCount][]byte) (*material, error) {
	certificate, err := tls.X509KeyPair(contents[0], contents[1])
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", files.Cert, files.Key, err)
	}
	if files.CA == "" {
		return &material{certificate: certificate}, nil
	}
	authorities, err := parseCertificates(contents[2])
	if err != nil {
		return nil, fmt.Errorf("authorities %s: %w", files.CA, err)
	}
	m := &material{certificate: certificate, roots: x509.NewCertPool(), revoked: map[serial]struct{}{}}
	for _, a := range authorities {
		m.roots.AddCert(a)
	}
	if files.CRL == "" {
		return m, nil
	}
	if err := m.revoke(contents[3], authorities); err != nil {
		return nil, fmt.Errorf("revocation list %s: %w", files.CRL, err)
	}
	return m, nil
}

func parseCertificates(text []byte) (certs []*x509.Certificate, err error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("it holds no PEM certificate")
	}
	return certs, nil
}

// revoke reads the lists, each of which one of the authorities must have signed.
func (m *material) revoke(content []byte, authorities []*x509.Certificate) error {
	lists, err := parseLists(content)
	if err != nil {
		return err
	}
	for _, list := range lists {
		issuer := issuerOf(list, authorities)
		if issuer == nil {
			return fmt.Errorf("no authority in tls-ca has signed the list of %s", list.Issuer)
		}
		for _, entry := range list.RevokedCertificateEntries {
			m.revoked[serial{string(issuer.RawSubject), entry.SerialNumber.String()}] = struct{}{}
		}
		if !list.NextUpdate.IsZero() && (m.staleAt.IsZero() || list.NextUpdate.Before(m.staleAt)) {
			m.staleAt = list.NextUpdate
		}
	}
	return nil
}

func parseLists(content []byte) (lists []*x509.RevocationList, err error) {
	if !bytes.HasPrefix(bytes.TrimSpace(content), []byte("-----")) {
		list, err := x509.ParseRevocationList(content)
		return []*x509.RevocationList{list}, err
	}
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "X509 CRL" {
			continue
		}
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return nil, err
		}
		lists = append(lists, list)
	}
	if len(lists) == 0 {
		return nil, errors.New("it holds no PEM revocation list")
	}
	return lists, nil
}

func issuerOf(list *x509.RevocationList, authorities []*x509.Certificate) *x509.Certificate {
	for _, a := range authorities {
		if bytes.Equal(a.RawSubject, list.RawIssuer) && list.CheckSignatureFrom(a) == nil {
			return a
		}
	}
	return nil
}
