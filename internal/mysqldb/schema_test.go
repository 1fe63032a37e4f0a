package mysqldb_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"meridian/internal/mysqldb"
)

func TestSchema_RemembersUntilDDLIsSeen(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		b.create("t", "id INT PRIMARY KEY")
		schema := mysqldb.NewSchema(b.server)
		columns := func() int {
			info, err := schema.Table(t.Context(), b.schema, "t")
			if err != nil {
				t.Fatal(err)
			}
			return len(info.Columns)
		}
		if n := columns(); n != 1 {
			t.Fatalf("%d columns", n)
		}
		b.exec("ALTER TABLE " + b.schema + ".t ADD COLUMN a INT")
		if n := columns(); n != 1 {
			t.Errorf("%d columns: it was not remembered", n)
		}
		schema.Forget(b.schema, "other")
		if n := columns(); n != 1 {
			t.Errorf("%d columns: it was forgotten with another table", n)
		}
		schema.Forget(b.schema, "t")
		if n := columns(); n != 2 {
			t.Errorf("%d columns: it was not forgotten", n)
		}
		b.exec("ALTER TABLE " + b.schema + ".t ADD COLUMN b INT")
		schema.Forget(b.schema, "")
		if n := columns(); n != 3 {
			t.Errorf("%d columns: it was not forgotten with its schema", n)
		}
		b.exec("DROP TABLE " + b.schema + ".t")
		schema.ForgetAll()
		if _, err := schema.Table(t.Context(), b.schema, "t"); !errors.Is(err, mysqldb.ErrNoTable) {
			t.Errorf("got %v", err)
		}
		b.exec("CREATE TABLE " + b.schema + ".t (id INT PRIMARY KEY)")
		if n := columns(); n != 1 {
			t.Errorf("%d columns after the table came back", n)
		}
	})
}

// gatedLoader announces each load and holds it until it is told what to answer.
type gatedLoader struct {
	loads chan chan error
}

func (g *gatedLoader) load(context.Context, string, string) (*mysqldb.TableInfo, error) {
	answer := make(chan error)
	g.loads <- answer
	if err := <-answer; err != nil {
		return nil, err
	}
	return &mysqldb.TableInfo{}, nil
}

func TestSchema_DoesNotRememberWhatWasReadBeforeItWasForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := &gatedLoader{loads: make(chan chan error, 4)}
		schema := mysqldb.NewSchemaOf(gate.load)
		got := make(chan *mysqldb.TableInfo, 4)
		ask := func() {
			info, err := schema.Table(t.Context(), "s", "t")
			if err != nil {
				t.Error(err)
			}
			got <- info
		}
		go ask()
		first := <-gate.loads
		go ask() // waits for the same
		synctest.Wait()
		schema.Forget("s", "t")
		go ask() // must ask the server itself
		synctest.Wait()
		if len(gate.loads) != 1 {
			t.Fatalf("%d loads after Forget, want 1", len(gate.loads))
		}
		second := <-gate.loads
		first <- nil
		old, alsoOld := <-got, <-got
		second <- nil
		fresh := <-got
		if old != alsoOld || old == fresh {
			t.Error("those who asked before Forget and after it do not have what they should")
		}
		if now, err := schema.Table(t.Context(), "s", "t"); err != nil || now != fresh {
			t.Errorf("what is remembered is not what was read last (%v)", err)
		}
	})
}

func TestSchema_TriesAgainWhenSomebodyElsesAttemptFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := &gatedLoader{loads: make(chan chan error, 4)}
		schema := mysqldb.NewSchemaOf(gate.load)
		fault := errors.New("connection lost")
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { _, err := schema.Table(t.Context(), "s", "t"); first <- err }()
		answer := <-gate.loads
		go func() { _, err := schema.Table(t.Context(), "s", "t"); second <- err }()
		impatient, cancel := context.WithCancel(t.Context())
		third := make(chan error, 1)
		go func() { _, err := schema.Table(impatient, "s", "t"); third <- err }()
		synctest.Wait()
		cancel()
		if err := <-third; !errors.Is(err, context.Canceled) {
			t.Errorf("one who went away got %v", err)
		}
		answer <- fault
		if err := <-first; !errors.Is(err, fault) {
			t.Errorf("the first got %v", err)
		}
		again := <-gate.loads
		again <- nil
		if err := <-second; err != nil {
			t.Errorf("the second got %v", err)
		}
	})
}
