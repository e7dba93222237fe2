package vec

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// atLevels runs a test with each of the kernels that this processor has.
func atLevels(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	defer func(old int) { level = old }(level)
	for l := range best() + 1 {
		level = l
		t.Run(levels[l], f)
	}
}

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		name       string
		best, want int
		fault      string
	}{
		{"", portable, portable, ""},
		{"", avx512, avx512, ""},
		{"portable", avx512, portable, ""},
		{"avx2", avx512, avx2, ""},
		{"avx512", avx512, avx512, ""},
		{"avx512", avx2, avx2, "avx2 are its best"},
		{"avx2", portable, portable, "portable are its best"},
		{"AVX2", avx512, avx512, "want portable, avx2 or avx512"},
		{"sse", avx512, avx512, "RAPPORT_KERNELS=sse"},
	} {
		got, err := choose(c.name, c.best)
		if got != c.want || (err == nil) != (c.fault == "") || (err != nil && !strings.Contains(err.Error(), c.fault)) {
			t.Errorf("choose(%q, %s) = %s, %v; want %s, %q", c.name, levels[c.best], levels[got], err, levels[c.want], c.fault)
		}
	}
}

func TestClass(t *testing.T) {
	atLevels(t, func(t *testing.T) {
		want := "fma-" + runtime.GOARCH
		if level == portable {
			want = "portable-" + runtime.GOARCH
		}
		// x² is 1 + 2⁻²⁹ + 2⁻⁶⁰, of which rounding leaves the first two.
		if x := 1 + 0x1p-30; runtime.GOARCH == "amd64" && plus(x, x, -(1+0x1p-29)) != 0 {
			want += "v3" // this build fuses where others of amd64 do not
		}
		if Class() != want || Kernels() != levels[level] || Check() != nil {
			t.Errorf("class %s of kernels %s (%v)", Class(), Kernels(), Check())
		}
	})
}

//go:noinline
func plus(x, y, z float64) float64 { return x*y + z }

// canary is memory with guards on both sides of what is handed out.
type canary struct{ all, x []float32 }

const guard = 64

// guarded returns n random numbers whose start is `offset` elements from a line of the cache, between guards.
func guarded(r *rand.Rand, n, offset int) canary {
	all := aligned(n + offset + 2*guard)
	for i := range all {
		all[i] = math.Float32frombits(0x7fa00000 + uint32(i)) // a NaN that tells its place
	}
	c := canary{all, all[guard+offset:][:n:n]}
	for i := range c.x {
		c.x[i] = float32(r.NormFloat64())
	}
	return c
}

// check reports a guard that was written to.
func (c canary) check(t *testing.T, what string) {
	t.Helper()
	for i, v := range c.all {
		if (i < guard || i >= len(c.all)-guard) && math.Float32bits(v) != 0x7fa00000+uint32(i) {
			t.Fatalf("%s: wrote element %d of %d, outside", what, i-guard, len(c.x))
		}
	}
}

// sameBits reports whether two slices are equal to the bit, NaN being equal to any NaN.
func sameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool {
		return math.Float32bits(x) == math.Float32bits(y) || (x != x && y != y)
	})
}
