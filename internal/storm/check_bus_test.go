package storm_test

import (
	"fmt"
	"time"

	"go.uber.org/zap"

	"meridian/internal/bus"
	"meridian/internal/envelope"
	"meridian/internal/row"
)

const waitForEnd = 10 * time.Second

// published is one change in a region's topic.
type published struct {
	region  string
	shard   int
	offset  int64
	stale   bool // of an epoch that was over: readers pass over it
	kind    envelope.Kind
	epoch   uint64
	origin  string // the region that says that it has published it
	gtid    string
	ordinal uint64
	op      row.Op
	table   string
	key     row.Key
	version row.Version
	over    row.Version // what it overwrote
	digest  uint64
	at      rowName
	token   string // of the row after it; "" for a delete
}

// place names a local change: its transaction and its number in it.
type changeName struct {
	region, gtid string
	ordinal      uint64
}

// topics reads all change topics, and checks that they hold each local change, and nothing else.
func (i *inspection) topics() {
	i.w.t.Helper()
	client, err := bus.Dial(busConfig(i.w.busPort.Address(), zap.NewNop()))
	i.w.must("reaching the bus", err)
	defer client.Close()
	for _, g := range i.w.regions {
		for shard := range i.w.shards {
			if err := i.readTopic(client, g, shard); err != nil {
				i.report("bus", err.Error())
			}
		}
	}
	i.echoes()
}

func (i *inspection) readTopic(client *bus.Client, g *region, shard int) error {
	first, end, err := client.Offsets(i.ctx, topicOf(g.name), shard)
	if err != nil {
		return err
	}
	if first != 0 {
		return fmt.Errorf("%s/%d begins at %d", topicOf(g.name), shard, first)
	}
	epoch := uint64(0)
	for at := first; at < end; {
		records, next, _, err := client.Fetch(i.ctx, topicOf(g.name), shard, at, 4<<20, time.Second)
		if err != nil {
			return err
		}
		for k := range records {
			m, err := envelope.Decode(&records[k])
			if err != nil {
				i.report("bus", fmt.Sprintf("%s/%d, offset %d: %v", topicOf(g.name), shard, records[k].Offset, err))
				continue
			}
			stale := m.Epoch < epoch
			epoch = max(epoch, m.Epoch)
			if m.Change != nil {
				i.records = append(i.records, i.understand(g.name, shard, records[k].Offset, stale, m))
			}
		}
		at = next
	}
	return nil
}

func (i *inspection) understand(region string, shard int, offset int64, stale bool, m *envelope.Message) published {
	c := m.Change
	p := published{
		region: region, shard: shard, offset: offset, stale: stale, kind: m.Kind, epoch: m.Epoch, origin: m.Source.Region,
		gtid: m.Source.GTID, ordinal: m.Source.Ordinal, op: c.Op, table: c.Table.String(), key: c.Key, version: c.Version, over: c.Overwrote, digest: c.Digest,
	}
	texts := []string(nil)
	for _, v := range c.KeyValues() {
		texts = append(texts, keyText(v))
	}
	p.at = rowName{c.Table.Name, ""}
	if t := i.w.table(c.Table.Name); t != nil {
		p.at.row = t.identity(texts)
	}
	if c.After != nil {
		p.token = string(c.After[c.Table.Column("token")].Bytes)
	}
	return p
}

func keyText(v row.Value) string {
	if v.Kind == row.Int || v.Kind == row.Uint {
		return fmt.Sprint(v.Int64())
	}
	return string(v.Bytes)
}

// written names what a statement did to a row.
type written struct {
	rowName
	token string
}

// echoes compares what is published with what was committed.
func (i *inspection) echoes() {
	i.w.t.Helper()
	want, wantCount := map[string]map[written]int{}, map[string]int{}
	for _, g := range i.w.regions {
		want[g.name] = map[written]int{}
	}
	for _, t := range i.w.history.transactions {
		if t.Outcome != committed {
			continue
		}
		for _, w := range t.Writes {
			want[t.Region][written{rowName{w.Table, w.Row}, w.Token}]++
		}
		wantCount[t.Region] += t.Changes
	}
	names := map[changeName]published{}
	newest := map[string]map[rowName]row.Version{}
	got, again := map[string]int{}, 0
	for _, p := range i.records {
		if i.w.repairs && p.kind == envelope.Repair && p.origin == p.region {
			i.repaired(&p)
			continue
		}
		v, id := p.version, changeName{p.region, p.gtid, p.ordinal}
		if v.Region != p.region || p.origin != p.region || p.kind != envelope.Change {
			i.reportRow("echo", p.at, fmt.Sprintf("%s/%d has at offset %d a %s of %s, version %s", topicOf(p.region), p.shard, p.offset, p.kind, p.origin, v))
		}
		if before, ok := names[id]; ok {
			if again++; before.version != v || before.digest != p.digest || before.at != p.at {
				i.reportRow("version given twice", p.at, fmt.Sprintf("%+v is published as %s and as %s", id, before.version, v))
			}
			continue
		}
		if p.stale {
			continue
		}
		names[id] = p
		got[p.region]++
		if newest[p.region] == nil {
			newest[p.region] = map[rowName]row.Version{}
		}
		if last := newest[p.region][p.at]; !v.Newer(last) {
			i.reportRow("versions out of order", p.at, fmt.Sprintf("%s stamped %s after %s", p.region, v, last))
		}
		newest[p.region][p.at] = v
		left := want[p.region]
		if left[written{p.at, p.token}]--; left[written{p.at, p.token}] < 0 {
			i.reportRow("echo", p.at, fmt.Sprintf("%s has published %q at %d/%d, which its clients have not committed", p.region, p.token, p.shard, p.offset))
		}
	}
	for region, left := range want {
		for what, n := range left {
			if n > 0 {
				i.reportRow("not published", what.rowName, fmt.Sprintf("%d times %q, committed in %s", n, what.token, region))
			}
		}
		if got[region] != wantCount[region] {
			i.report("count", fmt.Sprintf("%s has published %d changes, its clients have committed %d", region, got[region], wantCount[region]))
		}
	}
	i.counts += fmt.Sprintf("%d records, %d of them published twice, %d repairs; ", len(i.records), again, i.repairs)
}

// repaired checks that a row that was published again is, version and all, one that its writer's region has published.
func (i *inspection) repaired(p *published) {
	if i.originals == nil {
		i.originals = map[rowVersion]uint64{}
		for _, o := range i.records {
			if o.kind == envelope.Change {
				i.originals[rowVersion{o.at, o.version}] = o.digest
			}
		}
	}
	i.repairs++
	if digest, ok := i.originals[rowVersion{p.at, p.version}]; !ok || digest != p.digest {
		i.reportRow("invented", p.at, fmt.Sprintf("%s has published at %d/%d a repair of version %s that nobody wrote so", p.region, p.shard, p.offset, p.version))
	}
}

// rowVersion is one version of one row.
type rowVersion struct {
	rowName
	version row.Version
}

// provenance checks in every region that what was read has ended in exactly one way, and that all was read.
func (i *inspection) provenance() {
	i.w.t.Helper()
	for _, g := range i.w.regions {
		for _, source := range i.w.regions {
			for shard := range i.w.shards {
				if source != g {
					i.conserve(g, source.name, shard)
				}
			}
		}
	}
}

func (i *inspection) conserve(g *region, source string, shard int) {
	i.w.t.Helper()
	var next int64
	var read, ended, aside, rejected int
	err := g.sql.QueryRowContext(i.ctx, "SELECT next_offset, changes_read, applied + duplicate + lost + coalesced + superseded + discarded, rejected, "+
		"(SELECT COUNT(*) FROM meridian.parked k WHERE k.source = p.source AND k.shard = p.shard AND k.state <> 'rejected') "+
		"FROM meridian.provenance p WHERE source = ? AND shard = ?", source, shard).Scan(&next, &read, &ended, &rejected, &aside)
	if err != nil {
		i.report("provenance", fmt.Sprintf("%s, of %s/%d: %v", g.name, source, shard, err))
		return
	}
	there, behind := 0, 0
	for k := range i.records {
		if p := &i.records[k]; p.region == source && p.shard == shard && !p.stale {
			if p.offset < next {
				there++
			} else {
				behind++
			}
		}
	}
	if read != ended+aside || read != there || behind > 0 || rejected > 0 {
		i.report("conservation", fmt.Sprintf("%s, of %s/%d: %d read, %d ended, %d set aside, %d in the topic before offset %d, %d behind it, %d rejected",
			g.name, source, shard, read, ended, aside, there, next, behind, rejected))
	}
	i.aside += aside
}
