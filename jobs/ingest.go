package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// consent is what the consent source says now.
type consent struct {
	records []policy.Record
	key     string // of the snapshot; "" if the job has no source
	at      time.Time
	facts   consentFacts
}

// consentFacts are the facts of a consent snapshot.
type consentFacts struct {
	event.ConsentFacts
	Hold *policy.Hold `json:"hold,omitempty"`
}

// readConsent returns the consent records: from the snapshot of the source's files, which is made if they are new. A new snapshot that
// would deny more than the allowed share of subjects is held: the one before stays in force, with the new one's explicit withdrawals.
func (w *work) readConsent(ctx context.Context, p *plan) (*consent, error) {
	src := w.job.Consent
	if src == nil {
		return &consent{}, nil
	}
	spec := struct{ Columns map[string]string }{src.Columns}
	prefix := specPrefix("consent", "snapshot", logicSnapshot, spec)
	last, err := w.lastCommit(ctx, prefix)
	if err != nil {
		return nil, err
	}
	if w.Keys.IsZero() {
		if last == nil {
			return nil, fmt.Errorf("consent: no snapshot has been taken, and without the pseudonym key none can be: run --step ingest with it first")
		}
		return w.loadConsent(ctx, last)
	}
	var objs []storage.Info
	for info, err := range storage.Glob(ctx, src.Bucket, src.Path) {
		if err != nil {
			return nil, fmt.Errorf("consent: list %s: %w", src.Path, err)
		}
		objs = append(objs, info)
	}
	key := stepKey("consent", "snapshot", logicSnapshot, spec, event.Fingerprint(objs))
	if c, _, err := w.tables.Lookup(ctx, key); err == nil {
		return w.loadConsent(ctx, c)
	} else if !errors.Is(err, storage.ErrNotFound) {
		return nil, err
	}
	if !w.dry {
		w.report("consent", 0, 0, "")
	}
	read, err := event.ReadConsent(ctx, *src, p.ids, p.sup)
	if err != nil {
		return nil, err
	}
	out := &consent{records: read.Records, key: key, at: w.now, facts: consentFacts{ConsentFacts: read.Facts}}
	if last != nil {
		before, err := w.loadConsent(ctx, last)
		if err != nil {
			return nil, err
		}
		hold := policy.HoldsImport(policy.Decide(w.job.Training, w.now, before.records, nil), policy.Decide(w.job.Training, w.now, out.records, nil))
		if hold.Held {
			before.records = append(slices.Clone(before.records), policy.Withdrawals(out.records)...)
			w.res.Flags = append(w.res.Flags, "consent: "+hold.String())
			w.Log.Warn("consent import held", "lost", hold.Lost, "before", hold.Before)
			return before, nil
		}
		out.facts.Hold = &hold
	}
	if w.dry {
		return out, nil
	}
	_, err = w.do(ctx, step{name: "consent", label: "snapshot", key: key, iv: w.iv}, func(ctx context.Context) (result, error) {
		m, err := event.StoreConsent(ctx, w.Bucket, dataPrefix(key, "records"), out.records)
		if err != nil {
			return result{}, err
		}
		if err := p.ids.Flush(ctx); err != nil {
			return result{}, err
		}
		return result{outputs: map[string]table.Manifest{"records": m}, facts: out.facts, rowsIn: read.Facts.Rows, rows: m.Rows}, nil
	})
	return out, err
}

func (w *work) loadConsent(ctx context.Context, c *table.Commit) (*consent, error) {
	records, err := event.LoadConsent(ctx, w.Bucket, c.Outputs["records"])
	if err != nil {
		return nil, err
	}
	facts, err := factsOf[consentFacts](c)
	return &consent{records: records, key: c.Key, at: c.At, facts: facts}, err
}

// lastCommit returns the commit under prefix that was made last, or nil.
func (w *work) lastCommit(ctx context.Context, prefix string) (*table.Commit, error) {
	var best *table.Commit
	for c, err := range w.tables.List(ctx, prefix) {
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", prefix, err)
		}
		if best == nil || c.At.After(best.At) {
			best = c
		}
	}
	return best, nil
}

// snapshots fixes the data sets beside the events.
func (w *work) snapshots(ctx context.Context) error {
	for _, s := range []*snapshot{w.plan.items, w.plan.subjects, w.plan.cohorts} {
		if s == nil {
			continue
		}
		_, err := w.do(ctx, s.step, func(ctx context.Context) (result, error) {
			if w.Keys.IsZero() {
				return result{}, errNoKeys
			}
			w.report(s.set, 0, 0, "")
			a, err := event.ReadAttributes(ctx, s.plan)
			if err != nil {
				return result{}, err
			}
			o := table.WriteOptions{SortBy: []string{s.plan.Key}}
			if s.plan.Key == event.ColSubject {
				o.Shards, o.ShardBy = w.job.Shards, event.ColSubject
			}
			t := table.NewWriter(w.Bucket, dataPrefix(s.key, "rows"), a.Batch.Schema, o)
			if err := t.Append(&a.Batch); err != nil {
				return result{}, err
			}
			m, err := t.Finish(ctx)
			if err != nil {
				return result{}, err
			}
			if err := w.plan.ids.Flush(ctx); err != nil {
				return result{}, err
			}
			return result{outputs: map[string]table.Manifest{"rows": m}, facts: a.Facts, rowsIn: a.Facts.Rows, rows: m.Rows, bytesRead: s.bytes}, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// worthwhile is the number of rows of a day of which at least one must be kept: a day without any is then a fault of policy or of the
// source, and must not be committed as empty.
const worthwhile = 100

// ingest brings the days of the run's history to be done, in order, and reads what was done before. New subjects are written to the
// identity table before the day that uses their numbers.
func (w *work) ingest(ctx context.Context) error {
	p := w.plan
	var todo int64
	for _, d := range p.days {
		if !d.done {
			todo++
		}
	}
	var n int64
	commits := make([]*table.Commit, len(p.days))
	for i, d := range p.days {
		if d.done {
			continue
		}
		w.Progressed("ingest", d.label, n, todo, "days")
		n++
		c, err := w.do(ctx, d.step, func(ctx context.Context) (result, error) { return w.ingestDay(ctx, d) })
		if err != nil {
			return err
		}
		commits[i] = c
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for i, d := range p.days {
		if commits[i] == nil {
			g.Go(func() (err error) {
				commits[i], _, err = w.tables.Lookup(gctx, d.key)
				return err
			})
		}
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("read what was ingested: %w", err)
	}
	w.skipped(p.days)
	p.committed = p.committed[:0]
	funnel := policy.Funnel{}
	for i, d := range p.days {
		p.committed = append(p.committed, day{iv: d.unit, key: d.key, manifest: commits[i].Outputs["events"]})
		if d.unit.Start.Before(w.iv.End) && w.iv.Start.Before(d.unit.End) {
			f, err := factsOf[event.IngestFacts](commits[i])
			if err != nil {
				return err
			}
			funnel.Merge(f.Funnel)
		}
	}
	w.res.setFunnel(funnel)
	return nil
}

func (w *work) ingestDay(ctx context.Context, d plannedDay) (result, error) {
	p := w.plan
	if p.files == nil {
		return result{}, errNoKeys
	}
	out := w.job.Events.NewWriter(w.Bucket, dataPrefix(d.key, "events"), w.job.Training, w.job.Shards)
	facts, err := event.Ingest(ctx, event.IngestPlan{
		Files: p.files, Day: d.unit, Decisions: p.trainingDecisions, Identities: p.ids, Suppressions: p.sup, Out: out,
	})
	if err != nil {
		return result{}, err
	}
	if facts.Kept == 0 && facts.Rows >= worthwhile {
		err := fmt.Errorf("%w: none of the day's rows was kept (%s): %s", ErrNoData, facts.Funnel.Suppressed(smallCell), facts.Funnel.Remedy())
		if len(facts.BadRows) > 0 {
			bad := facts.BadRows[0]
			err = fmt.Errorf("%w (the first: %s, row %d, column %s)", err, bad.File, bad.Row, bad.Column)
		}
		return result{}, err
	}
	m, err := out.Finish(ctx)
	if err != nil {
		return result{}, err
	}
	if err := p.ids.Flush(ctx); err != nil {
		return result{}, err
	}
	return result{outputs: map[string]table.Manifest{"events": m}, facts: facts, rowsIn: facts.Rows, rows: m.Rows, bytesRead: facts.Bytes}, nil
}

// smallCell is the count under which a number of people or rows is not printed.
const smallCell = 11

// checkVolume fails a run whose interval holds no event, or less than the floor's share of the trailing median: an upstream break or a
// consent feed that lost its rows looks like that, and must not become a model.
func (w *work) checkVolume() error {
	count := func(iv table.Interval) (n int64) {
		for _, d := range w.plan.committed {
			if !d.iv.Start.Before(iv.Start) && !iv.End.Before(d.iv.End) {
				n += d.manifest.Rows
			}
		}
		return n
	}
	now := count(w.iv)
	if now == 0 {
		return fmt.Errorf("%w in %s: %s", ErrNoData, w.iv, w.res.emptyHint())
	}
	var before []int64
	every := w.job.Every
	for iv := every.At(w.iv.Start); len(before) < trailing && !iv.Start.Before(w.job.history(w.iv).Start); iv = every.At(iv.Start) {
		if n := count(iv); n > 0 {
			before = append(before, n)
		}
	}
	if len(before) < fewest {
		return nil
	}
	slices.Sort(before)
	median := before[len(before)/2]
	if float64(now) < w.job.Floor*float64(median) {
		return fmt.Errorf("%w: %s holds %d usable events, under %.0f %% of the median of the %d intervals before (%d): look at the funnel and at the source; min_volume in the job sets the share",
			errLowVolume, w.iv, now, 100*w.job.Floor, len(before), median)
	}
	return nil
}

// The trailing median is over at most trailing intervals with events, and is not judged on fewer than fewest.
const (
	trailing = 8
	fewest   = 4
)

var errLowVolume = errors.New("too few usable events")
