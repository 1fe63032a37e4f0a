package syncer_test

import (
	"encoding/binary"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"meridian/internal/testenv"
)

// fileEntry is what a ledger file has of a row, without the numbers that it gives to names.
type fileEntry struct {
	flags        byte
	time, digest uint64
}

// contents reads a ledger file of one shard and one table: its entries by key, and up to where it includes a's topic.
func contents(t *testing.T, file []byte) (entries map[string]fileEntry, applied uint64) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "copy.db")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	entries = map[string]fileEntry{}
	err = db.View(func(tx *bbolt.Tx) error {
		if v := tx.Bucket([]byte("applied")).Get([]byte("\x00\x00a")); len(v) == 8 {
			applied = binary.BigEndian.Uint64(v)
		}
		return tx.Bucket([]byte("entries")).ForEach(func(k, v []byte) error {
			if len(k) < 6 || len(v) < 17 {
				return errors.New("the entry cannot be read")
			}
			tail := v[len(v)-16:]
			entries[string(k[6:])] = fileEntry{v[0], binary.BigEndian.Uint64(tail), binary.BigEndian.Uint64(tail[8:])}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return entries, applied
}

func (g *region) committedOffset() uint64 {
	g.t.Helper()
	n, err := strconv.ParseUint(g.nextOffset(), 10, 64)
	if err != nil {
		g.t.Fatal(err)
	}
	return n
}

// A rebuilt ledger is the one as of its resume point, no version newer: what came behind it is read from the binlog again,
// and a version from there would stand beside another moment's row. A row that is not what the topics say has no entry.
func TestRebuild_TakesNothingFromBehindTheResumePoint(t *testing.T) {
	for _, kind := range []testenv.Kind{testenv.KindMySQL, testenv.KindMariaDB1011} {
		t.Run(string(kind), func(t *testing.T) {
			r := newRegions(t, 1, testenv.KindMySQL, kind)
			g := newGates(t)
			a, b := r.list[0], r.list[1]
			b.cfg.Reached, b.cfg.FlushInterval = g.reached, time.Hour // the checkpoint stays where a start finds it
			r.exec(ordersDDL)
			r.start()
			a.exec("INSERT INTO orders VALUES (1, 'a', 1), (2, 'a', 2), (3, 'a', 3)")
			b.exec("INSERT INTO orders VALUES (11, 'b', 1), (12, 'b', 2), (13, 'b', 3), (14, 'b', 4)")
			r.waitSettled()
			r.waitEqual(all)
			b.mustEnd()
			want, _ := contents(t, b.saveLedger())
			next := b.committedOffset()
			if len(want) != 7 {
				t.Fatalf("%d entries at the resume point, want 7", len(want))
			}
			b.start()
			b.waitReady()
			r.waitSettled() // so that the topic tells of that checkpoint

			a.exec("UPDATE orders SET n = 100 WHERE id IN (1, 11)")
			a.exec("INSERT INTO orders VALUES (4, 'a', 4)")
			r.waitSettled()
			b.exec("UPDATE orders SET n = 200 WHERE id IN (2, 12)")
			b.exec("DELETE FROM orders WHERE id = 13")
			b.exec("INSERT INTO orders VALUES (15, 'b', 5)")
			r.waitSettled()
			b.execOutOfBand("UPDATE orders SET n = 300 WHERE id = 14")
			b.mustEnd()
			published := r.publishedOnce(b)
			if err := os.Remove(b.ledgerPath()); err != nil {
				t.Fatal(err)
			}
			rebuilt := g.arm("flush.committed")
			b.start()
			rebuilt.wait()
			got, applied := contents(t, b.saveLedger())
			differ := slices.DeleteFunc(slices.Collect(maps.Keys(want)), func(k string) bool { return got[k] == want[k] })
			if _, has := got["\x03\x00\x00\x00\x00\x00\x00\x00\x0e"]; len(differ) != 1 || has || len(got) != len(want)-1 {
				t.Errorf("the rebuilt ledger has\n%x\nthe one as of the resume point had\n%x\nwanted is the same without row 14, which is not what the topics say", got, want)
			}
			if applied != next {
				t.Errorf("the rebuilt ledger includes a's topic up to %d, at the resume point it was %d", applied, next)
			}
			rebuilt.release()
			b.waitReady()
			r.waitSettled()
			if again := r.publishedOnce(b); !maps.Equal(published, again) {
				t.Errorf("before the rebuild the topic had %v, now %v", published, again)
			}
		})
	}
}

// What a database has lost stands in its region's topic, under versions that the other regions have. What is written to
// these rows now is above them.
func TestRebuild_NewStampsAreAboveWhatTheDatabaseHasLost(t *testing.T) {
	r := newRegions(t, 1, testenv.KindMySQL, testenv.KindMySQL)
	for _, g := range r.list {
		g.cfg.Tables = tables{schema: r.schema, versions: map[string]string{r.schema + ".orders": "changed"}}
	}
	r.exec("CREATE TABLE orders (id BIGINT PRIMARY KEY, item VARCHAR(20), changed DATETIME(6))")
	r.start()
	a, b := r.list[0], r.list[1]
	b.exec("INSERT INTO orders VALUES (1, 'lost', '2040-01-01 00:00:00')")
	r.waitSettled()
	r.waitEqual(all)
	b.mustEnd()
	b.execOutOfBand("DELETE FROM orders") // as a database does that was restored from an older backup
	b.exec("RESET BINARY LOGS AND GTIDS")
	b.start()
	b.waitReady()
	b.exec("INSERT INTO orders VALUES (1, 'found', '2020-01-01 00:00:00')")
	eventually(t, "b's new row has replaced the lost one", func() error {
		if got := a.rows("SELECT item FROM orders"); got != "\"found\" \n" {
			return errors.New(got)
		}
		return nil
	})
}
