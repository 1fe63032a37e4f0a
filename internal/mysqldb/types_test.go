package mysqldb_test

import (
	"encoding/binary"
	"math"
	"strings"

	"pgregory.net/rapid"

	"meridian/internal/row"
	"meridian/internal/testenv"
)

// columnType is a type of column, the values that have gone wrong somewhere before, and others at random.
type columnType struct {
	name   string
	ddl    string
	on     func(testenv.Kind) bool // nil: everywhere
	edges  []row.Value
	random *rapid.Generator[row.Value]
}

func onMaria(k testenv.Kind) bool    { return k.IsMariaDB() }
func onMySQL(k testenv.Kind) bool    { return !k.IsMariaDB() }
func withVector(k testenv.Kind) bool { return k == testenv.KindMySQL || k == testenv.KindMariaDB }

func text(ss ...string) []row.Value {
	var vs []row.Value
	for _, s := range ss {
		vs = append(vs, row.TextValue(s))
	}
	return vs
}

func bytesOf(k row.Kind, ss ...string) []row.Value {
	var vs []row.Value
	for _, s := range ss {
		vs = append(vs, row.BytesValue(k, []byte(s)))
	}
	return vs
}

// decoded is a value of a text column as it comes out of a binlog: RawText, if the character set is not known.
func decoded(charset, stored string) row.Value {
	if text, ok := row.DecodeText(charset, []byte(stored)); ok {
		return row.BytesValue(row.Text, text)
	}
	return row.BytesValue(row.RawText, []byte(stored))
}

func randomText(alphabet string, limit int) *rapid.Generator[row.Value] {
	runes := []rune(alphabet)
	return rapid.Map(rapid.StringOfN(rapid.SampledFrom(runes), 0, limit, -1), row.TextValue)
}

func randomBytes(k row.Kind, limit int) *rapid.Generator[row.Value] {
	return rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, limit), func(b []byte) row.Value { return row.BytesValue(k, b) })
}

func randomInt(low, high int64) *rapid.Generator[row.Value] {
	return rapid.Map(rapid.Int64Range(low, high), row.IntValue)
}

func randomUint(high uint64) *rapid.Generator[row.Value] {
	return rapid.Map(rapid.Uint64Range(0, high), row.UintValue)
}

func randomDecimal(whole, scale int) *rapid.Generator[row.Value] {
	return rapid.Custom(func(t *rapid.T) row.Value {
		digits := rapid.StringOfN(rapid.RuneFrom([]rune("0123456789")), whole+scale, whole+scale, -1).Draw(t, "digits")
		s := strings.TrimLeft(digits[:whole], "0")
		if s == "" {
			s = "0"
		}
		if scale > 0 {
			s += "." + digits[whole:]
		}
		if strings.Trim(s, "0.") != "" && rapid.Bool().Draw(t, "negative") {
			s = "-" + s
		}
		return row.BytesValue(row.Decimal, []byte(s))
	})
}

func randomDatetime(fraction bool) *rapid.Generator[row.Value] {
	return rapid.Custom(func(t *rapid.T) row.Value {
		n := func(high int) int { return rapid.IntRange(0, high).Draw(t, "part") }
		micros := 0
		if fraction {
			micros = n(999999)
		}
		return row.DatetimeValue(n(9999), n(12), n(31), n(23), n(59), n(59), micros) // ALLOW_INVALID_DATES: also February 31
	})
}

func bits(high uint64) *rapid.Generator[row.Value] {
	return rapid.Map(rapid.Uint64Range(0, high), func(n uint64) row.Value { return row.Value{Kind: row.Bit, Num: n} })
}

func bitValues(ns ...uint64) []row.Value {
	var vs []row.Value
	for _, n := range ns {
		vs = append(vs, row.Value{Kind: row.Bit, Num: n})
	}
	return vs
}

func point(x, y float64) row.Value {
	b := []byte{0, 0, 0, 0, 1, 1, 0, 0, 0}
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(y))
	return row.BytesValue(row.Geometry, b)
}

// place is a point in SRID 4326 as it is stored: longitude first, whatever the order of the axes.
func place(latitude, longitude float64) row.Value {
	v := point(longitude, latitude)
	binary.LittleEndian.PutUint32(v.Bytes, 4326)
	return v
}

// line is longer than what is written in hex.
func line(points ...[2]float64) row.Value {
	b := []byte{0, 0, 0, 0, 1, 2, 0, 0, 0}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(points)))
	for _, p := range points {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(p[0]))
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(p[1]))
	}
	return row.BytesValue(row.Geometry, b)
}

func vector(fs ...float32) row.Value {
	var b []byte
	for _, f := range fs {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
	}
	return row.BytesValue(row.Vector, b)
}

const second = int64(1e6)

// columnTypes are all types, in one table: what stands beside a value must not change it.
var columnTypes = []columnType{
	{name: "tiny", ddl: "TINYINT", edges: []row.Value{row.IntValue(-128), row.IntValue(127), row.IntValue(0)}, random: randomInt(-128, 127)},
	{name: "small", ddl: "SMALLINT UNSIGNED", edges: []row.Value{row.UintValue(65535), row.UintValue(0)}, random: randomUint(65535)},
	{name: "big", ddl: "BIGINT", edges: []row.Value{row.IntValue(math.MinInt64), row.IntValue(math.MaxInt64)}, random: randomInt(math.MinInt64, math.MaxInt64)},
	{name: "ubig", ddl: "BIGINT UNSIGNED", edges: []row.Value{row.UintValue(math.MaxUint64), row.UintValue(1 << 63), row.UintValue(1)}, random: randomUint(math.MaxUint64)},
	{name: "fill", ddl: "INT(8) ZEROFILL", edges: []row.Value{row.UintValue(42)}, random: randomUint(math.MaxUint32)},
	{name: "y", ddl: "YEAR", edges: []row.Value{row.UintValue(0), row.UintValue(1901), row.UintValue(2155)},
		random: rapid.Map(rapid.Uint64Range(1901, 2155), row.UintValue)},
	{name: "dec", ddl: "DECIMAL(65,30)", edges: bytesOf(row.Decimal, strings.Repeat("9", 35)+"."+strings.Repeat("9", 30),
		"-0."+strings.Repeat("0", 29)+"1", "0."+strings.Repeat("0", 30)), random: randomDecimal(35, 30)},
	{name: "money", ddl: "DECIMAL(10,2)", edges: bytesOf(row.Decimal, "-1.50", "0.00", "99999999.99"), random: randomDecimal(8, 2)},
	{name: "whole", ddl: "DECIMAL(30,0)", edges: bytesOf(row.Decimal, strings.Repeat("9", 30), "0"), random: randomDecimal(30, 0)},
	{name: "f", ddl: "FLOAT", edges: []row.Value{row.FloatValue(1.1), row.FloatValue(math.MaxFloat32), row.FloatValue(16777216),
		row.FloatValue(math.SmallestNonzeroFloat32), row.FloatValue(-1.0000001)},
		random: rapid.Map(rapid.Float32Range(-math.MaxFloat32, math.MaxFloat32), row.FloatValue)},
	{name: "d", ddl: "DOUBLE", edges: []row.Value{row.DoubleValue(math.MaxFloat64), row.DoubleValue(-math.MaxFloat64),
		row.DoubleValue(0.1), row.DoubleValue(math.Copysign(0, -1)), row.DoubleValue(2.2250738585072014e-308)},
		random: rapid.Map(rapid.Float64Range(-math.MaxFloat64, math.MaxFloat64), row.DoubleValue)},
	{name: "bit1", ddl: "BIT(1)", edges: bitValues(0, 1), random: bits(1)},
	{name: "bit40", ddl: "BIT(40)", edges: bitValues(0, 1<<40-1), random: bits(1<<40 - 1)},
	{name: "bit64", ddl: "BIT(64)", edges: bitValues(math.MaxUint64, 1<<63, 0), random: bits(math.MaxUint64)},
	{name: "vc", ddl: "VARCHAR(100) CHARACTER SET utf8mb4", edges: text("", "'", `\`, `\'`, "a'b''c", "x ", " x", "😀", "\x00\x1a\n", `"%_`, "--", "NULL", "--' ; DROP TABLE x;"),
		random: randomText("aA'\\ \"ñ日😀\x00%_`;", 20)},
	{name: "ch", ddl: "CHAR(10) CHARACTER SET utf8mb4", edges: text("", "a", "日本"), random: randomText("aé日😀'", 10)},
	{name: "u3", ddl: "VARCHAR(50) CHARACTER SET utf8mb3", edges: text("", "日本"), random: randomText("aé日'", 10)},
	{name: "l1", ddl: "VARCHAR(50) CHARACTER SET latin1", edges: text("", "é€", "\u0081"), random: randomText("aé€ÿ'", 10)},
	{name: "asc", ddl: "VARCHAR(50) CHARACTER SET ascii", edges: text("", "a'b"), random: randomText("az~' ", 10)},
	{name: "cyr", ddl: "VARCHAR(50) CHARACTER SET cp1251", edges: text("", "Привет"), random: randomText("Приветa", 10)},
	{name: "koi", ddl: "VARCHAR(50) CHARACTER SET koi8r", edges: text("", "Привет"), random: randomText("Приветa", 10)},
	{name: "sj", ddl: "VARCHAR(50) CHARACTER SET sjis", edges: text("", "日本", "ｱ"), random: randomText("日本ｱa'", 10)},
	{name: "win", ddl: "VARCHAR(50) CHARACTER SET cp932", edges: append(text("", "日本", "㈱"), row.BytesValue(row.RawText, []byte("\xed\x40"))),
		random: randomText("日本ｱa㈱", 10)},
	{name: "gb", ddl: "VARCHAR(50) CHARACTER SET gbk", edges: []row.Value{decoded("gbk", ""), decoded("gbk", "\xd6\xd0\xce\xc4")},
		random: rapid.SampledFrom([]row.Value{decoded("gbk", "a'\xd6\xd0"), decoded("gbk", "\xce\xc4")})},
	{name: "u2", ddl: "VARCHAR(50) CHARACTER SET ucs2", edges: text("", "é日"), random: randomText("aé日'", 10)},
	{name: "u16", ddl: "VARCHAR(50) CHARACTER SET utf16", edges: text("", "é日😀"), random: randomText("aé日😀'", 10)},
	{name: "txt", ddl: "LONGTEXT CHARACTER SET utf8mb4", edges: text("", strings.Repeat("x'y", 30000)), random: randomText("ab'\\日", 300)},
	{name: "e", ddl: `ENUM('a','b,c','d''e','ñ') CHARACTER SET utf8mb4`, edges: append(text("a", "b,c", "d'e", "ñ"), row.Value{Kind: row.EnumZero}),
		random: rapid.SampledFrom(text("a", "b,c", "d'e", "ñ"))},
	{name: "e0", ddl: "ENUM('a','')", edges: text("", "a"), random: rapid.SampledFrom(text("a", ""))},
	{name: "e1", ddl: "ENUM('1','2','é') CHARACTER SET latin1", edges: append(text("2", "1", "é"), row.Value{Kind: row.EnumZero}), random: rapid.SampledFrom(text("2", "1", "é"))},
	{name: "s", ddl: "SET('a','b','c''d','é') CHARACTER SET latin1", edges: text("", "a", "a,b,c'd,é"), random: rapid.SampledFrom(text("", "b", "a,é", "c'd"))},
	{name: "bin", ddl: "BINARY(5)", edges: bytesOf(row.Binary, "\x00\x00\x00\x00\x00", "a\x00\x00\x00\x00", "\xff'\\\x00a"),
		random: rapid.Map(rapid.SliceOfN(rapid.Byte(), 5, 5), func(b []byte) row.Value { return row.BytesValue(row.Binary, b) })},
	{name: "vb", ddl: "VARBINARY(200)", edges: bytesOf(row.Binary, "", "\x00", "a\x00", strings.Repeat("\xe2'\\\x00", 50)), random: randomBytes(row.Binary, 200)},
	{name: "bl", ddl: "LONGBLOB", edges: bytesOf(row.Binary, "", strings.Repeat("'\xff\\\x00\n", 20000)), random: randomBytes(row.Binary, 300)},
	{name: "da", ddl: "DATE", edges: []row.Value{row.DateValue(0, 0, 0), row.DateValue(2020, 2, 31), row.DateValue(2021, 0, 0), row.DateValue(9999, 12, 31), row.DateValue(1, 1, 1)},
		random: rapid.Custom(func(t *rapid.T) row.Value {
			return row.DateValue(rapid.IntRange(0, 9999).Draw(t, "y"), rapid.IntRange(0, 12).Draw(t, "m"), rapid.IntRange(0, 31).Draw(t, "d"))
		})},
	{name: "t6", ddl: "TIME(6)", edges: []row.Value{row.TimeValue(-838*3600*second - 59*60*second - 59*second), row.TimeValue(838 * 3600 * second),
		row.TimeValue(-1), row.TimeValue(0), row.TimeValue(1)}, random: rapid.Map(rapid.Int64Range(-838*3600*second, 838*3600*second), row.TimeValue)},
	{name: "t0", ddl: "TIME", edges: []row.Value{row.TimeValue(-100 * 3600 * second)},
		random: rapid.Map(rapid.Int64Range(-838*3600, 838*3600), func(n int64) row.Value { return row.TimeValue(n * second) })},
	{name: "dt6", ddl: "DATETIME(6)", edges: []row.Value{row.DatetimeValue(0, 0, 0, 0, 0, 0, 0), row.DatetimeValue(9999, 12, 31, 23, 59, 59, 999999),
		row.DatetimeValue(2020, 2, 31, 1, 2, 3, 4)}, random: randomDatetime(true)},
	{name: "dt0", ddl: "DATETIME", edges: []row.Value{row.DatetimeValue(2021, 3, 28, 2, 30, 0, 0)}, random: randomDatetime(false)},
	{name: "ts6", ddl: "TIMESTAMP(6) NULL", edges: []row.Value{row.TimestampValue(0), row.TimestampValue(second), row.TimestampValue((1<<31-1)*second + 499999)},
		random: rapid.Map(rapid.Int64Range(second, (1<<31-1)*second), row.TimestampValue)},
	{name: "ts0", ddl: "TIMESTAMP NULL", edges: []row.Value{row.TimestampValue(0), row.TimestampValue((1<<31 - 1) * second)},
		random: rapid.Map(rapid.Int64Range(1, 1<<31-1), func(n int64) row.Value { return row.TimestampValue(n * second) })},
	{name: "j", ddl: "JSON", edges: bytesOf(row.JSON, `{}`, `null`, `[]`, `{"a": "it's \"q\" \\ 😀", "b": [1, -2.5, 18446744073709551615, true]}`, `"x"`, `""`),
		random: rapid.Map(rapid.StringMatching(`[a-z'\\" ]{0,10}`), func(s string) row.Value {
			return row.BytesValue(row.JSON, []byte(`{"k": "`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s)+`", "n": [1, {"x": null}]}`))
		})},
	{name: "g", ddl: "GEOMETRY", edges: []row.Value{point(1, 2), line([2]float64{1, 2}, [2]float64{3, 4}, [2]float64{39, 92}, [2]float64{-1, 1e300})},
		random: rapid.Custom(func(t *rapid.T) row.Value {
			return point(rapid.Float64Range(-180, 180).Draw(t, "x"), rapid.Float64Range(-90, 90).Draw(t, "y"))
		})},
	{name: "earth", ddl: "POINT SRID 4326", on: onMySQL, edges: []row.Value{place(48.2, 16.4)}, random: rapid.Custom(func(t *rapid.T) row.Value {
		return place(rapid.Float64Range(-90, 90).Draw(t, "latitude"), rapid.Float64Range(-179, 180).Draw(t, "longitude"))
	})},
	// MariaDB refuses a vector whose length is no number.
	{name: "v", ddl: "VECTOR(3)", on: withVector, edges: []row.Value{vector(1, -2, 0.5), vector(0, 0, 1e18)},
		random: rapid.Map(rapid.Float32Range(-1e18, 1e18), func(f float32) row.Value { return vector(f, 1, -f) })},
	{name: "uu", ddl: "UUID", on: onMaria, edges: text("123e4567-e89b-12d3-a456-426655440000", "00000000-0000-0000-0000-000000000000"),
		random: rapid.Map(rapid.StringMatching("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}"), row.TextValue)},
	{name: "i4", ddl: "INET4", on: onMaria, edges: text("0.0.0.0", "255.255.255.255"), random: rapid.SampledFrom(text("10.0.0.1", "192.168.1.1"))},
	{name: "i6", ddl: "INET6", on: onMaria, edges: text("::", "2001:db8::ff00:42:8329"), random: rapid.SampledFrom(text("::1", "fe80::1"))},
}

func typesOn(k testenv.Kind) []columnType {
	var all []columnType
	for _, c := range columnTypes {
		if c.on == nil || c.on(k) {
			all = append(all, c)
		}
	}
	return all
}
