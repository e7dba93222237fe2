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
	refine = [][]float64{{1. / 4, 1. / 2, 2, 4}, {0.75, 1.3}}
)

// maxRounds bounds the passes of one refinement over the weights.
const maxRounds = 4

// fit maximizes nDCG over the given queries and returns weights whose largest is 1.
func (v *validation) fit(ctx context.Context, queries []int) (w []float64, ndcg float64, err error) {
	part, ndcg := v.bestSingle(queries)
	w = v.only(part)
	try := func(p int, weight float64) bool {
		old := w[p]
		w[p] = weight
		if slices.Max(w) > 0 {
			if x := v.ndcg(w, queries); x > ndcg {
				ndcg = x
				return true
			}
		}
		w[p] = old
		return false
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
			for _, f := range coarse {
				w[p] = top * f
				if x := v.ndcg(w, queries); x > gain {
					joined, weight, gain = p, w[p], x
				}
			}
			w[p] = 0
		}
		if joined < 0 {
			break
		}
		w[joined], ndcg = weight, gain
		for _, factors := range refine {
			for range maxRounds {
				moved := false
				for p := range w {
					for _, f := range factors {
						if w[p] > 0 && try(p, w[p]*f) {
							moved = true
						}
					}
					if w[p] > 0 && try(p, 0) {
						moved = true
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
	var key []byte
	for _, x := range w {
		key = binary.LittleEndian.AppendUint64(key, math.Float64bits(x))
	}
	if known := v.known[string(key)]; known != nil {
		return known
	}
	figures := make([]float64, len(v.queries))
	const chunks = 64
	vec.Chunks(chunks, func() *list { return newList(v.k) }, func(l *list, c int) {
		lo, hi := vec.Span(len(figures), chunks, c)
		for i := lo; i < hi; i++ {
			q := &v.queries[i]
			figures[i] = l.dcg(w, q) / v.ideal[min(q.relevant, v.k)]
		}
	})
	if v.known == nil {
		v.known = map[string][]float64{}
	}
	v.known[string(key)] = figures
	return figures
}

// list holds the best candidates of one query, best first.
type list struct {
	hit      []bool
	score    []float64
	all      []float64 // the weighted scores of all candidates
	discount []float64
}

func newList(k int) *list {
	l := &list{hit: make([]bool, k), score: make([]float64, k), discount: make([]float64, k)}
	for r := range l.discount {
		l.discount[r] = discount(r)
	}
	return l
}

// dcg returns the DCG@K of the candidates of q, ordered by their weighted scores.
func (l *list) dcg(w []float64, q *query) float64 {
	candidates := len(q.hit)
	l.all = slices.Grow(l.all[:0], candidates)[:candidates]
	clear(l.all)
	for p, x := range w {
		if x != 0 {
			for c, s := range q.score[p*candidates:][:candidates] {
				l.all[c] += float64(x * float64(s))
			}
		}
	}
	n, least := 0, math.Inf(-1)
	for c, s := range l.all {
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
		l.score[r], l.hit[r] = s, q.hit[c]
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
