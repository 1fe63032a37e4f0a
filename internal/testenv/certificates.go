package testenv

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Certificates are a throwaway authority and what it issued, as PEM files in a folder of the test:
// one certificate for servers on localhost and 127.0.0.1, and one for clients.
type Certificates struct {
	CAFile                        string
	CertFile, KeyFile             string // the server's
	ClientCertFile, ClientKeyFile string // the client's, named meridian

	t testing.TB
}

// NewCertificates makes an authority of the test's own, with a server's and a client's certificate.
func NewCertificates(t testing.TB) *Certificates {
	t.Helper()
	dir := t.TempDir()
	c := &Certificates{
		CAFile:         filepath.Join(dir, "ca.pem"),
		CertFile:       filepath.Join(dir, "server.pem"),
		KeyFile:        filepath.Join(dir, "server-key.pem"),
		ClientCertFile: filepath.Join(dir, "client.pem"),
		ClientKeyFile:  filepath.Join(dir, "client-key.pem"),
		t:              t,
	}
	authority := &issuer{t: t}
	authority.certificate, authority.key = authority.issue("meridian test authority", 0, c.CAFile, filepath.Join(dir, "ca-key.pem"))
	authority.issue("localhost", x509.ExtKeyUsageServerAuth, c.CertFile, c.KeyFile)
	authority.issue("meridian", x509.ExtKeyUsageClientAuth, c.ClientCertFile, c.ClientKeyFile)
	return c
}

// ClientConfig trusts the authority and shows the client's certificate.
func (c *Certificates) ClientConfig() *tls.Config {
	c.t.Helper()
	text, err := os.ReadFile(c.CAFile)
	if err != nil {
		c.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		c.t.Fatalf("%s holds no certificate", c.CAFile)
	}
	pair, err := tls.LoadX509KeyPair(c.ClientCertFile, c.ClientKeyFile)
	if err != nil {
		c.t.Fatal(err)
	}
	return &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, ServerName: "localhost", MinVersion: tls.VersionTLS12}
}

// ServerTLS gives a MySQL or MariaDB server the certificate; it still takes connections without TLS,
// unless Args("--require-secure-transport=ON") forbids them.
func ServerTLS(c *Certificates) Option {
	return Args("--ssl-ca="+c.CAFile, "--ssl-cert="+c.CertFile, "--ssl-key="+c.KeyFile)
}

// issuer signs certificates; the first one that it issues is its own.
type issuer struct {
	t           testing.TB
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	serial      int64
}

// issue writes a certificate and its key (PKCS #8, which Kafka needs) as PEM; usage 0 is an authority.
func (i *issuer) issue(name string, usage x509.ExtKeyUsage, certFile, keyFile string) (*x509.Certificate, *ecdsa.PrivateKey) {
	i.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		i.t.Fatal(err)
	}
	i.serial++
	now := time.Now()
	wanted := &x509.Certificate{
		SerialNumber: big.NewInt(i.serial),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	parent, signer := i.certificate, i.key
	switch usage {
	case x509.ExtKeyUsageAny:
		wanted.IsCA, wanted.BasicConstraintsValid, wanted.KeyUsage = true, true, x509.KeyUsageCertSign
		parent, signer = wanted, key
	default:
		wanted.ExtKeyUsage = []x509.ExtKeyUsage{usage}
		wanted.DNSNames, wanted.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	signed, err := x509.CreateCertificate(rand.Reader, wanted, parent, &key.PublicKey, signer)
	if err != nil {
		i.t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		i.t.Fatal(err)
	}
	i.write(certFile, "CERTIFICATE", signed)
	i.write(keyFile, "PRIVATE KEY", encoded)
	certificate, err := x509.ParseCertificate(signed)
	if err != nil {
		i.t.Fatal(err)
	}
	return certificate, key
}

func (i *issuer) write(path, kind string, content []byte) {
	i.t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600); err != nil {
		i.t.Fatal(err)
	}
}
