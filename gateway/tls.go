package gateway

import (
	"errors"
	"log/slog"

	"gannet/security/mtls"
)

// TLSFiles names PEM files. Cert and Key belong together; ClientCA makes every
// client show a certificate that one of its authorities has signed and that is not on
// a list of ClientCRL.
type TLSFiles struct {
	Cert, Key, ClientCA, ClientCRL string
}

// check says which file is missing.
func (f *TLSFiles) check() error {
	switch {
	case f.Cert == "" && f.Key == "":
		return errors.New("--tls-client-ca is given without a certificate of the gateway's own; give --tls-cert and --tls-key, too")
	case f.Key == "":
		return errors.New("--tls-cert is given without --tls-key; give both")
	case f.Cert == "":
		return errors.New("--tls-key is given without --tls-cert; give both")
	case f.ClientCA == "" && f.ClientCRL != "":
		return errors.New("--tls-client-crl is given without --tls-client-ca; nobody is asked for a certificate that could be revoked")
	}
	return nil
}

// nextProtos are the application protocols that are served.
var nextProtos = []string{"h2", "http/1.1"}

// openTLS reads the files; here, unlike later, they must be good.
func openTLS(files TLSFiles, log *slog.Logger) (*mtls.Store, error) {
	if err := files.check(); err != nil {
		return nil, err
	}
	return mtls.OpenServer(mtls.Files{Cert: files.Cert, Key: files.Key, CA: files.ClientCA, CRL: files.ClientCRL}, mtls.Options{Log: log})
}
