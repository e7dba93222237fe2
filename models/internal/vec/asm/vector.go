package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func init() { units["vector"] = vector }

func vector() {
	dotFMA()
	for _, wide := range []bool{true, false} {
		axpy(wide)
		scale(wide)
		takeRows(wide)
		dotRows(wide)
	}
}

// suffix ends the names of a kernel's two forms.
func suffix(wide bool) string {
	if wide {
		return "AVX512"
	}
	return "AVX2"
}

// lanes is a vector of 16 lanes: one register, or the lower and upper half in two. Vector v is register v, or registers v and v+1: the two
// forms name them by index.
type lanes struct{ wide bool }

func (l lanes) parts(v int) []VecPhysical {
	if l.wide {
		return []VecPhysical{zmm(v)}
	}
	return []VecPhysical{ymm(2 * v), ymm(2*v + 1)}
}

func (l lanes) size() int { return 64 / len(l.parts(0)) }

// dotFMA is one chain of fused multiply-adds: what an element of a tile is. It waits for each, and is not for hot loops.
func dotFMA() {
	TEXT("dotFMA", NOSPLIT, "func(a, b *float32, n int) float32")
	Doc("dotFMA returns Σ a[i]·b[i] as one chain of fused multiply-adds from 0 in ascending i.")
	Pragma("noescape")
	a, b, n := Load(Param("a"), GP64()), Load(Param("b"), GP64()), Load(Param("n"), GP64())
	VXORPS(X0, X0, X0)
	TESTQ(n, n)
	JLE(LabelRef("done"))
	Label("loop")
	VMOVSS(Mem{Base: a}, X1)
	VFMADD231SS(Mem{Base: b}, X1, X0)
	ADDQ(Imm(4), a)
	ADDQ(Imm(4), b)
	DECQ(n)
	JNZ(LabelRef("loop"))
	Label("done")
	Store(X0, ReturnIndex(0))
	RET()
}

// eachLane makes a loop over n elements: whole vectors of 16 by `vector`, what is left one by one by `single`. Both address with an offset
// that is added to pointers.
func eachLane(n Register, pointers []Register, vector, single func()) {
	step := func(name string, count uint64, body func()) {
		Label(name)
		CMPQ(n, Imm(count))
		JLT(LabelRef(name + "End"))
		body()
		for _, p := range pointers {
			ADDQ(Imm(4*count), p)
		}
		SUBQ(Imm(count), n)
		JMP(LabelRef(name))
		Label(name + "End")
	}
	step("sixteen", 16, vector)
	step("one", 1, single)
	VZEROUPPER()
	RET()
}

func axpy(wide bool) {
	l := lanes{wide}
	name := "axpy" + suffix(wide)
	TEXT(name, NOSPLIT, "func(dst *float32, alpha float32, x *float32, n int)")
	Doc(name + " adds alpha·x to dst, each element by one fused multiply-add.")
	Pragma("noescape")
	dst, x, n := Load(Param("dst"), GP64()), Load(Param("x"), GP64()), Load(Param("n"), GP64())
	alpha, err := Param("alpha").Resolve()
	if err != nil {
		panic(err)
	}
	for _, a := range l.parts(0) {
		VBROADCASTSS(alpha.Addr, a)
	}
	eachLane(n, []Register{dst, x}, func() {
		for p, v := range l.parts(1) {
			VMOVUPS(Mem{Base: dst, Disp: p * l.size()}, v)
			VFMADD231PS(Mem{Base: x, Disp: p * l.size()}, l.parts(0)[0], v)
			VMOVUPS(v, Mem{Base: dst, Disp: p * l.size()})
		}
	}, func() {
		VMOVSS(Mem{Base: dst}, X4)
		VFMADD231SS(Mem{Base: x}, X0, X4)
		VMOVSS(X4, Mem{Base: dst})
	})
}

func scale(wide bool) {
	l := lanes{wide}
	name := "scale" + suffix(wide)
	TEXT(name, NOSPLIT, "func(dst *float32, alpha float32, x *float32, n int)")
	Doc(name + " sets dst to alpha·x.")
	Pragma("noescape")
	dst, x, n := Load(Param("dst"), GP64()), Load(Param("x"), GP64()), Load(Param("n"), GP64())
	alpha, err := Param("alpha").Resolve()
	if err != nil {
		panic(err)
	}
	for _, a := range l.parts(0) {
		VBROADCASTSS(alpha.Addr, a)
	}
	eachLane(n, []Register{dst, x}, func() {
		for p, v := range l.parts(1) {
			VMULPS(Mem{Base: x, Disp: p * l.size()}, l.parts(0)[0], v)
			VMOVUPS(v, Mem{Base: dst, Disp: p * l.size()})
		}
	}, func() {
		VMULSS(Mem{Base: x}, X0, X4)
		VMOVSS(X4, Mem{Base: dst})
	})
}

// takeRows is a step of the forward substitution: eight rows of U at a time leave the right-hand side. AVX2 broadcasts the weights anew for
// each vector, as its registers are few.
func takeRows(wide bool) {
	l := lanes{wide}
	name := "takeRows" + suffix(wide)
	TEXT(name, NOSPLIT, "func(dst *float32, strips int, x *float32, stride int, w *float32)")
	Doc(name + " takes w[k]·x[k·stride + j] from dst[j] for k = 0 … 7 and all j < 16·strips, in ascending k by fused multiply-adds.")
	Pragma("noescape")
	dst, strips := Load(Param("dst"), GP64()), Load(Param("strips"), GP64())
	x, stride, w := Load(Param("x"), GP64()), Load(Param("stride"), GP64()), Load(Param("w"), GP64())
	SHLQ(Imm(2), stride)
	stride3, low := GP64(), GP64()
	LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, stride3)
	LEAQ(Mem{Base: x, Index: stride, Scale: 4}, low)
	weight := func(k int) VecPhysical { return ymm(4 + k) }
	if wide {
		weight = func(k int) VecPhysical { return zmm(4 + k) }
	}
	for k := range 8 {
		VBROADCASTSS(Mem{Base: w, Disp: 4 * k}, weight(k))
	}
	TESTQ(strips, strips)
	JLE(LabelRef("done"))
	Label("loop")
	for p, v := range l.parts(0) {
		VMOVUPS(Mem{Base: dst, Disp: p * l.size()}, v)
	}
	for k := range 8 {
		base := x
		if k >= 4 {
			base = low
		}
		for p, v := range l.parts(0) {
			m := row(base, stride, stride3, k%4)
			m.Disp = p * l.size()
			VFNMADD231PS(m, weight(k), v)
		}
	}
	for p, v := range l.parts(0) {
		VMOVUPS(v, Mem{Base: dst, Disp: p * l.size()})
	}
	ADDQ(Imm(64), dst)
	ADDQ(Imm(64), x)
	ADDQ(Imm(64), low)
	DECQ(strips)
	JNZ(LabelRef("loop"))
	Label("done")
	VZEROUPPER()
	RET()
}

// dotRows is a step of the back substitution: four dot products at a time, each in 16 lanes, which are added in a tree: lane l and lane l+8,
// then 4, 2 and 1.
func dotRows(wide bool) {
	l := lanes{wide}
	name := "dotRows" + suffix(wide)
	TEXT(name, NOSPLIT, "func(dst *float32, strips int, x *float32, stride int, p *float32)")
	Doc(fmt.Sprintf("%s sets dst[k] to Σ x[k·stride + j]·p[j] over j < 16·strips for k = 0 … 3, in 16 lanes.", name))
	Pragma("noescape")
	dst, strips := Load(Param("dst"), GP64()), Load(Param("strips"), GP64())
	x, stride, p := Load(Param("x"), GP64()), Load(Param("stride"), GP64()), Load(Param("p"), GP64())
	SHLQ(Imm(2), stride)
	stride3 := GP64()
	LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, stride3)
	for k := range 4 {
		for _, v := range l.parts(k) {
			VPXOR(low256(v), low256(v), low256(v))
		}
	}
	TESTQ(strips, strips)
	JLE(LabelRef("fold"))
	Label("loop")
	for part, v := range l.parts(4) {
		VMOVUPS(Mem{Base: p, Disp: part * l.size()}, v)
	}
	for k := range 4 {
		for part, v := range l.parts(k) {
			m := row(x, stride, stride3, k)
			m.Disp = part * l.size()
			VFMADD231PS(m, l.parts(4)[part], v)
		}
	}
	ADDQ(Imm(64), x)
	ADDQ(Imm(64), p)
	DECQ(strips)
	JNZ(LabelRef("loop"))
	Label("fold")
	for k := range 4 {
		v := l.parts(k)
		y := low256(v[0])
		if wide {
			VEXTRACTF64X4(Imm(1), v[0], Y15)
			VADDPS(Y15, y, y)
		} else {
			VADDPS(v[1], v[0], y)
		}
		fold(y, Mem{Base: dst, Disp: 4 * k})
	}
	VZEROUPPER()
	RET()
}

// fold adds the eight lanes of y in a tree and stores the sum. It uses Y15.
func fold(y VecPhysical, to Mem) {
	x := low128(y)
	VEXTRACTF128(Imm(1), y, X15)
	VADDPS(X15, x, x)
	VPERMILPS(Imm(0b01_00_11_10), x, X15)
	VADDPS(X15, x, x)
	VPERMILPS(Imm(0b10_11_00_01), x, X15)
	VADDPS(X15, x, x)
	VMOVSS(x, to)
}

func low256(v VecPhysical) VecPhysical { return v.AsY().(VecPhysical) }
func low128(v VecPhysical) VecPhysical { return v.AsX().(VecPhysical) }
