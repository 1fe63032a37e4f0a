package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"go.uber.org/zap"

	"meridian/internal/bus"
	"meridian/internal/command"
	"meridian/internal/propagate"
	"meridian/internal/testenv"
)

// atGap is region a's database and the bus, whose topic of region b has lost what a was to read next.
func atGap(t *testing.T) (db *testenv.Database, config string) {
	t.Helper()
	db = testenv.Shared(t, testenv.KindMySQL, "a", testenv.AutoIncrement(10, 1), testenv.Args("--max-allowed-packet=64M"))
	db.Exec("DROP DATABASE IF EXISTS meridian")
	for _, statement := range propagate.StateSchema() {
		db.Exec(statement)
	}
	broker, err := bus.StartEmbedded(context.WithoutCancel(t.Context()), bus.EmbeddedConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0", NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	client, err := bus.Dial(bus.Config{Brokers: []string{broker.Addr()}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if failed := errors.Join(client.Close(), broker.Close()); failed != nil {
			t.Error(failed)
		}
	})
	topic := bus.Topic{Name: "meridian.b.changes", Partitions: 2, ReplicationFactor: 1}
	if err = client.EnsureTopic(t.Context(), topic); err != nil {
		t.Fatal(err)
	}
	for shard := range topic.Partitions {
		if _, err = client.Produce(t.Context(), topic.Name, shard, []bus.Record{{Value: []byte("1")}, {Value: []byte("2")}, {Value: []byte("3")}}); err != nil {
			t.Fatal(err)
		}
	}
	db.Exec("INSERT INTO meridian.owner (shard, epoch, holder, batch) VALUES (0, 5, 'a-0', ''), (1, 5, 'a-0', '')")
	db.Exec("INSERT INTO meridian.provenance (source, shard, next_offset, last_record, epoch, changes_read, lost, batch) VALUES ('b', 0, 10, 77, 5, 9, 9, ''), ('b', 1, 3, 0, 5, 0, 0, '')")
	db.Exec("INSERT INTO meridian.parked (source, shard, bus_offset, state, reason, detail, table_name, row_key, version_time, version_region, attempts, record) " +
		"VALUES ('b', 0, 1, 'dead', 'refused', '', 's.t', 'k', 1, 'b', 1, ''), ('b', 1, 1, 'dead', 'refused', '', 's.t', 'k', 1, 'b', 1, '')")
	return db, configure(t, fmt.Sprintf("regions:\n"+
		"  a: {mysql: {address: %q, user: %s, password: %s}, admin: {listen: \"127.0.0.1:1\"}}\n"+
		"  b: {mysql: {address: \"127.0.0.1:2\", user: u, password: p}, admin: {listen: \"127.0.0.1:2\"}}\n"+
		"bus: {brokers: [%q], partitions: 2}\ntables: {include: [\"s.*\"]}\n", db.Address, db.User, db.Password, broker.Addr()))
}

// The way on from a gap: it is shown, the plan is printed, and with --yes it is done; where there is none nothing is.
func TestGap_IsShownAndAcceptedWithYes(t *testing.T) {
	db, config := atGap(t)
	state := func() string {
		t.Helper()
		var text string
		err := db.DB.QueryRowContext(t.Context(), "SELECT CONCAT((SELECT GROUP_CONCAT(CONCAT_WS(':', shard, next_offset, last_record, epoch > 5, changes_read) ORDER BY shard) FROM meridian.provenance), ' ', "+
			"(SELECT GROUP_CONCAT(CONCAT_WS(':', shard, own_change = id, reason) ORDER BY shard) FROM meridian.parked), ' ', (SELECT GROUP_CONCAT(holder ORDER BY shard) FROM meridian.owner))").Scan(&text)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	const before = "0:10:77:0:9,1:3:0:0:0 0:0:refused,1:0:refused a-0,a-0"
	on := func(args ...string) result { return invoke(t, append(args, "--config", config, "--region", "a")...) }

	r := on("gap", "show")
	r.want(t, command.ExitFound, "a has lost changes of b, shard 0: bus: meridian.b.changes/0 ends at offset 3, before the wanted 10", "")
	r.want(t, command.ExitFound, "syncer gap accept --region a --source b", "")
	r = on("gap", "show", "--json")
	var document struct {
		Region string
		Gaps   []gapDocument
	}
	if err := json.Unmarshal([]byte(r.stdout), &document); err != nil || r.code != command.ExitFound || len(document.Gaps) != 1 || document.Gaps[0].Kind != "truncated" ||
		document.Gaps[0].NextOffset != 10 || document.Gaps[0].Parked != 1 {
		t.Errorf("%d: %s (%v)", r.code, r.stdout, err)
	}
	on("gap", "show", "--source", "b", "--shard", "1").want(t, command.ExitOK, "no gap: of 1 shard", "")
	on("gap", "accept", "--source", "b", "--shard", "1", "--yes").want(t, command.ExitFailed, "", "no gap: of 1 shard looked at, each has what is to be read next: nothing was changed")
	on("gap", "accept", "--source", "b").want(t, command.ExitFound, "the place is set from offset 10 to 0", "")
	if got := state(); got != before {
		t.Errorf("without --yes it is %s, not %s", got, before)
	}
	on("gap", "accept", "--source", "b", "--yes").want(t, command.ExitOK, "meridian.b.changes/0 is read from offset 0 on.\n\nDone. Next: syncer run --region a", "")
	const after = "0:0:0:1:9,1:3:0:0:0 0:1:refused,1:0:refused syncer gap accept,a-0"
	if got := state(); got != after {
		t.Errorf("then it is %s, not %s", got, after)
	}
	on("gap", "show").want(t, command.ExitOK, "a: no gap: of 2 shards looked at", "")
	on("gap", "accept", "--source", "b", "--yes").want(t, command.ExitFailed, "", "nothing was changed")
	if got := state(); got != after {
		t.Errorf("where there is no gap it became %s", got)
	}
	db.Exec("DROP DATABASE meridian")
	on("gap", "show").want(t, command.ExitFailed, "", "region a: reading where the sources stand")
}

func TestGap_NeedsTheDatabaseAndTheBus(t *testing.T) {
	invoke(t, "gap", "show", "--config", configure(t, twoRegions), "--region", "a").want(t, command.ExitFailed, "", "region a")
}
