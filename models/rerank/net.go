package rerank

import (
	"fmt"
	"math"
	"slices"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/internal/vec"
)

// clip bounds standardized features: an outlier of one day must not carry a correction to its bound by itself.
const clip = 5

// network is the trained correction. Shapes are row-major; inputs are the standardized features, then the indicators of those that can be
// missing, then one unit for each level of each context column, the unknown one first.
type network struct {
	mean, scale []float32 // of each feature
	indicator   []bool    // whether the feature has an indicator of being missing
	columns     []int     // 1 + levels of each context column

	w1     []float32 // inputs × h1
	b1     []float32
	w2     []float32 // h1 × h2
	b2     []float32
	w3     []float32 // h2
	b3     float32
	h1, h2 int
	bound  float64 // of a correction, as a share of the candidate's unit

	dense            int   // inputs that are no context
	at               []int // first input of each context column
	packed1, packed2 *vec.Packed
}

// lay finds where each input stands.
func (n *network) lay() *network {
	n.dense = len(n.mean)
	for _, yes := range n.indicator {
		if yes {
			n.dense++
		}
	}
	n.at = make([]int, len(n.columns))
	inputs := n.dense
	for c, levels := range n.columns {
		n.at[c] = inputs
		inputs += levels
	}
	return n
}

// seal prepares the network for use, after its fields have been filled in.
func (n *network) seal() *network {
	n.lay()
	n.packed1 = vec.Pack(transposed(n.w1, n.dense, n.h1), n.h1, n.dense)
	n.packed2 = vec.Pack(transposed(n.w2, n.h1, n.h2), n.h2, n.h1)
	return n
}

// inputs returns the width of the first layer.
func (n *network) inputs() int {
	sum := n.dense
	for _, levels := range n.columns {
		sum += levels
	}
	return sum
}

// check reports shapes and numbers that do not fit together; seal relies on them.
func (n *network) check() error {
	inputs := len(n.mean)
	for j, yes := range n.indicator {
		if yes {
			inputs++
		}
		if !(n.scale[j] > 0) {
			return fmt.Errorf("feature %d has scale %v", j, n.scale[j])
		}
	}
	for _, levels := range n.columns {
		inputs += levels
	}
	if len(n.w1) != inputs*n.h1 || len(n.b1) != n.h1 || len(n.w2) != n.h1*n.h2 || len(n.b2) != n.h2 || len(n.w3) != n.h2 {
		return fmt.Errorf("layers of %d, %d, %d weights for %d inputs and %d, %d hidden units", len(n.w1), len(n.w2), len(n.w3), inputs, n.h1, n.h2)
	}
	if !(n.bound > 0) || math.IsInf(n.bound, 1) {
		return fmt.Errorf("the bound is %v", n.bound)
	}
	return nil
}

// finite reports weights that training has carried away.
func (n *network) finite() error {
	for _, w := range [][]float32{n.w1, n.b1, n.w2, n.b2, n.w3, {n.b3}} {
		for _, x := range w {
			if x-x != 0 {
				return fmt.Errorf("a weight is %v: lower the rate", x)
			}
		}
	}
	return nil
}

// transposed returns the n×m matrix w as m×n.
func transposed(w []float32, n, m int) []float32 {
	out := make([]float32, len(w))
	for i := range n {
		for j := range m {
			out[j*n+i] = w[i*m+j]
		}
	}
	return out
}

// standardize sets dst (rows × dense) to the inputs of rows of features, NaN standing for what is missing.
func (n *network) standardize(dst, features []float32) {
	width := len(n.mean)
	for r := range len(features) / width {
		row, out := features[r*width:][:width], dst[r*n.dense:][:n.dense]
		next := width
		for j, x := range row {
			missing := x != x
			if out[j] = 0; !missing {
				out[j] = min(max((x-n.mean[j])/n.scale[j], -clip), clip)
			}
			if n.indicator[j] {
				if out[next] = 0; missing {
					out[next] = 1
				}
				next++
			}
		}
	}
}

// memory is the scratch of one goroutine.
type memory struct {
	x, a1, h1, a2 []float32
	y             []float64
}

// correct sets dst (for each candidate of a shortlist, with its row of features and its blend score in base) to the mean correction over a mix of contexts:
//
//	bound · unit · Σ_c weight_c · tanh(net(x, c) − mean_{j in head} net(x_j, c))
//
// What is common to all candidates would change no order, so that learning leaves it to chance, and yet stand in their reasons: so the mean over
// the head is taken away. O(rows·h1·(inputs + contexts·h2)).
func (n *network) correct(dst []float64, features, base []float32, mix []share, m *memory) {
	n.first(features, len(dst), m)
	clear(dst)
	for _, s := range mix {
		n.outputs(s.Context, m)
		mean, of := 0.0, min(len(dst), head)
		for _, y := range m.y[:of] {
			mean += y / float64(of)
		}
		for r, y := range m.y {
			dst[r] += float64(s.Weight * math.Tanh(y-mean))
		}
	}
	least := unitOf(base)
	for r := range dst {
		dst[r] *= n.bound * max(least, float64(base[r]))
	}
}

// first computes the first layer of rows of features, once for all contexts, which add a constant row to it.
func (n *network) first(features []float32, rows int, m *memory) {
	m.x, m.a1, m.h1, m.a2 = grow(m.x, rows*n.dense), grow(m.a1, rows*n.h1), grow(m.h1, rows*n.h1), grow(m.a2, rows*n.h2)
	m.y = grow(m.y, rows)
	n.standardize(m.x, features)
	n.packed1.MulNT(m.a1, n.h1, m.x, n.dense, rows)
}

// outputs sets m.y to the network's outputs in a context, for the rows of first.
func (n *network) outputs(c models.Context, m *memory) {
	constant := slices.Clone(n.b1)
	for col := range n.columns {
		vec.Axpy(constant, 1, n.w1[(n.at[col]+c.Level(col))*n.h1:][:n.h1])
	}
	for r := range m.y {
		a, h := m.a1[r*n.h1:][:n.h1], m.h1[r*n.h1:][:n.h1]
		for j, v := range constant {
			h[j] = max(a[j]+v, 0)
		}
	}
	n.packed2.MulNT(m.a2, n.h2, m.h1, n.h1, len(m.y))
	for r := range m.y {
		m.y[r] = float64(n.b3)
		for j, v := range m.a2[r*n.h2:][:n.h2] {
			m.y[r] += float64(float64(max(v+n.b2[j], 0)) * float64(n.w3[j]))
		}
	}
}

// knows reports whether x has only levels that there are.
func (n *network) knows(x models.Context) bool {
	for c, levels := range n.columns {
		if x.Level(c) >= levels {
			return false
		}
	}
	return true
}

// grow returns a slice of n values, s's own memory if it has room.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
