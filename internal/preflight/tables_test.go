package preflight

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"meridian/internal/testenv"
)

func TestRun_UnfitTablesAreNamed(t *testing.T) {
	for _, kind := range kinds {
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			here, there := regionOf(t, kind), otherRegion(t)
			schema := shop(t, here, there)
			create := func(db *testenv.Database, table, definition string) {
				db.Exec("CREATE TABLE " + schema + "." + table + " " + definition)
			}
			create(here, "keyless", "(a INT, b INT UNIQUE)")
			create(here, "prefixed", "(a VARCHAR(100), PRIMARY KEY (a(5)))")
			create(here, "unmovable", "(a VARCHAR(100) CHARACTER SET swe7 COLLATE swe7_swedish_ci PRIMARY KEY)")
			create(here, "memory", "(a INT PRIMARY KEY) ENGINE=MyISAM")
			create(here, "collated", "(a VARCHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY)")
			create(there, "collated", "(a VARCHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci PRIMARY KEY)")
			create(here, "rekeyed", "(a INT, b INT, PRIMARY KEY (a, b))")
			create(there, "rekeyed", "(a INT, b INT, PRIMARY KEY (b, a))")
			create(here, "retyped", "(a INT PRIMARY KEY)")
			create(there, "retyped", "(a BIGINT UNSIGNED PRIMARY KEY)")
			create(here, "widened", "(a INT PRIMARY KEY, e VARCHAR(20) UNIQUE)")
			create(there, "widened", "(a BIGINT PRIMARY KEY, e VARCHAR(20) UNIQUE)")
			r := check(t, configFor(t, root(here), schema, root(there)))
			expected := map[string]Result{"primary_keys": Fail, "engines": Fail, "keys_alike": Fail, "unique_keys": Warn}
			if find(t, r, "primary_keys").Result == OK {
				t.Log("all collations are supported")
			}
			want(t, r, expected)
			says(t, r, "primary_keys", "keyless has no primary key", "prefixed's primary key counts only the beginning",
				"exclude it: tables.exclude: [\""+schema+".keyless\"]")
			says(t, r, "engines", "memory is MyISAM", "ENGINE = InnoDB")
			says(t, r, "keys_alike", "collated: key column a has collation utf8mb4_bin here and utf8mb4_general_ci in region other1",
				"rekeyed: the primary key is (a, b) here and (b, a) in region other1", "retyped: key column a is int", "keyless is not in region other1")
			if strings.Contains(find(t, r, "keys_alike").Detail, "widened") {
				t.Error("INT and BIGINT keys are called different")
			}
			says(t, r, "unique_keys", "widened.e (e)", "parked", "a prefix, a UUID")
		})
	}
}

func TestRun_UniqueKeysThatTheNewestWinsAreFine(t *testing.T) {
	db := regionOf(t, testenv.KindMySQL)
	schema := shop(t, db)
	db.Exec("CREATE TABLE " + schema + ".u (a INT PRIMARY KEY, e VARCHAR(20) UNIQUE)")
	c := configFor(t, root(db), schema)
	c.Tables = include{schema: schema, rule: Rule{ParkUnique: false}}
	want(t, check(t, c), map[string]Result{"other_regions": Warn})
}

func TestRun_VersionedTablesAndGeneratedKeysCannotBeReplicated(t *testing.T) {
	maria := regionOf(t, testenv.KindMariaDB)
	schema := shop(t, maria)
	maria.Exec("CREATE TABLE " + schema + ".history (a INT PRIMARY KEY) WITH SYSTEM VERSIONING")
	r := check(t, configFor(t, root(maria), schema))
	want(t, r, map[string]Result{"columns": Fail, "other_regions": Warn})
	says(t, r, "columns", "history is system versioned")

	mysql := regionOf(t, testenv.KindMySQL)
	schema = shop(t, mysql)
	mysql.Exec("CREATE TABLE " + schema + ".g (a INT, b INT AS (a + 1) STORED PRIMARY KEY)")
	r = check(t, configFor(t, root(mysql), schema))
	want(t, r, map[string]Result{"primary_keys": Fail, "other_regions": Warn})
	says(t, r, "primary_keys", "generated column b")
}

func TestRun_VersionColumnsMustHoldATime(t *testing.T) {
	db := regionOf(t, testenv.KindMySQL)
	for _, c := range []struct {
		definition string
		result     Result
		says       string
	}{
		{"updated_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)", OK, "3 tables"},
		{"updated_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3)", Warn, "DATETIME with 3 digits of a second"},
		{"updated_at TIMESTAMP(6) NULL", Warn, "may be NULL"},
		{"updated_at BIGINT", Fail, "is bigint, no time"},
		{"other INT", Fail, "has no column updated_at"},
	} {
		schema := shop(t, db)
		db.Exec("DROP TABLE " + schema + ".orders, " + schema + ".users")
		for _, name := range []string{"a", "b", "c"} {
			db.Exec("CREATE TABLE " + schema + "." + name + " (id INT PRIMARY KEY, " + c.definition + ")")
		}
		config := configFor(t, root(db), schema)
		config.Tables = include{schema: schema, rule: Rule{VersionColumn: "updated_at"}}
		r := check(t, config)
		want(t, r, map[string]Result{"version_columns": c.result, "other_regions": Warn})
		says(t, r, "version_columns", c.says)
	}
}

func TestRun_CacheKeysMustTellRowsApart(t *testing.T) {
	db := regionOf(t, testenv.KindMySQL)
	schema := shop(t, db)
	db.Exec("DROP TABLE " + schema + ".orders, " + schema + ".users")
	db.Exec("CREATE TABLE " + schema + ".t (tenant INT, id INT, email VARCHAR(20) UNIQUE, PRIMARY KEY (tenant, id))")
	for _, c := range []struct {
		columns []string
		result  Result
		says    string
	}{
		{[]string{"tenant", "ID"}, OK, "1 tables"},
		{[]string{"email"}, OK, "1 tables"},
		{[]string{"id"}, Fail, "put all of (tenant, id) into cache.key"},
		{[]string{"tenant", "id", "nme"}, Fail, "has no column nme"},
	} {
		config := configFor(t, root(db), schema)
		config.Tables = include{schema: schema, rule: Rule{CacheColumns: c.columns}}
		r := check(t, config)
		want(t, r, map[string]Result{"cache_keys": c.result, "other_regions": Warn})
		says(t, r, "cache_keys", c.says)
	}
}

func TestRun_PatternsThatMatchNothing(t *testing.T) {
	db := regionOf(t, testenv.KindMySQL)
	schema := shop(t, db)
	c := configFor(t, root(db), schema)
	c.Rules = []Pattern{{Text: "shop.odrers", Match: func(_, table string) bool { return table == "odrers" }}}
	r := check(t, c)
	want(t, r, map[string]Result{"tables": Warn, "other_regions": Warn})
	says(t, r, "tables", "2 are replicated; nothing matches shop.odrers")
}

func TestRun_CascadesThatTheBinlogDoesNotShow(t *testing.T) {
	for _, kind := range kinds {
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			db := regionOf(t, kind)
			schema := shop(t, db)
			use := db.Open(schema)
			for _, statement := range []string{
				"CREATE TABLE parent (id INT PRIMARY KEY)",
				"CREATE TABLE child (id INT PRIMARY KEY, p INT, CONSTRAINT gone FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE)",
				"CREATE TABLE harmless (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parent (id) ON DELETE RESTRICT)",
				"INSERT INTO parent VALUES (1)", "INSERT INTO child VALUES (1, 1)",
			} {
				if _, err := use.ExecContext(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			// What the server really does decides what is right.
			file, before := binlogEnd(t, db)
			db.Exec("DELETE FROM " + schema + ".parent WHERE id = 1")
			shown := binlogChanges(t, db, file, before, schema+".child")
			result := Fail
			if shown {
				result = OK
			}
			if newest := kind == testenv.KindMySQL; newest != shown {
				t.Errorf("the binlog of %s shows cascades: %v", db.Version, shown)
			}
			r := check(t, configFor(t, root(db), schema))
			want(t, r, map[string]Result{"foreign_keys": result, "other_regions": Warn})
			if shown {
				says(t, r, "foreign_keys", "shows what its 1 cascades change")
			} else {
				says(t, r, "foreign_keys", "gone of "+schema+".child (ON DELETE CASCADE from "+schema+".parent)", "DROP FOREIGN KEY `gone`")
			}
		})
	}
}

func TestRun_CascadesOnTablesThatAreNotReplicated(t *testing.T) {
	db := regionOf(t, testenv.KindMariaDB)
	schema := shop(t, db)
	use := db.Open(schema)
	for _, statement := range []string{
		"CREATE TABLE parent (id INT PRIMARY KEY)",
		"CREATE TABLE child (id INT PRIMARY KEY, p INT, CONSTRAINT gone FOREIGN KEY (p) REFERENCES parent (id) ON UPDATE SET NULL)",
	} {
		if _, err := use.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	c := configFor(t, root(db), schema)
	for _, test := range []struct {
		except string
		result Result
	}{{"child", Warn}, {"parent", Fail}} {
		c.Tables = include{schema: schema, except: []string{test.except}}
		want(t, check(t, c), map[string]Result{"foreign_keys": test.result, "other_regions": Warn})
	}
	c.Tables = include{schema: schema, except: []string{"parent", "child"}}
	want(t, check(t, c), map[string]Result{"other_regions": Warn})
}

func binlogEnd(t *testing.T, db *testenv.Database) (file, position string) {
	t.Helper()
	query := "SHOW MASTER STATUS"
	if db.Kind == testenv.KindMySQL {
		query = "SHOW BINARY LOG STATUS"
	}
	r := rows(t, db, query)
	return r[0][0], r[0][1]
}

// binlogChanges tells whether a table has row events behind the position. (MariaDB announces the tables that a foreign key
// leads to, too, with a Table_map that no row event follows.)
func binlogChanges(t *testing.T, db *testenv.Database, file, from, table string) bool {
	t.Helper()
	id := ""
	for _, r := range rows(t, db, "SHOW BINLOG EVENTS IN '"+file+"' FROM "+from) {
		kind, info := r[2], r[5]
		if kind == "Table_map" && strings.HasSuffix(info, "("+table+")") {
			id, _, _ = strings.Cut(strings.TrimPrefix(info, "table_id: "), " ")
		}
		if id != "" && strings.HasPrefix(kind, "Delete_rows") && strings.HasPrefix(info+" ", "table_id: "+id+" ") {
			return true
		}
	}
	return false
}

func rows(t *testing.T, db *testenv.Database, query string) [][]string {
	t.Helper()
	found, err := db.DB.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = found.Close() }()
	columns, err := found.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var all [][]string
	for found.Next() {
		raw, into := make([][]byte, len(columns)), make([]any, len(columns))
		for i := range raw {
			into[i] = &raw[i]
		}
		if err := found.Scan(into...); err != nil {
			t.Fatal(err)
		}
		row := make([]string, len(raw))
		for i := range raw {
			row[i] = string(raw[i])
		}
		all = append(all, row)
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestRun_TriggersRunTwice(t *testing.T) {
	for _, kind := range kinds {
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			db := regionOf(t, kind)
			schema := shop(t, db)
			user := newUser(t, db, "trigger_"+db.Flavor, "GRANT ALL ON *.* TO %s")
			c := configFor(t, user, schema)
			trigger := func(name, body string) {
				db.Exec(fmt.Sprintf("CREATE TRIGGER %s.%s BEFORE INSERT ON %s.orders FOR EACH ROW %s", schema, name, schema, body))
			}
			trigger("quiet", "IF SUBSTRING_INDEX(USER(), '@', 1) <> '"+user.user+"' THEN SET NEW.note = 'x'; END IF")
			r := check(t, c)
			want(t, r, map[string]Result{"triggers": Warn, "other_regions": Warn})
			says(t, r, "triggers", "quiet (BEFORE INSERT on "+schema+".orders)", "ask for USER()")
			trigger("loud", "SET NEW.note = CURRENT_USER()")
			r = check(t, c)
			want(t, r, map[string]Result{"triggers": Fail, "other_regions": Warn})
			says(t, r, "triggers", "loud (BEFORE INSERT on "+schema+".orders)", "<> '"+user.user+"' THEN", "DROP TRIGGER")
			if strings.Contains(find(t, r, "triggers").Detail, "quiet") {
				t.Error("a guarded trigger fails")
			}
		})
	}
}

func TestRun_EventsAreNamedWhereTheyAreActive(t *testing.T) {
	db := testenv.Own(t, testenv.KindMariaDB, testenv.Args("--event-scheduler=ON", "--max-allowed-packet=64M"))
	schema := shop(t, db)
	db.Exec("CREATE EVENT " + schema + ".nightly ON SCHEDULE EVERY 1 DAY STARTS '2099-01-01' DO DELETE FROM " + schema + ".orders")
	db.Exec("CREATE EVENT " + schema + ".off ON SCHEDULE EVERY 1 DAY DISABLE DO DELETE FROM " + schema + ".orders")
	c := configFor(t, root(db), schema)
	r := check(t, c)
	want(t, r, map[string]Result{"events": Warn, "other_regions": Warn})
	says(t, r, "events", schema+".nightly", "ALTER EVENT `"+schema+"`.`nightly` DISABLE")
	if strings.Contains(find(t, r, "events").Detail, "off") {
		t.Error("a disabled event is named")
	}
	user := newUser(t, db, "noevents", "GRANT SELECT, INSERT, UPDATE, DELETE, TRIGGER ON *.* TO %s", "GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO %s",
		"GRANT ALL ON meridian.* TO %s")
	r = check(t, configFor(t, user, schema))
	want(t, r, map[string]Result{"events": Warn, "other_regions": Warn})
	says(t, r, "events", "do not show themselves", "GRANT EVENT ON")
}

func TestRun_ReplicaOfAnotherRegionIsRefused(t *testing.T) {
	source := otherRegion(t)
	for _, kind := range []testenv.Kind{testenv.KindMariaDB, testenv.KindMySQL} {
		db := testenv.Own(t, kind, testenv.Args("--skip-log-slave-updates", "--skip-slave-start"), testenv.AutoIncrement(10, 7))
		schema := shop(t, db)
		host, port, _ := strings.Cut(source.Address, ":")
		statement := "CHANGE MASTER TO MASTER_HOST='%s', MASTER_PORT=%s"
		if kind == testenv.KindMySQL {
			statement = "CHANGE REPLICATION SOURCE TO SOURCE_HOST='%s', SOURCE_PORT=%s"
		}
		db.Exec(fmt.Sprintf(statement, host, port))
		r := check(t, configFor(t, root(db), schema, root(source)))
		if find(t, r, "replica").Result != Fail || find(t, r, "log_replica_updates").Result != Fail {
			t.Errorf("%+v\n%+v", find(t, r, "replica"), find(t, r, "log_replica_updates"))
		}
		says(t, r, "replica", "other1", "RESET REPLICA ALL")
		r = check(t, configFor(t, root(db), schema))
		if find(t, r, "replica").Result != Warn {
			t.Errorf("%+v", find(t, r, "replica"))
		}
	}
}

func TestRun_SameServerTwiceIsRefused(t *testing.T) {
	db := regionOf(t, testenv.KindMySQL)
	r := check(t, configFor(t, root(db), shop(t, db), root(db)))
	if find(t, r, "server_id").Result != Fail {
		t.Errorf("%+v", find(t, r, "server_id"))
	}
	says(t, r, "server_id", "same server, or a copy")
}

func TestRun_UnreachableRegionsAreAWarning(t *testing.T) {
	db := regionOf(t, testenv.KindMySQL)
	schema := shop(t, db)
	c := configFor(t, root(db), schema)
	c.Others = []Region{nowhere("away")}
	r := check(t, c)
	want(t, r, map[string]Result{"other_regions": Warn, "auto_increment": Warn})
	says(t, r, "auto_increment", "away", "could not be asked")
	if r.Unreachable {
		t.Error("an unreachable neighbour counts as a server that the region cannot do without")
	}
}

func TestRun_HangingServerEndsWithItsTimeout(t *testing.T) {
	db := testenv.MariaDB1011(t)
	schema := shop(t, db)
	db.Pause()
	defer db.Continue()
	c := configFor(t, root(db), schema)
	c.Timeout = 500 * time.Millisecond
	r := check(t, c)
	if find(t, r, "database").Result != Fail || !r.Unreachable {
		t.Errorf("%+v", r)
	}
}
