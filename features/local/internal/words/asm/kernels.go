package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func kernels() {
	survey()
	pack()
	unpack()
}

// lanes is how many words a register holds, of eight bytes each.
const lanes = 8

// table is where each byte of a register comes from, for the widths from 1 on.
func table(name string, from func(width, at int) int) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for width := 1; width <= 8; width++ {
		for at := range 64 {
			DATA(64*(width-1)+at, U8(from(width, at)))
		}
	}
	return m
}

// row sets to to a table's row for a width, and each byte of lows to low.
func row(table Mem, width, low Register, to, lows VecVirtual) {
	at := GP64()
	LEAQ(table, at)
	offset := GP64()
	MOVQ(width, offset)
	SHLQ(Imm(6), offset)
	VMOVDQU64(Mem{Base: at, Index: offset, Scale: 1, Disp: -64}, to)
	VPBROADCASTB(low.(GP).As32(), lows)
}

// begin begins a function; its arguments are those of the names.
func begin(name, signature string, doc []string, names ...string) (args []Register) {
	TEXT(name, NOSPLIT, signature)
	Doc(doc...)
	Pragma("noescape")
	for _, n := range names {
		args = append(args, Load(Param(n), GP64()))
	}
	return args
}

// loop does eight words at a time while there are so many, then those that are left, 1 to 7.
func loop(n Register, eight, left func()) {
	Label("eight")
	CMPQ(n, Imm(lanes))
	JLT(LabelRef("left"))
	eight()
	SUBQ(Imm(lanes), n)
	JMP(LabelRef("eight"))
	Label("left")
	TESTQ(n, n)
	JZ(LabelRef("end"))
	left()
	Label("end")
}

// lowBits sets to, which may be n, to a number of which the n lowest bits are set; n is at most 64.
func lowBits(ones, n, to Register) { BZHIQ(n, ones, to) }

func allOnes() GPVirtual {
	ones := GP64()
	MOVQ(I32(-1), ones)
	return ones
}

// storeAll stores what is set in any of the words of a register, and returns.
func storeAll(x VecVirtual, result int) {
	half := YMM()
	VEXTRACTI64X4(Imm(1), x, half)
	VPORQ(half, x.AsY(), half)
	quarter := XMM()
	VEXTRACTI128(Imm(1), half, quarter)
	VPOR(quarter, half.AsX(), quarter)
	high, low := GP64(), GP64()
	VPEXTRQ(Imm(1), quarter, high)
	VMOVQ(quarter, low)
	ORQ(high, low)
	VZEROUPPER()
	Store(low, ReturnIndex(result))
}

func zero(x VecVirtual) { VPXORQ(x, x, x) }

func survey() {
	a := begin("surveyAVX512", "func(marks, words *uint64, n int) (all uint64, some int)", []string{
		"surveyAVX512 sets a bit for each of n words that is not 0, in ⌈n/8⌉ bytes, and returns every bit that is set in one of them and how many are not 0.",
	}, "marks", "words", "n")
	marks, words, n := a[0], a[1], a[2]
	all, x := ZMM(), ZMM()
	zero(all)
	some, mark := GP64(), GP32()
	XORQ(some, some)
	k, is := K(), K()
	put := func() {
		VPTESTMQ(x, x, is)
		VPORQ(x, all, all)
		KMOVB(is, mark)
		MOVB(mark.As8(), Mem{Base: marks})
		POPCNTL(mark, mark)
		ADDQ(mark.As64(), some)
	}
	loop(n, func() {
		VMOVDQU64(Mem{Base: words}, x)
		put()
		ADDQ(Imm(64), words)
		INCQ(marks)
	}, func() {
		lowBits(allOnes(), n, n)
		KMOVB(n.(GP).As32(), k)
		VMOVDQU64_Z(Mem{Base: words}, k, x)
		put()
	})
	Store(some, ReturnIndex(1))
	storeAll(all, 0)
	RET()
}

// pack writes whole registers: each over what of the one before is too much.
func pack() {
	together := table("together", func(width, at int) int { return (at/width*8 + at%width) % 64 })
	for _, sparse := range []bool{false, true} {
		name, signature, names := "packAVX512", "func(dst *byte, words *uint64, n, low, width int)", []string{"dst", "words", "n", "low", "width"}
		doc := []string{name + " writes width bytes of each of n words, behind low bytes of it, and whatever in 64 bytes behind these."}
		if sparse {
			name, signature, names = "packSparseAVX512", "func(dst *byte, words, marks *uint64, n, low, width int)", append(names, "marks")
			doc = []string{name + " writes width bytes of each of n words that has a mark, behind low bytes of it, and whatever in 64 bytes behind these."}
		}
		a := begin(name, signature, doc, names...)
		dst, words, n, low, width := a[0], a[1], a[2], a[3], a[4]
		from, x, k := ZMM(), ZMM(), K()
		row(together, width, low, from, x)
		VPADDB(x, from, from)
		if sparse {
			marks, mark := a[5], GP32()
			one := func() {
				MOVBLZX(Mem{Base: marks}, mark)
				KMOVB(mark, k)
				VMOVDQU64_Z(Mem{Base: words}, k, x)
				VPCOMPRESSQ_Z(x, k, x)
				VPERMB(x, from, x)
				VMOVDQU64(x, Mem{Base: dst})
			}
			loop(n, func() {
				one()
				POPCNTL(mark, mark)
				IMULQ(width, mark.As64())
				ADDQ(mark.As64(), dst)
				INCQ(marks)
				ADDQ(Imm(64), words)
			}, one)
		} else {
			step := GP64()
			MOVQ(width, step)
			SHLQ(Imm(3), step)
			put := func() {
				VPERMB(x, from, x)
				VMOVDQU64(x, Mem{Base: dst})
			}
			loop(n, func() {
				VMOVDQU64(Mem{Base: words}, x)
				put()
				ADDQ(Imm(64), words)
				ADDQ(step, dst)
			}, func() {
				lowBits(allOnes(), n, n)
				KMOVB(n.(GP).As32(), k)
				VMOVDQU64_Z(Mem{Base: words}, k, x)
				put()
			})
		}
		VZEROUPPER()
		RET()
	}
}

func unpack() {
	apart := table("apart", func(width, at int) int { return (at/8*width + at%8) % 64 })
	for _, sparse := range []bool{false, true} {
		name, signature, names := "unpackAVX512", "func(dst *uint64, src *byte, n, low, width int) (all uint64)", []string{"dst", "src", "n", "low", "width"}
		doc := []string{name + " reads n words of width bytes, each behind low zeros, and returns every bit that is set in one of them."}
		if sparse {
			name, signature, names = "unpackSparseAVX512", "func(dst *uint64, marks, src *byte, n, low, width int) (all uint64)", append(names, "marks")
			doc = []string{name + " reads those of n words that have a mark, of width bytes, each behind low zeros, and returns every bit that is set in one of them. Others are 0."}
		}
		a := begin(name, signature, doc, names...)
		dst, src, n, low, width := a[0], a[1], a[2], a[3], a[4]
		from, x, all := ZMM(), ZMM(), ZMM()
		row(apart, width, low, from, x)
		VPSUBB(x, from, from)
		zero(all)
		// The bytes of words that are kept: width ones behind low.
		ones, bytes, keep := allOnes(), GP64(), K()
		LEAQ(Mem{Base: low, Index: width, Scale: 1}, bytes)
		lowBits(ones, bytes, bytes)
		SHRXQ(low, bytes, bytes)
		SHLXQ(low, bytes, bytes)
		eightTimes := GP64()
		MOVQ(U64(0x0101010101010101), eightTimes)
		IMULQ(eightTimes, bytes)
		KMOVQ(bytes, keep)
		load, left, size, room := K(), K(), GP64(), GP64()
		// take reads what words have of size bytes.
		take := func() {
			VMOVDQU8_Z(Mem{Base: src}, load, x)
			VPERMB_Z(x, from, keep, x)
			VPORQ(x, all, all)
		}
		if sparse {
			marks, mark, k := a[5], GP32(), K()
			one := func() {
				KMOVB(mark, k)
				POPCNTL(mark, size.As32())
				IMULQ(width, size)
				lowBits(ones, size, room)
				KMOVQ(room, load)
				take()
				VPEXPANDQ_Z(x, k, x)
			}
			loop(n, func() {
				MOVBLZX(Mem{Base: marks}, mark)
				one()
				VMOVDQU64(x, Mem{Base: dst})
				ADDQ(Imm(64), dst)
				ADDQ(size, src)
				INCQ(marks)
			}, func() {
				lowBits(ones, n, room)
				KMOVB(room.As32(), left)
				MOVBLZX(Mem{Base: marks}, mark)
				ANDL(room.As32(), mark)
				one()
				VMOVDQU64(x, left, Mem{Base: dst})
			})
		} else {
			MOVQ(width, size)
			SHLQ(Imm(3), size)
			lowBits(ones, size, room)
			KMOVQ(room, load)
			loop(n, func() {
				take()
				VMOVDQU64(x, Mem{Base: dst})
				ADDQ(Imm(64), dst)
				ADDQ(size, src)
			}, func() {
				lowBits(ones, n, room)
				KMOVB(room.As32(), left)
				IMULQ(width, n)
				lowBits(ones, n, room)
				KMOVQ(room, load)
				take()
				VMOVDQU64(x, left, Mem{Base: dst})
			})
		}
		storeAll(all, 0)
		RET()
	}
}
