package vec

import "math"

// PanelWidth is how many gathered rows a Panel holds before it is multiplied out.
const PanelWidth = 256

// panelStride is the distance between rows of a panel: PanelWidth, and one cache line more so that a column does not fall into a few
// cache sets.
const panelStride = PanelWidth + 16

// Panel gathers weighted rows of length d and adds their outer products to a matrix: Σ w·x·xᵀ. It is scratch of one worker.
type Panel struct {
	d, n int
	p    []float32 // d × panelStride: column k holds √w·x of the k-th gathered row
}

// NewPanel returns an empty panel for rows of length d.
func NewPanel(d int) *Panel { return &Panel{d: d, p: make([]float32, d*panelStride)} }

// Full reports whether the panel must be flushed before the next Add.
func (p *Panel) Full() bool { return p.n == PanelWidth }

// Add gathers row x with weight w ≥ 0. len(x) = d.
func (p *Panel) Add(x []float32, w float32) {
	s := float32(math.Sqrt(float64(w)))
	col := p.p[p.n:]
	for i, v := range x[:p.d] {
		col[i*panelStride] = float32(s * v)
	}
	p.n++
}

// Flush adds the gathered rows' Σ w·x·xᵀ to the lower triangle of dst (d×d) and empties the panel. The rest of dst is left alone
// except for up to three elements right of the diagonal in a row, which are scratch. O(n·d²/2).
func (p *Panel) Flush(dst []float32) {
	syrkLower(dst, p.p, p.d, p.n)
	p.n = 0
}

// syrkLower adds P·Pᵀ to the lower triangle of c (d×d); P is d×n with row stride panelStride.
func syrkLower(c, p []float32, d, n int) {
	if n == 0 {
		return
	}
	i := 0
	for ; i+3 <= d; i += 3 {
		pi := p[i*panelStride:]
		r0, r1, r2 := c[i*d:][:d], c[(i+1)*d:][:d], c[(i+2)*d:][:d]
		// Columns 0…i+2: the last tiles overlap the diagonal, and what they put above it is never read.
		j := 0
		for ; j < i+3 && j+2 <= d; j += 2 {
			c00, c01, c10, c11, c20, c21 := dot3x2(n, pi, panelStride, p[j*panelStride:], panelStride)
			r0[j] += c00
			r0[j+1] += c01
			r1[j] += c10
			r1[j+1] += c11
			r2[j] += c20
			r2[j+1] += c21
		}
		if j < i+3 { // the last column of an odd d
			r2[j] += Dot(pi[2*panelStride:][:n], p[j*panelStride:][:n])
		}
	}
	for ; i < d; i++ {
		pi := p[i*panelStride:][:n]
		for j := 0; j <= i; j++ {
			c[i*d+j] += Dot(pi, p[j*panelStride:][:n])
		}
	}
}

// Gram sets dst (d×d, float64, full and symmetric) to XᵀX; X is n×d. The rows are cut into a fixed number of chunks whose partial
// sums are added in order, so dst does not depend on GOMAXPROCS. Products are summed in float32 over at most PanelWidth rows, and in
// float64 beyond. O(n·d²/2).
func Gram(dst []float64, x []float32, n, d int) {
	parts := make([][]float64, gramChunks)
	type scratch struct {
		tile  []float32
		panel *Panel
	}
	Chunks(gramChunks, func() scratch { return scratch{make([]float32, d*d), NewPanel(d)} }, func(s scratch, chunk int) {
		lo, hi := Span(n, gramChunks, chunk)
		if lo == hi {
			return
		}
		sum, tile, panel := make([]float64, d*d), s.tile, s.panel
		for r := lo; r < hi; r++ {
			panel.Add(x[r*d:][:d], 1)
			if panel.Full() || r == hi-1 {
				clear(tile)
				panel.Flush(tile)
				for i, v := range tile {
					sum[i] += float64(v)
				}
			}
		}
		parts[chunk] = sum
	})
	clear(dst[:d*d])
	for _, part := range parts {
		for i, v := range part {
			dst[i] += v
		}
	}
	for i := range d {
		for j := range i {
			dst[j*d+i] = dst[i*d+j]
		}
	}
}

const gramChunks = 16
