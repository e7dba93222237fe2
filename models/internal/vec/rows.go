package vec

// Lanes is what the lengths of vectors must be a multiple of in this file: the width of the widest registers.
const Lanes = 16

// Dots sets y[k] = x_k·p for the rows x_k of x, len(p) long and stride apart. Each is summed in sixteen lanes, which are then added in
// halves: its bits depend on its row and p alone. len(p) is a multiple of Lanes. O(len(y)·len(p)).
func Dots(y, x []float32, stride int, p []float32) {
	if len(y) == 0 {
		return
	}
	checkRows(len(y), len(x), stride, len(p))
	if level == portable {
		dotsPortable(y, x, stride, p)
		return
	}
	dotsFMA(y, x, stride, p)
}

// AddRows adds Σ_k w[k]·x_k to z, over the rows x_k of x, len(z) long and stride apart, in ascending order. len(z) is a multiple of Lanes.
// O(len(w)·len(z)).
func AddRows(z, x []float32, stride int, w []float32) {
	if len(w) == 0 {
		return
	}
	checkRows(len(w), len(x), stride, len(z))
	if level == portable {
		for k, f := range w {
			for i, v := range x[k*stride:][:len(z)] {
				z[i] += float32(f * v)
			}
		}
		return
	}
	addRowsFMA(z, x, stride, w)
}

func checkRows(n, length, stride, d int) {
	if d == 0 || d%Lanes != 0 || stride < d || length < (n-1)*stride+d {
		panic("vec: rows whose length is no multiple of 16, or too few of them")
	}
}

func dotsPortable(y, x []float32, stride int, p []float32) {
	for k := range y {
		var lane [Lanes]float32
		row := x[k*stride:][:len(p)]
		for i := 0; i < len(p); i += Lanes {
			a, b := (*[Lanes]float32)(row[i:]), (*[Lanes]float32)(p[i:])
			for j := range lane {
				lane[j] += float32(a[j] * b[j])
			}
		}
		y[k] = sumLanes(&lane)
	}
}

// sumLanes adds in halves: lanes j and j+8, then j and j+4, and so on.
func sumLanes(lane *[Lanes]float32) float32 {
	for n := Lanes / 2; n > 0; n /= 2 {
		for j := range n {
			lane[j] += lane[j+n]
		}
	}
	return lane[0]
}

// Gather copies the rows of x (d long, one after the other) that col names to dst, stride apart, row k times scale[k] (all 1 if scale is
// nil), and fills them up with zeros to whole lanes, of which stride must have room. It is quickest if d is a multiple of Lanes: rows are then
// fetched ahead of their turn. O(len(col)·d).
func Gather(dst []float32, stride int, x []float32, d int, col []int32, scale []float32) {
	if len(col) == 0 {
		return
	}
	if stride < d || stride%Lanes != 0 || d == 0 || len(dst) < len(col)*stride || scale != nil && len(scale) < len(col) {
		panic("vec: gathered rows do not fit")
	}
	if level != portable && d%Lanes == 0 {
		rows := len(x) / d
		for _, c := range col {
			if uint(c) >= uint(rows) {
				panic("vec: a gathered row is not there")
			}
		}
		gatherFMA(dst, stride, x, d, col, scale)
		return
	}
	for k, c := range col {
		to, from := dst[k*stride:][:roundUp(d)], x[int(c)*d:][:d]
		if scale == nil {
			copy(to, from)
		} else {
			scaleTo(to[:d], scale[k], from)
		}
		clear(to[d:])
	}
}

// The steps of preconditioned conjugate gradients. All vectors of a call have one length, a multiple of Lanes.

// MulTo sets dst = a∘b.
func MulTo(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	if level == portable || len(dst) == 0 {
		for i := range dst {
			dst[i] = a[i] * b[i]
		}
		return
	}
	checkRows(1, len(dst), len(dst), len(dst))
	mulToFMA(dst, a, b)
}

// Advance adds f·p to w and takes f·q from r, and returns Σ inverse·r², in the lanes of Dots.
func Advance(w, r []float32, f float32, p, q, inverse []float32) float32 {
	r, p, q, inverse = r[:len(w)], p[:len(w)], q[:len(w)], inverse[:len(w)]
	if level == portable || len(w) == 0 {
		var lane [Lanes]float32
		for i := range w {
			w[i] += float32(f * p[i])
			r[i] -= float32(f * q[i])
			lane[i%Lanes] += float32(float32(r[i]*inverse[i]) * r[i])
		}
		return sumLanes(&lane)
	}
	checkRows(1, len(w), len(w), len(w))
	return advanceFMA(w, r, f, p, q, inverse)
}

// Direct sets p = inverse∘r + f·p.
func Direct(p, inverse, r []float32, f float32) {
	inverse, r = inverse[:len(p)], r[:len(p)]
	if level == portable || len(p) == 0 {
		for i := range p {
			p[i] = float32(inverse[i]*r[i]) + float32(f*p[i])
		}
		return
	}
	checkRows(1, len(p), len(p), len(p))
	directFMA(p, inverse, r, f)
}
