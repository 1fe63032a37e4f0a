package mysqldb_test

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"meridian/internal/mysqldb"
	"meridian/internal/row"
)

// widest is a table with a column of every type that the server has.
func widest(b *bench) (*mysqldb.TableInfo, []columnType) {
	b.Helper()
	types := typesOn(b.kind)
	definition := "id INT PRIMARY KEY"
	for _, c := range types {
		definition += ", `" + c.name + "` " + c.ddl // keywords among them
	}
	return b.create("widest", definition), types
}

// expected is what a server makes of a value: the same, but for what it cannot hold.
func expected(b *bench, v row.Value) row.Value {
	if b.maria() { // which stores no -0.0
		if v.Kind == row.Double && v.Float64() == 0 {
			return row.DoubleValue(0)
		}
		if v.Kind == row.Float && v.Float32() == 0 {
			return row.FloatValue(0)
		}
	}
	return v
}

func sameValue(a, b row.Value) bool {
	if a.Kind != row.JSON || b.Kind != row.JSON {
		return a.Kind == b.Kind && a.Num == b.Num && bytes.Equal(a.Bytes, b.Bytes)
	}
	x, err := row.AppendNormalJSON(nil, a.Bytes)
	y, err2 := row.AppendNormalJSON(nil, b.Bytes)
	return err == nil && err2 == nil && bytes.Equal(x, y)
}

func compare(b *bench, fail func(string, ...any), info *mysqldb.TableInfo, after string, want, got [][]row.Value) {
	b.Helper()
	if len(got) != len(want) {
		fail("after %s there are %d rows, want %d", after, len(got), len(want))
		return
	}
	for i := range want {
		wanted := make([]row.Value, len(want[i]))
		for c := range want[i] {
			wanted[c] = expected(b, want[i][c])
			if !sameValue(wanted[c], got[i][c]) {
				fail("after %s, row %d, column %s: got %v, want %v", after, i, info.Columns[c].Name, show(got[i][c]), show(wanted[c]))
				return
			}
		}
		key, err := info.Key(wanted)
		if err != nil {
			fail("%v", err)
			return
		}
		if w, g := info.Digest(key, wanted), info.Digest(key, got[i]); w != g {
			fail("after %s, row %d: the digest is %x, want %x", after, i, g, w)
		}
	}
}

func show(v row.Value) string {
	return fmt.Sprintf("{kind %d, num %d, bytes %.60q}", v.Kind, v.Num, v.Bytes)
}

// edgeRows makes as many rows as the type with the most edges has; the others go round, and begin with NULL.
func edgeRows(types []columnType) [][]row.Value {
	longest := 0
	for _, c := range types {
		longest = max(longest, len(c.edges)+1)
	}
	var images [][]row.Value
	for i := range longest {
		image := []row.Value{row.IntValue(int64(i))}
		for _, c := range types {
			if n := i % (len(c.edges) + 1); n == 0 {
				image = append(image, row.NullValue())
			} else {
				image = append(image, c.edges[n-1])
			}
		}
		images = append(images, image)
	}
	return images
}

// rotate gives every row the values of the next, and keeps its key.
func rotate(images [][]row.Value) [][]row.Value {
	next := make([][]row.Value, len(images))
	for i := range images {
		next[i] = append([]row.Value{images[i][0]}, images[(i+1)%len(images)][1:]...)
	}
	return next
}

func TestMapping_WritesEveryEdgeValueExactly(t *testing.T) {
	everywhere(t, func(_ *testing.T, b *bench) {
		info, types := widest(b)
		m := b.mapping(info, info.Table)
		images := edgeRows(types)
		everyStatement(b, b.Errorf, m, images)
	})
}

// everyStatement takes rows through all statements and looks at them after each.
func everyStatement(b *bench, fail func(string, ...any), m *mysqldb.Mapping, images [][]row.Value) {
	b.Helper()
	info, n := m.Target(), int64(len(images))
	count := func(what string, got, want int64) {
		if got != want {
			fail("%s: %d rows affected, want %d", what, got, want)
		}
	}
	count("INSERT", b.write(m.InsertRows, images), n)
	compare(b, fail, info, "INSERT", images, b.read(m, images))

	next := rotate(images)
	count("UPDATE", b.write(m.UpdateRows, next), n)
	compare(b, fail, info, "UPDATE", next, b.read(m, images))
	count("the same UPDATE", b.write(m.UpdateRows, next), n) // matched, not changed

	next = rotate(next)
	for i := range next { // one by one, as they are written when a row is looked for that is refused
		count("single UPDATE", b.write(m.UpdateRows, next[i:i+1]), 1)
	}
	compare(b, fail, info, "single UPDATEs", next, b.read(m, images))

	next = rotate(next)
	half := len(images) / 2
	count("DELETE", b.write(m.DeleteRows, images[:half]), int64(half))
	b.write(m.UpsertRows, next) // inserts the first half, updates the second
	compare(b, fail, info, "UPSERT", next, b.read(m, images))

	count("DELETE", b.write(m.DeleteRows, images), n)
	count("DELETE of nothing", b.write(m.DeleteRows, images), 0)
	count("UPDATE of nothing", b.write(m.UpdateRows, images), 0)
	compare(b, fail, info, "DELETE", nil, b.read(m, images))
}

func TestMapping_WritesRandomRowsExactly(t *testing.T) {
	everywhere(t, func(_ *testing.T, b *bench) {
		info, types := widest(b)
		m := b.mapping(info, info.Table)
		image := rapid.Custom(func(t *rapid.T) []row.Value {
			image := []row.Value{{}}
			for _, c := range types {
				switch rapid.IntRange(0, 9).Draw(t, c.name) {
				case 0:
					image = append(image, row.NullValue())
				case 1:
					image = append(image, rapid.SampledFrom(c.edges).Draw(t, c.name))
				default:
					image = append(image, c.random.Draw(t, c.name))
				}
			}
			return image
		})
		rapid.Check(b.T, func(t *rapid.T) {
			images := rapid.SliceOfN(image, 1, 5).Draw(t, "images")
			for i := range images {
				images[i][0] = row.IntValue(int64(i))
			}
			b.exec("DELETE FROM " + b.schema + ".widest")
			count := func(got int64) {
				if got != int64(len(images)) {
					t.Errorf("%d rows affected, want %d", got, len(images))
				}
			}
			count(b.write(m.InsertRows, images))
			compare(b, t.Errorf, info, "INSERT", images, b.read(m, images))
			next := rotate(images)
			count(b.write(m.UpdateRows, next))
			compare(b, t.Errorf, info, "UPDATE", next, b.read(m, images))
		})
	})
}

func TestMapping_AppliesByColumnName(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		target := b.create("target", "extra VARCHAR(10) DEFAULT 'kept', B INT, id INT, twice INT AS (b * 2) STORED, a VARCHAR(20), PRIMARY KEY (id)")
		source := row.NewTable("elsewhere", "other", []row.Column{
			{Name: "a", Type: row.TypeText, Charset: "utf8mb4"}, {Name: "ID", Type: row.TypeInt}, {Name: "twice", Type: row.TypeInt}, {Name: "b", Type: row.TypeInt},
			{Name: "sourceOnly", Type: row.TypeInt, Generated: true},
		}, []int{1})
		m := b.mapping(target, source)
		image := func(id, n int64) []row.Value {
			return []row.Value{row.TextValue(fmt.Sprint("a", n)), row.IntValue(id), row.IntValue(-1), row.IntValue(n), row.IntValue(7)}
		}
		look := func() string {
			return b.value("SELECT GROUP_CONCAT(CONCAT_WS('/', id, a, b, twice, extra) ORDER BY id) FROM " + b.schema + ".target")
		}
		b.write(m.InsertRows, [][]row.Value{image(1, 10), image(2, 20)})
		if got, want := look(), "1/a10/10/20/kept,2/a20/20/40/kept"; got != want {
			t.Errorf("after INSERT: %s, want %s", got, want)
		}
		b.exec("UPDATE " + b.schema + ".target SET extra = 'mine' WHERE id = 2")
		b.write(m.UpdateRows, [][]row.Value{image(1, 11), image(2, 21)})
		b.write(m.UpsertRows, [][]row.Value{image(2, 22), image(3, 30)})
		if got, want := look(), "1/a11/11/22/kept,2/a22/22/44/mine,3/a30/30/60/kept"; got != want {
			t.Errorf("after UPDATE: %s, want %s", got, want)
		}
		b.write(m.DeleteRows, [][]row.Value{image(1, 0), image(3, 0)})
		if got, want := look(), "2/a22/22/44/mine"; got != want {
			t.Errorf("after DELETE: %s, want %s", got, want)
		}
	})
}

func TestMapping_WritesZeroIntoAutoIncrement(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		info := b.create("counter", "id INT AUTO_INCREMENT PRIMARY KEY, a INT")
		m := b.mapping(info, info.Table)
		b.write(m.InsertRows, [][]row.Value{{row.IntValue(5), row.IntValue(1)}, {row.IntValue(0), row.IntValue(2)}, {row.IntValue(-1), row.IntValue(3)}})
		if got := b.value("SELECT GROUP_CONCAT(id ORDER BY id) FROM " + b.schema + ".counter"); got != "-1,0,5" {
			t.Errorf("the ids are %s", got)
		}
	})
}

func TestMapping_WritesTheNewSpellingOfAnEqualKey(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		for i, c := range []struct{ ddl, old, new string }{
			{"CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci", "a", "A"},
			{"CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci", "straße", "STRASSE"},
			{"CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "x", "x  "},
			{"CHARACTER SET latin1", "é", "E"},
		} {
			name := fmt.Sprint("spelled", i)
			info := b.create(name, "k VARCHAR(20) "+c.ddl+" PRIMARY KEY, n INT")
			m := b.mapping(info, info.Table)
			b.write(m.InsertRows, [][]row.Value{{row.TextValue(c.old), row.IntValue(1)}})
			next := [][]row.Value{{row.TextValue(c.new), row.IntValue(2)}}
			if n := b.write(m.UpdateRows, next); n != 1 {
				t.Errorf("%s: %q matched %d rows as %q", c.ddl, c.old, n, c.new)
			}
			got := b.read(m, next)
			if len(got) != 1 || string(got[0][0].Bytes) != c.new || got[0][1].Int64() != 2 {
				t.Errorf("%s: the row is %v", c.ddl, got)
			}
			b.write(m.UpsertRows, [][]row.Value{{row.TextValue(c.old), row.IntValue(3)}})
			if got := b.read(m, next); len(got) != 1 || string(got[0][0].Bytes) != c.old || got[0][1].Int64() != 3 {
				t.Errorf("%s: after the upsert the row is %v", c.ddl, got)
			}
		}
	})
}

func TestMapping_KeepsWithinItsLimits(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		info := b.create("limited", "id INT PRIMARY KEY, a VARCHAR(2000)")
		m := b.mapping(info, info.Table)
		var images [][]row.Value
		for i := range 40 {
			images = append(images, []row.Value{row.IntValue(int64(i)), row.TextValue(strings.Repeat("x", 1000))})
		}
		m.Limit(7, math.MaxInt)
		for name, build := range map[string]writer{"insert": m.InsertRows, "update": m.UpdateRows, "delete": m.DeleteRows, "lock": m.LockRows, "upsert": m.UpsertRows} {
			if _, n, err := build(nil, images); n != 7 || err != nil {
				t.Errorf("%s: %d rows where 7 are allowed (%v)", name, n, err)
			}
		}
		m.Limit(100, 5000)
		for name, build := range map[string]writer{"insert": m.InsertRows, "update": m.UpdateRows} {
			prefix := []byte("something before")
			if sql, n, err := build(prefix, images); n != 4 || len(sql) > 5000+len(prefix)+200 || err != nil {
				t.Errorf("%s: %d rows, %d bytes where 5000 are allowed (%v)", name, n, len(sql), err)
			}
		}
		m.Limit(100, 10)
		if _, n, err := m.InsertRows(nil, images); n != 1 || err != nil {
			t.Errorf("a row that is longer than the limit: %d rows (%v)", n, err)
		}
		m.Limit(3, 5000)
		if n := b.write(m.InsertRows, images); n != 40 {
			t.Errorf("%d rows inserted", n)
		}
		if n := b.write(m.UpdateRows, images); n != 40 {
			t.Errorf("%d rows updated", n)
		}
		if n := b.write(m.DeleteRows, images); n != 40 {
			t.Errorf("%d rows deleted", n)
		}
	})
}
