package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features"
)

// The layouts that DuckDB is compared on.
var layouts = []layout{{codec: "snappy"}, {codec: "zstd"}, {text: true, codec: "snappy"}, {text: true, codec: "zstd"}}

// against measures task a or b against the peer, on the same files: an untimed pass of each side, in which the peer's ways are tried, then runs
// in turn, each in a process of its own. Every run's answers are compared.
func (b *bench) against(ctx context.Context, part string) error {
	sets, err := b.make(ctx, sparseShape(b.events, b.days), layouts...)
	if err != nil {
		return err
	}
	views := oneView(time.Duration(b.days) * dayLong)
	if part == "b" {
		views = sixViews(windowsOf(b.days))
	}
	worst := 0.0
	for i, d := range sets {
		memory, err := b.duel(ctx, part, layouts[i], d.last(b.days), views)
		if err != nil {
			return err
		}
		worst = max(worst, memory)
	}
	// The dense shape is here for its answers, and for the figure.
	dense, err := b.make(ctx, denseShape(b.events, b.days), layout{codec: "zstd"})
	if err != nil {
		return err
	}
	if _, err := b.duel(ctx, part+"-dense", layout{codec: "zstd"}, dense[0].last(b.days), views); err != nil {
		return err
	}
	b.atMost("memory_"+part, worst, 0.5)
	return nil
}

// duel runs both sides over one data set, and returns the ratio of their peak memory, ours to the peer's.
func (b *bench) duel(ctx context.Context, part string, l layout, d *dataset, views []features.View) (memory float64, err error) {
	name := part + " " + l.String()
	if err := d.warm(); err != nil {
		return 0, err
	}
	folder, err := os.MkdirTemp(b.dir, "answer-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(folder)
	spill := filepath.Join(folder, "spill")

	var best query
	quickest := 0.0
	var tried []string
	for _, q := range queries(views) {
		f, err := b.peer.build(ctx, q, views, d, spill, "")
		if err != nil {
			return 0, err
		}
		tried = append(tried, fmt.Sprintf("%v: %.2f s", q, f.total()))
		if quickest == 0 || f.total() < quickest {
			best, quickest = q, f.total()
		}
	}
	if len(tried) > 1 {
		b.say(name, "DuckDB's ways: %s", strings.Join(tried, "; "))
	}
	mine := task{Kind: "build", Data: d, Views: views}
	if _, err := delegate(ctx, mine); err != nil {
		return 0, err
	}
	mine.Answer = folder
	var ours, theirs, ourCPU, theirCPU []float64
	var ourRSS, theirRSS, cells int64
	for range b.repeats {
		f, err := b.peer.build(ctx, best, views, d, spill, folder)
		if err != nil {
			return 0, err
		}
		m, err := delegate(ctx, mine)
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
		s := median(seconds)
		b.say(name, "%-7s %6.2f s (%s), %5.2f M rows/s, %4.0f MB/s of files; %5.2f s of processor time, %5.2f M rows a second of it; %5.0f MB at the peak",
			who, s, listed(seconds), rows/s, float64(d.bytes())/1e6/s, median(cpu), rows/median(cpu), float64(rss)/1e6)
	}
	line("DuckDB", theirs, theirCPU, theirRSS)
	line("rapport", ours, ourCPU, ourRSS)
	ratio := median(theirs) / median(ours)
	memory = float64(ourRSS) / float64(theirRSS)
	b.say(name, "%.2f of DuckDB's rows/s, %.2f of its memory; %d cells are the same", ratio, memory, cells)
	if part == "a" || part == "b" {
		b.atLeast(strings.ReplaceAll(part+"_"+l.String(), "-", "_"), ratio, 1)
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
