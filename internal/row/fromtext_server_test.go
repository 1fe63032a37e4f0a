package row

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"meridian/internal/testenv"
)

// typeCase is a column and a value written into it.
type typeCase struct {
	flavor     string // "" for both
	definition string
	expression string
	column     Column // what ParseColumn must make of it, without Name, Charset and Collation
	want       Value
}

func micros(t string) int64 {
	at, err := time.Parse("2006-01-02 15:04:05.999999", t)
	if err != nil {
		panic(err)
	}
	return at.UnixMicro()
}

var (
	wkbPoint  = []byte("\x00\x00\x00\x00\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\xf0\x3f\x00\x00\x00\x00\x00\x00\x00\x40")
	minusZero = math.Copysign(0, -1)
)

var typeCases = []typeCase{
	{"", "TINYINT", "-128", Column{Type: TypeInt}, IntValue(-128)},
	{"", "TINYINT UNSIGNED", "255", Column{Type: TypeUint}, UintValue(255)},
	{"", "SMALLINT(6) UNSIGNED ZEROFILL", "42", Column{Type: TypeUint}, UintValue(42)},
	{"", "MEDIUMINT", "-8388608", Column{Type: TypeInt}, IntValue(-8388608)},
	{"", "BOOLEAN", "TRUE", Column{Type: TypeInt}, IntValue(1)},
	{"", "BIGINT", "-9223372036854775808", Column{Type: TypeInt}, IntValue(math.MinInt64)},
	{"", "BIGINT UNSIGNED", "18446744073709551615", Column{Type: TypeUint}, UintValue(math.MaxUint64)},
	{"", "YEAR", "2155", Column{Type: TypeYear}, UintValue(2155)},
	{"", "YEAR", "0", Column{Type: TypeYear}, UintValue(0)},
	{"", "DECIMAL(65,30)", "-12345678901234567890123456789012345.123456789012345678901234567890", Column{Type: TypeDecimal, Length: 65, Fraction: 30},
		BytesValue(Decimal, []byte("-12345678901234567890123456789012345.123456789012345678901234567890"))},
	{"", "DECIMAL(10,4)", "1.5", Column{Type: TypeDecimal, Length: 10, Fraction: 4}, BytesValue(Decimal, []byte("1.5000"))},
	{"", "DECIMAL(10,4)", "-0", Column{Type: TypeDecimal, Length: 10, Fraction: 4}, BytesValue(Decimal, []byte("0.0000"))},
	{"", "DECIMAL(5,5)", "0.5", Column{Type: TypeDecimal, Length: 5, Fraction: 5}, BytesValue(Decimal, []byte("0.50000"))},
	{"", "DECIMAL(8,2) UNSIGNED ZEROFILL", "7.1", Column{Type: TypeDecimal, Length: 8, Fraction: 2}, BytesValue(Decimal, []byte("7.10"))},
	{"", "DECIMAL", "-3", Column{Type: TypeDecimal, Length: 10}, BytesValue(Decimal, []byte("-3"))},
	{"", "FLOAT", "16777217", Column{Type: TypeFloat}, FloatValue(16777216)},
	{"", "FLOAT", "1.17549435e-38", Column{Type: TypeFloat}, FloatValue(1.17549435e-38)},
	{"", "FLOAT", "3.40282347e38", Column{Type: TypeFloat}, FloatValue(math.MaxFloat32)},
	{"", "FLOAT", "0.1", Column{Type: TypeFloat}, FloatValue(0.1)},
	{"mysql", "FLOAT", "-0e0", Column{Type: TypeFloat}, FloatValue(float32(minusZero))},
	{"mariadb", "FLOAT", "-0e0", Column{Type: TypeFloat}, FloatValue(0)}, // MariaDB stores no -0.0
	{"", "FLOAT(7,3)", "1234.5678", Column{Type: TypeFloat}, FloatValue(1234.568)},
	{"", "DOUBLE", "0.1", Column{Type: TypeDouble}, DoubleValue(0.1)},
	{"", "DOUBLE", "1.7976931348623157e308", Column{Type: TypeDouble}, DoubleValue(math.MaxFloat64)},
	{"", "DOUBLE", "2.2250738585072014e-308", Column{Type: TypeDouble}, DoubleValue(2.2250738585072014e-308)},
	{"", "DOUBLE", "123456789.12345679", Column{Type: TypeDouble}, DoubleValue(123456789.12345679)},
	{"mysql", "DOUBLE", "-0e0", Column{Type: TypeDouble}, DoubleValue(minusZero)},
	{"mariadb", "DOUBLE", "-0e0", Column{Type: TypeDouble}, DoubleValue(0)}, // MariaDB stores no -0.0
	{"", "DOUBLE(20,4)", "1234567.89015", Column{Type: TypeDouble}, DoubleValue(1234567.8902)},
	{"", "BIT(1)", "b'1'", Column{Type: TypeBit, Length: 1}, Value{Kind: Bit, Num: 1}},
	{"", "BIT(64)", "0xfedcba9876543210", Column{Type: TypeBit, Length: 64}, Value{Kind: Bit, Num: 0xfedcba9876543210}},
	{"", "BIT(12)", "b'100000000001'", Column{Type: TypeBit, Length: 12}, Value{Kind: Bit, Num: 0x801}},
	{"", "CHAR(5)", "'ab  '", Column{Type: TypeText}, TextValue("ab")},
	{"", "VARCHAR(5)", "'ab  '", Column{Type: TypeText}, TextValue("ab  ")},
	{"", "VARCHAR(5)", "''", Column{Type: TypeText}, TextValue("")},
	{"", "VARCHAR(9) CHARACTER SET latin1", "_utf8mb4'é€'", Column{Type: TypeText}, TextValue("é€")},
	{"", "VARCHAR(9) CHARACTER SET sjis", "0x8375", Column{Type: TypeText}, TextValue("ブ")},
	{"", "VARCHAR(9) CHARACTER SET sjis", "0x5c", Column{Type: TypeText}, BytesValue(RawText, []byte{0x5c})},
	{"", "CHAR(9) CHARACTER SET utf16", "_utf8mb4'é😀 '", Column{Type: TypeText}, TextValue("é😀")},
	{"", "CHAR(9) CHARACTER SET ucs2", "0xd800", Column{Type: TypeText}, BytesValue(RawText, []byte{0xd8, 0})},
	{"", "TEXT CHARACTER SET gbk", "_utf8mb4'中'", Column{Type: TypeText}, TextValue("中")},
	{"", "LONGTEXT", "_utf8mb4'😀'", Column{Type: TypeText}, TextValue("😀")},
	{"", "ENUM('x','y''z','a,b','back\\\\slash','é\\n')", "3", Column{Type: TypeEnum, Labels: []string{"x", "y'z", "a,b", "back\\slash", "é\n"}}, TextValue("a,b")},
	{"", "ENUM('x','é') CHARACTER SET latin1", "2", Column{Type: TypeEnum, Labels: []string{"x", "é"}}, TextValue("é")},
	{"", "ENUM('x')", "0", Column{Type: TypeEnum, Labels: []string{"x"}}, Value{Kind: EnumZero}},
	{"", "ENUM('x','')", "2", Column{Type: TypeEnum, Labels: []string{"x", ""}}, TextValue("")},
	{"", "SET('c','a','b')", "'b,c'", Column{Type: TypeSet, Labels: []string{"c", "a", "b"}}, TextValue("c,b")},
	{"", "SET('c','a')", "''", Column{Type: TypeSet, Labels: []string{"c", "a"}}, TextValue("")},
	{"", "BINARY(4)", "x'6100'", Column{Type: TypeBinary, Length: 4}, BytesValue(Binary, []byte("a\x00\x00\x00"))},
	{"", "BINARY(4)", "x''", Column{Type: TypeBinary, Length: 4}, BytesValue(Binary, []byte("\x00\x00\x00\x00"))},
	{"", "VARBINARY(4)", "x'610000'", Column{Type: TypeBinary}, BytesValue(Binary, []byte("a\x00\x00"))},
	{"", "BLOB", "x'00ff27'", Column{Type: TypeBinary}, BytesValue(Binary, []byte("\x00\xff'"))},
	{"", "CHAR(3) CHARACTER SET binary", "x'ff'", Column{Type: TypeBinary, Length: 3}, BytesValue(Binary, []byte("\xff\x00\x00"))},
	{"", "DATE", "'2024-02-30'", Column{Type: TypeDate}, DateValue(2024, 2, 30)},
	{"", "DATE", "'0000-00-00'", Column{Type: TypeDate}, DateValue(0, 0, 0)},
	{"", "DATE", "'9999-00-31'", Column{Type: TypeDate}, DateValue(9999, 0, 31)},
	{"", "TIME", "'-838:59:59'", Column{Type: TypeTime}, TimeValue(-(838*3600 + 59*60 + 59) * 1e6)},
	{"", "TIME(6)", "'-00:00:00.000001'", Column{Type: TypeTime, Fraction: 6}, TimeValue(-1)},
	{"", "TIME(3)", "'100:00:00.5'", Column{Type: TypeTime, Fraction: 3}, TimeValue(360000500000)},
	{"", "DATETIME", "'0000-00-00 00:00:00'", Column{Type: TypeDatetime}, DatetimeValue(0, 0, 0, 0, 0, 0, 0)},
	{"", "DATETIME(6)", "'9999-12-31 23:59:59.999999'", Column{Type: TypeDatetime, Fraction: 6}, DatetimeValue(9999, 12, 31, 23, 59, 59, 999999)},
	{"", "DATETIME(1)", "'2023-02-31 01:02:03.4'", Column{Type: TypeDatetime, Fraction: 1}, DatetimeValue(2023, 2, 31, 1, 2, 3, 400000)},
	{"", "TIMESTAMP NULL", "'2038-01-19 03:14:07'", Column{Type: TypeTimestamp}, TimestampValue((1<<31 - 1) * 1e6)},
	{"", "TIMESTAMP(6) NULL", "'1970-01-01 00:00:01.000001'", Column{Type: TypeTimestamp, Fraction: 6}, TimestampValue(1000001)},
	{"", "TIMESTAMP NULL", "'0000-00-00 00:00:00'", Column{Type: TypeTimestamp}, TimestampValue(0)},
	{"", "GEOMETRY", "ST_GeomFromText('POINT(1 2)')", Column{Type: TypeGeometry}, BytesValue(Geometry, wkbPoint)},
	{"", "POINT", "ST_GeomFromText('POINT(1 2)')", Column{Type: TypeGeometry}, BytesValue(Geometry, wkbPoint)},
	{"", "GEOMETRYCOLLECTION", "ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 2))')", Column{Type: TypeGeometry},
		BytesValue(Geometry, append([]byte("\x00\x00\x00\x00\x01\x07\x00\x00\x00\x01\x00\x00\x00"), wkbPoint[4:]...))},
	{"mysql", "JSON", `'{"b": 1.0, "a": "é"}'`, Column{Type: TypeJSON}, BytesValue(JSON, []byte(`{"a": "é", "b": 1.0}`))},
	{"mariadb", "JSON", `'{"b": 1.0, "a": "é"}'`, Column{Type: TypeJSON}, BytesValue(JSON, []byte(`{"b": 1.0, "a": "é"}`))},
	{"", "INT GENERATED ALWAYS AS (1 + 1) STORED", "DEFAULT", Column{Type: TypeInt, Generated: true}, IntValue(2)},
	{"", "INT AS (1 + 1) VIRTUAL", "DEFAULT", Column{Type: TypeInt, Generated: true}, IntValue(2)},
	{"", "INT DEFAULT (1 + 1)", "DEFAULT", Column{Type: TypeInt}, IntValue(2)},
	{"", "TIMESTAMP DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP", "'2024-01-01 00:00:00'", Column{Type: TypeTimestamp}, TimestampValue(micros("2024-01-01 00:00:00"))},
	{"mysql", "VECTOR(2)", "STRING_TO_VECTOR('[1,-2]')", Column{Type: TypeVector, Length: 2}, BytesValue(Vector, []byte("\x00\x00\x80\x3f\x00\x00\x00\xc0"))},
	{"mysql", "INT INVISIBLE", "5", Column{Type: TypeInt}, IntValue(5)},
	{"mariadb", "INT INVISIBLE", "5", Column{Type: TypeInt}, IntValue(5)},
	{"mariadb", "UUID", "'123E4567-E89B-12D3-A456-426655440000'", Column{Type: TypeUUID}, TextValue("123e4567-e89b-12d3-a456-426655440000")},
	{"mariadb", "INET6", "'::FFFF:192.0.2.1'", Column{Type: TypeInet6}, TextValue("::ffff:192.0.2.1")},
	{"mariadb", "INET4", "'192.0.2.255'", Column{Type: TypeInet4}, TextValue("192.0.2.255")},
	{"mariadb", "LONGTEXT COMPRESSED", "'abc'", Column{Type: TypeText}, TextValue("abc")},
	{"mariadb 11.8", "VECTOR(2)", "VEC_FromText('[1,-2]')", Column{Type: TypeVector, Length: 2}, BytesValue(Vector, []byte("\x00\x00\x80\x3f\x00\x00\x00\xc0"))},
	{"mariadb 11.8", "TIMESTAMP NULL", "'2106-02-07 06:28:15'", Column{Type: TypeTimestamp}, TimestampValue((1<<32 - 1) * 1e6)},
}

// A column and its value, as the server describes and selects them, are what they must be.
func TestFromText_ReadsEveryTypeExactly(t *testing.T) {
	for name, db := range databases(t) {
		t.Run(name, func(t *testing.T) {
			s := openSession(t, db)
			s.exec("SET sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00'")
			for i, c := range typeCases {
				if c.flavor != "" && !strings.HasPrefix(strings.ToLower(name), c.flavor) {
					continue
				}
				table := fmt.Sprintf("t%d", i)
				s.exec("CREATE TABLE " + table + " (v " + c.definition + ", id INT) CHARACTER SET utf8mb4")
				s.exec("INSERT INTO " + table + " (v, id) VALUES (" + c.expression + ", 1)")
				compareType(t, s, c, table)
			}
		})
	}
}

func compareType(t *testing.T, s *session, c typeCase, table string) {
	t.Helper()
	column := s.column(table, "v")
	got := column
	got.Name, got.Charset, got.Collation = "", "", ""
	if !reflect.DeepEqual(got, c.column) {
		t.Errorf("%s: is the column %+v, want %+v", c.definition, got, c.column)
	}
	row := s.query("SELECT " + SelectExpression(&column, "v") + " FROM " + table + " WHERE id = 1")[0]
	v, err := FromText(&column, row[0])
	if err != nil {
		t.Errorf("%s: %v", c.definition, err)
		return
	}
	if !reflect.DeepEqual(v, c.want) {
		t.Errorf("%s: %s is %+v (%q), want %+v", c.definition, c.expression, v, row[0], c.want)
	}
}

// column describes a column out of the information schema.
func (s *session) column(table, name string) Column {
	s.t.Helper()
	row := s.query("SELECT column_name, data_type, CAST(column_type AS CHAR), character_set_name, collation_name, extra, generation_expression " +
		"FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = '" + table + "' AND column_name = '" + name + "'")[0]
	info := ColumnInfo{Name: string(row[0]), DataType: string(row[1]), ColumnType: string(row[2]), CharacterSet: string(row[3]),
		Collation: string(row[4]), Extra: string(row[5]), GenerationExpression: string(row[6])}
	if string(row[1]) == "longtext" && s.mariadb {
		info.JSON = len(s.query("SELECT 1 FROM information_schema.check_constraints WHERE constraint_schema = DATABASE() AND check_clause LIKE 'json_valid(%' AND table_name = '"+table+"'")) > 0
	}
	c, err := ParseColumn(info)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// UUIDs and addresses as they stand in a row image.
func TestAppendUUID_ReadsRowImages(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 3))
	for _, db := range []*testenv.Database{testenv.SharedMariaDB(t), testenv.SharedMariaDB1011(t)} {
		s := openSession(t, db)
		s.exec("CREATE TABLE u (u UUID, a INET6, b INET4)")
		for version := range 16 {
			for variant := range 16 {
				var id, address [16]byte
				for i := range id {
					id[i], address[i] = byte(random.Uint32()), byte(random.Uint32())
				}
				id[6], id[8] = byte(version)<<4|id[6]&15, byte(variant)<<4|id[8]&15
				for i := 0; i < 16; i += 2 { // runs of zeros, and the forms with an IPv4 address
					if random.IntN(3) > 0 || (variant < 6 && i < 12) {
						address[i], address[i+1] = 0, 0
					}
				}
				if variant == 5 {
					address[10], address[11] = 0xff, 0xff
				}
				s.exec(fmt.Sprintf("INSERT INTO u VALUES (CAST(x'%x' AS UUID), CAST(x'%x' AS INET6), CAST(x'%x' AS INET4))", id, address, address[12:]))
			}
		}
		images := rowImages(t, s, "u")
		for i, row := range s.query("SELECT u, a, b FROM u") {
			rest := images[i][1:]
			var stored [3][]byte
			for j := range stored { // each with its length, and without trailing zeros
				stored[j], rest = rest[1:1+rest[0]], rest[1+rest[0]:]
			}
			if got := AppendUUID(nil, stored[0]); !bytes.Equal(got, row[0]) {
				t.Errorf("%x is the UUID %s, want %s", stored[0], got, row[0])
			}
			if got := AppendInet6(nil, stored[1]); !bytes.Equal(got, row[1]) {
				t.Errorf("%x is the address %s, want %s", stored[1], got, row[1])
			}
			if got := AppendInet4(nil, stored[2]); !bytes.Equal(got, row[2]) {
				t.Errorf("%x is the address %s, want %s", stored[2], got, row[2])
			}
		}
	}
}
