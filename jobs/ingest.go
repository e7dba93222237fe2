package jobs

import (
	"context"
	"fmt"
	"slices"
	"strings"
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
	newest  time.Time // when the newest of the source's files was written; zero if nobody has looked
	facts   consentFacts
}

// consentFacts are the facts of a consent snapshot.
type consentFacts struct {
	event.ConsentFacts
	Number int          `json:"number"` // of the snapshot: 1, 2, …
	Source string       `json:"source"` // digest of the files and of how they are read
	Hold   *policy.Hold `json:"hold,omitempty"`
}

// readConsent returns the consent records: the last snapshot if the source's files are those that it was made of, else a new one.
//
// Snapshots are numbered, and each stands on the one before: explicit withdrawals and objections are carried over, so that a record which
// is missing from a file means nothing, and an old file that comes back brings nobody back; only a later grant does. A new file that would
// deny more than the allowed share of subjects, by either purpose, is held: its withdrawals are added to the snapshot before, and no more.
func (w *work) readConsent(ctx context.Context, p *plan) (*consent, error) {
	src := w.job.Consent
	if src == nil {
		return &consent{}, nil
	}
	last, err := w.lastConsent(ctx)
	if err != nil {
		return nil, err
	}
	before := &consent{}
	if last != nil {
		if before, err = w.loadConsent(ctx, last); err != nil {
			return nil, err
		}
	}
	if w.Keys.IsZero() {
		if last == nil {
			return nil, fmt.Errorf("consent: no snapshot has been taken, and without the pseudonym key none can be: run --step ingest with it first")
		}
		return before, nil
	}
	var objs []storage.Info
	for info, err := range storage.Glob(ctx, src.Bucket, src.Path) {
		if err != nil {
			return nil, fmt.Errorf("consent: list %s: %w", src.Path, err)
		}
		objs = append(objs, info)
	}
	zone := ""
	if src.Zone != nil {
		zone = src.Zone.String()
	}
	facts := consentFacts{Number: before.facts.Number + 1, Source: hash([]any{event.Fingerprint(objs), src.Columns, zone, src.TimeUnit})}
	before.newest = newestOf(objs)
	if last != nil && before.facts.Source == facts.Source {
		return before, nil
	}
	if !w.dry {
		w.report("consent", 0, 0, "")
	}
	read, err := event.ReadConsent(ctx, *src, p.ids, p.sup)
	if err != nil {
		return nil, err
	}
	facts.ConsentFacts = read.Facts
	out := &consent{records: joinRecords(read.Records, policy.Withdrawals(before.records)), at: w.Wall(), newest: before.newest, facts: facts}
	if last != nil {
		out.facts.Hold = w.judgeImport(before.records, out.records)
		if out.facts.Hold.Held {
			out.records = joinRecords(before.records, policy.Withdrawals(read.Records))
		}
	}
	label := fmt.Sprintf("%08d", facts.Number)
	out.key = stepKey("consent", label, table.Interval{}, logicSnapshot, facts.Source, before.key)
	if w.dry {
		return out, nil
	}
	_, err = w.do(ctx, step{name: "consent", label: label, key: out.key, iv: w.iv}, func(ctx context.Context) (result, error) {
		m, err := event.StoreConsent(ctx, w.Bucket, dataPrefix(out.key, "records"), out.records)
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

// judgeImport compares the decisions of both purposes without and with an import.
func (w *work) judgeImport(before, after []policy.Record) *policy.Hold {
	purposes := []policy.Purpose{w.job.Training}
	if w.job.Evaluation != nil {
		purposes = append(purposes, *w.job.Evaluation)
	}
	var worst policy.Hold
	for i, p := range purposes {
		h := policy.HoldsImport(policy.Decide(p, w.now, before, nil), policy.Decide(p, w.now, after, nil))
		if i == 0 || h.Held && !worst.Held {
			worst = h
		}
	}
	return &worst
}

// joinRecords returns the records of both in policy order, each once.
func joinRecords(a, b []policy.Record) []policy.Record {
	all := slices.Concat(a, b)
	slices.SortFunc(all, policy.Record.Compare)
	return slices.CompactFunc(all, func(x, y policy.Record) bool { return x.Compare(y) == 0 })
}

func (w *work) loadConsent(ctx context.Context, c *table.Commit) (*consent, error) {
	records, err := event.LoadConsent(ctx, w.Bucket, c.Outputs["records"])
	if err != nil {
		return nil, err
	}
	facts, err := factsOf[consentFacts](c)
	return &consent{records: records, key: c.Key, at: c.At, facts: facts}, err
}

// lastConsent returns the newest consent snapshot, or nil. Cost: one listing and one GET.
func (w *work) lastConsent(ctx context.Context) (*table.Commit, error) {
	last, err := w.lastNumbered(ctx, "consent")
	if err != nil {
		return nil, fmt.Errorf("consent: %w", err)
	}
	if last == "" {
		return nil, nil
	}
	c, _, err := w.tables.Lookup(ctx, last)
	return c, err
}

// lastNumbered is the key of the newest of the snapshots of a step that are labelled with ascending numbers; "" if there is none. Cost: one listing.
func (r *Runner) lastNumbered(ctx context.Context, step string) (last string, err error) {
	for info, err := range r.Bucket.List(ctx, "done/"+step+"/", storage.ListOpt{}) {
		if err != nil {
			return "", fmt.Errorf("list snapshots: %w", err)
		}
		last = strings.TrimPrefix(info.Key, "done/")
	}
	return last, nil
}

// snapshots fixes the data sets beside the events.
func (w *work) snapshots(ctx context.Context) error {
	for _, s := range []*snapshot{w.plan.items, w.plan.subjects, w.plan.cohorts} {
		if s == nil {
			continue
		}
		c, err := w.do(ctx, s.step, func(ctx context.Context) (result, error) {
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
			outputs := map[string]table.Manifest{"rows": m}
			if err := w.writePlaces(ctx, s.key, a.Facts.Places, outputs); err != nil {
				return result{}, err
			}
			return result{outputs: outputs, facts: a.Facts, rowsIn: a.Facts.Rows, rows: m.Rows, bytesRead: s.bytes}, nil
		})
		if err != nil {
			return err
		}
		if s.set == "items" {
			if err := w.checkSince(ctx, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkSince refuses items whose attribute fresh.since holds what is no time, before anything is built or trained of them.
func (w *work) checkSince(ctx context.Context, c *table.Commit) error {
	rules := w.job.Model.Lists.Rules
	if rules == nil || rules.Fresh == nil || rules.Fresh.Since == "" {
		return nil
	}
	for b, err := range table.Read(ctx, w.Bucket, c.Outputs["rows"], table.ReadOptions{Columns: []string{rules.Fresh.Since}}) {
		if err != nil {
			return fmt.Errorf("items: %w", err)
		}
		for i, text := range b.Cols[0].Str {
			if b.Cols[0].Null(i) {
				continue
			}
			if _, err := rules.Fresh.Time(text); err != nil {
				return fmt.Errorf("models.%s.lists.%w", w.job.Model.Name, err)
			}
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
	p.committed, p.found = p.committed[:0], readQuality{}
	funnel := policy.Funnel{}
	var noEvents int64 // rows that the source's declaration makes none of
	for i, d := range p.days {
		p.committed = append(p.committed, day{iv: d.unit, key: d.key, manifest: commits[i].Outputs["events"]})
		own := d.unit.Overlaps(w.iv)
		if !own && (d.unit.End.After(w.iv.Start) || w.job.Events.Expect.Schema == nil) {
			continue
		}
		f, err := factsOf[event.IngestFacts](commits[i])
		if err != nil {
			return err
		}
		if p.found.note(commits[i], f, own); own {
			funnel.Merge(f.Funnel)
			noEvents += f.UnknownKinds + f.IgnoredKinds + f.Empty
		}
	}
	w.res.setFunnel(funnel)
	if funnel.Read() == 0 && noEvents > 0 {
		w.res.Remedy = "the interval has rows, and all are of kinds that sources.events.kinds leaves out, or have no element of the list to explode: rapport inspect shows what the files hold"
	}
	return nil
}

func (w *work) ingestDay(ctx context.Context, d plannedDay) (result, error) {
	p := w.plan
	if p.files == nil {
		return result{}, errNoKeys
	}
	out := w.job.Events.NewWriter(w.Bucket, dataPrefix(d.key, "events"), w.job.Training, w.job.Shards)
	facts, err := event.Ingest(ctx, event.IngestPlan{
		Files: p.files, Day: d.unit, Unit: w.job.unit(), Decisions: p.trainingDecisions, Identities: p.ids, Suppressions: p.sup, Out: out,
	})
	if err != nil {
		return result{}, err
	}
	if facts.Kept == 0 && facts.Rows >= worthwhile {
		err := fmt.Errorf("%w: none of the day's rows was kept (%s): %s", ErrNoData, facts.Funnel.Suppressed(smallCell), facts.Funnel.Remedy())
		if len(facts.BadRows) > 0 {
			bad := facts.BadRows[0]
			err = fmt.Errorf("%w (the first: %s, row %d, column %s: %s)", err, bad.File, bad.Row, bad.Column, bad.Reason)
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
	outputs := map[string]table.Manifest{"events": m}
	if err := w.writePlaces(ctx, d.key, facts.Places, outputs); err != nil {
		return result{}, err
	}
	return result{outputs: outputs, facts: facts, rowsIn: facts.Rows, rows: m.Rows, bytesRead: facts.Bytes}, nil
}
