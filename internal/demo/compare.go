package demo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"
)

// The comparison knows nothing of Meridian: it reads every row of every table of the application with SELECT, in the order
// of the primary key, as the text that the server gives, and compares that.

// tableProof is what was found of one table. Slices are by region.
type tableProof struct {
	table string
	rows  []uint64
	sums  []string // SHA-256 over all rows, in hexadecimal
	equal bool
	// different are the first rows that are not the same everywhere; empty if equal.
	different []differentRow
	more      int // how many more there are
}

// differentRow is one row that is not the same everywhere: its key, and its columns in each region; "" for no such row.
type differentRow struct {
	key     string
	regions []string
}

// mostDifferent is how many rows of a table are shown.
const mostDifferent = 5

// compare reads the schema's tables in all databases. Every table that any of them has is in the result.
func compare(ctx context.Context, regions []*region) ([]tableProof, error) {
	var names []string
	for _, r := range regions {
		own, err := tableNames(ctx, r.db)
		if err != nil {
			return nil, fmt.Errorf("region %s: listing the tables: %w", r.name, err)
		}
		names = append(names, own...)
	}
	slices.Sort(names)
	var proofs []tableProof
	for _, name := range slices.Compact(names) {
		proof, err := compareTable(ctx, regions, name)
		if err != nil {
			return nil, err
		}
		proofs = append(proofs, proof)
	}
	return proofs, nil
}

func tableNames(ctx context.Context, db *sql.DB) ([]string, error) {
	return strs(ctx, db, "SELECT table_name FROM information_schema.tables WHERE table_schema = ? AND table_type = 'BASE TABLE'", schema)
}

func keyColumns(ctx context.Context, db *sql.DB, table string) ([]string, error) {
	return strs(ctx, db, "SELECT column_name FROM information_schema.key_column_usage "+
		"WHERE table_schema = ? AND table_name = ? AND constraint_name = 'PRIMARY' ORDER BY ordinal_position", schema, table)
}

func strs(ctx context.Context, db *sql.DB, query string, args ...any) (list []string, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err has the error
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, rows.Err()
}

func compareTable(ctx context.Context, regions []*region, table string) (tableProof, error) {
	proof := tableProof{table: schema + "." + table, rows: make([]uint64, len(regions)), sums: make([]string, len(regions))}
	g, gctx := errgroup.WithContext(ctx)
	for i, r := range regions {
		g.Go(func() error {
			sum := sha256.New()
			err := eachRow(gctx, r, table, func(_ string, columns []string, values []sql.RawBytes) {
				proof.rows[i]++
				addRow(sum, columns, values)
			})
			proof.sums[i] = hex.EncodeToString(sum.Sum(nil))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return proof, err
	}
	proof.equal = allSame(proof.sums) && allSame(proof.rows)
	if proof.equal {
		return proof, nil
	}
	return proof, proof.findDifferent(ctx, regions, table)
}

func allSame[T comparable](list []T) bool {
	return !slices.ContainsFunc(list, func(v T) bool { return v != list[0] })
}

// addRow adds a row to a checksum so that no two different rows add the same: each value with its length, NULL apart.
func addRow(sum hash.Hash, columns []string, values []sql.RawBytes) {
	var text bytes.Buffer
	for i, v := range values {
		if v == nil {
			fmt.Fprintf(&text, "%s NULL;", columns[i])
			continue
		}
		fmt.Fprintf(&text, "%s %d ", columns[i], len(v))
		text.Write(v)
		text.WriteByte(';')
	}
	text.WriteByte('\n')
	_, _ = sum.Write(text.Bytes()) // a hash takes everything
}

// eachRow reads a table in the order of its primary key. A table that the region does not have has no rows.
func eachRow(ctx context.Context, r *region, table string, visit func(key string, columns []string, values []sql.RawBytes)) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("region %s: reading %s.%s: %w", r.name, schema, table, err)
		}
	}()
	key, err := keyColumns(ctx, r.db, table)
	if err != nil || len(key) == 0 {
		return err
	}
	for i := range key {
		key[i] = quoted(key[i])
	}
	query := fmt.Sprintf("SELECT * FROM %s.%s ORDER BY %s", schema, quoted(table), strings.Join(key, ", ")) //nolint:gosec // names, quoted
	rows, err := r.db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // Err has the error
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values, into := make([]sql.RawBytes, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		var words []string
		for i, c := range columns {
			if slices.Contains(key, quoted(c)) {
				words = append(words, c+"="+shown(values[i]))
			}
		}
		visit(strings.Join(words, " "), columns, values)
	}
	return rows.Err()
}

func quoted(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// findDifferent reads the table once more and finds the rows that are not the same everywhere.
func (p *tableProof) findDifferent(ctx context.Context, regions []*region, table string) error {
	found := map[string][]string{} // key → columns by region
	var order []string
	for i, r := range regions {
		err := eachRow(ctx, r, table, func(key string, columns []string, values []sql.RawBytes) {
			if found[key] == nil {
				found[key] = make([]string, len(regions))
				order = append(order, key)
			}
			var words []string
			for k, c := range columns {
				words = append(words, c+"="+shown(values[k]))
			}
			found[key][i] = strings.Join(words, " ")
		})
		if err != nil {
			return err
		}
	}
	for _, key := range order {
		switch {
		case allSame(found[key]):
		case len(p.different) < mostDifferent:
			p.different = append(p.different, differentRow{key: key, regions: found[key]})
		default:
			p.more++
		}
	}
	return nil
}

// shown is a value for people.
func shown(v sql.RawBytes) string {
	switch {
	case v == nil:
		return "NULL"
	case utf8.Valid(v):
		return strconv.Quote(string(v))
	default:
		return "0x" + hex.EncodeToString(v)
	}
}
