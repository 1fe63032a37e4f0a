package preflight

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"meridian/internal/mysqldb"
)

// checkDatabase is the one check that there is when the server did not answer.
func checkDatabase(i *inspection) []Check {
	f := i.here
	switch {
	case f.err == nil:
		return []Check{pass("database", fmt.Sprintf("%s at %s", f.product(), f.address))}
	case errors.Is(f.err, errTooOld):
		var old *mysqldb.VersionError
		errors.As(f.err, &old)
		return []Check{fail("database", old.Error(), "upgrade the server")}
	case mysqldb.Classify(f.err) == mysqldb.Denied:
		return []Check{fail("database", f.err.Error(), fmt.Sprintf(
			"correct user and password of region %s in the configuration; `syncer schema` prints the SQL that creates the user's rights", f.region))}
	default:
		return []Check{fail("database", "not everything could be asked: "+f.err.Error(),
			fmt.Sprintf("see that the server of region %s runs and that %s can be reached from this host", f.region, f.address))}
	}
}

// known tells whether the region's own server has answered everything: the other checks have nothing to judge otherwise.
func (i *inspection) known() bool { return i.here.err == nil }

// checkReadOnly wants a server that takes writes.
func checkReadOnly(i *inspection) []Check {
	f := i.here
	if !i.known() {
		return nil
	}
	var bad []string
	for _, name := range []string{"read_only", "super_read_only", "offline_mode", "innodb_read_only"} {
		if f.has(name) && !f.is(name, "OFF") && !f.is(name, "0") {
			bad = append(bad, name+"="+f.variables[name])
		}
	}
	if len(bad) == 0 {
		return []Check{pass("read_only", "the server takes writes")}
	}
	var fixes []string
	for _, setting := range bad {
		name, _, _ := strings.Cut(setting, "=")
		fixes = append(fixes, f.setting(name, "OFF", name != "innodb_read_only"))
	}
	return []Check{fail("read_only", strings.Join(bad, ", ")+": the changes of the other regions cannot be applied here",
		"if "+f.address+" is a replica, configure the region's writable server instead; else:\n"+statements(fixes))}
}

// checkIdentity wants servers that can be told apart.
func checkIdentity(i *inspection) []Check {
	f := i.here
	if !i.known() {
		return nil
	}
	if f.serverID == 0 {
		return []Check{fail("server_id", "server_id is 0: the server sends its binlog to nobody", f.setting("server_id", "1", true)+" -- a number that no other server has")}
	}
	for _, o := range i.others {
		switch {
		case o.id == "":
		case o.id == f.id:
			return []Check{fail("server_id", fmt.Sprintf("region %s at %s has the same identity (%s): it is the same server, or a copy of its data folder", o.region, o.address, f.id),
				"give each region a server of its own; after copying a data folder, remove auto.cnf from the copy and restart it")}
		case o.serverID == f.serverID:
			return []Check{fail("server_id", fmt.Sprintf("server_id %d is also that of region %s: their transactions cannot be told apart in binlogs and on the bus", f.serverID, o.region),
				fmt.Sprintf("in one of the two regions: %s", f.setting("server_id", strconv.FormatInt(int64(f.serverID)+1, 10), true)))}
		}
	}
	return []Check{pass("server_id", fmt.Sprintf("server_id %d", f.serverID))}
}

// checkReplication wants a binlog with everything in it: what this server wrote, and what reached it by MySQL's own replication.
func checkReplication(i *inspection) []Check {
	if !i.known() {
		return nil
	}
	return slices.Concat(i.checkUpstream(), i.checkBinlogFilters(), i.checkSQLLogBin(), i.checkCluster())
}

func (i *inspection) checkUpstream() []Check {
	f := i.here
	var checks []Check
	name := "log_replica_updates"
	if !f.has(name) {
		name = "log_slave_updates"
	}
	switch logged := f.on(name); {
	case !logged && len(f.upstream) > 0:
		checks = append(checks, fail("log_replica_updates", fmt.Sprintf("%s is off, and the server replicates from %s: what comes from there is not in its binlog, and would never reach the other regions",
			name, strings.Join(f.upstream, ", ")), f.setting(name, "ON", false)))
	case !logged:
		checks = append(checks, warn("log_replica_updates", name+" is off: should this server ever be a replica, and then take over, its binlog would lack what it had replicated, and with it Meridian's provenance",
			f.setting(name, "ON", false)))
	default:
		checks = append(checks, pass("log_replica_updates", name+" is on"))
	}
	return append(checks, i.checkSources()...)
}

// checkSources looks for replication beside Meridian's.
func (i *inspection) checkSources() []Check {
	f := i.here
	filters := slices.Clone(f.filters)
	for _, name := range []string{"replicate_do_db", "replicate_ignore_db", "replicate_do_table", "replicate_ignore_table",
		"replicate_wild_do_table", "replicate_wild_ignore_table"} { // MariaDB has them as variables
		if setting := name + "=" + f.variables[name]; f.variables[name] != "" && !slices.Contains(filters, setting) {
			filters = append(filters, setting)
		}
	}
	for _, o := range i.config.Others {
		if slices.Contains(f.upstream, o.Address) {
			return []Check{fail("replica", fmt.Sprintf("the server is a replica of %s, the database of region %s: each change would come twice, by MySQL and by Meridian", o.Address, o.Name),
				"STOP REPLICA; RESET REPLICA ALL; -- Meridian takes over")}
		}
	}
	switch {
	case len(filters) > 0:
		return []Check{fail("replica", "replication filters are set ("+strings.Join(filters, ", ")+"): a server that leaves out schema meridian loses the provenance of what was applied",
			"remove the replicate-* settings from the server's configuration and restart it")}
	case len(f.upstream) > 0:
		return []Check{warn("replica", "the server is itself a replica of "+strings.Join(f.upstream, ", ")+": what comes from there is captured as if it had been written here",
			"if that server belongs to another region of Meridian: STOP REPLICA; RESET REPLICA ALL;")}
	default:
		return []Check{pass("replica", "the server replicates from no other")}
	}
}

// checkBinlogFilters refuses a binlog that leaves out what is to be replicated, or Meridian's own tables.
func (i *inspection) checkBinlogFilters() []Check {
	f := i.here
	if f.binlogDo == "" && f.binlogIgnore == "" {
		return []Check{pass("binlog_filters", "binlog_do_db and binlog_ignore_db are not set")}
	}
	needed := []string{stateSchema}
	for _, t := range f.tables {
		if !slices.Contains(needed, t.schema) {
			needed = append(needed, t.schema)
		}
	}
	var out []string
	for _, schema := range needed {
		if f.binlogDo != "" && !slices.Contains(strings.Split(f.binlogDo, ","), schema) || slices.Contains(strings.Split(f.binlogIgnore, ","), schema) {
			out = append(out, schema)
		}
	}
	set := fmt.Sprintf("binlog_do_db=%q, binlog_ignore_db=%q", f.binlogDo, f.binlogIgnore)
	const fix = "remove binlog-do-db and binlog-ignore-db from the server's configuration and restart it"
	if len(out) > 0 {
		return []Check{fail("binlog_filters", set+": changes in "+strings.Join(out, ", ")+" are not in the binlog", fix)}
	}
	return []Check{warn("binlog_filters", set+": all that is replicated now is in the binlog, but a schema that is added later may not be", fix)}
}

func (i *inspection) checkSQLLogBin() []Check {
	f := i.here
	if !f.sqlLogBin {
		return []Check{fail("sql_log_bin", "sql_log_bin is off in Meridian's own session (init_connect?): what it applies would not be in the binlog",
			"remove SET sql_log_bin from init_connect")}
	}
	if strings.Contains(strings.ToLower(f.variables["init_connect"]), "sql_log_bin") {
		return []Check{warn("sql_log_bin", "init_connect mentions sql_log_bin: what is written with it off never reaches the other regions", "SET GLOBAL init_connect = ''; -- and in the server's configuration")}
	}
	return []Check{pass("sql_log_bin", "sessions write the binlog")}
}

// checkCluster warns where several servers behind one region take writes.
func (i *inspection) checkCluster() []Check {
	f := i.here
	switch {
	case f.on("wsrep_on"):
		return []Check{warn("cluster", "the server is a Galera node: Meridian fences applies by the binlog of the node it talks to, so writes must go to that node alone",
			"let the applications and mysql.address of this region lead to one and the same node")}
	case f.is("group_replication_single_primary_mode", "OFF") && f.variables["group_replication_group_name"] != "":
		return []Check{warn("cluster", "group replication runs in multi-primary mode: Meridian fences applies by the binlog of the member it talks to, so writes must go to that member alone",
			"SELECT group_replication_switch_to_single_primary_mode();")}
	}
	return nil
}

// checkPacket wants statements as large as Meridian sends them to be taken.
func checkPacket(i *inspection) []Check {
	f := i.here
	have, ok := f.number("max_allowed_packet")
	if !i.known() || !ok {
		return nil
	}
	const name = "max_allowed_packet"
	batch, row := i.config.BatchBytes, i.config.MaxRecordBytes
	detail := fmt.Sprintf("max_allowed_packet is %s", size(have))
	switch largest := i.largestPacketElsewhere(); {
	case have < batch:
		return []Check{fail(name, fmt.Sprintf("%s, less than a batch (apply.batch_bytes is %s)", detail, size(batch)),
			f.setting(name, strconv.FormatInt(max(batch, min(2*row, 1<<30)), 10), true)+" "+forSessions)}
	case have < row+aroundRecord:
		return []Check{warn(name, fmt.Sprintf("%s, less than the largest change that the bus carries (bus.max_record_bytes is %s): one that does not fit cannot be written here, and "+
			"cannot be kept whole where it is set aside; only what names it is", detail, size(row)),
			f.setting(name, strconv.FormatInt(max(min(2*row, 1<<30), have), 10), true)+" "+forSessions)}
	case have < 2*row && largest > have:
		return []Check{warn(name, fmt.Sprintf("%s, but another region takes statements of %s: a row from there that does not fit here is parked", detail, size(largest)),
			f.setting(name, strconv.FormatInt(largest, 10), true)+" "+forSessions)}
	default:
		return []Check{pass(name, detail)}
	}
}

// aroundRecord is what the statement takes besides that keeps a parked change's record.
const aroundRecord = 64 << 10

func (i *inspection) largestPacketElsewhere() int64 {
	var largest int64
	for _, o := range i.others {
		if n, ok := o.number("max_allowed_packet"); ok {
			largest = max(largest, n)
		}
	}
	return largest
}

// size is a number of bytes for people.
func size(n int64) string {
	for _, unit := range []struct {
		name  string
		bytes int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= unit.bytes {
			number := strconv.FormatFloat(float64(n)/float64(unit.bytes), 'f', 1, 64)
			return strings.TrimSuffix(number, ".0") + " " + unit.name
		}
	}
	return strconv.FormatInt(n, 10) + " bytes"
}

// checkNames wants all regions to spell tables alike.
func checkNames(i *inspection) []Check {
	f := i.here
	if !i.known() {
		return nil
	}
	const name = "lower_case_table_names"
	var differ []string
	for _, o := range i.others {
		if v, ok := o.variables[name]; ok && v != f.variables[name] {
			differ = append(differ, fmt.Sprintf("%s in region %s", v, o.region))
		}
	}
	if len(differ) > 0 {
		return []Check{fail(name, fmt.Sprintf("it is %s here and %s: Shop and shop would be one table in one place and two in another", f.variables[name], strings.Join(differ, ", ")),
			"set it alike everywhere; MySQL takes it only when a data folder is initialised, MariaDB at a restart, when all names are in lower case")}
	}
	return []Check{pass(name, name+" is "+f.variables[name])}
}

// checkClock compares the servers' clocks: the newest write wins, so a clock that is ahead wins what it should not.
func checkClock(i *inspection) []Check {
	f := i.here
	if !i.known() {
		return nil
	}
	const name = "clock"
	const fix = "keep the clocks of all database servers in step: chrony or NTP"
	var bad, near, good []string
	compare := func(with string, ahead, uncertain time.Duration) {
		off := max(ahead, -ahead)
		text := fmt.Sprintf("%s %s %s (± %s)", milliseconds(off), direction(ahead), with, milliseconds(uncertain))
		switch {
		case off-uncertain > i.config.MaxSkew:
			bad = append(bad, text)
		case off-uncertain > i.config.MaxSkew/2:
			near = append(near, text)
		default:
			good = append(good, text)
		}
	}
	for _, o := range i.others {
		if o.err == nil {
			compare("region "+o.region, f.ahead-o.ahead, (f.roundTrip+o.roundTrip)/2)
		}
	}
	if f.mariadb {
		// MariaDB's binlog has whole seconds: the time of a version comes from this host's clock.
		compare("this host", f.ahead, f.roundTrip/2)
	}
	limit := fmt.Sprintf("; clock.max_skew is %s", i.config.MaxSkew)
	switch {
	case len(bad) > 0:
		return []Check{fail(name, "the database's clock is "+list(append(bad, near...))+limit+": one wrong clock would win conflicts it should lose", fix)}
	case len(near) > 0:
		return []Check{warn(name, "the database's clock is "+list(near)+limit, fix)}
	case len(good) == 0:
		return []Check{pass(name, "no other region could be compared with")}
	default:
		return []Check{pass(name, "the database's clock is "+list(good))}
	}
}

func direction(ahead time.Duration) string {
	if ahead < 0 {
		return "behind"
	}
	return "ahead of"
}

func milliseconds(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 1, 64) + " ms"
}

// checkOthers names the regions that could not be compared with.
func checkOthers(i *inspection) []Check {
	if len(i.others) == 0 {
		return []Check{warn("other_regions", "the configuration has no other region: there is nothing to replicate to", "")}
	}
	var unreachable []string
	for _, o := range i.others {
		if o.err != nil {
			unreachable = append(unreachable, fmt.Sprintf("%s: %v", o.region, o.err))
		}
	}
	if len(unreachable) == 0 {
		return []Check{pass("other_regions", fmt.Sprintf("compared with %d", len(i.others)))}
	}
	return []Check{warn("other_regions", "could not be compared with, and what must be alike was not checked: "+list(unreachable),
		"run `syncer check` where these databases can be reached")}
}
