package syncer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"meridian/internal/testenv"
)

// limitPacket lets new connections to the server send and receive no more than so many bytes in one packet.
func (g *region) limitPacket(bytes int) {
	g.t.Helper()
	var was int
	if err := g.db.DB.QueryRowContext(g.t.Context(), "SELECT @@GLOBAL.max_allowed_packet").Scan(&was); err != nil {
		g.t.Fatal(err)
	}
	g.db.Exec(fmt.Sprintf("SET GLOBAL max_allowed_packet = %d", bytes))
	ctx := context.WithoutCancel(g.t.Context())
	g.t.Cleanup(func() {
		if _, err := g.db.DB.ExecContext(ctx, fmt.Sprintf("SET GLOBAL max_allowed_packet = %d", was)); err != nil {
			g.t.Error(err)
		}
	})
}

// A change of which the server takes neither the row nor the record stops nobody: what names it is kept, and it is counted.
func TestPacket_AChangeThatTheServerDoesNotTakeIsNamedAndStopsNobody(t *testing.T) {
	for _, kind := range []testenv.Kind{testenv.KindMySQL, testenv.KindMariaDB1011} {
		t.Run(string(kind), func(t *testing.T) {
			r := newRegions(t, 1, testenv.KindMySQL, kind)
			a, b := r.list[0], r.list[1]
			b.limitPacket(1 << 20)
			r.exec("CREATE TABLE orders (id INT PRIMARY KEY, body LONGTEXT)")
			r.start()
			a.exec("INSERT INTO orders VALUES (1, 'small'), (2, REPEAT('x', 3000000)), (3, REPEAT('y', 600000))")
			a.exec("INSERT INTO orders VALUES (4, 'behind')")
			const sizes = "SELECT id, LENGTH(body) FROM orders ORDER BY id"
			eventually(t, "the others arrive", func() error {
				if got := b.rows(sizes); got != "\"1\" \"5\" \n\"3\" \"600000\" \n\"4\" \"6\" \n" {
					return errors.New(got)
				}
				return nil
			})
			r.waitSettled()
			var digest uint64
			for _, m := range r.published(a) {
				if m.Change.Op.String() == "insert" && len(m.Change.After[1].Bytes) == 3000000 {
					digest = m.Change.Digest
				}
			}
			want := fmt.Sprintf("\"dead\" \"too_large\" \"0\" \"1\" \"1\" \"1\" \"%s.orders\" \n", r.schema)
			got := b.rows(fmt.Sprintf("SELECT state, reason, LENGTH(record), bus_offset > 0, version_time > 0 AND LENGTH(row_key) > 0, "+
				"detail LIKE '%%max_allowed_packet%%' AND detail LIKE '%%%016x%%', table_name FROM meridian.parked", digest))
			if got != want {
				t.Errorf("it is kept as %s, want %s; %s", got, want, b.rows("SELECT detail FROM meridian.parked"))
			}
			r.conserved()
			if err := b.end(); err != nil {
				t.Fatal(err)
			}
			b.start()
			b.waitReady()
			a.exec("UPDATE orders SET body = 'small again' WHERE id = 2") // a person writes it again
			eventually(t, "the row is there", func() error {
				if got := b.rows("SELECT body FROM orders WHERE id = 2"); got != "\"small again\" \n" {
					return errors.New(got)
				}
				return nil
			})
			r.conserved()
		})
	}
}

// A change that is too large for the bus, with a record that its own server does not take, does not stop capture.
func TestPacket_AChangeThatNeitherBusNorServerTakesDoesNotStopCapture(t *testing.T) {
	r := newRegions(t, 1, testenv.KindMySQL, testenv.KindMySQL)
	a, b := r.list[0], r.list[1]
	a.limitPacket(1 << 20)
	a.cfg.MaxRecordBytes = 64 << 10
	r.exec("CREATE TABLE orders (id INT PRIMARY KEY, body LONGTEXT)")
	r.start()
	a.exec("INSERT INTO orders VALUES (1, REPEAT('x', 700000))")
	a.exec("UPDATE orders SET body = REPEAT('y', 700000)") // both images are more than the server takes
	a.exec("INSERT INTO orders VALUES (2, 'behind')")
	eventually(t, "what is behind it arrives", func() error {
		if got := b.rows("SELECT id FROM orders"); got != "\"2\" \n" {
			return errors.New(got)
		}
		return nil
	})
	r.waitSettled()
	const kept = "SELECT state, reason, LENGTH(record) > 700000, detail LIKE '%max_allowed_packet%' FROM meridian.parked ORDER BY id"
	if got := a.rows(kept); got != "\"dead\" \"too_large\" \"1\" \"0\" \n\"dead\" \"too_large\" \"0\" \"1\" \n" {
		t.Errorf("kept are\n%s", got)
	}
}

// A transaction that names more rows than the server takes in one statement is split, also where transactions are kept whole.
func TestPacket_AWholeTransactionOfMoreRowsThanItNamesArrives(t *testing.T) {
	r := newRegions(t, 1, testenv.KindMySQL, testenv.KindMySQL)
	a, b := r.list[0], r.list[1]
	b.limitPacket(1 << 20)
	b.cfg.BatchBytes = 64 << 10
	r.exec("CREATE TABLE orders (id VARCHAR(400) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY, n INT)")
	r.start()
	var insert strings.Builder
	insert.WriteString("INSERT INTO orders VALUES ('a', 0)")
	for i := range 5000 {
		fmt.Fprintf(&insert, ", ('%d%s', 0)", i, strings.Repeat("k", 300))
	}
	a.exec(insert.String())
	eventually(t, "the rows arrive", func() error {
		if got := b.rows("SELECT COUNT(*) FROM orders"); got != "\"5001\" \n" {
			return errors.New(got)
		}
		return nil
	})
}
