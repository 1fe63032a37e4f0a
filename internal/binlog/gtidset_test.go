package binlog

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/go-mysql-org/go-mysql/mysql"
)

const (
	uuidA = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
	uuidB = "4e11fa47-71ca-11e1-9e33-c80aa9429562"
)

func mustSet(t *testing.T, text string) gtidSet {
	t.Helper()
	s, err := parseGTIDSet(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestGTIDSet_ReadsAndWritesWhatTheServerDoes(t *testing.T) {
	for _, c := range []struct{ in, out string }{
		{"", ""},
		{uuidA + ":1", uuidA + ":1"},
		{uuidA + ":5:1-3:4", uuidA + ":1-5"},
		{uuidB + ":1,\n" + uuidA + ":2-3:7", uuidA + ":2-3:7," + uuidB + ":1"},
		{uuidA + ":1-3:blue:4-5:Red:1, " + uuidA + ":9", uuidA + ":1-3:9:blue:4-5:red:1"},
		{uuidA + ":blue:1", uuidA + ":blue:1"},
	} {
		if got := mustSet(t, c.in).String(); got != c.out {
			t.Errorf("%q: got %q, want %q", c.in, got, c.out)
		}
		// go-mysql is what other tools read these with; its encoding is the protocol's.
		other, err := mysql.ParseMysqlGTIDSet(c.in)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(mustSet(t, c.in).encode(), other.Encode()) {
			t.Errorf("%q is encoded as %x, go-mysql gives %x", c.in, mustSet(t, c.in).encode(), other.Encode())
		}
	}
	for _, bad := range []string{"x", uuidA, uuidA + ":", uuidA + ":3-1", uuidA + ":0", uuidA + ":1-", uuidA + "::1", "zz11fa47-71ca-11e1-9e33-c80aa9429562:1", uuidA + ":99999999999999999999"} {
		if s, err := parseGTIDSet(bad); err == nil {
			t.Errorf("%q is read as %s", bad, s)
		}
	}
}

// A set of numbers is the model.
func TestGTIDSet_IsASet(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	of := []source{{uuid: [16]byte{1}}, {uuid: [16]byte{1}, tag: "x"}, {uuid: [16]byte{2}}}
	for range 200 {
		var sets [2]gtidSet
		var models [2]map[string]bool
		for i := range sets {
			models[i] = map[string]bool{}
			for range random.IntN(20) {
				s := of[random.IntN(len(of))]
				first := 1 + random.Int64N(40)
				v := interval{first, first + random.Int64N(5)}
				sets[i] = sets[i].with(s, v)
				for n := v.first; n <= v.last; n++ {
					models[i][gtidText(s, n)] = true
				}
			}
		}
		left := sets[0].minus(sets[1])
		for _, s := range of {
			for n := int64(1); n < 50; n++ {
				text := gtidText(s, n)
				for i := range sets {
					if sets[i].contains(s, n) != models[i][text] {
						t.Fatalf("%s in %s: %v", text, sets[i], !models[i][text])
					}
				}
				if want := models[0][text] && !models[1][text]; left.contains(s, n) != want {
					t.Fatalf("%s minus %s has %s: %v", sets[0], sets[1], text, !want)
				}
			}
		}
		if got := mustSet(t, sets[0].String()); got.String() != sets[0].String() {
			t.Fatalf("%s is read as %s", sets[0], got)
		}
	}
}

// The state says the same as a set that every transaction was added to, and older states keep what they said.
func TestState_GrowsLikeASet(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	of := []source{{uuid: [16]byte{1}}, {uuid: [16]byte{1}, tag: "x"}}
	s, err := newState(Position{GTIDs: uuidA + ":1-5"}, false)
	if err != nil {
		t.Fatal(err)
	}
	model := s.executed()
	next := [2]int64{1, 1}
	said := map[*state]string{}
	for range 300 {
		i := 0
		if random.IntN(8) == 0 {
			i = 1
		}
		n := next[i]
		if random.IntN(10) == 0 {
			n += 3 // a gap, filled or not
		}
		next[i]++
		s = s.withMySQL(of[i], n)
		model = model.with(of[i], interval{n, n})
		if !s.has(of[i], n) {
			t.Fatalf("%s lacks %s", s, gtidText(of[i], n))
		}
		if s.String() != model.String() {
			t.Fatalf("got %s, want %s", s, model)
		}
		said[s] = s.String()
	}
	for old, text := range said {
		if old.String() != text {
			t.Fatalf("%s has become %s", text, old)
		}
	}
}

func TestGTIDList_KeepsTheLastOfEachDomain(t *testing.T) {
	l, err := parseGTIDList(" 1-2-5, 0-1-100,0-7-99")
	if err != nil {
		t.Fatal(err)
	}
	if l.String() != "0-1-100,1-2-5" {
		t.Errorf("got %s", l)
	}
	if next := l.with(mariaGTID{0, 3, 101}).with(mariaGTID{4, 1, 1}); next.String() != "0-3-101,1-2-5,4-1-1" || l.String() != "0-1-100,1-2-5" {
		t.Errorf("got %s, and the old one is %s", next, l)
	}
	for _, bad := range []string{"1", "1-2", "a-1-1", "1-a-1", "1-1-a", "1-1--1", "1-2-3-4"} {
		if l, err := parseGTIDList(bad); err == nil {
			t.Errorf("%q is read as %s", bad, l)
		}
	}
}

// Passing a transaction costs the same however many intervals the set has.
func BenchmarkState_NextTransaction(b *testing.B) {
	for _, intervals := range []int{1, 10000} {
		b.Run(fmt.Sprint(intervals), func(b *testing.B) {
			var set gtidSet
			in := make([]interval, intervals)
			for i := range in {
				in[i] = interval{int64(3 * i), int64(3*i + 1)}
			}
			set = gtidSet{{source: source{uuid: [16]byte{9}}, intervals: in}}
			s := &state{set: set}
			of := source{uuid: [16]byte{1}}
			b.ReportAllocs()
			for i := range b.N {
				s = s.withMySQL(of, int64(i+1))
			}
		})
	}
}
