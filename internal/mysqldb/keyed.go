package mysqldb

import (
	"fmt"
	"math"

	"meridian/internal/row"
)

// The statements that find rows by their key. All of them join the table to a list of rows,
//
//	(SELECT 1 k0,'a' c1 UNION ALL SELECT 2,'b') v STRAIGHT_JOIN t FORCE INDEX (PRIMARY) ON t.id=v.k0
//
// because that is what makes both servers look up each key in the primary key, in the list's order, whatever the size of
// the table and the type of the key. DELETE … WHERE id IN (…) scans a small table on MySQL, FORCE INDEX or not, and the
// same as a locking read would lock every row and every gap of it.

// UpdateRows appends an UPDATE that sets the first n images' columns in the rows with their keys, the keys' text as the
// image spells it included. RowsAffected is the number of rows that were there, changed or not.
func (m *Mapping) UpdateRows(dst []byte, images [][]row.Value) (sql []byte, n int, err error) {
	if len(images) > 0 && m.isSpecial(images[0], m.columns) {
		return m.updateRow(dst, images[0])
	}
	s := m.begin(dst, images)
	s.sql = append(append(s.sql, "UPDATE "...), m.hint...)
	if err := s.list(images, m.columns); err != nil {
		return dst, 0, err
	}
	s.sql = append(append(append(s.sql, " STRAIGHT_JOIN "...), m.name...), " t FORCE INDEX (PRIMARY) ON "...)
	s.matches()
	s.sql = append(s.sql, " SET "...)
	first := true
	for i := range m.columns {
		c := &m.columns[i]
		if c.key && !c.again {
			continue
		}
		if !first {
			s.sql = append(s.sql, ',')
		}
		first = false
		s.sql = append(append(append(append(s.sql, "t."...), c.quoted...), "=v."...), c.alias...)
	}
	return s.sql, s.rows, nil
}

// DeleteRows appends a DELETE of the rows that have the first n images' keys. RowsAffected is the number of rows that were
// there.
func (m *Mapping) DeleteRows(dst []byte, images [][]row.Value) (sql []byte, n int, err error) {
	if len(images) > 0 && m.isSpecial(images[0], m.keys) {
		return m.byKey(append(append(append(dst, "DELETE FROM "...), m.name...), " WHERE "...), images[0])
	}
	s := m.begin(dst, images)
	// By its full name: in a DELETE an alias is looked for in the default database, and there is none.
	s.sql = append(append(append(append(s.sql, "DELETE "...), m.hint...), m.name...), " FROM "...)
	if err := s.list(images, nil); err != nil {
		return dst, 0, err
	}
	s.sql = append(append(append(s.sql, " STRAIGHT_JOIN "...), m.name...), " FORCE INDEX (PRIMARY) ON "...)
	for i := range m.keys {
		if i > 0 {
			s.sql = append(s.sql, " AND "...)
		}
		s.sql = append(s.sql, m.keys[i].named...)
	}
	return s.sql, s.rows, nil
}

// LockRows appends a SELECT … FOR UPDATE of the primary keys of the rows that have the first n images' keys (columns: see
// QueryRows, with the target's PrimaryKey). In a REPEATABLE READ transaction the gaps where keys are missing are locked too.
func (m *Mapping) LockRows(dst []byte, images [][]row.Value) (sql []byte, n int, err error) {
	return m.selectRows(dst, images, m.target.PrimaryKey, " FOR UPDATE")
}

// ReadRows is LockRows for all of the target's columns, in their order, and, unless lock is set, without locks.
func (m *Mapping) ReadRows(dst []byte, images [][]row.Value, lock bool) (sql []byte, n int, err error) {
	all := make([]int, len(m.target.Columns))
	for i := range all {
		all[i] = i
	}
	if lock {
		return m.selectRows(dst, images, all, " FOR UPDATE")
	}
	return m.selectRows(dst, images, all, "")
}

// ReadShared is ReadRows with shared locks: it waits for whoever has written the rows and not committed, as a FOR UPDATE does, and
// a server that is read-only allows it.
func (m *Mapping) ReadShared(dst []byte, images [][]row.Value) (sql []byte, n int, err error) {
	all := make([]int, len(m.target.Columns))
	for i := range all {
		all[i] = i
	}
	return m.selectRows(dst, images, all, " LOCK IN SHARE MODE")
}

func (m *Mapping) selectRows(dst []byte, images [][]row.Value, columns []int, suffix string) ([]byte, int, error) {
	s := m.begin(dst, images)
	s.sql = AppendSelectList(append(append(s.sql, "SELECT "...), m.hint...), m.target.Table, columns, "t.")
	s.sql = append(s.sql, " FROM "...)
	if len(images) > 0 && m.isSpecial(images[0], m.keys) {
		sql, n, err := m.byKey(append(append(s.sql, m.name...), " t WHERE "...), images[0])
		if err != nil {
			return dst, 0, err
		}
		return append(sql, suffix...), n, nil
	}
	if err := s.list(images, nil); err != nil {
		return dst, 0, err
	}
	s.sql = append(append(append(s.sql, " STRAIGHT_JOIN "...), m.name...), " t FORCE INDEX (PRIMARY) ON "...)
	s.matches()
	return append(s.sql, suffix...), s.rows, nil
}

// list writes the derived table v: the keys, and columns that are no part of them.
func (s *statement) list(images [][]row.Value, columns []mappedColumn) error {
	s.findWide(images)
	s.sql = append(s.sql, '(')
	for _, image := range images {
		if s.m.isSpecial(image, s.m.keys) || s.m.isSpecial(image, columns) {
			break
		}
		mark := len(s.sql)
		if s.rows == 0 {
			s.sql = append(s.sql, "SELECT "...)
		} else {
			s.sql = append(s.sql, " UNION ALL SELECT "...)
		}
		if err := s.entry(image, columns); err != nil {
			return err
		}
		if !s.fits(mark) {
			break
		}
	}
	s.sql = append(s.sql, ") v"...)
	return nil
}

// entry writes one row of the list; the first one names the columns.
func (s *statement) entry(image []row.Value, columns []mappedColumn) error {
	for i := range s.m.keys {
		if err := s.item(image, &s.m.keys[i], i > 0); err != nil {
			return err
		}
	}
	for i := range columns {
		if columns[i].key {
			continue
		}
		if err := s.item(image, &columns[i], true); err != nil {
			return err
		}
	}
	return nil
}

func (s *statement) item(image []row.Value, c *mappedColumn, comma bool) error {
	if comma {
		s.sql = append(s.sql, ',')
	}
	cast := s.wide != nil && c.at < len(image) && s.wide[c.at] && !image[c.at].IsNull()
	if cast {
		s.sql = append(s.sql, "CAST("...)
	}
	if err := s.literal(image, c); err != nil {
		return err
	}
	if cast {
		s.sql = append(s.sql, " AS UNSIGNED)"...)
	}
	if s.rows == 0 {
		s.sql = append(append(s.sql, ' '), c.alias...)
	}
	return nil
}

// findWide looks for columns with an unsigned integer beyond the signed ones. In a list with smaller integers, which count
// as signed, it would make the column a DECIMAL, of which MySQL 8.0 gets the size wrong: all of them are cast.
func (s *statement) findWide(images [][]row.Value) {
	for at := range s.m.source.Columns {
		if t := s.m.source.Columns[at].Type; t != row.TypeUint && t != row.TypeBit {
			continue
		}
		for _, image := range images[:min(len(images), s.m.maxRows)] {
			if at < len(image) && image[at].Num > math.MaxInt64 {
				if s.wide == nil {
					s.wide = make([]bool, len(s.m.source.Columns))
				}
				s.wide[at] = true
				break
			}
		}
	}
}

func (s *statement) matches() {
	for i := range s.m.keys {
		if i > 0 {
			s.sql = append(s.sql, " AND "...)
		}
		s.sql = append(s.sql, s.m.keys[i].match...)
	}
}

// updateRow writes the UPDATE of a single row whose values cannot stand in a list: see isSpecial.
func (m *Mapping) updateRow(dst []byte, image []row.Value) ([]byte, int, error) {
	s := m.begin(dst, [][]row.Value{image})
	if s.lax {
		s.sql = m.appendLax(s.sql, "UPDATE")
	} else {
		s.sql = append(s.sql, "UPDATE"...)
	}
	s.sql = append(append(append(s.sql, ' '), m.name...), " SET "...)
	first := true
	for i := range m.columns {
		c := &m.columns[i]
		if c.key && !c.again {
			continue
		}
		if !first {
			s.sql = append(s.sql, ',')
		}
		first = false
		s.sql = append(append(s.sql, c.quoted...), '=')
		if err := s.literal(image, c); err != nil {
			return dst, 0, err
		}
	}
	return m.byKey(append(s.sql, " WHERE "...), image)
}

// byKey writes the condition that finds a single row by its key; all of the key with constants is a lookup on both servers.
func (m *Mapping) byKey(dst []byte, image []row.Value) ([]byte, int, error) {
	s := statement{m: m, sql: dst}
	for i := range m.keys {
		if i > 0 {
			s.sql = append(s.sql, " AND "...)
		}
		s.sql = append(append(s.sql, m.keys[i].quoted...), '=')
		if err := s.literal(image, &m.keys[i]); err != nil {
			return dst, 0, err
		}
	}
	return s.sql, 1, nil
}

// isSpecial tells whether a row has to have a statement of its own. A list brings all values of a column to one type: text
// that is moved byte for byte would be converted to UTF-8 in it, an ENUM's 0 would become a label. And a NULL for a NOT NULL
// column, which is to be refused, becomes 0 or ” in MariaDB's UPDATE of joined tables, however strict the session is.
func (m *Mapping) isSpecial(image []row.Value, columns []mappedColumn) bool {
	for i := range columns {
		c := &columns[i]
		if c.at >= len(image) {
			continue
		}
		switch image[c.at].Kind {
		case row.RawText, row.EnumZero:
			return true
		case row.Null:
			if c.must {
				return true
			}
		default:
		}
	}
	return false
}

// isLax tells whether a row can only be written in a session that is not strict: one with an ENUM's 0.
func (m *Mapping) isLax(image []row.Value) bool {
	for i := range m.columns {
		if at := m.columns[i].at; at < len(image) && image[at].Kind == row.EnumZero {
			return true
		}
	}
	return false
}

// appendLax begins a statement that is not strict, for which each flavor has a way of its own. What such a statement may
// silently alter shows as a digest that is not the change's.
func (m *Mapping) appendLax(dst []byte, verb string) []byte {
	if m.flavor == MariaDB {
		return append(append(dst, "SET STATEMENT sql_mode='"+laxSQLMode+"' FOR "...), verb...)
	}
	return append(append(dst, verb...), " /*+ SET_VAR(sql_mode='"+laxSQLMode+"') */"...)
}

func (m *Mapping) shortImage(image []row.Value) error {
	return fmt.Errorf("table %s: %w", m.target, &LiteralError{Column: m.source.Columns[len(image)].Name, Why: "the row image ends before it"})
}

func (m *Mapping) literalFailed(err error) error { return fmt.Errorf("table %s: %w", m.target, err) }
