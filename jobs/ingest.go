package jobs

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

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
	if todo > 0 {
		defer w.spare()()
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
	var left int64     // events of the interval that stand
	var removed string // who wrote last what is left of a day
	for i, d := range p.days {
		p.committed = append(p.committed, day{iv: d.unit, key: d.key, manifest: commits[i].Outputs["events"]})
		own, again := d.unit.Overlaps(w.iv), d.reopened()
		past := !d.unit.End.After(w.iv.Start) && w.job.Events.Expect.Schema != nil // the last one before the interval tells which columns there were
		if !own && !again && !past {
			continue
		}
		f, err := factsOf[event.IngestFacts](commits[i])
		if err != nil {
			return err
		}
		if again && !own { // nothing judges it, so nothing else tells of what its files have brought
			q := readQuality{}
			q.note(commits[i], f, true)
			if w.quarantined("events of "+d.label+", read again", q); !past {
				continue
			}
		}
		if p.found.note(commits[i], f, own); own {
			if d.done && commits[i].At.After(w.res.FunnelAt) {
				w.res.FunnelAt = commits[i].At
			}
			funnel.Merge(f.Funnel)
			left += commits[i].Outputs["events"].Rows
			removed = cmp.Or(commits[i].By, removed)
			noEvents += f.UnknownKinds + f.IgnoredKinds + f.Empty
		}
	}
	w.res.setFunnel(funnel)
	if left == 0 && funnel[policy.Kept] > 0 {
		var err error
		if w.res.Remedy, err = w.emptied(ctx, removed); err != nil {
			return err
		}
	} else if funnel.Loss() == policy.Erased {
		if given, err := w.strangers(ctx); err != nil {
			return err
		} else if given != "" {
			w.res.Remedy += "; of others, " + given
		}
	}
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
		remedy := facts.Funnel.Remedy()
		if facts.Funnel.Loss() == policy.Erased && 2*facts.Strangers > facts.Funnel[policy.Erased] {
			if remedy, err = w.strangers(ctx); err != nil {
				return result{}, err
			}
		}
		if len(facts.BadRows) > 0 {
			bad := facts.BadRows[0]
			remedy += fmt.Sprintf(" (the first: %s, row %d, column %s: %s)", bad.File, bad.Row, bad.Column, bad.Reason)
		}
		return result{}, noData{fmt.Sprintf(": none of the day's rows was kept (%s)", facts.Funnel.Suppressed(smallCell)), remedy}
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
