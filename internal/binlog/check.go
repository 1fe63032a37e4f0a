package binlog

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"
)

// check finds out whether the server can continue from a position, so that the error can name what is missing: at run
// time the server's answer is one number for all causes.
func (s *stream) check(from *state) error {
	if s.isMaria {
		return s.checkMaria(from)
	}
	return s.checkMySQL(from)
}

// catchUpSeconds is how long to wait for transactions that we know and the server does not: it sends a transaction's
// events before it enters it in gtid_executed.
const catchUpSeconds = 2

func (s *stream) checkMySQL(from *state) error {
	ours := from.executed()
	begun, err := parseGTIDSet(from.partial)
	if err != nil {
		return &PositionError{Reason: err.Error()}
	}
	known := ours
	for _, n := range begun {
		known = known.with(n.source, n.intervals[0])
	}
	executed, err := s.gtidSet("SELECT @@GLOBAL.gtid_executed")
	if err != nil {
		return err
	}
	if unknown := known.minus(executed); len(unknown) > 0 {
		if _, err = s.text(fmt.Sprintf("SELECT WAIT_FOR_EXECUTED_GTID_SET('%s', %d)", unknown, catchUpSeconds)); err != nil {
			return err
		}
		if executed, err = s.gtidSet("SELECT @@GLOBAL.gtid_executed"); err != nil {
			return err
		}
		if unknown = known.minus(executed); len(unknown) > 0 {
			return &PositionError{Unknown: unknown.String(), Reason: "they are not in gtid_executed of " + s.config.Address}
		}
	}
	purged, err := s.gtidSet("SELECT @@GLOBAL.gtid_purged")
	if err != nil {
		return err
	}
	if missing := purged.minus(ours); len(missing) > 0 {
		return &PositionError{Missing: missing.String(), Reason: "they are in gtid_purged of " + s.config.Address}
	}
	return nil
}

func (s *stream) gtidSet(query string) (gtidSet, error) {
	text, err := s.text(query)
	if err != nil {
		return nil, err
	}
	set, err := parseGTIDSet(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", s.config.Address, query, err)
	}
	return set, nil
}

// checkMaria compares with the end of the binlog and with the beginning of its oldest file.
func (s *stream) checkMaria(from *state) error {
	text, err := s.text("SELECT @@GLOBAL.gtid_binlog_pos")
	if err != nil {
		return err
	}
	written, err := parseGTIDList(text)
	if err != nil {
		return fmt.Errorf("%s: gtid_binlog_pos: %w", s.config.Address, err)
	}
	begun, err := parseGTIDList(from.partial)
	if err != nil {
		return &PositionError{Reason: err.Error()}
	}
	var unknown gtidList
	for _, g := range slices.Concat(from.maria, begun) {
		if written.number(g.domain) < g.number {
			unknown = append(unknown, g)
		}
	}
	if len(unknown) > 0 {
		return &PositionError{Unknown: unknown.String(), Reason: "gtid_binlog_pos of " + s.config.Address + " is " + written.String()}
	}
	purged, err := s.purgedMaria()
	if err != nil {
		return err
	}
	var missing []string
	for _, g := range purged {
		if have := from.maria.number(g.domain); have < g.number {
			missing = append(missing, fmt.Sprintf("domain %d: %d to %d", g.domain, have+1, g.number))
		}
	}
	if len(missing) > 0 {
		return &PositionError{Missing: strings.Join(missing, ", "), Reason: "the oldest binlog of " + s.config.Address + " begins behind " + purged.String()}
	}
	return nil
}

// purgedMaria gives the position at which the oldest binlog file begins. Who may not list the files learns it at run time.
func (s *stream) purgedMaria() (gtidList, error) {
	file, err := s.text("SHOW BINARY LOGS")
	var refused *ServerError
	if errors.As(err, &refused) && slices.Contains(denied, refused.Code) {
		return nil, nil
	}
	if err != nil || file == "" {
		return nil, err
	}
	text, err := s.text("SELECT BINLOG_GTID_POS('" + mysql.Escape(file) + "', 4)")
	if err != nil {
		return nil, err
	}
	list, err := parseGTIDList(text)
	if err != nil {
		return nil, fmt.Errorf("%s: the position at which %s begins: %w", s.config.Address, file, err)
	}
	return list, nil
}
