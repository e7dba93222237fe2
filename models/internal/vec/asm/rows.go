package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func init() { units["rows"] = rows }

// rows are the kernels of rows.go. All vectors are whole numbers of 16 lanes, which are called strips.
func rows() {
	for _, wide := range []bool{true, false} {
		dots(wide)
		addRows(wide)
		gather(wide)
		mulTo(wide)
		advance(wide)
		direct(wide)
	}
}

// dots takes eight rows at a time (AVX2: four), whose chains of additions do not wait for one another, then fewer.
func dots(wide bool) {
	l := lanes{wide}
	name := "dots" + suffix(wide)
	TEXT(name, NOSPLIT, "func(y *float32, n int, x *float32, stride int, p *float32, strips int)")
	Doc(name + " sets y[k] to Σ x[k·stride + j]·p[j] over j < 16·strips for k < n, in 16 lanes.")
	Pragma("noescape")
	y, n := Load(Param("y"), GP64()), Load(Param("n"), GP64())
	x, stride := Load(Param("x"), GP64()), Load(Param("stride"), GP64())
	p, strips := Load(Param("p"), GP64()), Load(Param("strips"), GP64())
	SHLQ(Imm(2), stride)
	SHLQ(Imm(6), strips)
	stride3, low, off, at := GP64(), GP64(), GP64(), GP64()
	LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, stride3)
	groups := []int{8, 4, 1}
	if !wide {
		groups = []int{4, 1}
	}
	for _, count := range groups {
		label := func(s string) string { return s + string(rune('0'+count)) }
		Label(label("rows"))
		CMPQ(n, Imm(uint64(count)))
		JLT(LabelRef(label("fewer")))
		MOVQ(x, at)
		LEAQ(Mem{Base: x, Index: stride, Scale: 4}, low)
		for k := range count {
			for _, v := range l.parts(k) {
				VXORPS(low256(v), low256(v), low256(v))
			}
		}
		XORQ(off, off)
		Label(label("strip"))
		for part, v := range l.parts(count) {
			VMOVUPS(Mem{Base: p, Index: off, Scale: 1, Disp: part * l.size()}, v)
		}
		for k := range count {
			base := at
			if k >= 4 {
				base = low
			}
			for part, v := range l.parts(k) {
				m := row(base, stride, stride3, k%4)
				m.Disp = part * l.size()
				VFMADD231PS(m, l.parts(count)[part], v)
			}
		}
		ADDQ(Imm(64), at)
		ADDQ(Imm(64), low)
		ADDQ(Imm(64), off)
		CMPQ(off, strips)
		JLT(LabelRef(label("strip")))
		for k := range count {
			foldLanes(l, k, Mem{Base: y, Disp: 4 * k})
		}
		ADDQ(Imm(uint64(4*count)), y)
		for range count / 4 {
			LEAQ(Mem{Base: x, Index: stride, Scale: 4}, x)
		}
		if count == 1 {
			ADDQ(stride, x)
		}
		SUBQ(Imm(uint64(count)), n)
		JMP(LabelRef(label("rows")))
		Label(label("fewer"))
	}
	VZEROUPPER()
	RET()
}

// foldLanes adds the sixteen lanes of v in a tree and stores the sum. It uses Y15.
func foldLanes(l lanes, v int, to Mem) {
	parts := l.parts(v)
	y := low256(parts[0])
	if l.wide {
		VEXTRACTF64X4(Imm(1), parts[0], Y15)
		VADDPS(Y15, y, y)
	} else {
		VADDPS(parts[1], parts[0], y)
	}
	fold(y, to)
}

// addRows keeps up to 128 elements of z in registers (AVX2: 64) while all rows pass.
func addRows(wide bool) {
	l := lanes{wide}
	name := "addRows" + suffix(wide)
	TEXT(name, NOSPLIT, "func(z *float32, strips int, x *float32, stride int, w *float32, n int)")
	Doc(name + " adds w[k]·x[k·stride + j] to z[j] for all j < 16·strips and k < n, in ascending k by fused multiply-adds.")
	Pragma("noescape")
	z, strips := Load(Param("z"), GP64()), Load(Param("strips"), GP64())
	x, stride := Load(Param("x"), GP64()), Load(Param("stride"), GP64())
	w, n := Load(Param("w"), GP64()), Load(Param("n"), GP64())
	SHLQ(Imm(2), stride)
	at, k := GP64(), GP64()
	widths := []int{8, 4, 1}
	if !wide {
		widths = []int{4, 1}
	}
	for _, width := range widths {
		label := func(s string) string { return s + string(rune('0'+width)) }
		var weight VecPhysical = Z15
		if !wide {
			weight = Y15
		}
		each := func(f func(v VecPhysical, disp int)) {
			for s := range width {
				for part, v := range l.parts(s) {
					f(v, 64*s+part*l.size())
				}
			}
		}
		Label(label("strips"))
		CMPQ(strips, Imm(uint64(width)))
		JLT(LabelRef(label("narrower")))
		each(func(v VecPhysical, disp int) { VMOVUPS(Mem{Base: z, Disp: disp}, v) })
		MOVQ(x, at)
		XORQ(k, k)
		Label(label("row"))
		VBROADCASTSS(Mem{Base: w, Index: k, Scale: 4}, weight)
		each(func(v VecPhysical, disp int) { VFMADD231PS(Mem{Base: at, Disp: disp}, weight, v) })
		ADDQ(stride, at)
		INCQ(k)
		CMPQ(k, n)
		JLT(LabelRef(label("row")))
		each(func(v VecPhysical, disp int) { VMOVUPS(v, Mem{Base: z, Disp: disp}) })
		ADDQ(U32(64*width), z)
		ADDQ(U32(64*width), x)
		SUBQ(Imm(uint64(width)), strips)
		JMP(LabelRef(label("strips")))
		Label(label("narrower"))
	}
	VZEROUPPER()
	RET()
}

// gather fetches the row that comes `ahead` rows later while it copies one: rows stand at random places of memory.
func gather(wide bool) {
	l := lanes{wide}
	name := "gather" + suffix(wide)
	TEXT(name, NOSPLIT, "func(dst *float32, stride int, x *float32, strips int, col *int32, n, ahead int, scale *float32)")
	Doc(name + " sets row k of dst to scale[k]·(row col[k] of x), or to that row if scale is nil. Rows are 16·strips long, those of dst stride apart, n > 0.")
	Pragma("noescape")
	dst, x, strips := Load(Param("dst"), GP64()), Load(Param("x"), GP64()), Load(Param("strips"), GP64())
	stride := Load(Param("stride"), GP64())
	col, n, ahead := Load(Param("col"), GP64()), Load(Param("n"), GP64()), Load(Param("ahead"), GP64())
	scale := Load(Param("scale"), GP64())
	SHLQ(Imm(2), stride)
	SHLQ(Imm(6), strips)
	k, next, from, off := GP64(), GP64(), GP64(), GP64()
	var weight VecPhysical = Z15
	if !wide {
		weight = Y15
	}
	MOVL(U32(0x3f800000), from.As32())
	VMOVD(from.As32(), X15)
	VBROADCASTSS(X15, weight)
	XORQ(k, k)
	Label("row")
	TESTQ(scale, scale)
	JZ(LabelRef("unscaled"))
	VBROADCASTSS(Mem{Base: scale, Index: k, Scale: 4}, weight)
	Label("unscaled")
	LEAQ(Mem{Base: k, Index: ahead, Scale: 1}, next)
	CMPQ(next, n)
	JLT(LabelRef("inside"))
	MOVQ(k, next) // nothing is left to fetch
	Label("inside")
	MOVLQSX(Mem{Base: col, Index: next, Scale: 4}, next)
	IMULQ(strips, next)
	ADDQ(x, next)
	MOVLQSX(Mem{Base: col, Index: k, Scale: 4}, from)
	IMULQ(strips, from)
	ADDQ(x, from)
	XORQ(off, off)
	Label("strip")
	PREFETCHT0(Mem{Base: next, Index: off, Scale: 1})
	for part, v := range l.parts(0) {
		VMULPS(Mem{Base: from, Index: off, Scale: 1, Disp: part * l.size()}, weight, v)
		VMOVUPS(v, Mem{Base: dst, Index: off, Scale: 1, Disp: part * l.size()})
	}
	ADDQ(Imm(64), off)
	CMPQ(off, strips)
	JLT(LabelRef("strip"))
	ADDQ(stride, dst)
	INCQ(k)
	CMPQ(k, n)
	JLT(LabelRef("row"))
	VZEROUPPER()
	RET()
}

// strip makes a loop over strips > 0 that hands out addresses at an offset.
func eachStrip(l lanes, strips Register, body func(part int, at func(base Register) Mem)) {
	off := GP64()
	SHLQ(Imm(6), strips)
	XORQ(off, off)
	Label("strip")
	for part := range l.parts(0) {
		body(part, func(base Register) Mem {
			return Mem{Base: base, Index: off, Scale: 1, Disp: part * l.size()}
		})
	}
	ADDQ(Imm(64), off)
	CMPQ(off, strips)
	JLT(LabelRef("strip"))
}

// broadcast spreads a float32 parameter over vector v.
func broadcast(l lanes, name string, v int) {
	p, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	for _, r := range l.parts(v) {
		VBROADCASTSS(p.Addr, r)
	}
}

func mulTo(wide bool) {
	l := lanes{wide}
	name := "mulTo" + suffix(wide)
	TEXT(name, NOSPLIT, "func(dst, a, b *float32, strips int)")
	Doc(name + " sets dst to a∘b.")
	Pragma("noescape")
	dst, a, b := Load(Param("dst"), GP64()), Load(Param("a"), GP64()), Load(Param("b"), GP64())
	strips := Load(Param("strips"), GP64())
	eachStrip(l, strips, func(part int, at func(Register) Mem) {
		v := l.parts(0)[part]
		VMOVUPS(at(a), v)
		VMULPS(at(b), v, v)
		VMOVUPS(v, at(dst))
	})
	VZEROUPPER()
	RET()
}

func advance(wide bool) {
	l := lanes{wide}
	name := "advance" + suffix(wide)
	TEXT(name, NOSPLIT, "func(w, r *float32, f float32, p, q, inverse *float32, strips int) float32")
	Doc(name + " adds f·p to w, takes f·q from r and returns Σ inverse·r², in 16 lanes.")
	Pragma("noescape")
	w, r := Load(Param("w"), GP64()), Load(Param("r"), GP64())
	p, q, inverse := Load(Param("p"), GP64()), Load(Param("q"), GP64()), Load(Param("inverse"), GP64())
	strips := Load(Param("strips"), GP64())
	broadcast(l, "f", 0)
	for _, v := range l.parts(1) {
		VXORPS(low256(v), low256(v), low256(v))
	}
	eachStrip(l, strips, func(part int, at func(Register) Mem) {
		f, sum, v := l.parts(0)[part], l.parts(1)[part], l.parts(2)[part]
		VMOVUPS(at(w), v)
		VFMADD231PS(at(p), f, v)
		VMOVUPS(v, at(w))
		VMOVUPS(at(r), v)
		VFNMADD231PS(at(q), f, v)
		VMOVUPS(v, at(r))
		u := l.parts(3)[part]
		VMULPS(at(inverse), v, u)
		VFMADD231PS(u, v, sum)
	})
	result, err := ReturnIndex(0).Resolve()
	if err != nil {
		panic(err)
	}
	foldLanes(l, 1, result.Addr)
	VZEROUPPER()
	RET()
}

func direct(wide bool) {
	l := lanes{wide}
	name := "direct" + suffix(wide)
	TEXT(name, NOSPLIT, "func(p, inverse, r *float32, f float32, strips int)")
	Doc(name + " sets p to inverse∘r + f·p.")
	Pragma("noescape")
	p, inverse, r := Load(Param("p"), GP64()), Load(Param("inverse"), GP64()), Load(Param("r"), GP64())
	strips := Load(Param("strips"), GP64())
	broadcast(l, "f", 0)
	eachStrip(l, strips, func(part int, at func(Register) Mem) {
		f, v := l.parts(0)[part], l.parts(1)[part]
		VMOVUPS(at(inverse), v)
		VMULPS(at(r), v, v)
		VFMADD231PS(at(p), f, v)
		VMOVUPS(v, at(p))
	})
	VZEROUPPER()
	RET()
}
