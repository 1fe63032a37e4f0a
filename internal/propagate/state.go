package propagate

import "strings"

// StateDatabase is the schema that holds Meridian's own tables in each region's database.
const StateDatabase = "meridian"

// The names of the state tables that the tailer and the applier know.
const (
	TableProvenance = "provenance"
	TableOwner      = "owner"
	TableParked     = "parked"
	TableConflicts  = "conflicts"
)

// StateSchema gives the statements that make the state schema, each safe to run again. They are the same for MySQL and
// MariaDB.
//
//	provenance   one row per (source region, shard): how far its topic is applied, the fingerprint of the record before that
//	             place, by which epoch, the counts, and what the last apply transaction wrote (Provenance.Batch). Every apply transaction begins with its update.
//	owner        one row per shard: the epoch of the process that owns it, and which rows its last adoption gave a new version
//	             (batch, as in provenance). Every adoption begins with its update.
//	parked       what could not be applied, known by its place in the source's topic, and what could not be published, at
//	             offset 0 and known by own_change (changeID): kept until it can, or until a person decides. local_record is, for
//	             a change in review, the row as it stood here.
//	conflicts    the lost side of each conflict that was decided here, for a while: the change that came and lost, or the row
//	             that was overwritten. omitted says why there is no record.
func StateSchema() []string {
	return []string{
		"CREATE DATABASE IF NOT EXISTS `meridian` DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
		"CREATE TABLE IF NOT EXISTS `meridian`.`provenance` (\n" +
			"  `source` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,\n" +
			"  `shard` SMALLINT UNSIGNED NOT NULL,\n" +
			"  `next_offset` BIGINT UNSIGNED NOT NULL,\n" +
			"  `last_record` BIGINT UNSIGNED NOT NULL DEFAULT 0,\n" +
			"  `epoch` BIGINT UNSIGNED NOT NULL,\n" +
			"  `source_epoch` BIGINT UNSIGNED NOT NULL DEFAULT 0,\n" +
			"  `changes_read` BIGINT UNSIGNED NOT NULL DEFAULT 0,\n" +
			"  `applied` BIGINT UNSIGNED NOT NULL DEFAULT 0,\n" +
			"  `duplicate` BIGINT UNSIGNED NOT NULL DEFAULT 0,\n" +
			"  `lost` BIGINT UNSIGNED NOT NULL DEFAULT 0,\n" +
			"  `coalesced` BIGINT UNSIGNED NOT NULL DEFAULT 0,\n" +
			"  `superseded` BIGINT UNSIGNED NOT NULL DEFAULT 0,\n" +
			"  `discarded` BIGINT UNSIGNED NOT NULL DEFAULT 0,\n" +
			"  `rejected` BIGINT UNSIGNED NOT NULL DEFAULT 0,\n" +
			"  `batch` LONGBLOB NOT NULL,\n" +
			"  PRIMARY KEY (`source`, `shard`)\n" +
			") ENGINE=InnoDB",
		"CREATE TABLE IF NOT EXISTS `meridian`.`owner` (\n" +
			"  `shard` SMALLINT UNSIGNED NOT NULL,\n" +
			"  `epoch` BIGINT UNSIGNED NOT NULL,\n" +
			"  `holder` VARCHAR(255) NOT NULL,\n" +
			"  `since` TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),\n" +
			"  `adoptions` BIGINT UNSIGNED NOT NULL DEFAULT 0,\n" +
			"  `batch` LONGBLOB NOT NULL,\n" +
			"  PRIMARY KEY (`shard`)\n" +
			") ENGINE=InnoDB",
		"CREATE TABLE IF NOT EXISTS `meridian`.`parked` (\n" +
			"  `id` BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,\n" +
			"  `source` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,\n" +
			"  `shard` SMALLINT UNSIGNED NOT NULL,\n" +
			"  `bus_offset` BIGINT UNSIGNED NOT NULL,\n" +
			"  `own_change` VARBINARY(32) NOT NULL DEFAULT '',\n" +
			"  `state` VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,\n" +
			"  `reason` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,\n" +
			"  `detail` TEXT NOT NULL,\n" +
			"  `table_name` VARCHAR(255) NOT NULL,\n" +
			"  `row_key` LONGBLOB NOT NULL,\n" +
			"  `version_time` BIGINT NOT NULL,\n" +
			"  `version_region` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,\n" +
			"  `attempts` INT UNSIGNED NOT NULL,\n" +
			"  `first_at` TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),\n" +
			"  `tried_at` TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),\n" +
			"  `record` LONGBLOB NOT NULL,\n" +
			"  `local_record` LONGBLOB,\n" +
			"  PRIMARY KEY (`id`),\n" +
			"  UNIQUE KEY `place` (`source`, `shard`, `bus_offset`, `own_change`),\n" +
			"  KEY `row` (`table_name`, `row_key`(255))\n" +
			") ENGINE=InnoDB",
		"CREATE TABLE IF NOT EXISTS `meridian`.`conflicts` (\n" +
			"  `id` BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,\n" +
			"  `decided_at` TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),\n" +
			"  `source` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,\n" +
			"  `shard` SMALLINT UNSIGNED NOT NULL,\n" +
			"  `bus_offset` BIGINT UNSIGNED NOT NULL,\n" +
			"  `table_name` VARCHAR(255) NOT NULL,\n" +
			"  `row_key` LONGBLOB NOT NULL,\n" +
			"  `winner_time` BIGINT NOT NULL,\n" +
			"  `winner_region` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,\n" +
			"  `loser_time` BIGINT NOT NULL,\n" +
			"  `loser_region` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,\n" +
			"  `bytes` INT UNSIGNED NOT NULL,\n" +
			"  `omitted` VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',\n" +
			"  `record` LONGBLOB,\n" +
			"  PRIMARY KEY (`id`),\n" +
			"  KEY `row` (`table_name`, `row_key`(255)),\n" +
			"  KEY `size` (`bytes`)\n" +
			") ENGINE=InnoDB",
	}
}

// stateColumns gives the columns of each state table.
func stateColumns() map[string][]string {
	columns := map[string][]string{}
	for _, statement := range StateSchema() {
		table := ""
		for line := range strings.SplitSeq(statement, "\n") {
			if name, ok := strings.CutPrefix(line, "CREATE TABLE IF NOT EXISTS `"+StateDatabase+"`.`"); ok {
				table, _, _ = strings.Cut(name, "`")
			}
			if name, ok := strings.CutPrefix(line, "  `"); ok {
				name, _, _ = strings.Cut(name, "`")
				columns[table] = append(columns[table], name)
			}
		}
	}
	return columns
}
