package rerank

import (
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
	"gorgonia.org/gorgonia"
)

// window is what a night learns from: questions with 200 candidates of 40 features each.
func window(questions int) (*network, *lessons) {
	const width = 40
	n := &network{h1: 32, h2: 16, bound: 0.5, columns: []int{6, 8}, mean: make([]float32, width), indicator: make([]bool, width)}
	for range width {
		n.scale = append(n.scale, 1)
	}
	n.lay()
	r := rand.New(rand.NewPCG(1, 2))
	l := &lessons{width: width, k: 10}
	for q := range questions {
		a := asked{row: q}
		for j := range candidates {
			a.list.base, a.list.items = append(a.list.base, float32(candidates-j)), append(a.list.items, int32(j))
			for range width {
				a.list.features = append(a.list.features, float32(r.NormFloat64()))
			}
		}
		l.questions = append(l.questions, a)
		l.answers = append(l.answers, answer{question: q, chosen: []int{q % candidates}, found: 1})
		l.examples = append(l.examples, example{q, q % candidates})
	}
	return n, l
}

// BenchmarkStep takes training steps of 1,024 candidates, with our kernels below gorgonia and with gonum's.
func BenchmarkStep(b *testing.B) {
	for _, x := range []struct {
		name string
		blas gorgonia.BLAS
	}{{"kernels", kernels{}}, {"gonum", gonum.Implementation{}}} {
		b.Run(x.name, func(b *testing.B) {
			gorgonias.Lock()
			defer gorgonias.Unlock()
			useKernels() // once, before it is set to another
			gorgonia.Use(x.blas)
			defer gorgonia.Use(kernels{})
			n, l := window(batchRows)
			h := Defaults()
			t, err := newTrainable(n, &h, 1)
			if err != nil {
				b.Fatal(err)
			}
			defer t.machine.Close()
			for b.Loop() {
				if err := t.step(l, l.examples); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSgemm multiplies as the first layer of a step does.
func BenchmarkSgemm(b *testing.B) {
	const m, n, k = batchRows * contrast, 32, 54
	x, w, y := make([]float32, m*k), make([]float32, k*n), make([]float32, m*n)
	for i := range x {
		x[i] = float32(i%7) - 3
	}
	for i := range w {
		w[i] = float32(i%5) - 2
	}
	for name, of := range map[string]blas.Float32Level3{"kernels": kernels{}, "gonum": gonum.Implementation{}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				of.Sgemm(blas.NoTrans, blas.NoTrans, m, n, k, 1, x, k, w, n, 0, y, n)
			}
			b.ReportMetric(2*m*n*k*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gflop/s")
		})
	}
}
