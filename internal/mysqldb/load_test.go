package mysqldb_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"meridian/internal/mysqldb"
	"meridian/internal/row"
	"meridian/internal/testenv"
)

func TestLoadTable_DescribesTheTable(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		b.create("parent", "id INT PRIMARY KEY, code INT UNIQUE")
		b.exec("CREATE TABLE " + b.schema + ".`Orders`" + ` (
			region CHAR(2) CHARACTER SET latin1 COLLATE latin1_bin, id INT UNSIGNED AUTO_INCREMENT,
			mail VARCHAR(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci NOT NULL, twice INT AS (LENGTH(mail) * 2) VIRTUAL, thrice INT AS (LENGTH(mail) * 3) STORED,
			j JSON, at TIMESTAMP(3) NULL DEFAULT CURRENT_TIMESTAMP(3), parent INT, fixed BINARY(4), kind ENUM('a','b,c'),
			PRIMARY KEY (region, mail(10)), UNIQUE KEY (id), UNIQUE KEY pair (parent, kind), KEY (at),
			CONSTRAINT fk FOREIGN KEY (parent) REFERENCES ` + b.schema + `.parent (id) ON DELETE CASCADE ON UPDATE RESTRICT)`)
		b.exec("CREATE TRIGGER " + b.schema + ".stamp BEFORE UPDATE ON " + b.schema + ".`Orders` FOR EACH ROW SET NEW.at = NOW()")
		info := b.load("Orders")

		if info.String() != b.schema+".Orders" || info.Engine != "InnoDB" || info.SystemVersioned {
			t.Errorf("it is %s, engine %s", info, info.Engine)
		}
		var names []string
		for _, c := range info.Columns {
			names = append(names, c.Name)
		}
		if want := []string{"region", "id", "mail", "twice", "thrice", "j", "at", "parent", "fixed", "kind"}; !slices.Equal(names, want) {
			t.Errorf("columns %v", names)
		}
		hints := info.Hints()
		for name, want := range map[string]row.Column{
			"region": {Name: "region", Type: row.TypeText, Charset: "latin1", Collation: "latin1_bin"},
			"id":     {Name: "id", Type: row.TypeUint},
			"twice":  {Name: "twice", Type: row.TypeInt, Generated: true},
			"thrice": {Name: "thrice", Type: row.TypeInt, Generated: true},
			"at":     {Name: "at", Type: row.TypeTimestamp, Fraction: 3},
			"fixed":  {Name: "fixed", Type: row.TypeBinary, Length: 4},
		} {
			if diff := cmp.Diff(want, hints[name]); diff != "" {
				t.Errorf("column %s: %s", name, diff)
			}
		}
		if c := hints["j"]; c.Type != row.TypeJSON || c.Generated {
			t.Errorf("the JSON column is %+v", c)
		}
		if c := hints["kind"]; !slices.Equal(c.Labels, []string{"a", "b,c"}) {
			t.Errorf("the labels are %q", c.Labels)
		}
		if !slices.Equal(info.PrimaryKey, []int{0, 2}) || !slices.Equal(info.KeyPrefix, []int{0, 10}) || !info.HasPrefixKey() {
			t.Errorf("the primary key is %v, prefixes %v", info.PrimaryKey, info.KeyPrefix)
		}
		if got := info.KeyCollations(); !slices.Equal(got, []string{"latin1_bin", "utf8mb4_unicode_ci"}) {
			t.Errorf("its collations are %v", got)
		}
		if info.AutoIncrement != 1 {
			t.Errorf("the AUTO_INCREMENT column is %d", info.AutoIncrement)
		}
		if diff := cmp.Diff([]mysqldb.UniqueKey{{Name: "id", Columns: []int{1}}, {Name: "pair", Columns: []int{7, 9}}}, info.UniqueKeys); diff != "" {
			t.Errorf("unique keys: %s", diff)
		}
		if diff := cmp.Diff([]bool{false, false, false, true, true, true, true, true, true, true}, info.Nullable); diff != "" {
			t.Errorf("nullable: %s", diff)
		}
		if diff := cmp.Diff([]mysqldb.Trigger{{Name: "stamp", Timing: "BEFORE", Event: "UPDATE"}}, info.Triggers); diff != "" {
			t.Errorf("triggers: %s", diff)
		}
		key := mysqldb.ForeignKey{Name: "fk", Schema: b.schema, Table: "Orders", Columns: []string{"parent"}, ReferencedSchema: b.schema,
			ReferencedTable: "parent", ReferencedColumns: []string{"id"}, OnUpdate: "RESTRICT", OnDelete: "CASCADE"}
		if diff := cmp.Diff([]mysqldb.ForeignKey{key}, info.ForeignKeys); diff != "" {
			t.Errorf("foreign keys: %s", diff)
		}
		if diff := cmp.Diff([]mysqldb.ForeignKey{key}, b.load("parent").ReferencedBy); diff != "" || !key.Cascades() {
			t.Errorf("references to the parent: %s", diff)
		}
		if plain := b.load("parent"); plain.HasPrefixKey() || plain.AutoIncrement != -1 || len(plain.ForeignKeys) > 0 {
			t.Errorf("the parent is %+v", plain)
		}
	})
}

func TestLoadTable_SeesWhatIsSpecialToAServer(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		if b.kind != testenv.KindMySQL80 { // invisible columns came with 8.0.23
			if info := b.create("hidden", "id INT PRIMARY KEY, a INT INVISIBLE DEFAULT 3"); !slices.Equal(info.Invisible, []bool{false, true}) {
				t.Errorf("invisible columns: %v", info.Invisible)
			}
		}
		if b.maria() {
			info := b.create("special", "id UUID PRIMARY KEY, ip INET6, v4 INET4, j JSON, `q``j` JSON, plain LONGTEXT, CHECK (plain <> 'x')")
			var types []row.Type
			for _, c := range info.Columns {
				types = append(types, c.Type)
			}
			if want := []row.Type{row.TypeUUID, row.TypeInet6, row.TypeInet4, row.TypeJSON, row.TypeJSON, row.TypeText}; !slices.Equal(types, want) {
				t.Errorf("the types are %v", types)
			}
			b.exec("CREATE TABLE " + b.schema + ".history (id INT PRIMARY KEY) WITH SYSTEM VERSIONING")
			if !b.load("history").SystemVersioned {
				t.Error("a system-versioned table is taken for another")
			}
			return
		}
		if b.kind == testenv.KindMySQL {
			info := b.create("functional", "id INT PRIMARY KEY, a VARCHAR(20), UNIQUE KEY low ((LOWER(a)), id)")
			if diff := cmp.Diff([]mysqldb.UniqueKey{{Name: "low", Columns: []int{-1, 0}}}, info.UniqueKeys); diff != "" {
				t.Errorf("unique keys: %s", diff)
			}
		}
	})
}

func TestLoadTable_NamesWhatIsNoTable(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		b.create("real", "id INT PRIMARY KEY")
		b.exec("CREATE VIEW " + b.schema + ".seen AS SELECT 1 AS one")
		for name, kind := range map[string]string{"nothing": "", "seen": "VIEW"} {
			_, err := b.server.LoadTable(t.Context(), b.schema, name)
			e, ok := errors.AsType[*mysqldb.NoTableError](err)
			if !ok || !errors.Is(err, mysqldb.ErrNoTable) || e.Type != kind || !strings.Contains(err.Error(), b.schema+"."+name) {
				t.Errorf("%s: %v", name, err)
			}
		}
		tables, err := b.server.ListTables(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ours := slices.DeleteFunc(slices.Clone(tables), func(n mysqldb.TableName) bool { return n.Schema != b.schema })
		if len(ours) != 1 || ours[0].String() != b.schema+".real" || ours[0].Engine != "InnoDB" {
			t.Errorf("the schema's tables are %v", ours)
		}
		if slices.ContainsFunc(tables, func(n mysqldb.TableName) bool { return n.Schema == "mysql" || n.Schema == "sys" }) {
			t.Errorf("the server's own tables are listed: %v", tables)
		}
	})
}

func TestNewMapping_NamesWhatDoesNotFit(t *testing.T) {
	column := func(names ...string) []row.Column {
		var columns []row.Column
		for _, n := range names {
			columns = append(columns, row.Column{Name: n, Type: row.TypeInt})
		}
		return columns
	}
	target := func(key ...int) *mysqldb.TableInfo {
		return &mysqldb.TableInfo{Table: row.NewTable("shop", "orders", column("a", "b", "c"), key)}
	}
	_, err := mysqldb.NewMapping(mysqldb.MySQL, target(0), row.NewTable("shop", "orders", column("A", "d"), []int{0}))
	if e, ok := errors.AsType[*mysqldb.MissingColumnError](err); !ok || e.Table != "shop.orders" || e.Column != "d" {
		t.Errorf("got %v", err)
	}
	for name, c := range map[string]struct {
		target *mysqldb.TableInfo
		key    []int
	}{
		"another column": {target(0), []int{1}}, "another order": {target(0, 1), []int{1, 0}}, "fewer columns": {target(0, 1), []int{0}}, "no key": {target(), nil},
	} {
		_, err := mysqldb.NewMapping(mysqldb.MySQL, c.target, row.NewTable("shop", "orders", column("a", "b", "c"), c.key))
		if e, ok := errors.AsType[*mysqldb.KeyMismatchError](err); !ok || e.Table != "shop.orders" {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := mysqldb.NewKeyMapping(mysqldb.MySQL, target()); err == nil {
		t.Error("a table without a key has keys")
	}
}
