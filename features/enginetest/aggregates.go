package enginetest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

// number is a cell as a number, false where it is none that can be computed with.
func number(x any) (float64, bool) {
	switch x := x.(type) {
	case float64:
		return x + 0, !math.IsNaN(x) && math.Abs(x) <= features.MaxValue // one zero, not two
	case int64:
		return float64(x), -features.MaxInteger <= x && x <= features.MaxInteger
	}
	return 0, false
}

// value is what a feature makes of one event that passes its filter.
type value struct {
	at     int64 // µs
	has    bool  // the event has a value
	bad    bool  // it has one that can't be computed with
	cell   any   // the value: int64, float64 or string
	number float64
}

// valueOf returns the value of an event. For weights it is the product; for operators without a column it is 1.
func (e events) valueOf(f features.Feature, row []any) (v value) {
	v.at = row[colTime].(int64)
	factor, column := 1.0, f.Column
	switch {
	case len(f.Weights) > 0:
		kind, ok := row[colKind].(string)
		w, weighed := f.Weights[kind]
		if !ok || !weighed {
			return v
		}
		if factor = w; !slices.Contains(f.Explicit, kind) {
			column = ""
		}
	case column == "" && f.Op == features.Sequence:
		column = "item"
	case column == "" && f.Op == features.ShareOf:
		column = "kind"
	}
	v.cell = any(1.0)
	if column != "" {
		v.cell = row[e.schema.Index(column)]
	}
	if v.cell == nil {
		return v
	}
	x, ok := number(v.cell)
	switch _, isFloat := v.cell.(float64); {
	case isFloat && !ok, numeric(f, e.schema) && !ok:
		v.bad = true
		return v
	case isFloat:
		v.cell = x
	}
	v.number = factor * x
	switch magnitude := math.Abs(v.number); {
	case f.Op == features.Decayed:
		v.bad = magnitude > 0x1p400 || magnitude < 0x1p-400 && magnitude != 0
	case len(f.Weights) > 0:
		v.bad = magnitude > features.MaxValue
	}
	v.has = !v.bad
	return v
}

// numeric reports whether a feature takes its column as numbers.
func numeric(f features.Feature, schema table.Schema) bool {
	switch f.Op {
	case features.Sum, features.Mean, features.Min, features.Max, features.Decayed, features.Quantile:
		return true
	case features.First, features.Last:
		return features.TypeOf(schema, f.Column) != table.String
	}
	return false
}

// valuesOf returns the values of the events that pass a feature's filter, ascending by time, and of equal times by value.
func (e events) valuesOf(f features.Feature, rows [][]any) (values []value) {
	for _, row := range rows {
		if e.passes(f, row) {
			values = append(values, e.valueOf(f, row))
		}
	}
	slices.SortFunc(values, func(a, b value) int {
		switch c := cmp.Compare(a.at, b.at); {
		case c != 0 || len(f.Weights) > 0:
			return c
		case !a.has || !b.has:
			return cmp.Compare(btoi(a.has), btoi(b.has))
		}
		return compareValues(a.cell, b.cell)
	})
	return values
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// refusals counts the values that can't be computed with.
func refusals(values []value) (n int64) {
	for _, v := range values {
		if v.bad {
			n++
		}
	}
	return n
}

// compareValues orders values that are not null: numbers by size, text by its bytes.
func compareValues(a, b any) int {
	switch a := a.(type) {
	case int64:
		return cmp.Compare(a, b.(int64))
	case float64:
		return cmp.Compare(a, b.(float64))
	}
	return cmp.Compare(a.(string), b.(string))
}

// decayed is an expected decayed sum: the size of what was added says how far rounding may carry it.
type decayed struct{ sum, magnitude float64 }

// cell is one feature of one entity over one window, of the values of valuesOf.
func (e events) cell(f features.Feature, all []value, end time.Time, w time.Duration) any {
	from := func(t time.Time) int {
		return sort.Search(len(all), func(i int) bool { return all[i].at >= t.UnixMicro() })
	}
	passed := all[from(end.Add(-w)):from(end)]
	if f.Op == features.Count {
		return int64(len(passed))
	}
	var (
		values  = make([]value, 0, len(passed)) // of the events that have one
		numbers = make([]float64, 0, len(passed))
	)
	for _, v := range passed {
		if v.has {
			values, numbers = append(values, v), append(numbers, v.number)
		}
	}
	n := len(values)
	switch f.Op {
	case features.Sum:
		return exactSum(numbers)
	case features.Distinct, features.ApproxDistinct:
		return int64(len(frequencies(values)))
	case features.Decayed:
		return decay(values, end, f.HalfLife)
	case features.ShareOf:
		return share(f, passed)
	}
	if n == 0 && (f.Op != features.Recency || len(passed) == 0) {
		return nil
	}
	switch f.Op {
	case features.Recency:
		return float64(end.UnixMicro()-passed[len(passed)-1].at) / 1e6
	case features.Mean:
		return exactSum(numbers) / float64(n)
	case features.Min:
		return slices.Min(numbers)
	case features.Max:
		return slices.Max(numbers)
	case features.Quantile:
		slices.Sort(numbers)
		return numbers[int(math.Floor(f.Quantile*float64(n-1)))]
	case features.First:
		return firstOrLast(values[0])
	case features.Last:
		return firstOrLast(values[n-1])
	case features.Sequence:
		return list(values[max(0, n-f.N):], e.typeOf(f))
	case features.Top:
		return top(values, f.N, e.typeOf(f))
	}
	panic("enginetest: the oracle does not know operator " + string(f.Op))
}

func (e events) typeOf(f features.Feature) table.Type {
	if f.Column == "" {
		return table.String
	}
	return features.TypeOf(e.schema, f.Column)
}

func firstOrLast(v value) any {
	if s, ok := v.cell.(string); ok {
		return s
	}
	return v.number
}

// frequencies counts how often each value occurs.
func frequencies(values []value) map[any]int64 {
	n := map[any]int64{}
	for _, v := range values {
		n[v.cell]++
	}
	return n
}

// share is ShareOf: of a column, events that have a value are counted; without one, all events that pass, by their kind.
func share(f features.Feature, passed []value) any {
	var part, all int64
	for _, v := range passed {
		if f.Column != "" && !v.has {
			continue
		}
		all++
		if s, ok := v.cell.(string); ok && slices.Contains(f.Share, s) {
			part++
		}
	}
	if all == 0 {
		return nil
	}
	return float64(part) / float64(all)
}

// top is a list of the n most frequent values, ties by the bytes of their text.
func top(values []value, n int, t table.Type) any {
	counts := frequencies(values)
	var distinct []value
	for x := range counts {
		distinct = append(distinct, value{cell: x})
	}
	slices.SortFunc(distinct, func(a, b value) int {
		return cmp.Or(cmp.Compare(counts[b.cell], counts[a.cell]), strings.Compare(text(a.cell, t), text(b.cell, t)))
	})
	return list(distinct[:min(n, len(distinct))], t)
}

// list is a JSON array of values.
func list(values []value, t table.Type) any {
	var parts []string
	for _, v := range values {
		s := text(v.cell, t)
		if t == table.String {
			quoted, err := json.Marshal(s)
			if err != nil {
				panic("enginetest: " + err.Error()) // a string can always be marshaled
			}
			s = string(quoted)
		}
		parts = append(parts, s)
	}
	return "[" + strings.Join(parts, ",") + "]"
}

// text is a value as text.
func text(x any, t table.Type) string {
	switch x := x.(type) {
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64)
	case int64:
		if t == table.Bool {
			return strconv.FormatBool(x != 0)
		}
	}
	return fmt.Sprint(x)
}

// decay is the decayed sum in 200 bits and more: of each term the exact power of two by which whole half-lives halve it, and 2^-r of the rest.
func decay(values []value, end time.Time, halfLife time.Duration) any {
	var terms, sizes []float64
	for _, v := range values {
		age := new(big.Rat).SetFrac64(end.UnixMicro()-v.at, halfLife.Microseconds())
		whole := new(big.Int).Quo(age.Num(), age.Denom())
		rest, _ := age.Sub(age, new(big.Rat).SetInt(whole)).Float64()
		term := math.Ldexp(v.number*math.Exp2(-rest), -int(whole.Int64()))
		terms, sizes = append(terms, term), append(sizes, math.Abs(term))
	}
	return decayed{exactSum(terms), exactSum(sizes)}
}

// exactSum sums without rounding (float64 spans 2,098 bits) and rounds once.
func exactSum(xs []float64) float64 {
	if len(xs) == 0 {
		return 0
	}
	total, x := new(big.Float).SetPrec(2200), new(big.Float)
	for _, v := range xs {
		total.Add(total, x.SetFloat64(v))
	}
	f, _ := total.Float64()
	return f + 0
}
