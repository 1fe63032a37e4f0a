package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// decoder turns YAML nodes into a Config. Unlike the library's own decoding it goes on after a fault, and remembers the
// line of every setting for those who check the values.
//
// Struct fields carry `config:"key"`, with ",path" for what is relative to the file's folder and ",secret" for a Secret,
// which is one of three keys.
type decoder struct {
	folder  string
	faults  []Fault
	lines   map[string]int  // by dotted path
	refused map[string]bool // paths whose value could not be decoded: nothing more is said about them and what is in them
	broken  bool            // the document could not be taken apart at all
}

func (d *decoder) fault(line int, key, format string, args ...any) {
	d.faults = append(d.faults, Fault{Line: line, Key: key, Text: fmt.Sprintf(format, args...)})
}

// refuse is fault for a value that could not be decoded.
func (d *decoder) refuse(n *yaml.Node, key, format string, args ...any) {
	d.refused[key] = true
	d.fault(n.Line, key, format, args...)
}

// document decodes the only document of a file.
func (d *decoder) document(data []byte, into *Config) {
	loader, err := yaml.NewLoader(bytes.NewReader(data))
	if err != nil {
		d.syntax(err)
		return
	}
	var document yaml.Node
	if err := loader.Load(&document); errors.Is(err, io.EOF) || err == nil && empty(&document) {
		d.broken = true
		d.fault(0, "", "is empty: a configuration needs at least regions and tables")
		return
	} else if err != nil {
		d.syntax(err)
		return
	}
	var second yaml.Node
	if err := loader.Load(&second); err == nil {
		d.fault(second.Line, "", "a second document begins here: one file is one configuration")
	} else if !errors.Is(err, io.EOF) {
		d.syntax(err)
		return
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		d.broken = true
		d.fault(root.Line, "", "is not a configuration: it should begin with keys like regions:, bus: and tables:")
		return
	}
	d.object(root, "", reflect.ValueOf(into).Elem())
}

func empty(document *yaml.Node) bool {
	return len(document.Content) == 0 || isNull(document.Content[0])
}

// syntax reports what the YAML parser refused.
func (d *decoder) syntax(err error) {
	d.broken = true
	var load *yaml.LoadError
	if errors.As(err, &load) {
		d.fault(load.Mark.Line, "", "is no YAML: %s", load.Message)
		return
	}
	d.fault(0, "", "is no YAML: %v", err)
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// object decodes a mapping into a struct.
func (d *decoder) object(n *yaml.Node, path string, into reflect.Value) {
	fields := fieldsOf(into.Type())
	known := make([]string, 0, len(fields))
	for key := range fields {
		known = append(known, key)
	}
	slices.Sort(known)
	secrets := map[int]string{}
	d.pairs(n, path, func(key, value *yaml.Node) {
		at := join(path, key.Value)
		f, ok := fields[key.Value]
		if !ok {
			hint := "known here: " + strings.Join(known, ", ")
			if word := nearest(key.Value, known); word != "" {
				hint = fmt.Sprintf("did you mean %q?", word)
				if !hasKey(n, word) {
					d.refused[join(path, fields[word].name)] = true // what was meant is here: it is not missing as well
				}
			}
			d.fault(key.Line, path, "unknown key %q (%s)", key.Value, hint)
			return
		}
		d.lines[at] = key.Line
		if f.secret == "" {
			d.value(value, at, into.Field(f.index), f.path)
			return
		}
		if other, twice := secrets[f.index]; twice {
			d.fault(key.Line, path, "has both %s and %s: exactly one of %s", other, key.Value, secretKeys(f.name))
			return
		}
		secrets[f.index] = key.Value
		d.lines[join(path, f.name)] = key.Line
		d.secret(value, at, f.secret, into.Field(f.index))
		if d.refused[at] {
			d.refused[join(path, f.name)] = true
		}
	})
}

// hasKey tells whether a mapping itself has the key.
func hasKey(n *yaml.Node, key string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return true
		}
	}
	return false
}

// pairs calls each for the keys and values of a mapping, those that a merge key (<<) brings last, and reports duplicates.
func (d *decoder) pairs(n *yaml.Node, path string, each func(key, value *yaml.Node)) {
	seen := map[string]int{}
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], resolve(n.Content[i+1])
		switch {
		case key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge":
			merged = append(merged, value)
		case key.Kind != yaml.ScalarNode:
			d.fault(key.Line, path, "a key must be a word")
		case seen[key.Value] != 0:
			d.fault(key.Line, path, "%q is here for the second time, first on line %d", key.Value, seen[key.Value])
		default:
			seen[key.Value] = key.Line
			each(key, value)
		}
	}
	for _, source := range merged {
		maps := []*yaml.Node{source}
		if source.Kind == yaml.SequenceNode {
			maps = source.Content
		}
		for _, m := range maps {
			if m = resolve(m); m.Kind != yaml.MappingNode {
				d.fault(m.Line, path, "<< needs a mapping to merge")
				continue
			}
			d.pairs(m, path, func(key, value *yaml.Node) {
				if seen[key.Value] == 0 {
					seen[key.Value] = key.Line
					each(key, value)
				}
			})
		}
	}
}

func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	return n
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	sizeType     = reflect.TypeFor[Size]()
	patternType  = reflect.TypeFor[Pattern]()
	templateType = reflect.TypeFor[KeyTemplate]()
	regionsType  = reflect.TypeFor[[]*Region]()
)

// value decodes one node into whatever the field is.
func (d *decoder) value(n *yaml.Node, path string, into reflect.Value, isPath bool) {
	switch t := into.Type(); {
	case t == regionsType:
		d.regions(n, path, into)
	case t == durationType || t == sizeType || t == patternType || t == templateType:
		d.parsed(n, path, into)
	case t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct:
		if isNull(n) {
			d.refuse(n, path, "has nothing in it: remove the line, or write {} if all its defaults are meant")
			return
		}
		into.Set(reflect.New(t.Elem()))
		d.value(n, path, into.Elem(), false)
	case t.Kind() == reflect.Pointer:
		into.Set(reflect.New(t.Elem()))
		d.value(n, path, into.Elem(), false)
	case t.Kind() == reflect.Struct:
		if isNull(n) {
			return // a section whose settings are all commented out
		}
		if n.Kind != yaml.MappingNode {
			d.refuse(n, path, "must be a mapping ({key: value}), not %s", describe(n))
			return
		}
		d.object(n, path, into)
	case t.Kind() == reflect.Slice:
		d.list(n, path, into, isPath)
	default:
		d.scalar(n, path, into, isPath)
	}
}

// regions decodes the mapping of names to regions, and keeps its order.
func (d *decoder) regions(n *yaml.Node, path string, into reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.refuse(n, path, "must be a mapping of region names to their settings, not %s", describe(n))
		return
	}
	var regions []*Region
	d.pairs(n, path, func(key, value *yaml.Node) {
		at := join(path, key.Value)
		d.lines[at] = key.Line
		r := &Region{Name: key.Value, Replicas: 1}
		regions = append(regions, r)
		d.value(value, at, reflect.ValueOf(r).Elem(), false)
	})
	into.Set(reflect.ValueOf(regions))
}

func (d *decoder) list(n *yaml.Node, path string, into reflect.Value, isPath bool) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.refuse(n, path, `must be a list (["a", "b"]), not %s`, describe(n))
		return
	}
	list := reflect.MakeSlice(into.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.lines[at] = item.Line
		d.value(resolve(item), at, list.Index(i), isPath)
	}
	into.Set(list)
}

// parsed decodes the types that have a syntax of their own.
func (d *decoder) parsed(n *yaml.Node, path string, into reflect.Value) {
	text, ok := d.text(n, path)
	if !ok {
		return
	}
	var value any
	var err error
	switch into.Type() {
	case durationType:
		value, err = parseDuration(text)
	case sizeType:
		value, err = parseSize(text)
	case patternType:
		value, err = ParsePattern(text)
	default:
		value, err = ParseKeyTemplate(text)
	}
	if err != nil {
		d.refuse(n, path, "%v", err)
		return
	}
	into.Set(reflect.ValueOf(value))
}

func (d *decoder) scalar(n *yaml.Node, path string, into reflect.Value, isPath bool) {
	text, ok := d.text(n, path)
	if !ok {
		return
	}
	switch into.Kind() {
	case reflect.String:
		if isPath && text != "" && !filepath.IsAbs(text) {
			text = filepath.Join(d.folder, text)
		}
		into.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			d.refuse(n, path, "must be true or false, not %q", text)
			return
		}
		into.SetBool(text == "true")
	default: // a whole number; a Config has no other kinds, and a test decodes all that it has
		number, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			d.refuse(n, path, "must be a whole number, not %q", text)
			return
		}
		into.SetInt(number)
	}
}

// text gives a scalar as it was written.
func (d *decoder) text(n *yaml.Node, path string) (string, bool) {
	switch {
	case isNull(n):
		d.refuse(n, path, "has no value")
		return "", false
	case n.Kind != yaml.ScalarNode:
		d.refuse(n, path, "must be one value, not %s", describe(n))
		return "", false
	}
	return n.Value, true
}

// secret decodes one of a secret's three keys.
func (d *decoder) secret(n *yaml.Node, path, kind string, into reflect.Value) {
	text, ok := d.text(n, path)
	if !ok {
		return
	}
	var s Secret
	switch kind {
	case "env":
		s.env = text
	case "file":
		if s.file = text; text != "" && !filepath.IsAbs(text) {
			s.file = filepath.Join(d.folder, text)
		}
	default:
		s.literal = &text
	}
	if text == "" && kind != "literal" {
		d.refuse(n, path, "is empty")
	}
	into.Set(reflect.ValueOf(s))
}

// field is where a key of a mapping goes.
type field struct {
	index  int
	name   string
	path   bool
	secret string // "literal", "env", "file"; "" for what is no secret
}

func fieldsOf(t reflect.Type) map[string]field {
	fields := map[string]field{}
	for i := range t.NumField() {
		tag, ok := t.Field(i).Tag.Lookup("config")
		if !ok {
			continue
		}
		name, option, _ := strings.Cut(tag, ",")
		if option == "secret" {
			fields[name] = field{index: i, name: name, secret: "literal"}
			fields[name+"_env"] = field{index: i, name: name, secret: "env"}
			fields[name+"_file"] = field{index: i, name: name, secret: "file"}
			continue
		}
		fields[name] = field{index: i, name: name, path: option == "path"}
	}
	return fields
}

func secretKeys(name string) string { return fmt.Sprintf("%[1]s, %[1]s_env, %[1]s_file", name) }

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	default:
		return strconv.Quote(n.Value)
	}
}
