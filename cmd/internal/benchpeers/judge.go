package main

import (
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
	"github.com/rapport-ml/rapport/cmd/internal/benchpeers/peers"
	"github.com/rapport-ml/rapport/models"
)

// problem is what als minimizes with Exponent 0 and every confidence 1.
type problem struct {
	weight, regularization float64 // α₀, λ
}

// objective is Σ_S (w·h − 1)² + α₀·Σ_{U×I} (w·h)² + λ·(‖W‖² + ‖H‖²), in float64, of vectors of d values a row. U and I are the rows that have
// a pair: others have no part in it. O(pairs·d + rows·d²).
func (p problem) objective(m *peers.Matrix, users, items []float32, d int) float64 {
	seen := make([]bool, m.Items)
	for _, i := range m.Col {
		seen[i] = true
	}
	sums := parallel(m.Subjects(), func(lo, hi int) float64 {
		var sum float64
		for s := lo; s < hi; s++ {
			w := users[s*d:][:d]
			for _, i := range m.Row(s) {
				e := dot(w, items[int(i)*d:][:d]) - 1
				sum += e * e
			}
		}
		return sum
	})
	wGram, w2 := gram(users, d, func(s int) bool { return m.Off[s] < m.Off[s+1] })
	hGram, h2 := gram(items, d, func(i int) bool { return seen[i] })
	total := p.regularization * (w2 + h2)
	for _, s := range sums {
		total += s
	}
	for k, g := range wGram {
		total += p.weight * g * hGram[k]
	}
	return total
}

// gram returns XᵀX over the rows that count, and the sum of its diagonal.
func gram(x []float32, d int, counts func(row int) bool) ([]float64, float64) {
	g := make([]float64, d*d)
	for r := range len(x) / d {
		if !counts(r) {
			continue
		}
		row := x[r*d:][:d]
		for a, va := range row {
			dst := g[a*d:][:d]
			for b, vb := range row {
				dst[b] += float64(va) * float64(vb)
			}
		}
	}
	var trace float64
	for a := range d {
		trace += g[a*d+a]
	}
	return g, trace
}

// ndcg returns nDCG@10 of each judged subject: its items ranked by the product of its vector (users holds one row for each) with theirs, all of
// the catalog but what it had in training.
func ndcg(w *world, users, items []float32, d int) ([]float64, error) {
	const k = 10
	out := make([]float64, len(w.judged))
	var g errgroup.Group
	for _, span := range spans(len(w.judged)) {
		g.Go(func() error {
			row := make([]float32, w.train.Items)
			best, scores := make([]int32, k), make([]float32, k)
			for j := span[0]; j < span[1]; j++ {
				u := users[j*d:][:d]
				for i := range row {
					row[i] = float32(dot(u, items[i*d:][:d]))
				}
				q := models.Query{K: k, Exclude: w.train.Row(w.judged[j])}
				n, err := models.Best(row, &q, best, scores)
				if err != nil {
					return fmt.Errorf("judged subject %d: %w", j, err)
				}
				out[j] = models.NDCG(best[:n], w.held[j], k)
			}
			return nil
		})
	}
	return out, g.Wait()
}

// compare returns mean(a)/mean(b) and half of the 95 % interval of their paired difference, in units of mean(b).
func compare(a, b []float64) (ratio, half float64) {
	_, half = benchmark.Paired(a, b)
	return mean(a) / mean(b), half / mean(b)
}

func mean(x []float64) float64 {
	var s float64
	for _, v := range x {
		s += v / float64(len(x))
	}
	return s
}

// dot is a·b in four running float64 sums.
func dot(a, b []float32) float64 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float64
	k := 0
	for ; k+4 <= len(a); k += 4 {
		s0 += float64(a[k]) * float64(b[k])
		s1 += float64(a[k+1]) * float64(b[k+1])
		s2 += float64(a[k+2]) * float64(b[k+2])
		s3 += float64(a[k+3]) * float64(b[k+3])
	}
	for ; k < len(a); k++ {
		s0 += float64(a[k]) * float64(b[k])
	}
	return s0 + s1 + (s2 + s3)
}

// spans cuts [0, n) into one piece a core.
func spans(n int) [][2]int {
	c := runtime.GOMAXPROCS(0)
	out := make([][2]int, c)
	for k := range out {
		out[k] = [2]int{n * k / c, n * (k + 1) / c}
	}
	return out
}

// parallel returns f of each span.
func parallel(n int, f func(lo, hi int) float64) []float64 {
	cut := spans(n)
	out := make([]float64, len(cut))
	var g errgroup.Group
	for k, span := range cut {
		g.Go(func() error { out[k] = f(span[0], span[1]); return nil })
	}
	_ = g.Wait() // no span fails
	return out
}
