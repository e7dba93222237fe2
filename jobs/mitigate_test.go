package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// gapWorld is a world of 400 subjects with a gap of 1 in nDCG@1, of which weights of events can close a part. 100 of the group "few" take item 20 after item 0, and
// of the group "many" 100 take item 21 after item 0 and 200 take 21 after item 1. The events of the few weigh a tenth less, so that the list after item 0 has
// 21: nobody of the few finds what they take (0), and all of the many do (1), .75 over all. Subject 4, of the few, objects to remedies.
func gapWorld(t *testing.T, purposes func(*Job)) *experiment {
	t.Helper()
	const subjects, items = 400, 30
	var events []models.Event
	var labels []string
	for s := range subjects {
		next, first := int32(21), int32(s%2)
		group := "many"
		if s%4 == 0 {
			next, group = 20, "few"
		}
		labels = append(labels, group)
		weight := float32(1)
		if group == "few" {
			weight = 0.9 // of less confidence
		}
		events = append(events,
			models.Event{Subject: uint64(s), Time: 5, Item: first, Weight: weight}, models.Event{Subject: uint64(s), Time: 6, Item: next, Weight: weight},
			models.Event{Subject: uint64(s), Time: 29, Item: first, Weight: weight}, models.Event{Subject: uint64(s), Time: 31, Item: next, Weight: weight},
			models.Event{Subject: uint64(s), Time: 45, Item: 22, Weight: weight})
	}
	d := &dataset{Dataset: models.Dataset{Catalog: &models.Catalog{}, Kinds: []string{"buy"}, Events: models.NewEventLog(events), Cuts: models.Cuts{Rerank: 30, Validation: 30, Test: 40, End: 50}}}
	var brands []string
	for i := range items {
		d.Catalog.IDs = append(d.Catalog.IDs, fmt.Sprintf("i%02d", i))
		brands = append(brands, []string{"a", "b", "c"}[i%3])
	}
	d.Catalog.Attrs = &models.Attributes{N: items, Cats: []models.CatColumn{models.NewCatColumn("brand", brands)}}
	evaluation := policy.Purpose{Name: "check", Basis: policy.LegitimateInterest, Reads: map[string][]string{"cohorts": {"gender"}}, Use: "evaluation"}
	mitigation := policy.Purpose{Name: "close", Basis: policy.LegitimateInterest, Reads: map[string][]string{"cohorts": {"gender"}}, Use: "mitigation"}
	clock := time.Unix(0, 0)
	job := &Job{
		Name: "nightly", Model: Model{Name: "home", Trainer: &follower{}, Seed: 1, Lists: Lists{K: 2}}, K: []int{1}, Cohort: []string{"gender"}, MinN: 30,
		Training:   policy.Purpose{Name: "recommend", Basis: policy.LegitimateInterest, Reads: map[string][]string{"items": {"brand"}}},
		Evaluation: &evaluation, Mitigation: &mitigation, Items: &AttributeSource{},
	}
	if purposes != nil {
		purposes(job)
	}
	job = (&Mitigating{}).measured(job)
	bucket := storage.NewMemory(nil)
	p := &plan{}
	for to, of := range map[**policy.Decisions]*policy.Purpose{&p.trainingDecisions: &job.Training, &p.evaluationDecisions: job.Evaluation, &p.mitigationDecisions: job.Mitigation} {
		if of != nil {
			objections := []policy.Record{{Subject: 4, Purpose: "close", State: policy.Withdrawn, Effective: time.Unix(0, 0), Recorded: time.Unix(0, 0)}}
			*to = policy.Decide(*of, time.Unix(1, 0), objections, nil)
		}
	}
	e := &experiment{work: &work{Runner: &Runner{Bucket: bucket, Wall: func() time.Time { clock = clock.Add(time.Second); return clock }}, job: job, plan: p, tables: table.Store{Bucket: bucket}}}
	p.cohorts = cohortSnapshot(t, e.work, labels)
	if err := e.begin(t.Context(), d, 0); err != nil {
		t.Fatal(err)
	}
	return e
}

// cohortSnapshot commits a table of cohorts: the label of each subject.
func cohortSnapshot(t *testing.T, w *work, labels []string) *snapshot {
	t.Helper()
	schema := table.Schema{{Name: "subject", Type: table.Int64}, {Name: "gender", Type: table.String}}
	rows := &table.Batch{Schema: schema, N: len(labels), Cols: []table.Column{{}, {Str: labels}}}
	for s := range labels {
		rows.Cols[0].Int = append(rows.Cols[0].Int, int64(s))
	}
	const key = "cohorts/snapshot-1"
	tw := table.NewWriter(w.Bucket, dataPrefix(key, "rows"), schema, table.WriteOptions{SortBy: []string{"subject"}})
	if err := tw.Append(rows); err != nil {
		t.Fatal(err)
	}
	m, err := tw.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := &table.Commit{Key: key, Step: "cohorts", Outputs: map[string]table.Manifest{"rows": m}, Facts: []byte("{}"), Run: "run-1", Nonce: "run-1", At: time.Unix(1, 0).UTC()}
	if won, err := w.tables.Commit(t.Context(), c); !won || err != nil {
		t.Fatal(won, err)
	}
	return &snapshot{step: step{name: "cohorts", key: key, done: true}, set: "cohorts"}
}

// TestMitigate: training that weighs the few more gives them the list after item 0, and takes it from a third of the many: the gap is 1 − 2/3 then, and
// the metric what it was.
func TestMitigate(t *testing.T) {
	e := gapWorld(t, nil)
	out := &Mitigated{}
	if err := e.mitigate(t.Context(), Mitigating{MostLoss: 0.2}, out); err != nil {
		t.Fatal(err)
	}
	if s := out.Stands; *s.Gap.Value != 1 || s.Worst != "few" || s.Best != "many" || *s.Value.Value != 0.75 || out.N != 400 || out.Cohort != "gender" {
		t.Fatalf("as it stands: %+v", s)
	}
	i := slices.IndexFunc(out.Remedies, func(r eval.Remedy) bool { return r.Kind == eval.Reweighting })
	if i < 0 {
		t.Fatalf("no weights were tried: %+v", out.NotTried)
	}
	r := out.Remedies[i]
	if math.Abs(*r.Gap.Value-1.0/3) > 1e-12 || math.Abs(*r.Cut-2.0/3) > 1e-12 || math.Abs(*r.Closed.Value-4.0/3) > 1e-12 || math.Abs(*r.Change.Value) > 1e-12 {
		t.Errorf("gap %v, cut %v, closed %v, change %v: want 1/3, 2/3, 4/3 (1 for the few, and a third less for the many), 0", *r.Gap.Value, *r.Cut, *r.Closed.Value, *r.Change.Value)
	}
	// (.75/0)¹ is bounded, .75/1 is not.
	if want := map[string]float64{"few": MaxEmphasis, "many": 0.75}; out.Remedy == nil || out.Remedy.Reweight == nil || !maps.Equal(out.Remedy.Reweight.Of, want) || out.Proposed != r.Name {
		t.Errorf("proposed %q, %+v: %s", out.Proposed, out.Remedy, out.Says)
	}
	if want := `jobs: {nightly: {train: {reweight: {cohort: gender, of: {"few": 16, "many": 0.75}}}}}`; r.Patch != want {
		t.Errorf("patch %s, want %s", r.Patch, want)
	}
	if out.Purpose != "close" || out.Stopped != stoppedTrials {
		t.Errorf("purpose %q, stopped %s", out.Purpose, out.Stopped)
	}
	kinds := map[eval.RemedyKind]bool{}
	for _, r := range out.Remedies {
		kinds[r.Kind] = true
		if len(r.Exposure) != 1 || r.Exposure[0].Attribute != "brand" {
			t.Errorf("%s: exposure %+v", r.Name, r.Exposure)
		}
	}
	if !kinds[eval.Calibrating] || !kinds[eval.Capping] || kinds[eval.Freshening] {
		t.Errorf("tried %v", kinds)
	}
	if body, err := json.Marshal(out); err != nil || strings.Contains(string(body), "NaN") {
		t.Errorf("%v", err)
	}
}

// TestWeightsAreOfTrainingAlone: who objects to remedies weighs 1, and nobody's own history has weights of a group when lists are made.
func TestWeightsAreOfTrainingAlone(t *testing.T) {
	e := gapWorld(t, nil)
	r := &Reweight{Cohort: "gender", Of: map[string]float64{"few": 4}}
	factor, err := e.emphasis(t.Context(), e.data, r)
	if err != nil {
		t.Fatal(err)
	}
	for s, f := range factor {
		want := float32(1)
		if s%4 == 0 && s != 4 {
			want = 4
		}
		if f != want {
			t.Errorf("subject %d weighs %v, want %v", s, f, want)
		}
	}
	learned, asked := float32(0), float32(0)
	v := variant{name: "weighed", reweight: r, trainer: peeking{lookedAt{func(q models.Query) {
		for _, w := range q.History.Weight {
			asked = max(asked, w)
		}
	}}, func(d *models.Dataset) { learned = slices.Max(d.Events.Weight) }}}
	if _, err := e.try(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	if math.Abs(float64(learned)-3.6) > 1e-6 || asked != 1 {
		t.Errorf("the largest weight that is learned from is %v, want 3.6 (.9 · 4), and the largest of a history %v, want 1", learned, asked)
	}
	if slices.Max(e.data.Events.Weight) != 1 {
		t.Error("weights of groups have come into the data themselves")
	}
}

// peeking shows what it learns from.
type peeking struct {
	lookedAt
	learn func(*models.Dataset)
}

func (p peeking) Train(_ context.Context, d *models.Dataset, _ int64, _ uint64) (models.Model, error) {
	p.learn(d)
	return p.lookedAt, nil
}

// TestMitigateNeedsAPurpose: without a purpose of remedies that reads the cohort nothing trains on it; the other remedies need none.
func TestMitigateNeedsAPurpose(t *testing.T) {
	for want, change := range map[string]func(*Job){
		"declare a purpose with use: mitigation, its basis and reads: {cohorts: [gender]}, and name it as jobs.nightly.purpose.mitigate": func(j *Job) { j.Mitigation = nil },
		"the purpose close does not read the cohort gender": func(j *Job) { j.Mitigation.Reads = map[string][]string{"cohorts": {"age_band"}} },
	} {
		e := gapWorld(t, change)
		o := Mitigating{Only: []eval.RemedyKind{eval.Reweighting}}
		if err := o.check(e.job); !errors.Is(err, ErrMitigate) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		out := &Mitigated{}
		if err := e.mitigate(t.Context(), Mitigating{}, out); err != nil {
			t.Fatal(err)
		}
		if len(out.Remedies) == 0 || out.Purpose != "" || slices.ContainsFunc(out.Remedies, func(r eval.Remedy) bool { return r.Kind == eval.Reweighting }) {
			t.Errorf("tried %d remedies, under the purpose %q", len(out.Remedies), out.Purpose)
		}
		if !slices.ContainsFunc(out.NotTried, func(x eval.Untried) bool { return x.Name == "reweight" && strings.Contains(x.Why, want) }) {
			t.Errorf("not tried: %+v", out.NotTried)
		}
		if _, err := e.emphasis(t.Context(), e.data, &Reweight{Cohort: "gender"}); !errors.Is(err, ErrMitigate) {
			t.Errorf("training has weights by a cohort that it may not read: %v", err)
		}
	}
}

// TestMitigateNobody: weights by a cohort that nobody, or hardly anybody, lets be read are not tried, and the outcome says why.
func TestMitigateNobody(t *testing.T) {
	for want, consents := range map[string]int{"nobody has a basis for close (consent)": 0, "fewer than 11 people have a basis for close (consent)": 10} {
		e := gapWorld(t, func(j *Job) { j.Mitigation.Basis = policy.Consent })
		var given []policy.Record
		for s := range consents {
			given = append(given, policy.Record{Subject: policy.Subject(s), Purpose: "close", State: policy.ConsentGiven, Effective: time.Unix(0, 0), Recorded: time.Unix(0, 0)})
		}
		e.plan.mitigationDecisions = policy.Decide(*e.job.Mitigation, time.Unix(1, 0), given, nil)
		out := &Mitigated{}
		if err := e.mitigate(t.Context(), Mitigating{Only: []eval.RemedyKind{eval.Reweighting}}, out); err != nil {
			t.Fatal(err)
		}
		if len(out.Remedies) != 0 || !strings.HasPrefix(out.Says, "no remedy was tried: "+want) {
			t.Errorf("%d tried: %s", len(out.Remedies), out.Says)
		}
	}
}

// TestMitigateEnds: what the budget does not reach is named, and an interruption keeps what was found.
func TestMitigateEnds(t *testing.T) {
	e := gapWorld(t, nil)
	e.began, e.budget = e.Wall(), 30*time.Second // each look at the clock takes a second
	out := &Mitigated{}
	if err := e.mitigate(t.Context(), Mitigating{}, out); err != nil {
		t.Fatal(err)
	}
	if out.Stopped != stoppedBudget || len(out.Remedies) == 0 || !slices.ContainsFunc(out.NotTried, func(x eval.Untried) bool { return strings.Contains(x.Why, "budget") }) {
		t.Errorf("stopped by %s after %d remedies, not tried %+v", out.Stopped, len(out.Remedies), out.NotTried)
	}
	e = gapWorld(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	e.Progress = func(p Progress) {
		if p.Done == 2 {
			cancel()
		}
	}
	out = &Mitigated{}
	if err := e.mitigate(ctx, Mitigating{}, out); err != nil || !out.Interrupted() || len(out.Remedies) != 2 {
		t.Errorf("interrupted: %v, %s after %d remedies", err, out.Stopped, len(out.Remedies))
	}
}

// TestMitigateRefuses: what is asked for and is not there.
func TestMitigateRefuses(t *testing.T) {
	job := &Job{Name: "nightly", K: []int{10, 20}, Cohort: []string{"gender"}}
	for want, o := range map[string]Mitigating{
		"does not evaluate the cohort age":              {Cohort: "age"},
		"ndcg@50":                                       {K: 50},
		"a largest loss of 200 %: want":                 {MostLoss: 2},
		"no remedy is named magic: there are calibrate": {Only: []eval.RemedyKind{"magic"}},
	} {
		if err := o.check(job); !errors.Is(err, ErrMitigate) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	job.Cohort = nil
	if err := (&Mitigating{}).check(job); !errors.Is(err, ErrMitigate) {
		t.Errorf("without cohorts: %v", err)
	}
}

// TestChosenCohort: the gap that is looked at unasked is one that a budget bounds, if its groups can be compared, and the reason is said.
func TestChosenCohort(t *testing.T) {
	gap := func(cohort string, relative float64) eval.CohortQuality {
		f := eval.CohortFigure{Contender: asItStands, Metric: "ndcg@10"}
		if relative > 0 {
			f.RelativeGap = &relative
		}
		return eval.CohortQuality{Cohort: cohort, Figures: []eval.CohortFigure{f}}
	}
	most := 0.2
	bound := func(cohort string) eval.Budget {
		return eval.Budget{Metric: "ndcg@10", Cohort: cohort, RelativeGap: &most}
	}
	for _, c := range []struct {
		name       string
		budgets    []eval.Budget
		gaps       []eval.CohortQuality
		want, says string
	}{
		{"a budget's before a wider one", []eval.Budget{bound("gender")}, []eval.CohortQuality{gap("age", 0.5), gap("gender", 0.1)}, "gender", "a budget bounds it"},
		{"the widest of two budgets", []eval.Budget{bound("gender"), bound("region"), bound("region")}, []eval.CohortQuality{gap("age", 0.5), gap("gender", 0.1), gap("region", 0.2)}, "region", "of the 2 that budgets bound"},
		{"a floor is no bound of a gap", []eval.Budget{{Metric: "ndcg@10", Cohort: "gender", AtLeast: &most}}, []eval.CohortQuality{gap("age", 0.5), gap("gender", 0.1)}, "age", "of 2, and no budget bounds any"},
		{"too few for the budget's", []eval.Budget{bound("gender")}, []eval.CohortQuality{gap("age", 0.5), gap("gender", 0)}, "age", "of those that budgets bound, no two groups can be compared"},
		{"one", nil, []eval.CohortQuality{gap("age", 0.5)}, "age", "no other cohort is evaluated"},
		{"none", nil, []eval.CohortQuality{gap("age", 0), gap("gender", 0)}, "age", "of no cohort can two groups be compared"},
	} {
		q := &eval.Quality{Headline: "ndcg@10", Cohorts: c.gaps}
		j := &Job{Budgets: c.budgets}
		for _, g := range c.gaps {
			j.Cohort = append(j.Cohort, g.Cohort)
		}
		if got, why := j.chosen(q); got != c.want || !strings.Contains(why, c.says) {
			t.Errorf("%s: %s, as %s; want %s, as …%s…", c.name, got, why, c.want, c.says)
		}
	}
}
