package command

import (
	"fmt"
	"net/http"
	"time"

	"meridian/internal/config"
)

// Client gives an HTTP client for Meridian's other processes, and the token that they ask for; nil where none is configured.
// A question may take as long as timeout.
func Client(c *config.Config, timeout time.Duration) (*http.Client, func() (string, error), error) {
	tls, err := c.Admin.TLS.Client()
	if err != nil {
		return nil, nil, fmt.Errorf("admin.tls: %w", err)
	}
	client := &http.Client{Timeout: timeout, Transport: &http.Transport{TLSClientConfig: tls, Proxy: http.ProxyFromEnvironment,
		MaxIdleConnsPerHost: idleConnections, IdleConnTimeout: time.Minute}}
	if !c.Admin.Token.IsSet() {
		return client, nil, nil
	}
	return client, func() (string, error) {
		token, err := c.Admin.Token.Read()
		if err != nil {
			return "", fmt.Errorf("admin.token: %w", err)
		}
		return token, nil
	}, nil
}

// idleConnections are kept to each process: as many as it is asked at the same time.
const idleConnections = 8
