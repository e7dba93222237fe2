package drift

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func close12(a, b float64) bool { return math.Abs(a-b) <= 1e-12 }

// TestStatisticsByHand shows each statistic as arithmetic.
func TestStatisticsByHand(t *testing.T) {
	// p = (½, ½), q = (¼, ¾), m = (⅜, ⅝):
	// JS² = ½(½ ln(4/3) + ½ ln(4/5)) + ½(¼ ln(2/3) + ¾ ln(6/5)).
	p, q := []float64{0.5, 0.5}, []float64{0.25, 0.75}
	js := math.Sqrt(0.5*(0.5*math.Log(4./3)+0.5*math.Log(4./5)) + 0.5*(0.25*math.Log(2./3)+0.75*math.Log(6./5)))
	if got := jensenShannon(p, q); !close12(got, js) {
		t.Errorf("Jensen–Shannon %v, want %v", got, js)
	}
	// PSI = (½ − ¼) ln 2 + (½ − ¾) ln(2/3).
	if got, want := populationStability(p, q), 0.25*math.Log(2)-0.25*math.Log(2./3); !close12(got, want) {
		t.Errorf("PSI %v, want %v", got, want)
	}
	// Apart: JS is √ln 2. An empty bin counts as 0.0001 in the PSI: 2·(1 − 0.0001)·ln(10,000).
	if got := jensenShannon([]float64{1, 0}, []float64{0, 1}); !close12(got, math.Sqrt(math.Ln2)) {
		t.Errorf("Jensen–Shannon of disjoint levels %v, want √ln 2", got)
	}
	if got, want := populationStability([]float64{1, 0}, []float64{0, 1}), 2*(1-1e-4)*math.Log(1e4); !close12(got, want) {
		t.Errorf("PSI of disjoint levels %v, want %v", got, want)
	}
	// Evenly on [0,1] against evenly on [1,2]: every value moves by 1.
	if got := wasserstein([]float64{1, 0}, []float64{0, 1}, []float64{0, 1, 2}); !close12(got, 1) {
		t.Errorf("Wasserstein of a shift by 1 is %v", got)
	}
	// p = (½, 0, ½), q = (0, 1, 0) on [0,1), [1,2), [2,3]: F_p − F_q runs 0 → ½ → −½ → 0: ½·½ + (¼ + ¼)/(2·(½ + ½)) + ½·½ = ¼ + ¼ + ¼.
	if got := wasserstein([]float64{0.5, 0, 0.5}, []float64{0, 1, 0}, []float64{0, 1, 2, 3}); !close12(got, 0.75) {
		t.Errorf("Wasserstein with a crossing is %v, want ¾", got)
	}
}

// TestWassersteinAgainstSamples: the binned distance approaches that of the sorted samples.
func TestWassersteinAgainstSamples(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	const n = 40000
	a, b := make([]float64, n), make([]float64, n)
	for i := range a {
		a[i], b[i] = math.Exp(r.NormFloat64()), math.Exp(0.3+0.8*r.NormFloat64())
	}
	spec := NumericSpec("x", a)
	ref, cur := NewSummary(spec), NewSummary(spec)
	for i := range a {
		ref.AddNumber(uint64(i), a[i])
		cur.AddNumber(uint64(i), b[i])
	}
	lo, hi := spec.Edges[0], spec.Edges[len(spec.Edges)-1]
	slices.Sort(a)
	slices.Sort(b)
	var exact, mean, squares float64
	for i := range a {
		x := min(max(a[i], lo), hi)
		exact += math.Abs(x-min(max(b[i], lo), hi)) / n
		mean += x / n
	}
	for _, x := range a {
		squares += (min(max(x, lo), hi) - mean) * (min(max(x, lo), hi) - mean)
	}
	if std := math.Sqrt(squares / n); !(math.Abs(std/spec.Std-1) < 1e-9) {
		t.Errorf("standard deviation %v, want %v", spec.Std, std)
	}
	rep, err := Compare([]*Summary{ref}, []*Summary{cur}, Options{Replicates: 19})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := *rep.Columns[0].Effect, exact/spec.Std; math.Abs(got/want-1) > 0.05 {
		t.Errorf("binned effect %v, exact %v", got, want)
	}
}

// TestAdjust: sorted p .01 .02 .03 .5 times 4/rank are .04 .04 .04 .5, and stay so after the running minimum from the right.
func TestAdjust(t *testing.T) {
	nan := math.NaN()
	got := adjust([]float64{0.03, 0.5, nan, 0.01, 0.02})
	for i, want := range []float64{0.04, 0.5, nan, 0.04, 0.04} {
		if !close12(got[i], want) && !(want != want && got[i] != got[i]) {
			t.Errorf("adjusted %v at %d, want %v", got[i], i, want)
		}
	}
	if got := adjust([]float64{0.9, 0.9}); got[0] != 0.9 || got[1] != 0.9 { // ties share the larger rank
		t.Errorf("adjusted ties %v, want 0.9 0.9", got)
	}
}

func TestNumericSpec(t *testing.T) {
	few := NumericSpec("stars", []float64{5, 1, 1, 3.5, math.NaN()})
	if few.Edges != nil || !slices.Equal(few.Levels, []string{"1", "3.5", "5"}) {
		t.Errorf("three distinct numbers give %+v", few)
	}
	x := make([]float64, 1001)
	for i := range x {
		x[len(x)-1-i] = float64(i)
	}
	spec := NumericSpec("x", x)
	if want := []float64{1, 10, 50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 950, 990, 999}; !slices.Equal(spec.Edges, want) {
		t.Errorf("edges %v, want %v", spec.Edges, want)
	}
	// Nearly all rows are one value: still two ends.
	spike := make([]float64, 5000)
	for i := range 6 {
		spike[i] = float64(i)
	}
	if s := NumericSpec("spike", spike); len(s.Edges) < 2 || s.bins() < 1 {
		t.Errorf("a spike gives the edges %v", s.Edges)
	}
	// The streamed histogram cuts nearly the same bins, whatever the order and division.
	r := rand.New(rand.NewPCG(3, 3))
	whole, left, right := NewNumbers(), NewNumbers(), NewNumbers()
	values := make([]float64, 20000)
	for i := range values {
		values[i] = r.NormFloat64() * 50
		whole.Add(values[i])
	}
	for _, i := range r.Perm(len(values)) {
		if i%3 == 0 {
			left.Add(values[i])
		} else {
			right.Add(values[i])
		}
	}
	whole.Add(math.NaN())
	left.Merge(right)
	a, err := whole.Spec("x")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := left.Spec("x")
	if !slices.Equal(a.Edges, b.Edges) || a.Std != b.Std {
		t.Errorf("merged histograms cut %v, one cuts %v", b.Edges, a.Edges)
	}
	exact := NumericSpec("x", values)
	for i, e := range exact.Edges {
		if math.Abs(a.Edges[i]-e) > 0.011*math.Abs(e)+1e-9 {
			t.Errorf("edge %d is %v, exactly %v", i, a.Edges[i], e)
		}
	}
	if _, err := NewNumbers().Spec("x"); err == nil {
		t.Error("no value gave no error")
	}
}

// TestSummary: every row falls into one bin, whatever the order and division of the rows; results add up.
func TestSummary(t *testing.T) {
	spec := Spec{Name: "x", Edges: []float64{0, 1, 2, 4}, Std: 1}
	s := NewSummary(spec)
	for _, v := range []float64{-5, 0, 0.5, 1, 1.99, 2, 3, 4, 99, math.Inf(1), math.Inf(-1), math.NaN()} {
		s.AddNumber(1, v)
	}
	s.AddLevel(2, "1.5")
	s.AddLevel(2, "many")
	d := s.Result()
	if !slices.Equal(d.Bins, []int64{3, 3, 4}) || d.Nulls != 4 || d.Rows != 14 {
		t.Errorf("bins %v, nulls %d, rows %d; want [3 3 4], 4, 14", d.Bins, d.Nulls, d.Rows)
	}
	levels := Spec{Name: "k", Levels: []string{"buy", "view"}}
	a, b, whole := NewSummary(levels), NewSummary(levels), NewSummary(levels)
	for i := range 1000 {
		level := []string{"buy", "view", "share", "view"}[i%4]
		part := a
		if i%3 == 0 {
			part = b
		}
		part.AddLevel(uint64(i%70), level)
		whole.AddLevel(uint64(i%70), level)
	}
	if err := a.Merge(b); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(a.counts, whole.counts) {
		t.Error("merged parts differ from the whole")
	}
	if d := whole.Result(); !slices.Equal(d.Bins, []int64{250, 500, 250}) {
		t.Errorf("levels %v, want 250 buy, 500 view, 250 others", d.Bins)
	}
	if a.Merge(NewSummary(spec)) == nil {
		t.Error("summaries of different bins merged")
	}
	// One subject with all rows is one cluster.
	one := NewSummary(levels)
	for range 100 {
		one.AddLevel(9, "buy")
	}
	if e := one.Result().EffectiveClusters; e != 1 {
		t.Errorf("one subject makes %v effective clusters", e)
	}
}
