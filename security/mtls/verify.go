package mtls

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"
)

// expectation is who a peer must be.
type expectation struct {
	usage x509.ExtKeyUsage
	roles []Role   // one of them; empty: no identity is asked for
	name  string   // of the identity; empty: any
	hosts []string // one of them must be the certificate's; nil: no host is asked for
}

// anybodyLife is how long the judgement holds of a peer who was not asked for anything.
const anybodyLife = 100 * 365 * 24 * time.Hour

// verify judges a peer by the chain it showed. It returns until when, at most, the
// judgement holds.
func (m *material) verify(now time.Time, certs []*x509.Certificate, want *expectation) (until time.Time, err error) {
	roots := m.roots
	if roots == nil {
		if want.usage == x509.ExtKeyUsageClientAuth {
			return now.Add(anybodyLife), nil
		}
		roots = x509.NewCertPool() // not the system's: nobody fits
	}
	if len(certs) == 0 {
		return until, &PeerError{Reason: ReasonNoCertificate, Detail: "showed no certificate"}
	}
	intermediates := x509.NewCertPool()
	for _, c := range certs[1:] {
		intermediates.AddCert(c)
	}
	chains, err := certs[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{want.usage},
	})
	if err != nil {
		return until, classify(err, certs, now)
	}
	chain := m.unrevoked(chains)
	if chain == nil {
		return until, &PeerError{Reason: ReasonRevoked, Peer: nameOf(certs[0]), Detail: "has a certificate that was revoked"}
	}
	return earliestEnd(chain), want.judge(certs[0])
}

// unrevoked finds a chain without a revoked link.
func (m *material) unrevoked(chains [][]*x509.Certificate) []*x509.Certificate {
	for _, chain := range chains {
		if !slices.ContainsFunc(chain, func(c *x509.Certificate) bool {
			_, revoked := m.revoked[serialOf(c)]
			return revoked
		}) {
			return chain
		}
	}
	return nil
}

func earliestEnd(chain []*x509.Certificate) time.Time {
	end := chain[0].NotAfter
	for _, c := range chain[1:] {
		if c.NotAfter.Before(end) {
			end = c.NotAfter
		}
	}
	return end
}

// judge compares what the leaf says with what is expected.
func (want *expectation) judge(leaf *x509.Certificate) error {
	fail := func(reason Reason, format string, args ...any) error {
		return &PeerError{Reason: reason, Peer: nameOf(leaf), Detail: fmt.Sprintf(format, args...)}
	}
	if len(want.roles) > 0 || want.name != "" {
		id, err := IdentityOf(leaf)
		switch {
		case err != nil:
			return fail(ReasonNoIdentity, "has a certificate of which no role can be told: %v", err)
		case len(want.roles) > 0 && !slices.Contains(want.roles, id.Role):
			return fail(ReasonWrongRole, "has the role %s, but only %s may be here", id.Role, joinRoles(want.roles))
		case want.name != "" && id.Name != want.name:
			return fail(ReasonWrongName, "is called %s, but %s is expected at this address", id.Name, want.name)
		}
	}
	if want.hosts == nil {
		return nil
	}
	for _, host := range want.hosts {
		if leaf.VerifyHostname(host) == nil {
			return nil
		}
	}
	return fail(ReasonWrongName, "has a certificate that is not for %s (%s)", strings.Join(want.hosts, ", "), namesOf(leaf))
}

func joinRoles(roles []Role) string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = string(r)
	}
	return strings.Join(names, ", ")
}

// namesOf lists the hosts that a certificate is for.
func namesOf(leaf *x509.Certificate) string {
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "it is for no host at all"
	}
	return "it is for " + strings.Join(names, ", ")
}
