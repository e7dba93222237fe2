package features

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Words say what an operator is, to people.
type Words struct {
	Says    string // what a value means, in a few words
	Formula string // over the events of a window that pass the filter; n is the number of their non-null values
	Nulls   string // what a window without a value gives
	Error   string // "" for an exact operator
	Since   string // how a build that goes on from an earlier one gets the value without reading history
}

const (
	subtracts = "added, and subtracted again"
	keepsTime = "kept with its time, and cut off"
)

var words = map[Op]Words{
	Count:          {Says: "how many events", Formula: "n", Nulls: "0", Since: subtracts},
	Sum:            {Says: "the sum of a column, or of weights by kind", Formula: "Σ w·x, rounded once", Nulls: "0", Since: subtracts},
	Mean:           {Says: "the mean of a column", Formula: "Σ x / n", Nulls: "null", Since: subtracts},
	Min:            {Says: "the smallest value", Formula: "min x", Nulls: "null", Since: keepsTime},
	Max:            {Says: "the largest value", Formula: "max x", Nulls: "null", Since: keepsTime},
	First:          {Says: "the value of the earliest event that has one", Formula: "x at the least time; of equal times the least x", Nulls: "null", Since: keepsTime + ", where windows and ends fall on hours; else from all events"},
	Last:           {Says: "the value of the latest event that has one", Formula: "x at the greatest time; of equal times the greatest x", Nulls: "null", Since: keepsTime},
	Distinct:       {Says: "how many different values", Formula: "|{x}|", Nulls: "0", Since: keepsTime},
	ApproxDistinct: {Says: "about how many different values", Formula: "HyperLogLog with 2^12 registers", Nulls: "0", Error: "standard error 1.63 %", Since: keepsTime},
	Decayed:        {Says: "a sum in which an event counts half after each half-life", Formula: "Σ w·2^(−(end−t)/half_life), rounded", Nulls: "0", Since: subtracts},
	Recency:        {Says: "seconds since the last event", Formula: "end − max t", Nulls: "null", Since: keepsTime},
	ShareOf:        {Says: "the share of events whose column is one of some values", Formula: "n(x in is) / n(x)", Nulls: "null", Since: subtracts},
	Top:            {Says: "the most frequent values, most frequent first", Formula: "the n values with the largest counts, ties by bytes; a list", Nulls: "null", Since: subtracts},
	Quantile:       {Says: "the value below which a share q of the values lies", Formula: "the value of rank ⌊q·(n−1)⌋, from a DDSketch", Nulls: "null", Error: "relative error at most 1 %", Since: subtracts},
	Sequence:       {Says: "the values of the last events, latest last", Formula: "x of the n latest events; a list", Nulls: "null", Since: keepsTime},
}

// Words returns what the operator is in words; none for an unknown one.
func (op Op) Words() Words { return words[op] }

// Definition is the feature as the project file has it, in words: its operator, its column and which events pass.
func (f Feature) Definition() string {
	parts := []string{string(f.Op)}
	with := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	switch {
	case f.Op == ShareOf:
		with("of %s %s", cmp.Or(f.Column, "kind"), strings.Join(f.Share, " or "))
	case f.Column != "" && len(f.Weights) == 0:
		with("of %s", f.Column)
	case f.Op == Sequence:
		with("of item")
	}
	if f.N > 0 {
		with("n %d", f.N)
	}
	if f.Op == Quantile {
		with("q %g", f.Quantile)
	}
	if f.HalfLife > 0 {
		with("half-life %s", FormatWindow(f.HalfLife))
	}
	if len(f.Kinds) > 0 {
		with("kind %s", strings.Join(f.Kinds, " or "))
	}
	for _, c := range f.Where {
		not := ""
		if c.Not {
			not = "not "
		}
		switch {
		case len(c.In) > 0:
			with("%s %s%s", c.Column, not, strings.Join(c.In, " or "))
		case c.Max == nil:
			with("%s %sat least %s", c.Column, not, bound(c.Min))
		case c.Min == nil:
			with("%s %sat most %s", c.Column, not, bound(c.Max))
		default:
			with("%s %s%s to %s", c.Column, not, bound(c.Min), bound(c.Max))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(f.Weights)) {
		if slices.Contains(f.Explicit, k) {
			with("%s counts %g × %s", k, f.Weights[k], f.Column)
		} else {
			with("%s counts %g", k, f.Weights[k])
		}
	}
	return parts[0] + strings.TrimSuffix(" "+strings.Join(parts[1:], ", "), " ")
}

// bound writes the bound of a condition, which is there.
func bound(x *float64) string { return strconv.FormatFloat(*x, 'f', -1, 64) }
