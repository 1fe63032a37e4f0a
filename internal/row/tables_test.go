package row

import (
	"bytes"
	"compress/flate"
	"database/sql"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"meridian/internal/testenv"
)

var update = flag.Bool("update", false, "write tables.bin from what the servers say")

// session is one connection to a server that gives bytes as they are.
type session struct {
	t       testing.TB
	conn    *sql.Conn
	mariadb bool
}

func openSession(t testing.TB, db *testenv.Database) *session {
	t.Helper()
	conn, err := db.Open(db.FreshSchema(t)).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &session{t, conn, db.Flavor == "mariadb"}
	s.exec("SET NAMES utf8mb4, sql_mode = '', time_zone = '+00:00'")
	s.exec("SET character_set_results = NULL")
	return s
}

func (s *session) exec(query string) {
	s.t.Helper()
	if _, err := s.conn.ExecContext(s.t.Context(), query); err != nil {
		s.t.Fatalf("%.200s: %v", query, err)
	}
}

// query gives all rows, NULL as nil.
func (s *session) query(query string) [][][]byte {
	s.t.Helper()
	rows, err := s.conn.QueryContext(s.t.Context(), query)
	if err != nil {
		s.t.Fatalf("%.200s: %v", query, err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		s.t.Fatal(err)
	}
	var all [][][]byte
	for rows.Next() {
		row := make([][]byte, len(names))
		targets := make([]any, len(names))
		for i := range row {
			targets[i] = &row[i]
		}
		if err := rows.Scan(targets...); err != nil {
			s.t.Fatal(err)
		}
		all = append(all, row)
	}
	if err := rows.Err(); err != nil {
		s.t.Fatalf("%.200s: %v", query, err)
	}
	return all
}

// fill makes a table with the columns id and v, a text in utf8mb4 or bytes, out of a list.
func (s *session) fill(name, columnType string, list []string) {
	s.t.Helper()
	s.exec("CREATE TABLE " + name + " (id INT PRIMARY KEY, v " + columnType + ")")
	s.exec("BEGIN")
	defer s.exec("COMMIT")
	for from := 0; from < len(list); from += 5000 {
		var q bytes.Buffer
		q.WriteString("INSERT INTO " + name + " VALUES ")
		for i, v := range list[from:min(from+5000, len(list))] {
			if i > 0 {
				q.WriteByte(',')
			}
			fmt.Fprintf(&q, "(%d,x'%x')", from+i, v)
		}
		s.exec(q.String())
	}
}

const (
	asText  = "VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
	asBytes = "VARBINARY(160)"
)

// tableWriter writes the form that tables reads.
type tableWriter struct{ sections map[string]table }

func (w *tableWriter) bytes(t *testing.T) []byte {
	var names []string
	for name := range w.sections {
		names = append(names, name)
	}
	slices.Sort(names)
	b := binary.AppendUvarint(nil, uint64(len(names)))
	for _, name := range names {
		b = append(binary.AppendUvarint(b, uint64(len(name))), name...)
		b = binary.AppendUvarint(b, uint64(len(w.sections[name])))
		for _, column := range w.sections[name] {
			b = binary.AppendUvarint(b, uint64(len(column)))
			for _, n := range column {
				b = binary.AppendVarint(b, n)
			}
		}
		t.Logf("section %s: %d bytes so far", name, len(b))
	}
	var out bytes.Buffer
	z, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// weightsByLevel is a text's weights on three levels of uca1400.
func weightsByLevel(text string) string {
	var parts []string
	for level := 1; level <= 3; level++ {
		parts = append(parts, fmt.Sprintf("WEIGHT_STRING(%s COLLATE utf8mb4_uca1400_as_cs LEVEL %d)", text, level))
	}
	return strings.Join(parts, ", ")
}

// addUCA reads the weights of all characters, and finds the sequences with weights of their own by trying every letter
// with every character that has no weight on the first level, every pair within a block, and every sequence of three that
// continues one of two.
func (w *tableWriter) addUCA(s *session) {
	var list []string
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if utf8.ValidRune(r) && (r < 0x34000 || 0xe0000 <= r && r < 0xf0100) {
			list = append(list, string(r))
		}
	}
	s.fill("c", asText, list)
	s.exec("CREATE TABLE w ENGINE=MyISAM AS SELECT id, v, ORD(CONVERT(v USING utf32)) cp, 0 block, " +
		"WEIGHT_STRING(v COLLATE utf8mb4_uca1400_as_cs LEVEL 1) w1, WEIGHT_STRING(v COLLATE utf8mb4_uca1400_as_cs LEVEL 2) w2, " +
		"WEIGHT_STRING(v COLLATE utf8mb4_uca1400_as_cs LEVEL 3) w3 FROM c")
	var singles, several ucaSection
	for _, row := range s.query("SELECT v, w1, w2, w3 FROM w ORDER BY id") {
		r, _ := utf8.DecodeRune(row[0])
		if !bytes.Equal(appendImplicit(nil, r, 0), row[1]) || string(row[2]) != "\x00\x20" || string(row[3]) != "\x00\x02" {
			singles.add([]rune{r}, row[1:])
		}
	}
	s.exec("CREATE TABLE e ENGINE=MyISAM AS SELECT * FROM w WHERE cp < 0x20000 AND NOT (LENGTH(w1) = 4 AND w1 LIKE x'fb25')")
	s.exec("UPDATE e SET block = cp >> 7")
	s.exec("ALTER TABLE e ADD KEY (block)")
	s.exec("CREATE TABLE i ENGINE=MyISAM AS SELECT * FROM e WHERE w1 = ''")
	differs := " WHERE WEIGHT_STRING(CONCAT(a.v,b.v) COLLATE utf8mb4_uca1400_as_cs) <> CONCAT(a.w1,b.w1,a.w2,b.w2,a.w3,b.w3)"
	s.exec("CREATE TABLE p ENGINE=MyISAM AS SELECT CONCAT(a.v,b.v) v, a.v first, b.v second, b.block FROM e a, i b" + differs +
		" UNION SELECT CONCAT(a.v,b.v), a.v, b.v, b.block FROM e a JOIN e b ON a.block = b.block" + differs)
	s.exec("CREATE TABLE q ENGINE=MyISAM AS SELECT CONCAT(p.v, e.v) v FROM p JOIN e ON p.block = e.block WHERE " +
		"WEIGHT_STRING(CONCAT(p.v, e.v) COLLATE utf8mb4_uca1400_as_cs LEVEL 1) <> CONCAT(WEIGHT_STRING(p.v COLLATE utf8mb4_uca1400_as_cs LEVEL 1), e.w1) " +
		"AND WEIGHT_STRING(CONCAT(p.v, e.v) COLLATE utf8mb4_uca1400_as_cs LEVEL 1) <> CONCAT(" +
		"WEIGHT_STRING(p.first COLLATE utf8mb4_uca1400_as_cs LEVEL 1), WEIGHT_STRING(CONCAT(p.second, e.v) COLLATE utf8mb4_uca1400_as_cs LEVEL 1))")
	for _, row := range s.query("SELECT v, " + weightsByLevel("v") + " FROM (SELECT v FROM q UNION SELECT v FROM p) x ORDER BY CHAR_LENGTH(v) DESC, v COLLATE utf8mb4_bin") {
		several.add([]rune(string(row[0])), row[1:])
	}
	w.sections["uca1400"] = singles.table(true)
	w.sections["uca1400 sequences"] = several.table(false)
	s.t.Logf("uca1400: %d characters, %d sequences", len(singles.sizes), len(several.sizes))
}

type ucaSection struct {
	sizes, runes []int64
	counts       [3][]int64
	weights      [3][]int64
}

func (u *ucaSection) add(runes []rune, levels [][]byte) {
	u.sizes = append(u.sizes, int64(len(runes)))
	for _, r := range runes {
		u.runes = append(u.runes, int64(r))
	}
	for level, b := range levels {
		u.counts[level] = append(u.counts[level], int64(len(b)/2))
		for ; len(b) > 0; b = b[2:] {
			u.weights[level] = append(u.weights[level], int64(binary.BigEndian.Uint16(b)))
		}
	}
}

func (u *ucaSection) table(single bool) table {
	first := table{u.sizes, u.runes}
	if single {
		first = table{distances(u.runes)}
	}
	return append(first, u.counts[0], u.counts[1], u.counts[2], distances(u.weights[0]), u.weights[1], u.weights[2])
}

func distances(list []int64) []int64 {
	out := make([]int64, len(list))
	previous := int64(0)
	for i, n := range list {
		out[i], previous = n-previous, n
	}
	return out
}

// addCharset reads which codes are characters that come back as the same code, on every one of the servers.
func (w *tableWriter) addCharset(name string, sessions ...*session) {
	var codes, runes []int64
	for code, r := range twoWay(name, sessions...) {
		if r >= 0 {
			codes, runes = append(codes, int64(code)), append(runes, int64(r))
		}
	}
	w.sections[name] = table{distances(codes), distances(runes)}
	sessions[0].t.Logf("%s: %d characters", name, len(codes))
}

// twoWay gives, by code, the character that every server reads it as and writes as that code, -1 for none.
func twoWay(name string, sessions ...*session) []rune {
	result := make([]rune, 1<<16)
	for i := range result {
		result[i] = -2
	}
	for _, s := range sessions {
		written := map[string]string{}
		for _, row := range s.query("SELECT v, CAST(CONVERT(v USING " + name + ") AS BINARY) FROM characters") {
			written[string(row[0])] = string(row[1])
		}
		for _, row := range s.query("SELECT v, CAST(CONVERT(CONVERT(v USING " + name + ") USING utf8mb4) AS BINARY) FROM codes") {
			code := 0
			for _, b := range row[0] {
				code = code<<8 | int(b)
			}
			r, width := utf8.DecodeRune(row[1])
			if width != len(row[1]) || width == 0 || written[string(row[1])] != string(row[0]) {
				r = -1
			}
			if len(row[0]) == 2 && code < 0x100 {
				continue
			}
			if result[code] != -2 && result[code] != r {
				s.t.Logf("%s: %x is read differently: U+%04X and U+%04X", name, row[0], result[code], r)
				r = -1
			}
			result[code] = r
		}
	}
	return result
}

// fillCodes makes the tables codes, with all one- and two-byte codes, and characters, with those of the first plane.
func (s *session) fillCodes() {
	var codes, characters []string
	for i := range 256 {
		codes = append(codes, string([]byte{byte(i)}))
	}
	for i := 0x8000; i < 1<<16; i++ {
		codes = append(codes, string([]byte{byte(i >> 8), byte(i)}))
	}
	for r := rune(0); r < 1<<16; r++ {
		if utf8.ValidRune(r) {
			characters = append(characters, string(r))
		}
	}
	s.fill("codes", asBytes, codes)
	s.fill("characters", asText, characters)
}

func TestTables_WrittenFromTheServers(t *testing.T) {
	if !*update {
		if _, err := tables(); err != nil {
			t.Fatal(err)
		}
		return
	}
	w := &tableWriter{sections: map[string]table{}}
	my, maria := openSession(t, testenv.SharedMySQL(t)), openSession(t, testenv.SharedMariaDB(t))
	my.fillCodes()
	maria.fillCodes()
	for _, set := range []string{"gbk", "big5", "tis620"} {
		w.addCharset(set, my, maria)
	}
	w.addCharset("gb18030", my) // MariaDB does not have it
	w.addUCA(maria)
	if err := os.WriteFile("tables.bin", w.bytes(t), 0o644); err != nil {
		t.Fatal(err)
	}
}
