package row

import (
	"strconv"
	"strings"
)

// ValueType names what of a column's type decides on the canonical bytes of its values, the same on every server and whether
// the column is described by the binlog, by the information schema or by a record on the bus: an ALTER TABLE that changes it
// may rewrite values without a row event. Not in it is what the binlog does not tell or regions may well have differently:
// the width of integers and texts, collations, labels and their numbers. ("decimal(10,2)", "text utf8mb4")
func (c *Column) ValueType() string {
	name := typeNames[min(int(c.Type), len(typeNames)-1)]
	switch c.Type {
	case TypeDecimal:
		return name + "(" + strconv.Itoa(c.Length) + "," + strconv.Itoa(c.Fraction) + ")"
	case TypeBit, TypeBinary:
		return name + "(" + strconv.Itoa(c.Length) + ")"
	case TypeTime, TypeDatetime, TypeTimestamp:
		return name + "(" + strconv.Itoa(c.Fraction) + ")"
	case TypeText:
		return name + " " + charsetName(c.Charset)
	default:
		return name
	}
}

// keyType is ValueType for a column of the primary key: there the collation decides, and an integer's sign does not.
func (c *Column) keyType() string {
	switch c.Type {
	case TypeText:
		return "text " + strings.ToLower(c.Collation)
	case TypeInt, TypeUint, TypeYear:
		return "integer"
	case TypeTime, TypeDatetime, TypeTimestamp, TypeDecimal:
		return typeNames[c.Type] // the same value has the same bytes, whatever its digits
	default:
		return c.ValueType()
	}
}

// charsetName gives the one name of a character set that servers call by two.
func charsetName(name string) string {
	if name = strings.ToLower(name); name == "utf8" {
		return "utf8mb3"
	}
	return name
}

var typeNames = [...]string{
	TypeUnknown: "unknown", TypeInt: "int", TypeUint: "uint", TypeYear: "year", TypeDecimal: "decimal", TypeFloat: "float", TypeDouble: "double",
	TypeBit: "bit", TypeText: "text", TypeEnum: "enum", TypeSet: "set", TypeBinary: "binary", TypeDate: "date", TypeTime: "time",
	TypeDatetime: "datetime", TypeTimestamp: "timestamp", TypeJSON: "json", TypeGeometry: "geometry", TypeVector: "vector", TypeUUID: "uuid",
	TypeInet4: "inet4", TypeInet6: "inet6",
}
