package binlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// eventType numbers the kinds of events. MySQL: mysql/binlog/event/binlog_event.h; MariaDB: sql/log_event.h, from 160 on.
type eventType byte

const (
	eventQuery           eventType = 2
	eventStop            eventType = 3
	eventRotate          eventType = 4
	eventIntVar          eventType = 5
	eventSlave           eventType = 7
	eventAppendBlock     eventType = 9
	eventDeleteFile      eventType = 11
	eventRand            eventType = 13
	eventUserVar         eventType = 14
	eventFormat          eventType = 15
	eventXID             eventType = 16
	eventBeginLoad       eventType = 17
	eventExecuteLoad     eventType = 18
	eventTableMap        eventType = 19
	eventWriteRowsV1     eventType = 23
	eventUpdateRowsV1    eventType = 24
	eventDeleteRowsV1    eventType = 25
	eventIncident        eventType = 26
	eventHeartbeat       eventType = 27
	eventIgnorable       eventType = 28
	eventRowsQuery       eventType = 29
	eventWriteRowsV2     eventType = 30
	eventUpdateRowsV2    eventType = 31
	eventDeleteRowsV2    eventType = 32
	eventGTID            eventType = 33
	eventAnonymousGTID   eventType = 34
	eventPreviousGTIDs   eventType = 35
	eventTransactionInfo eventType = 36 // TRANSACTION_CONTEXT_EVENT of group replication
	eventViewChange      eventType = 37
	eventXAPrepare       eventType = 38
	eventPartialUpdate   eventType = 39
	eventPayload         eventType = 40
	eventHeartbeatV2     eventType = 41
	eventGTIDTagged      eventType = 42

	eventMariaAnnotate         eventType = 160
	eventMariaCheckpoint       eventType = 161
	eventMariaGTID             eventType = 162
	eventMariaGTIDList         eventType = 163
	eventMariaEncryption       eventType = 164
	eventMariaQueryCompressed  eventType = 165
	eventMariaWriteCompressed  eventType = 166
	eventMariaUpdateCompressed eventType = 167
	eventMariaDeleteCompressed eventType = 168
)

const (
	headerSize   = 19
	checksumSize = 4

	flagArtificial = 0x20 // made by the server for this connection: it is not in the file
	flagIgnorable  = 0x80 // one that does not know it may skip it
)

// event is one binlog event. Body has neither header nor checksum, and is valid only until the next one is read.
//
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_replication_binlog_event.html
type event struct {
	timestamp uint32 // seconds since 1970
	kind      eventType
	serverID  uint32
	size      uint32 // with header and checksum, as in the file
	endPos    uint32 // where the next one starts, modulo 2^32; 0 if it does not say
	flags     uint16
	body      []byte
}

var errShortEvent = errors.New("the event is shorter than its fields")

// parseHeader reads a whole event without looking at its checksum.
func parseHeader(raw []byte) (event, error) {
	if len(raw) < headerSize {
		return event{}, errShortEvent
	}
	e := event{
		timestamp: binary.LittleEndian.Uint32(raw),
		kind:      eventType(raw[4]),
		serverID:  binary.LittleEndian.Uint32(raw[5:]),
		size:      binary.LittleEndian.Uint32(raw[9:]),
		endPos:    binary.LittleEndian.Uint32(raw[13:]),
		flags:     binary.LittleEndian.Uint16(raw[17:]),
		body:      raw[headerSize:],
	}
	if uint64(e.size) != uint64(len(raw)) {
		return event{}, fmt.Errorf("an event of type %d says it has %d bytes and has %d", e.kind, e.size, len(raw))
	}
	return e, nil
}

// checksums takes off and verifies the checksums that the events of a file may have: its format description says so.
type checksums struct{ on bool }

// strip gives the event without its checksum.
func (c *checksums) strip(raw []byte, e *event) error {
	switch {
	case e.kind == eventFormat:
		// Its own last five bytes are always the algorithm and a checksum.
		if len(e.body) < 57+1+checksumSize {
			return errShortEvent
		}
		switch algorithm := e.body[len(e.body)-checksumSize-1]; algorithm {
		case 0, 255: // off; undefined: from before there were any
			c.on = false
		case 1:
			c.on = true
		default:
			return fmt.Errorf("the binlog uses checksum algorithm %d, which is not known", algorithm)
		}
		if c.on && !sumMatches(raw) {
			return errChecksum
		}
		e.body = e.body[:len(e.body)-checksumSize]
	case e.kind == eventRotate || e.kind == eventHeartbeat || e.kind == eventHeartbeatV2 || e.flags&flagArtificial != 0:
		// Made for the connection. Whether it has a checksum depends on what the server sent or wrote before it.
		if len(e.body) >= checksumSize && sumMatches(raw) {
			e.body = e.body[:len(e.body)-checksumSize]
		}
	case c.on:
		if len(e.body) < checksumSize {
			return errShortEvent
		}
		if !sumMatches(raw) {
			return errChecksum
		}
		e.body = e.body[:len(e.body)-checksumSize]
	}
	return nil
}

var errChecksum = errors.New("the event's checksum is wrong: it was damaged on the disk or on the way")

func sumMatches(raw []byte) bool {
	end := len(raw) - checksumSize
	return crc32.ChecksumIEEE(raw[:end]) == binary.LittleEndian.Uint32(raw[end:])
}
