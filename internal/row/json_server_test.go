package row

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"meridian/internal/testenv"
)

// documents are SQL expressions of every type that MySQL's binary JSON has.
var documents = []string{
	`'null'`, `'true'`, `'false'`, `'0'`, `'-0'`, `'-0.0'`, `'1'`, `'-1'`, `'32767'`, `'-32768'`, `'32768'`, `'65535'`, `'65536'`, `'2147483647'`,
	`'-2147483648'`, `'4294967295'`, `'4294967296'`, `'9223372036854775807'`, `'-9223372036854775808'`, `'18446744073709551615'`,
	`'18446744073709551616'`, `'-9223372036854775809'`, `'1.5'`, `'1.0'`, `'100000000000000.0'`, `'1e15'`, `'1.5e15'`, `'123456789012345678'`, `'1e-15'`,
	`'1e-16'`, `'1.25e-16'`, `'0.00001'`, `'1.7976931348623157e308'`, `'5e-324'`, `'2.2250738585072014e-308'`, `'0.1'`, `'1e22'`, `'1e23'`, `'""'`, `'"a"'`,
	`'"quotes \\" backslash \\\\ slash \\/ \\b\\f\\n\\r\\t \\u0000\\u001f\\u007f \\u00e9 \\ud83d\\ude00"'`, `'[]'`, `'{}'`, `'[1, [2, [3, {}]], {"a": []}]'`,
	`'{"b": 1, "a": 2, "aa": 3, "é": 4, "": 5}'`, `'{"a": 1, "a": 2}'`,
	`JSON_ARRAY(1.10, CAST(-0.00 AS DECIMAL(5,2)), CAST('12345678901234567890123456789012345.123456789012345678901234567890' AS DECIMAL(65,30)), CAST('-0.000001' AS DECIMAL(65,30)), CAST(7 AS DECIMAL(3,0)), CAST('.5' AS DECIMAL(3,3)))`,
	`JSON_ARRAY(DATE'2024-02-29', TIMESTAMP'2024-02-29 23:59:59.123456', TIMESTAMP'0001-01-01 00:00:00', TIME'-838:59:59', TIME'12:34:56.000001', TIME'00:00:00', CAST('2024-01-02 03:04:05.6' AS DATETIME(1)))`,
	`JSON_ARRAY(x'', x'00ff', b'101', CAST('binary' AS BINARY(10)), REPEAT(x'ff', 200))`, `JSON_ARRAY(true, NULL, 'text', 1e0, CAST(1 AS UNSIGNED), CAST(1.5 AS FLOAT))`,
	`JSON_OBJECT('g', ST_GeomFromText('POINT(1 2)'))`, `JSON_ARRAY(CAST(2024 AS YEAR))`, `JSON_OBJECT('long', REPEAT('x', 300), REPEAT('k', 300), REPEAT('y', 70000))`,
	`CONCAT('[', REPEAT('1,', 40000), '70000]')`, `CONCAT('[', REPEAT('"ab",', 20000), '{"k": 70000}]')`, `CONCAT(REPEAT('[', 99), '1', REPEAT(']', 99))`, `CONCAT('{"a":', REPEAT('{"b":', 60), '1', REPEAT('}', 61))`,
}

// The text of a binary document is the server's own, byte for byte.
func TestAppendBinaryJSON_IsWhatTheServerPrints(t *testing.T) {
	s := openSession(t, testenv.SharedMySQL(t))
	s.exec("CREATE TABLE j (id INT PRIMARY KEY AUTO_INCREMENT, d JSON)")
	for _, d := range documents {
		s.exec("INSERT INTO j (d) VALUES (" + d + ")")
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		s.exec("INSERT INTO j (d) VALUES ('" + strings.ReplaceAll(randomJSON(random, 0), `\`, `\\`) + "')")
	}
	want := s.query("SELECT d FROM j ORDER BY id")
	images := rowImages(t, s, "j")
	if len(images) != len(want) {
		t.Fatalf("%d images of %d rows", len(images), len(want))
	}
	for i, image := range images {
		size := binary.LittleEndian.Uint32(image[5:])
		got, err := AppendBinaryJSON(nil, image[9:9+size])
		if err != nil {
			t.Errorf("document %d, %.60q: %v", i, want[i][0], err)
			continue
		}
		if !bytes.Equal(got, want[i][0]) {
			t.Errorf("document %d:\n got %.200q\nwant %.200q", i, got, want[i][0])
		}
	}
}

// randomJSON has no quote (') in it.
func randomJSON(random *rand.Rand, depth int) string {
	kind := random.IntN(8)
	if depth > 3 {
		kind %= 5
	}
	switch kind {
	case 0:
		return []string{"null", "true", "false"}[random.IntN(3)]
	case 1:
		return strconv.FormatInt(int64(random.Uint64())>>random.IntN(64), 10)
	case 2:
		return strconv.FormatUint(random.Uint64(), 10)
	case 3:
		return randomNumber(random)
	case 4:
		return strconv.Quote(randomName(random))
	case 5:
		items := make([]string, random.IntN(5))
		for i := range items {
			items[i] = randomJSON(random, depth+1)
		}
		return "[" + strings.Join(items, ", ") + "]"
	default:
		items := make([]string, random.IntN(6))
		for i := range items {
			items[i] = strconv.Quote(randomName(random)) + ": " + randomJSON(random, depth+1)
		}
		return "{" + strings.Join(items, ",") + "}"
	}
}

func randomName(random *rand.Rand) string {
	var b strings.Builder
	for range random.IntN(6) {
		b.WriteRune([]rune(`abé中😀 \"/`)[random.IntN(9)])
	}
	return b.String()
}

func randomNumber(random *rand.Rand) string {
	switch random.IntN(4) {
	case 0:
		for {
			if f := math.Float64frombits(random.Uint64()); !math.IsNaN(f) && !math.IsInf(f, 0) {
				return strconv.FormatFloat(f, 'g', -1, 64)
			}
		}
	case 1:
		return fmt.Sprintf("%d.%d", random.IntN(1000), random.Uint64N(1000000))
	case 2:
		return strconv.FormatFloat(random.NormFloat64(), 'f', random.IntN(30)+1, 64)
	default:
		digits := make([]byte, 1+random.IntN(40))
		for i := range digits {
			digits[i] = byte('0' + random.IntN(10))
		}
		return fmt.Sprintf("%d.%se%d", random.IntN(9)+1, digits, random.IntN(600)-310)
	}
}

// A document that is written as text into another server reads back with the same normal form: no eternal drift.
func TestAppendNormalJSON_SurvivesTheWayThroughEveryServer(t *testing.T) {
	source := openSession(t, testenv.SharedMySQL(t))
	source.exec("CREATE TABLE j (id INT PRIMARY KEY AUTO_INCREMENT, d JSON)")
	for _, d := range documents {
		source.exec("INSERT INTO j (d) VALUES (" + d + ")")
	}
	var texts []string
	for _, row := range source.query("SELECT d FROM j ORDER BY id") {
		texts = append(texts, string(row[0]))
	}
	random := rand.New(rand.NewPCG(7, 7))
	for range 300 {
		texts = append(texts, randomJSON(random, 0))
	}
	for range 3000 {
		texts = append(texts, randomNumber(random))
	}
	for name, db := range databases(t) {
		s := openSession(t, db)
		s.exec("CREATE TABLE j (id INT PRIMARY KEY, d JSON)")
		if db.Flavor == "mariadb" {
			s.exec("SET check_constraint_checks = OFF") // its json_valid takes fewer levels than MySQL
		}
		for from := 0; from < len(texts); from += 200 {
			var q strings.Builder
			q.WriteString("INSERT INTO j VALUES ")
			for i, text := range texts[from:min(from+200, len(texts))] {
				if i > 0 {
					q.WriteByte(',')
				}
				fmt.Fprintf(&q, "(%d,CONVERT(x'%x' USING utf8mb4))", from+i, text)
			}
			s.exec(q.String())
		}
		faults := 0
		for i, row := range s.query("SELECT d FROM j ORDER BY id") {
			before, err := AppendNormalJSON(nil, []byte(texts[i]))
			if err != nil {
				t.Fatalf("%q: %v", texts[i], err)
			}
			after, err := AppendNormalJSON(nil, row[0])
			if err != nil {
				t.Fatalf("%s: %q: %v", name, row[0], err)
			}
			if !bytes.Equal(before, after) {
				if faults++; faults < 10 {
					t.Errorf("%s: %.200q came back as %.200q: normal forms %.200q and %.200q", name, texts[i], row[0], before, after)
				}
			}
		}
		if faults > 0 {
			t.Errorf("%s: %d of %d documents differ", name, faults, len(texts))
		}
	}
}
