package als

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/models/internal/vec"
)

// textbook is iALS written from the formula of the package comment alone: dense, float64, Gauss–Jordan.
type textbook struct {
	c    [][]float64 // confidence; 0: not in S
	w, h [][]float64
	Hyper
}

// solveAll sets every row of x to (α₀·YᵀY + Σ c·y·yᵀ + λ·#^ν·I)⁻¹ Σ c·y.
func (b *textbook) solveAll(x, y [][]float64, conf func(r, o int) float64) {
	for r := range x {
		a, rhs, n := make([][]float64, b.Dim), make([]float64, b.Dim), 0.0
		for o := range y {
			if conf(r, o) > 0 {
				n++
			}
		}
		for i := range a {
			a[i] = make([]float64, b.Dim)
			for o := range y {
				rhs[i] += conf(r, o) * y[o][i]
				for j := range a[i] {
					a[i][j] += (b.Weight + conf(r, o)) * y[o][i] * y[o][j]
				}
			}
			a[i][i] += b.Regularization * math.Pow(n+b.Weight*float64(len(y)), b.Exponent)
		}
		gaussJordan(a, rhs)
		x[r] = rhs
	}
}

func gaussJordan(a [][]float64, b []float64) {
	for i := range a {
		p := i
		for r := i; r < len(a); r++ {
			if math.Abs(a[r][i]) > math.Abs(a[p][i]) {
				p = r
			}
		}
		a[i], a[p], b[i], b[p] = a[p], a[i], b[p], b[i]
		for r := range a {
			if r == i {
				continue
			}
			f := a[r][i] / a[i][i]
			for c := range a {
				a[r][c] -= f * a[i][c]
			}
			b[r] -= f * b[i]
		}
	}
	for i := range a {
		b[i] /= a[i][i]
	}
}

func (b *textbook) objective() float64 {
	var sum float64
	reg := func(n float64, others int, x []float64) float64 {
		return b.Regularization * math.Pow(n+b.Weight*float64(others), b.Exponent) * dot(x, x)
	}
	perItem := make([]float64, len(b.h))
	for u := range b.w {
		var n float64
		for i := range b.h {
			y := dot(b.w[u], b.h[i])
			sum += b.Weight * y * y
			if c := b.c[u][i]; c > 0 {
				sum += c * (y - 1) * (y - 1)
				n++
				perItem[i]++
			}
		}
		sum += reg(n, len(b.h), b.w[u])
	}
	for i := range b.h {
		sum += reg(perItem[i], len(b.w), b.h[i])
	}
	return sum
}

func dot(a, b []float64) (s float64) {
	for i := range a {
		s += a[i] * b[i]
	}
	return s
}

func rows(x []float32, d int) [][]float64 {
	out := make([][]float64, len(x)/d)
	for r := range out {
		for _, v := range x[r*d : (r+1)*d] {
			out[r] = append(out[r], float64(v))
		}
	}
	return out
}

func TestTrainingIsTheTextbook(t *testing.T) {
	for _, h := range []Hyper{
		{Dim: 3, Epochs: 4, Weight: .3, Regularization: .05, Exponent: 1, MinSubjects: 1},
		{Dim: 5, Epochs: 4, Weight: .1, Regularization: .2, Exponent: 0, Saturation: 3, MinSubjects: 1},
		{Dim: 8, Epochs: 3, Weight: 1, Regularization: .1, Exponent: .5, HalfLife: 20 * 24 * time.Hour, Saturation: 2, MinSubjects: 1},
	} {
		h.Solver = choleskySolver
		h = h.withDefaults()
		const subjects, items, until = 13, 9, 90
		events := groups(rand.New(rand.NewPCG(7, 7)), subjects, items, 3, 6)
		d := dataset(items, events)
		p, err := collect(d, until*day, &h)
		if err != nil {
			t.Fatal(err)
		}
		f := newFit(p, &h, 42)

		// The oracle's confidences come from the events themselves. Every subject and item occurs before the cut.
		b := &textbook{Hyper: h, h: rows(f.items, h.Dim), w: make([][]float64, subjects)}
		if p.subjects != subjects || len(p.items) != items {
			t.Fatalf("%d subjects, %d items", p.subjects, len(p.items))
		}
		for s := range subjects {
			sum := make([]float64, items)
			for _, e := range events {
				if e.subject == s && e.time < until*day {
					w := float64(e.weight)
					if h.HalfLife > 0 {
						w *= math.Pow(.5, float64(until*day-e.time)/float64(h.HalfLife.Microseconds()))
					}
					sum[e.item] += w
				}
			}
			for i, v := range sum {
				if h.Saturation > 0 {
					sum[i] = h.Saturation * math.Log(1+v/h.Saturation)
				}
			}
			b.c = append(b.c, sum)
		}
		for epoch := range h.Epochs {
			if err := f.epoch(context.Background()); err != nil {
				t.Fatal(err)
			}
			b.solveAll(b.w, b.h, func(r, o int) float64 { return b.c[r][o] })
			b.solveAll(b.h, b.w, func(r, o int) float64 { return b.c[o][r] })
			if want := b.objective(); math.Abs(f.objective-want) > 1e-5*want {
				t.Errorf("d=%d epoch %d: objective %.9g, want %.9g", h.Dim, epoch, f.objective, want)
			}
			for name, pair := range map[string][2][][]float64{"subject": {rows(f.subjects, h.Dim), b.w}, "item": {rows(f.items, h.Dim), b.h}} {
				for r, want := range pair[1] {
					for i := range want {
						if got := pair[0][r][i]; math.Abs(got-want[i]) > 2e-4 {
							t.Fatalf("d=%d epoch %d: %s %d[%d] = %g, want %g", h.Dim, epoch, name, r, i, got, want[i])
						}
					}
				}
			}
		}
	}
}

// Rows are drawn towards their centres: with every centre 0 nothing changes, and with others the gradient of the objective,
// Σ c·(w·f − 1)·f + α₀·FᵀF·w + r·(w − m), is 0 at the solution, also of a row without pairs.
func TestCentresDrawRows(t *testing.T) {
	const d, n = 5, 7
	r := rand.New(rand.NewPCG(3, 1))
	draw := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}
		return x
	}
	fixed, centre := draw(n*d), draw(d)
	gram := make([]float64, d*d)
	vec.Gram(gram, fixed, n, d)
	const weight, shrink = .3, .7
	sys := newSystem(fixed, gram, d, weight)
	w, plain := make([]float32, d), make([]float32, d)
	for _, row := range []struct {
		col  []int32
		conf []float32
	}{{[]int32{0, 3, 5}, []float32{1, .5, 2}}, {nil, nil}} {
		if !sys.solve(plain, row.col, row.conf, shrink, nil, sys.scratch()) || !sys.solve(w, row.col, row.conf, shrink, make([]float32, d), sys.scratch()) {
			t.Fatal("not solved")
		}
		if !slices.Equal(w, plain) {
			t.Errorf("a centre of 0 gives %v, none %v", w, plain)
		}
		if !sys.solve(w, row.col, row.conf, shrink, centre, sys.scratch()) {
			t.Fatal("not solved")
		}
		for i := range d {
			g := shrink * float64(w[i]-centre[i])
			for j := range d {
				g += weight * gram[i*d+j] * float64(w[j])
			}
			for k, c := range row.col {
				g += float64(row.conf[k]) * (vec.Dot64(w, sys.vector(c)) - 1) * float64(sys.vector(c)[i])
			}
			if math.Abs(g) > 1e-5 {
				t.Errorf("%d pairs: gradient %g at %d", len(row.col), g, i)
			}
		}
	}
}

// Centres are refit after each half of an epoch, for the side just solved, and what they cost stands in the objective.
func TestCentresAreRefitAfterEachHalf(t *testing.T) {
	h := Hyper{Dim: 4, Epochs: 2, Weight: .3, Regularization: .5, Exponent: 1, MinSubjects: 1}.withDefaults()
	p, err := collect(dataset(9, groups(rand.New(rand.NewPCG(7, 7)), 13, 9, 3, 6)), 90*day, &h)
	if err != nil {
		t.Fatal(err)
	}
	f := newFit(p, &h, 42)
	f.centres.subjects, f.centres.items = make([]float32, len(f.subjects)), make([]float32, len(f.items))
	var sides []string
	f.centres.refit = func(_ context.Context, side side, vectors []float32, reg []float64) (float64, error) {
		sides = append(sides, side.String())
		if len(reg)*h.Dim != len(vectors) {
			t.Errorf("%s: %d vectors' elements for %d rows", side, len(vectors), len(reg))
		}
		for i, v := range vectors { // any map that comes closer to the vectors lowers the objective
			f.centres.of(side)[i] = v / 2
		}
		return 0, nil
	}
	for range h.Epochs {
		if err := f.epoch(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"subjects", "items", "subjects", "items"}; !slices.Equal(sides, want) {
		t.Errorf("refit after %v, want %v", sides, want)
	}
	// By hand: half of each vector is left to the regularizer.
	b := &textbook{Hyper: h, w: rows(f.subjects, h.Dim), h: rows(f.items, h.Dim)}
	b.c = make([][]float64, p.subjects)
	for s := range b.c {
		b.c[s] = make([]float64, len(p.items))
		col, conf := p.bySubj.row(s)
		for k, i := range col {
			b.c[s][i] = float64(conf[k])
		}
	}
	want := b.objective()
	for s, w := range b.w {
		want -= .75 * f.subjReg[s] * dot(w, w)
	}
	for i, h := range b.h {
		want -= .75 * f.itemReg[i] * dot(h, h)
	}
	if math.Abs(f.objective-want) > 1e-6*want {
		t.Errorf("objective %.9g, want %.9g", f.objective, want)
	}
}
