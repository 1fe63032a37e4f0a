package envelope

import (
	"fmt"

	"meridian/internal/row"
)

// Kind says what a record is.
type Kind uint8

// The kinds. The numbers stand in records: they are never reused.
const (
	Change    Kind = 1 // a row written by a transaction of this region
	Repair    Kind = 2 // a row published again, with its original version, because another region has it wrong
	Seed      Kind = 3 // a row or a tombstone for a region that is being filled
	Epoch     Kind = 4 // a new owner of the shard begins here: what an older epoch publishes after it does not count
	Watermark Kind = 5 // how far the region had come when it published this
)

// String gives the kind as the header meridian-kind spells it.
func (k Kind) String() string {
	switch k {
	case Change:
		return "change"
	case Repair:
		return "repair"
	case Seed:
		return "seed"
	case Epoch:
		return "epoch"
	case Watermark:
		return "watermark"
	default:
		return fmt.Sprintf("kind-%d", uint8(k))
	}
}

// carriesRow tells whether records of the kind have a change.
func (k Kind) carriesRow() bool { return k == Change || k == Repair || k == Seed }

// Message is what one record of a change topic says.
type Message struct {
	Kind   Kind
	Epoch  uint64 // of the owner that publishes it
	Time   int64  // when it was published, in milliseconds since 1970 (ts_ms)
	Source Source

	Change    *row.Change    // of Change, Repair and Seed
	Start     *EpochStart    // of Epoch
	Watermark *WatermarkMark // of Watermark
}

// Source is where a message comes from.
type Source struct {
	Region     string // that publishes it, which is not the version's when the message is a repair or a seed
	GTID       string // of the transaction; "" when there is none
	Ordinal    uint64 // of the change within its transaction, from 1; 0 when there is none
	Last       bool   // the transaction's last change
	ServerID   uint32
	File       string // binlog coordinates of the transaction
	Position   uint64
	CommitTime int64 // microseconds since 1970
}

// EpochStart is the content of an Epoch record.
type EpochStart struct {
	Region  string `json:"region"`
	Shard   int    `json:"shard"`
	Epoch   uint64 `json:"epoch"`
	Replica int    `json:"replica"`
	Time    int64  `json:"time_us"` // microseconds since 1970
}

// WatermarkMark is the content of a Watermark record.
type WatermarkMark struct {
	Region     string           `json:"region"`
	Shard      int              `json:"shard"`
	Epoch      uint64           `json:"epoch"`
	Time       int64            `json:"time_us"`    // microseconds since 1970
	Checkpoint string           `json:"checkpoint"` // the GTIDs up to which the region's ledger is durable
	Applied    map[string]int64 `json:"applied"`    // by source region: the offset that the region applies next
	Published  int64            `json:"published"`  // the offset after the region's own last acknowledged record
}
