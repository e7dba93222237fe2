package vec

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// Every kernel of rows.go against float64, over sizes, strides and places, and AVX2 against AVX-512 bit by bit.
func TestRows(t *testing.T) {
	type shape struct{ n, d, pad, offset int }
	var shapes []shape
	for _, d := range []int{16, 32, 48, 64, 80, 128, 144, 208, 272} {
		for n := range 20 {
			shapes = append(shapes, shape{n, d, 16 * (n % 3), n % 5})
		}
	}
	answers := map[string][]float32{} // of the first level that fuses
	for _, s := range shapes {
		name := fmt.Sprintf("n=%d d=%d stride=%d offset=%d", s.n, s.d, s.d+s.pad, s.offset)
		atLevels(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(s.n), uint64(s.d)))
			stride, length := s.d+s.pad, 0
			if s.n > 0 {
				length = (s.n-1)*stride + s.d
			}
			x, p, w := guarded(r, length, s.offset), guarded(r, s.d, s.offset), guarded(r, s.n, 0)
			y, z := guarded(r, s.n, s.offset), guarded(r, s.d, s.offset)
			start := slices.Clone(z.x)
			Dots(y.x, x.x, stride, p.x)
			AddRows(z.x, x.x, stride, w.x)
			sum := make([]float64, s.d)
			for k := range s.n {
				row := x.x[k*stride:][:s.d]
				var size float64
				for i, v := range row {
					sum[i] += float64(w.x[k]) * float64(v)
					size += math.Abs(float64(v) * float64(p.x[i]))
				}
				if want := Dot64(row, p.x); math.Abs(float64(y.x[k])-want) > 1e-6*size {
					t.Fatalf("%s: Dots[%d] = %g, want %g", name, k, y.x[k], want)
				}
			}
			for i, v := range sum {
				if want := float64(start[i]) + v; math.Abs(float64(z.x[i])-want) > 1e-5*(1+math.Abs(want)) {
					t.Fatalf("%s: AddRows[%d] = %g, want %g", name, i, z.x[i], want)
				}
			}
			for what, c := range map[string]canary{"x": x, "p": p, "w": w, "y": y, "z": z} {
				c.check(t, name+" "+what)
			}
			same(t, answers, name, append(slices.Clone(y.x), z.x...))
		})
	}
}

// same compares the answers of the levels that fuse.
func same(t *testing.T, answers map[string][]float32, name string, got []float32) {
	t.Helper()
	if level == portable {
		return
	}
	if want, ok := answers[name]; !ok {
		answers[name] = got
	} else if !slices.Equal(got, want) {
		t.Fatalf("%s: other bits than with AVX2", name)
	}
}

func TestGather(t *testing.T) {
	for _, d := range []int{1, 5, 16, 24, 64, 128} {
		for _, n := range []int{0, 1, 2, 3, 9, 70} {
			for _, scaled := range []bool{false, true} {
				atLevels(t, func(t *testing.T) {
					r := rand.New(rand.NewPCG(uint64(n), uint64(d)))
					const rows = 37
					stride := []int{roundUp(d), Pitch(d)}[n%2]
					x, dst, scale := guarded(r, rows*d, n%4), guarded(r, n*stride, n%3), guarded(r, n, 0)
					col := make([]int32, n)
					for k := range col {
						col[k] = int32(r.IntN(rows))
					}
					factors := scale.x
					if !scaled {
						factors = nil
					}
					Gather(dst.x, stride, x.x, d, col, factors)
					for k, c := range col {
						for i, v := range dst.x[k*stride:][:roundUp(d)] {
							var want float32
							if i < d {
								want = x.x[int(c)*d+i]
							}
							if scaled {
								want *= scale.x[k]
							}
							if v != want {
								t.Fatalf("n=%d d=%d: row %d[%d] is %g, want %g", n, d, k, i, v, want)
							}
						}
					}
					dst.check(t, "dst")
					x.check(t, "x")
				})
			}
		}
	}
	atLevels(t, func(t *testing.T) {
		for _, col := range []int32{-1, 2} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("row %d of 2 is gathered", col)
					}
				}()
				Gather(make([]float32, 16), 16, make([]float32, 32), 16, []int32{col}, nil)
			}()
		}
	})
}

func TestConjugateSteps(t *testing.T) {
	answers := map[string][]float32{}
	for _, d := range []int{0, 16, 48, 128} {
		atLevels(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(9, uint64(d)))
			w, res, p, q, inverse, m := guarded(r, d, 1), guarded(r, d, 2), guarded(r, d, 3), guarded(r, d, 0), guarded(r, d, 1), guarded(r, d, 0)
			w0, r0 := slices.Clone(w.x), slices.Clone(res.x)
			const f = .37
			MulTo(m.x, q.x, inverse.x)
			sum := Advance(w.x, res.x, f, p.x, q.x, inverse.x)
			p0 := slices.Clone(p.x)
			Direct(p.x, inverse.x, res.x, f)
			var want, size float64
			near := func(what string, i int, got float32, want float64) {
				t.Helper()
				if math.Abs(float64(got)-want) > 1e-6*(1+math.Abs(want)) {
					t.Fatalf("d=%d: %s[%d] = %g, want %g", d, what, i, got, want)
				}
			}
			for i := range d {
				near("MulTo", i, m.x[i], float64(q.x[i])*float64(inverse.x[i]))
				near("w", i, w.x[i], float64(w0[i])+f*float64(p0[i]))
				near("r", i, res.x[i], float64(r0[i])-f*float64(q.x[i]))
				near("p", i, p.x[i], float64(inverse.x[i])*float64(res.x[i])+f*float64(p0[i]))
				term := float64(inverse.x[i]) * float64(res.x[i]) * float64(res.x[i])
				want, size = want+term, size+math.Abs(term)
			}
			if math.Abs(float64(sum)-want) > 1e-6*(1+size) {
				t.Fatalf("d=%d: Σ = %g, want %g", d, sum, want)
			}
			for what, c := range map[string]canary{"w": w, "r": res, "p": p, "q": q, "inverse": inverse, "m": m} {
				c.check(t, what)
			}
			same(t, answers, fmt.Sprint(d), slices.Concat(w.x, res.x, p.x, m.x, []float32{sum}))
		})
	}
}

func BenchmarkRows(b *testing.B) {
	for _, d := range []int{64, 128} {
		const n = 144
		r := rand.New(rand.NewPCG(1, 1))
		x, y, p, z := aligned(n*d), aligned(n), aligned(d), aligned(d)
		big, col := aligned(26744*d), make([]int32, n)
		for i := range x {
			x[i] = r.Float32()
		}
		for name, f := range map[string]func(){
			"Dots": func() { Dots(y, x, d, p) }, "AddRows": func() { AddRows(z, x, d, y) },
			"Gather": func() {
				for k := range col {
					col[k] = int32(r.Uint32() % 26744)
				}
				Gather(x, d, big, d, col, nil)
			},
		} {
			b.Run(fmt.Sprintf("%s/n=%d/d=%d", name, n, d), func(b *testing.B) {
				for b.Loop() {
					f()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
			})
		}
	}
}
