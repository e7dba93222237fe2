package als

import (
	"github.com/rapport-ml/rapport/models/internal/vec"
)

// basis is an orthonormal basis of the vectors' space.
type basis struct {
	d        int
	to, from *vec.Packed // multiply rows with these from the right
}

// turn rotates s, with its vectors in place, into the basis of the eigenvectors of its Gram matrix, which becomes a diagonal: multiplying with
// it costs d instead of d², and it is what steps are conditioned by. The objective of training knows no basis. Afterwards restore turns
// the vectors back. It reports false if the Gram matrix holds a NaN or an infinity. O(n·d² + d³), on all cores.
func (s *system) turn() (*basis, bool) {
	values, vectors, ok := eigen(s.gram, s.d)
	if !ok {
		return nil, false
	}
	v := make([]float32, len(vectors))
	for i, x := range vectors {
		v[i] = float32(x)
	}
	b := &basis{d: s.d, to: vec.Pack(v, s.d, s.d), from: vec.PackColumns(v, s.d, s.d, s.d)}
	s.diag = make([]float32, lanes(s.d))
	clear(s.gram)
	clear(s.gram32)
	for i, x := range values {
		x = max(x, 0) // what rounding made of a zero
		s.gram[i*s.d+i], s.gram32[i*s.d+i], s.diag[i] = x, float32(x), float32(x)
	}
	b.all(s.fixed, b.to)
	return b, true
}

// restore turns rows×d vectors back, in place.
func (b *basis) restore(vectors []float32) { b.all(vectors, b.from) }

func (b *basis) all(vectors []float32, by *vec.Packed) {
	const rowsPerChunk = 64
	n := len(vectors) / b.d
	chunks := (n + rowsPerChunk - 1) / rowsPerChunk
	vec.Chunks(chunks, func() []float32 { return make([]float32, rowsPerChunk*b.d) }, func(buf []float32, chunk int) {
		lo, hi := vec.Span(n, chunks, chunk)
		rows := vectors[lo*b.d : hi*b.d]
		by.MulNT(buf, b.d, rows, b.d, hi-lo)
		copy(rows, buf)
	})
}
