package verify

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"meridian/internal/inspect"
	"meridian/internal/row"
)

// state is what the regions' ledgers say of one row, by region; nil: no entry.
type state map[string]*inspect.Entry

func (a answers) of(key row.Key) state {
	s := state{}
	for region, answer := range a {
		s[region] = answer.entries[key]
	}
	return s
}

func live(e *inspect.Entry) bool { return e != nil && !e.Deleted }

// agreement is whether the ledgers agree on a row.
type agreement uint8

const (
	agree    agreement = iota
	unclear            // they name the same write, but their digests are of other columns, or of another time: the rows can tell
	disagree           // they do not
)

// compare tells whether two ledgers agree on a row. Tombstones go at different times: a row that is gone is gone, whether there is
// one or not. Digests of different column lists say nothing about each other where they differ.
func compare(a, b *inspect.Entry) agreement {
	switch {
	case !live(a) && !live(b):
		if suspect(a) || suspect(b) {
			return disagree
		}
		return agree
	case !live(a) || !live(b) || a.Suspect || b.Suspect || a.Version != b.Version:
		return disagree
	case a.Digest == b.Digest:
		return agree
	case a.Columns != b.Columns || a.Older || b.Older:
		return unclear
	default:
		return disagree
	}
}

func suspect(e *inspect.Entry) bool { return e != nil && e.Suspect }

// label gives the key's values, as the newest row that is not in doubt has them: regions may spell a key otherwise.
func (s state) label() []byte {
	var label []byte
	var newest row.Version
	for _, region := range slices.Sorted(maps.Keys(s)) {
		e := s[region]
		if e == nil || len(e.Label) == 0 {
			continue
		}
		if v := e.ParsedVersion(); label == nil || !e.Suspect && !newest.Newer(v) {
			label, newest = e.Label, v
		}
	}
	return label
}

// agreement is the worst between any two regions.
func (s state) agreement() agreement {
	worst := agree
	regions := slices.Sorted(maps.Keys(s))
	for i, a := range regions {
		if len(s) > 1 && suspect(s[a]) { // it agrees with nobody
			return disagree
		}
		for _, b := range regions[i+1:] {
			worst = max(worst, compare(s[a], s[b]))
		}
	}
	return worst
}

// newest gives the greatest version that any region has.
func (s state) newest() row.Version {
	var v row.Version
	for _, e := range s {
		if e != nil && e.ParsedVersion().Newer(v) {
			v = e.ParsedVersion()
		}
	}
	return v
}

// verdictOf is what became of a difference.
type verdictOf uint8

const (
	open   verdictOf = iota // not known yet
	gone                    // the regions agree, or have gone beyond it
	proved                  // it will not end by itself
)

// judge decides on a difference by one set of answers.
//
// The proof: the region that lacks the newest version includes every topic up to where it stands that the other had it from.
// Whatever way the version came to the other, it has passed here, too, and still is not there. It needs no offset per row; and
// it is the same for a version that the lacking region itself wrote.
func (c *comparison) judge(d *difference, all answers) verdictOf {
	if len(all) < len(c.view.asked(d.shard)) {
		d.reason = "a region could not be asked"
		return open
	}
	s := all.of(d.key)
	switch s.agreement() {
	case agree:
		return gone
	case unclear:
		return proved // it is the same write everywhere: nothing that is on its way changes that
	case disagree:
	}
	newest := s.newest()
	if newest.Newer(d.wanted) && s.allHave(d.wanted) {
		return gone // what differs now is another write, which is another comparison's
	}
	holder := ""
	for _, region := range slices.Sorted(maps.Keys(s)) {
		if e := s[region]; e != nil && e.ParsedVersion() == newest {
			holder = region
			break
		}
	}
	if holder == "" {
		return gone
	}
	for _, region := range slices.Sorted(maps.Keys(s)) {
		e := s[region]
		if e != nil && e.ParsedVersion() == newest {
			continue // the same version: whatever differs is no matter of time
		}
		if why := lacks(all[region].at, all[holder].at, region, holder); why != "" {
			d.reason = why
			return open
		}
	}
	return proved
}

func (s state) allHave(v row.Version) bool {
	for _, e := range s {
		if e == nil || v.Newer(e.ParsedVersion()) {
			return false
		}
	}
	return true
}

// lacks tells why it is not proven that the region would have what the holder has; "": it is.
func lacks(at, holders inspect.At, region, holder string) string {
	sources := maps.Clone(at.Includes)
	maps.Copy(sources, holders.Within)
	for _, source := range slices.Sorted(maps.Keys(sources)) {
		within, ok := holders.Within[source]
		if !ok {
			return fmt.Sprintf("the bus has not acknowledged all that %s has", holder)
		}
		if includes := at.Includes[source]; includes < within {
			why := fmt.Sprintf("%s includes the changes of %s up to offset %d, %s up to %d", region, source, includes, holder, within)
			if behind, known := at.BehindSeconds[source]; known {
				why += fmt.Sprintf("; it is %v behind %s", time.Duration(behind*float64(time.Second)).Round(100*time.Millisecond), source)
			}
			return why
		}
	}
	return ""
}

// confirm reads the rows of proven differences in all regions. What the rows do not confirm stays open, or is gone.
func (c *comparison) confirm(ctx context.Context, at spot, proven []*difference, all answers) {
	for len(proven) > 0 {
		n := min(len(proven), inspect.MaxKeys)
		rows := c.rows(ctx, at, proven[:n])
		for i, d := range proven[:n] {
			read := map[string]*inspect.Row{}
			for region, r := range rows {
				if i < len(r.Rows) {
					read[region] = &r.Rows[i]
				}
			}
			f, verdict := c.confirmed(d, all.of(d.key), read)
			if verdict == proved {
				c.mu.Lock()
				c.result.Drift = append(c.result.Drift, *f)
				c.mu.Unlock()
			}
			if verdict != open {
				c.end(d)
			}
		}
		proven = proven[n:]
	}
}

func (c *comparison) rows(ctx context.Context, at spot, list []*difference) map[string]*inspect.Rows {
	keys := make([]inspect.KeyRef, len(list))
	for i, d := range list {
		keys[i] = inspect.KeyRef{Key: []byte(d.key), Label: d.label}
	}
	return each(ctx, c.view, at.shard, func(ctx context.Context, r inspect.Region) (*inspect.Rows, error) { return r.Rows(ctx, at.table, keys) })
}

// confirmed judges a difference by the rows themselves.
func (c *comparison) confirmed(d *difference, s state, read map[string]*inspect.Row) (*Finding, verdictOf) {
	f := &Finding{Table: d.table, Regions: map[string]RegionView{}, place: d.place, label: d.label}
	for _, region := range slices.Sorted(maps.Keys(s)) {
		r := read[region]
		if r == nil {
			d.reason = region + " could not be asked for the row"
			return nil, open
		}
		if r.Error != "" {
			d.reason = fmt.Sprintf("%s cannot read the row: %s", region, r.Error)
			return nil, open
		}
		if r.Moved || !sameEntry(r.Entry, s[region]) {
			d.reason = "the row is being written in " + region
			return nil, open
		}
		if len(r.Text) > 0 { // none where the table is gone
			f.Key = r.Text
		}
		for _, state := range r.Parked {
			f.Parked = state
		}
		f.Regions[region] = viewOf(r)
	}
	if allEqual(slices.Sorted(maps.Keys(read)), read) && !slices.ContainsFunc(slices.Collect(maps.Values(s)), suspect) {
		return nil, gone // they are written alike everywhere, whatever the ledgers think of it
	}
	f.decide(s, read)
	return f, proved
}

func sameEntry(a, b *inspect.Entry) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return a.Version == b.Version && a.Digest == b.Digest && a.Deleted == b.Deleted
}

func viewOf(r *inspect.Row) RegionView {
	v := RegionView{Digest: r.Digest, Deleted: !r.Exists, Agrees: r.Agrees()}
	if e := r.Entry; e != nil {
		v.Version, v.Origin, v.Suspect = e.Version, e.ParsedVersion().Region, e.Suspect
		v.ByDDL = e.ByDDL
	}
	return v
}

// equalRows compares the columns that both rows have: while an ALTER TABLE goes through the regions, a column that is in one of
// them only, or has another type there, tells nothing.
func equalRows(a, b *inspect.Row) bool {
	if a.Exists != b.Exists {
		return false
	}
	if !a.Exists || a.Columns == b.Columns {
		return a.Digest == b.Digest
	}
	values := map[string]*inspect.Value{}
	for i := range a.Values {
		values[strings.ToLower(a.Values[i].Column)] = &a.Values[i]
	}
	for _, v := range b.Values {
		if have := values[strings.ToLower(v.Column)]; have != nil && have.Type == v.Type && have.Digest != v.Digest {
			return false
		}
	}
	return true
}

// decide says who is right: whoever has the newest version, and the row that belongs to it. Where the only ones that have it are
// in doubt, and everybody else has no such row, it should not be there. Where neither holds, a person decides.
func (f *Finding) decide(s state, read map[string]*inspect.Row) {
	newest := s.newest()
	var sound, doubtful, without []string
	for _, region := range slices.Sorted(maps.Keys(s)) {
		e := s[region]
		switch {
		case e != nil && e.ParsedVersion() == newest && !e.Suspect && read[region].Agrees():
			sound = append(sound, region)
		case e != nil && e.ParsedVersion() == newest:
			doubtful = append(doubtful, region)
		case !read[region].Exists && !live(e):
			without = append(without, region)
		}
	}
	switch {
	case len(sound) > 0 && allEqual(sound, read):
		f.Winner = sound[0]
	case len(sound) == 0 && newest.IsBaseline() && len(doubtful)+len(without) == len(s) && len(without) > 0:
		f.Winner = without[0]
	}
	for _, region := range slices.Sorted(maps.Keys(s)) {
		if f.Winner == "" || !equalRows(read[f.Winner], read[region]) || s[region] != nil && s[region].Suspect {
			f.Wrong = append(f.Wrong, region)
		}
	}
	f.Kind = Different
	if f.Winner != "" && len(f.Wrong) > 0 {
		switch has, should := read[f.Wrong[0]].Exists, read[f.Winner].Exists; {
		case should && !has:
			f.Kind = Missing
		case has && !should:
			f.Kind = Extra
		}
	}
}

// allEqual compares every two rows: of two regions that have a column a third one may lack it.
func allEqual(regions []string, read map[string]*inspect.Row) bool {
	for i, a := range regions {
		for _, b := range regions[i+1:] {
			if !equalRows(read[a], read[b]) {
				return false
			}
		}
	}
	return true
}
