package blend

import (
	"fmt"
	"testing"
)

func BenchmarkChoose(b *testing.B) {
	const queries, parts = 500, 4
	b.Run(fmt.Sprintf("queries=%d/candidates=60/parts=%d", queries, parts), func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			v := random(queries, parts, func(x []float32, noise float64) float64 {
				return float64(x[0]) + 2*float64(x[1]) + 0.5*float64(x[2]) + 0.2*noise
			})
			b.StartTimer()
			if err := v.choose(b.Context(), &Record{Parts: make([]Part, parts)}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
