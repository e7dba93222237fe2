package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func init() { units["tile"] = tile }

// The ways in which a tile's sums are joined with what c holds.
const (
	set = iota
	add
	subtract
)

func tile() {
	for _, columns := range []int{16, 32, 48} {
		tile512(columns)
		tile256(columns)
	}
	solve512()
	solve256()
}

const tileDoc = `%s joins an 8×%d tile of c with the product of tile.go.`

// arguments of a tile in registers, with strides in bytes.
type arguments struct {
	how, c, ldc, n, ai, ai3, ak, bs, bk Register
	a, b                                Register
}

func signature(name string, columns int) arguments {
	TEXT(name, NOSPLIT, "func(how int, c *float32, ldc, n int, a *float32, ai, ak int, b *float32, bs, bk int)")
	Doc(fmt.Sprintf(tileDoc, name, columns))
	Pragma("noescape")
	x := arguments{
		how: Load(Param("how"), GP64()), c: Load(Param("c"), GP64()), ldc: Load(Param("ldc"), GP64()), n: Load(Param("n"), GP64()),
		a: Load(Param("a"), GP64()), ai: Load(Param("ai"), GP64()), ak: Load(Param("ak"), GP64()),
		b: Load(Param("b"), GP64()), bs: Load(Param("bs"), GP64()), bk: Load(Param("bk"), GP64()),
	}
	for _, stride := range []Register{x.ldc, x.ai, x.ak, x.bs, x.bk} {
		SHLQ(Imm(2), stride)
	}
	x.ai3 = GP64()
	LEAQ(Mem{Base: x.ai, Index: x.ai, Scale: 2}, x.ai3)
	return x
}

// row is the address of element k of row i of four rows, of which stride3 is three times the stride.
func row(base, stride, stride3 Register, i int) Mem {
	switch i {
	case 0:
		return Mem{Base: base}
	case 3:
		return Mem{Base: base, Index: stride3, Scale: 1}
	}
	return Mem{Base: base, Index: stride, Scale: uint8(i)}
}

// tile512 keeps the whole tile in registers: 8 rows of up to 3 vectors, beside 3 vectors of b and the broadcast elements of a.
func tile512(columns int) {
	strips := columns / 16
	name := fmt.Sprintf("tile%dAVX512", columns)
	x := signature(name, columns)
	sum := func(i, s int) VecPhysical { return zmm(i*strips + s) }
	b := func(s int) VecPhysical { return zmm(24 + s) }
	low := GP64() // row 4 of a
	LEAQ(Mem{Base: x.a, Index: x.ai, Scale: 4}, low)
	for i := range 8 * strips {
		VPXORQ(zmm(i), zmm(i), zmm(i))
	}
	TESTQ(x.n, x.n)
	JLE(LabelRef("join"))
	prefetch(x, strips)

	Label("loop")
	for s := range strips {
		VMOVUPS(row(x.b, x.bs, nil, s), b(s))
	}
	for i := range 8 {
		base := x.a
		if i >= 4 {
			base = low
		}
		element := zmm(27 + i%4)
		VBROADCASTSS(row(base, x.ai, x.ai3, i%4), element)
		for s := range strips {
			VFMADD231PS(b(s), element, sum(i, s))
		}
	}
	ADDQ(x.ak, x.a)
	ADDQ(x.ak, low)
	ADDQ(x.bk, x.b)
	DECQ(x.n)
	JNZ(LabelRef("loop"))

	Label("join")
	each := func(f func(at Mem, sum VecPhysical)) {
		for i := range 8 {
			for s := range strips {
				f(Mem{Base: x.c, Disp: 64 * s}, sum(i, s))
			}
			if i < 7 {
				ADDQ(x.ldc, x.c)
			}
		}
		VZEROUPPER()
		RET()
	}
	CMPQ(x.how, Imm(add))
	JEQ(LabelRef("add"))
	JGT(LabelRef("subtract"))
	each(func(at Mem, sum VecPhysical) { VMOVUPS(sum, at) })
	Label("add")
	each(func(at Mem, sum VecPhysical) {
		VADDPS(at, sum, sum)
		VMOVUPS(sum, at)
	})
	Label("subtract")
	each(func(at Mem, sum VecPhysical) {
		VMOVUPS(at, Z31)
		VSUBPS(sum, Z31, Z31)
		VMOVUPS(Z31, at)
	})
}

// prefetch fetches the tile of c, if the sums take long and will be joined with it: in a large matrix it is in no cache.
func prefetch(x arguments, strips int) {
	CMPQ(x.n, Imm(128))
	JLT(LabelRef("loop"))
	CMPQ(x.how, Imm(set))
	JEQ(LabelRef("loop"))
	at := GP64()
	MOVQ(x.c, at)
	for range 8 {
		for s := range strips {
			PREFETCHT0(Mem{Base: at, Disp: 64 * s})
		}
		PREFETCHT0(Mem{Base: at, Disp: 64*strips - 4})
		ADDQ(x.ldc, at)
	}
}

// tile256 computes the tile in pieces of 4 rows and 2 or 3 vectors of 8 columns, which is what sixteen registers hold: the pieces pass over a
// and b in turn.
func tile256(columns int) {
	vectors := 2 // of a piece
	if columns == 48 {
		vectors = 3
	}
	name := fmt.Sprintf("tile%dAVX2", columns)
	x := signature(name, columns)
	sum := func(i, v int) VecPhysical { return ymm(i*vectors + v) }
	b := func(v int) VecPhysical { return ymm(12 + v) }
	for piece := range 2 * (columns / 8 / vectors) {
		half, first := piece%2, piece/2*vectors // rows 0 or 4 on; first vector
		label := func(name string) string { return fmt.Sprintf("%s%d", name, piece) }
		c, n, a, at := GP64(), GP64(), GP64(), GP64()
		MOVQ(x.c, c)
		MOVQ(x.n, n)
		MOVQ(x.b, at)
		if half == 0 {
			MOVQ(x.a, a)
		} else {
			LEAQ(Mem{Base: x.a, Index: x.ai, Scale: 4}, a)
			LEAQ(Mem{Base: c, Index: x.ldc, Scale: 4}, c)
		}
		for i := range 4 * vectors {
			VXORPS(ymm(i), ymm(i), ymm(i))
		}
		TESTQ(n, n)
		JLE(LabelRef(label("join")))

		Label(label("loop"))
		for v := range vectors {
			m := row(at, x.bs, nil, (first+v)/2)
			m.Disp = 32 * ((first + v) % 2)
			VMOVUPS(m, b(v))
		}
		for i := range 4 {
			VBROADCASTSS(row(a, x.ai, x.ai3, i), Y15)
			for v := range vectors {
				VFMADD231PS(b(v), Y15, sum(i, v))
			}
		}
		ADDQ(x.ak, a)
		ADDQ(x.bk, at)
		DECQ(n)
		JNZ(LabelRef(label("loop")))

		Label(label("join"))
		each := func(f func(at Mem, sum VecPhysical)) {
			for i := range 4 {
				for v := range vectors {
					f(Mem{Base: c, Disp: 32 * (first + v)}, sum(i, v))
				}
				if i < 3 {
					ADDQ(x.ldc, c)
				}
			}
		}
		CMPQ(x.how, Imm(add))
		JEQ(LabelRef(label("add")))
		JGT(LabelRef(label("subtract")))
		each(func(at Mem, sum VecPhysical) { VMOVUPS(sum, at) })
		JMP(LabelRef(label("next")))
		Label(label("add"))
		each(func(at Mem, sum VecPhysical) {
			VADDPS(at, sum, sum)
			VMOVUPS(sum, at)
		})
		JMP(LabelRef(label("next")))
		Label(label("subtract"))
		each(func(at Mem, sum VecPhysical) {
			VMOVUPS(at, Y15)
			VSUBPS(sum, Y15, Y15)
			VMOVUPS(Y15, at)
		})
		Label(label("next"))
	}
	VZEROUPPER()
	RET()
}

const solveDoc = `%s is solveRows of tile.go.`

func solveSignature(name string) (c, ldc, strips, u, inverse Register) {
	TEXT(name, NOSPLIT, "func(c *float32, ldc, strips int, u, inverse *float32)")
	Doc(fmt.Sprintf(solveDoc, name))
	Pragma("noescape")
	c, ldc, strips = Load(Param("c"), GP64()), Load(Param("ldc"), GP64()), Load(Param("strips"), GP64())
	u, inverse = Load(Param("u"), GP64()), Load(Param("inverse"), GP64())
	SHLQ(Imm(2), ldc)
	return c, ldc, strips, u, inverse
}

// solve512 takes up to three strips at a time, whose chains do not wait for one another.
func solve512() {
	c, ldc, strips, u, inverse := solveSignature("solveAVX512")
	ldc3, low := GP64(), GP64()
	LEAQ(Mem{Base: ldc, Index: ldc, Scale: 2}, ldc3)
	for i := range 8 {
		VBROADCASTSS(Mem{Base: inverse, Disp: 4 * i}, zmm(24+i))
	}
	for _, width := range []int{3, 1} {
		again, done := fmt.Sprintf("again%d", width), fmt.Sprintf("done%d", width)
		at := func(i, s int) Mem {
			base := c
			if i >= 4 {
				base = low
			}
			m := row(base, ldc, ldc3, i%4)
			m.Disp = 64 * s
			return m
		}
		Label(again)
		CMPQ(strips, Imm(uint64(width)))
		JLT(LabelRef(done))
		LEAQ(Mem{Base: c, Index: ldc, Scale: 4}, low)
		for i := range 8 {
			for s := range width {
				VMOVUPS(at(i, s), zmm(i*3+s))
			}
		}
		for i := range 8 {
			for s := range width {
				VMULPS(zmm(24+i), zmm(i*3+s), zmm(i*3+s))
				VMOVUPS(zmm(i*3+s), at(i, s))
			}
			for k := i + 1; k < 8; k++ {
				for s := range width {
					VFNMADD231PS_BCST(Mem{Base: u, Disp: 4 * (8*i + k)}, zmm(i*3+s), zmm(k*3+s))
				}
			}
		}
		ADDQ(Imm(uint64(64*width)), c)
		SUBQ(Imm(uint64(width)), strips)
		JMP(LabelRef(again))
		Label(done)
	}
	VZEROUPPER()
	RET()
}

// solve256 takes one vector of eight columns at a time: eight rows and the broadcast numbers.
func solve256() {
	c, ldc, strips, u, inverse := solveSignature("solveAVX2")
	ldc3, low := GP64(), GP64()
	LEAQ(Mem{Base: ldc, Index: ldc, Scale: 2}, ldc3)
	ADDQ(strips, strips)
	JZ(LabelRef("done"))
	Label("again")
	LEAQ(Mem{Base: c, Index: ldc, Scale: 4}, low)
	at := func(i int) Mem {
		if i >= 4 {
			return row(low, ldc, ldc3, i-4)
		}
		return row(c, ldc, ldc3, i)
	}
	for i := range 8 {
		VMOVUPS(at(i), ymm(i))
	}
	for i := range 8 {
		VBROADCASTSS(Mem{Base: inverse, Disp: 4 * i}, Y8)
		VMULPS(Y8, ymm(i), ymm(i))
		VMOVUPS(ymm(i), at(i))
		for k := i + 1; k < 8; k++ {
			VBROADCASTSS(Mem{Base: u, Disp: 4 * (8*i + k)}, ymm(8+k))
			VFNMADD231PS(ymm(8+k), ymm(i), ymm(k))
		}
	}
	ADDQ(Imm(32), c)
	DECQ(strips)
	JNZ(LabelRef("again"))
	Label("done")
	VZEROUPPER()
	RET()
}

func zmm(i int) VecPhysical { return vectors512[i] }
func ymm(i int) VecPhysical { return vectors256[i] }

var (
	vectors512 = [...]VecPhysical{
		Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11, Z12, Z13, Z14, Z15,
		Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z24, Z25, Z26, Z27, Z28, Z29, Z30, Z31,
	}
	vectors256 = [...]VecPhysical{Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y8, Y9, Y10, Y11, Y12, Y13, Y14, Y15}
)
