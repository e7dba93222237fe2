package table

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// What pages hold, written: the counterpart of page.go.

// appendPacked appends numbers of a width in bits, at most 64, the lowest bits first, in so many bytes as they need.
func appendPacked[T int32 | uint64](dst []byte, v []T, width uint) []byte {
	size := (len(v)*int(width) + 7) / 8
	at := len(dst)
	dst = slices.Grow(dst, size+8)[:at+size+8]
	out := dst[at:]
	var held uint64 // bits that are not written yet, the lowest first
	var have uint
	k := 0
	for _, x := range v {
		w := uint64(x)
		held |= w << have
		if have += width; have >= 64 {
			binary.LittleEndian.PutUint64(out[k:], held)
			k += 8
			have -= 64
			held = w >> (width - have) // all of it gone: 0
		}
	}
	if have > 0 {
		binary.LittleEndian.PutUint64(out[k:], held)
	}
	return dst[:at+size]
}

// appendRuns appends numbers of a width in bits as Parquet's hybrid has them: runs of one number repeated, and of numbers packed by eights.
func appendRuns(dst []byte, v []int32, width uint) []byte {
	packed := func(dst []byte, v []int32) []byte {
		if len(v) == 0 {
			return dst
		}
		groups := (len(v) + 7) / 8
		dst = binary.AppendUvarint(dst, uint64(groups)<<1|1)
		end := len(dst) + groups*int(width)
		dst = appendPacked(dst, v, width)
		for len(dst) < end {
			dst = append(dst, 0)
		}
		return dst
	}
	from := 0 // of the numbers that are to be packed
	for i := 0; i < len(v); {
		run := i + 1
		for run < len(v) && v[run] == v[i] {
			run++
		}
		if run-i < 8 {
			i = min(i+8, len(v))
			continue
		}
		dst = packed(dst, v[from:i])
		dst = binary.AppendUvarint(dst, uint64(run-i)<<1)
		for b := uint(0); b < width; b += 8 {
			dst = append(dst, byte(v[i]>>b))
		}
		i, from = run, run
	}
	return packed(dst, v[from:])
}

// Blocks of DELTA_BINARY_PACKED, as most writers have them.
const (
	deltaBlock = 128
	deltaMini  = 32
)

// appendDeltas appends numbers in DELTA_BINARY_PACKED: the first, then blocks of differences, each with the least of them and the rest packed above it.
func appendDeltas(dst []byte, v []uint64) []byte {
	dst = binary.AppendUvarint(dst, deltaBlock)
	dst = binary.AppendUvarint(dst, deltaBlock/deltaMini)
	dst = binary.AppendUvarint(dst, uint64(len(v)))
	if len(v) == 0 {
		return append(dst, 0)
	}
	dst = binary.AppendVarint(dst, int64(v[0]))
	var block [deltaBlock]uint64
	for at := 1; at < len(v); {
		n := min(deltaBlock, len(v)-at)
		last := v[at-1]
		least := int64(v[at] - last)
		for i, x := range v[at : at+n] {
			d := x - last // wraps around as the encoding does
			block[i] = d
			least = min(least, int64(d))
			last = x
		}
		at += n
		for i := range block[:n] {
			block[i] -= uint64(least)
		}
		clear(block[n:])
		dst = binary.AppendVarint(dst, least)
		widths := len(dst)
		dst = append(dst, make([]byte, deltaBlock/deltaMini)...)
		for m := 0; m*deltaMini < n; m++ {
			part := block[m*deltaMini : (m+1)*deltaMini]
			var all uint64
			for _, x := range part {
				all |= x
			}
			width := bits.Len64(all)
			dst[widths+m] = byte(width)
			if width > 0 {
				dst = appendPacked(dst, part, uint(width))
			}
		}
	}
	return dst
}

// appendWords appends numbers of 8 bytes as they are.
func appendWords(dst []byte, v []uint64) []byte {
	at := len(dst)
	dst = slices.Grow(dst, 8*len(v))[:at+8*len(v)]
	out := dst[at:]
	for i, w := range v {
		binary.LittleEndian.PutUint64(out[8*i:], w)
	}
	return dst
}

// appendTexts appends texts, each behind its length.
func appendTexts(dst []byte, v []string) []byte {
	for _, s := range v {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(s)))
		dst = append(dst, s...)
	}
	return dst
}
