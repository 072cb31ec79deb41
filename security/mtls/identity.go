package mtls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Role is what the holder of a certificate may be taken for.
type Role string

// The roles.
const (
	RoleNode   Role = "node"   // a node of the cluster: replication, everything that reads
	RoleClient Role = "client" // an application: ring and invalidations
	RoleAdmin  Role = "admin"  // an operator: everything but replication
)

const (
	uriScheme  = "gannet"
	unitPrefix = "gannet-"
	maxName    = 63 // as node names in the configuration
)

// Identity is who a certificate speaks for.
type Identity struct {
	Role Role
	Name string
}

// String is the identity as it stands in a certificate.
func (i Identity) String() string { return uriScheme + "://" + string(i.Role) + "/" + i.Name }

// URI is the identity as a certificate's subject alternative name.
func (i Identity) URI() *url.URL {
	return &url.URL{Scheme: uriScheme, Host: string(i.Role), Path: "/" + i.Name}
}

var (
	errNoIdentity  = errors.New("it names no identity")
	errTwoIdentity = errors.New("it names more than one identity")
)

// IdentityOf reads the identity of a certificate.
func IdentityOf(cert *x509.Certificate) (Identity, error) {
	var found *url.URL
	for _, uri := range cert.URIs {
		if uri.Scheme != uriScheme {
			continue
		}
		if found != nil {
			return Identity{}, errTwoIdentity
		}
		found = uri
	}
	if found == nil {
		return identityOfSubject(cert)
	}
	id := Identity{Role: Role(found.Host), Name: strings.TrimPrefix(found.Path, "/")}
	return id, id.check()
}

// identityOfSubject serves authorities that cannot put URIs into certificates.
func identityOfSubject(cert *x509.Certificate) (Identity, error) {
	var id Identity
	for _, unit := range cert.Subject.OrganizationalUnit {
		role, ok := strings.CutPrefix(unit, unitPrefix)
		switch {
		case !ok:
			continue
		case id.Role != "":
			return Identity{}, errTwoIdentity
		}
		id = Identity{Role: Role(role), Name: cert.Subject.CommonName}
	}
	if id.Role == "" {
		return Identity{}, errNoIdentity
	}
	return id, id.check()
}

func (i Identity) check() error {
	switch i.Role {
	case RoleNode, RoleClient, RoleAdmin:
	default:
		return fmt.Errorf("its identity %s has a role that does not exist", i)
	}
	if i.Name == "" || len(i.Name) > maxName || strings.ContainsAny(i.Name, "/ \t\r\n") {
		return fmt.Errorf("its identity %s has no usable name", i)
	}
	return nil
}

// IdentityOfState reads the peer's identity from a connection that was verified.
func IdentityOfState(state *tls.ConnectionState) (Identity, bool) {
	if state == nil || !state.HandshakeComplete || len(state.PeerCertificates) == 0 {
		return Identity{}, false
	}
	id, err := IdentityOf(state.PeerCertificates[0])
	return id, err == nil
}
