package features

import (
	"context"
	"iter"
	"time"

	"github.com/rapport-ml/rapport/storage/table"
)

// View is a set of features of one kind of entity over sliding windows that end where the interval ends.
type View struct {
	Name     string
	Key      string // "subject" or "item"
	Windows  []time.Duration
	Features []Feature // sorted by name
}

// Feature is one aggregate of a View. Filter keeps events of these kinds (empty: all).
type Feature struct {
	Name     string
	Op       Op
	Column   string        // the column aggregated, where Op needs one ("value", "kind", "item", "subject", a context column)
	Kinds    []string      // filter
	HalfLife time.Duration // Decayed
	Share    []string      // ShareOf: numerator kinds; the denominator is the events that pass the filter
}

// Op is an aggregate.
type Op string

// The operators. A window W means events in [End−W, End).
const (
	Count    Op = "count"    // number of events
	Sum      Op = "sum"      // Σ column, nulls skipped
	Mean     Op = "mean"     // Σ column / n of non-null values; null when n = 0
	Min      Op = "min"      // null when empty
	Max      Op = "max"      // null when empty
	Distinct Op = "distinct" // exact number of distinct non-null values of column
	Decayed  Op = "decayed"  // Σ w·2^(−(End−t)/half-life), w = column or 1
	Recency  Op = "recency"  // seconds from the last event to End; null when none
	ShareOf  Op = "share"    // events of the Share kinds / events; null when none
)

// Source yields the minimized events of a window in batches (schema of features/event), in any order.
type Source func(ctx context.Context, w table.Interval) iter.Seq2[*table.Batch, error]

// Plan is one build: the views as of Interval.End.
type Plan struct {
	Views    []View
	Interval table.Interval
	Events   Source
	// Out receives each view's rows: schema {entity (Int64 subject number or String item), "<feature>_<window>" ...}, sorted by entity.
	Out func(view View, rows *table.Batch) error
}

// Stats are the facts of a build.
type Stats struct {
	RowsIn  int64            `json:"rows_in"`
	RowsOut map[string]int64 `json:"rows_out"`
}

// Engine computes views. Every engine passes features/enginetest.
type Engine interface {
	Build(ctx context.Context, p Plan) (Stats, error)
}
