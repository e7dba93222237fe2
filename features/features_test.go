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
				{Name: "j2_", Op: Decayed, Column: "value", HalfLife: 1},
			}
		}), nil},
		{"no name", with(func(v *View) { v.Name = "" }), []string{"the name must be"}},
		{"bad name", with(func(v *View) { v.Name = "1d" }), []string{"the name must be"}},
		{"long name", with(func(v *View) { v.Name = strings.Repeat("a", 64) }), []string{"the name must be"}},
		{"key", with(func(v *View) { v.Key = "user" }), []string{`key "user": must be "subject" or "item"`}},
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
		{"sum without column", feature(Feature{Op: Sum}), []string{"sum needs a column"}},
		{"sum of items", feature(Feature{Op: Sum, Column: "item"}), []string{"sum needs a column of numbers"}},
		{"max of times", feature(Feature{Op: Max, Column: "time"}), []string{"max needs a column of numbers"}},
		{"decayed kinds", feature(Feature{Op: Decayed, Column: "kind", HalfLife: 1}), []string{"decayed needs a column of numbers"}},
		{"decayed without half-life", feature(Feature{Op: Decayed}), []string{"half_life above zero"}},
		{"count with half-life", feature(Feature{Op: Count, HalfLife: 1}), []string{"half_life belongs to decayed"}},
		{"count of a column", feature(Feature{Op: Count, Column: "value"}), []string{"count takes no column"}},
		{"distinct of nothing", feature(Feature{Op: Distinct}), []string{"distinct needs a column"}},
		{"distinct of the key", feature(Feature{Op: Distinct, Column: "subject"}), []string{"always 1"}},
		{"kind twice", feature(Feature{Op: Count, Kinds: []string{"a", "b", "a"}}), []string{`kind "a" in the filter`}},
		{"empty kind", feature(Feature{Op: Count, Kinds: []string{""}}), []string{`kind "" in the filter`}},
		{"share of nothing", feature(Feature{Op: ShareOf}), []string{"share needs the kinds"}},
		{"share twice", feature(Feature{Op: ShareOf, Share: []string{"a", "a"}}), []string{`share kind "a" is empty or listed twice`}},
		{"share outside the filter", feature(Feature{Op: ShareOf, Kinds: []string{"view"}, Share: []string{"buy"}}), []string{"never passes the filter view"}},
		{"share of a count", feature(Feature{Op: Count, Share: []string{"buy"}}), []string{"share kinds belong to share"}},
		{
			"several",
			View{Features: []Feature{{Name: "x", Op: Sum}, {Name: "y", Op: ShareOf}}},
			[]string{"the name must be", `key ""`, "no windows", "sum needs a column", "share needs the kinds"},
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
