package propagate

import (
	"fmt"
	"slices"

	"meridian/internal/bus"
	"meridian/internal/envelope"
)

// Outbound is a message to be published.
type Outbound struct {
	Shard    int
	Message  *envelope.Message
	Sequence uint64 // numbers the changes of all shards in binlog order, from 1; 0 for control records
	Bytes    int    // about what it takes
}

// lane is one shard's queue.
//
// Ownership: the publisher's lock guards what waits and flies; encoder and open are the lane's goroutine's.
type lane struct {
	shard   int
	waiting []Outbound
	flying  []Outbound
	words   int           // how many of those that wait are watermarks
	next    int64         // the offset behind the last acknowledged record; -1: none yet
	news    chan struct{} // capacity 1
	encoder envelope.Encoder
	open    *envelope.Message // the last change that was sent, while its transaction is not over
}

// mostWords is how many watermarks wait: the one that is sent next, and the newest. Each says that everything before it is
// in front of it, so the newest says all that those between would. It may not take the place of the first as well: a lane
// that is never empty would put its word off for ever.
const mostWords = 2

// put queues a message behind all others, and returns by how many bytes more wait now.
func (l *lane) put(o Outbound) (bytes int) {
	if isWord(&o) {
		if l.words == mostWords {
			bytes -= l.dropWord()
		}
		l.words++
	}
	l.waiting = append(l.waiting, o)
	return bytes + o.Bytes
}

func isWord(o *Outbound) bool { return o.Message.Kind == envelope.Watermark }

// dropWord takes the newest watermark out of those that wait, and returns its bytes.
func (l *lane) dropWord() int {
	for i := len(l.waiting) - 1; i >= 0; i-- { // it was put an interval ago: not far from the end
		if isWord(&l.waiting[i]) {
			bytes := l.waiting[i].Bytes
			l.waiting = slices.Delete(l.waiting, i, i+1)
			l.words--
			return bytes
		}
	}
	return 0
}

// load moves the next request's worth from waiting to flying.
func (l *lane) load(most int) []Outbound {
	n, bytes := 0, 0
	for n < len(l.waiting) && (n == 0 || bytes+l.waiting[n].Bytes <= most) {
		if isWord(&l.waiting[n]) {
			l.words--
		}
		bytes += l.waiting[n].Bytes
		n++
	}
	l.flying = l.waiting[:n:n]
	l.waiting = l.waiting[n:]
	return l.flying
}

// oldest gives the sequence of the first change that the bus does not have; 0: there is none.
func (l *lane) oldest() uint64 {
	for _, list := range [][]Outbound{l.flying, l.waiting} {
		for i := range list {
			if list[i].Sequence != 0 {
				return list[i].Sequence
			}
		}
	}
	return 0
}

// parcel is one record of a request.
type parcel struct {
	message *envelope.Message
	record  bus.Record
	// repeated: the bus has the change already; it is sent once more to end its transaction.
	repeated bool
}

// shipment is what a batch becomes: records in their order, of which the bus has the first sent.
type shipment struct {
	lane    *lane
	parcels []parcel
	records []bus.Record // of the parcels
	sent    int
	next    int64 // the offset behind the last acknowledged record
}

// add encodes a message and puts it behind the others.
func (s *shipment) add(m *envelope.Message) error {
	r, err := s.lane.encoder.Encode(m)
	if err != nil {
		return fmt.Errorf("encoding a change: %w", err)
	}
	s.parcels = append(s.parcels, parcel{message: m, record: r})
	s.records = append(s.records, r)
	return nil
}

// leaveOut takes out the parcel at i, which is set aside. If it was its transaction's last change, the one before it takes
// its place, again, as the last: who keeps transactions whole would wait for the end otherwise, and a repetition does no
// harm. That one fits the bus, as it is no larger than it was; should it be refused all the same, it is left out as well,
// and the end comes with that of the next transaction.
func (s *shipment) leaveOut(i int) {
	if ending := s.ending(i); ending != nil {
		if r, err := s.lane.encoder.Encode(ending); err == nil { // as it was when it was sent
			s.parcels[i], s.records[i] = parcel{message: ending, record: r, repeated: true}, r
			return
		}
	}
	s.parcels = slices.Delete(s.parcels, i, i+1)
	s.records = slices.Delete(s.records, i, i+1)
}

func (s *shipment) ending(i int) *envelope.Message {
	last := &s.parcels[i]
	if !last.message.Source.Last || last.repeated {
		return nil
	}
	before := lastChange(s.parcels[:i])
	if before == nil {
		before = s.lane.open
	}
	if before == nil || before.Source.Last || before.Source.GTID != last.message.Source.GTID {
		return nil
	}
	again := *before
	again.Source.Last = true
	return &again
}

func lastChange(parcels []parcel) *envelope.Message {
	for i := len(parcels) - 1; i >= 0; i-- {
		if m := parcels[i].message; m.Change != nil {
			return m
		}
	}
	return nil
}
