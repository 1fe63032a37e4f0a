package propagate

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"time"

	"go.uber.org/zap"

	"meridian/internal/mysqldb"
	"meridian/internal/row"
)

// mysqlTransaction is one apply transaction on MySQL or MariaDB, on a connection of its own.
//
// Statements wait in the packet until an answer is needed. In most transactions that is once: its beginning, the provenance,
// the rows and the question for the coordinates are one round trip, COMMIT is the other. What a statement matched, and which
// one failed, is known as if each had been sent alone; those behind it may have run, until it is rolled back.
//
// Invariant: a connection goes back to the pool only when the server has answered its COMMIT or ROLLBACK. Any other is closed.
type mysqlTransaction struct {
	target   *MySQLTarget
	conn     *sql.Conn
	lockGaps bool
	packet   *mysqldb.Packet
	plan     *Plan
	ended    ended
}

// Begin implements Target. Nothing is sent yet.
func (t *MySQLTarget) Begin(ctx context.Context, lockGaps bool) (Transaction, error) {
	conn, err := t.server.DB.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &mysqlTransaction{target: t, conn: conn, lockGaps: lockGaps, packet: t.server.Packet()}, nil
}

// Run implements Transaction.
func (x *mysqlTransaction) Run(ctx context.Context, p *Plan) (at mysqldb.Coordinates, err error) {
	x.plan = p
	if t := x.target.cfg.StatementTimeout; t > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t)
		defer cancel()
	}
	if err = x.begin(p); err != nil {
		return at, err
	}
	if err = x.keepLosers(ctx, p); err != nil {
		return at, err
	}
	if err = x.keepHere(ctx, p); err != nil {
		return at, err
	}
	if err = x.write(ctx, p); err != nil {
		return at, err
	}
	if err = x.park(ctx, p); err != nil {
		return at, err
	}
	// Behind the last statement that locks a row: whatever was committed to these rows before lies before the answer.
	x.packet.Coordinates(x.target.server, &at)
	return at, x.send(ctx)
}

// begin begins the transaction with its provenance: the first statement, so that its row event is the first; the tailer knows
// the transaction by it. It must match exactly one row: ours, where we left it. READ COMMITTED is the session's isolation; a
// delete of a row that is not there locks its key (a gap lock) only under REPEATABLE READ.
func (x *mysqlTransaction) begin(p *Plan) error {
	if x.lockGaps {
		x.packet.Do("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
	}
	x.packet.Do("START TRANSACTION")
	statement, err := advance(p)
	if err != nil {
		return err
	}
	x.packet.Exec(statement, func(n int64) error {
		if n != 1 {
			return errNotAdvanced
		}
		return nil
	}, failing("writing the provenance"))
	return nil
}

// advance is the statement that moves the provenance row.
func advance(p *Plan) ([]byte, error) {
	c := &p.Counts
	b := []byte("UPDATE `meridian`.`provenance` SET `next_offset`=")
	b = strconv.AppendUint(b, p.To, 10)
	for _, f := range []struct {
		set string
		to  uint64
	}{
		{"`last_record`=", p.Last}, {"`source_epoch`=", p.SourceEpoch},
		{"`changes_read`=`changes_read`+", c.Read}, {"`applied`=`applied`+", c.Applied}, {"`duplicate`=`duplicate`+", c.Duplicate},
		{"`lost`=`lost`+", c.Lost}, {"`coalesced`=`coalesced`+", c.Coalesced}, {"`superseded`=`superseded`+", c.Superseded},
		{"`discarded`=`discarded`+", c.Discarded}, {"`rejected`=`rejected`+", c.Rejected},
	} {
		b = strconv.AppendUint(append(append(b, ','), f.set...), f.to, 10)
	}
	b, err := appendBytes(append(b, ",`batch`="...), row.Binary, AppendBatch(nil, p.Written))
	if err != nil {
		return nil, err
	}
	if b, err = appendBytes(append(b, " WHERE `source`="...), row.Text, []byte(p.Source)); err != nil {
		return nil, err
	}
	b = strconv.AppendInt(append(b, " AND `shard`="...), int64(p.Shard), 10)
	b = strconv.AppendUint(append(b, " AND `next_offset`="...), p.From, 10)
	return strconv.AppendUint(append(b, " AND `epoch`="...), p.Epoch, 10), nil
}

func appendBytes(dst []byte, kind row.Kind, value []byte) ([]byte, error) {
	return mysqldb.AppendLiteral(dst, row.BytesValue(kind, value), &row.Column{Name: TableProvenance})
}

// failing says what was done when a statement failed.
func failing(doing string) func(error) error {
	return func(err error) error { return fmt.Errorf("%s: %w", doing, err) }
}

// errNotAdvanced is the provenance row's that did not match; send says why.
var errNotAdvanced = errors.New("the provenance row was not as it was left")

// send sends what waits in the packet.
func (x *mysqlTransaction) send(ctx context.Context) error {
	err := x.packet.Run(ctx, x.conn)
	if errors.Is(err, errNotAdvanced) {
		return x.notAdvanced(ctx)
	}
	return err
}

// makeRoom sends what waits in the packet where a further statement would not fit.
func (x *mysqlTransaction) makeRoom(ctx context.Context, bytes int) error {
	if x.packet.Fits(bytes) {
		return nil
	}
	return x.send(ctx)
}

// notAdvanced says why the provenance row did not match.
func (x *mysqlTransaction) notAdvanced(ctx context.Context) error {
	p := x.plan
	st, err := readState(ctx, x.conn, p.Source, p.Shard, " FOR UPDATE")
	switch {
	case err != nil:
		return err
	case st.Epoch != p.Epoch:
		return fmt.Errorf("%w: epoch %d, ours is %d", ErrFenced, st.Epoch, p.Epoch)
	default:
		return fmt.Errorf("%w: %d, this process committed %d last", ErrMoved, st.Next, p.From)
	}
}

// commitTime is how long the answer to a COMMIT is waited for: on a line that has gone silent none comes, and the connection would not
// break for a quarter of an hour.
const commitTime = 30 * time.Second

// Commit implements Transaction. It is not broken off: what has been validated may as well be committed, and a COMMIT without
// an answer is more to find out.
func (x *mysqlTransaction) Commit(ctx context.Context) error {
	// Before they are there: between the two a tombstone could go that they need, and a COMMIT without an answer may have
	// been one.
	x.target.remember(x.plan.Parks)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTime)
	defer cancel()
	_, err := x.conn.ExecContext(ctx, "COMMIT")
	x.giveBack(err)
	if err == nil {
		if x.plan.Unpark != 0 {
			x.target.forget(x.plan.Unpark)
		}
		x.target.forgetEnded(x.ended)
		return nil
	}
	if mysqldb.Lost(err) || ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	return fmt.Errorf("committing an apply transaction: %w", err)
}

// rollbackTime is how long the answer to a ROLLBACK is waited for. The server rolls back as well when the connection ends.
const rollbackTime = time.Second

// Rollback implements Transaction.
func (x *mysqlTransaction) Rollback(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTime)
	defer cancel()
	_, err := x.conn.ExecContext(ctx, "ROLLBACK")
	x.giveBack(err)
	if err != nil {
		x.target.cfg.Log.Debug("rolling back an apply transaction", zap.Error(err))
	}
}

// giveBack returns the connection to the pool, or closes it when the transaction's end was not answered well.
func (x *mysqlTransaction) giveBack(ended error) {
	if ended != nil {
		_ = x.conn.Raw(func(any) error { return driver.ErrBadConn }) // its error is this one, or that it is closed already
	}
	_ = x.conn.Close() // that it is closed already
}
