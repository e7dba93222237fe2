package features

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/storage/table"
)

// View is a set of features of one kind of entity over sliding windows that end where the interval ends.
type View struct {
	Name string
	// Key names the columns of an event that name an entity: KeySubject, KeyItem, "kind" or a context column, or two of them joined by
	// KeyAnd, as "subject+item".
	Key      string
	Windows  []time.Duration
	Features []Feature // sorted by name
	// Hop is the step by which windows slide where a moment is asked for that is not an interval's end (Engine.Join): the view is seen as of
	// the last moment that is a multiple of Hop away from the anchor. 0: as of the very moment. A Build is as of its interval's end.
	Hop time.Duration `json:",omitempty"`
}

// The keys that most views have.
const (
	KeySubject = "subject"
	KeyItem    = "item"
	KeyAnd     = "+" // joins the two columns of a pair
)

// EntityColumn is the first column of the table of a view whose key is one column. Pairs have two first columns, named as in the key.
const EntityColumn = "entity"

// Feature is one aggregate of a View: of the events that pass its filter, Kinds and every condition of Where.
type Feature struct {
	Name     string
	Op       Op
	Column   string        // the column aggregated, where Op needs one ("value", "kind", "item", "subject", a context column)
	Kinds    []string      // keeps events of these kinds; empty: all, without a kind too
	HalfLife time.Duration // Decayed
	Share    []string      // ShareOf: the values of Column (kind, if it is empty) that count in the numerator

	Where    []Condition        `json:",omitempty"`
	N        int                `json:",omitempty"` // Top, Sequence: how many
	Quantile float64            `json:",omitempty"` // Quantile: in (0, 1)
	Weights  map[string]float64 `json:",omitempty"` // Sum, Decayed: by kind; events of other kinds, or of none, do not count
	Explicit []string           `json:",omitempty"` // of the kinds in Weights, those whose weight is multiplied by Column
}

// Condition keeps the events whose Column is one of In, or at least Min and at most Max; with Not, the events for which that is false. An event
// without a value passes neither.
type Condition struct {
	Column   string
	In       []string `json:",omitempty"` // of a String column
	Min, Max *float64 `json:",omitempty"` // of a column of numbers; nil: no bound
	Not      bool     `json:",omitempty"`
}

// Op is an aggregate.
type Op string

// The operators. A window W means events in [End−W, End) that pass the feature's filter; n is the number of their non-null values. Sums are exact
// and rounded once ([Total]). All are exact but ApproxDistinct and Quantile. "Earliest" and "latest" are by time, ties by value (first: the least,
// last and sequence: the greatest comes last), so that no result depends on the order of rows.
const (
	Count          Op = "count"           // number of events
	Sum            Op = "sum"             // Σ w·column, nulls skipped; 0 when n = 0; w = 1 without Weights
	Mean           Op = "mean"            // Σ column / n, the rounded sum divided once; null when n = 0
	Min            Op = "min"             // smallest value; null when n = 0
	Max            Op = "max"             // largest value; null when n = 0
	First          Op = "first"           // value of the earliest event that has one; null when n = 0
	Last           Op = "last"            // value of the latest event that has one; null when n = 0
	Distinct       Op = "distinct"        // number of distinct non-null values of column; text is told apart by 64-bit hash within an entity
	ApproxDistinct Op = "approx_distinct" // HyperLogLog estimate of Distinct with 2^12 registers: standard error 1.63 %
	Decayed        Op = "decayed"         // Σ w·2^(−(End−t)/half-life), w = column, weight or 1; 0 when there is no term
	Recency        Op = "recency"         // seconds from the last event to End, > 0; null when there is none
	ShareOf        Op = "share"           // events with a value of Share / events with a value; null when there are none
	Top            Op = "top"             // the N most frequent values of column, most frequent first, ties by bytes, as a JSON array; null when n = 0
	Quantile       Op = "quantile"        // the value of rank ⌊q·(n−1)⌋, from a DDSketch: relative error at most 1 %; null when n = 0
	Sequence       Op = "sequence"        // column (item, if it is empty) of the last N events, latest last, as a JSON array; null when n = 0
)

// Type returns the type of the feature's columns; events is the schema of the events, by which First and Last are numbers or text.
func (f Feature) Type(events table.Schema) table.Type {
	switch f.Op {
	case Count, Distinct, ApproxDistinct:
		return table.Int64
	case Top, Sequence:
		return table.String
	case First, Last:
		if TypeOf(events, f.Column) == table.String {
			return table.String
		}
	}
	return table.Float64
}

// TypeOf returns the type of a column of events: as events has it, else as every events table has it, else String.
func TypeOf(events table.Schema, column string) table.Type {
	if i := events.Index(column); i >= 0 {
		return events[i].Type
	}
	switch column {
	case KeySubject:
		return table.Int64
	case "value":
		return table.Float64
	case "time", "created":
		return table.Time
	}
	return table.String
}

// Exact reports whether the operator's result is the aggregate itself and not an estimate of it.
func (op Op) Exact() bool { return op != ApproxDistinct && op != Quantile }

// Keys returns the one or two columns of the key.
func (v View) Keys() []string { return strings.Split(v.Key, KeyAnd) }

// KeySchema returns the first columns of the view's table, which name its entities.
func (v View) KeySchema(events table.Schema) table.Schema {
	keys := v.Keys()
	if len(keys) == 1 {
		return table.Schema{{Name: EntityColumn, Type: TypeOf(events, keys[0])}}
	}
	var s table.Schema
	for _, k := range keys {
		s = append(s, table.Field{Name: k, Type: TypeOf(events, k)})
	}
	return s
}

// Schema returns the columns of the view's table: KeySchema, then for each feature, in the order of v.Features, one column a window,
// shortest first, named ColumnName(feature, window). events is the schema of the events; nil: no context column holds numbers.
func (v View) Schema(events table.Schema) table.Schema {
	s := v.KeySchema(events)
	for _, f := range v.Features {
		for _, w := range v.SortedWindows() {
			s = append(s, table.Field{Name: ColumnName(f.Name, w), Type: f.Type(events)})
		}
	}
	return s
}

// The columns of StateSchema.
const (
	PartColumn  = "part"
	StateColumn = "state"
)

// StateSchema returns the columns of the tables in which an engine keeps the running state, and the tiles, of all views of a key: a number that no
// other row of the table has, and a part of the whole in the engine's own encoding, which names entities. The numbers are the bits of unsigned ones
// and spread over all of their range, so that a table may be sharded by them.
func StateSchema() table.Schema {
	return table.Schema{{Name: PartColumn, Type: table.Int64}, {Name: StateColumn, Type: table.Bytes}}
}

// Keys returns the keys of the views, each once, in the order of their first views.
func Keys(views []View) []string {
	var keys []string
	for _, v := range views {
		if !slices.Contains(keys, v.Key) {
			keys = append(keys, v.Key)
		}
	}
	return keys
}

// SortedWindows returns the view's windows, shortest first.
func (v View) SortedWindows() []time.Duration { return slices.Sorted(slices.Values(v.Windows)) }

// Columns returns the event columns that the view reads beside "time", sorted and each once: its key, those of conditions, "kind" where a feature
// filters, weighs or shares by it, and the columns aggregated.
func (v View) Columns() []string {
	set := v.Keys()
	for _, f := range v.Features {
		switch {
		case f.Column != "":
			set = append(set, f.Column)
		case f.Op == ShareOf:
			set = append(set, "kind")
		case f.Op == Sequence:
			set = append(set, KeyItem)
		}
		if len(f.Kinds) > 0 || len(f.Weights) > 0 {
			set = append(set, "kind")
		}
		for _, c := range f.Where {
			set = append(set, c.Column)
		}
	}
	slices.Sort(set)
	return slices.Compact(set)
}

// Ops are all operators.
var Ops = []Op{Count, Sum, Mean, Min, Max, First, Last, Distinct, ApproxDistinct, Decayed, Recency, ShareOf, Top, Quantile, Sequence}

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

// NamedKinds are the kinds of events that the feature names, ascending: those that it counts, weighs, takes a share of or has as a condition.
func (f Feature) NamedKinds() []string {
	out := slices.Concat(f.Kinds, slices.Collect(maps.Keys(f.Weights)))
	if f.Op == ShareOf && f.Column == "" {
		out = append(out, f.Share...)
	}
	for _, c := range f.Where {
		if c.Column == "kind" {
			out = append(out, c.In...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
