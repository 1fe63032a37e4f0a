package binlog

import (
	"bytes"
	"errors"
	"slices"

	"meridian/internal/row"
)

// rowsEvent is a rows event's fields before its rows.
type rowsEvent struct {
	op         row.Op
	partial    bool // PARTIAL_UPDATE_ROWS_EVENT
	compressed bool
	table      uint64
	last       bool // of its statement: the table maps before it hold no longer
	columns    uint64
	before     []byte // bitmap of the columns that are in the first image; of an insert's only one
	after      []byte // an update's second
	rows       []byte
}

const (
	noTable          = 0xffffff // an event that only ends its statement
	rowsStatementEnd = 1
)

// parseRows reads a rows event's fields. They alias the body.
func parseRows(kind eventType, body []byte) (rowsEvent, error) {
	e := rowsEvent{}
	extra := false
	switch kind {
	case eventWriteRowsV1, eventWriteRowsV2, eventMariaWriteCompressed:
		e.op = row.Insert
	case eventUpdateRowsV1, eventUpdateRowsV2, eventMariaUpdateCompressed, eventPartialUpdate:
		e.op = row.Update
	default:
		e.op = row.Delete
	}
	switch kind {
	case eventWriteRowsV2, eventUpdateRowsV2, eventDeleteRowsV2, eventPartialUpdate:
		extra = true
	case eventMariaWriteCompressed, eventMariaUpdateCompressed, eventMariaDeleteCompressed:
		e.compressed = true
	default:
	}
	e.partial = kind == eventPartialUpdate
	r := reader{b: body}
	e.table = r.number(tableIDSize)
	e.last = r.number(2)&rowsStatementEnd != 0
	if extra { // NDB's and partitions' extra data: a length that counts itself
		r.take(int(r.number(2)) - 2)
	}
	e.columns = r.packed()
	if e.columns > uint64(8*len(r.b)) {
		return e, errShortEvent
	}
	size := int(e.columns+7) / 8
	e.before = r.take(size)
	if e.op == row.Update {
		e.after = r.take(size)
	}
	e.rows = r.b
	return e, r.err()
}

// errImage is returned for a rows event without all columns.
var errImage = errors.New("the row image lacks columns")

// changes decodes all rows of the event. The changes own what they point to.
func (e *rowsEvent) changes(l *layout) ([]row.Change, error) {
	before, err := l.present(e.before)
	if err != nil {
		return nil, err
	}
	var after []byte
	if e.op == row.Update {
		if after, err = l.present(e.after); err != nil {
			return nil, err
		}
	}
	d := decoder{layout: l, data: e.rows}
	if e.compressed {
		if d.data, err = inflateEvent(e.rows); err != nil {
			return nil, err
		}
	} else if l.aliases {
		d.data = bytes.Clone(e.rows)
	}
	out := chunk{layout: l, left: func() int { return len(d.data) - d.at }}
	for d.at < len(d.data) {
		start := d.at
		first := out.room(start)
		if err := d.image(before, first); err != nil {
			return nil, err
		}
		var second []row.Value
		if e.op == row.Update {
			second = out.room(start)
			if err := d.image(after, second); err != nil {
				return nil, err
			}
		}
		if d.at == start {
			return nil, errShortRow // rows without a byte: it would never end
		}
		if err := out.add(e.op, first, second); err != nil {
			return nil, err
		}
	}
	return out.changes, nil
}

// present checks which columns are in the images: nil for all. Only generated columns may be missing.
func (l *layout) present(bitmap []byte) ([]byte, error) {
	missing := false
	for i := range l.fields {
		if bitmap[i>>3]&(1<<(i&7)) != 0 {
			continue
		}
		if !l.fields[i].generated {
			return nil, errImage
		}
		missing = true
	}
	if !missing {
		return nil, nil
	}
	return bitmap, nil
}

// chunk gathers the changes of one event.
type chunk struct {
	layout  *layout
	left    func() int // bytes that are not decoded yet
	changes []row.Change
	slab    []row.Value // for images to come
	images  int
}

// maxSlab is how many values are made room for at once.
const maxSlab = 16384

// room gives an empty image. The slab is sized by what the images so far have taken; at is where the current row starts.
func (c *chunk) room(at int) []row.Value {
	n := len(c.layout.fields)
	if len(c.slab) < n {
		images := 1
		if c.images > 0 && at > 0 {
			images = max(2, c.left()*c.images/at+1)
		}
		images = max(1, min(images, maxSlab/n))
		c.slab = make([]row.Value, images*n)
	}
	c.images++
	image := c.slab[:n:n]
	c.slab = c.slab[n:]
	return image
}

// add makes the change, or the two changes, that a row of the event is.
func (c *chunk) add(op row.Op, first, second []row.Value) error {
	t := c.layout.table
	if len(t.PrimaryKey) == 0 { // one of Meridian's own, or it would not have come here
		change := row.Change{Table: t, Op: op, Before: first}
		switch op {
		case row.Insert:
			change.Before, change.After = nil, first
		case row.Update:
			change.After = second
		case row.Delete:
		}
		c.append(change)
		return nil
	}
	key, err := t.Key(first)
	if err != nil {
		return err
	}
	switch op {
	case row.Insert:
		c.append(row.Change{Table: t, Op: op, Key: key, After: first, Digest: t.Digest(key, first)})
	case row.Delete:
		c.append(row.Change{Table: t, Op: op, Key: key, Before: first})
	case row.Update:
		newKey := key
		if !sameKeyValues(t, first, second) {
			if newKey, err = t.Key(second); err != nil {
				return err
			}
		}
		digest := t.Digest(newKey, second)
		if newKey == key {
			c.append(row.Change{Table: t, Op: op, Key: key, Before: first, After: second, Digest: digest})
			break
		}
		c.append(row.Change{Table: t, Op: row.Delete, Key: key, Before: first})
		c.append(row.Change{Table: t, Op: row.Insert, Key: newKey, After: second, Digest: digest})
	}
	return nil
}

func (c *chunk) append(change row.Change) {
	if c.changes == nil {
		c.changes = make([]row.Change, 0, 1)
	} else if len(c.changes) == cap(c.changes) {
		// By now the slab tells how many rows are to come.
		c.changes = slices.Grow(c.changes, max(1, len(c.slab)/len(c.layout.fields)))
	}
	c.changes = append(c.changes, change)
}

// sameKeyValues tells whether two images have the same primary key without making it: most updates do.
func sameKeyValues(t *row.Table, a, b []row.Value) bool {
	for _, i := range t.PrimaryKey {
		if a[i].Kind != b[i].Kind || a[i].Num != b[i].Num || !bytes.Equal(a[i].Bytes, b[i].Bytes) {
			return false
		}
	}
	return true
}
