package als

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/internal/vec"
)

// problem is one row to solve against random vectors.
type problem struct {
	d      int
	fixed  []float32
	gram   []float64
	col    []int32
	conf   []float32 // nil: same
	same   float32
	shrink float64
	centre []float32
}

const problemWeight = .2

func (p *problem) system() *system {
	s := newSystem(slices.Clone(p.fixed), p.gram, p.d, problemWeight)
	s.same = p.same
	return s
}

// loss is the row's part of the objective, from the formula.
func (p *problem) loss(w []float32) (sum float64) {
	for k, c := range p.col {
		conf := float64(p.same)
		if p.conf != nil {
			conf = float64(p.conf[k])
		}
		e := vec.Dot64(w, p.fixed[int(c)*p.d:][:p.d]) - 1
		sum += conf * e * e
	}
	for i, x := range w {
		for j, y := range w {
			sum += problemWeight * p.gram[i*p.d+j] * float64(x) * float64(y)
		}
		m := 0.
		if p.centre != nil {
			m = float64(p.centre[i])
		}
		sum += p.shrink * (float64(x) - m) * (float64(x) - m)
	}
	return sum
}

// problems are rows of many shapes: shorter and longer than what is gathered at once, with and without confidences and centres, in
// dimensions that are whole lanes and others.
func problems() []*problem {
	var out []*problem
	r := rand.New(rand.NewPCG(5, 5))
	const others = 90
	for _, d := range []int{1, 5, 16, 32, 40, 64} {
		for _, n := range []int{0, 1, 7, 64, 80} {
			p := &problem{d: d, fixed: make([]float32, others*d), gram: make([]float64, d*d), same: 1, shrink: .4}
			for i := range p.fixed {
				p.fixed[i] = float32(r.NormFloat64() * (.2 + 2/float64(1+i%d)))
			}
			vec.Gram(p.gram, p.fixed, others, d)
			for _, c := range r.Perm(others)[:n] {
				p.col = append(p.col, int32(c))
				p.conf = append(p.conf, .5+r.Float32())
			}
			switch (n + d) % 3 {
			case 1:
				p.conf = nil
			case 2:
				p.conf, p.same = nil, .3
			}
			if n%2 == 0 {
				p.centre = make([]float32, d)
				for i := range p.centre {
					p.centre[i] = r.Float32()
				}
			}
			out = append(out, p)
		}
	}
	return out
}

// Conjugate gradients and blocks come to the exact minimizer, never raise the row's part of the objective, and know it.
func TestStepsConvergeToTheExactRow(t *testing.T) {
	const room = 64
	for _, p := range problems() {
		want, s := make([]float32, p.d), p.system()
		if !s.solve(want, p.col, p.conf, p.shrink, p.centre, s.scratch()) {
			t.Fatal("not solved")
		}
		least := p.loss(want)
		for name, step := range map[string]func(*system, []float32, []float32, *scratch) (float64, bool){
			"cg": func(s *system, w, m []float32, sc *scratch) (float64, bool) {
				return s.conjugate(w, p.col, p.conf, p.shrink, m, effort{1, residualLeft}, sc)
			},
			"blocks": func(s *system, w, m []float32, sc *scratch) (float64, bool) {
				return s.blocks(w, p.col, p.conf, p.shrink, m, 16, sc)
			},
		} {
			if name == "blocks" && len(p.col) > room {
				continue
			}
			s, w := p.system(), make([]float32, p.d)
			for i := range w {
				w[i] = float32(i%3) - 1
			}
			turned, ok := s.turn()
			if !ok {
				t.Fatal("not turned")
			}
			// into turns a vector of d into the basis, in whole lanes.
			into := func(x []float32) []float32 {
				if x == nil {
					return nil
				}
				y := make([]float32, lanes(p.d))
				turned.to.MulNT(y, lanes(p.d), x, p.d, 1)
				return y
			}
			v, m, sc := into(w), into(p.centre), s.gathers(room)
			before := p.loss(w)
			for round := range 60 {
				loss, ok := step(s, v, m, sc)
				if !ok {
					t.Fatalf("%s d=%d n=%d: failed", name, p.d, len(p.col))
				}
				turned.from.MulNT(w, p.d, v, lanes(p.d), 1)
				now := p.loss(w)
				if math.Abs(loss-now) > 1e-4*(1+now) {
					t.Fatalf("%s d=%d n=%d round %d: loss %g, want %g", name, p.d, len(p.col), round, loss, now)
				}
				if now > before*(1+1e-5) {
					t.Fatalf("%s d=%d n=%d round %d: the loss rose from %g to %g", name, p.d, len(p.col), round, before, now)
				}
				before = now
			}
			if before > least*(1+1e-5)+1e-6 {
				t.Errorf("%s d=%d n=%d: loss %g, least %g", name, p.d, len(p.col), before, least)
			}
			for i := range want {
				if math.Abs(float64(w[i]-want[i])) > 2e-3*(1+math.Abs(float64(want[i]))) {
					t.Errorf("%s d=%d n=%d: w[%d] = %g, exactly %g", name, p.d, len(p.col), i, w[i], want[i])
				}
			}
			turned.restore(s.fixed)
			for i, x := range s.fixed {
				if math.Abs(float64(x-p.fixed[i])) > 1e-5 {
					t.Fatalf("d=%d: the fixed side came back changed", p.d)
				}
			}
		}
	}
}

// Two steps suffice for a short row at first, and as many as pairs give the minimizer: what the conditioner leaves has no more directions.
func TestAsManyStepsAsPairsAreExact(t *testing.T) {
	for _, p := range problems() {
		if len(p.col) != 1 && len(p.col) != 7 {
			continue
		}
		s, w := p.system(), make([]float32, lanes(p.d))
		turned, _ := s.turn()
		var m []float32
		if p.centre != nil {
			m = make([]float32, lanes(p.d))
			turned.to.MulNT(m, lanes(p.d), p.centre, p.d, 1)
		}
		if _, ok := s.conjugate(w, p.col, p.conf, p.shrink, m, effort{len(p.col) + 1, residualLeft}, s.gathers(64)); !ok {
			t.Fatal("failed")
		}
		got, want := make([]float32, p.d), make([]float32, p.d)
		turned.from.MulNT(got, p.d, w, lanes(p.d), 1)
		s = p.system()
		if !s.solve(want, p.col, p.conf, p.shrink, p.centre, s.scratch()) {
			t.Fatal("not solved")
		}
		if got, want := p.loss(got), p.loss(want); got > want*(1+residualLeft) {
			t.Errorf("d=%d n=%d: loss %g, least %g", p.d, len(p.col), got, want)
		}
	}
}

// Training by each solver reports the objective of its vectors, as the textbook computes it, and comes as low as exact solves do.
func TestSolversReachTheSameObjective(t *testing.T) {
	d := dataset(90, groups(rand.New(rand.NewPCG(2, 3)), 140, 90, 6, 25))
	reached := map[string]float64{}
	for _, solver := range []string{choleskySolver, cgSolver, blockSolver, autoSolver} {
		h := Hyper{Dim: 24, Epochs: 8, Weight: .1, Regularization: .01, Exponent: 1, MinSubjects: 1, Solver: solver, Block: 16}.withDefaults()
		p, err := collect(d, 200*day, &h)
		if err != nil {
			t.Fatal(err)
		}
		f := newFit(p, &h, 42)
		b := &textbook{Hyper: h, c: make([][]float64, p.subjects)}
		for s := range b.c {
			b.c[s] = make([]float64, len(p.items))
			col, conf := p.bySubj.row(s)
			for k, i := range col {
				b.c[s][i] = float64(conf[k])
			}
		}
		for range h.Epochs {
			if err := f.epoch(context.Background()); err != nil {
				t.Fatal(err)
			}
			b.w, b.h = rows(f.subjects, h.Dim), rows(f.items, h.Dim)
			if want := b.objective(); math.Abs(f.objective-want) > 2e-6*want {
				t.Errorf("%s: objective %.9g, want %.9g", solver, f.objective, want)
			}
		}
		reached[solver] = f.objective
	}
	for solver, got := range reached {
		if want := reached[choleskySolver]; got > want*1.05 { // so few items are fitted closely
			t.Errorf("%s reaches %g, exact solves %g", solver, got, want)
		}
	}
}

// After the first epoch, steps have come so close to exact solves that what follows does not depend on how rows were solved.
func TestTheFirstEpochIsNearlyExact(t *testing.T) {
	d := dataset(300, groups(rand.New(rand.NewPCG(2, 3)), 900, 300, 6, 40))
	var exact []float32
	for _, solver := range []string{choleskySolver, cgSolver} {
		h := Hyper{Dim: 48, Weight: .1, Regularization: 5, MinSubjects: 1, Solver: solver}.withDefaults()
		p, err := collect(d, 200*day, &h)
		if err != nil {
			t.Fatal(err)
		}
		f := newFit(p, &h, 42)
		if err := f.epoch(t.Context()); err != nil {
			t.Fatal(err)
		}
		if solver == choleskySolver {
			exact = f.items
			continue
		}
		var off float64
		for i, v := range f.items {
			off += math.Pow(float64(v-exact[i]), 2)
		}
		if off = math.Sqrt(off / vec.Dot64(exact, exact)); off > .003 || f.effort != firstEffort {
			t.Errorf("after an epoch items are off by %.4f of their length", off)
		}
		if err := f.epoch(t.Context()); err != nil || f.effort != (effort{3, residualLeft}) {
			t.Errorf("the second epoch makes the effort %+v: %v", f.effort, err)
		}
	}
}

func TestSolversDoNotDependOnProcessors(t *testing.T) {
	d := dataset(200, groups(rand.New(rand.NewPCG(3, 2)), 300, 200, 6, 20))
	digests := map[string]string{}
	for _, solver := range []string{choleskySolver, cgSolver, blockSolver, autoSolver} {
		for _, procs := range []int{1, 2, 3, 8} {
			old := runtime.GOMAXPROCS(procs)
			_, digest := encoded(t, train(t, d, Hyper{Dim: 20, Epochs: 2, MinSubjects: 1, Solver: solver}, 200*day))
			runtime.GOMAXPROCS(old)
			if digests[solver] == "" {
				digests[solver] = digest
			}
			if digest != digests[solver] {
				t.Errorf("%s, GOMAXPROCS %d: another artifact", solver, procs)
			}
		}
	}
}

// A row whose products leave the range of float32 is refused, not left where it was, and nothing of it stays in the worker's memory, where
// the rows that this worker happens to take next would meet it.
func TestStepsOutOfRangeAreRefused(t *testing.T) {
	refused := 0
	for _, p := range problems() {
		if len(p.col) == 0 || len(p.col) > 64 {
			continue
		}
		for _, c := range []float32{1, 1e12, 1e13, 1e14, 1e16, 1e18, 1e25, 1e33} {
			p.conf, p.same, p.centre, p.shrink = nil, c, nil, 1e-3
			s, w := p.system(), make([]float32, lanes(p.d))
			if _, ok := s.turn(); !ok {
				t.Fatal("not turned")
			}
			loss, ok := s.conjugate(w, p.col, nil, p.shrink, nil, effort{3, residualLeft}, s.gathers(64))
			if !ok {
				refused++
			} else if start := float64(c) * float64(len(p.col)); !(loss < .999*start) {
				t.Errorf("d=%d n=%d c=%g: the loss stayed at %g of %g", p.d, len(p.col), c, loss, start)
			}
			for i, x := range w {
				if x != x || i >= p.d && x != 0 {
					t.Fatalf("d=%d n=%d c=%g: element %d is left at %g", p.d, len(p.col), c, i, x)
				}
			}
		}
	}
	if refused == 0 {
		t.Error("no row left the range")
	}
}

// Rows by cost: an exact solve where a row is too long to be gathered at once and its outer products are cheap, steps elsewhere.
func TestPlan(t *testing.T) {
	large := &pairs{subjects: 300_000, items: make([]int32, 20_000), bySubj: sparse{col: make([]int32, 1_000_000)}}
	for _, c := range []struct {
		solver string
		d, n   int
		want   method
	}{
		{autoSolver, 64, 20, byConjugateGradients},
		{autoSolver, 64, 3000, byConjugateGradients},
		{autoSolver, 64, 50_000, exact}, // 115 ns a pair against 3·63
		{autoSolver, 512, 50_000, byConjugateGradients},
		{autoSolver, 16, 500, exact},
		{choleskySolver, 64, 20, exact},
		{cgSolver, 64, 50_000, byConjugateGradients},
		{blockSolver, 64, 20, byBlocks},
		{blockSolver, 64, 50_000, exact},
	} {
		h := Hyper{Dim: c.d, Solver: c.solver}.withDefaults()
		if got := newPlanner(&h, large).of(c.n); got != c.want {
			t.Errorf("%s d=%d n=%d: method %d, want %d", c.solver, c.d, c.n, got, c.want)
		}
	}
	h := Hyper{Dim: 64}.withDefaults()
	if got := newPlanner(&h, &pairs{subjects: 6040, items: make([]int32, 3700), bySubj: sparse{col: make([]int32, 1_000_000)}}).of(20); got != exact {
		t.Errorf("a short row of MovieLens-1M is solved by method %d, want exactly: an epoch of it takes a moment", got)
	}
}

// Spans hold every row once, at most 64 rows each, a long row alone, the most expensive first.
func TestSpans(t *testing.T) {
	h := Hyper{Dim: 64}.withDefaults()
	r := rand.New(rand.NewPCG(4, 4))
	s := &sparse{off: []int{0}}
	for row := range 5000 {
		n := r.IntN(30)
		if row == 4321 {
			n = 50_000
		}
		s.off = append(s.off, s.off[row]+n)
	}
	spans := newPlanner(&h, &pairs{}).spans(s)
	if spans[0].lo != 4321 || spans[0].hi != 4322 {
		t.Errorf("first comes %+v, want the long row alone", spans[0])
	}
	seen := make([]bool, s.rows())
	for k, sp := range spans {
		if sp.hi-sp.lo > maxSpan || k > 0 && sp.cost > spans[k-1].cost {
			t.Errorf("span %d is %+v after %+v", k, sp, spans[max(k-1, 0)])
		}
		for row := sp.lo; row < sp.hi; row++ {
			if seen[row] {
				t.Errorf("row %d is in two spans", row)
			}
			seen[row] = true
		}
	}
	if slices.Contains(seen, false) {
		t.Error("a row is in no span")
	}
	if got := newPlanner(&h, &pairs{}).spans(&sparse{off: []int{0}}); len(got) != 0 {
		t.Errorf("no rows, but %v", got)
	}
}

// What a bucket may hold: each trains to finite scores, with every solver.
func TestAwkwardData(t *testing.T) {
	const n = 40
	plain := groups(rand.New(rand.NewPCG(4, 9)), 60, n, 4, 8)
	with := func(extra ...event) []event { return append(slices.Clone(plain), extra...) }
	weighed := func(w float32) []event {
		out := slices.Clone(plain)
		for i := range out {
			out[i].weight = w
		}
		return out
	}
	var everyone, fifty []event
	for s := range 60 {
		everyone = append(everyone, event{s, 7, day, 1})
	}
	for k := range 50_000 {
		fifty = append(fifty, event{60, int32(k % n), int64(k), 1})
	}
	one := make([]event, 30)
	for s := range one {
		one[s] = event{s, 0, day, 1}
	}
	for name, events := range map[string][]event{
		"equal weights": weighed(1), "tiny weights": weighed(1e-20), "large weights": weighed(1e6), "repeated events": with(plain...),
		"an item of everyone": with(everyone...), "a subject with 50,000 events": with(fifty...), "one item": one,
	} {
		for _, solver := range []string{choleskySolver, cgSolver, blockSolver, autoSolver} {
			for _, reg := range []float64{.003, 1e-12} { // the second: matrices that are singular to float32
				h := Hyper{Dim: 48, Epochs: 3, MinSubjects: 1, Solver: solver, Regularization: reg}
				d := dataset(n, events)
				m, err := (&Trainer{Hyper: h}).Train(t.Context(), d, 200*day, 1)
				if err != nil {
					if reg < .001 && errors.Is(err, ErrDiverged) {
						continue // named, and nothing is published
					}
					t.Errorf("%s, %s, λ=%g: %v", name, solver, reg, err)
					continue
				}
				dst := make([]float32, n)
				if err := bind(t, m, d.Catalog).Score(t.Context(), []models.Query{query(100*day, 0, 0)}, dst); err != nil {
					t.Errorf("%s, %s, λ=%g: %v", name, solver, reg, err)
				}
				for i, v := range dst {
					if v-v != 0 {
						t.Fatalf("%s, %s, λ=%g: item %d scores %g", name, solver, reg, i, v)
					}
				}
			}
		}
	}
	for _, w := range []float32{0, -1, float32(math.NaN()), float32(math.Inf(1))} {
		if _, err := (&Trainer{}).Train(t.Context(), dataset(n, weighed(w)), 200*day, 1); err == nil || !strings.Contains(err.Error(), "weight") {
			t.Errorf("weights of %g: %v", w, err)
		}
	}
}

// An error tells in which epoch, and whose rows.
func TestDivergenceNamesEpochAndRows(t *testing.T) {
	var events []event
	for s := range 10 {
		events = append(events, event{s, int32(s % 3), 1, math.MaxFloat32}, event{s, int32((s + 1) % 3), 1, 1})
	}
	for _, solver := range []string{choleskySolver, cgSolver, blockSolver, autoSolver} {
		_, err := (&Trainer{Hyper: Hyper{Dim: 4, MinSubjects: 1, Solver: solver}}).Train(t.Context(), dataset(3, events), 10, 1)
		if !errors.Is(err, ErrDiverged) || !strings.Contains(err.Error(), "epoch 1 of 8: ") || !strings.Contains(err.Error(), "subjects") && !strings.Contains(err.Error(), "items") {
			t.Errorf("%s: %v", solver, err)
		}
	}
}

// Confidences stand in memory only where they differ.
func TestEqualConfidencesTakeNoMemory(t *testing.T) {
	events := []event{{0, 0, 1, 2}, {0, 1, 1, 2}, {1, 1, 1, 2}}
	h := Hyper{MinSubjects: 1}
	p, err := collect(dataset(2, events), 10, &h)
	if err != nil {
		t.Fatal(err)
	}
	if p.bySubj.conf != nil || p.byItem.conf != nil || p.bySubj.same != 2 || p.byItem.same != 2 || p.confidence != 6 {
		t.Errorf("equal confidences: %+v", p)
	}
	p, err = collect(dataset(2, append(events, event{1, 0, 2, 5})), 10, &h)
	if err != nil {
		t.Fatal(err)
	}
	if want := []float32{2, 2, 5, 2}; !slices.Equal(p.bySubj.conf, want) {
		t.Errorf("by subject %v, want %v", p.bySubj.conf, want)
	}
	if want := []float32{2, 5, 2, 2}; !slices.Equal(p.byItem.conf, want) {
		t.Errorf("by item %v, want %v", p.byItem.conf, want)
	}
}

func TestSolverOptionsAreChecked(t *testing.T) {
	for what, h := range map[string]Hyper{"solver": {Solver: "lu"}, "steps": {Steps: -1}, "block": {Block: 40}, "patience": {Patience: -1}} {
		if err := h.Validate(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func BenchmarkRow(b *testing.B) {
	for _, c := range []struct{ d, n int }{{64, 144}, {128, 144}, {64, 748}, {128, 748}} {
		r := rand.New(rand.NewPCG(1, 1))
		p := &problem{d: c.d, fixed: make([]float32, 26744*c.d), gram: make([]float64, c.d*c.d), same: 1, shrink: 5}
		for i := range p.fixed {
			p.fixed[i] = r.Float32()
		}
		vec.Gram(p.gram, p.fixed, 26744, c.d)
		for _, i := range r.Perm(26744)[:c.n] {
			p.col = append(p.col, int32(i))
		}
		s := p.system()
		if _, ok := s.turn(); !ok {
			b.Fatal("not turned")
		}
		w, sc := make([]float32, c.d), s.gathers(4096)
		for name, solve := range map[string]func(){
			"exact":  func() { s.solve(w, p.col, nil, p.shrink, nil, sc) },
			"cg":     func() { s.conjugate(w, p.col, nil, p.shrink, nil, effort{2, residualLeft}, sc) },
			"blocks": func() { s.blocks(w, p.col, nil, p.shrink, nil, 32, sc) },
		} {
			b.Run(fmt.Sprintf("%s/d=%d/n=%d", name, c.d, c.n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					solve()
				}
			})
		}
	}
}
