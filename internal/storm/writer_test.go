package storm_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// writer is one client of one region's database. It keeps no connection through an error, and knows of each of its
// transactions what it wrote and whether it was committed.
type writer struct {
	region string
	number int
	db     *sql.DB // of one connection
	tables []*table
	rand   *rand.Rand
	pace   time.Duration // of one transaction

	done []*transaction
	late []*transaction // their outcome is unknown, and may even be still open
}

// run writes until the context ends.
func (w *writer) run(ctx context.Context) {
	tick := time.NewTicker(w.pace)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		w.transact(context.WithoutCancel(ctx), n)
	}
}

// transact tries one transaction. One that was not even begun leaves no trace.
func (w *writer) transact(ctx context.Context, n int) {
	isolation := sql.LevelDefault
	if w.rand.IntN(3) == 0 {
		isolation = sql.LevelReadCommitted
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tx, err := w.db.BeginTx(ctx, &sql.TxOptions{Isolation: isolation})
	if err != nil {
		return
	}
	for _, t := range w.late { // the server that they were lost with is gone, or has let go of them
		t.After = time.Now()
	}
	w.late = nil
	t := &transaction{Token: fmt.Sprintf("%s-%d-%d", w.region, w.number, n), Region: w.region, Outcome: rolledBack}
	w.done = append(w.done, t)
	s := &session{ctx: ctx, tx: tx, t: t, w: w}
	if err = s.fill(); err != nil {
		t.Error = err.Error()
		_ = tx.Rollback()
		return
	}
	if w.rand.IntN(12) == 0 {
		_ = tx.Rollback()
		return
	}
	t.Before = time.Now()
	err = tx.Commit()
	t.After = time.Now()
	if err != nil {
		t.Outcome, t.Error = unknown, err.Error()
		w.late = append(w.late, t)
		return
	}
	t.Outcome = committed
}

// session is one transaction on its way.
type session struct {
	ctx   context.Context
	tx    *sql.Tx
	t     *transaction
	w     *writer
	count int // of statements
}

func (s *session) fill() error {
	r := s.w.rand
	early := r.IntN(2) == 0
	if early {
		if err := s.journal(); err != nil {
			return err
		}
	}
	steps := 1
	if r.IntN(3) == 0 {
		steps = 2 + r.IntN(5)
	}
	if r.IntN(50) == 0 {
		steps = 40
	}
	for range steps {
		if err := s.step(); err != nil {
			return err
		}
	}
	if !early {
		return s.journal()
	}
	return nil
}

func (s *session) journal() error {
	_, err := s.tx.ExecContext(s.ctx, "INSERT INTO storm_journal.journal VALUES ('"+s.t.Token+"')")
	return err
}

func (s *session) token() string {
	s.count++
	return fmt.Sprintf("%s-%d", s.t.Token, s.count)
}

// key picks a row: mostly one of those that are fought over.
func (s *session) key(t *table) []string {
	r := s.w.rand
	n := r.IntN(t.hot)
	if r.IntN(3) == 0 {
		n = t.hot + r.IntN(t.cold)
	}
	return t.spell(r, n)
}

// exec runs a statement; refused tells that it violated a unique key and had no effect.
func (s *session) exec(query string) (affected int64, refused bool, err error) {
	result, err := s.tx.ExecContext(s.ctx, query)
	var e *mysql.MySQLError
	if errors.As(err, &e) && e.Number == 1062 {
		return 0, true, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("%s: %w", query, err)
	}
	affected, err = result.RowsAffected()
	return affected, false, err
}

func (s *session) wrote(t *table, key []string, token string, changes int) {
	s.t.Writes = append(s.t.Writes, write{Table: t.name, Row: t.identity(texts(key)), Key: texts(key), Token: token})
	s.t.Changes += changes
}

func (s *session) deleted(t *table, key []string) {
	s.t.Writes = append(s.t.Writes, write{Table: t.name, Row: t.identity(texts(key))})
	s.t.Changes++
}

// step does one of the things that clients do.
func (s *session) step() error {
	t := s.w.tables[s.w.rand.IntN(len(s.w.tables))]
	key := s.key(t)
	switch n := s.w.rand.IntN(100); {
	case n < 45:
		return s.put(t, key)
	case n < 60:
		return s.remove(t, key)
	case n < 70:
		return s.move(t, key)
	case n < 80:
		return s.overwrite(t, key)
	case n < 90:
		return s.several(t)
	default:
		return s.takeBack(t, key)
	}
}

// put updates the row, or inserts it. A statement that spells the key anew changes the spelling, not the row.
func (s *session) put(t *table, key []string) error {
	token := s.token()
	n, refused, err := s.exec("UPDATE " + t.name + " SET " + strings.Join(append(t.setKey(key), t.assignments(token)...), ", ") + " WHERE " + t.where(key))
	if err != nil || refused {
		return err
	}
	if n == 0 {
		n, refused, err = s.exec(t.insert("INSERT", key, token))
		if err != nil || refused {
			return err
		}
	}
	if n == 1 {
		s.wrote(t, key, token, 1)
	}
	return nil
}

func (s *session) remove(t *table, key []string) error {
	n, _, err := s.exec("DELETE FROM " + t.name + " WHERE " + t.where(key))
	if err == nil && n == 1 {
		s.deleted(t, key)
	}
	return err
}

// move gives a row another key: a delete and an insert.
func (s *session) move(t *table, from []string) error {
	to, token := s.key(t), s.token()
	n, refused, err := s.exec("UPDATE " + t.name + " SET " + strings.Join(append(t.setKey(to), t.assignments(token)...), ", ") + " WHERE " + t.where(from))
	if err != nil || refused || n == 0 {
		return err
	}
	if t.identity(texts(from)) == t.identity(texts(to)) {
		s.wrote(t, to, token, 1)
		return nil
	}
	s.deleted(t, from)
	s.wrote(t, to, token, 1)
	return nil
}

// overwrite uses the statements that insert or update. REPLACE is for tables without a second unique key only: there it
// is known to leave one row event.
func (s *session) overwrite(t *table, key []string) error {
	token := s.token()
	query := t.insert("INSERT", key, token) + " ON DUPLICATE KEY UPDATE " + strings.Join(append(t.setKey(key), t.assignments(token)...), ", ")
	if s.w.rand.IntN(2) == 0 {
		query = t.insert("REPLACE", key, token)
	}
	if t.name == "uniq" {
		query = t.insert("INSERT IGNORE", key, token)
	}
	n, _, err := s.exec(query)
	if err == nil && n > 0 {
		s.wrote(t, key, token, 1)
	}
	return err
}

// several updates or deletes some rows by one statement; they share a token.
func (s *session) several(t *table) error {
	keys, list := map[string][]string{}, []string(nil)
	for range 2 + s.w.rand.IntN(3) {
		key := s.key(t)
		row := t.identity(texts(key))
		if keys[row] == nil {
			keys[row] = key
			list = append(list, "("+t.where(key)+")")
		}
	}
	where := " WHERE " + strings.Join(list, " OR ")
	there, err := s.find(t, where)
	if err != nil || len(there) == 0 {
		return err
	}
	where = " WHERE " + t.anyOf(there) // others may have appeared meanwhile
	if s.w.rand.IntN(3) == 0 {
		_, _, err = s.exec("DELETE FROM " + t.name + where)
		for _, key := range there {
			s.deleted(t, key)
		}
		return err
	}
	token := s.token()
	_, refused, err := s.exec("UPDATE " + t.name + " SET " + strings.Join(t.assignments(token), ", ") + where)
	if err != nil || refused {
		return err
	}
	for _, key := range there {
		s.wrote(t, key, token, 1)
	}
	return nil
}

// find locks rows and gives their keys as they are spelled.
func (s *session) find(t *table, where string) (keys [][]string, err error) {
	rows, err := s.tx.QueryContext(s.ctx, "SELECT "+strings.Join(t.key, ", ")+" FROM "+t.name+where+" FOR UPDATE")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		key, into := make([]string, len(t.key)), make([]any, len(t.key))
		for i := range into {
			into[i] = &key[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, rows.Err()
}

// takeBack writes, goes back to a savepoint, and writes something else.
func (s *session) takeBack(t *table, key []string) error {
	if _, err := s.tx.ExecContext(s.ctx, "SAVEPOINT here"); err != nil {
		return err
	}
	writes, changes := len(s.t.Writes), s.t.Changes
	if err := s.put(t, key); err != nil {
		return err
	}
	if _, err := s.tx.ExecContext(s.ctx, "ROLLBACK TO SAVEPOINT here"); err != nil {
		return err
	}
	s.t.Writes, s.t.Changes = s.t.Writes[:writes], changes
	return s.remove(t, s.key(t))
}
