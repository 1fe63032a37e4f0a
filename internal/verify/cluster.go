package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"meridian/internal/inspect"
)

// Cluster is all regions, each by those of its processes that share its shards.
type Cluster map[string][]inspect.Region

// view is what the regions said they have to compare, and whom to ask about what.
type view struct {
	regions []string // all, sorted
	shards  int
	owner   map[string]map[int]inspect.Region // by region and shard
	tables  map[string]map[string]*tableView  // by table and region

	mu      sync.Mutex // guards missing
	missing []Unreachable
}

// tableView is a table in one region, over all its processes.
type tableView struct {
	scanned bool
	key     string // what the keys are made from; "": not known
	sums    map[int]inspect.ShardSum
}

var errShards = errors.New("the regions are configured with different numbers of shards (bus.partitions)")

// look asks every process of every region what there is. A process that does not answer, or is not ready, makes its shards
// unknown, never equal.
func (c Cluster) look(ctx context.Context) (*view, error) {
	v := &view{regions: slices.Sorted(maps.Keys(c)), owner: map[string]map[int]inspect.Region{}, tables: map[string]map[string]*tableView{}}
	var mu sync.Mutex
	var all sync.WaitGroup
	var failed error
	for _, region := range v.regions {
		v.owner[region] = map[int]inspect.Region{}
	}
	for _, region := range v.regions {
		for _, process := range c[region] {
			all.Go(func() {
				o, err := process.Overview(ctx)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					err = v.add(region, process, o)
				}
				if errors.Is(err, errShards) {
					failed = err
				} else if err != nil {
					v.missing = append(v.missing, Unreachable{Region: region, Reason: err.Error()})
				}
			})
		}
	}
	all.Wait()
	if failed != nil || ctx.Err() != nil {
		return nil, errors.Join(failed, ctx.Err())
	}
	for _, region := range v.regions {
		if n := v.shards - len(v.owner[region]); n > 0 && !slices.ContainsFunc(v.missing, func(u Unreachable) bool { return u.Region == region }) {
			v.missing = append(v.missing, Unreachable{Region: region, Reason: fmt.Sprintf("%d of its %d shards have no process that answers for them", n, v.shards)})
		}
	}
	return v, nil
}

func (v *view) add(region string, process inspect.Region, o *inspect.Overview) error {
	if o.Region != region {
		return fmt.Errorf("the process that should be %s says that it is %s: look at admin.url", region, o.Region) //nolint:err113 // it is only told
	}
	if v.shards != 0 && v.shards != o.Shards {
		return fmt.Errorf("%w: %s has %d, others have %d", errShards, region, o.Shards, v.shards)
	}
	v.shards = o.Shards
	for _, s := range o.Owned {
		v.owner[region][s] = process
	}
	for _, t := range o.Tables {
		if v.tables[t.Table] == nil {
			v.tables[t.Table] = map[string]*tableView{}
		}
		tv := v.tables[t.Table][region]
		if tv == nil {
			tv = &tableView{scanned: true, sums: map[int]inspect.ShardSum{}}
			v.tables[t.Table][region] = tv
		}
		tv.scanned = tv.scanned && t.Scanned
		if t.Key != "" {
			tv.key = t.Key
		}
		for _, s := range t.Sums {
			tv.sums[s.Shard] = s
		}
	}
	return nil
}

// asked gives the regions that can be asked about a shard.
func (v *view) asked(shard int) []string {
	var list []string
	for _, r := range v.regions {
		if v.owner[r][shard] != nil {
			list = append(list, r)
		}
	}
	return list
}

// each asks the regions about a shard at the same time. One that fails is noted as unreachable, and left out.
func each[T any](ctx context.Context, v *view, shard int, ask func(ctx context.Context, r inspect.Region) (T, error)) map[string]T {
	answers := map[string]T{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, region := range v.asked(shard) {
		all.Go(func() {
			a, err := ask(ctx, v.owner[region][shard])
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				v.unreachable(region, err)
				return
			}
			answers[region] = a
		})
	}
	all.Wait()
	return answers
}

// unreachable notes that a region could not be asked; once a region is enough.
func (v *view) unreachable(region string, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !slices.ContainsFunc(v.missing, func(u Unreachable) bool { return u.Region == region }) {
		v.missing = append(v.missing, Unreachable{Region: region, Reason: err.Error()})
	}
}
