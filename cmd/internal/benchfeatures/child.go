package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"os"
	"runtime/pprof"
	"slices"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
	"github.com/rapport-ml/rapport/cmd/internal/frugal"
	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/local"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// task is what a child process of this program does: one measured piece of work, alone in its process, so that its peak memory is the
// kernel's figure.
type task struct {
	Kind     string          `json:"kind"` // "build", "way", "eve", "night"
	Data     *dataset        `json:"data"`
	Views    []features.View `json:"views"`
	Budget   int64           `json:"budget,omitempty"`
	Drop     bool            `json:"drop,omitempty"`     // of a build: do not keep the rows
	Answer   string          `json:"answer,omitempty"`   // folder of the peer's answer, with which ours is compared
	Profile  string          `json:"profile,omitempty"`  // file that gets a profile of the processor's time
	Folder   string          `json:"folder,omitempty"`   // where a way or a night reads and writes
	Subjects int             `json:"subjects,omitempty"` // of a way: how many there are
	Prior    bool            `json:"prior,omitempty"`    // of a night: go on from the day before
	Write    bool            `json:"write,omitempty"`    // of a night: write what it makes as tables, and not only take it
}

// measured is what one run took. Seconds are of the work alone, without the comparison.
type measured struct {
	benchmark.Measured
	Rows    int64              `json:"rows"`
	Stats   features.Stats     `json:"stats"`
	Parts   map[string]float64 `json:"parts,omitempty"`   // seconds by name
	Digests map[string]string  `json:"digests,omitempty"` // of the rows, by view
	Checked int64              `json:"checked,omitempty"` // cells that were compared with the peer's
}

// work is the child's side: it reads a task from in and writes what it took to out.
func work(ctx context.Context, in io.Reader, out io.Writer) error {
	var t task
	if err := json.NewDecoder(in).Decode(&t); err != nil {
		return fmt.Errorf("task: %w", err)
	}
	kinds := map[string]func(context.Context, task) (measured, error){
		"build": t.profiled(runBuild), "way": runWay, "eve": runEve, "night": t.profiled(runNight),
	}
	run := kinds[t.Kind]
	if run == nil {
		return fmt.Errorf("no task %q", t.Kind)
	}
	frugal.SetUsual() // as the product
	m, err := run(ctx, t)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", t.Kind, t.Data.Name, err)
	}
	return json.NewEncoder(out).Encode(m)
}

// profiled runs f under the profiler, if the task wants it.
func (t task) profiled(f func(context.Context, task) (measured, error)) func(context.Context, task) (measured, error) {
	if t.Profile == "" {
		return f
	}
	return func(ctx context.Context, t task) (measured, error) {
		w, err := os.Create(t.Profile)
		if err != nil {
			return measured{}, err
		}
		if err := pprof.StartCPUProfile(w); err != nil {
			return measured{}, err
		}
		m, err := f(ctx, t)
		pprof.StopCPUProfile()
		if err != nil {
			return m, err
		}
		return m, w.Close()
	}
}

// delegate runs a task in a child process.
func delegate(ctx context.Context, t task) (measured, error) {
	var m measured
	return m, benchmark.Delegate(ctx, t, &m, "-child")
}

// runBuild builds views from all days and keeps their rows in memory, as the peer keeps its tables.
func runBuild(ctx context.Context, t task) (measured, error) {
	var m measured
	views := newAnswer()
	events, err := t.Data.source(ctx)
	if err != nil {
		return m, err
	}
	out := views.keep
	if t.Drop {
		out = drop
	}
	clock := benchmark.Start()
	m.Stats, err = frugal.Engine{Engine: local.Engine{}}.Build(ctx, features.Plan{
		Views: t.Views, Interval: table.Interval{Start: t.Data.end().Add(-dayLong), End: t.Data.end()}, Schema: schema(t.Data.Text, false),
		Events: events, Budget: t.Budget, Out: out,
	})
	m.Measured = clock.Stop()
	if err != nil {
		return m, err
	}
	m.Rows = m.Stats.RowsIn
	if t.Answer != "" {
		m.Checked, err = views.compare(ctx, t.Views, schema(t.Data.Text, false), t.Answer)
	}
	return m, err
}

// source gives the parts of the days as splits, each with its day as its span of time.
func (d *dataset) source(ctx context.Context) (features.Source, error) {
	b, err := storage.Open(ctx, "file:"+d.Dir, storage.Options{})
	if err != nil {
		return nil, err
	}
	return func(_ context.Context, w table.Interval) ([]features.Split, error) {
		var out []features.Split
		for k, m := range d.Days {
			iv := d.day(k)
			if !iv.Overlaps(w) {
				continue
			}
			out = append(out, splits(b, m, iv)...)
		}
		return out, nil
	}, nil
}

// splits is one split a part of a table. times is zero where the rows have none.
func splits(b storage.Bucket, m table.Manifest, times table.Interval) []features.Split {
	var out []features.Split
	for _, p := range m.Parts {
		one := m
		one.Parts = []table.Part{p}
		out = append(out, features.Split{Rows: p.Rows, Bytes: p.Size, Times: times, Read: func(ctx context.Context, columns []string) iter.Seq2[*table.Batch, error] {
			return table.Read(ctx, b, one, table.ReadOptions{Columns: columns, Dictionaries: true})
		}})
	}
	return out
}

// answer is the rows of views.
type answer struct{ batches map[string][]*table.Batch }

func newAnswer() *answer { return &answer{map[string][]*table.Batch{}} }

// keep copies rows, as Plan.Out.
func (a *answer) keep(v features.View, b *table.Batch) error {
	c := &table.Batch{Schema: b.Schema, N: b.N, Cols: make([]table.Column, len(b.Cols))}
	for i, col := range b.Cols {
		c.Cols[i] = table.Column{Int: slices.Clone(col.Int), Float: slices.Clone(col.Float), Str: slices.Clone(col.Str), Valid: slices.Clone(col.Valid)}
	}
	a.batches[v.Name] = append(a.batches[v.Name], c)
	return nil
}
