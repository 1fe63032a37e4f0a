package mysqldb_test

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"meridian/internal/mysqldb"
)

// heard notes what a packet's statements gave, in the order in which it was told.
type heard struct {
	counts []int64
	texts  []string
	failed []string // the statements that failed
}

func (h *heard) matched(n int64) error { h.counts = append(h.counts, n); return nil }

func (h *heard) failing(name string) func(error) error {
	return func(err error) error {
		h.failed = append(h.failed, name)
		return fmt.Errorf("%s: %w", name, err)
	}
}

func (h *heard) read(rows *sql.Rows) error {
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		h.texts = append(h.texts, text)
	}
	return rows.Err()
}

// Every statement of a packet is answered for itself: the rows that it matched, whether it changed them or not, as
// RowsAffected says of a statement that is sent alone.
func TestPacket_CountsForEachStatementWhatItMatched(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		server := b.open(mysqldb.Config{Packets: true})
		b.create("t", "id INT PRIMARY KEY, n INT, note VARCHAR(20)")
		table := b.schema + ".t"
		var h heard
		p := server.Packet()
		exec := func(statement string) { p.Exec([]byte(statement), h.matched, h.failing(statement)) }
		p.Do("START TRANSACTION")
		exec("INSERT INTO " + table + " VALUES (1,1,'a;b'),(2,2,'it''s'),(3,3,'\\\\')")
		exec("UPDATE " + table + " SET n = n WHERE id < 3") // matched, not changed
		exec("UPDATE (SELECT 1 k,5 v UNION ALL SELECT 9,5) v STRAIGHT_JOIN " + table + " t ON t.id=v.k SET t.n=v.v")
		p.Query([]byte("SELECT note FROM "+table+" ORDER BY id"), h.read, h.failing("the query"))
		exec("UPDATE " + table + " SET n = 0 WHERE id = 77")
		exec("DELETE " + table + " FROM (SELECT 1 k UNION ALL SELECT 3) v STRAIGHT_JOIN " + table + " ON t.id=v.k")
		var at mysqldb.Coordinates
		p.Coordinates(server, &at)
		p.Do("COMMIT")
		if err := p.Run(t.Context(), server.DB); err != nil {
			t.Fatal(err)
		}
		if want := []int64{3, 2, 1, 0, 2}; !slices.Equal(h.counts, want) {
			t.Errorf("matched were %v, want %v", h.counts, want)
		}
		if want := []string{"a;b", "it's", "\\"}; !slices.Equal(h.texts, want) {
			t.Errorf("read was %q, want %q", h.texts, want)
		}
		if at.IsZero() || at.Server != server.ID {
			t.Errorf("coordinates are %+v", at)
		}
		if n := b.value("SELECT COUNT(*) FROM " + table); n != "1" {
			t.Errorf("there are %s rows, want 1", n)
		}
		if err := p.Run(t.Context(), server.DB); err != nil || p.Len() != 0 {
			t.Errorf("a packet that was sent is not empty: %v", err)
		}
	})
}

// The first statement that fails ends a packet: it is known which one it was, those before it are answered, and those behind
// it have not run.
func TestPacket_TellsWhichStatementFailed(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		server := b.open(mysqldb.Config{Packets: true})
		b.create("t", "id INT PRIMARY KEY, n INT")
		table := b.schema + ".t"
		good := func(id int) string { return fmt.Sprintf("INSERT INTO %s VALUES (%d,0)", table, id) }
		for at, failing := range []string{"first", "in the middle", "last"} {
			b.exec("DELETE FROM " + table)
			statements := []string{good(1), good(2), good(3)}
			statements[at] = "INSERT INTO " + table + " VALUES (7,0),(7,0)"
			conn, err := server.DB.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var h heard
			p := server.Packet()
			p.Do("START TRANSACTION")
			for i, s := range statements {
				p.Exec([]byte(s), h.matched, h.failing(fmt.Sprint(i)))
			}
			err = p.Run(t.Context(), conn)
			if duplicate, ok := mysqldb.DuplicateKey(err, nil); !ok || !duplicate.Primary() {
				t.Errorf("%s: the error is %v", failing, err)
			}
			if want := []string{fmt.Sprint(at)}; !slices.Equal(h.failed, want) || len(h.counts) != at {
				t.Errorf("%s: %v failed, want %v; %d statements before it were answered", failing, h.failed, want, len(h.counts))
			}
			// The connection is in step with the server, and the transaction open: as if each had been sent alone.
			var n int
			if err := conn.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n); err != nil || n != at {
				t.Errorf("%s: %d rows, want %d (%v)", failing, n, at, err)
			}
			if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
				t.Error(err)
			}
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
			if n := b.value("SELECT COUNT(*) FROM " + table); n != "0" {
				t.Errorf("%s: %s rows are left after the rollback", failing, n)
			}
		}
	})
}

// An answer that the caller does not want ends the packet with the caller's error, and leaves the connection of use.
func TestPacket_EndsWithTheFirstErrorOfItsCaller(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		server := b.open(mysqldb.Config{Packets: true, MaxConnections: 1})
		b.create("t", "id INT PRIMARY KEY")
		unwanted := errors.New("nothing matched")
		var h heard
		p := server.Packet()
		p.Exec([]byte("DELETE FROM "+b.schema+".t"), func(int64) error { return unwanted }, h.failing("the first"))
		p.Exec([]byte("INSERT INTO "+b.schema+".t VALUES (1),(1)"), h.matched, h.failing("the second"))
		if err := p.Run(t.Context(), server.DB); !errors.Is(err, unwanted) || len(h.failed) != 0 {
			t.Errorf("the error is %v, want that of the first statement; %v failed", err, h.failed)
		}
		p.Query([]byte("SELECT 'still here'"), h.read, h.failing("the third"))
		if err := p.Run(t.Context(), server.DB); err != nil || !slices.Equal(h.texts, []string{"still here"}) {
			t.Errorf("the connection gives %q, %v", h.texts, err)
		}
	})
}

// What the server takes in no packet is not put into one together with others.
func TestPacket_FitsWhatTheServerTakes(t *testing.T) {
	b := newBench(t, kinds[0])
	server := b.open(mysqldb.Config{Packets: true})
	p := server.Packet()
	if p.Fits(server.MaxPacket()) || p.Holds(server.MaxPacket()) {
		t.Error("a packet may be as large as what the server takes, without what stands around it")
	}
	p.Do("SELECT 1")
	if p.Fits(server.MaxPacket() - p.Len()) {
		t.Error("a packet may be larger than the server takes")
	}
	var h heard
	long := []byte("SELECT LEFT('" + strings.Repeat("x", server.MaxPacket()-(4<<10)) + "', 1)")
	if !p.Fits(len(long)) {
		t.Fatal("a packet is smaller than need be")
	}
	p.Query(long, h.read, h.failing("the long one"))
	if err := p.Run(t.Context(), server.DB); err != nil {
		t.Error(err)
	}
}
