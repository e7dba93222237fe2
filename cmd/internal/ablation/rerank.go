package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
	"github.com/rapport-ml/rapport/cmd/internal/synth"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/rerank"
)

// corrected is a re-ranker whose network sees less than all. It is judged whether it would ship or not.
type corrected struct {
	name  string
	t     rerank.Trainer
	sees  func(feature string) bool // nil: all
	blind bool                      // no impressions are known to it
}

// variants are the re-ranker and what is left of it without some of what it sees.
func variants(shown bool) []corrected {
	full := rerank.Defaults()
	plain := full
	plain.Context = false
	without := func(prefix string) func(string) bool {
		return func(name string) bool { return !strings.HasPrefix(name, prefix) }
	}
	just := func(names ...string) func(string) bool {
		return func(name string) bool { return slices.Contains(names, name) }
	}
	all := []corrected{
		{name: "re-ranked", t: rerank.Trainer{Hyper: full}},
		{name: "without context", t: rerank.Trainer{Hyper: plain}},
		{name: "without recent intent", t: rerank.Trainer{Hyper: full}, sees: without("recent.")},
		{name: "bias columns alone: popularity, trend, context", t: rerank.Trainer{Hyper: full}, sees: just("popularity", "trend")},
		{name: "places alone: the blend's score and rank", t: rerank.Trainer{Hyper: plain}, sees: just("blend", "blend.rank", "blend.share")},
	}
	if shown {
		return []corrected{
			all[0],
			{name: "without impressions", t: rerank.Trainer{Hyper: full}, blind: true},
		}
	}
	return all
}

// verdict is what the validation window said of a variant.
type verdict struct {
	ships, of      int
	gain, low, top float64 // sums over data sets
}

// reranking measures the variants on data sets, the blend being the first contender.
type reranking struct {
	variants []corrected
	figures  figures // of the blend, then of each variant
	shown    figures // the same among what was shown, in worlds with impressions
	verdicts []verdict
}

func newReranking(shown bool) *reranking {
	v := variants(shown)
	return &reranking{v, make(figures, 1+len(v)), make(figures, 1+len(v)), make([]verdict, len(v))}
}

// measure trains and judges all of them on one data set. The parts are trained once.
func (r *reranking) measure(ctx context.Context, d *models.Dataset) error {
	b := usualBlend()
	for i, p := range b.Parts {
		b.Parts[i] = &remembered{Trainer: p, of: map[models.Cuts]map[int64]models.Model{}}
	}
	t := newTask(d, false)
	chosen := t.amongShown(d)
	judge := func(to int, m models.Model) error {
		s, err := m.Bind(ctx, d.Catalog, d.SubjectColumns())
		if err != nil {
			return err
		}
		of, err := t.judge(ctx, s)
		if err != nil {
			return err
		}
		among, err := chosen.judge(ctx, s)
		r.figures[to], r.shown[to] = append(r.figures[to], of...), append(r.shown[to], among...)
		return err
	}
	plain, err := b.Train(ctx, d, d.Cuts.Test, 1)
	if err != nil {
		return err
	}
	if err := judge(0, plain); err != nil {
		return err
	}
	for i, v := range r.variants {
		trainer, known := v.t, *d
		trainer.Blend, trainer.Sees, trainer.Always = *b, v.sees, true
		if v.blind {
			known.Shown = models.EventLog{}
		}
		m, err := trainer.Train(ctx, &known, d.Cuts.Test, 1)
		if err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
		if err := judge(1+i, m); err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
		diff, to := m.(*rerank.Model).Record().Judged.Difference, &r.verdicts[i]
		if to.of++; diff.Low > 0 {
			to.ships++
		}
		to.gain, to.low, to.top = to.gain+diff.Value, to.low+diff.Low, to.top+diff.High
	}
	return nil
}

// remembered trains a part once for each window.
type remembered struct {
	models.Trainer
	of map[models.Cuts]map[int64]models.Model
}

func (r *remembered) Train(ctx context.Context, d *models.Dataset, until int64, seed uint64) (models.Model, error) {
	if m := r.of[d.Cuts][until]; m != nil {
		return m, nil
	}
	m, err := r.Trainer.Train(ctx, d, until, seed)
	if err != nil {
		return nil, err
	}
	if r.of[d.Cuts] == nil {
		r.of[d.Cuts] = map[int64]models.Model{}
	}
	r.of[d.Cuts][until] = m
	return m, nil
}

// write prints the table of the variants, with a second figure of the test in worlds with impressions.
func (r *reranking) write(out io.Writer) {
	tasks := []struct {
		name string
		of   figures
	}{{"test", r.figures}, {"test, among what was shown", r.shown}}
	if len(r.shown[0]) == 0 {
		tasks = tasks[:1]
	}
	fmt.Fprintf(out, "| nDCG@%d | validation, minus the blend | would ship |", k)
	for _, t := range tasks {
		fmt.Fprintf(out, " %s (n = %d) | minus the blend |", t.name, len(t.of[0]))
	}
	fmt.Fprintf(out, "\n|---|---|---|%s\n| the blend | | |", strings.Repeat("---|---|", len(tasks)))
	for _, t := range tasks {
		mean, _ := benchmark.Paired(t.of[0], nil)
		fmt.Fprintf(out, " %.4f | |", mean)
	}
	for i, v := range r.variants {
		w := r.verdicts[i]
		n := float64(w.of)
		fmt.Fprintf(out, "\n| %s | %+.4f (%+.4f to %+.4f) | %d of %d |", v.name, w.gain/n, w.low/n, w.top/n, w.ships, w.of)
		for _, t := range tasks {
			mean, _ := benchmark.Paired(t.of[1+i], nil)
			diff, half := benchmark.Paired(t.of[1+i], t.of[0])
			fmt.Fprintf(out, " %.4f | %+.4f ± %.4f |", mean, diff, half)
		}
	}
	fmt.Fprintln(out)
}

func rerankWorlds(ctx context.Context, size synth.World, seeds int, out io.Writer) error {
	r := newReranking(size.Shown)
	for seed := range seeds {
		size.Seed = uint64(seed) + 1
		d, err := synthetic(ctx, size)
		if err != nil {
			return err
		}
		if err := r.measure(ctx, d); err != nil {
			return err
		}
	}
	r.write(out)
	return nil
}

func rerankJourneys(ctx context.Context, dir string, weeks int, out io.Writer) error {
	sales, err := readJourney(ctx, dir)
	if err != nil {
		return err
	}
	r := newReranking(false)
	for w := range weeks {
		if err := r.measure(ctx, sales.until(journeyEnd.Add(-time.Duration(weeks-1-w)*7*24*time.Hour))); err != nil {
			return fmt.Errorf("week %d of %d: %w", w+1, weeks, err)
		}
	}
	r.write(out)
	return nil
}
