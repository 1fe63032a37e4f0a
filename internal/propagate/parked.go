package propagate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"meridian/internal/row"
)

// park puts what is set aside beside the rows, in the transaction that moves the offset past it.
func (x *mysqlTransaction) park(ctx context.Context, p *Plan) error {
	x.ended = ended{}
	if len(p.Parks) == 0 && p.Unpark == 0 && len(p.Ends) == 0 {
		return nil
	}
	if err := x.send(ctx); err != nil { // these are rare, and go one by one
		return err
	}
	if p.Unpark != 0 { // first: it may be to wait at the same place for another reason now
		if err := x.unpark(ctx, p.Unpark); err != nil {
			return err
		}
	}
	for i := range p.Parks {
		p.Parks[i] = *p.Parks[i].within(x.target.server.MaxPacket())
		if err := insertParked(ctx, x.conn, p.Source, p.Shard, &p.Parks[i]); err != nil {
			return err
		}
	}
	if len(p.Ends) == 0 {
		return nil
	}
	var err error
	x.ended, err = endReviews(ctx, x.conn, p.Shard, p.Ends)
	p.Ended = x.ended.bySource
	return err
}

// unpark ends a parked change. It must be there: the place in the topic does not move with it, so nothing else tells that
// it has ended already, and it would be counted twice.
func (x *mysqlTransaction) unpark(ctx context.Context, id uint64) error {
	r, err := x.conn.ExecContext(ctx, "DELETE FROM `meridian`.`parked` WHERE `id` = ?", id)
	if err != nil {
		return fmt.Errorf("ending a parked change: %w", err)
	}
	n, err := r.RowsAffected()
	if err != nil {
		return fmt.Errorf("ending a parked change: %w", err)
	}
	if n != 1 {
		return fmt.Errorf("%w: id %d", ErrNotParked, id)
	}
	return nil
}

// aroundRecord is more than what stands beside a record in the statement that keeps it: the detail, and the rest. The key counts
// by itself.
const aroundRecord = 64 << 10

// within gives the parked change as a server keeps it that takes so many bytes in one statement. What is more cannot be kept at
// all: what names the change is, and where the rest of it is to be had. It then waits for a person.
//
// Invariant: nothing stands in the way of what comes after, however large it is and however little the server takes.
func (p *Park) within(maxPacket int) *Park {
	if len(p.Record)+len(p.local)+2*len(p.Key)+aroundRecord <= maxPacket {
		return p
	}
	kept := *p
	kept.local = nil // the row stands in its table
	if len(p.Record)+2*len(p.Key)+aroundRecord <= maxPacket {
		return &kept
	}
	kept.Record = nil
	if p.State != Rejected && p.State != Review { // a person decides on that in any case
		kept.State = Dead
	}
	where := fmt.Sprintf("it stands in the source's topic at offset %d as long as that keeps it", p.Offset)
	if p.State == Dead { // by TooLarge, the only one that comes so
		where = "it is in no topic; the row is in this region's table unless it was written again"
	}
	kept.Detail = fmt.Sprintf("the record of this change (%d bytes, the row's digest is %016x) is not kept: the server takes no statement of more than %d bytes "+
		"(max_allowed_packet); %s. %s", len(p.Record), p.Digest, maxPacket, where, p.Detail)
	return &kept
}

// record is the record as the table takes it: never NULL.
func (p *Park) record() []byte {
	if p.Record == nil {
		return []byte{}
	}
	return p.Record
}

type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func insertParked(ctx context.Context, e execer, source string, shard int, p *Park) error {
	_, err := e.ExecContext(ctx, "INSERT INTO `meridian`.`parked` (`source`, `shard`, `bus_offset`, `state`, `reason`, `detail`, `table_name`, `row_key`, "+
		"`version_time`, `version_region`, `attempts`, `record`, `local_record`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?)",
		source, shard, p.Offset, string(p.State), p.Reason, clip(p.Detail), p.Table, []byte(p.Key), p.Version.Time, p.Version.Region, p.record(), p.local)
	if err != nil {
		return fmt.Errorf("setting a change aside: %w", err)
	}
	return nil
}

// clip keeps a text within what the parked table holds, and valid.
func clip(s string) string {
	const most = 16 << 10
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8(s, "?")
}

// ParkedCount is how many changes are set aside for one reason.
type ParkedCount struct {
	State  ParkState
	Table  string
	Reason string
	Count  uint64
}

// CountParked counts what is set aside.
func (t *MySQLTarget) CountParked(ctx context.Context) (list []ParkedCount, err error) {
	rows, err := t.server.DB.QueryContext(ctx, "SELECT `state`, `table_name`, `reason`, COUNT(*) FROM `meridian`.`parked` GROUP BY `state`, `table_name`, `reason`")
	if err != nil {
		return nil, fmt.Errorf("counting parked changes: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var c ParkedCount
		var state string
		if err := rows.Scan(&state, &c.Table, &c.Reason, &c.Count); err != nil {
			return nil, fmt.Errorf("counting parked changes: %w", err)
		}
		c.State = ParkState(state)
		list = append(list, c)
	}
	return list, rows.Err()
}

// loadHeld reads which rows have parked changes.
func (t *MySQLTarget) loadHeld(ctx context.Context) (err error) {
	rows, err := t.server.DB.QueryContext(ctx, "SELECT `id`, `table_name`, `row_key` FROM `meridian`.`parked` WHERE `state` <> ?", string(Rejected))
	if err != nil {
		return fmt.Errorf("reading parked changes: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	held := map[uint64]Place{}
	for rows.Next() {
		var id uint64
		var p Place
		var key []byte
		if err := rows.Scan(&id, &p.Table, &key); err != nil {
			return fmt.Errorf("reading parked changes: %w", err)
		}
		p.Key = row.Key(key)
		held[id] = p
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held = map[Place]int{}
	t.ids = held
	for _, p := range held {
		t.held[p]++
	}
	return rows.Err()
}

// remember notes rows that have parked changes now. Until the next start their ids are not known: they are held longer
// than need be, which only keeps a tombstone longer.
func (t *MySQLTarget) remember(parks []Park) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range parks {
		if parks[i].State != Rejected {
			t.held[Place{parks[i].Table, parks[i].Key}]++
		}
	}
}

// forget notes that a parked change has ended.
func (t *MySQLTarget) forget(id uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p, ok := t.ids[id]; ok {
		delete(t.ids, id)
		if t.held[p]--; t.held[p] <= 0 {
			delete(t.held, p)
		}
	}
}

// Holds tells whether a change to the row is parked: its tombstone may then not go, or the change, when it is tried
// again, would bring a deleted row back.
func (t *MySQLTarget) Holds(table string, key row.Key) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.held[Place{table, key}] > 0
}

// Due implements Parking.
func (t *MySQLTarget) Due(ctx context.Context, shard int, before time.Time, most int) (list []ParkedChange, err error) {
	rows, err := t.server.DB.QueryContext(ctx, "SELECT `id`, `source`, `attempts`, `state`, `record` FROM `meridian`.`parked` "+
		"WHERE `shard` = ? AND `state` IN (?, ?) AND `tried_at` <= FROM_UNIXTIME(?) ORDER BY `id` LIMIT ?",
		shard, string(Parked), string(Waiting), fmt.Sprintf("%.6f", float64(before.UnixMicro())/1e6), most)
	if err != nil {
		return nil, fmt.Errorf("reading parked changes: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var c ParkedChange
		var state string
		if err := rows.Scan(&c.ID, &c.Source, &c.Attempts, &state, &c.Record); err != nil {
			return nil, fmt.Errorf("reading parked changes: %w", err)
		}
		c.State = ParkState(state)
		list = append(list, c)
	}
	return list, rows.Err()
}

// Refused implements Parking.
func (t *MySQLTarget) Refused(ctx context.Context, id uint64, state ParkState, attempts int, reason, detail string) error {
	_, err := t.server.DB.ExecContext(ctx, "UPDATE `meridian`.`parked` SET `state` = ?, `attempts` = ?, `reason` = ?, `detail` = ?, "+
		"`tried_at` = CURRENT_TIMESTAMP(6) WHERE `id` = ?", string(state), attempts, reason, clip(detail), id)
	if err != nil {
		return fmt.Errorf("noting that a parked change was refused again: %w", err)
	}
	return nil
}

// IsParked implements Parking.
func (t *MySQLTarget) IsParked(ctx context.Context, id uint64) (bool, error) {
	var n int
	if err := t.server.DB.QueryRowContext(ctx, "SELECT COUNT(*) FROM `meridian`.`parked` WHERE `id` = ?", id).Scan(&n); err != nil {
		return false, fmt.Errorf("looking for a parked change: %w", err)
	}
	if n == 0 {
		t.forget(id) // who ended it may not have lived to note it
	}
	return n > 0, nil
}
