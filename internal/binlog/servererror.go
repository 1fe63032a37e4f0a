package binlog

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"
)

// transient are the server's errors that pass by themselves.
var transient = []uint16{
	1040,                   // too many connections
	1042,                   // the server could not look up our address
	1043,                   // the handshake was garbled
	1053,                   // shutting down
	1077,                   // shut down
	1129,                   // blocked after too many broken connections: FLUSH HOSTS, or its timeout, lifts it
	1158, 1159, 1160, 1161, // network trouble as the server sees it
	1184,       // the connection was aborted
	1203, 1226, // the user has too many connections, or has used up a quota per hour
	1317, // our dump was killed
	1927, // our connection was killed (MariaDB)
	3032, // offline mode
	3169, // our session was killed
	4031, // disconnected for inactivity
}

// denied are the server's errors about who we are and what we may do.
var denied = []uint16{
	1044, 1045, 1130, 1142, 1143, 1227, 1251, 1370, 1396, 1410, 1524, 1698, 1820, 1862, 3118, 3955,
}

const sameServerID = 4052 // MariaDB: ER_SLAVE_SAME_ID

const fatalBinlogError = 1236 // ER_MASTER_FATAL_ERROR_READING_BINLOG: one number for all that can be wrong with the request

// serverError types an error of the connection.
func serverError(err error) error {
	var server *mysql.MyError
	if !errors.As(err, &server) {
		var certificate *tls.CertificateVerificationError
		if errors.As(err, &certificate) || strings.Contains(err.Error(), "does not support TLS") { // go-mysql has no name for that
			return fmt.Errorf("%w: check the TLS settings on both sides", err)
		}
		return fmt.Errorf("%w: %w", ErrConnection, err)
	}
	message := strings.Clone(server.Message) // it points into the packet's buffer
	switch {
	case slices.Contains(transient, server.Code):
		return fmt.Errorf("%w: error %d: %s", ErrConnection, server.Code, message)
	case server.Code == fatalBinlogError:
		return fatalError(message)
	case server.Code == sameServerID:
		return anotherReader(server.Code, message)
	case slices.Contains(denied, server.Code):
		return &ServerError{Code: server.Code, Message: message, Advice: "Check user and password, and that the user has REPLICATION SLAVE, " +
			"and REPLICATION CLIENT on MySQL, BINLOG MONITOR on MariaDB"}
	default:
		return &ServerError{Code: server.Code, Message: message}
	}
}

func anotherReader(code uint16, message string) error {
	return &ServerError{Code: code, Message: message, Advice: "Another client reads this binlog with the same server id: give " +
		"each one its own, and see that no second process runs for this region and replica"}
}

// fatalError types error 1236 by its text, which is all that tells its causes apart.
func fatalError(message string) error {
	lower := strings.ToLower(message)
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(lower, p) })
	}
	switch {
	case has("purged", "could not find gtid state requested", "missing transactions"):
		return &PositionError{Missing: "see the server's message", Reason: message}
	case has("not in the master's binlog", "not in the source's binlog", "has more gtids than", "alternate future", "errant"):
		return &PositionError{Unknown: "see the server's message", Reason: message}
	case has("same server_uuid/server_id", "same server_id", "same server_uuid"):
		return anotherReader(fatalBinlogError, message)
	default:
		return &ServerError{Code: fatalBinlogError, Message: message}
	}
}
