package vec

import "math"

// PanelWidth is how many gathered rows a Panel holds before it is multiplied out.
const PanelWidth = 256

// Panel gathers weighted rows of length d and adds their outer products to a matrix: Σ w·x·xᵀ. It is scratch of one worker.
type Panel struct {
	d, n   int
	stride int       // d, rounded up to whole tiles
	p      []float32 // PanelWidth × stride: row k holds √w·x of the k-th gathered row, then zeros
}

// NewPanel returns an empty panel for rows of length d.
func NewPanel(d int) *Panel {
	stride := (d + tileCols - 1) / tileCols * tileCols
	return &Panel{d: d, stride: stride, p: make([]float32, PanelWidth*stride)}
}

// Full reports whether the panel must be flushed before the next Add.
func (p *Panel) Full() bool { return p.n == PanelWidth }

// Add gathers row x with weight w ≥ 0. len(x) = d.
func (p *Panel) Add(x []float32, w float32) {
	s := float32(math.Sqrt(float64(w)))
	row := p.p[p.n*p.stride:][:p.d]
	for i, v := range x[:len(row)] {
		row[i] = s * v
	}
	p.n++
}

// Flush adds the gathered rows' Σ w·x·xᵀ to the upper triangle of dst (d×d) and empties the panel. The rest of dst is left alone.
// O(n·d²/2).
func (p *Panel) Flush(dst []float32) {
	if p.n == 0 {
		return
	}
	var c tile
	for i0 := 0; i0 < p.d; i0 += tileRows {
		for j0 := i0 / tileCols * tileCols; j0 < p.d; j0 += tileCols {
			mulTile(&c, p.n, p.p[i0:], 1, p.stride, p.p[j0:], p.stride)
			for i := i0; i < min(i0+tileRows, p.d); i++ {
				lo, hi := max(i, j0), min(j0+tileCols, p.d)
				if lo >= hi {
					continue
				}
				from := c.row(i-i0, lo-j0)
				for j, v := range from[:hi-lo] {
					dst[i*p.d+lo+j] += v
				}
			}
		}
	}
	p.n = 0
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
			dst[i*d+j] = dst[j*d+i]
		}
	}
}

const gramChunks = 16
