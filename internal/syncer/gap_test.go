package syncer_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"meridian/internal/bus"
	"meridian/internal/envelope"
	"meridian/internal/propagate"
	"meridian/internal/row"
	"meridian/internal/syncer"
)

// makeAnew deletes a topic, makes it again, and gives the offset at which the old one's only partition ended.
func (r *regions) makeAnew(topic string) (end int64) {
	r.t.Helper()
	c := r.client()
	_, end, err := c.Offsets(r.t.Context(), topic, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	admin := &kafka.Client{Addr: kafka.TCP(r.broker.Addr()), Transport: &kafka.Transport{}}
	defer admin.Transport.(*kafka.Transport).CloseIdleConnections()
	res, err := admin.DeleteTopics(r.t.Context(), &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	if err != nil || res.Errors[topic] != nil {
		r.t.Fatal(err, res)
	}
	eventually(r.t, "the topic is there again", func() error {
		return c.EnsureTopic(r.t.Context(), bus.Topic{Name: topic, Partitions: 1, ReplicationFactor: 1})
	})
	return end
}

func (r *regions) client() *bus.Client {
	r.t.Helper()
	c, err := bus.Dial(r.broker.ClientConfig())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if err := c.Close(); err != nil {
			r.t.Error(err)
		}
	})
	return c
}

// produce appends records to the region's only partition.
func (g *region) produce(records ...bus.Record) {
	g.t.Helper()
	c := g.all.client()
	for part := range slices.Chunk(records, 500) {
		eventually(g.t, "the records are on the bus", func() error {
			_, err := c.Produce(g.t.Context(), g.cfg.Topic, 0, part)
			return err
		})
	}
}

// waitGap waits until the region shows a gap in what it reads of another region: in its status, and as a reason of not being
// ready.
func (g *region) waitGap() {
	g.t.Helper()
	eventually(g.t, g.name+" shows a gap", func() error { return g.showsGap() })
}

func (g *region) showsGap() error {
	const words = "the topic was made anew"
	st := g.syncer.Status()
	if !strings.Contains(st.Sources[0].Error, words) {
		return fmt.Errorf("the status of the source is %+v", st.Sources[0])
	}
	if st.Ready || !slices.ContainsFunc(st.Reasons, func(s string) bool { return strings.HasPrefix(s, "source a: ") && strings.Contains(s, words) }) {
		return fmt.Errorf("the reasons are %q", st.Reasons)
	}
	return nil
}

// What was on a topic that was made anew is lost. That is announced once, shown, and does not pass when the new topic grows
// past the place: not while the process runs, and not at its next start.
func TestGap_OfATopicThatWasMadeAnewIsAnnouncedAndStays(t *testing.T) {
	core, logs := observer.New(zap.ErrorLevel)
	a, b, _, r := two(t, ordersDDL, func(c *syncer.Config) {
		c.Log = c.Log.WithOptions(zap.WrapCore(func(was zapcore.Core) zapcore.Core { return zapcore.NewTee(was, core) }))
	})
	a.produce(bus.Record{Value: []byte("set aside at an offset that comes again")})
	a.exec("INSERT INTO orders VALUES (1, 'x', 1)")
	r.waitRows(all, "\"1\" \"x\" \"1\" \n")
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	end := r.makeAnew(a.cfg.Topic)
	b.waitGap()
	others := make([]bus.Record, end+10)
	for i := range others {
		others[i].Value = []byte("what nobody has read")
	}
	a.produce(others...)
	for i := range 3 { // starts of b, the first of which has seen the gap come
		b.waitGap()
		announced := func() int { return logs.FilterMessageSnippet("changes of another region are lost").Len() }
		eventually(t, "it is announced", func() error { // the status has it a moment before the log
			if announced() == 0 {
				return errors.New("not yet")
			}
			return nil
		})
		if n := announced(); n != 1 {
			t.Errorf("it was announced %d times", n)
		}
		if n := b.rows("SELECT COUNT(*) FROM meridian.parked"); n != "\"1\" \n" {
			t.Errorf("records of the new topic were read: %s are set aside", n)
		}
		if err := b.end(); err != nil {
			t.Fatal(err)
		}
		logs.TakeAll()
		if i < 2 {
			b.start()
		}
	}

	// What a person does who has compared the regions: the new topic is read from its beginning.
	b.acceptGap("a")
	b.start()
	a.start()
	a.exec("INSERT INTO orders VALUES (2, 'x', 1)")
	r.waitRows(all, "\"1\" \"x\" \"1\" \n\"2\" \"x\" \"1\" \n")
	b.waitCount("rejected_records_total", map[string]string{"source": "a"}, float64(len(others)))
	b.waitReady()
}

// acceptGap does what `syncer gap accept` does about the only partition of a source.
func (g *region) acceptGap(source string) {
	g.t.Helper()
	gap, err := g.findGap(source)
	if err != nil || gap == nil {
		g.t.Fatalf("there is no gap (%v)", err)
	}
	if err := propagate.AcceptGap(g.t.Context(), g.open(), "a person", gap, time.Now()); err != nil {
		g.t.Fatal(err)
	}
}

func (g *region) findGap(source string) (*propagate.Gap, error) {
	g.t.Helper()
	places, err := propagate.SourcePlaces(g.t.Context(), g.open())
	if err != nil {
		g.t.Fatal(err)
	}
	for _, s := range g.cfg.Sources {
		for _, at := range places {
			if s.Region == source && at.Source == source {
				return propagate.FindGap(g.t.Context(), g.all.client(), s.Topic, at)
			}
		}
	}
	g.t.Fatalf("%s does not read %s", g.name, source)
	return nil, nil
}

// A process that runs while a gap is accepted is fenced off: it holds another place than the database has now. Its successor
// goes on from there. Accepted is only what was looked at.
func TestGap_AcceptingItFencesARunningProcess(t *testing.T) {
	a, b, _, r := two(t, ordersDDL)
	a.exec("INSERT INTO orders VALUES (1, 'x', 1)")
	r.waitRows(all, "\"1\" \"x\" \"1\" \n")
	r.waitSettled()
	if gap, err := b.findGap("a"); gap != nil || err != nil {
		t.Fatalf("with nothing lost there is %+v, %v", gap, err)
	}
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	r.makeAnew(a.cfg.Topic)
	b.waitGap()
	if said := b.syncer.Status().Sources[0].Error; !strings.Contains(said, "syncer gap show --region b --source a") {
		t.Errorf("the status does not name the command: %s", said)
	}
	gap, err := b.findGap("a")
	if err != nil || gap == nil {
		t.Fatalf("there is no gap (%v)", err)
	}
	elsewhere := *gap
	elsewhere.Next++
	if err = propagate.AcceptGap(t.Context(), b.open(), "a person", &elsewhere, time.Now()); !errors.Is(err, propagate.ErrMovedMeanwhile) {
		t.Errorf("what has moved is accepted: %v", err)
	}
	b.acceptGap("a")
	select {
	case err := <-b.done:
		b.done <- nil
		if !errors.Is(err, propagate.ErrFenced) {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it runs on")
	}
	b.start()
	a.start()
	a.exec("INSERT INTO orders VALUES (2, 'x', 1)")
	r.waitRows(all, "\"1\" \"x\" \"1\" \n\"2\" \"x\" \"1\" \n")
	b.waitReady()
	r.conserved()
}

// What another region's epoch marker says is not the topic's owner's word: it would silence the owner.
func TestRejected_AForeignEpochMarkerSilencesNobody(t *testing.T) {
	a, b, _, r := two(t, ordersDDL)
	a.exec("INSERT INTO orders VALUES (1, 'x', 1)")
	r.waitRows(all, "\"1\" \"x\" \"1\" \n")
	const never = 1 << 62
	for _, start := range []envelope.EpochStart{{Region: "elsewhere", Epoch: never}, {Region: "a", Shard: 7, Epoch: never}} {
		rec, err := envelope.Encode(&envelope.Message{Kind: envelope.Epoch, Epoch: never, Source: envelope.Source{Region: start.Region}, Start: &start})
		if err != nil {
			t.Fatal(err)
		}
		a.produce(rec)
	}
	a.exec("INSERT INTO orders VALUES (2, 'x', 1)")
	r.waitRows(all, "\"1\" \"x\" \"1\" \n\"2\" \"x\" \"1\" \n")
	b.waitCount("rejected_records_total", map[string]string{"source": "a"}, 2)
}

// The local writes to a table that is not replicated are in no ledger: another region's changes to it are not applied.
func TestRejected_AChangeToATableThatIsNotReplicatedIsSetAside(t *testing.T) {
	a, b, _, r := two(t, ordersDDL)
	a.exec("INSERT INTO orders VALUES (1, 'x', 1)")
	r.waitRows(all, "\"1\" \"x\" \"1\" \n")
	private := r.schema + "_private"
	b.exec("CREATE DATABASE " + private)
	defer b.exec("DROP DATABASE " + private)
	b.exec("CREATE TABLE " + private + ".orders LIKE orders")
	b.exec("INSERT INTO " + private + ".orders VALUES (1, 'mine', 1)")
	m := *r.published(a)[0]
	c := *m.Change
	c.Table = row.NewTable(private, "orders", c.Table.Columns, c.Table.PrimaryKey)
	c.Version.Time += 1_000_000
	c.Digest = c.Table.Digest(c.Key, c.After)
	m.Change = &c
	rec, err := envelope.Encode(&m)
	if err != nil {
		t.Fatal(err)
	}
	a.produce(rec)
	want := fmt.Sprintf("%q \"rejected\" \"not_replicated\" \n", private+".orders")
	eventually(t, "it is set aside", func() error {
		if got := b.rows("SELECT table_name, state, reason FROM meridian.parked"); got != want {
			return errors.New(got)
		}
		return nil
	})
	if got := b.rows("SELECT item FROM " + private + ".orders"); got != "\"mine\" \n" {
		t.Errorf("the row is now %s", got)
	}
	r.conserved()
}

// A change that was parked while its table was replicated here is not applied once it no longer is.
func TestParked_AChangeWaitsWhileItsTableIsNotReplicated(t *testing.T) {
	a, b, _, r := two(t, ordersDDL)
	a.exec("ALTER TABLE orders ADD note VARCHAR(20)")
	a.exec("INSERT INTO orders VALUES (1, 'x', 1, 'noted')")
	parked := func(want string) {
		t.Helper()
		eventually(t, "the change is set aside: "+want, func() error {
			if got := b.rows("SELECT state, reason FROM meridian.parked"); got != want {
				return errors.New(got)
			}
			return nil
		})
	}
	parked("\"waiting\" \"missing_column\" \n")
	if err := b.end(); err != nil {
		t.Fatal(err)
	}
	b.cfg.Tables = tables{schema: "another"}
	b.exec("ALTER TABLE orders ADD note VARCHAR(20)")
	b.start()
	parked("\"waiting\" \"not_replicated\" \n")
	if got := b.rows("SELECT * FROM orders"); got != "" {
		t.Errorf("it was applied: %s", got)
	}
	if err := b.end(); err != nil {
		t.Fatal(err)
	}
	b.cfg.Tables = tables{schema: r.schema}
	b.start()
	r.waitRows("SELECT * FROM orders", "\"1\" \"x\" \"1\" \"noted\" \n")
}

// A version that cannot read what a newer one has published in its place must not take over.
func TestOpen_TellsThatANewerVersionHasPublished(t *testing.T) {
	a, _, _, _ := two(t, ordersDDL)
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	a.produce(bus.Record{Headers: []bus.Header{
		{Key: "meridian-origin", Value: []byte("a")}, {Key: "meridian-kind", Value: []byte("change")}, {Key: "meridian-meta", Value: []byte{200, 1}},
	}})
	a.start()
	select {
	case err := <-a.done:
		a.done <- nil
		var newer *envelope.NewerFormatError
		if !errors.As(err, &newer) || newer.Format != 200 {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("it runs")
	}
}
