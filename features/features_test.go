package features

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/storage/table"
)

const day = 24 * time.Hour

func TestSchema(t *testing.T) {
	v := View{
		Name: "activity", Key: KeySubject, Windows: []time.Duration{7 * day, day, 90 * time.Minute},
		Features: []Feature{
			{Name: "items", Op: Distinct, Column: "item"},
			{Name: "spend", Op: Sum, Column: "value", Kinds: []string{"buy"}},
			{Name: "views", Op: Count, Kinds: []string{"view"}},
		},
	}
	want := table.Schema{
		{Name: "entity", Type: table.Int64},
		{Name: "items_90m", Type: table.Int64},
		{Name: "items_1d", Type: table.Int64},
		{Name: "items_7d", Type: table.Int64},
		{Name: "spend_90m", Type: table.Float64},
		{Name: "spend_1d", Type: table.Float64},
		{Name: "spend_7d", Type: table.Float64},
		{Name: "views_90m", Type: table.Int64},
		{Name: "views_1d", Type: table.Int64},
		{Name: "views_7d", Type: table.Int64},
	}
	if got := v.Schema(nil); !slices.Equal(got, want) {
		t.Errorf("schema %v\nwant   %v", got, want)
	}
	if v.Key = KeyItem; v.Schema(nil)[0].Type != table.String {
		t.Error("items are not strings")
	}
	if got, want := v.Columns(), []string{"item", "kind", "value"}; !slices.Equal(got, want) {
		t.Errorf("columns %q, want %q", got, want)
	}
	if v.Windows[0] != 7*day {
		t.Error("Schema has sorted the caller's windows")
	}
	for _, op := range Ops {
		want := table.Float64
		switch op {
		case Count, Distinct, ApproxDistinct:
			want = table.Int64
		case Top, Sequence:
			want = table.String
		}
		if got := (Feature{Op: op, Column: "value"}).Type(nil); got != want {
			t.Errorf("%s has type %v, want %v", op, got, want)
		}
	}
}

// The types of keys and of values follow the events' schema; columns that it lacks have the types that every events table has.
func TestSchemaFollowsTheEvents(t *testing.T) {
	events := table.Schema{{Name: "due", Type: table.Time}, {Name: "rating", Type: table.Int64}, {Name: "device", Type: table.String}}
	v := View{Name: "v", Key: "due+subject", Windows: []time.Duration{day}, Features: []Feature{
		{Name: "a", Op: First, Column: "rating"},
		{Name: "b", Op: Last, Column: "device"},
		{Name: "c", Op: Last, Column: "value"},
		{Name: "d", Op: First, Column: "unknown"},
	}}
	for _, c := range []struct {
		name string
		got  table.Schema
		want table.Schema
	}{
		{"a pair", v.Schema(events), table.Schema{
			{Name: "due", Type: table.Time},
			{Name: "subject", Type: table.Int64},
			{Name: "a_1d", Type: table.Float64},
			{Name: "b_1d", Type: table.String},
			{Name: "c_1d", Type: table.Float64},
			{Name: "d_1d", Type: table.String},
		}},
		{"one column", View{Key: "rating"}.KeySchema(events), table.Schema{{Name: "entity", Type: table.Int64}}},
		{"one column that is not known", View{Key: "rating"}.KeySchema(nil), table.Schema{{Name: "entity", Type: table.String}}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
	if len(v.Schema(events)) != 6 || len(v.KeySchema(events)) != 2 {
		t.Error("one schema has grown into another")
	}
	views := []View{{Key: "item"}, {Key: "subject+item"}, {Key: "item"}, {Key: "subject"}}
	if got := Keys(views); !slices.Equal(got, []string{"item", "subject+item", "subject"}) {
		t.Errorf("keys %v", got)
	}
}

// A view reads its keys, what its features aggregate, and what they filter, weigh and share by.
func TestColumns(t *testing.T) {
	for _, c := range []struct {
		feature Feature
		want    []string
	}{
		{Feature{Op: Count}, nil},
		{Feature{Op: Count, Kinds: []string{"a"}}, []string{"kind"}},
		{Feature{Op: Sum, Weights: map[string]float64{"a": 1}}, []string{"kind"}},
		{Feature{Op: Sum, Column: "value", Weights: map[string]float64{"a": 1}}, []string{"kind", "value"}},
		{Feature{Op: ShareOf}, []string{"kind"}},
		{Feature{Op: ShareOf, Column: "x"}, []string{"x"}},
		{Feature{Op: Sequence}, []string{"item"}},
		{Feature{Op: Sequence, Column: "x"}, []string{"x"}},
		{Feature{Op: Count, Where: []Condition{{Column: "x"}, {Column: "device"}}}, []string{"x"}},
	} {
		v := View{Key: "device+subject", Features: []Feature{c.feature, c.feature}}
		want := slices.Sorted(slices.Values(append([]string{"device", "subject"}, c.want...)))
		if got := v.Columns(); !slices.Equal(got, want) {
			t.Errorf("%+v: %q, want %q", c.feature, got, want)
		}
	}
}

func TestExact(t *testing.T) {
	for _, op := range Ops {
		if want := op != ApproxDistinct && op != Quantile; op.Exact() != want {
			t.Errorf("%s: exact %v", op, !want)
		}
		if estimate := op.Words().Error != ""; op.Exact() == estimate {
			t.Errorf("%s: exact %v, and its words name the error %q", op, op.Exact(), op.Words().Error)
		}
	}
}

func TestJoinColumn(t *testing.T) {
	if got := JoinColumn("activity", "views_7d"); got != "activity__views_7d" {
		t.Error(got)
	}
}

func TestColumnName(t *testing.T) {
	for w, want := range map[time.Duration]string{
		day: "x_1d", 7 * day: "x_7d", 24 * 365 * time.Hour: "x_365d", time.Hour: "x_1h", 36 * time.Hour: "x_36h",
		90 * time.Minute: "x_90m", time.Minute: "x_1m", 90 * time.Second: "x_90s", time.Second: "x_1s", day + time.Second: "x_86401s",
	} {
		if got := ColumnName("x", w); got != want {
			t.Errorf("%v: %s, want %s", w, got, want)
		}
	}
}

func TestRetentionNeeded(t *testing.T) {
	if got := RetentionNeeded(nil); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
	views := []View{{Windows: []time.Duration{day, 28 * day}}, {Windows: []time.Duration{90 * day, time.Hour}}, {}}
	if got := RetentionNeeded(views); got != 90*day {
		t.Errorf("%v, want 90 days", got)
	}
}

func TestSorted(t *testing.T) {
	in := []Feature{{Name: "b"}, {Name: "c"}, {Name: "a"}}
	if got := Sorted(in); got[0].Name != "a" || got[1].Name != "b" || got[2].Name != "c" || in[0].Name != "b" {
		t.Errorf("%v of %v", got, in)
	}
}

func ptr(x float64) *float64 { return &x }

// valid is a view without a fault, for tests to break.
func valid() View {
	return View{Name: "v", Key: KeySubject, Windows: []time.Duration{day}, Features: []Feature{{Name: "n", Op: Count}}}
}

func TestValidate(t *testing.T) {
	feature := func(f Feature) View {
		v := valid()
		if f.Name == "" {
			f.Name = "f"
		}
		v.Features = []Feature{f}
		return v
	}
	with := func(change func(*View)) View {
		v := valid()
		change(&v)
		return v
	}
	for _, c := range []struct {
		name string
		view View
		want []string // a part of each fault, in order; none: valid
	}{
		{"valid", valid(), nil},
		{"all operators", with(func(v *View) {
			v.Features = []Feature{
				{Name: "a", Op: Count},
				{Name: "b", Op: Sum, Column: "value"},
				{Name: "c", Op: Mean, Column: "value"},
				{Name: "d", Op: Min, Column: "x"},
				{Name: "e", Op: Max, Column: "x"},
				{Name: "f", Op: Distinct, Column: "item"},
				{Name: "g", Op: Decayed, HalfLife: day},
				{Name: "h", Op: Recency},
				{Name: "i", Op: ShareOf, Share: []string{"buy"}},
				{Name: "j2_", Op: Decayed, Column: "value", HalfLife: day / maxHalfLives},
				{Name: "k", Op: First, Column: "x"},
				{Name: "l", Op: Last, Column: "kind"},
				{Name: "m", Op: ApproxDistinct, Column: "time"},
				{Name: "n", Op: Top, Column: "item", N: 1},
				{Name: "o", Op: Quantile, Column: "value", Quantile: 0.5},
				{Name: "p", Op: Sequence, N: maxN},
				{Name: "q", Op: Sum, Weights: map[string]float64{"view": 0, "hide": -maxWeight}},
				{Name: "r", Op: Decayed, HalfLife: day, Column: "x", Weights: map[string]float64{"rate": 1e-9}, Explicit: []string{"rate"}, Kinds: []string{"rate"}},
				{Name: "s", Op: ShareOf, Column: "device", Share: []string{"web"}, Kinds: []string{"buy"}},
				{Name: "t", Op: Count, Where: []Condition{{Column: "device", In: []string{"web"}, Not: true}, {Column: "x", Min: ptr(1), Max: ptr(1)}, {Column: "value", Max: ptr(-MaxValue)}}},
			}
		}), nil},
		{"a pair as key", with(func(v *View) { v.Key = "subject+item" }), nil},
		{"a context column as key, and a hop", with(func(v *View) { v.Key, v.Hop = "device", time.Minute }), nil},
		{"no name", with(func(v *View) { v.Name = "" }), []string{"the name must be"}},
		{"bad name", with(func(v *View) { v.Name = "1d" }), []string{"the name must be"}},
		{"long name", with(func(v *View) { v.Name = strings.Repeat("a", 64) }), []string{"the name must be"}},
		{"no key", with(func(v *View) { v.Key = "" }), []string{`key "": must be "subject", "item"`}},
		{"half a pair", with(func(v *View) { v.Key = "subject+" }), []string{`key "subject+": must be`}},
		{"three keys", with(func(v *View) { v.Key = "a+b+c" }), []string{`key "a+b+c": must be`}},
		{"a key twice", with(func(v *View) { v.Key = "item+item" }), []string{`"item" can't be a part of it`}},
		{"time as key", with(func(v *View) { v.Key = "time" }), []string{`"time" can't be a part of it`}},
		{"value in a key", with(func(v *View) { v.Key = "subject+value" }), []string{`"value" can't be a part of it`}},
		{"a key named as a column of states", with(func(v *View) { v.Key = "state" }), []string{`"state" can't be a part of it`}},
		{"a key named as a column of views", with(func(v *View) { v.Key = "item+entity" }), []string{`"entity" can't be a part of it`}},
		{"a feature named as a key", with(func(v *View) { v.Key, v.Windows = "item+n_1d", []time.Duration{time.Hour, day} }), []string{"its column n_1d is named as a column of the key"}},
		{"hop of seconds", with(func(v *View) { v.Hop = 59 * time.Second }), []string{"hop 59s: must be a whole number of seconds, at least 1m"}},
		{"hop of parts of a second", with(func(v *View) { v.Hop = time.Minute + time.Millisecond }), []string{"hop 1m0.001s"}},
		{"hop back", with(func(v *View) { v.Hop = -time.Hour }), []string{"hop -1h0m0s"}},
		{"no windows", with(func(v *View) { v.Windows = nil }), []string{"no windows"}},
		{"too many windows", with(func(v *View) {
			v.Windows = nil
			for i := range 33 {
				v.Windows = append(v.Windows, time.Duration(i+1)*time.Hour)
			}
		}), []string{"33 windows"}},
		{"window of zero", with(func(v *View) { v.Windows = []time.Duration{0} }), []string{"window 0s"}},
		{"window of a part of a second", with(func(v *View) { v.Windows = []time.Duration{1500 * time.Millisecond} }), []string{"window 1.5s"}},
		{"window of ages", with(func(v *View) { v.Windows = []time.Duration{40000 * day} }), []string{"window 960000h0m0s"}},
		{"window twice", with(func(v *View) { v.Windows = []time.Duration{day, time.Hour, day} }), []string{"window 1d is declared twice"}},
		{"no features", with(func(v *View) { v.Features = nil }), []string{"no features"}},
		{"feature twice", with(func(v *View) { v.Features = append(v.Features, v.Features[0]) }), []string{"declared twice"}},
		{"unsorted", with(func(v *View) { v.Features = append(v.Features, Feature{Name: "a", Op: Count}) }), []string{"sorted by name"}},
		{"too many features", with(func(v *View) {
			v.Features = nil
			for i := range 257 {
				v.Features = append(v.Features, Feature{Name: fmt.Sprintf("f%03d", i), Op: Count})
			}
		}), []string{"257 features"}},
		{"feature name", feature(Feature{Name: "A", Op: Count}), []string{"the name must be"}},
		{"unknown operator", feature(Feature{Op: "median"}), []string{`unknown operator "median"`}},
		{"no operator", feature(Feature{}), []string{`unknown operator ""`}},
		{"sum without column", feature(Feature{Op: Sum}), []string{"sum needs a column, or weights"}},
		{"sum of items", feature(Feature{Op: Sum, Column: "item"}), []string{"sum needs a column of numbers"}},
		{"max of times", feature(Feature{Op: Max, Column: "time"}), []string{"max needs a column of numbers"}},
		{"decayed kinds", feature(Feature{Op: Decayed, Column: "kind", HalfLife: day}), []string{"decayed needs a column of numbers"}},
		{"half-life too short", feature(Feature{Op: Decayed, HalfLife: day/maxHalfLives - time.Microsecond}), []string{"is under 1/500 of the longest window"}},
		{"half-life below a microsecond", feature(Feature{Op: Decayed, HalfLife: day + 1}), []string{"must be a whole number of microseconds"}},
		{"decayed without half-life", feature(Feature{Op: Decayed}), []string{"half_life above zero"}},
		{"count with half-life", feature(Feature{Op: Count, HalfLife: 1}), []string{"half_life belongs to decayed"}},
		{"count of a column", feature(Feature{Op: Count, Column: "value"}), []string{"count takes no column"}},
		{"distinct of nothing", feature(Feature{Op: Distinct}), []string{"distinct needs a column"}},
		{"distinct of the key", feature(Feature{Op: Distinct, Column: "subject"}), []string{"always 1"}},
		{"kind twice", feature(Feature{Op: Count, Kinds: []string{"a", "b", "a"}}), []string{`kind "a" in the filter`}},
		{"empty kind", feature(Feature{Op: Count, Kinds: []string{""}}), []string{`kind "" in the filter`}},
		{"first of nothing", feature(Feature{Op: First}), []string{"first needs a column"}},
		{"top of nothing", feature(Feature{Op: Top, N: 1}), []string{"top needs a column"}},
		{"approximately nothing", feature(Feature{Op: ApproxDistinct}), []string{"approx_distinct needs a column"}},
		{"approximately the key", with(func(v *View) {
			v.Key, v.Features = "item+device", []Feature{{Name: "f", Op: ApproxDistinct, Column: "device"}}
		}), []string{"always 1"}},
		{"last subject", feature(Feature{Op: Last, Column: "subject"}), []string{"never name a subject or a moment"}},
		{"top of times", feature(Feature{Op: Top, Column: "time", N: 1}), []string{"never name a subject or a moment"}},
		{"sequence of subjects", feature(Feature{Op: Sequence, Column: "subject", N: 1}), []string{"never name a subject or a moment"}},
		{"recency of a column", feature(Feature{Op: Recency, Column: "item"}), []string{"recency takes no column"}},
		{"top without n", feature(Feature{Op: Top, Column: "item"}), []string{"top needs n, from 1 to 1000"}},
		{"sequence of too many", feature(Feature{Op: Sequence, N: maxN + 1}), []string{"sequence needs n, from 1 to 1000"}},
		{"sequence of less than none", feature(Feature{Op: Sequence, N: -1}), []string{"sequence needs n"}},
		{"n of a count", feature(Feature{Op: Count, N: 3}), []string{"n belongs to top and sequence, not to count"}},
		{"quantile of nothing", feature(Feature{Op: Quantile, Quantile: 0.5}), []string{"quantile needs a column"}},
		{"quantile of items", feature(Feature{Op: Quantile, Column: "item", Quantile: 0.5}), []string{"quantile needs a column of numbers"}},
		{"quantile without q", feature(Feature{Op: Quantile, Column: "value"}), []string{"quantile needs q, between 0 and 1"}},
		{"quantile of all", feature(Feature{Op: Quantile, Column: "value", Quantile: 1}), []string{"quantile needs q"}},
		{"quantile of no number", feature(Feature{Op: Quantile, Column: "value", Quantile: math.NaN()}), []string{"quantile needs q"}},
		{"q of a mean", feature(Feature{Op: Mean, Column: "value", Quantile: 0.5}), []string{"q belongs to quantile, not to mean"}},
		{"weights of a count", feature(Feature{Op: Count, Weights: map[string]float64{"a": 1}}), []string{"weights belong to sum and decayed, not to count"}},
		{"a weight of no kind", feature(Feature{Op: Sum, Weights: map[string]float64{"": 1}}), []string{"a weight has no kind"}},
		{"a weight that is no number", feature(Feature{Op: Sum, Weights: map[string]float64{"a": math.NaN()}}), []string{`the weight of "a" must be a number`}},
		{"an infinite weight", feature(Feature{Op: Sum, Weights: map[string]float64{"a": math.Inf(-1)}}), []string{`the weight of "a" must be a number`}},
		{"a huge weight", feature(Feature{Op: Sum, Weights: map[string]float64{"a": 2e9}}), []string{`the weight of "a" must be`}},
		{"a tiny weight", feature(Feature{Op: Sum, Weights: map[string]float64{"a": 1e-10}}), []string{`the weight of "a" must be`}},
		{"a weight outside the filter", feature(Feature{Op: Sum, Kinds: []string{"b"}, Weights: map[string]float64{"a": 1, "b": 1}}), []string{`kind "a" has a weight and never passes the filter b`}},
		{"explicit without a weight", feature(Feature{Op: Sum, Column: "value", Weights: map[string]float64{"a": 1}, Explicit: []string{"b"}}), []string{`explicit kind "b" has no weight`}},
		{"explicit twice", feature(Feature{Op: Sum, Column: "value", Weights: map[string]float64{"a": 1}, Explicit: []string{"a", "a"}}), []string{`explicit kind "a" has no weight, or is listed twice`}},
		{"weights of a column, none explicit", feature(Feature{Op: Sum, Column: "value", Weights: map[string]float64{"a": 1}}), []string{"say which kinds of the weights are explicit, that is, multiply value"}},
		{"explicit, of no column", feature(Feature{Op: Sum, Weights: map[string]float64{"a": 1}, Explicit: []string{"a"}}), []string{"explicit kinds need the column"}},
		{"a condition on nothing", feature(Feature{Op: Count, Where: []Condition{{In: []string{"a"}}}}), []string{"a condition has no column"}},
		{"a condition that says nothing", feature(Feature{Op: Count, Where: []Condition{{Column: "device"}}}), []string{"neither which values nor which range"}},
		{"a condition of both", feature(Feature{Op: Count, Where: []Condition{{Column: "x", In: []string{"a"}, Max: ptr(1)}}}), []string{"names values and a range"}},
		{"a range of items", feature(Feature{Op: Count, Where: []Condition{{Column: "item", Min: ptr(1)}}}), []string{`condition on "item" does not fit`}},
		{"texts of values", feature(Feature{Op: Count, Where: []Condition{{Column: "value", In: []string{"1"}}}}), []string{`condition on "value" does not fit`}},
		{"a condition on subjects", feature(Feature{Op: Count, Where: []Condition{{Column: "subject", Min: ptr(1)}}}), []string{`condition on "subject" does not fit`}},
		{"a condition on times", feature(Feature{Op: Count, Where: []Condition{{Column: "time", Min: ptr(1)}}}), []string{`condition on "time" does not fit`}},
		{"a bound that is no number", feature(Feature{Op: Count, Where: []Condition{{Column: "x", Min: ptr(math.NaN())}}}), []string{"a bound that is no number"}},
		{"an infinite bound", feature(Feature{Op: Count, Where: []Condition{{Column: "x", Max: ptr(math.Inf(1))}}}), []string{"a bound that is no number"}},
		{"bounds that cross", feature(Feature{Op: Count, Where: []Condition{{Column: "x", Min: ptr(2), Max: ptr(1)}}}), []string{"a minimum above its maximum"}},
		{"a text twice", feature(Feature{Op: Count, Where: []Condition{{Column: "x", In: []string{"a", "a"}}}}), []string{"empty or listed twice"}},
		{"an empty text", feature(Feature{Op: Count, Where: []Condition{{Column: "x", In: []string{""}}}}), []string{"empty or listed twice"}},
		{"share of nothing", feature(Feature{Op: ShareOf}), []string{"share needs the values of its numerator"}},
		{"share twice", feature(Feature{Op: ShareOf, Share: []string{"a", "a"}}), []string{`share kind "a" is empty or listed twice`}},
		{"share outside the filter", feature(Feature{Op: ShareOf, Kinds: []string{"view"}, Share: []string{"buy"}}), []string{"never passes the filter view"}},
		{"share of a count", feature(Feature{Op: Count, Share: []string{"buy"}}), []string{"share kinds belong to share"}},
		{
			"several",
			View{Features: []Feature{{Name: "x", Op: Sum}, {Name: "y", Op: ShareOf}}},
			[]string{"the name must be", `key ""`, "no windows", "sum needs a column", "share needs the values"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			faults := unjoin(c.view.Validate())
			if len(faults) != len(c.want) {
				t.Fatalf("faults %q, want %d", faults, len(c.want))
			}
			for i, err := range faults {
				var f *Fault
				if !errors.As(err, &f) || f.View != c.view.Name || !strings.Contains(f.Problem, c.want[i]) {
					t.Errorf("fault %q, want %q in view %q", err, c.want[i], c.view.Name)
				}
			}
		})
	}
	if faults := unjoin(Validate([]View{valid(), valid()})); len(faults) != 1 || faults[0].Error() != `view "v": a second view has this name: rename one` {
		t.Errorf("two views of one name: %q", faults)
	}
	if got := (&Fault{View: "v", Feature: "f", Problem: "p"}).Error(); got != `view "v", feature "f": p` {
		t.Errorf("%s", got)
	}
}

// All views together may name 65,000 values of a column: whatever the feature that goes beyond names them for, it is told.
func TestValidateNamedValues(t *testing.T) {
	var values []string
	for i := range 65_000 {
		values = append(values, fmt.Sprint("value ", i))
	}
	views := func(second Feature) []View {
		a, b := valid(), valid()
		a.Features = []Feature{{Name: "a", Op: Count, Where: []Condition{{Column: "x", In: values[:40_000]}}}, {Name: "b", Op: Count, Kinds: values}}
		b.Name, second.Name = "w", "f"
		b.Features = []Feature{second}
		return []View{a, b}
	}
	for _, c := range []struct {
		second Feature
		fault  string
	}{
		{Feature{Op: Count, Where: []Condition{{Column: "x", In: values[20_000:], Not: true}}}, ""},
		{Feature{Op: ShareOf, Column: "x", Share: values}, ""},
		{Feature{Op: Count, Kinds: []string{"value 7"}}, ""},
		{Feature{Op: Count, Where: []Condition{{Column: "x", In: values[30_000:]}, {Column: "x", In: []string{"other"}}}}, "x"},
		{Feature{Op: ShareOf, Column: "x", Share: append([]string{"other"}, values...)}, "x"},
		{Feature{Op: ShareOf, Share: []string{"other"}}, "kind"},
		{Feature{Op: Count, Kinds: []string{"other"}}, "kind"},
		{Feature{Op: Sum, Weights: map[string]float64{"other": 2}}, "kind"},
	} {
		err := Validate(views(c.second))
		if c.fault == "" {
			if err != nil {
				t.Errorf("%s: %v", c.second.Op, err)
			}
			continue
		}
		want := fmt.Sprintf(`view "w", feature "f": with it, 65001 values of %q are named in all views: at most 65000`, c.fault)
		if faults := unjoin(err); len(faults) != 1 || !strings.HasPrefix(faults[0].Error(), want) {
			t.Errorf("%s: %v, want %s", c.second.Op, err, want)
		}
	}
}

func unjoin(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return nil
}

// exact is the oracle of Total: a sum in 2,200 bits, rounded once.
func exact(xs []float64) float64 {
	sum := new(big.Float).SetPrec(2200)
	for _, x := range xs {
		sum.Add(sum, new(big.Float).SetPrec(2200).SetFloat64(x))
	}
	f, _ := sum.Float64()
	return f + 0
}

func total(xs []float64) float64 {
	var t Total
	for _, x := range xs {
		t.Add(x)
	}
	return t.Result()
}

func TestTotalByHand(t *testing.T) {
	for _, c := range []struct {
		xs   []float64
		want float64
	}{
		{nil, 0},
		{[]float64{math.Copysign(0, -1)}, 0},
		{[]float64{1e16, 1, -1e16}, 1},
		{[]float64{0.1, 0.2, 0.3}, 0.6},
		{[]float64{1, 0x1p-53}, 1},                     // a tie goes to even
		{[]float64{1 + 0x1p-52, 0x1p-53}, 1 + 0x1p-51}, // and here even is above
		{[]float64{1, 0x1p-53, 0x1p-1074}, 1 + 0x1p-52},
		{[]float64{1, 0x1p-53, -0x1p-1074}, 1},
		{[]float64{MaxValue, MaxValue, -MaxValue}, MaxValue},
		{[]float64{5e-324, 5e-324}, 1e-323},
		{[]float64{3, -3}, 0},
	} {
		if got := total(c.xs); math.Float64bits(got) != math.Float64bits(c.want) {
			t.Errorf("Σ %v = %v, want %v", c.xs, got, c.want)
		}
	}
}

// Any order, any split into parts: the same bits, and those of the exact sum.
func TestTotalIsExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		xs := make([]float64, rng.IntN(60))
		for i := range xs {
			switch rng.IntN(4) {
			case 0: // anything computable
				for xs[i] = math.NaN(); !Computable(xs[i]); {
					xs[i] = math.Float64frombits(rng.Uint64())
				}
			case 1: // cancels an earlier one
				xs[i] = -xs[rng.IntN(i+1)]
			default:
				xs[i] = math.Ldexp(rng.NormFloat64(), rng.IntN(120)-60)
			}
		}
		want := exact(xs)
		if got := total(xs); math.Float64bits(got) != math.Float64bits(want) {
			t.Fatalf("Σ %v = %v, want %v", xs, got, want)
		}
		rng.Shuffle(len(xs), func(i, j int) { xs[i], xs[j] = xs[j], xs[i] })
		parts := make([]Total, 1+rng.IntN(4))
		for _, x := range xs {
			parts[rng.IntN(len(parts))].Add(x)
		}
		var merged Total
		for i := range parts {
			merged.Merge(&parts[i])
		}
		if got := merged.Result(); math.Float64bits(got) != math.Float64bits(want) {
			t.Fatalf("merged Σ %v = %v, want %v", xs, got, want)
		}
		if n := len(merged.partials); n > 40 {
			t.Fatalf("%d partials", n)
		}
	}
}

func FuzzTotal(f *testing.F) {
	f.Add(1e16, 1.0, -1e16, 0x1p-53)
	f.Add(1.0, 0x1p-53, 0x1p-106, -0x1p-1074)
	f.Fuzz(func(t *testing.T, a, b, c, d float64) {
		xs := []float64{a, b, c, d, a, -b, c}
		for _, x := range xs {
			if !Computable(x) {
				return
			}
		}
		if got, want := total(xs), exact(xs); math.Float64bits(got) != math.Float64bits(want) {
			t.Errorf("Σ %v = %v, want %v", xs, got, want)
		}
	})
}

func TestComputable(t *testing.T) {
	for x, want := range map[float64]bool{
		0: true, -1: true, MaxValue: true, -MaxValue: true, 5e-324: true,
		math.Nextafter(MaxValue, math.Inf(1)): false, math.Inf(1): false, math.Inf(-1): false, math.NaN(): false,
	} {
		if Computable(x) != want {
			t.Errorf("%v: %v", x, !want)
		}
	}
}

func BenchmarkTotalAdd(b *testing.B) {
	prices := make([]float64, 1000)
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range prices {
		prices[i] = float64(rng.IntN(10000)) / 100
	}
	b.Run("prices=1000", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			total(prices)
		}
	})
}
