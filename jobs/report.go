package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/eval/drift"
	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/lists"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

const microsADay = int64(24 * time.Hour / time.Microsecond)

func timeOf(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

// describe puts together what the report says. Its run is named by the evaluate step's key, which is the same whoever carries it out, so
// that equal evaluations give equal reports.
func (w *work) describe(ctx context.Context, d *dataset, q *eval.Quality, dr *drift.Report, decision eval.Decision, s models.Scorer, rules *lists.Stage) (*eval.Report, error) {
	p := w.plan
	share := d.facts.RepeatShare
	spec, err := json.Marshal(w.job.Model.Spec)
	if err != nil {
		return nil, fmt.Errorf("report: hyperparameters: %w", err)
	}
	r, err := w.opening(ctx, w.reportID(), decision, dr)
	if err != nil {
		return nil, err
	}
	r.Model = eval.ModelFacts{
		Name: w.job.Model.Name, Digest: p.trained.Digest, Weights: w.job.Model.Weights, Length: w.job.Model.Lists.K, Seed: w.job.Model.Seed,
		Kernel: models.KernelClass(), Spec: spec,
	}
	r.Quality = q
	r.Data = eval.DataFacts{
		Window: w.learnedFrom(table.Interval{Start: p.training.Start, End: timeOf(d.Cuts.Test)}), Test: table.Interval{Start: timeOf(d.Cuts.Test), End: p.training.End},
		Rows: d.facts.Rows, RepeatShare: &share, Masking: d.facts.masking(w.job.Model.Lists.Seen),
		Subjects: smallCount(d.facts.NSubjects), Items: d.facts.NItems, Kinds: d.facts.Kinds,
	}
	if len(w.job.Baselines) > 0 {
		r.Unprofiled = w.job.Baselines[0].Name
	}
	if c, ok := w.model.(models.Composite); ok {
		parts, err := c.BindParts(ctx, d.Catalog, d.SubjectColumns())
		if err != nil {
			return nil, err
		}
		for _, part := range parts {
			r.Model.Parts = append(r.Model.Parts, eval.PartWeight{Name: part.Name, Weight: part.Weight})
		}
	}
	if m, ok := w.model.(models.Reranked); ok {
		r.Rerank = rerankFacts(m.Reranking())
	}
	r.Learned = funnelRows(d.facts.Funnel.Suppressed(smallCell))
	r.Lineage = append(r.Lineage,
		eval.LineageStep{Step: "assemble", Key: p.assemble.key, Digest: string(d.facts.Digest)},
		eval.LineageStep{Step: "train", Key: p.train.key, Digest: p.trained.Digest},
		eval.LineageStep{Step: "evaluate", Key: p.evaluate.key})
	return r, w.explain(ctx, d, s, rules, r)
}

// learnedFrom is the part of a training window from which there are events: what is declared may reach further back than the files of the source do, and than
// events are kept.
func (w *work) learnedFrom(window table.Interval) table.Interval {
	at := slices.IndexFunc(w.plan.committed, func(d day) bool { return d.manifest.Rows > 0 && d.iv.Overlaps(window) })
	if at < 0 {
		return window
	}
	from := w.plan.committed[at].iv.Start
	if oldest := w.plan.trainingDecisions.Purpose().Oldest("events", w.iv.End, w.now); oldest > table.Micros(from) {
		from = timeOf(oldest)
	}
	if from.After(window.Start) && from.Before(window.End) {
		window.Start = from
	}
	return window
}

// opening is what every report begins with: which run it was, what was decided, whose data it read, and what led up to that; behind the report of the
// live version.
func (w *work) opening(ctx context.Context, id string, decision eval.Decision, dr *drift.Report) (*eval.Report, error) {
	p := w.plan
	r := &eval.Report{
		Run:      eval.RunFacts{ID: id, Project: w.job.Project, Job: w.job.Name, Interval: w.iv, Clock: w.now, Pinned: w.Pinned, Revision: w.Revision, Encrypted: w.Encrypted},
		Decision: decision,
		Drift:    dr,
		Funnel:   funnelRows(w.res.Funnel),
		Purposes: []eval.PurposeFacts{purposeFacts("training", w.job.Training)},
	}
	if w.job.Evaluation != nil {
		r.Purposes = append(r.Purposes, purposeFacts("evaluation", *w.job.Evaluation))
	}
	for _, v := range w.res.Verdicts {
		if v.Set == "events" && v.Outcome == expect.Warned {
			r.Unexpected = append(r.Unexpected, v.String())
		}
		if v.Expectation == expect.CoarsenedAs {
			r.Coarsened = append(r.Coarsened, v.Says)
		}
	}
	for _, x := range p.committed {
		r.Lineage = append(r.Lineage, eval.LineageStep{Step: "ingest " + w.job.unit().Label(x.iv), Key: x.key, Digest: string(x.manifest.Digest)})
	}
	for _, sn := range []*snapshot{p.items, p.subjects, p.cohorts} {
		if sn != nil {
			r.Lineage = append(r.Lineage, eval.LineageStep{Step: sn.set, Key: sn.key})
		}
	}
	var err error
	r.Minimization = w.minimization(ctx)
	if r.Trust, err = w.trusted(ctx); err != nil {
		return nil, err
	}
	return r, w.follow(ctx, r)
}

// funnelRows splits the printed funnel, in which small counts are suppressed already, into rows.
func funnelRows(printed string) []eval.FunnelRow {
	var out []eval.FunnelRow
	for _, cell := range strings.FieldsFunc(printed, func(r rune) bool { return r == '→' || r == '·' }) {
		if reason, rows, ok := strings.Cut(strings.TrimSpace(cell), " "); ok {
			out = append(out, eval.FunnelRow{Reason: reason, Rows: rows})
		}
	}
	return out
}

// smallCount prints a number of people, or says that it is small.
func smallCount(n int) string {
	if n > 0 && n < smallCell {
		return fmt.Sprintf("under %d", smallCell)
	}
	return strconv.Itoa(n)
}

func purposeFacts(role string, p policy.Purpose) eval.PurposeFacts {
	f := eval.PurposeFacts{Role: role, Name: p.Name, Says: p.Says, Basis: string(p.Basis), Terms: p.Terms, Reads: p.Reads, KeepDays: map[string]float64{}}
	for class, keep := range p.Keep {
		f.KeepDays[class] = keep.Hours() / 24
	}
	return f
}

// liveReport returns the report of the live version, read once a run: nil if there is none, it is gone (its retention has passed), or an older program
// wrote it in another schema.
func (w *work) liveReport(ctx context.Context) (*eval.Report, error) {
	live := w.plan.live
	if w.liveRead || live == nil || live.Report.Link == "" {
		return w.reported, nil
	}
	body, _, err := storage.ReadAll(ctx, w.Bucket, live.Report.Link+".json")
	switch {
	case errors.Is(err, storage.ErrNotFound):
	case err != nil:
		return nil, fmt.Errorf("report of the live version %d: %w", live.Number, err)
	default:
		if w.reported, err = eval.ParseReport(body); err != nil {
			w.Log.Warn("neither trend nor drift of quality: the report of the live version cannot be read", "version", live.Number, "error", err)
		}
	}
	w.liveRead = true
	return w.reported, nil
}

// follow puts the report behind that of the live version, without which the trend stays empty, and behind those that were refused since.
func (w *work) follow(ctx context.Context, r *eval.Report) error {
	before, err := w.liveReport(ctx)
	if err != nil {
		return err
	}
	number, since := 0, time.Time{}
	if before != nil {
		number, since = w.plan.live.Number, before.Run.Interval.End
	}
	refused, err := w.refusedSince(ctx, since)
	if err != nil {
		return err
	}
	r.Follow(before, number, refused...)
	return nil
}

// refusedSince are the reports of the job's intervals from a time up to the run's own whose last word was a refusal, oldest first, as far back as a report shows:
// no version of theirs went live, so that no live version's report tells of them. One that cannot be read is left out and logged. Cost: one listing, and one
// GET for each report since.
func (w *work) refusedSince(ctx context.Context, since time.Time) ([]*eval.Report, error) {
	var labels []string // oldest first
	for iv := w.job.Every.At(w.iv.Start); len(labels) < eval.HistoryLength && !iv.Start.Before(since); iv = w.job.Every.At(iv.Start) {
		labels = append(labels, w.job.Every.Label(iv))
	}
	slices.Reverse(labels)
	if len(labels) == 0 {
		return nil, nil
	}
	prefix := "reports/" + w.job.Name + "/"
	last := map[string]storage.Info{} // by label
	for info, err := range w.Bucket.List(ctx, prefix, storage.ListOpt{After: prefix + labels[0]}) {
		if err != nil {
			return nil, fmt.Errorf("reports of refusals: %w", err)
		}
		label, file, _ := strings.Cut(strings.TrimPrefix(info.Key, prefix), "/")
		if strings.HasSuffix(file, ".json") && (last[label].Key == "" || info.Modified.After(last[label].Modified)) {
			last[label] = info
		}
	}
	var out []*eval.Report
	for _, label := range labels {
		if last[label].Key == "" {
			continue
		}
		body, _, err := storage.ReadAll(ctx, w.Bucket, last[label].Key)
		if errors.Is(err, storage.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reports of refusals: %w", err)
		}
		r, err := eval.ParseReport(body)
		if err != nil {
			w.Log.Warn("the report shows no drift of a day that was refused: its report cannot be read", "report", last[label].Key, "error", err)
			continue
		}
		if !r.Decision.Publish {
			out = append(out, r)
		}
	}
	return out, nil
}

// persona is an invented subject: what it took, in positions of the popular items, oldest first.
type persona struct {
	says string // with the names of the items in the order of took
	took []int
	ago  []int // days before the test, of each
}

var personas = []persona{
	{says: "took %s once, a week ago", took: []int{0}, ago: []int{7}},
	{says: "took %s twice, a week apart, and %s yesterday", took: []int{1, 1, 2}, ago: []int{14, 7, 1}},
	{says: "took %s every week for four weeks", took: []int{2, 2, 2, 2}, ago: []int{28, 21, 14, 7}},
}

// explain explains the first item for a few invented subjects, who have taken nothing but the most popular items of the list not based on
// profiling, of what the rules let stand in a list. No one's history stands in a report: this reads the catalog and the model, never a subject of the training set.
func (w *work) explain(ctx context.Context, d *dataset, s models.Scorer, rules *lists.Stage, r *eval.Report) error {
	ex, ok := s.(models.Explainer)
	if !ok || len(w.job.Baselines) == 0 {
		return nil
	}
	base, err := w.baseline(ctx, d, w.job.Baselines[0], d.Cuts.Test)
	if err != nil {
		return err
	}
	nobody := models.Query{At: d.Cuts.Test, K: 3, Subject: make([]string, len(d.SubjectColumns())), Exclude: d.untold()}
	var top models.Ranking
	if err := models.Rank(ctx, base, d.Catalog.Len(), []models.Query{nobody}, &top); err != nil {
		return err
	}
	popular, _ := top.Query(0)
	for _, p := range personas {
		if slices.Max(p.took) >= len(popular) {
			continue // a catalog of one or two items
		}
		q := nobody
		q.K = 1
		var names []any
		for i, at := range p.took {
			q.History.Item = append(q.History.Item, popular[at])
			q.History.Time = append(q.History.Time, d.Cuts.Test-int64(p.ago[i])*microsADay)
			q.History.Kind = append(q.History.Kind, 0)
			q.History.Weight = append(q.History.Weight, 1)
			if name := any(d.Catalog.IDs[popular[at]]); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		if d.facts.Mask {
			q.Exclude = union(d.untold(), models.Distinct(q.History.Item))
		}
		if rules != nil {
			q.Exclude = rules.Without(q.Exclude)
		}
		var best models.Ranking
		if err := models.Rank(ctx, s, d.Catalog.Len(), []models.Query{q}, &best); err != nil {
			return err
		}
		items, _ := best.Query(0)
		if len(items) == 0 {
			continue
		}
		why, err := ex.Explain(ctx, &q, items)
		if err != nil {
			return err
		}
		r.Explanations = append(r.Explanations, eval.ExplanationSample{Persona: fmt.Sprintf(p.says, names...), Item: d.Catalog.IDs[items[0]], Explanation: why.Explanation(0)})
	}
	return nil
}

// cell prints a value of a cohort column.
func cell(c *table.Column, i int) string {
	switch {
	case c.Str != nil:
		return c.Str[i]
	case c.Float != nil:
		return strconv.FormatFloat(c.Float[i], 'g', -1, 64)
	}
	return strconv.FormatInt(c.Int[i], 10)
}
