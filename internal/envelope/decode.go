package envelope

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"sync"
	"unicode/utf8"

	"meridian/internal/bus"
	"meridian/internal/row"
)

// Decode reads a record that Encode made. The message is the one that was encoded; its change's Table is the same pointer for
// every record with the same columns. Values may be parts of the record's bytes.
//
// It returns a *NewerFormatError for a record that a later version of Meridian made, a *ForeignError for any other record, and a
// *CorruptError when the row is not the one that was published.
func Decode(r *bus.Record) (*Message, error) {
	d := decoders.Get().(*decoder) //nolint:forcetypeassert,errcheck // only put there below
	m, err := d.decode(r)
	d.forget()
	decoders.Put(d)
	return m, err
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

// decoder reads one record. It is used again for what repeats from record to record.
type decoder struct {
	meta  meta
	names [8]string // regions, GTIDs and files that came last
	next  int

	// The member source that came last: it is the same for a transaction's changes to one table.
	sourceText []byte
	source     Source
}

// decoded is a message and its change in one allocation.
type decoded struct {
	message Message
	change  row.Change
}

func (d *decoder) forget() {
	d.meta = meta{exceptions: d.meta.exceptions[:0]}
	if cap(d.meta.exceptions) > 1024 {
		d.meta.exceptions = nil
	}
}

// name gives b as a string, one of those that came last if it is among them.
func (d *decoder) name(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	for i := range d.names {
		if d.names[i] == string(b) {
			return d.names[i]
		}
	}
	const longest = 256
	s := string(b)
	if len(s) <= longest {
		d.names[d.next%len(d.names)] = s
		d.next++
	}
	return s
}

func (d *decoder) decode(r *bus.Record) (*Message, error) {
	text, ok := r.Header(headerMeta)
	if !ok {
		return nil, foreign("it has no header %s", headerMeta)
	}
	if err := d.meta.parse(text); err != nil {
		var newer *NewerFormatError
		if origin, _ := r.Header(headerOrigin); errors.As(err, &newer) {
			newer.Origin = string(origin)
		}
		return nil, err
	}
	kind, _ := r.Header(headerKind)
	if d.meta.kind < Change || d.meta.kind > Watermark || !bytes.Equal(kind, kindText(d.meta.kind)) {
		return nil, foreign("its headers disagree: kind %q and %d", kind, uint8(d.meta.kind))
	}
	if d.meta.kind.carriesRow() {
		return d.change(r)
	}
	return d.control(r)
}

func (d *decoder) change(r *bus.Record) (*Message, error) {
	desc, err := tableOf(d.meta.text)
	if err != nil {
		return nil, err
	}
	out := new(decoded)
	m, c := &out.message, &out.change
	m.Change = c
	c.Table, c.Op, c.Key, c.Digest, c.Overwrote = desc.table, d.meta.op, row.Key(d.meta.key), d.meta.digest, d.meta.overwrote
	version, _ := r.Header(headerVersion)
	if c.Version, err = d.version(version); err != nil {
		return nil, err
	}
	b := body{decoder: d, scanner: scanner{b: r.Value}, desc: desc, message: m}
	if err = b.read(); err != nil {
		return nil, err
	}
	if err = d.finish(r, m); err != nil {
		return nil, err
	}
	if c.After == nil && c.Op != row.Delete || c.After != nil && c.Op == row.Delete || c.Before != nil && c.Op == row.Insert {
		return nil, foreign("its images are not those of %s", c.Op)
	}
	if c.Op == row.Delete {
		if c.Digest != 0 {
			return nil, foreign("a delete with a digest")
		}
		return m, nil
	}
	if have := c.Table.Digest(c.Key, c.After); have != c.Digest {
		return nil, &CorruptError{Table: c.Table.String(), Key: string(r.Key), Want: c.Digest, Have: have}
	}
	return m, nil
}

// finish fills in what all kinds have, and checks that the record agrees with itself.
func (d *decoder) finish(r *bus.Record, m *Message) error {
	m.Kind, m.Epoch = d.meta.kind, d.meta.epoch
	m.Source.Ordinal, m.Source.Last = d.meta.ordinal, d.meta.last
	if origin, ok := r.Header(headerOrigin); !ok || string(origin) != m.Source.Region {
		return foreign("its origin is %q in the headers and %q in the value", origin, m.Source.Region)
	}
	return nil
}

// version reads the header meridian-version.
func (d *decoder) version(text []byte) (row.Version, error) {
	if string(text) == "baseline" {
		return row.Version{}, nil
	}
	at := bytes.IndexByte(text, '@')
	if at < 0 || at == len(text)-1 || !utf8.Valid(text) {
		return row.Version{}, foreign("its version %q is not TIME@REGION", text)
	}
	s := scanner{b: text[:at]}
	v := row.Version{Time: s.int64(), Region: d.name(text[at+1:])}
	if s.bad || s.at != at {
		return row.Version{}, foreign("its version %q is not TIME@REGION", text)
	}
	return v, nil
}

// body reads a record's value.
type body struct {
	*decoder
	scanner

	desc    *described // nil for a record without a row
	message *Message
	content []byte // of a record without a row
	room    []row.Value
}

func (b *body) read() error {
	b.object(b.member)
	b.blanks()
	if b.bad || b.at != len(b.b) {
		return foreign("its value is not what the headers say, at byte %d", b.at)
	}
	return nil
}

func (b *body) member(name []byte) {
	m := b.message
	switch string(name) {
	case "before":
		if image := b.optionalImage(false); image != nil {
			m.Change.Before = image
		}
	case "after":
		if image := b.optionalImage(true); image != nil {
			m.Change.After = image
		}
	case "source":
		b.readSource()
	case "ts_ms":
		m.Time = b.int64()
	case "message":
		b.object(func(name []byte) {
			if string(name) == "content" {
				b.content = b.base64()
			} else {
				b.skip(0)
			}
		})
	default: // op and transaction say again what stands in meta and source
		b.skip(0)
	}
}

func (b *body) readSource() {
	b.peek()
	from := b.at
	if len(b.sourceText) > 0 && bytes.HasPrefix(b.b[from:], b.sourceText) {
		b.at += len(b.sourceText)
		b.message.Source = b.source
		return
	}
	b.message.Source = Source{}
	b.object(b.sourceMember)
	const longest = 2048
	if !b.bad && b.at-from <= longest {
		b.sourceText, b.source = append(b.sourceText[:0], b.b[from:b.at]...), b.message.Source
	}
}

func (b *body) sourceMember(name []byte) {
	s := &b.message.Source
	switch string(name) {
	case "name":
		s.Region = b.name(b.string())
	case "ts_us":
		s.CommitTime = b.int64()
	case "server_id":
		id := b.uint64()
		b.bad = b.bad || id > math.MaxUint32
		s.ServerID = uint32(id)
	case "gtid":
		if !b.word("null") {
			s.GTID = b.name(b.string())
		}
	case "file":
		s.File = b.name(b.string())
	case "pos":
		s.Position = b.uint64()
	default:
		b.skip(0)
	}
}

// optionalImage reads null or an image.
func (b *body) optionalImage(after bool) []row.Value {
	if b.word("null") {
		return nil
	}
	if b.desc == nil {
		b.fail()
		return nil
	}
	return b.image(after)
}

// image reads a row: an object with each of the table's columns once.
func (b *body) image(after bool) []row.Value {
	columns := b.desc.table.Columns
	if len(b.room) < len(columns) {
		b.room = make([]row.Value, 2*len(columns))
	}
	values := b.room[:len(columns):len(columns)]
	b.room = b.room[len(columns):]
	b.take('{')
	for i := range columns {
		if i > 0 {
			b.take(',')
		}
		b.blanks()
		if key := b.desc.keys[i]; bytes.HasPrefix(b.b[b.at:], key) {
			b.at += len(key)
		} else {
			name := b.string()
			b.take(':')
			if string(name) != columns[i].Name {
				b.fail()
			}
		}
		if b.bad {
			return nil
		}
		values[i] = b.column(i, after)
	}
	b.take('}')
	return values
}

// column reads one value, in its column's form or, when meta says so, escaped.
func (b *body) column(i int, after bool) row.Value {
	for _, e := range b.meta.exceptions {
		if e.column == i && e.after == after {
			return b.escape(e.kind)
		}
	}
	return b.value(&b.desc.table.Columns[i])
}

func (d *decoder) control(r *bus.Record) (*Message, error) {
	m := new(Message)
	b := body{decoder: d, scanner: scanner{b: r.Value}, message: m}
	if err := b.read(); err != nil {
		return nil, err
	}
	if err := d.finish(r, m); err != nil {
		return nil, err
	}
	var err error
	if m.Kind == Epoch {
		m.Start = new(EpochStart)
		err = json.Unmarshal(b.content, m.Start)
	} else {
		m.Watermark = new(WatermarkMark)
		err = json.Unmarshal(b.content, m.Watermark)
	}
	if err != nil {
		return nil, foreign("the content of a record of kind %s: %v", m.Kind, err)
	}
	return m, nil
}
