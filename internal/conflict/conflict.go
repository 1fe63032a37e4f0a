// Package conflict says who wins when changes to one row meet: a pure function of versions. It does no I/O and keeps no
// state.
//
// In the flow: the applier asks Resolve with what the ledger says of a row and what came from the bus.
package conflict

import "meridian/internal/row"

// Outcome is what becomes of a change that came from the bus.
type Outcome uint8

// The outcomes.
const (
	Write     Outcome = iota // newer than what is there: it is written
	Duplicate                // the very write that is there
	Lost                     // older than what is there: it changes nothing
	Wait                     // a person decides: until then it neither changes anything nor is lost
)

// String gives the outcome's name, as metrics use it.
func (o Outcome) String() string {
	switch o {
	case Write:
		return "applied"
	case Duplicate:
		return "duplicate"
	case Lost:
		return "lost"
	case Wait:
		return "review"
	default:
		return "unknown"
	}
}

// Incoming is a change from the bus, or several of one source to one row of which the newest stands for all.
type Incoming struct {
	Version row.Version
	// Overwrote is what the change overwrote where it was written; of several changes the oldest that any overwrote.
	Overwrote row.Version
}

// Merge makes one Incoming of two to the same row: the newest wins, and what either overwrote is remembered. It is
// commutative, associative and idempotent, so that a batch may be merged in any order.
func (a Incoming) Merge(b Incoming) Incoming {
	m := a
	if b.Version.Newer(a.Version) {
		m.Version = b.Version
	}
	if a.Overwrote.Newer(b.Overwrote) {
		m.Overwrote = b.Overwrote
	}
	return m
}

// Have is what the ledger says of the row.
type Have struct {
	Known   bool        // there is an entry
	Version row.Version // the entry's
	// InReview: changes to the row wait here for a person's decision. Only the rule Review asks for it.
	InReview bool
}

// Verdict is what Resolve decides.
type Verdict struct {
	Outcome Outcome
	// Concurrent: the two writes did not see each other, and one of them was made here. (A third region, through which
	// both only pass, does not count the conflict again.)
	Concurrent bool
}

// Resolve applies last-writer-wins in region here: the newer version wins, the region's name decides between equal
// times. Invariant: whatever the order in which a row's versions come, the greatest stays.
func Resolve(here string, in Incoming, have Have) Verdict {
	if !have.Known {
		return Verdict{Outcome: Write}
	}
	switch c := in.Version.Compare(have.Version); {
	case c == 0:
		return Verdict{Outcome: Duplicate}
	case c > 0:
		// The row here was not what the other write had overwritten, nor anything older that it had seen.
		return Verdict{Outcome: Write, Concurrent: have.Version.Region == here && have.Version.Newer(in.Overwrote)}
	default:
		// What arrives now had not been seen here when the row was written here.
		return Verdict{Outcome: Lost, Concurrent: have.Version.Region == here}
	}
}

// Rule is how a table's conflicts are decided.
type Rule uint8

// The rules.
const (
	// LastWriterWins lets the newest version win.
	LastWriterWins Rule = iota
	// Review lets a person decide where two writes did not see each other, and keeps everything back meanwhile that would
	// overwrite the row.
	Review
)

// Rules finds the rule of a table, named "schema.table".
type Rules interface {
	Rule(table string) Rule
}

// Resolve applies the rule.
//
// Invariant of Review: what was written here stays until a person has decided, whatever comes. A change that saw the other
// write, and not this one, would pass for a chain of writes against an older one that stands here: so what is newer waits
// behind the first, too.
func (r Rule) Resolve(here string, in Incoming, have Have) Verdict {
	v := Resolve(here, in, have)
	if r == Review && (v.Concurrent || have.InReview && v.Outcome == Write) {
		v.Outcome = Wait
	}
	return v
}
