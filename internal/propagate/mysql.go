package propagate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"meridian/internal/mysqldb"
)

// MySQLTarget is a MySQL or MariaDB database as the applier uses it.
type MySQLTarget struct {
	cfg    MySQLTargetConfig
	server *mysqldb.Server // the applier's own connections
	schema *mysqldb.Schema

	mu   sync.Mutex
	held map[Place]int    // how many parked changes a row has; see Holds
	ids  map[uint64]Place // of those that were there at the start
}

// MySQLTargetConfig says which database it is.
type MySQLTargetConfig struct {
	MySQL mysqldb.Config
	// StatementTimeout bounds what a transaction does between BEGIN and the fence; zero: nothing does.
	StatementTimeout time.Duration
	// KeepConflicts keeps what loses a conflict in meridian.conflicts.
	KeepConflicts bool
	Log           *zap.Logger
}

// NewMySQLTarget connects, and makes the state schema where it is not there yet.
func NewMySQLTarget(ctx context.Context, cfg MySQLTargetConfig) (*MySQLTarget, error) {
	cfg.MySQL.Packets = true
	server, err := mysqldb.Open(ctx, cfg.MySQL)
	if err != nil {
		return nil, err
	}
	t := &MySQLTarget{cfg: cfg, server: server, schema: mysqldb.NewSchema(server)}
	if err := errors.Join(t.makeState(ctx), t.loadHeld(ctx)); err != nil {
		return nil, errors.Join(err, server.Close())
	}
	return t, nil
}

// MaxPacket is how many bytes the server takes in one statement.
func (t *MySQLTarget) MaxPacket() int { return t.server.MaxPacket() }

// Close closes the connections.
func (t *MySQLTarget) Close() error { return t.server.Close() }

// Schema gives the definitions of the tables, as remembered until Forget.
func (t *MySQLTarget) Schema() *mysqldb.Schema { return t.schema }

// Forget drops what is remembered of a table's definition, after DDL.
func (t *MySQLTarget) Forget(schema, table string) { t.schema.Forget(schema, table) }

// makeState creates what is missing of the state schema; a user without the right to create finds it made already.
func (t *MySQLTarget) makeState(ctx context.Context) error {
	var n int
	err := t.server.DB.QueryRowContext(ctx, "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = ? AND table_name IN (?, ?, ?, ?)",
		StateDatabase, TableProvenance, TableOwner, TableParked, TableConflicts).Scan(&n)
	if err != nil {
		return fmt.Errorf("looking for Meridian's tables: %w", err)
	}
	if n == 4 {
		return t.checkState(ctx)
	}
	for _, statement := range StateSchema() {
		if _, err := t.server.DB.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("making Meridian's tables (run `syncer schema` and let an administrator execute what it prints): %w", err)
		}
	}
	return nil
}

// checkState tells when the tables were made by a version of Meridian that did not know all of their columns: statements
// would fail for ever then, each at its own time.
func (t *MySQLTarget) checkState(ctx context.Context) (err error) {
	rows, err := t.server.DB.QueryContext(ctx, "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = ?", StateDatabase)
	if err != nil {
		return fmt.Errorf("looking at Meridian's tables: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	found := map[string][]string{}
	for rows.Next() {
		var table, column string
		if err := rows.Scan(&table, &column); err != nil {
			return fmt.Errorf("looking at Meridian's tables: %w", err)
		}
		found[table] = append(found[table], column)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("looking at Meridian's tables: %w", err)
	}
	for table, columns := range stateColumns() {
		for _, column := range columns {
			if !slices.Contains(found[table], column) {
				return fmt.Errorf("the table %s.%s has no column %s: another version of Meridian made it; nothing was read or written, alter it to be as `syncer schema` prints it",
					StateDatabase, table, column)
			}
		}
	}
	return nil
}

// Coordinates implements Target.
func (t *MySQLTarget) Coordinates(ctx context.Context) (mysqldb.Coordinates, error) {
	return t.server.Coordinates(ctx, t.server.DB)
}
