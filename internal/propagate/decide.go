package propagate

import (
	"meridian/internal/conflict"
	"meridian/internal/envelope"
	"meridian/internal/row"
)

// Place names a row: "schema.table" and its key.
type Place struct {
	Table string
	Key   row.Key
}

// Known is what the ledger says of a row.
type Known struct {
	Found   bool
	Version row.Version
	Deleted bool
	Suspect bool
	// Sequence is that of the local write that made the entry; 0 when it is another region's or acknowledged.
	Sequence uint64
	// InReview: changes to the row wait here for a person's decision. The database says so, not the ledger.
	InReview bool
}

// same tells whether two answers speak of the same state of the row. A write that has been acknowledged meanwhile is
// still the same write.
func (k Known) same(o Known) bool {
	return k.Found == o.Found && k.Version == o.Version && k.Deleted == o.Deleted && k.Suspect == o.Suspect && k.InReview == o.InReview
}

// candidate is the newest change to one row within a batch.
type candidate struct {
	item     *Inbound
	incoming conflict.Incoming
	repeated bool        // read before, and no newer change to the row since
	silent   bool        // nothing in it says what was overwritten: it was sent twice, or published again long after it was written
	refused  *RefusedRow // the database does not take it: it is to be parked
	repaired row.Version // the newest repair of the row in the batch: it counts even if a newer change stands for it
}

// batch is what was taken of one source, and what has been found out about it.
type batch struct {
	source      string
	items       []Inbound
	from, to    uint64
	last        uint64 // the fingerprint of the record before to
	sourceEpoch uint64

	order      []Place // of the candidates, in the order of their first change
	candidates map[Place]*candidate
	rejects    []*Inbound
	words      []*envelope.WatermarkMark
	read       uint64
	coalesced  uint64

	// look: the ledger was found not to know which rows exist; the transaction looks at the rows themselves.
	look    bool
	unpark  uint64    // the id of the parked change that the batch is, tried again; 0: it comes from the topic
	single  bool      // rows are written one by one, to find the one that the database refuses
	decided *decision // of the last attempt
}

// gather sorts out what was taken: the newest change of each row, control records, what is not for us, and what an
// older epoch has published after its successor's marker (which is ignored).
//
// Invariant: within a batch a write never loses to one that it overwrote; the versions decide, not the order.
func gather(source string, items []Inbound, from, sourceEpoch uint64, recent *repeats) *batch {
	b := &batch{
		source: source, items: items, from: from, to: items[len(items)-1].Offset + 1,
		last: items[len(items)-1].Record.Fingerprint(), sourceEpoch: sourceEpoch, candidates: map[Place]*candidate{},
	}
	for i := range items {
		it := &items[i]
		m := it.Message
		switch {
		case it.Reject != nil:
			b.rejects = append(b.rejects, it)
		case m.Epoch < b.sourceEpoch:
		case m.Kind == envelope.Epoch:
			b.sourceEpoch = m.Epoch
		case m.Kind == envelope.Watermark:
			b.words = append(b.words, m.Watermark)
		case m.Change != nil:
			b.add(it, recent.seen(m))
		}
	}
	return b
}

// add counts a change, and makes it its row's candidate if it is the newest so far. One that was sent twice, or that was
// published again, brings no news of what it overwrote: the row may have been written here since, by somebody who saw it.
func (b *batch) add(it *Inbound, repeated bool) {
	c := it.Message.Change
	b.read++
	at := Place{c.Table.String(), c.Key}
	in := conflict.Incoming{Version: c.Version, Overwrote: c.Overwrote}
	silent := repeated || it.Message.Kind != envelope.Change
	had := b.candidates[at]
	if had == nil {
		had = &candidate{item: it, incoming: in, repeated: repeated, silent: silent}
		had.repair(it.Message)
		b.candidates[at] = had
		b.order = append(b.order, at)
		return
	}
	b.coalesced++
	had.repair(it.Message)
	switch {
	case silent:
		in.Overwrote = had.incoming.Overwrote
	case had.silent:
		had.incoming.Overwrote, had.silent = in.Overwrote, false
	}
	had.repeated = had.repeated && repeated
	if in.Version.Compare(had.incoming.Version) > 0 || in.Version == had.incoming.Version && it.Message.Kind == envelope.Repair {
		had.item = it
	}
	had.incoming = had.incoming.Merge(in)
}

// idle tells whether the batch changes nothing but the place in the topic.
func (b *batch) idle() bool { return len(b.candidates) == 0 && len(b.rejects) == 0 }

// decision is what is to be done with a batch, given what the ledger said.
type decision struct {
	plan      Plan
	known     []Known // by batch.order
	conflicts []Conflict
	applied   []*Inbound
}

// Conflict is two writes that did not see each other.
type Conflict struct {
	Table  string
	Key    row.Key
	Winner row.Version
	Loser  row.Version
	Offset uint64 // of the change that came
	Waits  bool   // nobody has won: a person decides. Winner is the newer one
	// Values of neither row are here: logs never hold them.
}

// decide makes the plan. It is a pure function of the batch and of what the ledger says.
func (b *batch) decide(here string, rules conflict.Rules, known []Known) *decision {
	d := &decision{known: known, plan: Plan{
		Source: b.source, From: b.from, To: b.to, Last: b.last, SourceEpoch: b.sourceEpoch, Looked: b.look, Single: b.single,
		Counts: Counts{Read: b.read, Coalesced: b.coalesced, Rejected: uint64(len(b.rejects))},
	}}
	for i, at := range b.order {
		b.decideRow(d, here, rules.Rule(at.Table), at, b.candidates[at], known[i])
	}
	if b.unpark != 0 {
		d.again(b.unpark)
	}
	for _, it := range b.rejects {
		if !it.Reject.Counted {
			d.plan.Parks = append(d.plan.Parks, rejected(it))
		}
	}
	return d
}

// again makes the decision one on a parked change: it was read before, and ends here, written or superseded by a newer
// one.
func (d *decision) again(id uint64) {
	c := &d.plan.Counts
	c.Superseded = c.Lost + c.Duplicate
	c.Read, c.Lost, c.Duplicate = 0, 0, 0
	d.plan.Unpark = id
	d.conflicts = nil // it was counted when it came
}

func (b *batch) decideRow(d *decision, here string, rule conflict.Rule, at Place, c *candidate, k Known) {
	change := c.item.Message.Change
	verdict := c.judge(here, rule, k)
	outcome := verdict.Outcome
	kind := c.item.Message.Kind
	if outcome == conflict.Duplicate && (kind == envelope.Repair || kind == envelope.Seed && k.Suspect) {
		outcome = conflict.Write // a repair wins against its own version: the row itself is in doubt
	}
	// What is published again was written long ago, and does not meet anything.
	meets := verdict.Concurrent && kind == envelope.Change
	if meets && !c.repeated {
		cf := Conflict{Table: at.Table, Key: at.Key, Winner: k.Version, Loser: change.Version, Offset: c.item.Offset, Waits: outcome == conflict.Wait}
		if change.Version.Newer(k.Version) {
			cf.Winner, cf.Loser = cf.Loser, cf.Winner
		}
		d.conflicts = append(d.conflicts, cf)
	}
	switch {
	case outcome == conflict.Wait:
		d.plan.Parks = append(d.plan.Parks, c.review(k, verdict.Concurrent))
	case outcome == conflict.Duplicate:
		d.plan.Counts.Duplicate++
	case outcome == conflict.Lost:
		d.plan.Counts.Lost++
		if meets && !c.repeated {
			d.plan.Losers = append(d.plan.Losers, c.loser(k, false))
		}
	case c.refused != nil:
		d.plan.Parks = append(d.plan.Parks, park(c))
	default:
		if meets { // not where it is parked: nothing is overwritten then
			d.plan.Losers = append(d.plan.Losers, c.loser(k, true))
		}
		d.plan.Counts.Applied++
		d.applied = append(d.applied, c.item)
		d.plan.Writes = append(d.plan.Writes, Write{Change: change, Expect: b.expect(change, kind, k)})
		d.plan.Written = append(d.plan.Written, Written{
			Table: at.Table, Key: at.Key, Op: change.Op, Version: change.Version, Digest: change.Digest, Columns: change.Table.ColumnsID(),
		})
		if k.InReview {
			d.plan.Ends = append(d.plan.Ends, Decided{at, change.Version})
		}
	}
}

// expect says what the ledger knows of the row's existence. Where it has no entry, an insert is tried as one: if the
// row is there after all, the transaction is rolled back and looks.
func (b *batch) expect(c *row.Change, kind envelope.Kind, k Known) Expect {
	switch {
	case b.look, kind == envelope.Repair, k.Suspect:
		return Unknown
	case k.Found && !k.Deleted:
		return Present
	case k.Found, c.Op == row.Insert:
		return Absent
	default:
		return Unknown
	}
}

func rejected(it *Inbound) Park {
	p := Park{Offset: it.Offset, State: Rejected, Reason: it.Reject.Reason, Detail: it.Reject.Err.Error(), Record: it.Record.Marshal()}
	if m := it.Message; m != nil && m.Change != nil {
		p.Table, p.Key, p.Version, p.Digest = m.Change.Table.String(), m.Change.Key, m.Change.Version, m.Change.Digest
	}
	return p
}

func park(c *candidate) Park {
	m, r := c.item.Message, c.refused
	state := Parked
	if r.Reason == ReasonMissing || r.Reason == reasonNoTable {
		state = Waiting
	}
	return Park{
		Offset: c.item.Offset, State: state, Reason: r.Reason, Detail: r.Cause.Error(),
		Table: m.Change.Table.String(), Key: m.Change.Key, Version: m.Change.Version, Digest: m.Change.Digest, Record: c.item.Record.Marshal(),
	}
}

// The reasons of a change that needs what the target does not have (yet): it waits, which is no failed attempt.
const (
	ReasonMissing = "missing_column"
	reasonNoTable = "no_table"
)
