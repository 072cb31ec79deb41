package mtls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// Reason is why a peer is not accepted.
type Reason uint8

// The reasons.
const (
	ReasonHandshake Reason = iota // the handshake failed before any certificate was judged
	ReasonNotTLS
	ReasonNoCertificate
	ReasonUnknownAuthority
	ReasonExpired
	ReasonNotYetValid
	ReasonRevoked
	ReasonWrongUsage
	ReasonNoIdentity
	ReasonWrongRole
	ReasonWrongName
	reasonCount
)

var reasonNames = [reasonCount]string{
	"handshake", "not_tls", "no_certificate", "unknown_authority", "expired", "not_yet_valid",
	"revoked", "wrong_usage", "no_identity", "wrong_role", "wrong_name",
}

// String is the reason as a label.
func (r Reason) String() string { return reasonNames[r] }

// advice says what to do about each reason.
var advice = [reasonCount]string{
	ReasonHandshake:        "let it speak TLS 1.3",
	ReasonNotTLS:           "give it the --tls-cert, --tls-key and --tls-ca flags, or use the port that speaks without TLS",
	ReasonNoCertificate:    "give it a certificate with --tls-cert and --tls-key",
	ReasonUnknownAuthority: "let one of the authorities in --tls-ca sign it, or add its authority to that file on this side",
	ReasonExpired:          "put a new certificate in the place of the old one; it is read within a second",
	ReasonNotYetValid:      "wait, or compare the clocks of the two machines",
	ReasonRevoked:          "issue a new certificate if the holder is to be trusted again",
	ReasonWrongUsage:       "issue it for both server and client authentication",
	ReasonNoIdentity:       "issue it with a subject alternative name such as URI:gannet://node/cache-1, or with OU=gannet-node and the name as CN",
	ReasonWrongRole:        "use a certificate of a role that is allowed here",
	ReasonWrongName:        "check the address, or issue the certificate for the name that is expected",
}

// PeerError is a peer that is not who it must be.
type PeerError struct {
	Reason Reason
	Peer   string // as the certificate calls it; empty: it showed none
	Detail string
	Err    error // what the standard library said; may be nil
}

func (e *PeerError) Error() string {
	who := "the peer"
	if e.Peer != "" {
		who += " (" + e.Peer + ")"
	}
	return fmt.Sprintf("%s %s; %s", who, e.Detail, advice[e.Reason])
}

func (e *PeerError) Unwrap() error { return e.Err }

// RefusedError is a peer that did not accept our certificate.
type RefusedError struct {
	Alert string // what it said
	Err   error
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("the peer refused this side's certificate (%s): %s", e.Alert, alertAdvice(e.Alert))
}

func (e *RefusedError) Unwrap() error { return e.Err }

func alertAdvice(alert string) string {
	switch {
	case strings.Contains(alert, "expired"):
		return "it has expired or is not valid yet; put a new one in its place, it is read within a second"
	case strings.Contains(alert, "unknown certificate authority"):
		return "no authority that the peer trusts has signed it; use one of the peer's authority, or add ours to the peer's --tls-ca"
	case strings.Contains(alert, "certificate required"):
		return "none was shown; give --tls-cert and --tls-key"
	default:
		return "it is revoked, of a role that is not allowed there, or not issued for this use; the peer's log says which"
	}
}

// Explain puts what TLS says about certificates into words, as far as it knows them;
// other errors come back as they are. The dialling side meets the refusal of its
// certificate only when it first reads: there, too, Explain helps.
func Explain(err error) error {
	var op *net.OpError
	var peer *PeerError
	var refused *RefusedError
	var record tls.RecordHeaderError
	var verification *tls.CertificateVerificationError
	switch {
	case err == nil, errors.As(err, &peer), errors.As(err, &refused):
		return err
	case errors.As(err, &record):
		return &PeerError{Reason: ReasonNotTLS, Detail: "does not speak TLS", Err: err}
	case errors.As(err, &verification):
		return classify(verification.Err, verification.UnverifiedCertificates, time.Time{})
	case strings.Contains(err.Error(), "client didn't provide a certificate"):
		return &PeerError{Reason: ReasonNoCertificate, Detail: "showed no certificate", Err: err}
	case errors.As(err, &op) && op.Op == "remote error" && strings.Contains(op.Err.Error(), "certificate"):
		return &RefusedError{Alert: strings.TrimPrefix(op.Err.Error(), "tls: "), Err: err}
	}
	return err
}

// classify turns an error of certificate verification into ours. Without the time it
// cannot tell an expired certificate from one that is not valid yet, but by text.
func classify(err error, certs []*x509.Certificate, now time.Time) *PeerError {
	e := &PeerError{Reason: ReasonUnknownAuthority, Err: err}
	if len(certs) > 0 {
		e.Peer = nameOf(certs[0])
	}
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		e.Reason, e.Detail = judgeTime(invalid.Cert, now, invalid.Detail)
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		e.Reason, e.Detail = ReasonWrongUsage, "has a certificate that is not issued for this use"
	case errors.As(err, &invalid):
		e.Detail = "has a certificate that does not hold: " + invalid.Error()
	case errors.As(err, &host):
		e.Reason, e.Detail = ReasonWrongName, "has a certificate of another name: "+host.Error()
	default:
		e.Detail = "has a certificate that no authority trusted here has signed"
	}
	return e
}

func judgeTime(cert *x509.Certificate, now time.Time, detail string) (Reason, string) {
	early := now.Before(cert.NotBefore)
	if now.IsZero() {
		early = strings.Contains(detail, "is before")
	}
	if early {
		return ReasonNotYetValid, "has a certificate that is not valid before " + cert.NotBefore.UTC().Format(time.RFC3339)
	}
	return ReasonExpired, "has a certificate that expired at " + cert.NotAfter.UTC().Format(time.RFC3339)
}

// nameOf calls a certificate what it calls itself.
func nameOf(cert *x509.Certificate) string {
	if id, err := IdentityOf(cert); err == nil {
		return id.String()
	}
	if name := cert.Subject.String(); name != "" {
		return name
	}
	return "serial " + cert.SerialNumber.Text(16)
}
