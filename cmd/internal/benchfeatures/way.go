package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/local"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// way measures the whole way from raw files with user ids in text: the consent of each subject is looked up, ids become pseudonyms, days become
// tables, and views are built of these. The peer joins the same consent records with the same files and aggregates; it neither pseudonymizes nor
// keeps days. Answers are compared by the ids behind our pseudonyms.
func (b *bench) way(ctx context.Context) error {
	s := sparseShape(b.events, b.days)
	sets, err := b.make(ctx, s, layout{text: true, codec: "zstd"})
	if err != nil {
		return err
	}
	d := sets[0].last(b.days)
	folder, err := os.MkdirTemp(b.dir, "way-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if err := writeConsent(ctx, filepath.Join(folder, "consent"), s); err != nil {
		return err
	}
	if err := d.warm(); err != nil {
		return err
	}
	views := sixViews(windowsOf(b.days))
	consent := filepath.Join(folder, "consent", "*.parquet")
	var theirs peerFacts
	var way query
	for _, q := range []query{{files: true, consent: consent}, {files: true, consent: consent, joined: true}} {
		f, err := b.peer.build(ctx, q, views, d, filepath.Join(folder, "spill"), folder)
		if err != nil {
			return err
		}
		if theirs.RSS == 0 || f.total() < theirs.total() {
			theirs, way = f, q
		}
	}
	m, err := delegate(ctx, task{Kind: "way", Data: d, Views: views, Answer: folder, Folder: folder, Subjects: s.subjects})
	if err != nil {
		return err
	}
	rows := float64(d.events()) / 1e6
	b.Say("way", "DuckDB  %6.2f s, %5.2f M rows/s, %5.0f MB at the peak (%v)", theirs.total(), rows/theirs.total(), float64(theirs.RSS)/1e6, way)
	b.Say("way", "rapport %6.2f s, %5.2f M rows/s, %5.0f MB at the peak: %.2f s consent, %.2f s ingest (pseudonyms, decisions, a table a day written and read back: %.2f M rows/s), %.2f s views of %d rows that count",
		m.Seconds, rows/m.Seconds, float64(m.RSS)/1e6, m.Parts["consent"], m.Parts["ingest"], rows/m.Parts["ingest"], m.Parts["views"], m.Rows)
	b.Say("way", "%.2f of DuckDB's rows/s; %d cells are the same", theirs.total()/m.Seconds, m.Checked)
	return nil
}

// Of twenty subjects one has no record of consent, one refused, one consented on day 30, and all others before the first day.
func writeConsent(ctx context.Context, folder string, s shape) error {
	b := &table.Batch{
		Schema: table.Schema{{Name: "subject", Type: table.String}, {Name: "purpose", Type: table.String}, {Name: "state", Type: table.String}, {Name: "effective_at", Type: table.Time}},
		Cols:   make([]table.Column, 4),
	}
	for i := range s.subjects {
		state, at := policy.ConsentGiven, epoch.AddDate(0, 0, -30)
		switch mix(uint64(i)^0xc0) % 20 {
		case 0:
			continue
		case 1:
			state = policy.ConsentRefused
		case 2:
			at = epoch.AddDate(0, 0, 30)
		}
		b.N++
		b.Cols[0].Str = append(b.Cols[0].Str, subjectText(int32(i)))
		b.Cols[1].Str = append(b.Cols[1].Str, "recommend")
		b.Cols[2].Str = append(b.Cols[2].Str, string(state))
		b.Cols[3].Int = append(b.Cols[3].Int, table.Micros(at))
	}
	_, err := store(ctx, folder, b, layout{codec: "zstd"})
	return err
}

// runWay goes the whole way, into buckets below the task's folder.
func runWay(ctx context.Context, t task) (m measured, err error) {
	raw, err := storage.Open(ctx, "file:"+t.Data.Dir, storage.Options{})
	if err != nil {
		return m, err
	}
	records, err := storage.Open(ctx, "file:"+t.Folder, storage.Options{})
	if err != nil {
		return m, err
	}
	lake, err := storage.Open(ctx, "file:"+filepath.Join(t.Folder, "lake"), storage.Options{})
	if err != nil {
		return m, err
	}
	keys, err := event.NewKeys("k1", bytes.Repeat([]byte{7}, 32))
	if err != nil {
		return m, err
	}
	m.Parts = map[string]float64{}
	clock := benchmark.Start()
	lap := func(name string, began time.Time) { m.Parts[name] = time.Since(began).Seconds() }

	began := time.Now()
	people, err := event.OpenIdentities(ctx, lake, keys)
	if err != nil {
		return m, err
	}
	consent, err := event.ReadConsent(ctx, event.DataSet{Bucket: records, Path: "consent/*.parquet"}, people, nil)
	if err != nil {
		return m, err
	}
	purpose := policy.Purpose{Name: "recommend", Says: "Suggest things.", Basis: policy.Consent, Reads: map[string][]string{"events": {"kind", "value"}}}
	decided, err := consent.Records.Decide(nil, nil, t.Data.end(), nil, purpose)
	if err != nil {
		return m, err
	}
	decisions := decided[0]
	lap("consent", began)

	began = time.Now()
	source := event.Source{Bucket: raw, Path: "dt={date}/*.parquet", Subject: "subject", Item: "item", Time: "time", Kind: "kind", Value: "value"}
	files, err := source.Listing(ctx)
	if err != nil {
		return m, err
	}
	ingested := *t.Data
	ingested.Days = make([]table.Manifest, len(t.Data.Days))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range ingested.Days {
		g.Go(func() error {
			out := source.NewWriter(lake, "events", purpose, 4)
			if _, err := event.Ingest(gctx, event.IngestPlan{Files: files, Day: t.Data.day(i), Decisions: decisions, Identities: people, Out: out}); err != nil {
				return err
			}
			var err error
			ingested.Days[i], err = out.Finish(gctx)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return m, err
	}
	if err := people.Flush(ctx); err != nil {
		return m, err
	}
	lap("ingest", began)

	began = time.Now()
	ingested.Dir = filepath.Join(t.Folder, "lake")
	events, err := ingested.source(ctx)
	if err != nil {
		return m, err
	}
	rows := newAnswer()
	m.Stats, err = local.Engine{}.Build(ctx, features.Plan{
		Views: t.Views, Interval: table.Interval{Start: t.Data.end().Add(-dayLong), End: t.Data.end()}, Schema: source.Schema(purpose), Events: events, Out: rows.keep,
	})
	if err != nil {
		return m, err
	}
	lap("views", began)
	m.Measured = clock.Stop()
	m.Rows = m.Stats.RowsIn
	if err := rows.unmask(t, people); err != nil {
		return m, err
	}
	m.Checked, err = rows.compare(ctx, t.Views, schema(true, false), t.Answer)
	return m, err
}

// unmask puts the raw ids in place of subject numbers, as the peer has them.
func (a *answer) unmask(t task, people *event.Identities) error {
	names := map[int64]string{}
	for i := range t.Subjects {
		name := subjectText(int32(i))
		if n, ok := people.Find(name); ok {
			names[int64(n)] = name
		}
	}
	for _, v := range t.Views {
		if v.Key != features.KeySubject {
			continue
		}
		for _, b := range a.batches[v.Name] {
			c := &b.Cols[0]
			c.Str = make([]string, b.N)
			for j, n := range c.Int {
				if c.Str[j] = names[n]; c.Str[j] == "" {
					return fmt.Errorf("view %q has a row of a subject that nobody is", v.Name)
				}
			}
			c.Int = nil
		}
	}
	return nil
}
