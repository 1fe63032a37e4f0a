package binlog

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"
	"time"
)

// transactionHeader is what a transaction's first event says, on either server.
type transactionHeader struct {
	of          source    // MySQL
	number      int64     // MySQL
	maria       mariaGTID // MariaDB
	isMaria     bool
	commit      time.Time
	wholeSecond bool
	standalone  bool   // MariaDB: one event follows and no end
	preparedXA  bool   // MariaDB: ends with XA PREPARE
	noEffect    bool   // MariaDB: the first phase of an ALTER TABLE, or its end without effect
	xid         string // of an XA transaction, as XA COMMIT spells it
}

func (h *transactionHeader) gtid() string {
	if h.isMaria {
		return h.maria.String()
	}
	return gtidText(h.of, h.number)
}

// parseGTID reads MySQL's GTID event: flags, UUID, number, then the logical clock, which begins with its type, and the
// commit times in microseconds: of this server, and with the highest bit of that set, of the original one.
//
// https://dev.mysql.com/doc/dev/mysql-server/latest/classmysql_1_1binlog_1_1event_1_1Gtid__event.html
func parseGTID(e *event) (transactionHeader, error) {
	h := transactionHeader{}
	r := reader{b: e.body}
	r.take(1)
	copy(h.of.uuid[:], r.take(16))
	h.number = int64(r.number(8))
	if err := h.check(&r); err != nil {
		return h, err
	}
	const logicalClock = 2
	if len(r.b) == 0 || r.number(1) != logicalClock {
		h.inSeconds(e)
		return h, nil
	}
	r.take(8 + 8) // last committed, sequence number
	immediate := r.number(7)
	original := immediate
	if immediate&(1<<55) != 0 {
		original = r.number(7)
		immediate &^= 1 << 55
	}
	h.inMicros(e, original, immediate)
	return h, nil
}

func (h *transactionHeader) check(r *reader) error {
	if r.short || h.number < 1 || h.number == 1<<63-1 {
		return errShortEvent
	}
	return nil
}

// inMicros takes the original commit time, or the one on this server if the original is not known.
func (h *transactionHeader) inMicros(e *event, original, immediate uint64) {
	if original == 0 {
		original = immediate
	}
	if original == 0 || original >= 1<<55 {
		h.inSeconds(e)
		return
	}
	h.commit = time.UnixMicro(int64(original)).UTC()
}

// inSeconds takes the time from the event's header.
func (h *transactionHeader) inSeconds(e *event) {
	h.commit, h.wholeSecond = time.Unix(int64(e.timestamp), 0).UTC(), true
}

// Fields of a tagged GTID event: Gtid_event::define_fields in control_events.h of MySQL 8.3+.
const (
	taggedFlags = iota
	taggedUUID
	taggedNumber
	taggedTag
	taggedLastCommitted
	taggedSequence
	taggedImmediate
	taggedOriginal
)

// parseTaggedGTID reads the GTID event of a transaction with a tag: a message of MySQL's serialization library.
//
// https://dev.mysql.com/doc/dev/mysql-server/latest/PageLibsMysqlSerialization.html
func parseTaggedGTID(e *event) (transactionHeader, error) {
	h := transactionHeader{}
	r := reader{b: e.body}
	r.varlen() // version
	r.varlen() // size
	r.varlen() // the last field that may not be skipped
	var original, immediate uint64
fields:
	for len(r.b) > 0 {
		switch id := r.varlen(); id {
		case taggedFlags:
			r.varlen()
		case taggedUUID:
			for i := range h.of.uuid {
				h.of.uuid[i] = byte(r.varlen())
			}
		case taggedNumber:
			h.number = int64(r.varlen() >> 1) // signed, the sign in the lowest bit
		case taggedTag:
			size := r.varlen()
			if size > uint64(len(r.b)) {
				return h, errShortEvent
			}
			h.of.tag = strings.ToLower(string(r.take(int(size))))
		case taggedLastCommitted, taggedSequence:
			r.varlen()
		case taggedImmediate:
			immediate = r.varlen()
			original = immediate
		case taggedOriginal:
			original = r.varlen()
		default:
			break fields // the rest says nothing that we need
		}
	}
	if err := h.check(&r); err != nil {
		return h, err
	}
	h.inMicros(e, original, immediate)
	return h, nil
}

// varlen reads an integer of MySQL's serialization library: the number of ones at the low end of the first byte is the
// number of bytes that follow it; the bits above them, little-endian, are the value.
func (r *reader) varlen() uint64 {
	if len(r.b) == 0 {
		r.short = true
		return 0
	}
	size := bits.TrailingZeros8(^r.b[0]) + 1
	b := r.take(size)
	if size == 9 && len(b) == 9 {
		return binary.LittleEndian.Uint64(b[1:])
	}
	return little(b) >> size
}

// Flags of MariaDB's GTID event: Gtid_log_event in sql/log_event.h of MariaDB.
const (
	mariaStandalone  = 1
	mariaGroupCommit = 2
	mariaPreparedXA  = 64
	mariaCompletedXA = 128

	mariaStartAlter    = 2 // in the flags behind the rest
	mariaRollbackAlter = 8
)

// parseMariaGTIDEvent reads number, domain and flags; with them come a group's number, and the xid of an XA transaction.
//
// https://mariadb.com/docs/server/reference/clientserver-protocol/replication-protocol/gtid_event
func parseMariaGTIDEvent(e *event) (transactionHeader, error) {
	h := transactionHeader{isMaria: true}
	h.inSeconds(e)
	r := reader{b: e.body}
	h.maria = mariaGTID{number: r.number(8), domain: uint32(r.number(4)), server: e.serverID}
	flags := r.number(1)
	h.standalone = flags&mariaStandalone != 0
	h.preparedXA = flags&mariaPreparedXA != 0
	if flags&mariaGroupCommit != 0 {
		r.take(8)
	}
	if flags&(mariaPreparedXA|mariaCompletedXA) != 0 {
		format := int32(r.number(4))
		global, branch := int(r.number(1)), int(r.number(1))
		h.xid = fmt.Sprintf("X'%x',X'%x',%d", r.take(global), r.take(branch), format)
	}
	if r.short || h.maria.number == 0 {
		return h, errShortEvent
	}
	if len(r.b) > 0 { // or zeros that fill up to the least size
		h.noEffect = r.number(1)&(mariaStartAlter|mariaRollbackAlter) != 0
	}
	return h, nil
}
