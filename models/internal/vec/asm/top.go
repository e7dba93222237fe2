package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func init() { units["top"] = top }

func top() {
	for _, wide := range []bool{true, false} {
		above(wide)
		count(wide)
	}
}

// above looks at sixteen elements at a time. AVX-512 stores those that are kept side by side, whole vectors, as there is room for sixteen; AVX2
// one by one.
func above(wide bool) {
	l := lanes{wide}
	name := "above" + suffix(wide)
	TEXT(name, NOSPLIT, "func(at *int32, value *float32, room int, x *float32, groups int, limit float32, first int32) (done, found, odd int)")
	Doc(name+" is the loop of Top.Offer, over groups of 16 elements while there is room for 16 more: elements greater than limit go to value and their",
		"positions, counted from first, to at. odd is not 0 if an element of the groups that are done is not finite.")
	Pragma("noescape")
	at, value, room := Load(Param("at"), GP64()), Load(Param("value"), GP64()), Load(Param("room"), GP64())
	x, groups, first := Load(Param("x"), GP64()), Load(Param("groups"), GP64()), Load(Param("first"), GP32())
	limit, err := Param("limit").Resolve()
	if err != nil {
		panic(err)
	}
	for _, v := range l.parts(0) {
		VBROADCASTSS(limit.Addr, v)
	}
	for _, v := range l.parts(1) {
		VPXOR(low256(v), low256(v), low256(v)) // the differences of elements and themselves
	}
	done, found, mask, bits := GP64(), GP64(), GP32(), GP32()
	if wide { // the positions of the sixteen
		numbers := GLOBL("sixteenNumbers", RODATA|NOPTR)
		for i := range 16 {
			DATA(4*i, U32(i))
		}
		VPBROADCASTD(first, Z4)
		VPADDD(numbers, Z4, Z4)
		MOVL(U32(16), mask)
		VPBROADCASTD(mask, Z6)
	}
	XORQ(done, done)
	XORQ(found, found)
	SUBQ(Imm(16), room)

	Label("loop")
	CMPQ(done, groups)
	JGE(LabelRef("end"))
	CMPQ(found, room)
	JGT(LabelRef("end"))
	for p, v := range l.parts(2) {
		VMOVUPS(Mem{Base: x, Disp: p * l.size()}, v)
	}
	for p, v := range l.parts(2) {
		VSUBPS(v, v, l.parts(3)[p])
		if wide {
			VPORQ(l.parts(3)[p], l.parts(1)[p], l.parts(1)[p])
		} else {
			VORPS(l.parts(3)[p], l.parts(1)[p], l.parts(1)[p])
		}
	}
	const greater = 0x1e // ordered, quiet: not if one is NaN
	if wide {
		VCMPPS(Imm(greater), l.parts(0)[0], l.parts(2)[0], K1)
		KMOVW(K1, mask)
	} else {
		VCMPPS(Imm(greater), l.parts(0)[0], l.parts(2)[0], l.parts(3)[0])
		VCMPPS(Imm(greater), l.parts(0)[1], l.parts(2)[1], l.parts(3)[1])
		VMOVMSKPS(l.parts(3)[0], mask)
		VMOVMSKPS(l.parts(3)[1], bits)
		SHLL(Imm(8), bits)
		ORL(bits, mask)
	}
	TESTL(mask, mask)
	JZ(LabelRef("next"))
	if wide {
		VPCOMPRESSD_Z(Z4, K1, Z5)
		VMOVDQU32(Z5, Mem{Base: at, Index: found, Scale: 4})
		VCOMPRESSPS_Z(Z2, K1, Z5)
		VMOVUPS(Z5, Mem{Base: value, Index: found, Scale: 4})
		POPCNTL(mask, mask)
		ADDQ(mask.As64(), found)
	} else {
		keepEach(at, value, x, first, found, mask)
	}

	Label("next")
	ADDQ(Imm(64), x)
	if wide {
		VPADDD(Z6, Z4, Z4)
	} else {
		ADDL(Imm(16), first)
	}
	INCQ(done)
	JMP(LabelRef("loop"))

	Label("end")
	Store(done, ReturnIndex(0))
	Store(found, ReturnIndex(1))
	if wide {
		VPTESTMD(l.parts(1)[0], l.parts(1)[0], K1)
		KMOVW(K1, mask)
	} else {
		VORPS(l.parts(1)[1], l.parts(1)[0], l.parts(1)[0])
		VXORPS(Y15, Y15, Y15)
		VPCMPEQD(Y15, l.parts(1)[0], Y14)
		VMOVMSKPS(Y14, mask)
		XORL(Imm(0xff), mask)
	}
	VZEROUPPER()
	Store(mask.As64(), ReturnIndex(2))
	RET()
}

// keepEach stores the elements of a mask one by one.
func keepEach(at, value, x, first, found Register, mask GPVirtual) {
	position, bits := GP64(), GP32()
	Label("keep")
	BSFL(mask, position.As32())
	MOVL(Mem{Base: x, Index: position, Scale: 4}, bits)
	MOVL(bits, Mem{Base: value, Index: found, Scale: 4})
	ADDL(first, position.As32())
	MOVL(position.As32(), Mem{Base: at, Index: found, Scale: 4})
	INCQ(found)
	LEAL(Mem{Base: mask.As64(), Disp: -1}, bits) // the lowest bit goes
	ANDL(bits, mask)
	JNZ(LabelRef("keep"))
}

// count compares eight keys at a time.
func count(wide bool) {
	l := lanes{wide}
	name := "count" + suffix(wide)
	TEXT(name, NOSPLIT, "func(keys *int64, groups int, limit int64) int")
	Doc(name + " returns how many of 8·groups keys are greater than limit.")
	Pragma("noescape")
	keys, groups := Load(Param("keys"), GP64()), Load(Param("groups"), GP64())
	limit, err := Param("limit").Resolve()
	if err != nil {
		panic(err)
	}
	for _, v := range l.parts(0) {
		VPBROADCASTQ(limit.Addr, v)
	}
	total, mask := GP64(), GP64()
	XORQ(total, total)
	Label("loop")
	if wide {
		VMOVUPS(Mem{Base: keys}, Z1)
		VPCMPGTQ(Z0, Z1, K1)
		KMOVW(K1, mask.As32())
		POPCNTQ(mask, mask)
		ADDQ(mask, total)
	} else {
		for p, v := range l.parts(1) {
			VMOVUPS(Mem{Base: keys, Disp: p * l.size()}, v)
			VPCMPGTQ(l.parts(0)[p], v, v)
			VMOVMSKPD(v, mask.As32())
			POPCNTQ(mask, mask)
			ADDQ(mask, total)
		}
	}
	ADDQ(Imm(64), keys)
	DECQ(groups)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	Store(total, ReturnIndex(0))
	RET()
}
