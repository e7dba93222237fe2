package vec

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// The selection is that of a sort, for all lengths, limits on k, exclusions and ties, whatever pieces the elements are offered in.
func TestTop(t *testing.T) { atLevels(t, testTop) }

func testTop(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 1))
	var top Top
	for _, n := range []int{0, 1, 5, 15, 16, 17, 31, 100, 300, 1000, 5000} {
		for _, k := range []int{0, 1, 2, 16, 100, 300} {
			for _, kind := range []string{"random", "ties", "ascending", "zeros"} {
				x := random(r, n)
				for i := range x {
					switch kind {
					case "ties":
						x[i] = float32(r.IntN(5)) - 2
					case "ascending":
						x[i] = float32(i) - 50
					case "zeros":
						x[i] = float32(math.Copysign(0, float64(i%2)-.5))
					}
				}
				var exclude []int32
				for i := range n {
					if r.IntN(10) == 0 {
						exclude = append(exclude, int32(i))
					}
				}
				var want []int32
				for i := range n {
					if !slices.Contains(exclude, int32(i)) {
						want = append(want, int32(i))
					}
				}
				slices.SortStableFunc(want, func(a, b int32) int { return cmp.Compare(x[b], x[a]) })
				want = want[:min(k, len(want))]
				top.Reset(k)
				for from := 0; from < n; {
					to := min(n, from+1+r.IntN(2000))
					if !top.Offer(x[from:to], int32(from), exclude) {
						t.Fatal("refused")
					}
					from = to
				}
				at, value := make([]int32, k), make([]float32, k)
				found := top.Best(at, value)
				if !slices.Equal(at[:found], want) {
					t.Fatalf("n=%d k=%d %s: %v, want %v", n, k, kind, at[:found], want)
				}
				for i, p := range at[:found] {
					if value[i] != x[p] {
						t.Fatalf("n=%d k=%d %s: value %g of %g", n, k, kind, value[i], x[p])
					}
				}
			}
		}
	}
}

func TestTopRefusesWhatIsNotFinite(t *testing.T) {
	atLevels(t, func(t *testing.T) {
		var top Top
		for _, n := range []int{1, 16, 33, 400} {
			for _, at := range []int{0, n / 2, n - 1} {
				for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
					for _, k := range []int{0, 3} {
						x := make([]float32, n)
						x[at] = float32(bad)
						top.Reset(k)
						if top.Offer(x, 0, nil) {
							t.Errorf("n=%d k=%d: took %g at %d", n, k, bad, at)
						}
					}
				}
			}
		}
	})
}

func BenchmarkTop(b *testing.B) {
	for _, k := range []int{10, 100} {
		b.Run(fmt.Sprintf("n=26744/k=%d", k), func(b *testing.B) {
			b.ReportAllocs()
			x := random(rand.New(rand.NewPCG(1, 1)), 26744)
			var top Top
			at, value := make([]int32, k), make([]float32, k)
			for b.Loop() {
				top.Reset(k)
				top.Offer(x, 0, nil)
				top.Best(at, value)
			}
		})
	}
}
