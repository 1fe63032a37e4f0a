package propagate

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"meridian/internal/bus"
	"meridian/internal/envelope"
)

// TooLarge implements Undeliverable: the change becomes a dead change in the region where it was written. Told of it again
// it keeps the newer version and record: on MariaDB a change that is not on the bus may be stamped otherwise when the
// binlog is read again, and the ledger then has that stamp.
func (t *MySQLTarget) TooLarge(ctx context.Context, shard int, m *envelope.Message, r bus.Record, why *bus.TooLargeError) error {
	c, id := m.Change, changeID(m)
	park := Park{State: Dead, Detail: why.Error(), Table: c.Table.String(), Key: c.Key, Digest: c.Digest, Record: r.Marshal()}
	t.remember([]Park{park}) // before it is there: until then its tombstone may not go either
	kept := park.within(t.server.MaxPacket())
	_, err := t.server.DB.ExecContext(ctx, "INSERT INTO `meridian`.`parked` (`source`, `shard`, `bus_offset`, `own_change`, `state`, `reason`, `detail`, `table_name`, "+
		"`row_key`, `version_time`, `version_region`, `attempts`, `record`) VALUES (?, ?, 0, ?, ?, 'too_large', ?, ?, ?, ?, ?, 1, ?) "+
		"ON DUPLICATE KEY UPDATE `detail` = VALUES(`detail`), `version_time` = VALUES(`version_time`), `record` = VALUES(`record`)",
		m.Source.Region, shard, id, string(Dead), clip(kept.Detail), c.Table.String(), []byte(c.Key), c.Version.Time, c.Version.Region, kept.record())
	if err != nil {
		return fmt.Errorf("keeping a change of table %s that the bus does not take: %w", c.Table, err)
	}
	return nil
}

// changeID tells a change of this region from all others: by its transaction and its number in it, as often as the binlog
// is read; and by what it does to which row, since a server whose binlog was reset gives its GTIDs anew.
func changeID(m *envelope.Message) []byte {
	c := m.Change
	h := sha256.New()
	for _, part := range []string{m.Source.GTID, c.Table.String(), string(c.Key)} {
		_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part)))) // a hash takes everything
		_, _ = h.Write([]byte(part))
	}
	b := binary.BigEndian.AppendUint64(nil, m.Source.Ordinal)
	b = binary.BigEndian.AppendUint64(append(b, byte(c.Op)), c.Digest)
	_, _ = h.Write(b)
	return h.Sum(nil)
}
