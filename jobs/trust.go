package jobs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// Trust says what of events tells of people's trust and of a service's growth, in kinds of event.
type Trust struct {
	Conversion  []string `json:",omitempty"`
	Complaint   []string `json:",omitempty"`
	Explanation []string `json:",omitempty"` // looks at the reasons of a list
	// Days is how many days of a week must have files for its events to be counted.
	Days int
}

// kinds are all that it names, with what each is called in the project file.
func (t *Trust) kinds() map[string][]string {
	return map[string][]string{eval.GrowthConversions: t.Conversion, eval.TrustComplaints: t.Complaint, eval.TrustExplanations: t.Explanation}
}

// trustWeeks bounds the weeks that a run counts, and that a report shows.
const trustWeeks = 12

// trustWeek is the count of one ISO week.
type trustWeek struct {
	step
	days int // that have files
	of   int // that it has
}

// trustFacts are the facts of that step.
type trustFacts struct {
	Job  string         `json:"job"`
	Week eval.TrustWeek `json:"week"`
}

// weeks are the ISO weeks of the job's time zone: each begins on a Monday there.
func (j *Job) weeks() table.Every {
	week, err := table.EveryOf("1w", j.Every.Location())
	if err != nil {
		panic(err) // a constant
	}
	return week
}

// isoWeek names a week, as 2026-W34.
func (j *Job) isoWeek(iv table.Interval) string {
	year, n := iv.Start.In(j.Every.Location()).ISOWeek()
	return fmt.Sprintf("%04d-W%02d", year, n)
}

// planTrust keys the weeks that lie wholly in what the run reads, have ended by its interval's end and hold a day of events: by the ingest of their days and by
// what is to be counted, not by policy. What a week's people had said by its end does not change, so that a week is counted once.
func (w *work) planTrust(ctx context.Context, p *plan) error {
	j := w.job
	if j.Trust == nil {
		return nil
	}
	known := map[string]bool{}
	for info, err := range w.Bucket.List(ctx, "done/trust/", storage.ListOpt{}) {
		if err != nil {
			return fmt.Errorf("list the weeks that have been counted: %w", err)
		}
		known[strings.TrimPrefix(info.Key, "done/")] = true
	}
	all := j.weeks().Between(j.history(w.iv).Start, w.iv.End)
	for _, iv := range all[max(0, len(all)-trustWeeks):] {
		t := trustWeek{step: step{name: "trust", label: j.isoWeek(iv), iv: iv}, days: p.daysWithFiles(j, iv), of: len(j.Every.Days(iv))}
		if t.days == 0 {
			continue
		}
		t.key = stepKey("trust", t.label, iv, logicTrust, j.trustSpec(), p.keysIn(iv)...)
		t.done = known[t.key]
		p.trust = append(p.trust, t)
	}
	return nil
}

// trustSpec is the part of a job that a week's count depends on.
func (j *Job) trustSpec() any {
	purposes := []string{j.Training.Name + " " + string(j.Training.Basis)}
	if j.Evaluation != nil {
		purposes = append(purposes, j.Evaluation.Name+" "+string(j.Evaluation.Basis))
	}
	return struct {
		Job      string
		Trust    Trust
		Purposes []string
		Cohorts  []string
	}{j.Name, *j.Trust, purposes, j.Cohort}
}

// daysWithFiles is how many calendar days of a week have been ingested, in whole or in part.
func (p *plan) daysWithFiles(j *Job, iv table.Interval) (n int) {
	for _, day := range j.Every.Days(iv) {
		if len(p.keysIn(day)) > 0 {
			n++
		}
	}
	return n
}

// countWeeks counts the weeks that have ended since it was last done.
func (w *work) countWeeks(ctx context.Context) error {
	c := &weekCounter{work: w, seen: map[string][]uint64{}}
	for _, t := range w.plan.trust {
		if t.done {
			continue
		}
		w.report("trust", 0, 0, "")
		done, err := w.do(ctx, t.step, func(ctx context.Context) (result, error) {
			week, rows, err := c.count(ctx, t)
			return result{facts: trustFacts{Job: w.job.Name, Week: week}, rowsIn: rows}, err
		})
		if err != nil {
			return err
		}
		facts, err := factsOf[trustFacts](done)
		if err != nil {
			return err
		}
		for _, note := range facts.Week.Notes {
			w.res.Flags = append(w.res.Flags, "trust "+t.label+": "+note)
		}
	}
	return nil
}

// Trust returns what was counted of a job's last weeks that had ended by until, at most so many, oldest first. A week in between that nobody has counted is there
// without figures. Cost: one listing, and one GET a week.
func (r *Runner) Trust(ctx context.Context, job *Job, until time.Time, weeks int) (*eval.TrustFacts, error) {
	byWeek := map[string][]string{} // label → keys
	for info, err := range r.Bucket.List(ctx, "done/trust/", storage.ListOpt{}) {
		if err != nil {
			return nil, fmt.Errorf("list the weeks that have been counted: %w", err)
		}
		key := strings.TrimPrefix(info.Key, "done/")
		if parts := strings.Split(key, "/"); len(parts) == 3 {
			byWeek[parts[1]] = append(byWeek[parts[1]], key)
		}
	}
	out := &eval.TrustFacts{Weeks: []eval.TrustWeek{}}
	tables := table.Store{Bucket: r.Bucket}
	for _, label := range slices.Backward(slices.Sorted(maps.Keys(byWeek))) {
		week, err := newestCount(ctx, tables, job, byWeek[label])
		if err != nil {
			return nil, err
		}
		if week == nil || week.Interval.End.After(until) {
			continue
		}
		if n := len(out.Weeks); n > 0 {
			for iv := range weeksBetween(job, week.Interval, out.Weeks[n-1].Interval) {
				out.Weeks = append(out.Weeks, eval.TrustWeek{Week: job.isoWeek(iv), Interval: iv, Of: len(job.Every.Days(iv)), Groups: []eval.TrustGroup{}})
			}
		}
		if out.Weeks = append(out.Weeks, *week); len(out.Weeks) >= weeks {
			break
		}
	}
	out.Weeks = out.Weeks[:min(len(out.Weeks), weeks)]
	if len(out.Weeks) > 0 {
		out.Notes = out.Weeks[0].Notes
	}
	slices.Reverse(out.Weeks)
	return out, nil
}

// LastWeeks is the last week that has been counted of each job that counts any, by job. Cost: that of Trust of one week, for each.
func (r *Runner) LastWeeks(ctx context.Context, js []*Job) (map[string]eval.TrustWeek, error) {
	out := map[string]eval.TrustWeek{}
	for _, j := range js {
		if j.Trust == nil {
			continue
		}
		t, err := r.Trust(ctx, j, r.Now(), 1)
		if err != nil {
			return nil, fmt.Errorf("job %s: %w", j.Name, err)
		}
		if len(t.Weeks) > 0 {
			out[j.Name] = t.Weeks[0]
		}
	}
	return out, nil
}

// trusted is what has been counted of the weeks up to the run's interval; nil for a job that counts none.
func (w *work) trusted(ctx context.Context) (*eval.TrustFacts, error) {
	if w.job.Trust == nil {
		return nil, nil
	}
	t, err := w.Trust(ctx, w.job, w.iv.End, trustWeeks)
	if err != nil || len(t.Weeks) == 0 {
		return nil, err
	}
	return t, nil
}

// newestCount is the last that a job made of one week, or nil.
func newestCount(ctx context.Context, tables table.Store, job *Job, keys []string) (*eval.TrustWeek, error) {
	var best *eval.TrustWeek
	for _, key := range keys {
		c, _, err := tables.Lookup(ctx, key)
		if err != nil {
			return nil, fmt.Errorf("trust: %w", err)
		}
		f, err := factsOf[trustFacts](c)
		if err != nil {
			return nil, err
		}
		if f.Job == job.Name && (best == nil || f.Week.Counted.After(best.Counted)) {
			best = &f.Week
		}
	}
	return best, nil
}

// weeksBetween yields the weeks after one and before a later one, the latest first.
func weeksBetween(job *Job, early, late table.Interval) func(func(table.Interval) bool) {
	return func(yield func(table.Interval) bool) {
		gap := job.weeks().Between(early.End, late.Start)
		for _, iv := range slices.Backward(gap) {
			if !yield(iv) {
				return
			}
		}
	}
}
