package blend

import (
	"context"
	"encoding/binary"
	"math"
	"slices"

	"github.com/rapport-ml/rapport/models/internal/vec"
)

// folds is the number of parts of the cross-validation; query i belongs to fold i mod folds.
const folds = 5

// choose fits weights, cross-validates them, and writes what it chose to record.
func (v *validation) choose(ctx context.Context, record *Record) error {
	all := make([]int, len(v.queries))
	for i := range all {
		all[i] = i
	}
	weights, fitted, err := v.fit(ctx, all)
	if err != nil {
		return err
	}
	var blend, single float64
	for f := range folds {
		var in, out []int
		for _, i := range all {
			if i%folds == f {
				out = append(out, i)
			} else {
				in = append(in, i)
			}
		}
		w, _, err := v.fit(ctx, in)
		if err != nil {
			return err
		}
		best, _ := v.bestSingle(in)
		blend += v.ndcg(w, out) * float64(len(out))
		single += v.ndcg(v.only(best), out) * float64(len(out))
	}
	record.CrossBlend, record.CrossSingle = blend/float64(len(all)), single/float64(len(all))
	record.Choice, record.Fitted = chosenBlend, fitted
	if record.CrossBlend <= record.CrossSingle {
		best, figure := v.bestSingle(all)
		record.Choice, record.Fitted = chosenSingle, figure
		weights = v.only(best)
	}
	for p := range record.Parts {
		record.Parts[p].Weight = weights[p]
		record.Parts[p].NDCG = v.ndcg(v.only(p), all)
	}
	return nil
}

// only returns the weights of part p alone.
func (v *validation) only(p int) []float64 {
	w := make([]float64, v.parts)
	w[p] = 1
	return w
}

// bestSingle returns the part with the highest nDCG over the given queries; the first of them, if several are.
func (v *validation) bestSingle(queries []int) (part int, ndcg float64) {
	part, ndcg = 0, v.ndcg(v.only(0), queries)
	for p := 1; p < v.parts; p++ {
		if x := v.ndcg(v.only(p), queries); x > ndcg {
			part, ndcg = p, x
		}
	}
	return part, ndcg
}

// The grids of the search, as factors. coarse is tried for a weight that joins, on the scale of the largest weight; the shrinking ones
// for a weight that is there.
var (
	coarse = []float64{1. / 64, 1. / 32, 1. / 16, 1. / 8, 1. / 4, 1. / 2, 1, 2, 4, 8, 16, 32, 64}
	refine = [][]float64{{0, 1. / 4, 1. / 2, 2, 4}, {0, 0.75, 0.9, 1.15, 1.3}}
)

// maxRounds bounds the passes of one refinement over the weights.
const maxRounds = 4

// fit maximizes nDCG over the given queries and returns weights whose largest is 1.
func (v *validation) fit(ctx context.Context, queries []int) (w []float64, ndcg float64, err error) {
	part, ndcg := v.bestSingle(queries)
	w = v.only(part)
	// along returns the best weight of part p among base·factors and what it reaches, if that is more than `least`.
	along := func(p int, base float64, factors []float64, least float64) (weight, reached float64, ok bool) {
		var line [][]float64
		for _, f := range factors {
			x := slices.Clone(w)
			if x[p] = base * f; slices.Max(x) > 0 {
				line = append(line, x)
			}
		}
		v.compute(line)
		reached = least
		for _, x := range line {
			if n := v.ndcg(x, queries); n > reached {
				weight, reached, ok = x[p], n, true
			}
		}
		return weight, reached, ok
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		// The part and the weight that gain most join; the weights that are there settle before the next one does.
		joined, weight, gain := -1, 0.0, ndcg
		top := slices.Max(w)
		for p := range w {
			if w[p] > 0 {
				continue
			}
			if x, reached, ok := along(p, top, coarse, gain); ok {
				joined, weight, gain = p, x, reached
			}
		}
		if joined < 0 {
			break
		}
		w[joined], ndcg = weight, gain
		for _, factors := range refine {
			for range maxRounds {
				moved := false
				for p := range w {
					if w[p] == 0 {
						continue
					}
					if x, reached, ok := along(p, w[p], factors, ndcg); ok {
						w[p], ndcg, moved = x, reached, true
					}
				}
				if !moved {
					break
				}
			}
		}
	}
	top := slices.Max(w)
	for p := range w {
		w[p] /= top
	}
	return w, ndcg, nil
}

// ndcg returns the mean nDCG@K of weights w over the given queries, ties broken by the lower item. It is 0 for no queries.
func (v *validation) ndcg(w []float64, queries []int) float64 {
	if len(queries) == 0 {
		return 0
	}
	figures := v.figures(w)
	var sum float64
	for _, i := range queries {
		sum += figures[i]
	}
	return sum / float64(len(queries))
}

// figures returns the nDCG@K of each query under weights w. They are computed once: the searches of all folds begin alike, and part
// ways late if at all.
func (v *validation) figures(w []float64) []float64 {
	if known := v.known[weightsKey(w)]; known != nil {
		return known
	}
	v.compute([][]float64{w})
	return v.known[weightsKey(w)]
}

// weightsKey is what weights are known by: their bits.
func weightsKey(w []float64) string {
	var key []byte
	for _, x := range w {
		key = binary.LittleEndian.AppendUint64(key, math.Float64bits(x))
	}
	return string(key)
}

// compute adds the figures of several weights to v.known. Four cost little more than one.
func (v *validation) compute(weights [][]float64) {
	weights = slices.DeleteFunc(slices.Clone(weights), func(w []float64) bool { return v.known[weightsKey(w)] != nil })
	if len(weights) == 0 {
		return
	}
	flat, figures := make([]float32, 0, len(weights)*v.parts), make([][]float64, len(weights))
	for i, w := range weights {
		for _, x := range w {
			flat = append(flat, float32(x))
		}
		figures[i] = make([]float64, len(v.queries))
	}
	const chunks = 64
	vec.Chunks(chunks, func() *list { return newList(v.k) }, func(l *list, c int) {
		lo, hi := vec.Span(len(v.queries), chunks, c)
		for i := lo; i < hi; i++ {
			q := &v.queries[i]
			if !slices.Contains(q.hit, true) {
				continue // nothing to find among the candidates: 0
			}
			l.weigh(flat, len(weights), q)
			for k := range weights {
				figures[k][i] = l.dcg(l.all[k*len(q.hit):][:len(q.hit)], q.hit) / v.ideal[min(q.relevant, v.k)]
			}
		}
	})
	if v.known == nil {
		v.known = map[string][]float64{}
	}
	for i, w := range weights {
		v.known[weightsKey(w)] = figures[i]
	}
}

// list holds the best candidates of one query, best first.
type list struct {
	hit      []bool
	score    []float32
	all      []float32 // the weighted scores of all candidates, under each of several weights
	discount []float64
}

func newList(k int) *list {
	l := &list{hit: make([]bool, k), score: make([]float32, k), discount: make([]float64, k)}
	for r := range l.discount {
		l.discount[r] = discount(r)
	}
	return l
}

// weigh sets l.all to the scores of q's candidates under each of n weights, the rows of w.
func (l *list) weigh(w []float32, n int, q *query) {
	candidates := len(q.hit)
	l.all = slices.Grow(l.all[:0], n*candidates)[:n*candidates]
	q.packed.MulNT(l.all, candidates, w, len(w)/n, n)
}

// dcg returns the DCG@K of candidates in the order of their scores; hit says which are relevant.
func (l *list) dcg(scores []float32, hit []bool) float64 {
	n, least := 0, float32(math.Inf(-1))
	for c, s := range scores {
		if s <= least {
			continue
		}
		if n == len(l.score) {
			n--
		}
		r := n
		for ; r > 0 && s > l.score[r-1]; r-- {
			l.score[r], l.hit[r] = l.score[r-1], l.hit[r-1]
		}
		l.score[r], l.hit[r] = s, hit[c]
		n++
		if n == len(l.score) {
			least = l.score[n-1]
		}
	}
	var sum float64
	for r, hit := range l.hit[:n] {
		if hit {
			sum += l.discount[r]
		}
	}
	return sum
}
