package als

import (
	"math"
	"math/rand/v2"
	"testing"
)

// ruled returns what the rules make of n random pairs of weight w.
func ruled(t *testing.T, subjects, items, n int, w float32, h Hyper) Hyper {
	t.Helper()
	r := rand.New(rand.NewPCG(6, uint64(n)))
	var events []event
	for _, k := range r.Perm(subjects * items)[:n] {
		events = append(events, event{k / items, int32(k % items), 1, w})
	}
	h.MinSubjects = 1
	h = h.withDefaults()
	p, err := collect(dataset(items, events), 10, &h)
	if err != nil {
		t.Fatal(err)
	}
	h.Dim, h.Regularization = dimFor(len(p.bySubj.col), p.subjects, len(p.items)), h.ruleFor(p)
	return h
}

// Two subjects who each chose the same two items, α₀ = ½, ν = 1: every # is 2 + ½·2 = 3, the noise is √2 + √2, so λ = .35·2√2/3.
func TestRuleByHand(t *testing.T) {
	h := Hyper{Weight: .5, Exponent: 1, MinSubjects: 1, Epochs: 1}
	m := train(t, dataset(2, []event{{0, 0, 5, 1}, {0, 1, 5, 1}, {1, 0, 5, 1}, {1, 1, 5, 1}}), h, 10)
	if got, want := m.hyper.Regularization, .35*2*math.Sqrt2/3; math.Abs(got-want) > 1e-12 {
		t.Errorf("the model states λ = %g, want %g", got, want)
	}
	if m.hyper.Dim != 16 {
		t.Errorf("the model states d = %d, want 16: two rows a side need no more lanes", m.hyper.Dim)
	}
	h.Regularization = .25
	if m = train(t, dataset(1, []event{{0, 0, 5, 1}}), h, 10); m.hyper.Regularization != .25 {
		t.Errorf("λ was given as .25, and the model states %g", m.hyper.Regularization)
	}
}

// What the rule sets is the mean strength of both sides' regularizers, τ, by the data's shape alone.
func TestRuleFollowsTheShape(t *testing.T) {
	strength := func(h Hyper, subjects, items, n int) float64 {
		return math.Sqrt(h.shrink(n/subjects, items) * h.shrink(n/items, subjects))
	}
	const subjects, items, n = 120, 80, 1920
	base := ruled(t, subjects, items, n, 1, Defaults())
	want := noiseShare * (math.Sqrt(n/subjects) + math.Sqrt(n/items))
	for _, v := range []float64{0, .5, 1, 2} {
		h := Defaults()
		h.Exponent = v
		if got := strength(ruled(t, subjects, items, n, 1, h), subjects, items, n); math.Abs(got/want-1) > .02 {
			t.Errorf("ν = %g: τ = %g, want %g", v, got, want)
		}
	}
	if h := ruled(t, subjects, items, n, 7, Defaults()); h.Regularization != base.Regularization {
		t.Errorf("weights of 7 instead of 1 change λ from %g to %g", base.Regularization, h.Regularization)
	}
	last := math.Inf(1)
	for k := 1; k <= 6; k++ { // as many pairs a row, of ever more rows
		h := ruled(t, k*subjects, k*items, k*n, 1, Defaults())
		if !(h.Regularization < last) {
			t.Errorf("%d times as many rows: λ = %g after %g", k, h.Regularization, last)
		}
		last = h.Regularization
	}
	more := ruled(t, subjects, items, n+1, 1, Defaults())
	if math.Abs(more.Regularization/base.Regularization-1) > .01 {
		t.Errorf("one pair more changes λ from %g to %g", base.Regularization, more.Regularization)
	}
}

func TestDimByRule(t *testing.T) {
	for _, c := range []struct{ pairs, subjects, items, want int }{
		{0, 0, 0, 16},
		{1, 1, 1, 16},
		{100, 20, 17, 32},
		{27_000, 1000, 400, 64},
		{1_000_000, 6040, 3706, 64},
		{20_000_000, 138_493, 26_744, 80},
		{90_000_000, 100_000, 100_000, 128},
	} {
		if got := dimFor(c.pairs, c.subjects, c.items); got != c.want {
			t.Errorf("%d pairs of %d subjects and %d items: d = %d, want %d", c.pairs, c.subjects, c.items, got, c.want)
		}
	}
}

// Planted tastes: the rule finds held-out pairs better than a regularizer four times as weak, and than one four times as strong.
func TestRuleIsNotFarOff(t *testing.T) {
	const people, things, tastes = 400, 200, 8
	r := rand.New(rand.NewPCG(8, 1))
	var learned, asked []event
	for u := range people {
		for _, k := range r.Perm(things)[:40] {
			if k%tastes != u%tastes && r.Float64() < .75 {
				continue
			}
			e := event{u, int32(k), 1, 1}
			if k%tastes == u%tastes && r.Float64() < .3 {
				asked = append(asked, event{u, int32(k), 20, 1})
				continue
			}
			learned = append(learned, e)
		}
	}
	d := dataset(things, append(learned, asked...))
	d.MaskSeen = true
	figure := func(times float64) float64 {
		h := Defaults()
		h.MinSubjects = 1
		p, err := collect(d, 10, &h)
		if err != nil {
			t.Fatal(err)
		}
		h = h.withDefaults()
		h.Regularization = times * h.ruleFor(p)
		asks, relevant := questions(d, 10, 30)
		got, err := ndcg(t.Context(), train(t, d, h, 10), d, asks, relevant)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	rule := figure(1)
	for _, times := range []float64{.25, 4} {
		if other := figure(times); other >= rule {
			t.Errorf("nDCG@10 is %.4f by rule, and %.4f with λ %g times as large", rule, other, times)
		}
	}
}
