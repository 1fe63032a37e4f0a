package preflight

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// checkBinlog wants a binlog that has every change, whole, with names and types.
func checkBinlog(i *inspection) []Check {
	f := i.here
	if !i.known() {
		return nil
	}
	if !f.on("log_bin") {
		return []Check{fail("log_bin", "the server writes no binlog: there is nothing to replicate from", f.setting("log_bin", "binlog", false))}
	}
	checks := []Check{pass("log_bin", "the server writes a binlog"),
		f.want("binlog_format", "ROW", "statements run elsewhere can have other effects there", forSessions),
		f.want("binlog_row_image", "FULL", "row events lack columns", forSessions),
		f.want("binlog_row_metadata", "FULL", "row events lack the columns' names, types and character sets", "")}
	if f.mariadb {
		checks = append(checks, f.want("gtid_strict_mode", "ON", "GTIDs can come out of order, and a position in the binlog is then ambiguous", ""))
	} else {
		checks = append(checks, f.gtidMode()...)
		checks = append(checks, f.partialJSON(), f.commitOrder())
	}
	return append(checks, f.compression())
}

// want checks a dynamic variable for the one value that it must have.
func (f *facts) want(name, value, otherwise, note string) Check {
	if f.is(name, value) {
		return pass(name, name+" is "+value)
	}
	if !f.has(name) {
		return fail(name, "the server has no "+name, "upgrade the server: MySQL 8.0 or MariaDB 10.5 at the least")
	}
	return fail(name, fmt.Sprintf("%s is %s: %s", name, f.variables[name], otherwise), strings.TrimSpace(f.setting(name, value, true)+" "+note))
}

func (f *facts) gtidMode() []Check {
	consistency := f.want("enforce_gtid_consistency", "ON", "statements that GTIDs cannot cover are let through", "")
	mode := pass("gtid_mode", "gtid_mode is ON")
	if !f.is("gtid_mode", "ON") {
		// Each step is one that MySQL allows from the one before: https://dev.mysql.com/doc/refman/8.4/en/replication-mode-change-online-enable-gtids.html
		steps := []string{"OFF", "OFF_PERMISSIVE", "ON_PERMISSIVE", "ON"}
		var fix []string
		passed := false
		for _, step := range steps {
			if passed {
				fix = append(fix, "SET PERSIST gtid_mode = "+step+";")
			}
			passed = passed || f.is("gtid_mode", step)
		}
		mode = fail("gtid_mode", fmt.Sprintf("gtid_mode is %s: the place in the binlog would be lost at a fail-over", f.variables["gtid_mode"]),
			statements(append([]string{"SET PERSIST enforce_gtid_consistency = ON;"}, fix...)))
	}
	return []Check{mode, consistency}
}

func (f *facts) partialJSON() Check {
	const name = "binlog_row_value_options"
	if !strings.Contains(strings.ToUpper(f.variables[name]), "PARTIAL_JSON") {
		return pass(name, "JSON columns are logged whole")
	}
	return fail(name, "PARTIAL_JSON: row events hold pieces of JSON columns, not their values", f.setting(name, "''", true)+" "+forSessions)
}

// commitOrder: a transaction's place in the binlog must come before its locks are released in the same order, or the fence
// of an apply says too early that everything has been seen.
func (f *facts) commitOrder() Check {
	const name = "binlog_order_commits"
	if f.on(name) || !f.has(name) {
		return pass(name, "commits are visible in the order of the binlog")
	}
	return fail(name, "binlog_order_commits is off: rows can become visible in another order than that of the binlog, and an apply could overwrite a newer row",
		f.setting(name, "ON", true))
}

func (f *facts) compression() Check {
	name := "binlog_transaction_compression"
	if f.mariadb {
		name = "log_bin_compress"
	}
	if f.on(name) {
		return pass(name, "the binlog is compressed: understood, at some cost of CPU in the syncer")
	}
	return pass(name, "the binlog is not compressed")
}

// What is kept of the binlog bounds how long a syncer may be away: beyond that it has lost changes and must be rebuilt.
const (
	leastRetention = time.Hour      // a restart of everything takes less
	goodRetention  = 24 * time.Hour // a bad night takes less
)

func checkRetention(i *inspection) []Check {
	f := i.here
	if !i.known() || !f.on("log_bin") {
		return nil
	}
	const name = "binlog_retention"
	retention, forever := f.retention()
	fix := f.retentionFix()
	switch {
	case !forever && retention < leastRetention:
		return []Check{fail(name, fmt.Sprintf("binlogs are purged after %s: a syncer that is away longer has lost changes for good", retention), fix)}
	case !forever && retention < goodRetention:
		return []Check{warn(name, fmt.Sprintf("binlogs are purged after %s: a syncer that is away longer has lost changes for good; a day or more is advised", retention), fix)}
	}
	for _, limit := range []string{"max_binlog_total_size", "binlog_space_limit"} { // MariaDB 11.4, Percona Server
		if n, ok := f.number(limit); ok && n > 0 {
			return []Check{warn(name, fmt.Sprintf("%s is %s: binlogs are purged when they grow beyond that, whatever their age", limit, size(n)), f.setting(limit, "0", true))}
		}
	}
	if forever {
		return []Check{pass(name, "binlogs are never purged by age")}
	}
	return []Check{pass(name, fmt.Sprintf("binlogs are kept for %s", retention))}
}

// retention tells after how long binlogs are purged.
func (f *facts) retention() (d time.Duration, forever bool) {
	if f.is("binlog_expire_logs_auto_purge", "OFF") {
		return 0, true
	}
	if seconds, _ := f.number("binlog_expire_logs_seconds"); seconds > 0 {
		return time.Duration(seconds) * time.Second, false
	}
	days, err := strconv.ParseFloat(f.variables["expire_logs_days"], 64) // MariaDB allows fractions
	if err == nil && days > 0 {
		return time.Duration(days * float64(24*time.Hour)), false
	}
	return 0, true
}

func (f *facts) retentionFix() string {
	if strings.Contains(f.variables["basedir"], "/rdsdbbin/") {
		return "CALL mysql.rds_set_configuration('binlog retention hours', 72);"
	}
	if !f.has("binlog_expire_logs_seconds") {
		return f.setting("expire_logs_days", "3", true)
	}
	return f.setting("binlog_expire_logs_seconds", "259200", true)
}

// checkDurability: what was published is in the other regions already. A server that forgets it in a crash comes back with
// an older past than they have.
func checkDurability(i *inspection) []Check {
	f := i.here
	if !i.known() {
		return nil
	}
	const why = "a crash takes back transactions that the other regions already have"
	sync := f.want("sync_binlog", "1", why, "")
	flush := f.want("innodb_flush_log_at_trx_commit", "1", why, "")
	if f.mariadb && f.is("innodb_flush_log_at_trx_commit", "3") {
		flush = pass("innodb_flush_log_at_trx_commit", "innodb_flush_log_at_trx_commit is 3, as durable as 1")
	}
	return []Check{sync, flush}
}
