package syncer_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"meridian/internal/bus"
	"meridian/internal/checksum"
	"meridian/internal/envelope"
	"meridian/internal/mysqldb"
	"meridian/internal/row"
)

// published reads a region's topic: all changes in it.
func (r *regions) published(g *region) []*envelope.Message {
	r.t.Helper()
	var list []*envelope.Message
	r.eachRecord(g, func(_ int, rec *bus.Record) {
		if m, err := envelope.Decode(rec); err == nil && m.Change != nil {
			list = append(list, m)
		}
	})
	return list
}

func (r *regions) eachRecord(g *region, f func(shard int, rec *bus.Record)) {
	r.t.Helper()
	c, err := bus.Dial(r.broker.ClientConfig())
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	for shard := range g.cfg.Shards {
		_, end, err := c.Offsets(r.t.Context(), g.cfg.Topic, shard)
		if err != nil {
			r.t.Fatal(err)
		}
		for at := int64(0); at < end; {
			records, next, _, err := c.Fetch(r.t.Context(), g.cfg.Topic, shard, at, 1<<20, time.Second)
			if err != nil {
				r.t.Fatal(err)
			}
			for i := range records {
				f(shard, &records[i])
			}
			at = next
		}
	}
}

// waitSettled waits until everything that is committed now has been captured, published and applied everywhere.
func (r *regions) waitSettled() {
	r.t.Helper()
	now := time.Now()
	for _, g := range r.list {
		eventually(r.t, g.name+" has settled", func() error {
			for _, s := range g.syncer.Status().Sources {
				if s.LagSeconds < 0 || time.Since(now).Seconds() < s.LagSeconds {
					return fmt.Errorf("%s is %v s behind %s", g.name, s.LagSeconds, s.Source)
				}
			}
			return nil
		})
	}
}

// checkLedgers ends the syncers and compares each ledger with its database, and the ledgers with each other.
func (r *regions) checkLedgers() {
	r.t.Helper()
	entries := map[checksum.Place]map[string]checksum.Entry{}
	for _, g := range r.list {
		if err := g.end(); err != nil {
			r.t.Fatalf("%s ended with %v", g.name, err)
		}
		for at, e := range g.entries() {
			if entries[at] == nil {
				entries[at] = map[string]checksum.Entry{}
			}
			entries[at][g.name] = e
		}
	}
	for at, by := range entries {
		first := by[r.list[0].name]
		for _, g := range r.list[1:] {
			e, ok := by[g.name]
			if ok && (e.Version != first.Version || e.Digest != first.Digest || e.Deleted != first.Deleted) {
				r.t.Errorf("%s %x: %s has %+v, %s has %+v", at.Table, at.Key, r.list[0].name, first, g.name, e)
			}
		}
	}
}

// entries reads the region's ledger for every row of its tables, and checks that they agree.
func (g *region) entries() map[checksum.Place]checksum.Entry {
	g.t.Helper()
	l, err := checksum.Open(checksum.Options{Path: filepath.Join(g.cfg.Directory, "ledger.db"), Region: g.name, Shards: g.cfg.Shards, Share: "replica 0 of 1"})
	if err != nil {
		g.t.Fatal(err)
	}
	defer l.Close()
	server, err := mysqldb.Open(g.t.Context(), g.cfg.MySQL)
	if err != nil {
		g.t.Fatal(err)
	}
	defer server.Close()
	info, err := server.LoadTable(g.t.Context(), g.all.schema, "orders")
	if err != nil {
		g.t.Fatal(err)
	}
	columns := make([]int, len(info.Columns))
	for i := range columns {
		columns[i] = i
	}
	query := append(mysqldb.AppendSelectList([]byte("SELECT "), info.Table, columns, ""), " FROM "+info.String()...)
	found := map[checksum.Place]checksum.Entry{}
	err = mysqldb.QueryRows(g.t.Context(), server.DB, string(query), info.Table, columns, func(values []row.Value) error {
		key, failed := info.Key(values)
		if failed != nil {
			return failed
		}
		at := checksum.Place{Table: info.String(), Key: key}
		entries, ok, failed := l.Lookup([]checksum.Place{at})
		if failed != nil {
			return failed
		}
		if !ok[0] || entries[0].Deleted || entries[0].Digest != info.Digest(key, values) {
			return errors.New("the ledger does not agree with a row")
		}
		found[at] = entries[0]
		return nil
	})
	if err != nil {
		g.t.Errorf("%s: %v", g.name, err)
	}
	return found
}
