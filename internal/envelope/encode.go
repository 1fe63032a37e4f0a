package envelope

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"meridian/internal/bus"
	"meridian/internal/row"
)

// sourceVersion stands in source.version, where Debezium has its own version: the version of this format.
const sourceVersion = "1.0.0"

// Encode makes a record of a message, in a buffer of its own. An error says what is missing in the message; it is a mistake of the
// program, not of the data.
func Encode(m *Message) (bus.Record, error) {
	r, _, err := Append(nil, m)
	return r, err
}

// Append is Encode into a buffer: the record's bytes are appended to dst, which is returned. A caller that encodes many gives the same
// buffer again and again, and uses it anew when the records have been produced.
func Append(dst []byte, m *Message) (bus.Record, []byte, error) {
	if err := m.check(); err != nil {
		return bus.Record{}, dst, fmt.Errorf("envelope: a message of kind %s: %w", m.Kind, err)
	}
	e := encoder{buf: dst, m: m}
	var r bus.Record
	var err error
	if m.Kind.carriesRow() {
		r, err = e.change()
	} else {
		r, err = e.control()
	}
	if err != nil {
		return bus.Record{}, dst, err
	}
	return r, e.buf, nil
}

// check finds what Encode cannot write.
func (m *Message) check() error {
	for _, s := range []string{m.Source.Region, m.Source.GTID, m.Source.File} {
		if !utf8.ValidString(s) {
			return fmt.Errorf("%q is not UTF-8", s)
		}
	}
	switch m.Kind {
	case Change, Repair, Seed:
		return m.checkChange()
	case Epoch, Watermark:
		if m.Kind == Epoch && m.Start == nil || m.Kind == Watermark && m.Watermark == nil {
			return errors.New("no content")
		}
		if m.Source.Last || m.Source.Ordinal != 0 {
			return errors.New("a place in a transaction, which only changes have")
		}
		return nil
	default:
		return errors.New("unknown kind")
	}
}

func (m *Message) checkChange() error {
	c := m.Change
	switch {
	case c == nil || c.Table == nil:
		return errors.New("no change")
	case len(c.Table.PrimaryKey) == 0:
		return fmt.Errorf("table %s has no primary key", c.Table)
	case c.Op < row.Insert || c.Op > row.Delete:
		return fmt.Errorf("operation %d", c.Op)
	case c.Before != nil && len(c.Before) != len(c.Table.Columns), c.After != nil && len(c.After) != len(c.Table.Columns):
		return fmt.Errorf("table %s: images of %d and %d values for %d columns", c.Table, len(c.Before), len(c.After), len(c.Table.Columns))
	case c.Op == row.Delete && c.After != nil, c.Op == row.Insert && c.Before != nil:
		return fmt.Errorf("table %s: an image too many for %s", c.Table, c.Op)
	case c.Op != row.Delete && c.After == nil:
		return fmt.Errorf("table %s: no image of the row", c.Table)
	case c.Op == row.Delete && c.Digest != 0:
		return fmt.Errorf("table %s: a delete has digest %d", c.Table, c.Digest)
	case !validVersion(c.Version) || !validVersion(c.Overwrote):
		return fmt.Errorf("table %s: version %s over %s", c.Table, c.Version, c.Overwrote)
	}
	return nil
}

func validVersion(v row.Version) bool {
	return v.IsBaseline() || v.Region != "" && utf8.ValidString(v.Region)
}

// encoder appends one record's parts to a buffer.
type encoder struct {
	buf        []byte
	m          *Message
	d          *described
	exceptions []exception
}

func (e *encoder) text(s string) { e.buf = append(e.buf, s...) }

func (e *encoder) quoted(s string) { e.buf = appendQuoted(e.buf, s) }

func (e *encoder) int(n int64) { e.buf = strconv.AppendInt(e.buf, n, 10) }

func (e *encoder) uint(n uint64) { e.buf = strconv.AppendUint(e.buf, n, 10) }

func (e *encoder) change() (r bus.Record, err error) {
	c := e.m.Change
	if e.d, err = describe(c.Table); err != nil {
		return r, err
	}
	// The parts are cut out of the buffer at the end: it moves while it grows.
	start := len(e.buf)
	e.key(c)
	keyEnd := len(e.buf)
	e.value(c)
	valueEnd := len(e.buf)
	e.version(c.Version)
	versionEnd := len(e.buf)
	e.text(e.m.Source.Region)
	originEnd := len(e.buf)
	m := meta{kind: e.m.Kind, epoch: e.m.Epoch, last: e.m.Source.Last, op: c.Op, ordinal: e.m.Source.Ordinal, digest: c.Digest,
		overwrote: c.Overwrote, exceptions: e.exceptions, text: e.d.text}
	e.buf = m.append(e.buf, c.Key)
	cut := func(from, to int) []byte { return e.buf[from:to:to] }
	return bus.Record{
		Key:   cut(start, keyEnd),
		Value: cut(keyEnd, valueEnd),
		Headers: []bus.Header{
			{Key: headerVersion, Value: cut(valueEnd, versionEnd)},
			{Key: headerOrigin, Value: cut(versionEnd, originEnd)},
			{Key: headerKind, Value: kindText(e.m.Kind)},
			{Key: headerMeta, Value: cut(originEnd, len(e.buf))},
		},
	}, nil
}

// kindTexts are the values of the header meridian-kind.
var kindTexts = func() (t [Watermark + 1][]byte) {
	for k := range t {
		t[k] = []byte(Kind(k).String())
	}
	return t
}()

func kindText(k Kind) []byte { return kindTexts[k] }

// version appends what row.Version.String gives.
func (e *encoder) version(v row.Version) {
	if v.IsBaseline() {
		e.text("baseline")
		return
	}
	e.int(v.Time)
	e.buf = append(e.buf, '@')
	e.text(v.Region)
}

// key appends the record's key.
func (e *encoder) key(c *row.Change) {
	e.text(`{"table":`)
	e.quoted(c.Table.String())
	e.text(`,"key":`)
	image := c.Row()
	if image == nil { // a tombstone of a row that nobody has an image of
		e.text(`{"base64":`)
		e.buf = appendBase64(e.buf, []byte(c.Key))
		e.text(`}}`)
		return
	}
	separator := byte('{')
	for _, at := range c.Table.PrimaryKey {
		e.buf = append(e.buf, separator)
		separator = ','
		e.buf = append(e.buf, e.d.keys[at]...)
		e.buf, _ = appendValue(e.buf, &c.Table.Columns[at], image[at])
	}
	e.text(`}}`)
}

// value appends the record's value: Debezium's envelope.
func (e *encoder) value(c *row.Change) {
	e.text(`{"before":`)
	e.image(c.Before, false)
	e.text(`,"after":`)
	e.image(c.After, true)
	e.source(c.Table.Schema, c.Table.Name)
	s := &e.m.Source
	if s.GTID != "" {
		e.text(`,"transaction":{"id":`)
		e.quoted(s.GTID)
		e.text(`,"total_order":`)
		e.uint(s.Ordinal)
		e.text(`}`)
	} else {
		e.text(`,"transaction":null`)
	}
	e.text(`,"op":"`)
	e.buf = append(e.buf, operation(e.m.Kind, c))
	e.text(`","ts_ms":`)
	e.int(e.m.Time)
	e.text(`}`)
}

// operation is Debezium's letter: r for a row that was there before, as in its snapshots.
func operation(k Kind, c *row.Change) byte {
	switch {
	case c.Op == row.Delete:
		return 'd'
	case k == Seed, c.Version.IsBaseline():
		return 'r'
	case c.Op == row.Insert:
		return 'c'
	default:
		return 'u'
	}
}

func (e *encoder) image(values []row.Value, after bool) {
	if values == nil {
		e.text("null")
		return
	}
	e.buf = append(e.buf, '{')
	for i := range values {
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		e.buf = append(e.buf, e.d.keys[i]...)
		var natural bool
		if e.buf, natural = appendValue(e.buf, &e.d.table.Columns[i], values[i]); !natural {
			e.exceptions = append(e.exceptions, exception{column: i, after: after, kind: values[i].Kind})
		}
	}
	e.buf = append(e.buf, '}')
}

// source appends the member that says where the message comes from.
func (e *encoder) source(schema, table string) {
	s := &e.m.Source
	e.text(`,"source":{"version":"` + sourceVersion + `","connector":"mysql","name":`)
	e.quoted(s.Region)
	e.text(`,"ts_ms":`)
	millis, _ := floorDiv(s.CommitTime, 1000)
	e.int(millis)
	e.text(`,"ts_us":`)
	e.int(s.CommitTime)
	e.text(`,"db":`)
	e.quoted(schema)
	e.text(`,"table":`)
	e.quoted(table)
	e.text(`,"server_id":`)
	e.uint(uint64(s.ServerID))
	e.text(`,"gtid":`)
	if s.GTID == "" {
		e.text("null")
	} else {
		e.quoted(s.GTID)
	}
	e.text(`,"file":`)
	e.quoted(s.File)
	e.text(`,"pos":`)
	e.uint(s.Position)
	e.text(`,"row":0}`)
}

// control makes a record that has no row. It has the form of Debezium's message events (op m), which consumers of changes pass over.
func (e *encoder) control() (r bus.Record, err error) {
	var content []byte
	if e.m.Kind == Epoch {
		content, err = json.Marshal(e.m.Start)
	} else {
		content, err = json.Marshal(e.m.Watermark)
	}
	if err != nil {
		return r, fmt.Errorf("envelope: a message of kind %s: %w", e.m.Kind, err)
	}
	prefix := "meridian." + e.m.Kind.String()
	start := len(e.buf)
	e.text(`{"prefix":"` + prefix + `"}`)
	keyEnd := len(e.buf)
	e.text(`{"before":null,"after":null`)
	e.source("", "")
	e.text(`,"transaction":null,"op":"m","ts_ms":`)
	e.int(e.m.Time)
	e.text(`,"message":{"prefix":"` + prefix + `","content":"`)
	e.buf = base64.StdEncoding.AppendEncode(e.buf, content)
	e.text(`"}}`)
	valueEnd := len(e.buf)
	e.text(e.m.Source.Region)
	originEnd := len(e.buf)
	m := meta{kind: e.m.Kind, epoch: e.m.Epoch}
	e.buf = m.append(e.buf, "")
	cut := func(from, to int) []byte { return e.buf[from:to:to] }
	return bus.Record{
		Key:   cut(start, keyEnd),
		Value: cut(keyEnd, valueEnd),
		Headers: []bus.Header{
			{Key: headerOrigin, Value: cut(valueEnd, originEnd)},
			{Key: headerKind, Value: kindText(e.m.Kind)},
			{Key: headerMeta, Value: cut(originEnd, len(e.buf))},
		},
	}, nil
}
