package als

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"
	"time"
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
