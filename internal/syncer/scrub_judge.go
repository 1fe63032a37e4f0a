package syncer

import (
	"meridian/internal/checksum"
	"meridian/internal/row"
)

// How scrub judges a row by its entry.

// verdict is what becomes of a row and its entry.
type verdict struct {
	kind  string // "missing", "extra", "different": it was altered past the binlog; "": as far as one can tell it was not
	ddl   string // the kind of the DDL statement that explains it; "": none does
	adopt bool   // the entry is from before an ALTER TABLE, and may count as the row that was found
}

// judge compares a row with its entry, at the moment from which l is. values are the row's, nil where there is none.
//
// An entry from before an alteration, or with digests of other columns, says less: the row may be otherwise because of it. It
// is taken as it is where the old columns' values cannot be told to differ, and nothing is lost by that: rows that regions
// hold with the same version and other values are found by comparing. Where only columns were added they can be told, if the
// values are given.
func (p *scrubPass) judge(l *look, e checksum.Entry, had bool, f *checksum.Found, t *row.Table, key row.Key, values []row.Value) verdict {
	switch live := had && !e.Deleted; {
	case f.Exists && !live:
		from := e.Generation
		if !had {
			from = p.at.Generation
		}
		return verdict{kind: "extra", ddl: l.since(from, func(a *checksum.Alteration) bool { return a.Brings })}
	case !f.Exists && live:
		return verdict{kind: "missing", ddl: l.since(e.Generation, func(a *checksum.Alteration) bool { return a.Removes })}
	case !f.Exists:
		return verdict{}
	}
	same := e.Digest == f.Digest
	switch older := e.Generation != l.generation || e.Columns != f.Columns; {
	case !older && same:
		return verdict{}
	case same:
		return verdict{adopt: true}
	case !older:
		return verdict{kind: "different"}
	case l.since(e.Generation, func(a *checksum.Alteration) bool { return a.Rewrites }) != "":
		return verdict{adopt: true}
	}
	if names := p.parts.ledger.Described(e.Columns); names != nil {
		if digest, ok := t.DigestOf(names, e.Columns, key, values); ok && digest != e.Digest {
			return verdict{kind: "different"}
		}
	}
	return verdict{adopt: true}
}

// since gives the kind of the last alteration behind a generation that is of the kind asked for; "": there is none. Of
// alterations that are not kept any more everything is believed.
func (l *look) since(generation uint32, is func(a *checksum.Alteration) bool) string {
	for i := len(l.alterations) - 1; i >= 0; i-- {
		a := &l.alterations[i]
		if a.Generation <= generation {
			return ""
		}
		if is(a) {
			return a.Kind
		}
	}
	if n := len(l.alterations); n > 0 && l.alterations[0].Generation > generation+1 {
		return "DDL"
	}
	return ""
}
