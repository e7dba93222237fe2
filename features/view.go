package features

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/rapport-ml/rapport/storage/table"
)

// View is a set of features of one kind of entity over sliding windows that end where the interval ends.
type View struct {
	Name     string
	Key      string // KeySubject or KeyItem
	Windows  []time.Duration
	Features []Feature // sorted by name
}

// The keys that a view may have: the columns of an event that name an entity.
const (
	KeySubject = "subject"
	KeyItem    = "item"
)

// EntityColumn is the first column of every view's table: the subject number (Int64) or the item (String).
const EntityColumn = "entity"

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

// The operators. A window W means events in [End−W, End) that pass the feature's filter; n is the number of their non-null values. Count and
// Distinct are Int64, all others Float64. Sums are exact and rounded once ([Total]).
const (
	Count    Op = "count"    // number of events
	Sum      Op = "sum"      // Σ column, nulls skipped; 0 when n = 0
	Mean     Op = "mean"     // Σ column / n, the rounded sum divided once; null when n = 0
	Min      Op = "min"      // smallest value; null when n = 0
	Max      Op = "max"      // largest value; null when n = 0
	Distinct Op = "distinct" // exact number of distinct non-null values of column
	Decayed  Op = "decayed"  // Σ w·2^(−(End−t)/half-life), w = column, or 1 without one; 0 when there is no term
	Recency  Op = "recency"  // seconds from the last event to End, > 0; null when there is none
	ShareOf  Op = "share"    // events of the Share kinds / events; null when there are no events
)

// Type returns the type of the operator's columns.
func (op Op) Type() table.Type {
	if op == Count || op == Distinct {
		return table.Int64
	}
	return table.Float64
}

// Schema returns the columns of the view's table: EntityColumn, then for each feature, in the order of v.Features, one column a window,
// shortest first, named ColumnName(feature, window).
func (v View) Schema() table.Schema {
	entity := table.Int64
	if v.Key == KeyItem {
		entity = table.String
	}
	s := table.Schema{{Name: EntityColumn, Type: entity}}
	for _, f := range v.Features {
		for _, w := range v.SortedWindows() {
			s = append(s, table.Field{Name: ColumnName(f.Name, w), Type: f.Op.Type()})
		}
	}
	return s
}

// SortedWindows returns the view's windows, shortest first.
func (v View) SortedWindows() []time.Duration { return slices.Sorted(slices.Values(v.Windows)) }

// Columns returns the event columns that the view reads beside "time", sorted and each once: its key, "kind" where a feature filters or
// shares by it, and the columns aggregated.
func (v View) Columns() []string {
	set := []string{v.Key}
	for _, f := range v.Features {
		if f.Column != "" {
			set = append(set, f.Column)
		}
		if len(f.Kinds) > 0 || len(f.Share) > 0 {
			set = append(set, "kind")
		}
	}
	slices.Sort(set)
	return slices.Compact(set)
}

// Ops are all operators.
var Ops = []Op{Count, Sum, Mean, Min, Max, Distinct, Decayed, Recency, ShareOf}

// ColumnName is the name of a feature over one window, "<feature>_<window>": views_7d, spend_12h.
func ColumnName(feature string, w time.Duration) string { return feature + "_" + FormatWindow(w) }

// FormatWindow writes a window in its largest whole unit of d, h, m, s: 24h is 1d, 36h is 36h, 90s is 90s.
func FormatWindow(w time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if w >= u.unit && w%u.unit == 0 {
			return fmt.Sprintf("%d%s", w/u.unit, u.name)
		}
	}
	return w.String()
}

// RetentionNeeded returns the longest window of the views: how far before an interval's end their events reach. Zero without a view.
func RetentionNeeded(views []View) time.Duration {
	var longest time.Duration
	for _, v := range views {
		for _, w := range v.Windows {
			longest = max(longest, w)
		}
	}
	return longest
}

// Sorted returns a copy of the features, sorted by name as a View wants them.
func Sorted(fs []Feature) []Feature {
	return slices.SortedFunc(slices.Values(fs), func(a, b Feature) int { return cmp.Compare(a.Name, b.Name) })
}
