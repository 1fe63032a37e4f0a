package binlog

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/google/uuid"
	"go.uber.org/zap"
)

// keepBuffer is the largest packet buffer that is used again: one row of 1 GB must not cost 1 GB for ever.
const keepBuffer = 1 << 20

// stream is one connection that sends binlog events. All questions are asked before dump.
type stream struct {
	config     *Config
	conn       *client.Conn
	stop       func() bool // ends the watch for the end of ctx
	isMaria    bool
	version    string
	server     string // its identity, as in mysqldb.Server.ID
	collations collations

	packet bytes.Buffer // of the last event
	sums   checksums
}

// open connects. When ctx ends the connection is closed, which ends any read.
func open(ctx context.Context, config *Config) (*stream, error) {
	password := ""
	if config.Password != nil {
		var err error
		if password, err = config.Password(); err != nil {
			return nil, fmt.Errorf("the password of user %s for %s: %w", config.User, config.Address, err)
		}
	}
	s := &stream{config: config, stop: func() bool { return true }}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		limited, cancel := context.WithTimeout(ctx, config.ConnectTimeout)
		defer cancel()
		conn, err := config.Dial(limited, network, address)
		if err != nil {
			return nil, err
		}
		s.stop = context.AfterFunc(ctx, func() { _ = conn.Close() }) // nothing to be done about a socket that will not close
		return conn, nil
	}
	conn, err := client.ConnectWithDialer(ctx, "", config.Address, config.User, password, "", dial, func(c *client.Conn) error {
		c.ReadTimeout, c.WriteTimeout = config.ReadTimeout, config.ReadTimeout
		c.SetTLSConfig(tlsFor(config.TLS, config.Address))
		c.SetAttributes(map[string]string{"program_name": "meridian", "_client_role": "binary_log_listener"})
		return nil
	})
	if err != nil {
		s.stop()
		return nil, serverError(fmt.Errorf("connecting to %s as %s: %w", config.Address, config.User, err))
	}
	s.conn = conn
	s.version = strings.Clone(conn.GetServerVersion())
	s.isMaria = strings.Contains(strings.ToLower(s.version), "mariadb")
	if err := s.prepare(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// tlsFor gives a configuration that checks the name that we connect to.
func tlsFor(config *tls.Config, address string) *tls.Config {
	if config == nil || config.ServerName != "" || config.InsecureSkipVerify {
		return config
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return config
	}
	config = config.Clone()
	config.ServerName = host
	return config
}

func (s *stream) close() {
	s.stop()
	_ = s.conn.Close() // the server notices at its next write; there is nothing that we could still lose
}

// prepare makes the session a replica's and learns what the server is.
func (s *stream) prepare() error {
	id := "SELECT @@GLOBAL.server_uuid"
	if s.isMaria {
		id = "SELECT CONCAT(@@GLOBAL.server_id, '@', @@GLOBAL.hostname, ':', @@GLOBAL.port)"
	}
	var err error
	if s.server, err = s.text(id); err != nil {
		return err
	}
	// The settings below are made as the replication threads of MySQL and MariaDB make them. The checksums stay in the
	// events, to be verified here.
	settings := []string{
		"SET NAMES utf8mb4",
		"SET @master_binlog_checksum = 'CRC32', @source_binlog_checksum = 'CRC32'",
		fmt.Sprintf("SET @master_heartbeat_period = %[1]d, @source_heartbeat_period = %[1]d", s.config.HeartbeatPeriod.Nanoseconds()),
	}
	if s.isMaria {
		settings = append(settings, "SET @mariadb_slave_capability = 4", "SET @slave_gtid_strict_mode = 1",
			"SET @slave_gtid_ignore_duplicates = 0")
	} else {
		// The same one each time: the server then ends a connection of ours that it still believes to be there.
		name := uuid.NewSHA1(uuid.NameSpaceURL, fmt.Appendf(nil, "meridian:%s:%d", s.server, s.config.ServerID)).String()
		settings = append(settings, fmt.Sprintf("SET @slave_uuid = '%[1]s', @replica_uuid = '%[1]s'", name))
	}
	for _, query := range settings {
		if _, err = s.execute(query); err != nil {
			return err
		}
	}
	s.collations, err = s.readCollations()
	return err
}

// execute asks one question.
func (s *stream) execute(query string) (*mysql.Result, error) {
	r, err := s.conn.Execute(query)
	if err != nil {
		return nil, serverError(fmt.Errorf("%s: %s: %w", s.config.Address, query, err))
	}
	return r, nil
}

// text asks for one value; NULL and no row are "".
func (s *stream) text(query string) (string, error) {
	r, err := s.execute(query)
	if err != nil {
		return "", err
	}
	defer r.Close()
	if r.RowNumber() == 0 {
		return "", nil
	}
	v, err := r.GetString(0, 0)
	if err != nil {
		return "", fmt.Errorf("%s: %s: %w", s.config.Address, query, err)
	}
	// The library's string is a view of a pooled buffer, which Close gives to the next connection that asks for one.
	return strings.Clone(v), nil
}

// dump asks for the events behind from. Afterwards only next may be called.
func (s *stream) dump(from *state) error {
	if err := s.register(); err != nil {
		return err
	}
	var command []byte
	if s.isMaria {
		if _, err := s.execute("SET @slave_connect_state = '" + from.maria.String() + "'"); err != nil {
			return err
		}
		command = make([]byte, 4, 32) // room for the packet's header
		command = append(command, mysql.COM_BINLOG_DUMP)
		command = binary.LittleEndian.AppendUint32(command, 0) // the position is given by the GTIDs
		command = binary.LittleEndian.AppendUint16(command, 0) // in particular, no statements beside their rows
		command = binary.LittleEndian.AppendUint32(command, s.config.ServerID)
	} else {
		set := from.executed().encode()
		command = make([]byte, 4, 32+len(set))
		command = append(command, mysql.COM_BINLOG_DUMP_GTID)
		command = binary.LittleEndian.AppendUint16(command, 0)
		command = binary.LittleEndian.AppendUint32(command, s.config.ServerID)
		command = binary.LittleEndian.AppendUint32(command, 0) // no file name
		command = binary.LittleEndian.AppendUint64(command, 4) // the start of a file
		command = binary.LittleEndian.AppendUint32(command, uint32(len(set)))
		command = append(command, set...)
	}
	s.conn.ResetSequence()
	if err := s.conn.WritePacket(command); err != nil {
		return serverError(fmt.Errorf("%s: asking for the binlog: %w", s.config.Address, err))
	}
	s.config.Logger.Debug("reading the binlog", zap.String("address", s.config.Address), zap.String("server", s.server),
		zap.String("version", s.version), zap.Stringer("from", from))
	return nil
}

// register tells the server who reads, so that SHOW REPLICAS lists us.
func (s *stream) register() error {
	host, err := os.Hostname()
	if err != nil || len(host) > 255 {
		host = "meridian"
	}
	command := make([]byte, 4, 64+len(host))
	command = append(command, mysql.COM_REGISTER_SLAVE)
	command = binary.LittleEndian.AppendUint32(command, s.config.ServerID)
	command = append(append(command, byte(len(host))), host...)
	command = append(command, 0, 0)                        // user, password
	command = append(command, 0, 0)                        // port
	command = binary.LittleEndian.AppendUint32(command, 0) // rank, not used
	command = binary.LittleEndian.AppendUint32(command, 0) // the source's id, filled in by the server
	s.conn.ResetSequence()
	if err := s.conn.WritePacket(command); err != nil {
		return serverError(fmt.Errorf("%s: registering as a replica: %w", s.config.Address, err))
	}
	if _, err := s.conn.ReadOKPacket(); err != nil {
		return serverError(fmt.Errorf("%s: registering as a replica: %w", s.config.Address, err))
	}
	return nil
}

var errEndOfStream = errors.New("the server ended the stream")

// next reads one event. It is valid until the next call.
func (s *stream) next() (*event, error) {
	if s.packet.Cap() > keepBuffer {
		s.packet = bytes.Buffer{}
	}
	s.packet.Reset()
	if err := s.conn.ReadPacketTo(&s.packet); err != nil {
		return nil, serverError(fmt.Errorf("%s: reading the binlog: %w", s.config.Address, err))
	}
	data := s.packet.Bytes()
	switch {
	case len(data) == 0:
		return nil, fmt.Errorf("%s: reading the binlog: an empty packet: %w", s.config.Address, ErrConnection)
	case data[0] == mysql.ERR_HEADER:
		return nil, serverError(fmt.Errorf("%s: reading the binlog: %w", s.config.Address, s.conn.HandleErrorPacket(data)))
	case data[0] == mysql.EOF_HEADER && len(data) < 9:
		return nil, fmt.Errorf("%s: reading the binlog: %w: %w", s.config.Address, errEndOfStream, ErrConnection)
	case data[0] != mysql.OK_HEADER:
		return nil, fmt.Errorf("%s: reading the binlog: a packet of unknown kind %#x: %w", s.config.Address, data[0], ErrConnection)
	}
	e, err := parseHeader(data[1:])
	if err != nil {
		return nil, &CorruptError{Reason: err.Error()}
	}
	if err := s.sums.strip(data[1:], &e); err != nil {
		return nil, &CorruptError{Position: uint64(e.endPos), Reason: err.Error()}
	}
	return &e, nil
}
