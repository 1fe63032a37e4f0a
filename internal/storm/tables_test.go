package storm_test

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"strings"
)

// table is one of the storm's tables. Besides its key and its token it has columns whose values follow from the token:
// so a row tells by itself whether it is whole.
type table struct {
	name    string
	key     []string // columns of the primary key
	ddl     string   // without its name
	columns []column // beside key and token
	hot     int      // so many keys are fought over
	cold    int      // so many more are written now and then
	// spell gives the key's columns as SQL literals, for the n-th key; a case-insensitive key has several spellings.
	spell func(r *rand.Rand, n int) []string
	// identity tells from a key's texts, as SELECT gives them, which row it is.
	identity func(texts []string) string
}

// column is a column whose value follows from the token.
type column struct {
	name   string
	read   string // the expression that gives it as text
	values func(h uint64, token string) (literal, text string)
}

const null = "\x00NULL"

func plain(name string, f func(h uint64, token string) string) column {
	return column{name, name, func(h uint64, token string) (string, string) {
		text := f(h, token)
		if text == null {
			return "NULL", null
		}
		return "'" + strings.ReplaceAll(text, "'", "''") + "'", text
	}}
}

func number(name string, f func(h uint64) string) column {
	return column{name, name, func(h uint64, _ string) (string, string) { text := f(h); return text, text }}
}

// hash mixes a token with a column's name.
func hash(token, name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(token + "/" + name))
	x := h.Sum64()
	x ^= x >> 29
	x *= 0xbf58476d1ce4e5b9
	return x ^ x>>32
}

func clock(h uint64) string {
	sign := ""
	if h&1 == 1 {
		sign = "-"
	}
	return fmt.Sprintf("%s%02d:%02d:%02d.%06d", sign, 1+h>>1%800, h>>12%60, h>>18%60, h>>24%1_000_000)
}

func date(h uint64) string { return fmt.Sprintf("%04d-%02d-%02d", 1971+h%60, 1+h>>8%12, 1+h>>12%28) }

func pick(h uint64, list ...string) string { return list[h%uint64(len(list))] }

func integers(_ *rand.Rand, n int) []string { return []string{strconv.Itoa(n*7 - 10)} }

func joined(texts []string) string { return strings.Join(texts, "|") }

// fruits are the keys of the case- and accent-insensitive table, each with spellings that are the same key.
var fruits = [][]string{{"apple", "Apple", "APPLE"}, {"café", "cafe", "CAFÉ"}, {"pear", "PEAR", "peaR"}, {"Übel", "ubel", "UBEL"}}

func fruit(r *rand.Rand, n int) []string {
	word := fmt.Sprintf("fruit %d", n)
	if n < len(fruits) {
		word = fruits[n][r.IntN(len(fruits[n]))]
	} else if r.IntN(2) == 0 {
		word = strings.ToUpper(word)
	}
	return []string{"'" + word + "'"}
}

func sameFruit(texts []string) string {
	for _, list := range fruits {
		for _, s := range list {
			if s == texts[0] {
				return list[0]
			}
		}
	}
	return strings.ToLower(texts[0])
}

// storms gives the tables. collation is that of the case-insensitive key; uniques tells whether the values of the
// secondary unique key may collide between regions.
func storms(collation string, collide bool) []*table {
	unique := plain("u", func(_ uint64, token string) string { return "u " + token })
	if collide {
		unique = plain("u", func(h uint64, _ string) string { return "u " + strconv.Itoa(int(h%5)) })
	}
	return []*table{
		{
			name: "ints", key: []string{"id"}, hot: 2, cold: 40, spell: integers, identity: joined,
			ddl: "id INT PRIMARY KEY, n BIGINT UNSIGNED NOT NULL, d DECIMAL(30,6), f DOUBLE, tm TIME(6), ts TIMESTAMP(6) NULL, dt DATETIME(3)",
			columns: []column{
				number("n", func(h uint64) string { return strconv.FormatUint(h, 10) }),
				number("d", func(h uint64) string { return fmt.Sprintf("%d.%06d", int32(h), h>>32%1_000_000) }),
				{"f", "CAST(f * 8 AS SIGNED)", func(h uint64, _ string) (string, string) {
					return strconv.FormatFloat(float64(int32(h))/8, 'f', -1, 64), strconv.Itoa(int(int32(h)))
				}},
				plain("tm", func(h uint64, _ string) string { return clock(h) }),
				plain("ts", func(h uint64, _ string) string {
					return date(h) + fmt.Sprintf(" %02d:%02d:%02d.%06d", h>>20%24, h>>25%60, h>>31%60, h>>37%1_000_000)
				}),
				plain("dt", func(h uint64, _ string) string {
					if h%4 == 0 {
						return null
					}
					return date(h) + fmt.Sprintf(" %02d:%02d:%02d.%03d", h>>20%24, h>>25%60, h>>31%60, h>>37%1000)
				}),
			},
		},
		{
			name: "pairs", key: []string{"b", "a"}, hot: 2, cold: 40, identity: joined,
			spell: func(_ *rand.Rand, n int) []string { return []string{fmt.Sprintf("'%c'", 'x'+n%3), strconv.Itoa(n / 3)} },
			ddl: "a SMALLINT NOT NULL, b VARCHAR(8) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, PRIMARY KEY (b, a), s SET('x','y','z'), " +
				"e ENUM('one','two','drei') NOT NULL, bt BIT(17), note VARCHAR(80) CHARACTER SET utf8mb4, l1 VARCHAR(40) CHARACTER SET latin1",
			columns: []column{
				plain("s", func(h uint64, _ string) string { return pick(h, "", "x", "x,z", "y", "x,y,z") }),
				plain("e", func(h uint64, _ string) string { return pick(h, "one", "two", "drei") }),
				{"bt", "bt+0", func(h uint64, _ string) (string, string) { t := strconv.Itoa(int(h % (1 << 17))); return t, t }},
				plain("note", func(h uint64, token string) string {
					return pick(h, "a 'quote'", "grüße 😀", "日本語", "") + " " + token
				}),
				plain("l1", func(h uint64, _ string) string { return pick(h, "naïve", null, "Ärger 50", "plain") }),
			},
		},
		{
			name: "words", key: []string{"w"}, hot: 3, cold: 30, spell: fruit, identity: sameFruit,
			ddl: "w VARCHAR(20) CHARACTER SET utf8mb4 COLLATE " + collation + " PRIMARY KEY, bl VARBINARY(40), y YEAR, dd DATE, tx MEDIUMTEXT CHARACTER SET utf8mb4",
			columns: []column{
				{"bl", "HEX(bl)", func(h uint64, _ string) (string, string) {
					t := fmt.Sprintf("%016X00FF2700", h)
					return "0x" + t, t
				}},
				number("y", func(h uint64) string { return strconv.Itoa(int(1901 + h%250)) }),
				plain("dd", func(h uint64, _ string) string { return date(h) }),
				plain("tx", func(h uint64, token string) string { return strings.Repeat(token+" ", int(h%40)) }),
			},
		},
		{
			name: "uniq", key: []string{"id"}, hot: 3, cold: 25, spell: integers, identity: joined,
			ddl: "id BIGINT PRIMARY KEY, u VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, UNIQUE KEY by_u (u), j JSON, n INT NULL",
			columns: []column{
				unique,
				{"j", "CONCAT(JSON_EXTRACT(j, '$.n'), JSON_EXTRACT(j, '$.t'))", func(h uint64, token string) (string, string) {
					return fmt.Sprintf(`'{"t": %q, "n": %d}'`, token, h%1000), fmt.Sprintf(`%d%q`, h%1000, token)
				}},
				number("n", func(h uint64) string { return strconv.Itoa(int(int32(h))) }),
			},
		},
	}
}

func (t *table) create() string {
	return "CREATE TABLE " + t.name + " (token VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, " + t.ddl + ") ENGINE=InnoDB"
}

// assignments gives "column = literal" for the token and all that follows from it.
func (t *table) assignments(token string) []string {
	list := []string{"token = '" + token + "'"}
	for _, c := range t.columns {
		literal, _ := c.values(hash(token, c.name), token)
		list = append(list, c.name+" = "+literal)
	}
	return list
}

// where matches the key.
func (t *table) where(key []string) string {
	list := make([]string, len(key))
	for i, literal := range key {
		list[i] = t.key[i] + " = " + literal
	}
	return strings.Join(list, " AND ")
}

// anyOf matches rows by their keys as texts.
func (t *table) anyOf(keys [][]string) string {
	list := make([]string, len(keys))
	for i, key := range keys {
		quoted := make([]string, len(key))
		for k, text := range key {
			quoted[k] = "'" + text + "'"
		}
		list[i] = "(" + t.where(quoted) + ")"
	}
	return strings.Join(list, " OR ")
}

func (t *table) setKey(key []string) []string {
	list := make([]string, len(key))
	for i, literal := range key {
		list[i] = t.key[i] + " = " + literal
	}
	return list
}

// insert is an INSERT or REPLACE of a row.
func (t *table) insert(verb string, key []string, token string) string {
	return verb + " INTO " + t.name + " SET " + strings.Join(append(t.setKey(key), t.assignments(token)...), ", ")
}

// query reads all rows as text: the key, the token, the other columns.
func (t *table) query() string {
	list := append(append([]string{}, t.key...), "token")
	for _, c := range t.columns {
		list = append(list, c.read)
	}
	return "SELECT " + strings.Join(list, ", ") + " FROM " + t.name + " ORDER BY " + strings.Join(t.key, ", ")
}

// texts is what query gives for a row with that token, behind its key.
func (t *table) texts(token string) []string {
	list := []string{token}
	for _, c := range t.columns {
		_, text := c.values(hash(token, c.name), token)
		list = append(list, text)
	}
	return list
}

// text is what SELECT gives for a literal.
func text(literal string) string { return strings.Trim(literal, "'") }

func texts(literals []string) []string {
	list := make([]string, len(literals))
	for i, l := range literals {
		list[i] = text(l)
	}
	return list
}
