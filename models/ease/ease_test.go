package ease

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/modelstest"
)

func TestConformance(t *testing.T) {
	modelstest.TestTrainer(t, &Trainer{Hyper: Defaults()}, Load)
}

func TestConformanceWithDecayOfConfidencesAndATail(t *testing.T) {
	h := Defaults()
	h.Values, h.HalfLife, h.Items, h.Neighbours = Confidence, 30*24*time.Hour, 16, 5
	modelstest.TestTrainer(t, &Trainer{Hyper: h}, Load)
}

const hour = int64(3600 * 1e6)

// world returns random events: popularity falls with the position, and subjects keep to one half of the items.
func world(seed uint64, subjects, items int) *models.Dataset {
	rng := rand.New(rand.NewPCG(seed, 7))
	d := &models.Dataset{Catalog: &models.Catalog{}, Kinds: []string{"buy"}, Cuts: models.Cuts{End: 2000 * hour, Test: 2000 * hour, Validation: 2000 * hour, Rerank: 2000 * hour}}
	for i := range items {
		d.Catalog.IDs = append(d.Catalog.IDs, fmt.Sprintf("i%05d", i))
	}
	var events []models.Event
	for s := range subjects {
		for range 4 + rng.IntN(12) {
			item := int(float64(items) * rng.Float64() * rng.Float64())
			if item%2 != s%2 && rng.IntN(4) > 0 {
				item ^= 1
			}
			events = append(events, models.Event{Subject: uint64(s + 1), Item: int32(min(item, items-1)), Time: rng.Int64N(2000 * hour), Weight: float32(1 + rng.IntN(3))})
		}
	}
	d.Events = models.NewEventLog(events)
	return d
}

// textbook is EASE in float64 with dense matrices: B by Gauss–Jordan, the counts of common subjects, and the diagonal of P.
type textbook struct {
	n      int
	b      []float64 // i×j: how much i speaks for j
	common []int
	p      []float64 // of the inverse's diagonal
	lambda float64
}

func (x *textbook) at(i, j int) float64 { return x.b[i*x.n+j] }

// oracle follows Steck 2019 over all items, or, with a core of fewer, over the most popular ones, and regresses the others on them.
func oracle(d *models.Dataset, h Hyper) *textbook {
	n := d.Catalog.Len()
	x := make([][]float64, len(d.Events.Subjects))
	count := make([]int, n)
	for s := range x {
		x[s] = make([]float64, n)
		seen := make([]bool, n)
		hist := d.Events.Subject(s)
		for e, i := range hist.Item {
			decay := 1.0
			if h.HalfLife > 0 {
				decay = math.Pow(.5, float64(d.Cuts.Test-hist.Time[e])/float64(h.HalfLife/time.Microsecond))
			}
			if h.Values == Confidence {
				x[s][i] += float64(hist.Weight[e]) * decay
			} else {
				x[s][i] = math.Max(x[s][i], decay)
			}
			seen[i] = true
		}
		for i := range n {
			if seen[i] {
				count[i]++
			}
			if h.Values == Confidence && h.Saturation > 0 {
				x[s][i] = h.Saturation * math.Log(1+x[s][i]/h.Saturation)
			}
		}
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(count[b], count[a]) })
	order = slices.DeleteFunc(order, func(i int) bool { return count[i] < h.MinSubjects })
	core := order[:min(len(order), h.Items)]
	o := &textbook{n: n, b: make([]float64, n*n), common: make([]int, n*n), p: make([]float64, n)}
	g := make([]float64, n*n)
	for _, row := range x {
		for i := range n {
			for j := range n {
				g[i*n+j] += row[i] * row[j]
				if row[i] > 0 && row[j] > 0 {
					o.common[i*n+j]++
				}
			}
		}
	}
	var trace float64
	for _, i := range core {
		trace += g[i*n+i]
	}
	o.lambda = cmp.Or(h.Regularization, ruleFor(trace/float64(len(core))))
	c := len(core)
	a := make([]float64, c*2*c)
	for i := range c {
		for j := range c {
			a[i*2*c+j] = g[core[i]*n+core[j]]
		}
		a[i*2*c+i] += o.lambda
		a[i*2*c+c+i] = 1
	}
	for k := range c {
		pivot := a[k*2*c+k]
		for j := range 2 * c {
			a[k*2*c+j] /= pivot
		}
		for i := range c {
			if f := a[i*2*c+k]; i != k {
				for j := range 2 * c {
					a[i*2*c+j] -= f * a[k*2*c+j]
				}
			}
		}
	}
	p := func(i, j int) float64 { return a[i*2*c+c+j] }
	for j := range c {
		o.p[core[j]] = p(j, j)
		for i := range c {
			if i != j {
				o.b[core[i]*n+core[j]] = -p(i, j) / p(j, j)
			}
		}
	}
	for _, t := range order[len(core):] {
		o.p[t] = 1 / (g[t*n+t] + o.lambda)
		for i := range c {
			for k := range c {
				o.b[core[i]*n+t] += p(i, k) * g[core[k]*n+t]
			}
		}
	}
	return o
}

func fitted(t *testing.T, d *models.Dataset, h Hyper) *Model {
	t.Helper()
	if err := d.Validate(); err != nil {
		t.Fatal(err)
	}
	m, err := (&Trainer{Hyper: h}).Train(t.Context(), d, d.Cuts.Test, 1)
	if err != nil {
		t.Fatal(err)
	}
	return m.(*Model)
}

func bound(t *testing.T, m *Model, d *models.Dataset) *scorer {
	t.Helper()
	s, err := m.Bind(t.Context(), d.Catalog, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s.(*scorer)
}

var shapes = map[string]Hyper{
	"binary":         {MinSubjects: 1},
	"fixed":          {MinSubjects: 1, Regularization: 30},
	"decayed":        {MinSubjects: 1, HalfLife: 500 * time.Hour},
	"confidence":     {MinSubjects: 1, Values: Confidence, Saturation: 4, HalfLife: 500 * time.Hour},
	"counted":        {MinSubjects: 1, Values: Confidence},
	"private":        {MinSubjects: 7},
	"tail":           {MinSubjects: 1, Items: 20},
	"private tail":   {MinSubjects: 5, Items: 20},
	"weighted tail":  {MinSubjects: 3, Items: 25, Values: Confidence, Saturation: 2, HalfLife: 300 * time.Hour},
	"core of one":    {MinSubjects: 1, Items: 1},
	"few neighbours": {MinSubjects: 1, Neighbours: 6},
}

// Every weight agrees with the oracle to float32's precision; pairs of fewer than MinSubjects subjects, and all but the strongest
// Neighbours, weigh nothing.
func TestWeightsAreTheTextbooks(t *testing.T) {
	for name, h := range shapes {
		t.Run(name, func(t *testing.T) {
			d := world(3, 250, 50)
			s := bound(t, fitted(t, d, h), d)
			h = h.withDefaults()
			o := oracle(d, h)
			kept, dropped, weak := 0, 0, 0
			for j := range o.n {
				var least float64 = math.Inf(1) // kept, by magnitude
				for i := range o.n {
					if w := float64(s.weight(int32(i), int32(j))); w != 0 {
						least = math.Min(least, math.Abs(w))
					}
				}
				for i := range o.n {
					got, want := float64(s.weight(int32(i), int32(j))), o.at(i, j)
					switch {
					case o.common[i*o.n+j] < h.MinSubjects:
						if got != 0 {
							t.Fatalf("%d speaks for %d with %v, and %d subjects have both", i, j, got, o.common[i*o.n+j])
						}
						if want != 0 && i != j {
							dropped++
						}
					case got == 0 && math.Abs(want) <= least+1e-6 && len(s.into(int32(j))) == h.Neighbours:
						weak++
					case math.Abs(got-want) > 2e-6*(1+math.Abs(want)):
						t.Fatalf("%d speaks for %d with %v, want %v", i, j, got, want)
					case got != 0:
						kept++
					}
				}
			}
			if kept == 0 && name != "core of one" || h.MinSubjects > 1 && dropped == 0 || h.Neighbours < 50 && weak == 0 {
				t.Errorf("kept %d, dropped %d and %d weak ones: the case tests nothing", kept, dropped, weak)
			}
		})
	}
}

// A tail item of many companions keeps those of the highest cosine, and each weight is still the textbook's.
func TestTailOfFewNeighbours(t *testing.T) {
	d, h := world(3, 250, 50), Hyper{MinSubjects: 1, Items: 20, Neighbours: 3}
	s := bound(t, fitted(t, d, h), d)
	o := oracle(d, h.withDefaults())
	full := 0
	for j := range int32(o.n) {
		into := s.into(j)
		for _, i := range into {
			if got, want := float64(s.weight(i, j)), o.at(int(i), int(j)); math.Abs(got-want) > 2e-6*(1+math.Abs(want)) {
				t.Errorf("%d speaks for %d with %v, want %v", i, j, got, want)
			}
		}
		if len(into) > 3 {
			t.Errorf("%d items speak for %d", len(into), j)
		}
		if len(into) == 3 && s.off[j] == s.off[j+1] {
			full++
		}
	}
	if full < 20 {
		t.Errorf("%d tail items have as many neighbours as they may", full)
	}
}

// into returns the items that speak for item.
func (s *scorer) into(item int32) []int32 {
	t := s.turn()
	return t.col[t.off[item]:t.off[item+1]]
}

// A score is Σ x_j·B_ji, and taking item j's events out of the history lowers it by exactly what the explanation says.
func TestDeletionIsTheContribution(t *testing.T) {
	for name, h := range shapes {
		d := world(5, 250, 50)
		s := bound(t, fitted(t, d, h), d)
		for row := range 10 {
			q := d.Query(row, d.Cuts.Test, 5)
			items := []int32{0, 1, 2, 3, 17, 40}
			a, err := s.Explain(t.Context(), &q, items)
			if err != nil {
				t.Fatal(err)
			}
			for src, source := range a.Sources {
				gone, _ := d.Catalog.Lookup(source.Ref)
				less := q
				less.History = models.History{}
				for e, i := range q.History.Item {
					if i != gone {
						less.History.Item = append(less.History.Item, i)
						less.History.Time = append(less.History.Time, q.History.Time[e])
						less.History.Kind = append(less.History.Kind, q.History.Kind[e])
						less.History.Weight = append(less.History.Weight, q.History.Weight[e])
					}
				}
				dst := make([]float32, 2*len(s.ids))
				if err := s.Score(t.Context(), []models.Query{q, less}, dst); err != nil {
					t.Fatal(err)
				}
				for k, i := range items {
					drop := float64(dst[i]) - float64(dst[len(s.ids)+int(i)])
					if want := a.Row(k)[src]; math.Abs(drop-want) > 1e-6 {
						t.Fatalf("%s: without %s item %d falls by %v, the explanation says %v", name, source.Ref, i, drop, want)
					}
				}
			}
		}
	}
}

// Nothing in a model tells of a pair that fewer than MinSubjects subjects have: one more such subject changes no entry's place.
func TestPairsOfFewSubjectsAreNotThere(t *testing.T) {
	h := Hyper{MinSubjects: 11, Regularization: 1}
	model := func(both int) *Model {
		var events []models.Event
		for s := range 60 {
			item := int32(s % 2)
			if s < both {
				events = append(events, models.Event{Subject: uint64(s + 1), Item: 1 - item, Weight: 1})
			}
			events = append(events, models.Event{Subject: uint64(s + 1), Item: item, Weight: 1})
		}
		return fitted(t, &models.Dataset{Catalog: &models.Catalog{IDs: []string{"a", "b"}}, Kinds: []string{"buy"}, Events: models.NewEventLog(events), Cuts: models.Cuts{Test: 1, Rerank: 1, Validation: 1, End: 1}}, h)
	}
	if m := model(10); len(m.col) != 0 || len(m.items) != 2 {
		t.Errorf("10 subjects have both of %v, and %d weights are kept", m.items, len(m.col))
	}
	if m := model(11); len(m.col) != 2 {
		t.Errorf("11 subjects have both of %v, and %d weights are kept", m.items, len(m.col))
	}
}

// The blocks that rows are turned in, and the number of workers, leave no trace.
func TestSameWeightsAtAnyNumberOfProcessors(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	d := world(9, 400, 120)
	for name, h := range shapes {
		var want *Model
		for _, procs := range []int{1, 2, 3, 8} {
			runtime.GOMAXPROCS(procs)
			m := fitted(t, d, h)
			if want == nil {
				want = m
			}
			if !slices.Equal(m.val, want.val) || !slices.Equal(m.col, want.col) || !slices.Equal(m.off, want.off) || !slices.Equal(m.scale, want.scale) {
				t.Fatalf("%s: at GOMAXPROCS %d the weights differ", name, procs)
			}
		}
	}
}

func TestSimilarItemsAreThoseOfTheHighestPartialCorrelation(t *testing.T) {
	for _, name := range []string{"binary", "private", "confidence"} {
		h := shapes[name]
		d := world(3, 250, 50)
		s := bound(t, fitted(t, d, h), d)
		h = h.withDefaults()
		o := oracle(d, h)
		for i := range int32(o.n) {
			var want []models.Scored
			for j := range int32(o.n) {
				if j != i && o.common[int(i)*o.n+int(j)] >= h.MinSubjects {
					want = append(want, models.Scored{Item: j, Score: float32(o.at(int(i), int(j)) * math.Sqrt(o.p[j]/o.p[i]))})
				}
			}
			items, scores := make([]int32, 5), make([]float32, 5)
			n := models.SelectRelated(want, items, scores)
			got, values := make([]int32, 5), make([]float32, 5)
			m, err := s.Related(t.Context(), models.RelatedSimilar, i, got, values)
			if err != nil || m != n {
				t.Fatalf("%s: item %d has %d similar ones, want %d: %v", name, i, m, n, err)
			}
			for k := range n {
				if math.Abs(float64(values[k]-scores[k])) > 1e-5 {
					t.Errorf("%s: item %d: %v of %v, want %v of %v", name, i, got[:n], values[:n], items[:n], scores[:n])
					break
				}
			}
		}
	}
}

func TestRelatedRefusesWhatItDoesNotKnow(t *testing.T) {
	d := world(3, 100, 20)
	s := bound(t, fitted(t, d, Hyper{MinSubjects: 1, Items: 10}), d)
	items, scores := make([]int32, 5), make([]float32, 5)
	if _, err := s.Related(t.Context(), models.RelatedTogether, 1, items, scores); err == nil {
		t.Error("a list of a kind that there is not")
	}
	for _, item := range []int32{-1, 20} {
		if _, err := s.Related(t.Context(), models.RelatedSimilar, item, items, scores); err == nil {
			t.Errorf("a list beside item %d of 20", item)
		}
	}
	tail := false
	for i := range int32(20) {
		n, err := s.Related(t.Context(), models.RelatedSimilar, i, items, scores)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(items[:n], i) {
			t.Errorf("item %d stands in its own list", i)
		}
		tail = tail || n > 0 && s.off[i] == s.off[i+1]
	}
	if !tail {
		t.Error("no item beyond the core has a list")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Related(ctx, models.RelatedSimilar, 1, items, scores); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancellation: %v", err)
	}
}

func TestBadInputIsNamed(t *testing.T) {
	d := world(3, 100, 20)
	for _, h := range []Hyper{
		{Values: "ternary"},
		{Regularization: -1},
		{Regularization: math.NaN()},
		{HalfLife: -1},
		{Items: -1},
		{Items: maxItems + 1},
		{Neighbours: -1},
		{MinSubjects: -1},
		{Saturation: math.Inf(1)},
	} {
		if _, err := (&Trainer{Hyper: h}).Train(t.Context(), d, d.Cuts.Test, 1); err == nil {
			t.Errorf("%+v is taken", h)
		}
	}
	// Two items that always go together, of weights beyond float32's squares.
	for i := range d.Events.Weight {
		d.Events.Weight[i] = 1e25
	}
	if _, err := (&Trainer{Hyper: Hyper{Values: Confidence, MinSubjects: 1}}).Train(t.Context(), d, d.Cuts.Test, 1); !errors.Is(err, ErrSingular) {
		t.Errorf("weights whose squares float32 cannot hold: %v", err)
	}
}

// A subject with very many events, an item that everybody has, and items that always go together.
func TestExtremeShapes(t *testing.T) {
	var events []models.Event
	for e := range 50_000 {
		events = append(events, models.Event{Subject: 1, Item: int32(e % 40), Time: int64(e), Weight: 1})
	}
	for s := range 200 {
		events = append(events, models.Event{Subject: uint64(s + 2), Item: 0, Weight: 1})
		if s%3 == 0 {
			events = append(events, models.Event{Subject: uint64(s + 2), Item: 1, Weight: 1}, models.Event{Subject: uint64(s + 2), Item: 2, Weight: 1})
		}
	}
	d := world(1, 1, 40)
	d.Events = models.NewEventLog(events)
	s := bound(t, fitted(t, d, Hyper{Regularization: 1e-3, MinSubjects: 1}), d)
	q := []models.Query{{At: d.Cuts.Test, History: models.History{Item: []int32{1}, Time: []int64{5}, Kind: []uint8{0}, Weight: []float32{1}}}}
	dst := make([]float32, 40)
	if err := s.Score(t.Context(), q, dst); err != nil {
		t.Fatal(err)
	}
	if i := slices.Index(dst, slices.Max(dst)); i != 2 {
		t.Errorf("who has 1 is offered %d (%v) before its constant companion 2 (%v)", i, dst[i], dst[2])
	}
}
