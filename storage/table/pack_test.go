package table

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestPack: what pages are written with, they are read with: runs of every length, widths to the widest, differences that wrap around, and blocks cut anywhere.
func TestPack(t *testing.T) {
	r := rand.New(rand.NewPCG(14, 1))
	for range 2000 {
		n := r.IntN(600)
		width := uint(1 + r.IntN(24))
		codes := make([]int32, 0, n)
		for len(codes) < n {
			run := 1
			if r.IntN(4) == 0 {
				run = 1 + r.IntN(40)
			}
			codes = append(codes, slices.Repeat([]int32{int32(r.IntN(1 << width))}, min(run, n-len(codes)))...)
		}
		got, err := indexes(nil, appendRuns([]byte{byte(width)}, codes, width), n, 1<<width)
		if err != nil || !slices.Equal(got, codes) {
			t.Fatalf("%d codes of %d bits: %v", n, width, err)
		}

		words, want := make([]uint64, n), make([]int64, n)
		span := uint(r.IntN(65))
		for i := range words {
			if words[i] = r.Uint64() >> (64 - span); r.IntN(200) == 0 {
				words[i] = r.Uint64()
			}
			want[i] = int64(words[i])
		}
		behind := []byte("behind")
		deltas, rest, err := unpackDeltas(nil, append(appendDeltas(nil, words), behind...), n)
		if err != nil || !slices.Equal(deltas, want) || string(rest) != string(behind) {
			t.Fatalf("%d differences of %d bits: %v, %q is left", n, span, err, rest)
		}
	}
}

// TestOrderedTies: keys close together, far apart and alike give the order that comparing alone gives.
func TestOrderedTies(t *testing.T) {
	r := rand.New(rand.NewPCG(14, 2))
	for _, n := range []int{1, 2, 3000} {
		keys := make([]uint64, n)
		for _, spread := range []uint64{1, 3, 1 << 20, 1 << 63} {
			for i := range keys {
				keys[i] = r.Uint64N(spread) | 1<<62
			}
			want := make([]int32, n)
			for i := range want {
				want[i] = int32(i)
			}
			back := func(a, b int32) int { return int(b - a) } // the later row of those alike comes first
			slices.SortFunc(want, func(a, b int32) int {
				if keys[a] != keys[b] {
					if keys[a] < keys[b] {
						return -1
					}
					return 1
				}
				return back(a, b)
			})
			if got := ordered(keys, back); !slices.Equal(got, want) {
				t.Fatalf("%d rows, keys below %d: another order", n, spread)
			}
		}
	}
}
