package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// TLS is how a connection is encrypted and whom it trusts. Its presence switches TLS on: `tls: {}` is TLS with the
// system's certificate authorities.
type TLS struct {
	Enabled    *bool  `config:"enabled"`        // nil: true; false switches off what would be inherited
	CAFile     string `config:"ca_file,path"`   // "": the system's
	CertFile   string `config:"cert_file,path"` // the client's own certificate; with KeyFile or not at all
	KeyFile    string `config:"key_file,path"`
	ServerName string `config:"server_name"` // "": the host that is dialled
}

// on gives the settings, or nil where TLS is off.
func (t *TLS) on() *TLS {
	if t == nil || t.Enabled != nil && !*t.Enabled {
		return nil
	}
	return t
}

// Client makes the settings of a client; nil for a nil or switched off TLS. The client's certificate is read again at each
// connection; the certificate authorities are read now.
func (t *TLS) Client() (*tls.Config, error) {
	if t = t.on(); t == nil {
		return nil, nil //nolint:nilnil // no TLS is what a nil *tls.Config means to every library that takes one
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile != "" {
		pool, err := certificatePool(t.CAFile)
		if err != nil {
			return nil, err
		}
		config.RootCAs = pool
	}
	if t.CertFile != "" {
		load := certificateLoader(t.CertFile, t.KeyFile)
		if _, err := load(); err != nil {
			return nil, err
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	}
	return config, nil
}

// Server makes the settings that HTTP is served with; nil for nil. The certificate is read again at each connection.
func (t *AdminTLS) Server() (*tls.Config, error) {
	if t == nil {
		return nil, nil //nolint:nilnil // no TLS is what a nil *tls.Config means to the HTTP server
	}
	load := certificateLoader(t.CertFile, t.KeyFile)
	if _, err := load(); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return load() }}, nil
}

// Client makes the settings of those who call a process that serves with t; nil for nil.
func (t *AdminTLS) Client() (*tls.Config, error) {
	if t == nil {
		return nil, nil //nolint:nilnil // no TLS is what a nil *tls.Config means to the HTTP client
	}
	return (&TLS{CAFile: t.CAFile}).Client()
}

func certificateLoader(certFile, keyFile string) func() (*tls.Certificate, error) {
	return func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return nil, fmt.Errorf("load the certificate %s with the key %s: %w", certFile, keyFile, err)
		}
		return &pair, nil
	}
}

func certificatePool(file string) (*x509.CertPool, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the certificate authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("read the certificate authorities in %s: %w", file, errNoCertificate)
	}
	return pool, nil
}

var errNoCertificate = errors.New("there is no PEM certificate in it")
