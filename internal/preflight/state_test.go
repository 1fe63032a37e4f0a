package preflight

import (
	"strings"
	"testing"

	"meridian/internal/propagate"
	"meridian/internal/testenv"
)

// Meridian's own tables must be as this version makes them. What is not is named, and what is said to mend it does.
func TestState_TablesOfAnotherVersionAreNamedAndTheirFixesMendThem(t *testing.T) {
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			db := regionOf(t, kind)
			fresh := func() {
				t.Helper()
				db.Exec("DROP DATABASE IF EXISTS meridian")
				for _, statement := range propagate.StateSchema() {
					db.Exec(statement)
				}
			}
			defer db.Exec("DROP DATABASE IF EXISTS meridian")
			config := configFor(t, root(db), shop(t, db))
			config.StateSchema = propagate.StateSchema()
			result := func(want Result, words ...string) Check {
				t.Helper()
				r := check(t, config)
				says(t, r, "state_schema", words...)
				c := find(t, r, "state_schema")
				if c.Result != want {
					t.Errorf("it is %s, want %s: %s", c.Result, want, c.Detail)
				}
				return c
			}
			fresh()
			result(OK, "tables, as this version makes them")
			if kind != testenv.KindMySQL && kind != testenv.KindMariaDB1011 {
				return // one of each is enough for what follows
			}
			for _, tc := range []struct {
				alter string
				want  Result
				words []string
			}{
				{"DROP TABLE meridian.provenance", Fail, []string{"meridian.provenance is missing", "CREATE TABLE"}},
				{"ALTER TABLE meridian.provenance DROP COLUMN last_record", Fail, []string{"no column last_record", "ADD COLUMN `last_record` BIGINT UNSIGNED"}},
				{"ALTER TABLE meridian.parked DROP KEY place, DROP COLUMN own_change, ADD UNIQUE KEY place (source, shard, bus_offset)", Fail,
					[]string{"no column own_change", "key place on (source, shard, bus_offset)"}},
				{"ALTER TABLE meridian.provenance MODIFY next_offset INT UNSIGNED NOT NULL", Fail, []string{"column next_offset", "is int", "MODIFY COLUMN `next_offset` BIGINT UNSIGNED NOT NULL"}},
				{"ALTER TABLE meridian.provenance MODIFY batch BLOB", Fail, []string{"column batch", "blob NULL"}},
				{"ALTER TABLE meridian.provenance MODIFY applied BIGINT UNSIGNED NOT NULL", Fail, []string{"column applied", "without a default"}},
				{"ALTER TABLE meridian.parked MODIFY source VARCHAR(64) CHARACTER SET latin1 COLLATE latin1_swedish_ci NOT NULL", Fail, []string{"column source", "COLLATE latin1_swedish_ci"}},
				{"ALTER TABLE meridian.parked MODIFY id BIGINT UNSIGNED NOT NULL", Fail, []string{"column id", "without AUTO_INCREMENT"}},
				{"ALTER TABLE meridian.conflicts DROP KEY `row`, ADD KEY `row` (table_name, row_key(9))", Fail, []string{"key row on (table_name, row_key(9))", "ADD KEY `row` (`table_name`, `row_key`(255))"}},
				{"ALTER TABLE meridian.owner DROP PRIMARY KEY", Fail, []string{"no key PRIMARY", "ADD PRIMARY KEY (`shard`)"}},
				{"ALTER TABLE meridian.parked ADD note TEXT", Warn, []string{"has a column note"}},
				{"ALTER TABLE meridian.parked ADD must INT NOT NULL", Fail, []string{"has a column must", "DROP COLUMN `must`"}},
			} {
				fresh()
				db.Exec(tc.alter)
				c := result(tc.want, tc.words...)
				for statement := range strings.SplitSeq(c.Fix, ";\n") { // what mends it does
					if statement = strings.TrimSpace(statement); statement != "" && !strings.HasPrefix(statement, "--") {
						db.Exec(statement)
					}
				}
				result(OK)
			}
		})
	}
}
