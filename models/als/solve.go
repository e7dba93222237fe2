package als

import (
	"math"

	"github.com/rapport-ml/rapport/models/internal/vec"
)

// system is what all rows of one half-step share: the other side's vectors and α₀ times their Gram matrix.
type system struct {
	d      int
	fixed  []float32 // n×d
	gram   []float64 // α₀·FᵀF, d×d
	gram32 []float32
	same   float32   // what stands for nil confidences
	diag   []float32 // the diagonal of gram, if it has no other elements: after turn (basis.go), in whole lanes
}

func newSystem(fixed []float32, gram []float64, d int, weight float64) *system {
	s := &system{d: d, fixed: fixed, same: 1, gram: make([]float64, d*d), gram32: make([]float32, d*d)}
	for i, g := range gram {
		s.gram[i] = weight * g
		s.gram32[i] = float32(s.gram[i])
	}
	return s
}

func (s *system) vector(r int32) []float32 { return s.fixed[int(r)*s.d:][:s.d] }

// lanes returns d in whole lanes of the kernels.
func lanes(d int) int { return (d + vec.Lanes - 1) / vec.Lanes * vec.Lanes }

// scratch is one worker's memory for solves: O(d²), and 4·(d+2) bytes for each row that it gathers at once. Vectors are in whole lanes,
// with zeros behind d.
type scratch struct {
	stride, pitch int       // of vectors; of the rows in x that are multiplied out
	a, kept       []float32 // d×d
	x             []float32 // gathered rows, times the roots of their confidences
	y, root, same []float32 // a number for each gathered row
	b, v          []float32
	steps         *steps // made by the first row that is solved by steps
}

// scratch makes the memory of exact solves.
func (s *system) scratch() *scratch { return s.gathers(vec.PanelWidth) }

// gathers makes memory for `rows` gathered rows.
func (s *system) gathers(rows int) *scratch {
	stride, pitch := lanes(s.d), vec.Pitch(s.d)
	sc := &scratch{
		stride: stride, pitch: pitch, a: make([]float32, s.d*s.d), kept: make([]float32, s.d*s.d), x: make([]float32, max(rows*stride, min(rows, vec.PanelWidth)*pitch)),
		y: make([]float32, rows), root: make([]float32, rows), same: make([]float32, rows), b: make([]float32, stride), v: make([]float32, stride),
	}
	for k := range sc.same {
		sc.same[k] = float32(math.Sqrt(float64(s.same)))
	}
	return sc
}

// gather copies the fixed vectors that col names to sc.x, one each pitch, times the roots of their confidences, which it returns.
func (s *system) gather(col []int32, conf []float32, sc *scratch, pitch int) (roots []float32) {
	roots = s.roots(conf, len(col), sc)
	scale := roots
	if conf == nil && s.same == 1 {
		scale = nil
	}
	vec.Gather(sc.x, pitch, s.fixed, s.d, col, scale)
	return roots
}

// roots returns the roots of n confidences.
func (s *system) roots(conf []float32, n int, sc *scratch) []float32 {
	if conf == nil {
		return sc.same[:n]
	}
	for k, c := range conf {
		sc.root[k] = float32(math.Sqrt(float64(c)))
	}
	return sc.root[:n]
}

// solve sets dst (d) to the minimizer for one row, the other side fixed (Hu, Koren & Volinsky 2008, eq. 4, in the weights of the
// package comment):
//
//	w = (α₀·FᵀF + Σ c·f·fᵀ + shrink·I)⁻¹ (Σ c·f + shrink·m)
//
// over the row's columns. m is centre (d), what the row is drawn towards; nil is 0. It works in float32, and in float64 where that would
// leave too few digits; it reports false if both fail. O(n·d²/2 + d³/3). It overwrites sc.
func (s *system) solve(dst []float32, col []int32, conf []float32, shrink float64, centre []float32, sc *scratch) bool {
	d := s.d
	if len(col) == 0 && centre == nil {
		clear(dst)
		return true
	}
	copy(sc.a, s.gram32)
	for i := range d {
		sc.a[i*d+i] += float32(shrink)
	}
	clear(sc.b)
	for i, m := range centre {
		sc.b[i] = float32(shrink) * m
	}
	for at := 0; at < len(col); at += vec.PanelWidth {
		end := min(at+vec.PanelWidth, len(col))
		roots := s.gather(col[at:end], part(conf, at, end), sc, sc.pitch)
		vec.AddRows(sc.b, sc.x, sc.pitch, roots)
		vec.Syrk(sc.a, d, sc.x, end-at, d, sc.pitch)
	}
	if len(col) > vec.PanelWidth {
		copy(sc.kept, sc.a)
	}
	copy(dst, sc.b[:d])
	if vec.Cholesky(sc.a, d) && conditioned(sc.a, d) {
		vec.CholeskySolve(sc.a, d, dst)
		return true
	}
	l, ok := s.factor64(col, conf, shrink)
	if !ok {
		return false
	}
	b := make([]float64, d)
	for i, m := range centre {
		b[i] = shrink * float64(m)
	}
	for k, c := range col {
		for i, v := range s.vector(c) {
			b[i] += s.confidence(conf, k) * float64(v)
		}
	}
	vec.CholeskySolve64(l, d, b, 1)
	for i, v := range b {
		dst[i] = float32(v)
	}
	return true
}

// conditioned reports whether a triangular factor promises a solution with about a digit in a thousand or better in float32: the square of the
// ratio of its largest and smallest pivot is of the order of the matrix's condition.
func conditioned(u []float32, d int) bool {
	low, high := u[0], u[0]
	for i := range d {
		low, high = min(low, u[i*d+i]), max(high, u[i*d+i])
	}
	return high <= 1000*low
}

// lossOf returns what the row that solve has just set w to adds to the objective, without its regularizer,
//
//	Σ c·(w·f − 1)² + α₀·wᵀFᵀF·w.
//
// A row whose vectors are still gathered is asked what it predicts. For a longer one that is wᵀA·w − 2·w·Σ c·f + Σ c, less the
// regularizer's part, from the sums that solve has made. O(n·d + d²).
func (s *system) lossOf(w []float32, col []int32, conf, centre []float32, shrink float64, sc *scratch) (loss float64) {
	d := s.d
	if len(col) <= vec.PanelWidth {
		clear(sc.v[copy(sc.v, w):])
		y := sc.y[:len(col)]
		vec.Dots(y, sc.x, sc.pitch, sc.v)
		for k, root := range s.roots(conf, len(col), sc) {
			e := float64(root - y[k])
			loss += e * e
		}
		for i, x := range w {
			loss += float64(x) * vec.Dot64(s.gram32[i*d:][:d], w)
		}
		return loss
	}
	loss = float64(s.same) * float64(len(col))
	if conf != nil {
		loss = 0
		for _, c := range conf {
			loss += float64(c)
		}
	}
	for i, x := range w {
		row, b := sc.kept[i*d:][:d], float64(sc.b[i])
		if centre != nil {
			b -= shrink * float64(centre[i])
		}
		loss += float64(x) * ((float64(row[i])-shrink)*float64(x) + 2*(vec.Dot64(row[i+1:], w[i+1:])-b))
	}
	return loss
}

// part is conf[at:end], or nil if conf is.
func part(conf []float32, at, end int) []float32 {
	if conf == nil {
		return nil
	}
	return conf[at:end]
}

// confidence is that of a row's pair k.
func (s *system) confidence(conf []float32, k int) float64 {
	if conf == nil {
		return float64(s.same)
	}
	return float64(conf[k])
}

// factor64 returns the Cholesky factor of the row's matrix in float64 (lower triangle, d×d).
func (s *system) factor64(col []int32, conf []float32, shrink float64) ([]float64, bool) {
	d := s.d
	a := make([]float64, d*d)
	copy(a, s.gram)
	for i := range d {
		a[i*d+i] += shrink
	}
	for k, c := range col {
		f := s.vector(c)
		for i, v := range f {
			x, row := s.confidence(conf, k)*float64(v), a[i*d:][:i+1]
			for j := range row {
				row[j] += float64(x * float64(f[j]))
			}
		}
	}
	return a, vec.Cholesky64(a, d)
}
