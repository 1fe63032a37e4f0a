package testenv

import (
	"fmt"

	"meridian/internal/servers"
)

// Kind is a kind of server; see the constants.
type Kind = servers.Kind

// The database servers, for tests that are made once and run on each of them.
const (
	KindMySQL       = servers.MySQL
	KindMySQL80     = servers.MySQL80
	KindMariaDB     = servers.MariaDB
	KindMariaDB1011 = servers.MariaDB1011
)

// Option changes how a server is started.
type Option func(*settings)

type settings struct {
	serverID uint32
	args     []string
	env      []string
	security *servers.KafkaSecurity
}

func apply(options []Option) settings {
	s := settings{}
	for _, option := range options {
		option(&s)
	}
	return s
}

// Args adds options to the server's command line. Where one is given twice the last one counts, so
// this can also set wrongly what Meridian requires: "--binlog-row-image=MINIMAL", "--skip-log-bin".
func Args(args ...string) Option {
	return func(s *settings) { s.args = append(s.args, args...) }
}

// ServerID sets server_id; without it every server gets one that no other of the process has.
func ServerID(id uint32) Option {
	return func(s *settings) { s.serverID = id }
}

// AutoIncrement makes the server hand out every increment-th id, from offset on (counted from 1), so
// that several regions never hand out the same one.
func AutoIncrement(increment, offset int) Option {
	return Args(fmt.Sprintf("--auto-increment-increment=%d", increment), fmt.Sprintf("--auto-increment-offset=%d", offset))
}
