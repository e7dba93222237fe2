package main

import (
	"bytes"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/rapport-ml/rapport/cmd/internal/benchpeers/peers"
	"github.com/rapport-ml/rapport/models/als"
)

var small = shape{subjects: 300, items: 120, pairs: 9000, judged: 60}

func TestGenerate(t *testing.T) {
	w := generate(small, 7)
	if !reflect.DeepEqual(w, generate(small, 7)) {
		t.Error("equal seeds give different worlds")
	}
	if reflect.DeepEqual(w, generate(small, 8)) {
		t.Error("different seeds give one world")
	}
	m := w.train
	if m.Subjects() != small.subjects || m.Items != small.items || len(w.judged) != small.judged || len(w.held) != small.judged {
		t.Fatalf("%d subjects, %d items, %d judged", m.Subjects(), m.Items, len(w.judged))
	}
	pairs := len(m.Col)
	for k, s := range w.judged {
		pairs += len(w.held[k])
		had := map[int32]bool{}
		for _, i := range m.Row(s) {
			had[i] = true
		}
		for _, i := range w.held[k] {
			if had[i] {
				t.Fatalf("item %d of judged subject %d is in training too", i, k)
			}
		}
	}
	if math.Abs(float64(pairs)/float64(small.pairs)-1) > 0.15 {
		t.Errorf("%d pairs, want about %d", pairs, small.pairs)
	}
	for s := range m.Subjects() {
		for k := 1; k < len(m.Row(s)); k++ {
			if m.Row(s)[k-1] >= m.Row(s)[k] {
				t.Fatalf("row %d does not ascend", s)
			}
		}
	}
}

// The judge's objective is the trainer's: of vectors at rest, where a subject that is folded in again does not move.
func TestObjectiveIsTheTrainers(t *testing.T) {
	w := generate(small, 7)
	every := make([]int, small.subjects)
	for s := range every {
		every[s] = s
	}
	p := problem{weight: 0.1, regularization: 1.5}
	o, err := train(t.Context(), dataset(w.train), task{
		Hyper: als.Hyper{Dim: 4, Epochs: 60, Weight: p.weight, Regularization: p.regularization, MinSubjects: 1}, Seed: 5, Fold: every,
	})
	if err != nil {
		t.Fatal(err)
	}
	got, want := p.objective(w.train, o.Folded, o.Items, 4), o.Objective[len(o.Objective)-1]
	if math.Abs(got/want-1) > 1e-5 {
		t.Errorf("objective %v, the trainer says %v", got, want)
	}
	o.Folded[0] += 1 // and it is not blind
	if worse := p.objective(w.train, o.Folded, o.Items, 4); worse < got+0.5 {
		t.Errorf("a vector that was moved gives %v after %v", worse, got)
	}
}

// A part holds all judged subjects, with what was held out of them, and as many others as fit its size.
func TestPart(t *testing.T) {
	w := generate(small, 7)
	for _, c := range []struct{ share, subjects int }{{1, 300}, {2, 150}, {3, 100}, {5, 60}, {100, 60}} {
		p := w.part(c.share)
		if got := p.train.Subjects(); got != c.subjects || len(p.judged) != small.judged {
			t.Errorf("one in %d: %d subjects, want %d; %d judged", c.share, got, c.subjects, len(p.judged))
			continue
		}
		for k, s := range p.judged {
			if !slices.Equal(p.train.Row(s), w.train.Row(w.judged[k])) || !slices.Equal(p.held[k], w.held[k]) {
				t.Errorf("one in %d: judged subject %d is another", c.share, k)
			}
		}
	}
}

// Exact solves from start, one half-step after the other, come where our trainer comes: it starts there.
func TestStartIsTheTrainers(t *testing.T) {
	const d, seed = 3, 5
	w := generate(small, 7)
	p := problem{weight: 0.1, regularization: 1.5}
	o, err := train(t.Context(), dataset(w.train), task{
		Hyper: als.Hyper{Dim: d, Epochs: 1, Weight: p.weight, Regularization: p.regularization, MinSubjects: 1, Solver: "cholesky"}, Seed: seed,
	})
	if err != nil {
		t.Fatal(err)
	}
	m := w.train
	bySubject, byItem := make([][]int32, m.Subjects()), make([][]int32, m.Items)
	for s := range bySubject {
		bySubject[s] = m.Row(s)
		for _, i := range m.Row(s) {
			byItem[i] = append(byItem[i], int32(s))
		}
	}
	solve := func(rows [][]int32, y []float32) []float32 {
		x := make([]float32, len(rows)*d)
		for r, seen := range rows {
			a, b := mat.NewSymDense(d, nil), mat.NewVecDense(d, nil)
			for k := range d {
				a.SetSym(k, k, p.regularization)
			}
			add := func(j int, f float64) *mat.VecDense {
				v := mat.NewVecDense(d, nil)
				for k := range d {
					v.SetVec(k, float64(y[j*d+k]))
				}
				a.SymRankOne(a, f, v)
				return v
			}
			for j := range len(y) / d {
				add(j, p.weight)
			}
			for _, j := range seen {
				b.AddVec(b, add(int(j), 1))
			}
			var solved mat.VecDense
			if err := solved.SolveVec(a, b); err != nil {
				t.Fatal(err)
			}
			for k := range d {
				x[r*d+k] = float32(solved.AtVec(k))
			}
		}
		return x
	}
	users := solve(bySubject, start(m, seed, d))
	got, want := p.objective(m, users, solve(byItem, users), d), o.Objective[0]
	if math.Abs(got/want-1) > 1e-5 {
		t.Errorf("objective %v after one epoch from start, the trainer comes to %v", got, want)
	}
}

// Two judged subjects by hand: the first finds one of two items at rank 2, without the item that it had; the second finds its only one first.
func TestNDCG(t *testing.T) {
	w := &world{
		train:  &peers.Matrix{Items: 4, Off: []int64{0, 1, 2}, Col: []int32{0, 3}},
		judged: []int{0, 1},
		held:   [][]int32{{2, 3}, {0}},
	}
	items := []float32{9, 3, 2, -5}
	got, err := ndcg(w, []float32{1, 1}, items, 1) // first: 1, 2, 3 in order of 3, 2, −5
	if err != nil {
		t.Fatal(err)
	}
	first := (1/math.Log2(3) + 1/math.Log2(4)) / (1 + 1/math.Log2(3))
	if math.Abs(got[0]-first) > 1e-12 || got[1] != 1 {
		t.Errorf("%v, want %v and 1", got, first)
	}
}

func TestCompare(t *testing.T) {
	a, b := []float64{1, .5, 0, .5}, []float64{.5, .5, .5, .5}
	ratio, half := compare(a, b) // mean .5 each; differences .5, 0, −.5, 0: sd √(.5/3), of the mean √(.5/3/4)
	if want := 1.96 * math.Sqrt(.5/12) / .5; ratio != 1 || math.Abs(half-want) > 1e-12 {
		t.Errorf("%v ± %v, want 1 ± %v", ratio, half, want)
	}
}

func TestRunRefuses(t *testing.T) {
	for _, args := range [][]string{
		{"-size", "huge"}, {"-only", "als,none"}, {"-dims", "64,x"}, {"-dims", "0"}, {"-epochs", "1"}, {"-child"},
	} {
		var out bytes.Buffer
		if err := run(t.Context(), args, strings.NewReader("{"), &out); err == nil {
			t.Errorf("%v is accepted: %s", args, out.String())
		}
	}
}
