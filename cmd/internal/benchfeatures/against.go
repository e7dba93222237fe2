package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
	"github.com/rapport-ml/rapport/features"
)

// The layouts that DuckDB is compared on.
var layouts = []layout{{codec: "snappy"}, {codec: "zstd"}, {text: true, codec: "snappy"}, {text: true, codec: "zstd"}}

// contest is a task for both sides.
type contest struct {
	name    string // of its lines and target
	views   []features.View
	columns []string // that views read, but for the time
	judged  bool     // there is a target
	repeats int
}

// against measures task a or b against the peer, on the same files: untimed passes, in which the peer's ways are tried, then runs in turn, each
// in a process of its own. Every run's answers are compared.
func (b *bench) against(ctx context.Context, part string) error {
	c := contest{name: part, views: oneView(time.Duration(b.days) * dayLong), columns: []string{"subject", "value"}, judged: true, repeats: b.repeats}
	if part == "b" {
		c.views, c.columns = sixViews(windowsOf(b.days)), []string{"subject", "item", "kind", "value"}
	}
	sets, err := b.make(ctx, sparseShape(b.events, b.days), layouts...)
	if err != nil {
		return err
	}
	var best query
	worst := 0.0
	for i, d := range sets {
		d = d.last(b.days)
		if i == 0 { // what is quickest for one layout is so, nearly, for all
			if best, err = b.quickest(ctx, c, layouts[i], d); err != nil {
				return err
			}
		}
		memory, err := b.duel(ctx, c, best, layouts[i], d)
		if err != nil {
			return err
		}
		worst = max(worst, memory)
	}
	// The dense shape is here for its answers, and for the figure.
	l := layout{codec: "zstd"}
	dense, err := b.make(ctx, denseShape(b.events, b.days), l)
	if err != nil {
		return err
	}
	c.name, c.judged, c.repeats = c.name+" dense", false, 1
	if _, err := b.duel(ctx, c, best, l, dense[0].last(b.days)); err != nil {
		return err
	}
	b.AtMost("memory_"+part, worst, 0.5)
	return nil
}

// quickest tries the peer's ways.
func (b *bench) quickest(ctx context.Context, c contest, l layout, d *dataset) (best query, err error) {
	if err := d.warm(); err != nil {
		return best, err
	}
	ways := queries(c.views)
	if len(ways) == 1 {
		return ways[0], nil
	}
	least := 0.0
	var tried []string
	for _, q := range ways {
		f, err := b.peer.build(ctx, q, c.views, d, b.dir, "")
		if err != nil {
			return best, err
		}
		tried = append(tried, fmt.Sprintf("%v %.2f s", q, f.total()))
		if least == 0 || f.total() < least {
			best, least = q, f.total()
		}
	}
	b.Say(c.name+" "+l.String(), "ways of DuckDB: %s", strings.Join(tried, "; "))
	return best, nil
}

// duel runs both sides over one data set, and returns the ratio of their peak memory, ours to the peer's.
func (b *bench) duel(ctx context.Context, c contest, q query, l layout, d *dataset) (memory float64, err error) {
	name := c.name + " " + l.String()
	if err := d.warm(); err != nil {
		return 0, err
	}
	folder, err := os.MkdirTemp(b.dir, "answer-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(folder)
	t := task{Kind: "build", Data: d, Views: c.views, Answer: folder}
	var ours, theirs, ourCPU, theirCPU []float64
	var ourRSS, theirRSS, cells int64
	for range c.repeats {
		f, err := b.peer.build(ctx, q, c.views, d, filepath.Join(folder, "spill"), folder)
		if err != nil {
			return 0, err
		}
		m, err := delegate(ctx, t)
		if err != nil {
			return 0, err
		}
		ours, theirs = append(ours, m.Seconds), append(theirs, f.total())
		ourCPU, theirCPU = append(ourCPU, m.CPU), append(theirCPU, f.CPU)
		ourRSS, theirRSS = max(ourRSS, m.RSS), max(theirRSS, f.RSS)
		cells = m.Checked
	}
	rows := float64(d.events()) / 1e6
	line := func(who string, seconds, cpu []float64, rss int64) {
		s := benchmark.Median(seconds)
		b.Say(name, "%-7s %6.2f s (%s), %5.2f M rows/s; %5.2f s of processor time, %5.2f M rows a second of it; %5.0f MB at the peak",
			who, s, listed(seconds), rows/s, benchmark.Median(cpu), rows/benchmark.Median(cpu), float64(rss)/1e6)
	}
	line("DuckDB", theirs, theirCPU, theirRSS)
	line("rapport", ours, ourCPU, ourRSS)
	ratio := benchmark.Median(theirs) / benchmark.Median(ours)
	memory = float64(ourRSS) / float64(theirRSS)
	b.Say(name, "%.2f of DuckDB's rows/s, %.2f of its memory; %d cells are the same", ratio, memory, cells)
	bare, err := decompress(d, c.columns, l.codec)
	if err != nil {
		return 0, err
	}
	b.Say(name, "files %d MB; %v, %.1f M rows/s", d.bytes()/1e6, bare, rows/bare.seconds)
	if l.codec == "zstd" {
		if err := b.shares(ctx, name, t); err != nil {
			return 0, err
		}
	}
	if c.judged {
		b.AtLeast(strings.ReplaceAll(c.name+"_"+l.String(), "-", "_"), ratio, 1)
	}
	return memory, nil
}

// listed writes seconds with spaces between.
func listed(seconds []float64) string {
	out := make([]string, len(seconds))
	for i, s := range seconds {
		out[i] = fmt.Sprintf("%.2f", s)
	}
	return strings.Join(out, " ")
}
