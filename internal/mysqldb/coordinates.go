package mysqldb

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Queryer is what a query is sent through: *sql.DB, *sql.Conn or *sql.Tx.
type Queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Coordinates is a place in one server's binlog: everything before Position in File, and in all earlier files.
type Coordinates struct {
	Server   string // Server.ID
	File     string
	Position uint64
}

// String gives "FILE:POSITION".
func (c Coordinates) String() string { return c.File + ":" + strconv.FormatUint(c.Position, 10) }

// IsZero tells whether no place is known.
func (c Coordinates) IsZero() bool { return c.File == "" }

// Compare orders two places in one server's binlog. It means nothing for places of two servers: compare Server first.
// Files are ordered by the number at their end, which grows to more digits when it has filled its six.
func (c Coordinates) Compare(d Coordinates) int {
	if c.File == d.File {
		return cmp.Compare(c.Position, d.Position)
	}
	if n := cmp.Compare(fileNumber(c.File), fileNumber(d.File)); n != 0 {
		return n
	}
	return strings.Compare(c.File, d.File)
}

// fileNumber reads the number behind the last dot of a binlog file's name; -1 if there is none, before all others.
func fileNumber(file string) int64 {
	n, err := strconv.ParseInt(file[strings.LastIndexByte(file, '.')+1:], 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// ErrNoBinlog is returned when the server writes no binlog, or does not say where it stands in it.
var ErrNoBinlog = errors.New("the server writes no binary log: set log_bin and restart it")

// Coordinates asks where the server's binlog ends now, through q. A transaction's place in the binlog is given before its
// row locks are released: whoever holds the locks of some rows and asks learns a place behind every committed write to them.
//
// It takes REPLICATION CLIENT (MariaDB: BINLOG MONITOR).
func (s *Server) Coordinates(ctx context.Context, q Queryer) (Coordinates, error) {
	rows, err := q.QueryContext(ctx, s.statusQuery)
	if err != nil {
		return Coordinates{}, s.noCoordinates(err)
	}
	defer func() { _ = rows.Close() }() // the error is the one that rows.Err gives
	return s.readCoordinates(rows)
}

func (s *Server) noCoordinates(err error) error {
	return fmt.Errorf("%s: asking for the binlog coordinates: %w", s.Address, err)
}

func (s *Server) readCoordinates(rows *sql.Rows) (Coordinates, error) {
	columns, err := rows.Columns()
	if err != nil {
		return Coordinates{}, s.noCoordinates(err)
	}
	c := Coordinates{Server: s.ID}
	if rows.Next() {
		into := make([]any, len(columns)) // File, Position, then columns that differ between versions
		for i := range into {
			into[i] = new(sql.RawBytes)
		}
		into[0], into[1] = &c.File, &c.Position
		if err := rows.Scan(into...); err != nil {
			return Coordinates{}, fmt.Errorf("%s: reading the binlog coordinates: %w", s.Address, err)
		}
	}
	if err := rows.Err(); err != nil {
		return Coordinates{}, fmt.Errorf("%s: reading the binlog coordinates: %w", s.Address, err)
	}
	if c.File == "" {
		return Coordinates{}, fmt.Errorf("%s: %w", s.Address, ErrNoBinlog)
	}
	return c, nil
}

// ExecutedGTIDs gives the transactions that the server has committed: gtid_executed, or MariaDB's gtid_binlog_pos (the last
// GTID of each domain in its binlog). No blanks or line ends.
func (s *Server) ExecutedGTIDs(ctx context.Context) (string, error) {
	if s.Flavor == MariaDB {
		return s.gtids(ctx, "gtid_binlog_pos")
	}
	return s.gtids(ctx, "gtid_executed")
}

// PurgedGTIDs gives the transactions that are no longer in the server's binlogs: gtid_purged. MariaDB has no such set:
// what it gives is the state at the start of its oldest binlog file, which is to say the last purged GTID of each domain.
// Empty means that nothing was purged.
func (s *Server) PurgedGTIDs(ctx context.Context) (string, error) {
	if s.Flavor == MySQL {
		return s.gtids(ctx, "gtid_purged")
	}
	first, err := s.oldestBinlog(ctx)
	if err != nil {
		return "", err
	}
	var gtids sql.NullString
	// https://mariadb.com/docs/server/reference/sql-functions/secondary-functions/information-functions/binlog_gtid_pos
	if err := s.DB.QueryRowContext(ctx, "SELECT BINLOG_GTID_POS(?, 4)", first).Scan(&gtids); err != nil {
		return "", fmt.Errorf("%s: asking for the GTIDs before binlog %s: %w", s.Address, first, err)
	}
	return withoutBlanks(gtids.String), nil
}

func (s *Server) gtids(ctx context.Context, variable string) (string, error) {
	var gtids sql.NullString
	if err := s.DB.QueryRowContext(ctx, "SELECT @@GLOBAL."+variable).Scan(&gtids); err != nil {
		return "", fmt.Errorf("%s: reading %s: %w", s.Address, variable, err)
	}
	return withoutBlanks(gtids.String), nil
}

func (s *Server) oldestBinlog(ctx context.Context) (string, error) {
	rows, err := s.DB.QueryContext(ctx, "SHOW BINARY LOGS")
	if err != nil {
		return "", fmt.Errorf("%s: listing the binlogs: %w", s.Address, err)
	}
	defer func() { _ = rows.Close() }() // the error is the one that rows.Err gives
	columns, err := rows.Columns()
	if err != nil {
		return "", fmt.Errorf("%s: listing the binlogs: %w", s.Address, err)
	}
	var first string
	if rows.Next() {
		into := make([]any, len(columns))
		for i := range into {
			into[i] = new(sql.RawBytes)
		}
		into[0] = &first
		if err := rows.Scan(into...); err != nil {
			return "", fmt.Errorf("%s: listing the binlogs: %w", s.Address, err)
		}
	}
	if err := rows.Err(); err != nil {
		return "", fmt.Errorf("%s: listing the binlogs: %w", s.Address, err)
	}
	if first == "" {
		return "", fmt.Errorf("%s: %w", s.Address, ErrNoBinlog)
	}
	return first, nil
}

// withoutBlanks takes out what MySQL puts between the parts of a GTID set to make it readable.
func withoutBlanks(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' || r == ' ' {
			return -1
		}
		return r
	}, s)
}
