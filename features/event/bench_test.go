package event

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
)

func BenchmarkIngest(b *testing.B) {
	const rows, people = 200_000, 5000
	w := newWorld(b, people)
	putEvents(b, w.lake, "events/dt=2024-03-02/a.parquet", genEvents(rand.New(rand.NewPCG(1, 1)), 1, rows, people))
	files, err := shop(w.lake).Listing(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	b.Run(fmt.Sprintf("rows=%d/people=%d", rows, people), func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			out := shop(w.lake).NewWriter(w.out, "ingest", recommend, 4)
			if _, err := Ingest(context.Background(), IngestPlan{Files: files, Day: oneDay(1), Decisions: w.decisions, Identities: w.ids, Out: out}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
	})
}
