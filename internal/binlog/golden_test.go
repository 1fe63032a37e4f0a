package binlog

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"meridian/internal/row"
	"meridian/internal/testenv"
)

var record = flag.Bool("record", false, "record the events in testdata anew from real servers, and what is read from them")

// goldenCollations are those of the recorded tables; these numbers are the same on all servers.
var goldenCollations = collations{
	8: {"latin1_swedish_ci", "latin1"}, 45: {"utf8mb4_general_ci", "utf8mb4"}, 63: {"binary", "binary"}, 46: {"utf8mb4_bin", "utf8mb4"},
}

// goldenScript is what is recorded. %s is what only some servers can.
var goldenScript = []string{
	"SET NAMES utf8mb4 COLLATE utf8mb4_general_ci", "SET sql_mode = ''", "SET time_zone = '+00:00'", "SET timestamp = 1700000000.5", "DROP DATABASE IF EXISTS golden",
	"CREATE DATABASE golden DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci", "USE golden",
	`CREATE TABLE kinds (id INT UNSIGNED, k VARCHAR(10), i8 TINYINT, i24 MEDIUMINT, u64 BIGINT UNSIGNED, dec1 DECIMAL(20,5), f FLOAT, d DOUBLE, b BIT(12), y YEAR,
		da DATE, ti TIME(3), dt DATETIME(6), ts TIMESTAMP(2) NULL, c CHAR(4) CHARACTER SET latin1, vb VARBINARY(300), bi BINARY(3), e ENUM('a','ü') CHARACTER SET latin1,
		se SET('x','y','z'), bl BLOB, g GEOMETRY, PRIMARY KEY (k, id))`,
	`INSERT INTO kinds VALUES (4294967295, 'Key', -1, -8388608, 18446744073709551615, -12345.6789, 1.5, -2.25, 0xabc, 2024, '2024-02-29', '-01:02:03.004',
		'2024-02-29 01:02:03.000004', '2024-02-29 01:02:03.04', 'é', x'00ff00', x'01', 'ü', 'x,z', 'blob', ST_GeomFromText('POINT(1 2)')),
		(2, 'null', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)`,
	"UPDATE kinds SET k = 'KEY', y = 0, e = 0, da = '0000-00-00', ti = '-838:59:59' WHERE id > 2", "UPDATE kinds SET id = 3 WHERE id = 2",
	"CREATE TABLE orders (id BIGINT PRIMARY KEY, customer INT UNSIGNED, state VARCHAR(20), amount DECIMAL(12,2), note VARCHAR(100), at DATETIME(3), rate DOUBLE, flags TINYINT, code CHAR(8))",
	goldenOrders(), "UPDATE orders SET amount = amount + 1", "DELETE FROM orders WHERE id > 1000010", "FLUSH BINARY LOGS", "DELETE FROM kinds", "DROP TABLE kinds",
}

// goldenOrders inserts rows as an application would have them, for the benchmarks as well.
func goldenOrders() string {
	var rows []string
	for i := range 120 {
		rows = append(rows, fmt.Sprintf("(%d, %d, 'state %d', %d.%02d, 'a note about order number %d', '2024-01-02 03:04:05.%03d', %d.5, %d, 'C%06d')",
			1000000+i, i*7, i%5, i*3, i%100, i, i%1000, i, i%100, i))
	}
	return "INSERT INTO orders VALUES " + strings.Join(rows, ", ")
}

// Recorded events of each server come out byte for byte as they did when they were recorded.
func TestGolden_RecordedEventsComeOutTheSame(t *testing.T) {
	for _, kind := range []testenv.Kind{testenv.KindMySQL, testenv.KindMySQL80, testenv.KindMariaDB, testenv.KindMariaDB1011} {
		t.Run(string(kind), func(t *testing.T) {
			name := filepath.Join("testdata", string(kind))
			if *record {
				recordEvents(t, kind, name+".events")
			}
			got := replay(t, name+".events")
			if *record {
				if err := os.WriteFile(name+".golden", got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(name + ".golden")
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// recordEvents runs the script and keeps what the server sends about it.
func recordEvents(t *testing.T, kind testenv.Kind, file string) {
	t.Helper()
	db := testenv.Own(t, kind)
	session, err := db.DB.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = session.Close() }()
	for _, statement := range goldenScript {
		if _, err = session.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%v, running %s", err, statement)
		}
	}
	config := Config{Address: db.Address, User: db.User, Password: func() (string, error) { return db.Password, nil }, ServerID: 99,
		Tables: func(string, string) Decision { return Skip }}
	tailer, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	s, err := open(t.Context(), &tailer.config)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := s.dump(&state{isList: s.isMaria}); err != nil {
		t.Fatal(err)
	}
	var all []byte
	for {
		e, err := s.next()
		if err != nil {
			t.Fatal(err)
		}
		if e.kind == eventHeartbeat {
			break
		}
		all = append(all, s.packet.Bytes()[1:]...)
	}
	if err := os.WriteFile(file, all, 0o644); err != nil {
		t.Fatal(err)
	}
}

// events cuts a recording into events.
func events(t testing.TB, file string) [][]byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	for len(data) > 0 {
		size := little(data[9:13])
		all = append(all, data[:size])
		data = data[size:]
	}
	return all
}

// replayed runs recorded events through an assembler.
func replayed(t testing.TB, file string, h Handler) {
	t.Helper()
	isMaria := strings.Contains(file, "mariadb")
	l := newLayouts(func(schema, _ string) Decision {
		if schema == "golden" {
			return Replicated
		}
		return Skip
	}, nil).onServer(goldenCollations, isMaria)
	a := newAssembler(l, h, "server", &state{isList: isMaria})
	var sums checksums
	for _, raw := range events(t, file) {
		e, err := parseHeader(raw)
		if err != nil {
			t.Fatal(err)
		}
		if err := sums.strip(raw, &e); err != nil {
			t.Fatal(err)
		}
		if err := a.event(t.Context(), &e); err != nil {
			t.Fatal(err)
		}
	}
}

func replay(t testing.TB, file string) []byte {
	w := &writer{}
	replayed(t, file, w)
	return w.Bytes()
}

// writer writes all that it is told.
type writer struct{ bytes.Buffer }

func (w *writer) Begin(_ context.Context, tx *Transaction) error {
	fmt.Fprintf(w, "BEGIN %s at %s (whole second %v) by %d in %s:%d, behind %q\n", tx.GTID, tx.CommitTime, tx.WholeSecond, tx.ServerID, tx.File, tx.Start, tx.After(0).GTIDs)
	return nil
}

func (w *writer) Change(_ context.Context, rows *Rows) error {
	for i := range rows.Changes {
		c := &rows.Changes[i]
		fmt.Fprintf(w, "  %d %s %s\n", int(rows.First)+i, c.Op, c.Table)
		for at := range c.Table.Columns {
			column := &c.Table.Columns[at]
			fmt.Fprintf(w, "    %s:", column.Name)
			for _, image := range [][]row.Value{c.Before, c.After} {
				if image != nil {
					fmt.Fprintf(w, " %d %d %q", image[at].Kind, image[at].Num, image[at].Bytes)
				}
			}
			w.WriteByte('\n')
		}
	}
	return nil
}

func (w *writer) Schema(_ context.Context, e *SchemaEvent) error {
	fmt.Fprintf(w, "  %+v\n", *e)
	return nil
}

func (w *writer) Commit(_ context.Context, end *End) error {
	fmt.Fprintf(w, "COMMIT at %s (precise %v), now %s\n", end.Coordinates, end.Precise, end.Position().GTIDs)
	return nil
}

func (w *writer) Progress(_ context.Context, end *End) error {
	fmt.Fprintf(w, "PROGRESS to %s (precise %v), now %s\n", end.Coordinates, end.Precise, end.Position().GTIDs)
	return nil
}
