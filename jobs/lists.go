package jobs

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/lists"
	"github.com/rapport-ml/rapport/storage/online"
)

// withoutRules is the contender whose lists the scores alone make, where rules make those that are served.
const withoutRules = "without list rules"

// bindRules binds the job's list rules to the catalog of d as of a time (µs), or returns nil where there are none. Items are compared by the
// vectors of m, bound as s, if by vectors.
func (w *work) bindRules(ctx context.Context, d *dataset, m models.Model, s models.Scorer, at int64) (*lists.Stage, error) {
	if w.job.Model.Lists.Rules.Off() {
		return nil, nil
	}
	o, err := w.ruleOptions(ctx, d, m, s, at)
	if err != nil {
		return nil, err
	}
	return w.job.Model.Lists.Rules.Bind(d.Catalog, o)
}

// bindWishes is a stage without rules, for the lists of those who want less of some items or would rather have new ones where a project declares no rule;
// nil where nobody does.
func (w *work) bindWishes(d *dataset, at int64) (*lists.Stage, error) {
	if w.plan.wishes == nil || !slices.ContainsFunc(slices.Collect(maps.Values(w.plan.wishes.wanted)), func(wants policy.Wants) bool { return wants.New || len(wants.Less) > 0 }) {
		return nil, nil
	}
	l := w.job.Model.Lists
	return (&lists.Rules{}).Bind(d.Catalog, lists.Options{K: l.K, At: at, First: d.firstEvents(at), Less: l.Less, New: l.PreferNew})
}

func (w *work) ruleOptions(ctx context.Context, d *dataset, m models.Model, s models.Scorer, at int64) (lists.Options, error) {
	o := lists.Options{K: w.job.Model.Lists.K, At: at, First: d.firstEvents(at), Less: w.job.Model.Lists.Less, New: w.job.Model.Lists.PreferNew}
	folder, err := folderIn(ctx, m, s, d)
	if err != nil {
		return o, err
	}
	if folder != nil {
		o.Vectors = folder.ItemVector
	}
	return o, nil
}

// firstEvents returns the time of the first event of each item before at, math.MaxInt64 where there is none. An item that the window begins with is
// as old as the window, and one that only a subject-less row names has none.
func (d *dataset) firstEvents(at int64) []int64 {
	first := make([]int64, d.Catalog.Len())
	for i := range first {
		first[i] = math.MaxInt64
	}
	for i, item := range d.Events.Item {
		if t := d.Events.Time[i]; t < at {
			first[item] = min(first[item], t)
		}
	}
	return first
}

// tradeoff says what the rules cost and bring, and what other weights would.
func (w *work) tradeoff(ctx context.Context, d *dataset, t *eval.Task, s models.Scorer, declared *lists.Stage) (*eval.ListFacts, error) {
	if declared == nil {
		return nil, nil
	}
	r := w.job.Model.Lists.Rules
	o, err := w.ruleOptions(ctx, d, w.model, s, d.Cuts.Test)
	if err != nil {
		return nil, err
	}
	yard := r.Yardstick()
	yardstick, err := yard.Bind(d.Catalog, o)
	if err != nil {
		return nil, err
	}
	ways := []eval.ListWay{{Name: "by the scores alone"}, {Name: "as served", Declared: true, Stage: declared}}
	for _, v := range r.Variants() {
		stage, err := v.Rules.Bind(d.Catalog, o)
		if err != nil {
			return nil, err
		}
		now := v.Rule == "diversity" && v.Weight == r.DiversityWeight() || v.Rule == "calibrate" && v.Weight == r.CalibrateWeight()
		ways = append(ways, eval.ListWay{Name: fmt.Sprintf("%s, weight %g", v.Rule, v.Weight), Rule: v.Rule, Weight: v.Weight, Declared: now, Stage: stage})
	}
	says, idle, err := declared.Says(d.Catalog)
	if err != nil {
		return nil, err
	}
	for _, rule := range idle {
		w.res.Flags = append(w.res.Flags, "a list rule changes nothing: "+rule)
	}
	rows, n, short, err := eval.Tradeoff(ctx, t, s, declared, yardstick, ways)
	if err != nil {
		return nil, err
	}
	f := &eval.ListFacts{Rules: says, K: declared.K(), N: n, Excluded: len(declared.Excluded()), Short: shown(short), Rows: rows[:min(2, len(rows))], Curves: rows[min(2, len(rows)):]}
	if yard.Diversity != nil {
		f.Measured.Diversity = strings.Join(yard.Diversity.By, " and ")
	}
	if yard.Calibrate != nil {
		f.Measured.Divergence = yard.Calibrate.By
	}
	f.Measured.Fresh = yardstick.HasFresh()
	return f, nil
}

// shown is a count of people in a report: nil for a few.
func shown(n int) *int {
	if n > 0 && n < smallCell {
		return nil
	}
	return &n
}

// ruled adds to the entries of a list what rules did to them.
func ruled(l *online.List, before []int32, by []lists.Rule) {
	for j := range l.Items {
		for _, name := range by[j].Names() {
			l.Items[j].Reasons = append(l.Items[j].Reasons, online.Reason{Kind: "rule", Ref: name, Before: int(before[j]), After: j + 1})
		}
	}
}
