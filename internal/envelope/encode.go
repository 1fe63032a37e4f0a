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
	var x Encoder
	return x.Encode(m)
}

// Encoder encodes one message after the other into memory of its own. The changes of a transaction have the same source: its text is
// remembered. It is not for concurrent use.
type Encoder struct {
	buf     []byte // of the records since Reset
	headers []bus.Header

	table  *row.Table // the last change's; nil: none yet
	d      *described // of the table
	source Source     // of the text, without Ordinal and Last
	text   []byte     // from the record's source to the number in the transaction; empty: none of this table yet
}

// Reset uses the memory of the records that were encoded before anew.
func (x *Encoder) Reset() {
	const keep = 8 << 20
	if cap(x.buf) > keep {
		x.buf = nil // a huge row's
	}
	clear(x.headers)
	x.buf, x.headers = x.buf[:0], x.headers[:0]
}

// Encode makes a record of a message. It stands until Reset.
func (x *Encoder) Encode(m *Message) (r bus.Record, err error) {
	if err = m.check(); err != nil {
		return r, fmt.Errorf("envelope: a message of kind %s: %w", m.Kind, err)
	}
	e := encoder{Encoder: x, m: m}
	start := len(x.buf)
	if m.Kind.carriesRow() {
		r, err = e.change()
	} else {
		r, err = e.control()
	}
	if err != nil {
		x.buf = x.buf[:start]
	}
	return r, err
}

// check finds what Encode cannot write.
func (m *Message) check() error {
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

// encoder appends one record's parts.
type encoder struct {
	*Encoder
	m          *Message
	exceptions []exception
}

func (e *encoder) raw(s string) { e.buf = append(e.buf, s...) }

func (e *encoder) quoted(s string) { e.buf = appendQuoted(e.buf, s) }

func (e *encoder) int(n int64) { e.buf = strconv.AppendInt(e.buf, n, 10) }

func (e *encoder) uint(n uint64) { e.buf = strconv.AppendUint(e.buf, n, 10) }

func (e *encoder) change() (r bus.Record, err error) {
	c := e.m.Change
	if e.table != c.Table {
		if e.d, err = describe(c.Table); err != nil {
			return r, err
		}
		e.table, e.text = c.Table, e.text[:0]
	}
	// The parts are cut out of the buffer at the end: it moves while it grows.
	start := len(e.buf)
	e.key(c)
	keyEnd := len(e.buf)
	if err = e.value(c); err != nil {
		return r, err
	}
	valueEnd := len(e.buf)
	e.version(c.Version)
	versionEnd := len(e.buf)
	e.raw(e.m.Source.Region)
	originEnd := len(e.buf)
	m := meta{kind: e.m.Kind, epoch: e.m.Epoch, last: e.m.Source.Last, op: c.Op, ordinal: e.m.Source.Ordinal, digest: c.Digest,
		overwrote: c.Overwrote, exceptions: e.exceptions, text: e.d.text}
	e.buf = m.append(e.buf, c.Key)
	cut := func(from, to int) []byte { return e.buf[from:to:to] }
	return bus.Record{
		Key:   cut(start, keyEnd),
		Value: cut(keyEnd, valueEnd),
		Headers: e.keep(
			bus.Header{Key: headerVersion, Value: cut(valueEnd, versionEnd)},
			bus.Header{Key: headerOrigin, Value: cut(versionEnd, originEnd)},
			bus.Header{Key: headerKind, Value: kindText(e.m.Kind)},
			bus.Header{Key: headerMeta, Value: cut(originEnd, len(e.buf))},
		),
	}, nil
}

func (x *Encoder) keep(headers ...bus.Header) []bus.Header {
	from := len(x.headers)
	x.headers = append(x.headers, headers...)
	return x.headers[from:len(x.headers):len(x.headers)]
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
		e.raw("baseline")
		return
	}
	e.int(v.Time)
	e.buf = append(e.buf, '@')
	e.raw(v.Region)
}

// key appends the record's key.
func (e *encoder) key(c *row.Change) {
	e.raw(`{"table":`)
	e.quoted(c.Table.String())
	e.raw(`,"key":`)
	image := c.Row()
	if image == nil { // a tombstone of a row that nobody has an image of
		e.raw(`{"base64":`)
		e.buf = appendBase64(e.buf, []byte(c.Key))
		e.raw(`}}`)
		return
	}
	separator := byte('{')
	for _, at := range c.Table.PrimaryKey {
		e.buf = append(e.buf, separator)
		separator = ','
		e.buf = append(e.buf, e.d.keys[at]...)
		e.buf, _ = appendValue(e.buf, &c.Table.Columns[at], image[at])
	}
	e.raw(`}}`)
}

// value appends the record's value: Debezium's envelope.
func (e *encoder) value(c *row.Change) error {
	e.raw(`{"before":`)
	e.image(c.Before, false)
	e.raw(`,"after":`)
	e.image(c.After, true)
	if err := e.origin(c.Table); err != nil {
		return err
	}
	if e.m.Source.GTID != "" {
		e.uint(e.m.Source.Ordinal)
		e.raw(`}`)
	}
	e.raw(`,"op":"`)
	e.buf = append(e.buf, operation(e.m.Kind, c))
	e.raw(`","ts_ms":`)
	e.int(e.m.Time)
	e.raw(`}`)
	return nil
}

// origin appends where a change comes from, up to its number in the transaction.
func (e *encoder) origin(t *row.Table) error {
	s := e.m.Source
	s.Ordinal, s.Last = 0, false
	if len(e.text) > 0 && e.source == s {
		e.buf = append(e.buf, e.text...)
		return nil
	}
	start := len(e.buf)
	if err := e.place(t.Schema, t.Name); err != nil {
		return err
	}
	if s.GTID != "" {
		e.raw(`,"transaction":{"id":`)
		e.quoted(s.GTID)
		e.raw(`,"total_order":`)
	} else {
		e.raw(`,"transaction":null`)
	}
	e.source, e.text = s, append(e.text[:0], e.buf[start:]...)
	return nil
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
		e.raw("null")
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

// place appends the member source.
func (e *encoder) place(schema, table string) error {
	s := &e.m.Source
	for _, text := range []string{s.Region, s.GTID, s.File} {
		if !utf8.ValidString(text) {
			return fmt.Errorf("envelope: a message of kind %s: %q is not UTF-8", e.m.Kind, text)
		}
	}
	e.raw(`,"source":{"version":"` + sourceVersion + `","connector":"mysql","name":`)
	e.quoted(s.Region)
	e.raw(`,"ts_ms":`)
	millis, _ := floorDiv(s.CommitTime, 1000)
	e.int(millis)
	e.raw(`,"ts_us":`)
	e.int(s.CommitTime)
	e.raw(`,"db":`)
	e.quoted(schema)
	e.raw(`,"table":`)
	e.quoted(table)
	e.raw(`,"server_id":`)
	e.uint(uint64(s.ServerID))
	e.raw(`,"gtid":`)
	if s.GTID == "" {
		e.raw("null")
	} else {
		e.quoted(s.GTID)
	}
	e.raw(`,"file":`)
	e.quoted(s.File)
	e.raw(`,"pos":`)
	e.uint(s.Position)
	e.raw(`,"row":0}`)
	return nil
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
	e.raw(`{"prefix":"` + prefix + `"}`)
	keyEnd := len(e.buf)
	e.raw(`{"before":null,"after":null`)
	if err = e.place("", ""); err != nil {
		return r, err
	}
	e.raw(`,"transaction":null,"op":"m","ts_ms":`)
	e.int(e.m.Time)
	e.raw(`,"message":{"prefix":"` + prefix + `","content":"`)
	e.buf = base64.StdEncoding.AppendEncode(e.buf, content)
	e.raw(`"}}`)
	valueEnd := len(e.buf)
	e.raw(e.m.Source.Region)
	originEnd := len(e.buf)
	m := meta{kind: e.m.Kind, epoch: e.m.Epoch}
	e.buf = m.append(e.buf, "")
	cut := func(from, to int) []byte { return e.buf[from:to:to] }
	return bus.Record{
		Key:   cut(start, keyEnd),
		Value: cut(keyEnd, valueEnd),
		Headers: e.keep(
			bus.Header{Key: headerOrigin, Value: cut(valueEnd, originEnd)},
			bus.Header{Key: headerKind, Value: kindText(e.m.Kind)},
			bus.Header{Key: headerMeta, Value: cut(originEnd, len(e.buf))},
		),
	}, nil
}
