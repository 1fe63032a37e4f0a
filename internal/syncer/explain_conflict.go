package syncer

import (
	"meridian/internal/inspect"
	"meridian/internal/propagate"
	"meridian/internal/row"
)

// conflict tells of a kept conflict, and gives the change that lost it; nil where that was not kept.
func (i inspector) conflict(k *propagate.KeptConflict) (*inspect.Conflict, *row.Change, error) {
	change, err := k.Change()
	if err != nil {
		return nil, nil, err
	}
	return &inspect.Conflict{
		ID: inspect.ConflictID{Region: i.s.cfg.Region, Number: k.ID}, At: k.At, Source: k.Source, Winner: k.Winner.String(), Loser: k.Loser.String(),
		Won: k.Winner.Region == i.s.cfg.Region, Lost: imageOf(change), Omitted: k.Omitted,
	}, change, nil
}

// imageOf gives what a change makes of its row.
func imageOf(c *row.Change) *inspect.Image {
	switch {
	case c == nil:
		return nil
	case c.Op == row.Delete:
		return &inspect.Image{Deleted: true}
	default:
		return &inspect.Image{Values: columnsOf(c.Table, c.After)}
	}
}
