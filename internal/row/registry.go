package row

import (
	"maps"
	"sync"
	"sync/atomic"
)

// registry holds what was looked up by name and never changes. A lookup of what is there takes no lock and allocates
// nothing; what is not found is not remembered.
type registry[T any] struct {
	add     sync.Mutex
	entries atomic.Pointer[map[string]*T]
}

// get gives the entry of a name, made by create the first time; nil if create gives nil.
func (r *registry[T]) get(name string, create func(name string) *T) *T {
	if entries := r.entries.Load(); entries != nil {
		if entry := (*entries)[name]; entry != nil {
			return entry
		}
	}
	entry := create(name)
	if entry == nil {
		return nil
	}
	r.add.Lock()
	defer r.add.Unlock()
	larger := map[string]*T{name: entry}
	if entries := r.entries.Load(); entries != nil {
		if there := (*entries)[name]; there != nil {
			return there
		}
		maps.Copy(larger, *entries)
	}
	r.entries.Store(&larger)
	return entry
}

// pool keeps objects for those who need one for a moment.
type pool[T any] struct{ free sync.Pool }

// take gives an object that was given back, or a zero one.
func (p *pool[T]) take() *T {
	if object, ok := p.free.Get().(*T); ok {
		return object
	}
	return new(T)
}

func (p *pool[T]) giveBack(object *T) { p.free.Put(object) }
