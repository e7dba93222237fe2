package main

import (
	"math"
	"math/big"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func lanes() {
	k := roundConstants()
	swap := byteOrder()
	sixteen(k, swap)
	eight("blocks8AVX512", true, k, swap)
	eight("blocks8AVX2", false, k, swap)
	shaInstructions()
}

const signature = "func(state *[8][16]uint32, from *[16]*byte, n int)"

// blockSize is in bytes, and rowSize that of a word of the state for all lanes.
const (
	blockSize = 64
	rowSize   = 64
)

// roundConstants are the fractional parts of the cube roots of the first 64 primes (FIPS 180-4, 4.2.2), each eight times over: half a register of 512 bits,
// or one of 256.
func roundConstants() Mem {
	m := GLOBL("roundConstants", RODATA|NOPTR)
	for i, k := range cubeRoots(64) {
		for lane := range 8 {
			DATA(4*(8*i+lane), U32(k))
		}
	}
	return m
}

// cubeRoots are the first 32 bits of the fractional parts of the cube roots of the first n primes, exactly: ⌊∛(p·2⁹⁶)⌋ mod 2³².
func cubeRoots(n int) (out []uint32) {
	for p := int64(2); len(out) < n; p++ {
		if !big.NewInt(p).ProbablyPrime(0) {
			continue
		}
		cube := new(big.Int).Lsh(big.NewInt(p), 96)
		low, high := big.NewInt(0), new(big.Int).Lsh(big.NewInt(int64(math.Cbrt(float64(p)))+1), 32)
		for one := big.NewInt(1); new(big.Int).Sub(high, low).Cmp(one) > 0; {
			middle := new(big.Int).Rsh(new(big.Int).Add(low, high), 1)
			if new(big.Int).Exp(middle, big.NewInt(3), nil).Cmp(cube) <= 0 {
				low = middle
			} else {
				high = middle
			}
		}
		out = append(out, uint32(low.Uint64()))
	}
	return out
}

// byteOrder is the shuffle that turns the bytes of each word around, of 16 words.
func byteOrder() Mem {
	m := GLOBL("byteOrder", RODATA|NOPTR)
	for i := range 16 {
		w := uint32(4 * (i % 4))
		DATA(4*i, U32(w<<24|(w+1)<<16|(w+2)<<8|(w+3)))
	}
	return m
}

// Functions of three operands as VPTERNLOGD counts them: bit 4a + 2b + c of the number is the value for a, b and c, of which a is the destination.
const (
	xor3     = 0x96
	choose   = 0xca // b where a is set, else c
	majority = 0xe8
)

// unit writes the rounds for registers of one kind.
type unit struct {
	wide bool // VPRORD and VPTERNLOGD are there
	move func(from, to Op)
	t    [6]VecPhysical
	k    func(i int, x VecPhysical) // adds constant i to x
	word func(i int) Op             // of the schedule, modulo 16
	put  func(i int, x VecPhysical) // stores word i
	reg  func(i int, spare VecPhysical) VecPhysical
}

// sigma sets t[0] to x turned right by two numbers of bits, combined by xor with x turned, or shifted if that is asked for, by a third one. It uses t[1] to t[3].
func (u *unit) sigma(x VecPhysical, first, second, third uint64, shift bool) {
	t := u.t
	if u.wide {
		VPRORD(Imm(first), x, t[0])
		VPRORD(Imm(second), x, t[1])
		if shift {
			VPSRLD(Imm(third), x, t[2])
		} else {
			VPRORD(Imm(third), x, t[2])
		}
		VPTERNLOGD(Imm(xor3), t[2], t[1], t[0])
		return
	}
	turn := func(bits uint64, low, high VecPhysical) {
		VPSRLD(Imm(bits), x, low)
		VPSLLD(Imm(32-bits), x, high)
	}
	turn(first, t[0], t[1])
	turn(second, t[2], t[3])
	VPXOR(t[1], t[0], t[0])
	VPXOR(t[3], t[2], t[2])
	VPXOR(t[2], t[0], t[0])
	if shift {
		VPSRLD(Imm(third), x, t[1])
	} else {
		turn(third, t[1], t[2])
		VPXOR(t[2], t[1], t[1])
	}
	VPXOR(t[1], t[0], t[0])
}

// round is round i of one block (FIPS 180-4, 6.2.2, step 3); s are a to h, of which the caller turns the names. From round 16 on the word of the schedule is
// made first (step 1).
func (u *unit) round(i int, s []VecPhysical) {
	t := u.t
	a, b, c, d, e, f, g, h := s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]
	if i >= 16 {
		w := u.reg(i, t[4])
		u.sigma(u.reg(i-15, t[5]), 7, 18, 3, true)
		VPADDD(t[0], w, w)
		VPADDD(u.word(i-7), w, w)
		u.sigma(u.reg(i-2, t[5]), 17, 19, 10, true)
		VPADDD(t[0], w, w)
		u.put(i, w)
		VPADDD(w, h, h)
	} else {
		VPADDD(u.word(i), h, h)
	}
	u.k(i, h)
	u.sigma(e, 6, 11, 25, false)
	VPADDD(t[0], h, h)
	if u.wide {
		VMOVDQA64(e, t[3])
		VPTERNLOGD(Imm(choose), g, f, t[3])
	} else {
		VPXOR(f, g, t[3])
		VPAND(e, t[3], t[3])
		VPXOR(g, t[3], t[3])
	}
	VPADDD(t[3], h, h)
	VPADDD(h, d, d)
	u.sigma(a, 2, 13, 22, false)
	VPADDD(t[0], h, h)
	if u.wide {
		VMOVDQA64(a, t[3])
		VPTERNLOGD(Imm(majority), c, b, t[3])
	} else { // where b and c are the same it is they, else a
		VPXOR(b, c, t[3])
		VPXOR(a, b, t[4])
		VPAND(t[4], t[3], t[3])
		VPXOR(b, t[3], t[3])
	}
	VPADDD(t[3], h, h)
}

// rounds does all rounds and adds what they make to the state in memory.
func (u *unit) rounds(state Register, s []VecPhysical) {
	for i, r := range s {
		u.move(Mem{Base: state, Disp: rowSize * i}, r)
	}
	for i := range 64 {
		turned := make([]VecPhysical, 8)
		for j := range turned {
			turned[j] = s[(j+64-i)%8]
		}
		u.round(i, turned)
	}
	for i, r := range s {
		VPADDD(Mem{Base: state, Disp: rowSize * i}, r, r)
		u.move(r, Mem{Base: state, Disp: rowSize * i})
	}
}

// loop makes a loop over n > 0 blocks, whose bytes stand at off from where each lane's begin.
func loop(name string, body func(state, from, off Register)) {
	TEXT(name, NOSPLIT, signature)
	Doc(name + " takes n > 0 blocks of each lane into its state: from[i] on, of 64 bytes each.")
	Pragma("noescape")
	state, from, n := Load(Param("state"), GP64()), Load(Param("from"), GP64()), Load(Param("n"), GP64())
	off := GP64()
	SHLQ(Imm(6), n)
	XORQ(off, off)
	Label("block")
	body(state, from, off)
	ADDQ(Imm(blockSize), off)
	CMPQ(off, n)
	JLT(LabelRef("block"))
	VZEROUPPER()
	RET()
}

// laneBlock is where the bytes of a lane's block stand.
func laneBlock(from, off Register, lane int) Mem {
	at := GP64()
	MOVQ(Mem{Base: from, Disp: 8 * lane}, at)
	return Mem{Base: at, Index: off, Scale: 1}
}

var z = []VecPhysical{
	Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11, Z12, Z13, Z14, Z15,
	Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z24, Z25, Z26, Z27, Z28, Z29, Z30, Z31,
}

var y = []VecPhysical{Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y8, Y9, Y10, Y11, Y12, Y13, Y14, Y15}

// sixteen has the schedule in Z0 to Z15, a to h in Z16 to Z23.
func sixteen(k, swap Mem) {
	loop("blocks16AVX512", func(state, from, off Register) {
		for lane := range 16 {
			VMOVDQU32(laneBlock(from, off, lane), z[lane])
		}
		// Lane by lane to word by word: pairs of 32 bits, then of 64, then of 128 and of 256.
		for i := 0; i < 16; i += 2 {
			VPUNPCKLDQ(z[i+1], z[i], z[16+i])
			VPUNPCKHDQ(z[i+1], z[i], z[17+i])
		}
		for i := 0; i < 16; i += 4 {
			VPUNPCKLQDQ(z[18+i], z[16+i], z[i])
			VPUNPCKHQDQ(z[18+i], z[16+i], z[i+1])
			VPUNPCKLQDQ(z[19+i], z[17+i], z[i+2])
			VPUNPCKHQDQ(z[19+i], z[17+i], z[i+3])
		}
		// z[4g+w] has the words w, w+4, w+8, w+12 of lanes 4g to 4g+3, a quarter each.
		for w := range 4 {
			VSHUFI32X4(Imm(0x88), z[4+w], z[w], z[16+w])    // words w and w+8 of lanes 0 to 7
			VSHUFI32X4(Imm(0xdd), z[4+w], z[w], z[20+w])    // w+4 and w+12
			VSHUFI32X4(Imm(0x88), z[12+w], z[8+w], z[24+w]) // of lanes 8 to 15
			VSHUFI32X4(Imm(0xdd), z[12+w], z[8+w], z[28+w])
		}
		for w := range 4 {
			VSHUFI32X4(Imm(0x88), z[24+w], z[16+w], z[w])
			VSHUFI32X4(Imm(0xdd), z[24+w], z[16+w], z[8+w])
			VSHUFI32X4(Imm(0x88), z[28+w], z[20+w], z[4+w])
			VSHUFI32X4(Imm(0xdd), z[28+w], z[20+w], z[12+w])
		}
		VMOVDQU32(swap, z[31])
		for w := range 16 {
			VPSHUFB(z[31], z[w], z[w])
		}
		u := unit{
			wide: true,
			move: func(from, to Op) { VMOVDQU32(from, to) },
			t:    [6]VecPhysical{Z24, Z25, Z26, Z27, Z28, Z29},
			k:    func(i int, x VecPhysical) { VPADDD_BCST(k.Offset(32*i), x, x) },
			word: func(i int) Op { return z[i%16] },
			put:  func(int, VecPhysical) {},
			reg:  func(i int, _ VecPhysical) VecPhysical { return z[i%16] },
		}
		u.rounds(state, z[16:24])
	})
}

// eight has a to h in Y0 to Y7 and the schedule on the stack.
func eight(name string, wide bool, k, swap Mem) {
	loop(name, func(state, from, off Register) {
		// A register that is stored or loaded across two lines of the cache takes twice as long.
		stack := AllocLocal(16*32 + 32)
		words := GP64()
		LEAQ(stack.Offset(31), words)
		ANDQ(I32(-32), words)
		word := func(i int) Mem { return Mem{Base: words, Disp: 32 * (i % 16)} }
		for half := range 2 {
			for lane := range 8 {
				m := laneBlock(from, off, lane)
				m.Disp = 32 * half
				VMOVDQU(m, y[lane])
			}
			for i := 0; i < 8; i += 2 {
				VPUNPCKLDQ(y[i+1], y[i], y[8+i])
				VPUNPCKHDQ(y[i+1], y[i], y[9+i])
			}
			for i := 0; i < 8; i += 4 {
				VPUNPCKLQDQ(y[10+i], y[8+i], y[i])
				VPUNPCKHQDQ(y[10+i], y[8+i], y[i+1])
				VPUNPCKLQDQ(y[11+i], y[9+i], y[i+2])
				VPUNPCKHQDQ(y[11+i], y[9+i], y[i+3])
			}
			VMOVDQU(swap, Y15)
			for w := range 4 {
				VPERM2I128(Imm(0x20), y[4+w], y[w], y[8])
				VPERM2I128(Imm(0x31), y[4+w], y[w], y[9])
				for part := range 2 {
					VPSHUFB(Y15, y[8+part], y[8+part])
					VMOVDQU(y[8+part], word(8*half+4*part+w))
				}
			}
		}
		u := unit{
			wide: wide,
			move: VMOVDQU,
			t:    [6]VecPhysical{Y8, Y9, Y10, Y11, Y12, Y13},
			k:    func(i int, x VecPhysical) { VPADDD(k.Offset(32*i), x, x) },
			word: func(i int) Op { return word(i) },
			put:  func(i int, x VecPhysical) { VMOVDQU(x, word(i)) },
			reg: func(i int, spare VecPhysical) VecPhysical {
				VMOVDQU(word(i), spare)
				return spare
			},
		}
		u.rounds(state, y[:8])
	})
}

// shaInstructions asks the processor, of which x/sys/cpu does not tell.
func shaInstructions() {
	TEXT("shaInstructions", NOSPLIT, "func() bool")
	Doc("shaInstructions reports whether the processor has instructions for SHA-256. It must know leaf 7 of CPUID, as one with AVX2 does.")
	MOVL(U32(7), EAX)
	XORL(ECX, ECX)
	CPUID()
	SHRL(Imm(29), EBX)
	ANDL(Imm(1), EBX)
	Store(BL, ReturnIndex(0))
	RET()
}
