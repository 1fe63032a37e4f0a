package row

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ColumnInfo is a column as a row of information_schema.columns describes it, on MySQL and on MariaDB. NULL is "".
type ColumnInfo struct {
	Name                 string // column_name
	DataType             string // data_type: "varchar"
	ColumnType           string // column_type: "varchar(20)", "enum('a','b')"
	CharacterSet         string // character_set_name
	Collation            string // collation_name
	Extra                string // extra: "auto_increment", "STORED GENERATED", …
	GenerationExpression string // generation_expression
	JSON                 bool   // MariaDB: a LONGTEXT whose check constraint is json_valid of the column
}

// ParseColumn makes a Column of what the server's information schema says about it. The error names the column, its type
// and what to do about it.
func ParseColumn(info ColumnInfo) (Column, error) {
	c := Column{Name: info.Name, Charset: strings.ToLower(info.CharacterSet), Collation: strings.ToLower(info.Collation)}
	c.Generated = isGenerated(info)
	arguments, attributes := splitType(info.ColumnType)
	numbers, err := numberList(arguments)
	dataType := strings.ToLower(info.DataType)
	switch dataType {
	case "tinyint", "smallint", "mediumint", "int", "integer", "bigint":
		c.Type = TypeInt
		if strings.Contains(attributes, "unsigned") || strings.Contains(attributes, "zerofill") {
			c.Type = TypeUint
		}
		return c, nil
	case "year":
		c.Type = TypeYear
		return c, nil
	case "decimal", "numeric":
		c.Type, c.Length, c.Fraction = TypeDecimal, at(numbers, 0, 10), at(numbers, 1, 0)
	case "float":
		c.Type = TypeFloat
	case "double", "real":
		c.Type = TypeDouble
	case "bit":
		c.Type, c.Length = TypeBit, at(numbers, 0, 1)
	case "char", "varchar", "tinytext", "text", "mediumtext", "longtext":
		c.Type = TypeText
		if info.JSON {
			c.Type = TypeJSON
		}
	case "enum", "set":
		c.Type = TypeEnum
		if dataType == "set" {
			c.Type = TypeSet
		}
		if c.Labels, err = labelList(arguments); err == nil && len(c.Labels) == 0 {
			err = errNoLabels
		}
	case "binary":
		c.Type, c.Length = TypeBinary, at(numbers, 0, 1)
	case "varbinary", "tinyblob", "blob", "mediumblob", "longblob":
		c.Type = TypeBinary
	case "date":
		c.Type = TypeDate
	case "time":
		c.Type, c.Fraction = TypeTime, at(numbers, 0, 0)
	case "datetime":
		c.Type, c.Fraction = TypeDatetime, at(numbers, 0, 0)
	case "timestamp":
		c.Type, c.Fraction = TypeTimestamp, at(numbers, 0, 0)
	case "json":
		c.Type = TypeJSON
	case "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection":
		c.Type = TypeGeometry
	case "vector":
		c.Type, c.Length = TypeVector, at(numbers, 0, 0)
	case "uuid":
		c.Type = TypeUUID
	case "inet4":
		c.Type = TypeInet4
	case "inet6":
		c.Type = TypeInet6
	default:
		return Column{}, fmt.Errorf("column %s has the type %s, which is not supported: exclude the table", info.Name, info.ColumnType)
	}
	if err != nil {
		return Column{}, fmt.Errorf("column %s: type %s: %w", info.Name, info.ColumnType, err)
	}
	return c, nil
}

// isGenerated tells whether the server computes the column from others or from the row's history. "DEFAULT_GENERATED",
// a default that is an expression, is something else: such a column is written like any other.
func isGenerated(info ColumnInfo) bool {
	extra := strings.ToUpper(info.Extra)
	for _, word := range []string{"VIRTUAL GENERATED", "STORED GENERATED", "PERSISTENT"} {
		if strings.Contains(extra, word) {
			return true
		}
	}
	return info.GenerationExpression != ""
}

// splitType gives what stands in a type's outer parentheses, and what stands behind them in lower case.
func splitType(text string) (arguments, attributes string) {
	open, shut := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 0 || shut < open {
		_, attributes, _ = strings.Cut(text, " ")
		return "", strings.ToLower(attributes)
	}
	return text[open+1 : shut], strings.ToLower(text[shut+1:])
}

// numberList reads "10,2".
func numberList(text string) ([]int, error) {
	if text == "" || text[0] == '\'' {
		return nil, nil
	}
	var numbers []int
	for field := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil {
			return nil, fmt.Errorf("%q is no number", field)
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

func at(numbers []int, i, otherwise int) int {
	if i < len(numbers) {
		return numbers[i]
	}
	return otherwise
}

var errNoLabels = errors.New("it has no labels")

// labelList reads the labels of an ENUM or SET as column_type spells them: in quotes, a quote doubled, and a backslash
// before \, 0, n and r as the server writes them (append_unescaped in sql_show.cc).
func labelList(text string) ([]string, error) {
	labels := []string{}
	for i := 0; i < len(text); {
		if text[i] == ',' || text[i] == ' ' {
			i++
			continue
		}
		if text[i] != '\'' {
			return nil, fmt.Errorf("the labels are not quoted at %q", text[i:])
		}
		label, size, ok := quotedLabel(text[i:])
		if !ok {
			return nil, fmt.Errorf("the label has no end: %q", text[i:])
		}
		labels = append(labels, label)
		i += size
	}
	return labels, nil
}

// quotedLabel reads one label at the start of text, and how many bytes it takes.
func quotedLabel(text string) (label string, size int, ok bool) {
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\'' && i+1 < len(text) && text[i+1] == '\'':
			i++
		case c == '\'':
			return b.String(), i + 1, true
		case c == '\\' && i+1 < len(text):
			i++
			switch c = text[i]; c {
			case '0':
				c = 0
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			}
		}
		b.WriteByte(c)
	}
	return "", 0, false
}
