package binlog_test

import (
	"slices"
	"testing"

	"meridian/internal/binlog"
	"meridian/internal/testenv"
)

func TestTailer_GivesTransactionsInOrder(t *testing.T) {
	onEach(t, func(t *testing.T, db *testenv.Database) {
		schema := db.FreshSchema(t)
		f := follow(t, db, schema, options{})
		s := db.Open(schema)
		for _, query := range []string{
			"CREATE TABLE a (id INT PRIMARY KEY, name VARCHAR(20) COLLATE utf8mb4_general_ci UNIQUE)",
			"CREATE TABLE skip_b (id INT PRIMARY KEY)",
			"CREATE TABLE own_c (id INT PRIMARY KEY, n INT)",
			"BEGIN; INSERT INTO a VALUES (1, 'x'), (2, 'y'); INSERT INTO skip_b VALUES (1); INSERT INTO own_c VALUES (7, 8); UPDATE a SET name = 'z' WHERE id = 2; COMMIT",
			"INSERT INTO skip_b VALUES (2)",
			"BEGIN; INSERT INTO a VALUES (9, 'never'); ROLLBACK",
			"UPDATE a SET id = 3 WHERE id = 2",
			"UPDATE a SET id = id + 10 ORDER BY id DESC",
			"DELETE FROM a WHERE id = 11",
			"ALTER TABLE a ADD COLUMN more INT",
			"INSERT INTO a VALUES (4, 'w', 5)",
			"TRUNCATE a",
		} {
			if _, err := s.ExecContext(t.Context(), query); err != nil {
				t.Fatal(err)
			}
		}
		got := f.fence(db)
		want := []string{
			"CREATE a",
			"CREATE own_c",
			"insert a(1,x) insert a(2,y) insert own_c(7,8) update a(2,y→2,z)",
			"delete a(2,z) insert a(3,z)",
			"delete a(3,z) insert a(13,z) delete a(1,x) insert a(11,x)",
			"delete a(11,x)",
			"ALTER a",
			"insert a(4,w,5)",
			"TRUNCATE a",
		}
		if !slices.Equal(texts(got), want) {
			t.Fatalf("got %q\nwant %q", texts(got), want)
		}
		checkTransactions(t, got)
		if n := got[2].chunks[1].First; n != 0 {
			t.Errorf("a change of an own table has number %d", n)
		}
		if n := got[2].chunks[2].First; n != 3 {
			t.Errorf("the third change has number %d", n)
		}
		f.stop()
	})
}

// checkTransactions checks what holds for all transactions.
func checkTransactions(t *testing.T, all []*seen) {
	t.Helper()
	var last *binlog.End
	for _, s := range all {
		if s.tx.CommitTime.IsZero() || s.tx.GTID == "" || s.tx.ServerID == 0 || s.tx.File == "" {
			t.Errorf("a transaction without its fields: %+v", s.tx)
		}
		if s.tx.Start == 0 || s.tx.Start >= s.end.Coordinates.Position {
			t.Errorf("transaction %s starts at %d and ends at %s", s.tx.GTID, s.tx.Start, s.end.Coordinates)
		}
		if !s.end.Precise {
			t.Errorf("transaction %s: its end is not precise", s.tx.GTID)
		}
		if last != nil && s.end.Coordinates.Compare(last.Coordinates) <= 0 {
			t.Errorf("transaction %s ends at %s, the one before it at %s", s.tx.GTID, s.end.Coordinates, last.Coordinates)
		}
		if last != nil && last.Coordinates.File == s.tx.File && s.tx.Start < last.Coordinates.Position {
			t.Errorf("transaction %s starts at %d, before the end of the one before it, %s", s.tx.GTID, s.tx.Start, last.Coordinates)
		}
		last = s.end
	}
}
