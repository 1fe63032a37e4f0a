package storm_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"meridian/internal/checksum"
	"meridian/internal/mysqldb"
	"meridian/internal/row"
)

// ledgers compares each ledger with its database, row by row, and the ledgers with each other.
func (i *inspection) ledgers() {
	i.w.t.Helper()
	by := map[checksum.Place]map[string]checksum.Entry{}
	names := map[checksum.Place]rowName{}
	for _, p := range i.records { // deleted rows, too
		at := checksum.Place{Table: p.table, Key: p.key}
		by[at], names[at] = map[string]checksum.Entry{}, p.at
	}
	for _, g := range i.w.regions {
		if err := i.ledger(g, by, names); err != nil {
			i.report("ledger", g.name+": "+err.Error())
		}
	}
	if !i.strict {
		return
	}
	for at, entries := range by {
		var first *checksum.Entry
		for _, g := range i.w.regions {
			e, ok := entries[g.name]
			if !ok {
				continue // a tombstone may have gone
			}
			if first == nil {
				first = &e
			} else if e.Version != first.Version || e.Deleted != first.Deleted || !e.Deleted && e.Digest != first.Digest {
				i.reportRow("ledgers differ", names[at], fmt.Sprintf("%+v", entries))
			}
		}
	}
}

func (i *inspection) ledger(g *region, by map[checksum.Place]map[string]checksum.Entry, names map[checksum.Place]rowName) error {
	l, err := checksum.Open(checksum.Options{Path: g.syncer.role.ledger(), Region: g.name, Shards: i.w.shards, Share: "replica 0 of 1"})
	if err != nil {
		return err
	}
	defer l.Close()
	there := map[checksum.Place]uint64{} // digests
	for _, t := range i.w.tables {
		if err = i.digests(g, t, there, names); err != nil {
			return err
		}
	}
	places := make([]checksum.Place, 0, len(names))
	for at := range names {
		places = append(places, at)
	}
	entries, found, err := l.Lookup(places)
	if err != nil {
		return err
	}
	live := uint64(0)
	for k, at := range places {
		digest, exists := there[at]
		e := entries[k]
		if found[k] {
			if by[at] == nil {
				by[at] = map[string]checksum.Entry{}
			}
			by[at][g.name] = e
		}
		if found[k] && !e.Deleted {
			live++
		}
		switch {
		case exists && (!found[k] || e.Deleted):
			i.reportRow("ledger", names[at], fmt.Sprintf("%s has the row, its ledger says %v %+v", g.name, found[k], e))
		case !exists && found[k] && !e.Deleted:
			i.reportRow("ledger", names[at], fmt.Sprintf("%s does not have the row, its ledger says %+v", g.name, e))
		case exists && e.Digest != digest:
			i.reportRow("ledger", names[at], fmt.Sprintf("%s has a row with digest %x, its ledger says %+v", g.name, digest, e))
		case e.Suspect:
			i.reportRow("ledger", names[at], g.name+" holds it for suspect")
		}
	}
	if rows, _, _ := l.Size(); rows != live {
		i.report("ledger", fmt.Sprintf("%s: its checksums count %d rows, it has %d", g.name, rows, live))
	}
	return nil
}

// digests reads a table as the product does.
func (i *inspection) digests(g *region, t *table, there map[checksum.Place]uint64, names map[checksum.Place]rowName) error {
	s := i.server(g)
	info, err := s.LoadTable(i.ctx, i.w.schema, t.name)
	if err != nil {
		return err
	}
	columns := make([]int, len(info.Columns))
	for k := range columns {
		columns[k] = k
	}
	query := append(mysqldb.AppendSelectList([]byte("SELECT "), info.Table, columns, ""), " FROM "+info.String()...)
	return mysqldb.QueryRows(i.ctx, s.DB, string(query), info.Table, columns, func(values []row.Value) error {
		key, err := info.Key(values)
		if err != nil {
			return err
		}
		at := checksum.Place{Table: info.String(), Key: key}
		there[at] = info.Digest(key, values)
		if _, known := names[at]; !known {
			var texts []string
			for _, k := range info.PrimaryKey {
				texts = append(texts, keyText(values[k]))
			}
			names[at] = rowName{t.name, t.identity(texts)}
		}
		return nil
	})
}

func (i *inspection) server(g *region) *mysqldb.Server {
	if i.servers == nil {
		i.servers = map[string]*mysqldb.Server{}
	}
	if i.servers[g.name] == nil {
		i.servers[g.name] = i.w.server(i.ctx, g)
	}
	return i.servers[g.name]
}

// explain writes down all that is known of the rows that something is wrong with.
func (i *inspection) explain() {
	i.w.t.Helper()
	if len(i.suspect) == 0 {
		return
	}
	rows := slices.Clone(i.suspect)
	slices.SortFunc(rows, func(a, b rowName) int { return strings.Compare(a.table+a.row, b.table+b.row) })
	rows = slices.Compact(rows)
	var b strings.Builder
	for _, at := range rows {
		i.explainRow(&b, at)
	}
	path := filepath.Join(i.w.folder, "rows.txt")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		i.w.t.Error(err)
	}
	i.w.t.Logf("%d rows are explained in %s", len(rows), path)
}

func (i *inspection) explainRow(b *strings.Builder, at rowName) {
	fmt.Fprintf(b, "==== %s %s\n", at.table, at.row)
	for _, g := range i.w.regions {
		fmt.Fprintf(b, "%s: row %q\n", g.name, i.state[g.name][at])
	}
	var place *checksum.Place
	for k := range i.records {
		p := &i.records[k]
		if p.at != at {
			continue
		}
		place = &checksum.Place{Table: p.table, Key: p.key}
		fmt.Fprintf(b, "topic %s/%d@%d stale=%v epoch %d %s %s#%d: %s %q version %s overwrote %s\n", p.region, p.shard, p.offset, p.stale, p.epoch,
			p.kind, p.gtid, p.ordinal, p.op, p.token, p.version, p.over)
	}
	for _, g := range i.w.regions {
		if place == nil {
			break
		}
		l, err := checksum.Open(checksum.Options{Path: g.syncer.role.ledger(), Region: g.name, Shards: i.w.shards, Share: "replica 0 of 1"})
		if err != nil {
			fmt.Fprintf(b, "%s: %v\n", g.name, err)
			continue
		}
		entries, found, err := l.Lookup([]checksum.Place{*place})
		fmt.Fprintf(b, "%s: ledger %v %+v %v\n", g.name, found, entries, err)
		_ = l.Close()
	}
	for _, t := range i.w.history.transactions {
		for _, w := range t.Writes {
			if w.Table == at.table && w.Row == at.row {
				fmt.Fprintf(b, "history %s %s %s %q before %s after %s\n", t.Token, t.Outcome, w.Key, w.Token, t.Before.UTC().Format("15:04:05.000000"), t.After.UTC().Format("15:04:05.000000"))
			}
		}
	}
}
