package main

import (
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
