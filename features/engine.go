package features

import (
	"context"
	"iter"

	"github.com/rapport-ml/rapport/storage/table"
)

// Source yields the minimized events of a window in batches, in any order. Columns: subject (Int64, the bits of an unsigned number),
// item (String), time (Time), kind (String), value (Float64), and the context columns that a view names (any type). A source may yield
// events outside the window (files are cut by day): an engine leaves them out by their time.
type Source func(ctx context.Context, w table.Interval) iter.Seq2[*table.Batch, error]

// Plan is one build: the views as of Interval.End.
type Plan struct {
	Views    []View
	Interval table.Interval
	Events   Source
	// Out receives each view's rows: schema View.Schema, sorted by entity, in one or more batches that are valid only during the call. Views come
	// one after another in the order of Views. A view without rows is one batch of none. Calls don't overlap.
	Out func(view View, rows *table.Batch) error
}

// Stats are the facts of a build.
type Stats struct {
	// RowsIn counts the events that a view's longest window could hold: with a time in [End−RetentionNeeded, End).
	RowsIn int64 `json:"rows_in"`
	// RowsOutside counts the events that the source yielded before that or at End and after.
	RowsOutside int64 `json:"rows_outside,omitempty"`
	// RowsOut counts the rows of each view.
	RowsOut map[string]int64 `json:"rows_out"`
	// Refused counts what was left out because it can't be computed with: "time" (events without one), "<view>" (events without its key),
	// "<view>.<feature>" (values that are NaN, infinite, or above MaxValue). Only counts above zero are present.
	Refused map[string]int64 `json:"refused,omitempty"`
}

// Engine computes views. Every engine passes features/enginetest. Build calls Source once, for
// [Interval.End−RetentionNeeded(Views), Interval.End), and Out only after the source has ended without an error.
type Engine interface {
	Build(ctx context.Context, p Plan) (Stats, error)
}
