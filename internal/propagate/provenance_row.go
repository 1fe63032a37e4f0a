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
	Written []Written // empty: the row was only claimed, set up, or moved past control records
	// ByHand: no apply transaction wrote this, but a claim, or a person who set the place.
	ByHand bool
}

// ReadProvenance reads a change of the provenance table; nil for a deleted row.
func ReadProvenance(c *row.Change) (*Provenance, error) {
	if c.After == nil {
		return nil, nil
	}
	p := &Provenance{}
	var batch []byte
	err := readFields(c, []field{
		{"source", row.Text, func(v row.Value) { p.Source = string(v.Bytes) }},
		{"shard", row.Uint, func(v row.Value) { p.Shard = int(v.Num) }},
		{"next_offset", row.Uint, func(v row.Value) { p.Next = v.Num }},
		{"epoch", row.Uint, func(v row.Value) { p.Epoch = v.Num }},
		{"batch", row.Binary, func(v row.Value) { batch = v.Bytes }},
	})
	if err == nil {
		p.ByHand = len(batch) == 0
		p.Written, err = ParseBatch(batch)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// ReadAdoption reads a change of the owner table: which rows of which shard its transaction gave a new version. There are none
// where the shard was only claimed.
func ReadAdoption(c *row.Change) (shard int, written []Written, err error) {
	if c.After == nil {
		return 0, nil, nil
	}
	var batch []byte
	err = readFields(c, []field{
		{"shard", row.Uint, func(v row.Value) { shard = int(v.Num) }},
		{"batch", row.Binary, func(v row.Value) { batch = v.Bytes }},
	})
	if err == nil {
		written, err = ParseBatch(batch)
	}
	return shard, written, err
}

// field is a column that is read, and what is done with its value.
type field struct {
	column string
	kind   row.Kind
	set    func(v row.Value)
}

func readFields(c *row.Change, fields []field) error {
	for _, f := range fields {
		i := c.Table.Column(f.column)
		if i < 0 || c.After[i].Kind != f.kind {
			return fmt.Errorf("%w: column %s of %s is not as Meridian made it; run `syncer schema`", errBadBatch, f.column, c.Table)
		}
		f.set(c.After[i])
	}
	return nil
}
