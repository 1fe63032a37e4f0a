package row

import (
	"errors"
	"strings"
	"testing"
)

func TestKeyCollation_SaysWhatToDo(t *testing.T) {
	for name, want := range map[string]string{
		"utf8mb4_croatian_ci":                 "such as utf8mb4_general_ci, or exclude the table",
		"utf8mb4_uca1400_swedish_nopad_as_ci": "such as utf8mb4_uca1400_as_ci,",
		"latin1_german2_ci":                   "such as latin1_bin,",
		"":                                    "set binlog_row_metadata=FULL",
		"no_such_collation":                   "collation no_such_collation is not supported in a primary key",
	} {
		err := KeyCollation(name)
		var unsupported *CollationError
		if !errors.As(err, &unsupported) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", name, err, want)
		}
	}
	for _, name := range []string{"utf8mb4_0900_ai_ci", "UTF8MB4_BIN", "utf8mb4_uca1400_ai_ci", "utf8_general_ci", "binary", "latin1_swedish_nopad_ci", "tis620_bin"} {
		if err := KeyCollation(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKey_NamesTableAndColumnInErrors(t *testing.T) {
	columns := []Column{{Name: "id", Type: TypeInt}, {Name: "code", Type: TypeText, Collation: "utf8mb4_croatian_ci"}}
	for _, c := range []struct {
		key   []int
		image []Value
		want  string
	}{
		{nil, []Value{IntValue(1), TextValue("a")}, "table shop.orders: the table has no primary key"},
		{[]int{0}, []Value{NullValue(), TextValue("a")}, "table shop.orders: column id of the primary key is NULL"},
		{[]int{0}, nil, "table shop.orders: the row image ends before column 1"},
		{[]int{0, 1}, []Value{IntValue(1), TextValue("a")}, "table shop.orders: column code of the primary key: collation utf8mb4_croatian_ci"},
	} {
		_, err := NewTable("shop", "orders", columns, c.key).Key(c.image)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	table := NewTable("shop", "orders", columns, nil)
	if _, err := table.KeyOf(nil); !errors.Is(err, ErrNoPrimaryKey) {
		t.Errorf("%v is not ErrNoPrimaryKey", err)
	}
	if _, err := NewTable("shop", "orders", columns, []int{0}).KeyOf([]Value{IntValue(1), IntValue(2)}); err == nil {
		t.Error("two values made a key of one column")
	}
}

func TestKey_TellsNullEmptyAndZeroApart(t *testing.T) {
	table := NewTable("s", "t", []Column{{Name: "id", Type: TypeInt}, {Name: "v", Type: TypeText}}, []int{0})
	seen := map[uint64]string{}
	for name, v := range map[string]Value{"NULL": NullValue(), "''": TextValue(""), "0": IntValue(0), "'0'": TextValue("0"), "x''": BytesValue(Binary, nil),
		"0.0": DoubleValue(0), "false": BytesValue(JSON, []byte("false")), "null": BytesValue(JSON, []byte("null")), "ENUM 0": {Kind: EnumZero}} {
		digest := table.Digest("k", []Value{IntValue(1), v})
		if other, there := seen[digest]; there {
			t.Errorf("%s and %s have one digest", name, other)
		}
		seen[digest] = name
	}
}

func TestParseColumn_RefusesWhatItDoesNotKnow(t *testing.T) {
	for columnType, want := range map[string]string{
		"xmltype":      "column c has the type xmltype, which is not supported: exclude the table",
		"enum('a":      "column c: type enum('a:",
		"decimal(x,2)": `"x" is no number`,
	} {
		name, _, _ := strings.Cut(columnType, "(")
		if _, err := ParseColumn(ColumnInfo{Name: "c", DataType: name, ColumnType: columnType}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", columnType, err, want)
		}
	}
}
