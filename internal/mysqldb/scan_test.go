package mysqldb_test

import (
	"fmt"
	"strings"
	"testing"

	"meridian/internal/mysqldb"
	"meridian/internal/row"
)

// A scan in small steps meets every row once, whatever the key is made of and in which order the server has it.
func TestMapping_ScanRowsMeetsEveryRowOnce(t *testing.T) {
	everywhere(t, func(_ *testing.T, b *bench) {
		for i, k := range keyTypes {
			if !k.applies(b.kind) {
				continue
			}
			b.Run(k.name, func(t *testing.T) {
				b := *b
				b.T = t
				columns, primary, _ := strings.Cut(k.columns, ", PRIMARY")
				info := b.create(fmt.Sprint("scan", i), columns+", n INT, PRIMARY"+primary)
				m := b.mapping(info, info.Table)
				b.write(m.InsertRows, withNumber(k.keys, 1))
				for limit := 1; limit <= 2; limit++ {
					got := b.scan(m, info, limit)
					for _, image := range withNumber(k.keys, 1) {
						key, err := info.Key(image)
						if err != nil {
							t.Fatal(err)
						}
						if got[key] != 1 {
							t.Errorf("%d at a time: %+v was met %d times", limit, image, got[key])
						}
						delete(got, key)
					}
					if len(got) > 0 {
						t.Errorf("%d at a time: rows that were never inserted: %v", limit, got)
					}
				}
			})
		}
	})
}

// scan counts how often each key is met.
func (b *bench) scan(m *mysqldb.Mapping, info *mysqldb.TableInfo, limit int) map[row.Key]int {
	b.Helper()
	all := make([]int, len(info.Columns))
	for i := range all {
		all[i] = i
	}
	seen := map[row.Key]int{}
	var after []row.Value
	for steps := 0; ; steps++ {
		query, err := m.ScanRows(nil, after, limit)
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		err = mysqldb.QueryRows(b.Context(), b.server.DB, string(query), info.Table, all, func(values []row.Value) error {
			n++
			key, failed := info.Key(values)
			seen[key]++
			after = make([]row.Value, len(info.PrimaryKey))
			for i, at := range info.PrimaryKey {
				after[i] = values[at]
			}
			return failed
		})
		if err != nil {
			b.Fatalf("%v\n%s", err, query)
		}
		if n < limit {
			return seen
		}
		if steps > 100 {
			b.Fatalf("the scan does not get any further than %+v", after)
		}
	}
}
