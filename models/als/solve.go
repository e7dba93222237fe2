package als

import (
	"github.com/rapport-ml/rapport/models/internal/vec"
)

// system is what all rows of one half-step share: the other side's vectors and α₀ times their Gram matrix.
type system struct {
	d      int
	fixed  []float32 // n×d
	gram   []float64 // α₀·FᵀF, d×d
	gram32 []float32
}

func newSystem(fixed []float32, gram []float64, d int, weight float64) *system {
	s := &system{d: d, fixed: fixed, gram: make([]float64, d*d), gram32: make([]float32, d*d)}
	for i, g := range gram {
		s.gram[i] = weight * g
		s.gram32[i] = float32(s.gram[i])
	}
	return s
}

func (s *system) vector(r int32) []float32 { return s.fixed[int(r)*s.d:][:s.d] }

// scratch is one worker's memory for solves: O(d²).
type scratch struct {
	a     []float32
	panel *vec.Panel
}

func (s *system) scratch() *scratch {
	return &scratch{a: make([]float32, s.d*s.d), panel: vec.NewPanel(s.d)}
}

// solve sets dst (d) to the minimizer for one row, the other side fixed (Hu, Koren & Volinsky 2008, eq. 4, in the weights of the
// package comment):
//
//	w = (α₀·FᵀF + Σ c·f·fᵀ + shrink·I)⁻¹ (Σ c·f + shrink·m)
//
// over the row's columns. m is centre (d), what the row is drawn towards; nil is 0. It works in float32, and in float64 if that fails; it reports false if both do. O(n·d²/2 + d³/3).
// It overwrites sc.
func (s *system) solve(dst []float32, col []int32, conf []float32, shrink float64, centre []float32, sc *scratch) bool {
	d := s.d
	clear(dst)
	switch {
	case centre != nil:
		vec.Axpy(dst, float32(shrink), centre)
	case len(col) == 0:
		return true
	}
	copy(sc.a, s.gram32)
	for i := range d {
		sc.a[i*d+i] += float32(shrink)
	}
	for k, c := range col {
		f := s.vector(c)
		vec.Axpy(dst, conf[k], f)
		sc.panel.Add(f, conf[k])
		if sc.panel.Full() {
			sc.panel.Flush(sc.a)
		}
	}
	sc.panel.Flush(sc.a)
	if vec.Cholesky(sc.a, d) {
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
			b[i] += float64(conf[k]) * float64(v)
		}
	}
	vec.CholeskySolve64(l, d, b, 1)
	for i, v := range b {
		dst[i] = float32(v)
	}
	return true
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
			x, row := float64(conf[k])*float64(v), a[i*d:][:i+1]
			for j := range row {
				row[j] += float64(x * float64(f[j]))
			}
		}
	}
	return a, vec.Cholesky64(a, d)
}
