package preflight

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"meridian/internal/mysqldb"
)

// facts is what one server says of itself. It is filled by gather and only read afterwards.
type facts struct {
	region  string
	address string
	err     error // why nothing, or not everything, is known

	flavor    mysqldb.Flavor
	mariadb   bool
	version   string
	id        string            // see mysqldb.Server.ID
	serverID  uint32            //
	variables map[string]string // global ones, names in lower case
	ahead     time.Duration     // its clock against ours
	roundTrip time.Duration     // of the question
	tables    []*table          // that are replicated, by name
	seen      []tableName       // all that the user may see, the server's own excluded

	// Only of the region that the report is about:
	account       string // the user as the server sees it, 'meridian'@'%'
	grants        grants
	sqlLogBin     bool     // of our session
	binlogDo      string   // --binlog-do-db
	binlogIgnore  string   //
	upstream      []string // the servers that it replicates from
	filters       []string // and the filters it does that with
	upstreamKnown bool     // false: not allowed to know
	foreignKeys   []foreignKey
	triggers      []trigger
	events        []event
	stateTables   int // in Meridian's own schema
	state         map[string]*stateFacts
}

type tableName struct{ schema, name string }

func (t tableName) String() string { return t.schema + "." + t.name }

// errTooOld marks servers that were reached, and are no use.
var errTooOld = errors.New("too old")

// gather asks a server everything. An error ends it and is kept with what is known by then.
func gather(ctx context.Context, r Region, tables Tables, whole bool) *facts {
	f := &facts{region: r.Name, address: r.Address, variables: map[string]string{}}
	server, err := r.Open(ctx)
	if err != nil {
		f.err = err
		var old *mysqldb.VersionError
		if errors.As(err, &old) {
			f.err = errors.Join(err, errTooOld)
		}
		return f
	}
	q := &asker{ctx: ctx, server: server}
	f.flavor, f.mariadb, f.version = server.Flavor, server.Flavor == mysqldb.MariaDB, server.Version
	f.id, f.serverID = server.ID, server.ServerID
	steps := []func(*asker) error{f.askVariables, f.askClock, func(q *asker) error { return f.askTables(q, tables) }}
	if whole {
		steps = append(steps, f.askAccount, f.askBinlog, f.askUpstream, f.askEffects, f.askState)
	}
	for _, step := range steps {
		if f.err = step(q); f.err != nil {
			break
		}
	}
	f.err = errors.Join(f.err, server.Close())
	return f
}

// asker runs queries on one server.
type asker struct {
	ctx    context.Context
	server *mysqldb.Server
}

// each hands every row of a query to take, all columns as text and NULL as "".
func (q *asker) each(what, query string, args []any, take func(row []string) error) error {
	return q.named(what, query, args, func(_, row []string) error { return take(row) })
}

// named is each with the columns' names in lower case.
func (q *asker) named(what, query string, args []any, take func(columns, row []string) error) error {
	rows, err := q.server.DB.QueryContext(q.ctx, query, args...)
	if err != nil {
		return fmt.Errorf("%s: asking for %s: %w", q.server.Address, what, err)
	}
	defer func() { _ = rows.Close() }() // the error is the one that rows.Err gives
	columns, err := rows.Columns()
	if err != nil {
		return fmt.Errorf("%s: asking for %s: %w", q.server.Address, what, err)
	}
	for i := range columns {
		columns[i] = strings.ToLower(columns[i])
	}
	raw, into, row := make([]sql.RawBytes, len(columns)), make([]any, len(columns)), make([]string, len(columns))
	for i := range raw {
		into[i] = &raw[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return fmt.Errorf("%s: reading %s: %w", q.server.Address, what, err)
		}
		for i := range raw {
			row[i] = string(raw[i])
		}
		if err := take(columns, row); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("%s: reading %s: %w", q.server.Address, what, err)
	}
	return nil
}

func (f *facts) askVariables(q *asker) error {
	return q.each("its settings", "SHOW GLOBAL VARIABLES", nil, func(row []string) error {
		f.variables[strings.ToLower(row[0])] = row[1]
		return nil
	})
}

// askClock measures a few times and keeps what the quickest answer said.
func (f *facts) askClock(q *asker) error {
	const times = 3
	for n := range times {
		ahead, roundTrip, err := q.server.Clock(q.ctx)
		if err != nil {
			return err
		}
		if n == 0 || roundTrip < f.roundTrip {
			f.ahead, f.roundTrip = ahead, roundTrip
		}
	}
	return nil
}

func (f *facts) askAccount(q *asker) error {
	err := q.each("our account", "SELECT CURRENT_USER(), @@SESSION.sql_log_bin", nil, func(row []string) error {
		f.account, f.sqlLogBin = row[0], row[1] == "1"
		return nil
	})
	if err != nil {
		return err
	}
	f.grants.literal = f.on("partial_revokes")
	f.grants.foldCase = !f.is("lower_case_table_names", "0")
	return q.each("our privileges", "SHOW GRANTS", nil, func(row []string) error {
		f.grants.add(row[0])
		return nil
	})
}

func (f *facts) askBinlog(q *asker) error {
	query := "SHOW MASTER STATUS"
	if !f.mariadb && q.server.AtLeast(8, 2, 0) {
		query = "SHOW BINARY LOG STATUS" // MySQL 8.4 has dropped the old spelling
	}
	err := q.named("the state of its binlog", query, nil, func(columns, row []string) error {
		for i, c := range columns {
			switch c {
			case "binlog_do_db":
				f.binlogDo = row[i]
			case "binlog_ignore_db":
				f.binlogIgnore = row[i]
			}
		}
		return nil
	})
	if denied(err) {
		return nil // checkPrivileges says so
	}
	return err
}

// askUpstream finds out what the server itself replicates from.
func (f *facts) askUpstream(q *asker) error {
	query := "SHOW REPLICA STATUS"
	switch {
	case f.mariadb:
		query = "SHOW ALL SLAVES STATUS"
	case !q.server.AtLeast(8, 0, 22):
		query = "SHOW SLAVE STATUS"
	}
	err := q.named("the servers that it replicates from", query, nil, func(columns, row []string) error {
		host, port := "", ""
		for i, c := range columns {
			switch c {
			case "source_host", "master_host":
				host = row[i]
			case "source_port", "master_port":
				port = row[i]
			case "replicate_do_db", "replicate_ignore_db", "replicate_do_table", "replicate_ignore_table",
				"replicate_wild_do_table", "replicate_wild_ignore_table":
				if row[i] != "" {
					f.filters = append(f.filters, c+"="+row[i])
				}
			}
		}
		f.upstream = append(f.upstream, host+":"+port)
		return nil
	})
	if denied(err) {
		return nil // MariaDB wants REPLICA MONITOR for this, which Meridian does not need for anything else
	}
	f.upstreamKnown = err == nil
	return err
}

// denied tells whether the server refused a question for want of a privilege.
func denied(err error) bool {
	var refused *mysql.MySQLError
	const specificAccessDenied, tableAccessDenied, databaseAccessDenied = 1227, 1142, 1044
	return errors.As(err, &refused) &&
		(refused.Number == specificAccessDenied || refused.Number == tableAccessDenied || refused.Number == databaseAccessDenied)
}

// number reads a variable that is a whole number.
func (f *facts) number(name string) (int64, bool) {
	n, err := strconv.ParseInt(f.variables[name], 10, 64)
	return n, err == nil
}
