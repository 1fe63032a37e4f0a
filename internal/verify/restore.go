package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"meridian/internal/inspect"
)

// Restorers are the processes that can bring back what lost a conflict, by region.
type Restorers map[string][]inspect.Restorer

// PlanRestore says what bringing back the loser of a kept conflict would do. Nothing is changed.
func PlanRestore(ctx context.Context, regions Restorers, id inspect.ConflictID) (*inspect.Restore, error) {
	return atRegion(regions, id, func(r inspect.Restorer) (*inspect.Restore, error) { return r.RestorePlan(ctx, id.Number) })
}

// Restore brings back the loser of a kept conflict, as the plan says: in the region that keeps it, as a write like any other,
// which goes to all regions. If the row is another one by now than the plan's, nothing is done (inspect.ErrRowChanged).
func Restore(ctx context.Context, regions Restorers, plan *inspect.Restore) (*inspect.Restore, error) {
	return atRegion(regions, plan.ID, func(r inspect.Restorer) (*inspect.Restore, error) { return r.Restore(ctx, plan.ID.Number, plan.Over) })
}

// atRegion asks the region's processes, of which any can do it, until one answers. A process of which it is not known what it
// did is the last: another one would find the row as it has left it, and say so.
func atRegion(regions Restorers, id inspect.ConflictID, ask func(inspect.Restorer) (*inspect.Restore, error)) (*inspect.Restore, error) {
	processes := regions[id.Region]
	if len(processes) == 0 {
		return nil, &inspect.QuestionError{Detail: fmt.Sprintf("%s: there is no region %q in the configuration, only %s", id, id.Region, strings.Join(slices.Sorted(maps.Keys(regions)), ", "))}
	}
	var failed []error
	for _, process := range processes {
		r, err := ask(process)
		var question *inspect.QuestionError
		var unrestorable *inspect.UnrestorableError
		var refused *inspect.RefusedError
		switch {
		case err == nil && r.ID != id:
			return nil, fmt.Errorf("the process that should be %s answers for %s: look at admin.url", id.Region, r.ID.Region) //nolint:err113 // it is only told
		case err == nil, errors.As(err, &question), errors.As(err, &unrestorable), errors.Is(err, inspect.ErrRowChanged),
			errors.As(err, &refused) && !errors.Is(err, inspect.ErrNotReady):
			return r, err
		}
		failed = append(failed, err)
	}
	return nil, fmt.Errorf("%s could not be asked for conflict %d: %w", id.Region, id.Number, errors.Join(failed...))
}
