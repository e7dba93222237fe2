package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
	"github.com/rapport-ml/rapport/cmd/internal/benchpeers/peers"
	"github.com/rapport-ml/rapport/configs"
	"github.com/rapport-ml/rapport/features/local"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/models"
)

// protocols measures a job's model on what it has ingested.
func protocols(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("quality protocols", flag.ContinueOnError)
	which := flags.String("protocol", "temporal,last,strong", "which, with commas")
	kinds := flags.String("kind", "", "kinds of events that count, with commas; empty: all")
	days := flags.Int("window", 0, "days of events, if not the job's window")
	fresh := flags.Bool("new", false, "temporal: without items that the subject had before, also where the job's lists keep them")
	withPeers := flags.Bool("peers", false, "also implicit's ALS and BPR and LightFM's WARP; made in the user's cache if they are missing")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 2 {
		return errors.New("quality protocols: want a project file and a job")
	}
	names := strings.Split(*which, ",")
	for _, name := range names {
		if !slices.Contains([]string{"temporal", "last", "strong"}, name) {
			return fmt.Errorf("-protocol %s: want temporal, last or strong", name)
		}
	}
	d, job, err := ingested(ctx, flags.Arg(0), flags.Arg(1), *days)
	if err != nil {
		return err
	}
	d = of(d, strings.FieldsFunc(*kinds, func(r rune) bool { return r == ',' }))
	var env *peers.Env
	if *withPeers {
		cache, err := os.UserCacheDir()
		if err != nil {
			return err
		}
		if env, err = peers.Open(ctx, filepath.Join(cache, "rapport"), "", os.Stderr); err != nil {
			return err
		}
	}
	for _, name := range names {
		var t *task
		switch name {
		case "temporal":
			t, err = temporal(d, d.MaskSeen || *fresh)
		case "last":
			t, err = last(d)
		default:
			t, err = strong(d, job.Model.Seed)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		learned := t.train.Training(t.train.Cuts.Test)
		fmt.Fprintf(out, "%s: %d questions; learned from %d events of %d subjects, %d items that somebody had\n\n",
			name, len(t.questions), learned.Len(), len(learned.Subjects), len(t.questions[0].query.Candidates))
		rows, err := t.measure(ctx, job.Model.Name, job.Model.Trainer, job.Model.Seed, env)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		t.print(out, rows)
	}
	return nil
}

// ingested reads a job's training set as of now.
func ingested(ctx context.Context, file, name string, days int) (*models.Dataset, *jobs.Job, error) {
	p, err := configs.Load(file)
	if err != nil {
		return nil, nil, err
	}
	o, err := p.Open(ctx, os.Getenv, true)
	if err != nil {
		return nil, nil, err
	}
	defer o.Close()
	now := time.Now
	if o.Pinned() {
		now = func() time.Time { return p.Clock.Fixed }
	}
	r := &jobs.Runner{
		Bucket: o.Bucket, Online: o.Online, Engine: local.Engine{}, Loaders: configs.Loaders, Keys: o.Keys, Previous: o.Previous,
		Now: now, Wall: time.Now, Pinned: o.Pinned(), NewID: func(time.Time) string { return ulid.Make().String() },
	}
	j, err := o.Job(name)
	if err != nil {
		return nil, nil, err
	}
	job := *j
	if days > 0 {
		job.Window = time.Duration(days) * 24 * time.Hour
	}
	d, err := r.TrainingSet(ctx, &job, job.Every.At(now()))
	return d, &job, err
}

// result is a contender's figures: by metric, by question.
type result struct {
	name   string
	values [][]float64
}

// measure trains the model and the peers and judges them, and the parts of the model.
func (t *task) measure(ctx context.Context, name string, trainer models.Trainer, seed uint64, env *peers.Env) ([]result, error) {
	m, err := trainer.Train(ctx, t.train, t.train.Cuts.Test, seed)
	if err != nil {
		return nil, err
	}
	columns := t.train.SubjectColumns()
	whole, err := m.Bind(ctx, t.train.Catalog, columns)
	if err != nil {
		return nil, err
	}
	var rows []result
	add := func(name string, s models.Scorer) error {
		r, err := t.judge(ctx, name, s)
		rows = append(rows, r)
		return err
	}
	if err := add(name, whole); err != nil {
		return nil, err
	}
	if c, ok := m.(models.Composite); ok {
		parts, err := c.BindParts(ctx, t.train.Catalog, columns)
		if err != nil {
			return nil, err
		}
		for _, p := range parts {
			if err := add(fmt.Sprintf("part %s (weight %.2f)", p.Name, p.Weight), p.Scorer); err != nil {
				return nil, err
			}
		}
	}
	if env == nil || t.questions[0].row < 0 {
		return rows, nil
	}
	theirs, err := t.peers(ctx, env, uint32(seed))
	return append(rows, theirs...), err
}

// judge ranks every question.
func (t *task) judge(ctx context.Context, name string, s models.Scorer) (result, error) {
	queries := make([]models.Query, len(t.questions))
	for i := range queries {
		queries[i] = t.questions[i].query
	}
	var lists models.Ranking
	if err := models.Rank(ctx, s, t.train.Catalog.Len(), queries, &lists); err != nil {
		return result{}, fmt.Errorf("%s: %w", name, err)
	}
	r := result{name: name, values: make([][]float64, len(t.metrics))}
	for i := range queries {
		list, _ := lists.Query(i)
		for m, metric := range t.metrics {
			r.values[m] = append(r.values[m], metric.of(list, t.questions[i].relevant))
		}
	}
	return r, nil
}

// of is the metric of one list.
func (m metric) of(list, relevant []int32) float64 {
	if m.ndcg {
		return models.NDCG(list, relevant, m.k)
	}
	hits := 0
	for _, item := range list[:min(m.k, len(list))] {
		if _, hit := slices.BinarySearch(relevant, item); hit {
			hits++
		}
	}
	return float64(hits) / float64(min(m.k, len(relevant)))
}

// peers trains the peers on the pairs that are learned from.
func (t *task) peers(ctx context.Context, env *peers.Env, seed uint32) ([]result, error) {
	log := t.train.Training(t.train.Cuts.Test)
	m := &peers.Matrix{Items: t.train.Catalog.Len(), Off: []int64{0}}
	for s := range log.Subjects {
		m.Col = append(m.Col, models.Distinct(log.Subject(s).Item)...)
		m.Off = append(m.Off, int64(len(m.Col)))
	}
	dir, err := os.MkdirTemp("", "rapport-quality-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "matrix")
	if err := m.WriteFile(path); err != nil {
		return nil, err
	}
	const d = 64
	var rows []result
	for _, f := range []peers.Fit{
		{Kind: peers.Cholesky, Iterations: 15, Weight: 0.1, Regularization: 5, InitSD: 0.1 / math.Sqrt(d)},
		{Kind: peers.BPR, Iterations: 100},
		{Kind: peers.WARP, Iterations: 30},
	} {
		if f.Kind == peers.WARP && env.Facts.LightFM == "" {
			rows = append(rows, result{name: f.Kind + ": " + env.NoLightFM})
			continue
		}
		f.Factors, f.Seed = d, seed
		v, err := env.Train(ctx, path, m, f)
		if err != nil {
			return nil, err
		}
		r, err := t.judge(ctx, f.Kind, newVectors(t, v))
		if err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// vectors scores by products. A query is known by where its history begins, which is a view of the training set.
type vectors struct {
	v   *peers.Vectors
	row map[*int32]int
}

func newVectors(t *task, v *peers.Vectors) *vectors {
	x := &vectors{v, map[*int32]int{}}
	for i := range t.questions {
		q := &t.questions[i]
		x.row[&q.query.History.Item[0]] = q.row
	}
	return x
}

func (x *vectors) Score(ctx context.Context, q []models.Query, dst []float32) error {
	d := x.v.Width
	n := len(x.v.Items) / d
	for k := range q {
		if err := ctx.Err(); err != nil {
			return err
		}
		u := x.v.Users[x.row[&q[k].History.Item[0]]*d:][:d]
		for i := range n {
			var sum float32
			for j, w := range x.v.Items[i*d:][:d] {
				sum += w * u[j]
			}
			dst[k*n+i] = sum
		}
	}
	return nil
}

// print writes the table: each figure, and its difference to the first row with half of the 95 % interval, over questions.
func (t *task) print(out io.Writer, rows []result) {
	fmt.Fprint(out, "| recommender |")
	for _, m := range t.metrics {
		fmt.Fprintf(out, " %s |", m.name)
	}
	fmt.Fprintf(out, " %s minus the first |\n|---|%s\n", t.metrics[0].name, strings.Repeat("---|", len(t.metrics)+1))
	for i, r := range rows {
		fmt.Fprintf(out, "| %s |", r.name)
		if r.values == nil {
			fmt.Fprintln(out, strings.Repeat(" – |", len(t.metrics)+1))
			continue
		}
		for m := range t.metrics {
			mean, _ := benchmark.Paired(r.values[m], nil)
			fmt.Fprintf(out, " %.4f |", mean)
		}
		if i == 0 {
			fmt.Fprintln(out, " |")
			continue
		}
		mean, half := benchmark.Paired(r.values[0], rows[0].values[0])
		fmt.Fprintf(out, " %+.4f ± %.4f |\n", mean, half)
	}
	fmt.Fprintln(out)
}
