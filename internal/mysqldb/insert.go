package mysqldb

import "meridian/internal/row"

// The statements that put rows where there are none.

// InsertRows appends INSERT INTO … VALUES (…),(…) for the first n images. A row whose key is there already fails the
// statement (see DuplicateKey). RowsAffected is n.
func (m *Mapping) InsertRows(dst []byte, images [][]row.Value) (sql []byte, n int, err error) {
	return m.insert(dst, images, "")
}

// UpsertRows appends INSERT … ON DUPLICATE KEY UPDATE for the first n images: rows that are not there are inserted, the
// others set. It matches rows by any unique key: use it only on tables without a secondary one. RowsAffected counts 1 for
// a row that was inserted or was the same already, 2 for one that was changed.
func (m *Mapping) UpsertRows(dst []byte, images [][]row.Value) (sql []byte, n int, err error) {
	set := []byte(" ON DUPLICATE KEY UPDATE ")
	first := true
	for i := range m.columns {
		c := &m.columns[i]
		if c.key && !c.again {
			continue
		}
		if !first {
			set = append(set, ',')
		}
		first = false
		set = append(append(append(append(set, c.quoted...), "=VALUES("...), c.quoted...), ')')
	}
	return m.insert(dst, images, string(set))
}

func (m *Mapping) insert(dst []byte, images [][]row.Value, suffix string) ([]byte, int, error) {
	s := m.begin(dst, images)
	if s.lax {
		s.sql = m.appendLax(s.sql, "INSERT")
	} else {
		s.sql = append(s.sql, "INSERT"...)
	}
	s.sql = append(append(append(s.sql, " INTO "...), m.name...), " ("...)
	for i := range m.columns {
		if i > 0 {
			s.sql = append(s.sql, ',')
		}
		s.sql = append(s.sql, m.columns[i].quoted...)
	}
	s.sql = append(s.sql, ") VALUES "...)
	s.room -= len(suffix)
	for _, image := range images {
		if m.isLax(image) != s.lax {
			break
		}
		mark := len(s.sql)
		if s.rows > 0 {
			s.sql = append(s.sql, ',')
		}
		s.sql = append(s.sql, '(')
		for i := range m.columns {
			if i > 0 {
				s.sql = append(s.sql, ',')
			}
			if err := s.literal(image, &m.columns[i]); err != nil {
				return dst, 0, err
			}
		}
		s.sql = append(s.sql, ')')
		if !s.fits(mark) {
			break
		}
	}
	return append(s.sql, suffix...), s.rows, nil
}

// statement is one that is being written.
type statement struct {
	m     *Mapping
	sql   []byte
	start int // where it begins in sql
	room  int // bytes it may have
	rows  int
	lax   bool
	wide  []bool // by position in an image: see findWide
}

// begin starts a statement for images, of which there is at least one.
func (m *Mapping) begin(dst []byte, images [][]row.Value) statement {
	return statement{m: m, sql: dst, start: len(dst), room: m.maxBytes, lax: len(images) > 0 && m.isLax(images[0])}
}

// literal writes a column's value.
func (s *statement) literal(image []row.Value, c *mappedColumn) error {
	if c.at >= len(image) {
		return s.m.shortImage(image)
	}
	var err error
	if s.sql, err = AppendLiteral(s.sql, image[c.at], c.source); err != nil {
		return s.m.literalFailed(err)
	}
	return nil
}

// fits counts the row that was written behind mark, or takes it back when the statement became too long. It is false when
// no more rows are wanted.
func (s *statement) fits(mark int) bool {
	if s.rows > 0 && len(s.sql)-s.start > s.room {
		s.sql = s.sql[:mark]
		return false
	}
	s.rows++
	return s.rows < s.m.maxRows
}
