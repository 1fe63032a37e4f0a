package testenv

import (
	"context"
	"testing"

	"meridian/internal/servers"
)

// RedisServer is a running Redis. Started again after Kill or Stop it is empty, as a cache is.
type RedisServer struct{ Server }

// Redis starts a Redis of the test's own; it ends with the test.
func Redis(t testing.TB, options ...Option) *RedisServer {
	t.Helper()
	s := apply(options)
	server, r, err := launch(t.Context(), servers.Redis,
		func(ctx context.Context, _ string, program *servers.Program, folder string) (*servers.RedisServer, error) {
			return servers.StartRedis(ctx, servers.RedisConfig{Program: program, Directory: folder, Args: s.args})
		})
	if err != nil {
		t.Fatal(err)
	}
	r.logPath = server.LogPath
	r.endWith(t)
	return &RedisServer{Server{Kind: servers.Redis, Version: server.Program.Version, Address: server.Address(),
		LogPath: server.LogPath, t: t, control: server}}
}

// Port reserves a port on loopback, as host:port, that no other test or server of this package gets
// while the test runs: for what the test itself listens with.
func Port(t testing.TB) string {
	t.Helper()
	port, err := servers.ReservePort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := port.Release(); err != nil {
			t.Errorf("giving a port back: %v", err)
		}
	})
	return port.Address()
}
