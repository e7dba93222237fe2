package vec

import (
	"math"
	"unsafe"
)

// PanelWidth is how many gathered rows a Panel holds before it is multiplied out: a strip of 48 columns of them fits in a core's first cache.
const PanelWidth = 128

// Pitch returns how far apart rows of length d stand best that Syrk multiplies: d in whole lanes, and an odd number of these. Rows a power of two apart
// share a few sets of the first cache, which then holds a fraction of them: Syrk of 144 rows is 24 % slower at d = 64, and 13 % at 128.
func Pitch(d int) int { return roundUp(d) | tileCols }

// Panel gathers weighted rows of length d and adds their outer products to a matrix: Σ w·x·xᵀ. It is scratch of one worker.
type Panel struct {
	d, n   int
	stride int       // Pitch
	p      []float32 // PanelWidth × stride: row k holds √w·x of the k-th gathered row, then zeros
}

// NewPanel returns an empty panel for rows of length d.
func NewPanel(d int) *Panel {
	stride := Pitch(d)
	return &Panel{d: d, stride: stride, p: aligned(PanelWidth * stride)}
}

// Full reports whether the panel must be flushed before the next Add.
func (p *Panel) Full() bool { return p.n == PanelWidth }

// Add gathers row x with weight w ≥ 0. len(x) = d.
func (p *Panel) Add(x []float32, w float32) {
	s := float32(math.Sqrt(float64(w)))
	scaleTo(p.p[p.n*p.stride:][:p.d], s, x)
	p.n++
}

// Flush adds the gathered rows' Σ w·x·xᵀ to the upper triangle of dst (d×d) and empties the panel, as Syrk. O(n·d²/2).
func (p *Panel) Flush(dst []float32) {
	Syrk(dst, p.d, p.p, p.n, p.d, p.stride)
	p.n = 0
}

// Syrk adds Σ_k x_k·x_kᵀ to the upper triangle of dst (d×d, row stride ldd) for the n rows of x, which have stride `stride`: at least d, rounded
// up to a multiple of 16; what stands there beyond d is read and does not matter. Elements up to 15 columns left of the diagonal may be
// overwritten too. An element is the sum over all n rows, in ascending order from 0, that is then added. It is quickest if d is a multiple of 16,
// n at most PanelWidth or so, and stride a Pitch. O(n·d²/2).
func Syrk(dst []float32, ldd int, x []float32, n, d, stride int) {
	if n == 0 || d == 0 {
		return
	}
	strips := roundUp(d) / tileCols
	for js := 0; js < strips; {
		w := widest(strips - js)
		// These columns of x stay in the first cache while the rows of dst pass.
		for i := 0; i < min(d, (js+w)*tileCols); i += tileRows {
			first := max(js, i/tileCols)
			j := first * tileCols
			mulInside(add, dst[i*ldd+j:], ldd, d-i, d-j, js+w-first, n, x[i:], 1, stride, x[j:], tileCols, stride)
		}
		js += w
	}
}

// roundUp returns d rounded up to whole strips.
func roundUp(d int) int { return (d + tileCols - 1) / tileCols * tileCols }

// aligned returns n zeros that begin at a line of the cache.
func aligned(n int) []float32 {
	x := make([]float32, n+tileCols)
	off := int(-uintptr(unsafe.Pointer(&x[0])) / 4 % tileCols)
	return x[off : off+n : off+n]
}

// Gram sets dst (d×d, float64, full and symmetric) to XᵀX; X is n×d. The rows are cut into a fixed number of chunks whose partial
// sums are added in order, so dst does not depend on GOMAXPROCS. Products are summed in float32 over at most gramRows rows, and in
// float64 beyond. O(n·d²/2).
func Gram(dst []float64, x []float32, n, d int) {
	parts := make([][]float64, gramChunks)
	type scratch struct {
		tile  []float32
		panel *Panel
	}
	Chunks(gramChunks, func() scratch { return scratch{aligned(d * d), NewPanel(d)} }, func(s scratch, chunk int) {
		lo, hi := Span(n, gramChunks, chunk)
		if lo == hi {
			return
		}
		sum := make([]float64, d*d)
		for ; lo < hi; lo += gramRows {
			clear(s.tile)
			for r := lo; r < min(hi, lo+gramRows); r += PanelWidth {
				rows := x[r*d : min(hi, lo+gramRows, r+PanelWidth)*d]
				if d%tileCols == 0 {
					Syrk(s.tile, d, rows, len(rows)/d, d, d)
					continue
				}
				for ; len(rows) > 0; rows = rows[d:] {
					s.panel.Add(rows[:d], 1)
				}
				s.panel.Flush(s.tile)
			}
			for i := range d {
				to := sum[i*d+i : (i+1)*d]
				for j, v := range s.tile[i*d+i:][:len(to)] {
					to[j] += float64(v)
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

const (
	gramChunks = 16
	gramRows   = 4 * PanelWidth
)
