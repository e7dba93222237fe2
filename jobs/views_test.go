package jobs

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

// TestNewestView: whatever a feature is, when its newest event was is asked for by a view that is valid: the same filter, only the kinds that have a
// weight, and no event without the value that the feature takes.
func TestNewestView(t *testing.T) {
	events := table.Schema{{Name: "device", Type: table.String}, {Name: "price", Type: table.Float64}}
	ten := 10.0
	v := features.View{Name: "v", Key: features.KeySubject, Windows: []time.Duration{24 * time.Hour, 7 * 24 * time.Hour}, Features: features.Sorted([]features.Feature{
		{Name: "a", Op: features.Count, Kinds: []string{"view"}, Where: []features.Condition{{Column: "price", Min: &ten}}},
		{Name: "b", Op: features.Sum, Column: "price"},
		{Name: "c", Op: features.Last, Column: "device"},
		{Name: "d", Op: features.Distinct, Column: "item"},
		{Name: "e", Op: features.ShareOf, Share: []string{"buy"}},
		{Name: "f", Op: features.Sum, Column: "value", Weights: map[string]float64{"view": 1, "buy": 2}, Explicit: []string{"buy"}},
		{Name: "g", Op: features.Decayed, HalfLife: time.Hour, Column: "value", Weights: map[string]float64{"buy": 2}, Explicit: []string{"buy"}},
		{Name: "h", Op: features.Sequence, N: 3},
		{Name: "i", Op: features.Quantile, Column: "value", Quantile: 0.5},
	})}
	if err := v.Validate(); err != nil {
		t.Fatal(err)
	}
	n := newestView(v, events)
	if err := n.Validate(); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(n.Windows, v.Windows[1:]) {
		t.Errorf("windows %v", n.Windows)
	}
	all := func(c features.Condition) bool { return c.Min != nil && *c.Min == -features.MaxValue }
	text := func(c features.Condition) bool { return c.Not && len(c.In) == 1 }
	for i, want := range []struct {
		kinds   []string
		columns []string // of conditions
		is      func(features.Condition) bool
	}{
		{[]string{"view"}, []string{"price"}, func(c features.Condition) bool { return *c.Min == ten }},
		{nil, []string{"price"}, all},
		{nil, []string{"device"}, text},
		{nil, nil, nil}, // an event always has an item
		{nil, []string{"kind"}, text},
		{[]string{"buy", "view"}, nil, nil}, // a view counts without a value
		{[]string{"buy"}, []string{"value"}, all},
		{nil, nil, nil},
		{nil, []string{"value"}, all},
	} {
		f := n.Features[i]
		var columns []string
		for _, c := range f.Where {
			columns = append(columns, c.Column)
			if !want.is(c) {
				t.Errorf("feature %s: condition %+v", f.Name, c)
			}
		}
		if f.Op != features.Recency || !slices.Equal(f.Kinds, want.kinds) || !slices.Equal(columns, want.columns) {
			t.Errorf("feature %s: %+v", f.Name, f)
		}
	}
}

// TestProfile: nulls, ranges and quantiles of numbers, and how many values there are, of text too; a column without a value has no range, nor one of which fewer
// than eleven people have a value.
func TestProfile(t *testing.T) {
	s := table.Schema{{Name: "entity", Type: table.Int64}, {Name: "n", Type: table.Int64}, {Name: "x", Type: table.Float64}, {Name: "s", Type: table.String}, {Name: "none", Type: table.Float64}, {Name: "ten", Type: table.Float64}}
	const rows = 1000
	p := newProfile(s, 1)
	for from := 0; from < rows; from += 100 {
		b := &table.Batch{Schema: s, N: 100, Cols: []table.Column{
			{Int: make([]int64, 100)},
			{Int: make([]int64, 100)},
			{Float: make([]float64, 100), Valid: make([]bool, 100)},
			{Code: make([]int32, 100), Dict: []string{"a", "b", "c"}},
			{Float: make([]float64, 100), Valid: make([]bool, 100)},
			{Float: make([]float64, 100), Valid: make([]bool, 100)},
		}}
		for i := range 100 {
			k := from + i
			b.Cols[1].Int[i] = int64(k)
			b.Cols[2].Float[i], b.Cols[2].Valid[i] = -float64(k), k%4 != 0
			b.Cols[3].Code[i] = int32(k % 3)
			b.Cols[5].Float[i], b.Cols[5].Valid[i] = float64(k), k < 10
		}
		p.add(b)
	}
	near := func(got *float64, want float64) bool {
		return got != nil && math.Abs(*got-want) <= 0.5+0.01*math.Abs(want)
	}
	cs := p.columns(true)
	if n := cs[4]; n.Nulls != rows-10 || n.Min != nil || n.Median != nil || n.Max != nil {
		t.Errorf("a range of ten people is told: %+v", n)
	}
	if n := p.columns(false)[4]; n.Min == nil || *n.Min != 0 || *n.Max != 9 {
		t.Errorf("of rows that are of nobody: %+v", n)
	}
	if n := cs[0]; n.Rows != rows || n.Nulls != 0 || *n.Min != 0 || *n.Max != 999 || !near(n.P10, 99) || !near(n.Median, 499) || !near(n.P90, 899) || *n.Median != math.Round(*n.Median) ||
		math.Abs(float64(n.Distinct)-rows) > 50 {
		t.Errorf("integers: %+v", n)
	}
	if x := cs[1]; x.Nulls != 250 || *x.Min != -999 || *x.Max != -1 || !near(x.Median, -501) || !near(x.P90, -101) {
		t.Errorf("floats: %+v, median %v, p90 %v", x, *x.Median, *x.P90)
	}
	if s := cs[2]; s.Nulls != 0 || s.Distinct != 3 || s.Min != nil {
		t.Errorf("text: %+v", s)
	}
	if n := cs[3]; n.Nulls != rows || n.Distinct != 0 || n.Min != nil || n.Median != nil {
		t.Errorf("nulls: %+v", n)
	}
}
