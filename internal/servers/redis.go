package servers

import (
	"context"
	"path/filepath"
	"strconv"
	"strings"
)

// RedisConfig says how to start a Redis.
type RedisConfig struct {
	Program   *Program
	Directory string   // must exist
	Args      []string // added to this package's own, of which the last one counts: "--cluster-enabled", "yes"
}

// RedisServer is a running Redis. It keeps nothing on disk: started again it is empty, as a cache is.
type RedisServer struct{ Server }

// StartRedis starts a Redis and returns when it serves.
func StartRedis(ctx context.Context, config RedisConfig) (*RedisServer, error) {
	r := &RedisServer{}
	r.Program, r.LogPath = config.Program, filepath.Join(config.Directory, "server.log")
	r.prepare = func(context.Context) (command, error) {
		// Cluster mode has a second port, by default the first plus 10000.
		argv := append(append([]string{}, r.Program.chain...), "--port", strconv.Itoa(r.ports[0].Number), "--bind", "127.0.0.1",
			"--dir", config.Directory, "--save", "", "--appendonly", "no", "--daemonize", "no",
			"--cluster-port", strconv.Itoa(r.ports[1].Number))
		return command{argv: append(argv, config.Args...), dir: config.Directory, isReady: servesRedis}, nil
	}
	if err := r.startOnFreePorts(ctx, 2); err != nil {
		return nil, err
	}
	return r, nil
}

// servesRedis recognises the line that Redis logs when it accepts connections.
func servesRedis(line string) bool { return strings.Contains(line, "Ready to accept connections") }
