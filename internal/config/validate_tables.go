package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// tables checks which tables are replicated, and the rules about them.
func (v *validator) tables() {
	t := &v.config.Tables
	if len(t.Include) == 0 {
		v.fault("tables.include", `is missing: the tables to replicate, like ["shop.*"]`)
	}
	v.patterns("tables.include", t.Include)
	v.patterns("tables.exclude", t.Exclude)
	for i := range t.Rules {
		at := fmt.Sprintf("tables.rules[%d]", i)
		r := &t.Rules[i]
		if len(r.Patterns) == 0 {
			v.fault(at+".match", `is missing: the tables that the rule is for, like ["shop.orders"]`)
		}
		v.patterns(at+".match", r.Patterns)
		v.oneOf(at+".conflict", r.Conflict, ConflictLastWriterWins, ConflictReview)
		v.oneOf(at+".unique_conflicts", r.UniqueConflicts, UniquePark, UniqueNewestWins)
		if strings.ContainsAny(r.VersionColumn, "`.{} ") {
			v.fault(at+".version_column", "%q is no column's name", r.VersionColumn)
		}
		v.cache(at+".cache", r.Cache)
		v.unreachable(at+".match", t.Rules[:i], r)
	}
}

func (v *validator) patterns(key string, patterns []Pattern) {
	for i, p := range patterns {
		if isOwnSchema(p.Schema) {
			v.fault(fmt.Sprintf("%s[%d]", key, i), "%q: the tables of schema %s are the server's or Meridian's own, and never replicated", p, p.Schema)
		}
	}
}

func (v *validator) cache(key string, c *Cache) {
	if c == nil {
		return
	}
	if c.Key.text == "" {
		v.fault(key+".key", "is missing: the template of the rows' keys in Redis, like order:{id}")
	}
	v.oneOf(key+".mode", c.Mode, CacheInvalidate, CacheRefresh)
	if !slices.ContainsFunc(v.config.Regions, func(r *Region) bool { return r.Redis != nil }) {
		v.warn(key, "has no effect: no region has a redis")
	}
}

// unreachable warns of a pattern that an earlier rule has word for word: the first rule that matches decides.
func (v *validator) unreachable(key string, earlier []Rule, r *Rule) {
	for i, p := range r.Patterns {
		for _, before := range earlier {
			if slices.Contains(before.Patterns, p) {
				v.warn(fmt.Sprintf("%s[%d]", key, i), "%q has no effect: an earlier rule has the same pattern, and the first that matches decides", p)
				break
			}
		}
	}
}

// numbers checks what has a sensible range.
func (v *validator) numbers() {
	c := v.config
	v.between("apply.batch_rows", int64(c.Apply.BatchRows), 1, 100_000)
	v.sizeBetween("apply.batch_bytes", c.Apply.BatchBytes, 64*KiB, GiB)
	v.atLeast("apply.fence_timeout", c.Apply.FenceTimeout, 10*time.Millisecond)
	v.atLeast("apply.statement_timeout", c.Apply.StatementTimeout, 100*time.Millisecond)
	v.between("retry.max_attempts", int64(c.Retry.MaxAttempts), 1, 1_000_000)
	v.atLeast("retry.delay", c.Retry.Delay, time.Millisecond)
	v.atLeast("verify.interval", c.Verify.Interval, 100*time.Millisecond)
	v.atLeast("verify.consistency_window", c.Verify.ConsistencyWindow, time.Second)
	v.oneOf("verify.repair", c.Verify.Repair, RepairAuto, RepairReport)
	v.between("verify.scrub_rows_per_second", int64(c.Verify.ScrubRowsPerSecond), 0, 100_000_000)
	v.between("verify.baseline_rows_per_second", int64(c.Verify.BaselineRowsPerSecond), 0, 100_000_000)
	v.between("verify.busy_threads", int64(c.Verify.BusyThreads), 0, 1_000_000)
	v.atLeast("verify.busy_replica_delay", c.Verify.BusyReplicaDelay, time.Second)
	v.between("verify.max_repair_rows", int64(c.Verify.MaxRepairRows), 0, 1_000_000_000)
	v.between("verify.repair_rows_per_minute", int64(c.Verify.RepairRowsPerMinute), 1, 1_000_000_000)
	if c.Verify.ConflictHistory != 0 { // which keeps none
		v.atLeast("verify.conflict_history", c.Verify.ConflictHistory, time.Minute)
	}
	v.atLeast("clock.max_skew", c.Clock.MaxSkew, time.Millisecond)
	v.sizeBetween("limits.memory", c.Limits.Memory, 64*MiB, TiB)
	v.sizeBetween("limits.transaction_memory", c.Limits.TransactionMemory, MiB, TiB)
	v.atLeast("limits.ready_max_lag", c.Limits.ReadyMaxLag, time.Second)
	if c.Limits.TransactionMemory > c.Limits.Memory {
		v.fault("limits.transaction_memory", "%v is more than limits.memory, %v", c.Limits.TransactionMemory, c.Limits.Memory)
	}
}
