package propagate

import (
	"fmt"

	"meridian/internal/row"
)

// Provenance is what a change of the provenance table says, as the tailer reads it.
type Provenance struct {
	Source  string
	Shard   int
	Next    uint64 // the next offset of the source's topic
	Epoch   uint64
	Written []Written // empty: the row was only claimed or set up
}

// ReadProvenance reads a change of the provenance table; nil for a deleted row.
func ReadProvenance(c *row.Change) (*Provenance, error) {
	if c.After == nil {
		return nil, nil
	}
	p := &Provenance{}
	var batch []byte
	for _, f := range []struct {
		column string
		kind   row.Kind
		set    func(v row.Value)
	}{
		{"source", row.Text, func(v row.Value) { p.Source = string(v.Bytes) }},
		{"shard", row.Uint, func(v row.Value) { p.Shard = int(v.Num) }},
		{"next_offset", row.Uint, func(v row.Value) { p.Next = v.Num }},
		{"epoch", row.Uint, func(v row.Value) { p.Epoch = v.Num }},
		{"batch", row.Binary, func(v row.Value) { batch = v.Bytes }},
	} {
		i := c.Table.Column(f.column)
		if i < 0 || c.After[i].Kind != f.kind {
			return nil, fmt.Errorf("%w: column %s of %s is not as Meridian made it; run `syncer schema`", errBadBatch, f.column, c.Table)
		}
		f.set(c.After[i])
	}
	written, err := ParseBatch(batch)
	if err != nil {
		return nil, err
	}
	p.Written = written
	return p, nil
}
