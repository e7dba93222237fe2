package words

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

var names = []string{"portable", "avx512"}

// atLevels runs a test with each of the kernels that this processor has.
func atLevels(t testing.TB, f func(name string)) {
	t.Helper()
	defer func(old int) { level = old }(level)
	for l := range best() + 1 {
		level = l
		f(names[l])
	}
}

// plain is Append as the doc of the package says it, byte by byte.
func plain(words []uint64) []byte {
	first, end, some := 8, 0, 0
	marks := make([]byte, (len(words)+7)/8)
	for i, x := range words {
		if x != 0 {
			marks[i/8] |= 1 << (i % 8)
			some++
		}
		for k := range 8 {
			if byte(x>>(8*k)) != 0 {
				first, end = min(first, k), max(end, k+1)
			}
		}
	}
	if some == 0 {
		return []byte{0}
	}
	width := end - first
	few := len(marks)+some*width < len(words)*width
	out := []byte{byte(width | first<<4)}
	if few {
		out = append([]byte{out[0] | 1<<7}, marks...)
	}
	for _, x := range words {
		for k := first; k < end && (x != 0 || !few); k++ {
			out = append(out, byte(x>>(8*k)))
		}
	}
	return out
}

// column returns random words of width bytes behind low, of which share are not 0, that begin anywhere in a line of the cache.
func column(r *rand.Rand, n, low, width int, share float64) []uint64 {
	at := r.IntN(8)
	words := make([]uint64, at+n)[at:]
	for i := range words {
		if r.Float64() < share {
			words[i] = max(1, r.Uint64()>>(64-8*width)) << (8 * low)
		}
	}
	return words
}

func either(words []uint64) (all uint64) {
	for _, x := range words {
		all |= x
	}
	return all
}

// check writes and reads a column with each of the kernels.
func check(t *testing.T, words []uint64) {
	t.Helper()
	want := plain(words)
	atLevels(t, func(name string) {
		body := Append([]byte("before"), words)
		if !bytes.Equal(body[:6], []byte("before")) || !bytes.Equal(body[6:], want) {
			t.Fatalf("%s: %x is written as %x, want %x", name, words, body[6:], want)
		}
		for _, behind := range []int{0, 1, 9, 63, 64, 100} {
			src := append(bytes.Clone(want), bytes.Repeat([]byte{0xa5}, behind)...)
			room := slices.Repeat([]uint64{77}, len(words)+1)
			got := room[:len(words)]
			all, rest, err := Read(got, src)
			if err != nil || !slices.Equal(got, words) || len(rest) != behind || all != either(words) {
				t.Fatalf("%s: %x is read as %x (of bits %x), %d bytes behind it, want %d, %v", name, words, got, all, len(rest), behind, err)
			}
			if room[len(words)] != 77 {
				t.Fatalf("%s: a word behind %d is written", name, len(words))
			}
		}
	})
}

// Columns come back as they were, in as few bytes as their zeros allow.
func TestColumns(t *testing.T) {
	for name, c := range map[string]struct {
		words []uint64
		bytes int
	}{
		"none":         {nil, 1},
		"zeros":        {make([]uint64, 1000), 1},
		"small":        {[]uint64{1, 2, 3, 255, 7}, 1 + 5},
		"high bytes":   {[]uint64{0xff << 56, 1 << 56, 3 << 56}, 1 + 3},
		"inner bytes":  {[]uint64{0xabcd00, 0x120000, 0x3400}, 1 + 3*2},
		"whole":        {[]uint64{math.MaxUint64, 1, 1 << 63}, 1 + 3*8},
		"few":          {append(make([]uint64, 63), 0x1234), 1 + 8 + 2},
		"almost all":   {append(slices.Repeat([]uint64{300}, 20), 0), 1 + 21*2},
		"of two bytes": {[]uint64{0x1234}, 1 + 2},
		"many":         {append(make([]uint64, 5000), 7), 1 + 626 + 1},
	} {
		check(t, c.words)
		body := Append(nil, c.words)
		if len(body) != c.bytes {
			t.Errorf("%s: %d bytes, want %d", name, len(body), c.bytes)
		}
		atLevels(t, func(level string) {
			for n := range body {
				if _, _, err := Read(make([]uint64, len(c.words)), body[:n]); err == nil {
					t.Errorf("%s, %s: %d bytes of %d are read without an error", name, level, n, len(body))
				}
			}
		})
	}
}

// The kernels write and read the same as what is plain, of every width behind every number of zeros, however many are 0, of any length.
func TestKernels(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 1))
	for n := range 1101 {
		for _, share := range []float64{1, .9, .5, .1, .01} {
			width := 1 + r.IntN(8)
			check(t, column(r, n, r.IntN(9-width), width, share))
		}
	}
	for width := 1; width <= 8; width++ {
		for low := range 9 - width {
			for _, n := range []int{1, 3, 8, 13, 64, 71, 200} {
				for _, share := range []float64{1, .5, .1} {
					check(t, column(r, n, low, width, share))
				}
			}
		}
	}
}

// same reads bytes with each of the kernels, and fails where they differ; false if they are damaged.
func same(t *testing.T, n int, src []byte) (words []uint64, ok bool) {
	t.Helper()
	var all uint64
	var behind []byte
	atLevels(t, func(name string) {
		got := slices.Repeat([]uint64{77}, n)
		a, rest, err := Read(got, src)
		if name == names[portable] {
			words, all, behind, ok = got, a, rest, err == nil
			return
		}
		if (err == nil) != ok || ok && (a != all || !slices.Equal(got, words) || !bytes.Equal(rest, behind)) {
			t.Fatalf("%s reads %d words of %x as %x (of bits %x), %x behind it, %v; want %x (%x), %x, %t", name, n, src, got, a, rest, err, words, all, behind, ok)
		}
	})
	if ok && all != either(words) {
		t.Fatalf("%d words of %x have the bits %x, not %x", n, src, either(words), all)
	}
	return words, ok
}

// Bytes that nobody wrote are the same to all kernels: words, or damaged.
func TestDamaged(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 2))
	read := 0
	for range 20_000 {
		n := r.IntN(80)
		src := make([]byte, r.IntN(1+r.IntN(20*(1+n/2))))
		for i := range src {
			src[i] = byte(r.Uint32())
		}
		if _, ok := same(t, n, src); ok {
			read++
		}
	}
	if read < 1000 {
		t.Errorf("only %d columns are read", read)
	}
}

// Whatever bytes are read, kernels agree, and words that were read come back.
func FuzzRead(f *testing.F) {
	f.Add(uint8(3), []byte{0})
	f.Add(uint8(9), []byte{2 | 1<<lowShift, 1, 2, 3, 4, 5, 6})
	f.Add(uint8(9), []byte{3 | sparse, 5, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add(uint8(8), []byte{1 | 7<<lowShift | sparse, 0x81, 1, 2})
	f.Fuzz(func(t *testing.T, n uint8, src []byte) {
		if words, ok := same(t, int(n), src); ok {
			check(t, words)
		}
	})
}

// Whatever words there are, kernels write what is plain.
func FuzzAppend(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, uint8(3))
	f.Add(make([]byte, 100), uint8(0))
	f.Fuzz(func(t *testing.T, of []byte, shift uint8) {
		var words []uint64
		for ; len(of) >= 8; of = of[8:] {
			words = append(words, binary.LittleEndian.Uint64(of)>>(shift%64))
		}
		check(t, words)
	})
}

func BenchmarkColumns(b *testing.B) {
	r := rand.New(rand.NewPCG(4, 3))
	for _, c := range []struct {
		name  string
		n     int
		width int
		share float64
	}{{"1 byte", usual, 1, 1}, {"3 bytes", usual, 3, 1}, {"8 bytes", usual, 8, 1}, {"7 bytes of a half", usual, 7, .5}, {"2 bytes of a 20th", usual, 2, .05}, {"2 bytes of few", 11, 2, 1}} {
		words := column(r, c.n, 0, c.width, c.share)
		src := plain(words)
		atLevels(b, func(level string) {
			run := func(what string, f func()) {
				b.Run(fmt.Sprintf("%s/%s/%s", what, c.name, level), func(b *testing.B) {
					for b.Loop() {
						f()
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(words)), "ns/word")
				})
			}
			dst, to := make([]byte, 0, 9*c.n+100), make([]uint64, c.n)
			run("append", func() { dst = Append(dst[:0], words) })
			run("read", func() {
				if _, _, err := Read(to, src); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}
