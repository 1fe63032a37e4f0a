package findings

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"
)

// Record keeps a comparison with the rows that it found. covered tells of which tables it can say that no other row differs: what
// was open there and is not among found has ended. It returns what is new, and what has ended. All of it is kept, or nothing.
func (s *Store) Record(c Comparison, found []Finding, covered func(table string) bool) (begun, ended []Finding, err error) {
	err = s.update(func(tx *bbolt.Tx) error {
		begun, ended = nil, nil
		if err = putComparison(tx.Bucket(bucketComparisons), c); err != nil {
			return err
		}
		seen := map[string]bool{}
		for _, f := range found {
			isNew, failed := putFinding(tx.Bucket(bucketOpen), &f, c.Ended)
			if failed != nil {
				return failed
			}
			if isNew {
				begun = append(begun, f)
			}
			seen[string(f.place())] = true
		}
		if ended, err = endFindings(tx, seen, covered, c.Ended); err != nil {
			return err
		}
		return prune(tx, c.Ended.Add(-Retention))
	})
	return begun, ended, err
}

// AddRepairs keeps repairs.
func (s *Store) AddRepairs(repairs ...Repair) error {
	return s.update(func(tx *bbolt.Tx) error {
		for _, r := range repairs {
			if err := putAt(tx.Bucket(bucketRepairs), r.Time, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// Report tells what happened from since to until.
func (s *Store) Report(since, until time.Time) (*Report, error) {
	r := &Report{Since: since.UTC(), Until: until.UTC(), Comparisons: []Comparison{}, Findings: []Finding{}, Repairs: []Repair{}}
	err := s.view(func(tx *bbolt.Tx) (err error) {
		// A record of several comparisons may begin an hour before.
		if err = from(tx.Bucket(bucketComparisons), since.Add(-time.Hour), func(c Comparison) {
			if !c.Ended.Before(since) && !c.Began.After(until) {
				r.Comparisons = append(r.Comparisons, c)
			}
		}); err != nil {
			return err
		}
		inPeriod := func(f Finding) {
			if !f.First.After(until) {
				r.Findings = append(r.Findings, f)
			}
		}
		if err = from(tx.Bucket(bucketEnded), since, inPeriod); err != nil {
			return err
		}
		if err = from(tx.Bucket(bucketOpen), time.Time{}, inPeriod); err != nil {
			return err
		}
		return from(tx.Bucket(bucketRepairs), since, func(p Repair) {
			if !p.Time.After(until) {
				r.Repairs = append(r.Repairs, p)
			}
		})
	})
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return cmp.Or(a.First.Compare(b.First), cmp.Compare(a.Table, b.Table)) })
	return r, err
}

// place is under which an open finding stands.
func (f *Finding) place() []byte {
	parts := make([]string, len(f.Key))
	for i, k := range f.Key {
		parts[i] = fmt.Sprintf("%d:%s", len(k), k)
	}
	return append(append([]byte(f.Table), 0), strings.Join(parts, ",")...)
}

func putComparison(b *bbolt.Bucket, c Comparison) error {
	c.Count = 1
	if k, v := b.Cursor().Last(); k != nil {
		var last Comparison
		if err := read(v, &last); err != nil {
			return err
		}
		if c.continues(&last) {
			c.Began, c.Count, c.LongestSeconds = last.Began, last.Count+1, max(last.LongestSeconds, c.LongestSeconds)
			return put(b, k, c)
		}
	}
	return putAt(b, c.Began, c)
}

func putFinding(b *bbolt.Bucket, f *Finding, now time.Time) (isNew bool, err error) {
	f.First, f.Last = now, now
	at := f.place()
	if v := b.Get(at); v != nil {
		var was Finding
		if err = read(v, &was); err != nil {
			return false, err
		}
		f.First = was.First
	} else {
		isNew = true
	}
	return isNew, put(b, at, f)
}

func endFindings(tx *bbolt.Tx, seen map[string]bool, covered func(table string) bool, now time.Time) (ended []Finding, err error) {
	open := tx.Bucket(bucketOpen)
	var places [][]byte
	err = open.ForEach(func(k, v []byte) error {
		table, _, _ := bytes.Cut(k, []byte{0})
		if seen[string(k)] || !covered(string(table)) {
			return nil
		}
		var f Finding
		if failed := read(v, &f); failed != nil {
			return failed
		}
		f.Ended = now
		ended, places = append(ended, f), append(places, bytes.Clone(k))
		return nil
	})
	for i := range ended {
		if err == nil {
			err = putAt(tx.Bucket(bucketEnded), now, ended[i])
		}
		if err == nil {
			err = open.Delete(places[i])
		}
	}
	return ended, err
}

// pruneAtOnce is how many records of each kind are forgotten in one transaction, at most.
const pruneAtOnce = 1000

func prune(tx *bbolt.Tx, before time.Time) error {
	end := timeKey(before)
	for _, name := range [][]byte{bucketComparisons, bucketEnded, bucketRepairs} {
		b := tx.Bucket(name)
		var old [][]byte
		c := b.Cursor()
		for k, _ := c.First(); k != nil && len(old) < pruneAtOnce && bytes.Compare(k, end) < 0; k, _ = c.Next() {
			old = append(old, bytes.Clone(k))
		}
		for _, k := range old {
			if err := b.Delete(k); err != nil {
				return err
			}
		}
	}
	return nil
}

// timeKey sorts by time.
func timeKey(t time.Time) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(max(t.UnixMicro(), 0)))
}

// putAt keeps a record by its time, behind those of the same one.
func putAt(b *bbolt.Bucket, at time.Time, record any) error {
	n, err := b.NextSequence()
	if err != nil {
		return err
	}
	return put(b, binary.BigEndian.AppendUint64(timeKey(at), n), record)
}

func put(b *bbolt.Bucket, key []byte, record any) error {
	v, err := json.Marshal(record)
	if err != nil {
		return err
	}
	return b.Put(bytes.Clone(key), v)
}

func read(v []byte, record any) error {
	if err := json.Unmarshal(v, record); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

// from gives the records from a time on; all, for the zero time.
func from[T any](b *bbolt.Bucket, since time.Time, each func(T)) error {
	c := b.Cursor()
	k, v := c.First()
	if !since.IsZero() {
		k, v = c.Seek(timeKey(since))
	}
	for ; k != nil; k, v = c.Next() {
		var record T
		if err := read(v, &record); err != nil {
			return err
		}
		each(record)
	}
	return nil
}
