package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func init() { units["strips"] = strips }

// strips are the kernels of strips.go. They are for AVX-512 alone.
func strips() {
	takeStrips()
	turn()
	mirror()
	lay()
}

const (
	stripBytes = 4 * 48 // of a row of a strip
	lapRows    = 6      // rows of a strip that one turn of the innermost loop takes
)

// takeStrips is tile48AVX512 of two strips, whose strides are constants: the loop takes six rows a turn. In a matrix of hundreds of megabytes what
// comes next is in no cache, and a burst of fetches would keep the strips' own lines waiting: so each eighth of the loop asks for a row of c and two
// lines of ahead.
func takeStrips() {
	TEXT("takeStripsAVX512", NOSPLIT, "func(c *float32, ldc, laps int, a, b, ahead *float32)")
	Doc("takeStripsAVX512 is takeStrips of 48·laps rows. It fetches 256 elements of ahead into the second cache.")
	Pragma("noescape")
	c, ldc, laps := Load(Param("c"), GP64()), Load(Param("ldc"), GP64()), Load(Param("laps"), GP64())
	a, b, ahead := Load(Param("a"), GP64()), Load(Param("b"), GP64()), Load(Param("ahead"), GP64())
	SHLQ(Imm(2), ldc)
	sum := func(i, s int) VecPhysical { return zmm(i*3 + s) }
	for i := range 24 {
		VPXORQ(zmm(i), zmm(i), zmm(i))
	}
	at, eighth, lap := GP64(), GP64(), GP64()
	MOVQ(c, at)
	MOVQ(U32(8), eighth)
	Label("eighth")
	for s := range 3 {
		PREFETCHT1(Mem{Base: at, Disp: 64 * s})
	}
	PREFETCHT1(Mem{Base: at, Disp: stripBytes - 4})
	PREFETCHT1(Mem{Base: ahead})
	PREFETCHT1(Mem{Base: ahead, Disp: 64})
	ADDQ(Imm(128), ahead)
	ADDQ(ldc, at)
	MOVQ(laps, lap)
	Label("lap")
	for k := range lapRows {
		for s := range 3 {
			VMOVUPS(Mem{Base: b, Disp: k*stripBytes + 64*s}, zmm(24+s))
		}
		for i := range 8 {
			element := zmm(27 + i%4)
			VBROADCASTSS(Mem{Base: a, Disp: k*stripBytes + 4*i}, element)
			for s := range 3 {
				VFMADD231PS(zmm(24+s), element, sum(i, s))
			}
		}
	}
	ADDQ(U32(lapRows*stripBytes), a)
	ADDQ(U32(lapRows*stripBytes), b)
	DECQ(lap)
	JNZ(LabelRef("lap"))
	DECQ(eighth)
	JNZ(LabelRef("eighth"))
	for i := range 8 {
		for s := range 3 {
			VMOVUPS(Mem{Base: c, Disp: 64 * s}, zmm(24+s))
			VSUBPS(sum(i, s), zmm(24+s), zmm(24+s))
			VMOVUPS(zmm(24+s), Mem{Base: c, Disp: 64 * s})
		}
		if i < 7 {
			ADDQ(ldc, c)
		}
	}
	VZEROUPPER()
	RET()
}

func turn() {
	TEXT("turnAVX512", NOSPLIT, "func(dst *float32, ldd int, src *float32, lds int, ahead *float32, lda int)")
	Doc("turnAVX512 sets the 16×16 elements at dst to the transpose of those at src. It fetches the lines at 16 rows of ahead.")
	Pragma("noescape")
	dst, ldd := Load(Param("dst"), GP64()), Load(Param("ldd"), GP64())
	src, lds := Load(Param("src"), GP64()), Load(Param("lds"), GP64())
	ahead, lda := Load(Param("ahead"), GP64()), Load(Param("lda"), GP64())
	SHLQ(Imm(2), ldd)
	SHLQ(Imm(2), lds)
	SHLQ(Imm(2), lda)
	for i := range 16 {
		VMOVUPS(Mem{Base: src}, zmm(i))
		PREFETCHT0(Mem{Base: ahead})
		if i < 15 {
			ADDQ(lds, src)
			ADDQ(lda, ahead)
		}
	}
	turned(dst, ldd)
	VZEROUPPER()
	RET()
}

func mirror() {
	TEXT("mirrorAVX512", NOSPLIT, "func(lower, upper *float32, ld int)")
	Doc("mirrorAVX512 negates the 16×16 elements at upper and sets those at lower to their transpose; all rows have stride ld. It fetches the lines",
		"of the sixteen rows after those of upper.")
	Pragma("noescape")
	lower, upper, ld := Load(Param("lower"), GP64()), Load(Param("upper"), GP64()), Load(Param("ld"), GP64())
	SHLQ(Imm(2), ld)
	ahead, sign := GP64(), GP32()
	MOVQ(ld, ahead)
	SHLQ(Imm(4), ahead)
	MOVL(U32(1<<31), sign)
	VPBROADCASTD(sign, Z31)
	for i := range 16 {
		VPXORQ(Mem{Base: upper}, Z31, zmm(i))
		VMOVUPS(zmm(i), Mem{Base: upper})
		PREFETCHT0(Mem{Base: upper, Index: ahead, Scale: 1})
		if i < 15 {
			ADDQ(ld, upper)
		}
	}
	turned(lower, ld)
	VZEROUPPER()
	RET()
}

// turned stores columns of the sixteen rows in the first sixteen registers as rows at dst. It transposes pairs of elements, then pairs of pairs,
// within four lanes of four, and the lanes at last.
func turned(dst, ldd Register) {
	for i := 0; i < 16; i += 2 {
		VUNPCKLPS(zmm(i+1), zmm(i), zmm(16+i))
		VUNPCKHPS(zmm(i+1), zmm(i), zmm(17+i))
	}
	for i := 0; i < 16; i += 4 {
		for half := range 2 {
			VUNPCKLPD(zmm(18+i+half), zmm(16+i+half), zmm(i+2*half))
			VUNPCKHPD(zmm(18+i+half), zmm(16+i+half), zmm(i+2*half+1))
		}
	}
	// Lane l of register 4g + c holds column 4l + c of rows 4g to 4g+3.
	const even, odd = 0x88, 0xdd
	for c := range 4 {
		for l, lanes := range []uint64{even, odd} { // lanes l and l + 2
			VSHUFF32X4(Imm(lanes), zmm(4+c), zmm(c), zmm(16+4*l+c))
			VSHUFF32X4(Imm(lanes), zmm(12+c), zmm(8+c), zmm(24+4*l+c))
		}
	}
	for j := range 16 {
		lanes := uint64(even)
		if j >= 8 {
			lanes = odd
		}
		VSHUFF32X4(Imm(lanes), zmm(24+j%8), zmm(16+j%8), zmm(j%4))
		VMOVUPS(zmm(j%4), Mem{Base: dst})
		if j < 15 {
			ADDQ(ldd, dst)
		}
	}
}

// lay fetches the row that comes sixteen rows later while it copies one: each stands on a page of its own.
func lay() {
	TEXT("layAVX512", NOSPLIT, "func(dst, src *float32, lds, n int)")
	Doc("layAVX512 copies n > 0 rows of 48 elements, of row stride lds, to a strip.")
	Pragma("noescape")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	lds, n := Load(Param("lds"), GP64()), Load(Param("n"), GP64())
	SHLQ(Imm(2), lds)
	ahead := GP64()
	MOVQ(lds, ahead)
	SHLQ(Imm(4), ahead)
	ADDQ(src, ahead)
	Label("row")
	for s := range 3 {
		PREFETCHT0(Mem{Base: ahead, Disp: 64 * s})
		VMOVUPS(Mem{Base: src, Disp: 64 * s}, zmm(s))
		VMOVUPS(zmm(s), Mem{Base: dst, Disp: 64 * s})
	}
	PREFETCHT0(Mem{Base: ahead, Disp: stripBytes - 4})
	ADDQ(lds, src)
	ADDQ(lds, ahead)
	ADDQ(U32(stripBytes), dst)
	DECQ(n)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}
