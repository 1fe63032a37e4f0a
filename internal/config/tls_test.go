package config

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"meridian/internal/testenv"
)

// handshake lets a client and a server meet.
func handshake(t *testing.T, client, server *tls.Config) error {
	t.Helper()
	here, there := net.Pipe()
	answered := make(chan error, 1)
	go func() {
		conn := tls.Server(there, server)
		answered <- conn.HandshakeContext(t.Context())
		_ = there.Close()
	}()
	err := tls.Client(here, client).HandshakeContext(t.Context())
	_ = here.Close() // not the tls.Conn, whose farewell nobody reads
	if serverErr := <-answered; err == nil {
		err = serverErr
	}
	return err
}

func TestTLS_ClientTrustsItsAuthorityAndShowsItsCertificate(t *testing.T) {
	c := testenv.NewCertificates(t)
	server, err := (&AdminTLS{CertFile: c.CertFile, KeyFile: c.KeyFile}).Server()
	if err != nil {
		t.Fatal(err)
	}
	server.ClientAuth = tls.RequireAndVerifyClientCert
	server.ClientCAs, err = certificatePool(c.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	client := func(settings TLS) *tls.Config {
		config, wrong := settings.Client()
		if wrong != nil {
			t.Fatal(wrong)
		}
		if config.ServerName == "" {
			config.ServerName = "localhost" // as a dialler does
		}
		return config
	}
	full := TLS{CAFile: c.CAFile, CertFile: c.ClientCertFile, KeyFile: c.ClientKeyFile}
	if err = handshake(t, client(full), server); err != nil {
		t.Error(err)
	}
	stranger := full
	stranger.CAFile = ""
	if err = handshake(t, client(stranger), server); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("the system's authorities are trusted with: %v", err)
	}
	elsewhere := full
	elsewhere.ServerName = "elsewhere"
	if err = handshake(t, client(elsewhere), server); err == nil || !strings.Contains(err.Error(), "elsewhere") {
		t.Errorf("%v", err)
	}
	admin, err := (&AdminTLS{CAFile: c.CAFile}).Client()
	if err != nil || admin.RootCAs == nil {
		t.Errorf("%v", err)
	}
}

func TestTLS_OffIsNil(t *testing.T) {
	off := false
	var none *TLS
	var noAdmin *AdminTLS
	for n, f := range []func() (*tls.Config, error){none.Client, (&TLS{Enabled: &off, CAFile: "/nowhere"}).Client, noAdmin.Client, noAdmin.Server} {
		if c, err := f(); c != nil || err != nil {
			t.Errorf("%d: %v %v", n, c, err)
		}
	}
}

func TestTLS_NamesTheFileThatIsWrong(t *testing.T) {
	folder := t.TempDir()
	rubbish := filepath.Join(folder, "rubbish.pem")
	if err := os.WriteFile(rubbish, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	gone := filepath.Join(folder, "gone.pem")
	for n, f := range []func() (*tls.Config, error){
		(&TLS{CAFile: rubbish}).Client, (&TLS{CAFile: gone}).Client, (&TLS{CertFile: rubbish, KeyFile: gone}).Client,
		(&AdminTLS{CertFile: gone, KeyFile: gone}).Server,
	} {
		if _, err := f(); err == nil || !strings.Contains(err.Error(), folder) {
			t.Errorf("%d: %v", n, err)
		}
	}
}
