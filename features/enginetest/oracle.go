package enginetest

import (
	"cmp"
	"math"
	"math/big"
	"slices"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

// result is what a build gives: the table of each view, and the facts.
type result struct {
	tables []tableOf // in the order of the plan's views
	stats  features.Stats
}

// tableOf is one view's table, row by row; cells as in events.
type tableOf struct {
	view   string
	schema table.Schema
	rows   [][]any
}

// oracle computes the views from the definitions, one cell at a time, O(views · features · windows · entities · events).
func oracle(views []features.View, end time.Time, e events) result {
	r := result{stats: features.Stats{RowsOut: map[string]int64{}, Refused: map[string]int64{}}}
	longestOfAll := features.RetentionNeeded(views)
	for _, row := range e.rows {
		switch {
		case row[colTime] == nil:
			r.stats.Refused["time"]++
		case inWindow(row, end, longestOfAll):
			r.stats.RowsIn++
		default:
			r.stats.RowsOutside++
		}
	}
	for _, v := range views {
		t := tableOf{view: v.Name, schema: v.Schema(nil)}
		windows := slices.Clone(v.Windows)
		slices.Sort(windows)
		longest := windows[len(windows)-1]
		key := e.schema.Index(v.Key)

		entities := map[any][][]any{} // key → its events in the longest window
		for _, row := range e.rows {
			if !inWindow(row, end, longest) {
				continue
			}
			if row[key] == nil {
				r.stats.Refused[v.Name]++
				continue
			}
			entities[row[key]] = append(entities[row[key]], row)
		}
		for k, rows := range entities {
			out := []any{k}
			for _, f := range v.Features {
				for _, w := range windows {
					out = append(out, cell(e, f, rows, end, w))
				}
				r.stats.Refused[v.Name+"."+f.Name] += refusals(e, f, rows)
			}
			t.rows = append(t.rows, out)
		}
		slices.SortFunc(t.rows, func(a, b []any) int { return compareKeys(a[0], b[0]) })
		r.stats.RowsOut[v.Name] = int64(len(t.rows))
		r.tables = append(r.tables, t)
	}
	for what, n := range r.stats.Refused {
		if n == 0 {
			delete(r.stats.Refused, what)
		}
	}
	return r
}

// compareKeys orders entities: subjects as unsigned numbers, items by their bytes.
func compareKeys(a, b any) int {
	if x, ok := a.(int64); ok {
		return cmp.Compare(uint64(x), uint64(b.(int64)))
	}
	return cmp.Compare(a.(string), b.(string))
}

// inWindow: End−W ≤ t < End.
func inWindow(row []any, end time.Time, w time.Duration) bool {
	if row[colTime] == nil {
		return false
	}
	t := time.UnixMicro(row[colTime].(int64))
	return !t.Before(end.Add(-w)) && t.Before(end)
}

func passes(f features.Feature, row []any) bool {
	if len(f.Kinds) == 0 {
		return true
	}
	kind, ok := row[colKind].(string)
	return ok && slices.Contains(f.Kinds, kind)
}

// refusals counts the values of the feature's column that pass its filter and can't be computed with.
func refusals(e events, f features.Feature, rows [][]any) (n int64) {
	for _, row := range rows {
		if x, ok := value(e, f, row).(float64); ok && passes(f, row) && !finite(x) {
			n++
		}
	}
	return n
}

func finite(x float64) bool {
	return !math.IsNaN(x) && math.Abs(x) <= features.MaxValue
}

func value(e events, f features.Feature, row []any) any {
	if f.Column == "" {
		return nil
	}
	return row[e.schema.Index(f.Column)]
}

// cell is one feature of one entity over one window.
func cell(e events, f features.Feature, rows [][]any, end time.Time, w time.Duration) any {
	var (
		count, inShare int64
		values         []any     // usable values
		numbers        []float64 // the same as numbers, where they are
		terms          []float64 // of Decayed
		last           time.Time
	)
	for _, row := range rows {
		if !inWindow(row, end, w) || !passes(f, row) {
			continue
		}
		count++
		if kind, ok := row[colKind].(string); ok && slices.Contains(f.Share, kind) {
			inShare++
		}
		t := time.UnixMicro(row[colTime].(int64))
		if t.After(last) || last.IsZero() {
			last = t
		}
		decay := 0.0
		if f.HalfLife > 0 {
			decay = math.Pow(2, -end.Sub(t).Seconds()/f.HalfLife.Seconds())
		}
		switch x := value(e, f, row).(type) {
		case nil:
			if f.Column == "" {
				terms = append(terms, decay)
			}
		case float64:
			if finite(x) {
				if x == 0 {
					x = 0 // one zero, not two
				}
				values, numbers, terms = append(values, x), append(numbers, x), append(terms, x*decay)
			}
		case int64:
			values, numbers, terms = append(values, x), append(numbers, float64(x)), append(terms, float64(x)*decay)
		default:
			values = append(values, x)
		}
	}
	switch f.Op {
	case features.Count:
		return count
	case features.Distinct:
		set := map[any]bool{}
		for _, x := range values {
			set[x] = true
		}
		return int64(len(set))
	case features.Sum:
		return exactSum(numbers)
	case features.Decayed:
		return exactSum(terms)
	case features.Mean:
		if len(numbers) == 0 {
			return nil
		}
		return exactSum(numbers) / float64(len(numbers))
	case features.Min, features.Max:
		if len(numbers) == 0 {
			return nil
		}
		if f.Op == features.Min {
			return slices.Min(numbers)
		}
		return slices.Max(numbers)
	case features.Recency:
		if count == 0 {
			return nil
		}
		return end.Sub(last).Seconds()
	case features.ShareOf:
		if count == 0 {
			return nil
		}
		return float64(inShare) / float64(count)
	}
	panic("enginetest: the oracle does not know operator " + string(f.Op))
}

// exactSum sums without rounding (float64 spans 2,098 bits) and rounds once.
func exactSum(xs []float64) float64 {
	total := new(big.Float).SetPrec(2200)
	for _, x := range xs {
		total.Add(total, new(big.Float).SetPrec(2200).SetFloat64(x))
	}
	f, _ := total.Float64()
	return f + 0
}
