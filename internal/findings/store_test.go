package findings

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func everything(string) bool { return true }

func opened(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(path, func(damage error) { t.Logf("set aside: %v", damage) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func compared(at time.Time, outcome string) Comparison {
	return Comparison{Began: at, Ended: at.Add(time.Second), LongestSeconds: 1, Outcome: outcome}
}

func (s *Store) record(t *testing.T, c Comparison, covered func(string) bool, found ...Finding) (begun, ended []Finding) {
	t.Helper()
	begun, ended, err := s.Record(c, found, covered)
	if err != nil {
		t.Fatal(err)
	}
	return begun, ended
}

func (s *Store) report(t *testing.T, since, until time.Time) *Report {
	t.Helper()
	r, err := s.Report(since, until)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A finding lasts from the first comparison that has it until one that covers its table and has it no more; a restart is no end.
func TestStore_FollowsAFindingFromItsFirstToItsLast(t *testing.T) {
	path := filepath.Join(t.TempDir(), "findings.db")
	f := Finding{Table: "shop.orders", Key: []string{"7", "a,b"}, Kind: "missing", Winner: "a", Wrong: []string{"b"}}
	s, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if begun, ended := s.record(t, compared(noon, Differ), everything, f); len(begun) != 1 || len(ended) != 0 {
		t.Fatalf("%v, %v", begun, ended)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = opened(t, path)
	later := noon.Add(time.Minute)
	if begun, ended := s.record(t, compared(later, Differ), everything, f); len(begun) != 0 || len(ended) != 0 {
		t.Errorf("the same again: %v, %v", begun, ended)
	}
	nothing := func(string) bool { return false }
	if _, ended := s.record(t, compared(later.Add(time.Minute), Unknown), nothing); len(ended) != 0 {
		t.Errorf("a comparison that does not know ends it: %v", ended)
	}
	if _, ended := s.record(t, compared(later.Add(2*time.Minute), Equal), everything); len(ended) != 1 || !ended[0].First.Equal(noon.Add(time.Second)) {
		t.Errorf("%v", ended)
	}
	r := s.report(t, noon, later.Add(time.Hour))
	if len(r.Findings) != 1 || r.Findings[0].Ended.IsZero() || len(r.Comparisons) != 3 || r.Comparisons[0].Count != 2 {
		t.Errorf("%+v", r)
	}
	if r = s.report(t, later.Add(time.Hour), later.Add(2*time.Hour)); len(r.Findings) != 0 || len(r.Comparisons) != 0 {
		t.Errorf("later: %+v", r)
	}
}

func TestStore_KeepsEachRepairAndEachComparison(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "findings.db"))
	for n := range 10 {
		s.record(t, compared(noon.Add(time.Duration(n)*time.Minute), Equal), everything)
	}
	s.record(t, compared(noon.Add(time.Hour), Equal), everything)
	if err := s.AddRepairs(Repair{Time: noon, Key: []string{"1"}, Region: "b", Outcome: "repaired"}, Repair{Time: noon, Key: []string{"2"}, Region: "c", Outcome: "failed"}); err != nil {
		t.Fatal(err)
	}
	r := s.report(t, noon, noon.Add(2*time.Hour))
	if len(r.Repairs) != 2 || len(r.Comparisons) != 2 || r.Comparisons[0].Count != 10 || r.Comparisons[1].Count != 1 {
		t.Errorf("%+v", r)
	}
}

func TestStore_ForgetsWhatIsOldAndNotWhatStillDiffers(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "findings.db"))
	open, over := Finding{Table: "t", Key: []string{"1"}}, Finding{Table: "t", Key: []string{"2"}}
	s.record(t, compared(noon, Differ), everything, open, over)
	s.record(t, compared(noon.Add(time.Minute), Differ), everything, open)
	if err := s.AddRepairs(Repair{Time: noon}); err != nil {
		t.Fatal(err)
	}
	s.record(t, compared(noon.Add(Retention+time.Hour), Differ), everything, open)
	r := s.report(t, noon.Add(-time.Hour), noon.Add(2*Retention))
	if len(r.Comparisons) != 1 || len(r.Repairs) != 0 || len(r.Findings) != 1 || r.Findings[0].Key[0] != "1" || !r.Findings[0].First.Equal(noon.Add(time.Second)) {
		t.Errorf("%+v", r)
	}
}

func TestOpen_TellsASecondProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "findings.db")
	opened(t, path)
	if _, err := Open(path, nil); !errors.Is(err, ErrLocked) {
		t.Errorf("to write: %v", err)
	}
	if _, err := OpenToRead(path); !errors.Is(err, ErrLocked) {
		t.Errorf("to read: %v", err)
	}
}

func TestOpen_SetsADamagedFileAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "findings.db")
	if err := os.WriteFile(path, []byte("this was a database once, and is none any more"), 0o600); err != nil {
		t.Fatal(err)
	}
	told := false
	s, err := Open(path, func(damage error) { told = errors.Is(damage, ErrDamaged) })
	if err != nil || !told {
		t.Fatalf("%v, told %v", err, told)
	}
	defer s.Close()
	if _, err := os.Stat(path + ".damaged"); err != nil {
		t.Error(err)
	}
	s.record(t, compared(noon, Equal), everything)
	if err := s.Renew(); err != nil { // as when damage is met later
		t.Fatal(err)
	}
	if r := s.report(t, noon, noon.Add(time.Hour)); len(r.Comparisons) != 0 {
		t.Errorf("%+v", r)
	}
}
