package main

import (
	"context"
	"fmt"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
)

// linear measures what an event costs as events become more, subjects with them. Rows are taken and dropped: at 100 M events those of six views
// alone would be a gigabyte.
func (b *bench) linear(ctx context.Context) error {
	perEvent := map[int]float64{}
	for _, n := range b.sizes {
		sets, err := b.make(ctx, sparseShape(n, b.days), layout{codec: "zstd", narrow: true})
		if err != nil {
			return err
		}
		d := sets[0].last(b.days)
		t := task{Kind: "build", Data: d, Views: sixViews(windowsOf(b.days)), Budget: b.budget, Drop: true}
		repeats := b.repeats
		if n > 20_000_000 {
			repeats = 1
		}
		if err := d.warm(); err != nil {
			return err
		}
		var seconds, cpu []float64
		var rss, spilled, peak int64
		for range repeats {
			m, err := delegate(ctx, t)
			if err != nil {
				return err
			}
			seconds, cpu = append(seconds, m.Seconds), append(cpu, m.CPU)
			rss, spilled, peak = max(rss, m.RSS), m.Stats.Spilled, m.Stats.Peak
		}
		perEvent[n] = benchmark.Median(seconds) / float64(d.events()) * 1e9
		b.Say("linear", "%9d events: %6.2f s (%s), %4.0f ns an event, %4.0f ns of processor time; %5.0f MB at the peak, %d MB of state by the engine's own count, %d MB spilled",
			d.events(), benchmark.Median(seconds), listed(seconds), perEvent[n], benchmark.Median(cpu)/float64(d.events())*1e9, float64(rss)/1e6, peak/1e6, spilled/1e6)
		if n == b.sizes[len(b.sizes)-1] {
			b.AtMost(fmt.Sprintf("linear_%dm_rss_mb", n/1e6), float64(rss)/1e6, float64(b.budget)/1e6)
		}
		if err := b.drop(sets...); err != nil {
			return err
		}
	}
	if ten, hundred := perEvent[10_000_000], perEvent[100_000_000]; ten > 0 && hundred > 0 {
		b.AtMost("linear_100m_per_event_of_10m", hundred/ten, 1.3)
	}
	return nil
}
