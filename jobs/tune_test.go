package jobs

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/artifact"
)

// sharp is a part that recognizes each subject's own item, better the nearer its value is to 1: a planted best.
type sharp struct {
	value float64
	clock *time.Time
	err   error
	train func(d *models.Dataset, until int64)
}

func (s *sharp) Name() string { return "sharp" }

func (s *sharp) Train(ctx context.Context, d *models.Dataset, until int64, _ uint64) (models.Model, error) {
	if s.train != nil {
		s.train(d, until)
	}
	if s.clock != nil { // as long as there are events
		*s.clock = s.clock.Add(time.Duration(d.Events.Len()) * time.Millisecond)
	}
	return s, errors.Join(s.err, ctx.Err())
}

func (s *sharp) Save(*artifact.Writer) error { return nil }

func (s *sharp) Bind(_ context.Context, c *models.Catalog, _ []string) (models.Scorer, error) {
	return sharpScorer{blur: math.Abs(math.Log(s.value)), items: c.Len()}, nil
}

type sharpScorer struct {
	blur  float64
	items int
}

// Score knows that each subject takes the item after its first one. Scores of other items are noise as strong as the value is wrong.
func (s sharpScorer) Score(_ context.Context, q []models.Query, dst []float32) error {
	for k := range q {
		for i := range s.items {
			x := float64(k*7919+i*104729+int(q[k].History.Item[0])*31) * 0.6180339887
			dst[k*s.items+i] = float32(s.blur * (x - math.Floor(x)))
		}
		dst[k*s.items+(int(q[k].History.Item[0])+1)%s.items] += 0.3
	}
	return nil
}

// world is n subjects with a history in [0, 100), one answer in the validation window [100, 200), and in the test window [200, 300)
// the item 0, which nobody takes before.
func tuneWorld(n int) *models.Dataset {
	const items = 40
	var events []models.Event
	for s := range n {
		first := int32(1 + s%(items-2))
		events = append(events,
			models.Event{Subject: uint64(s), Time: 50, Item: first, Weight: 1},
			models.Event{Subject: uint64(s), Time: 150, Item: first + 1, Weight: 1},
			models.Event{Subject: uint64(s), Time: 250, Item: 0, Weight: 1})
	}
	d := &models.Dataset{Catalog: &models.Catalog{}, Kinds: []string{"buy"}, Events: models.NewEventLog(events), Cuts: models.Cuts{Rerank: 100, Validation: 100, Test: 200, End: 300}}
	for i := range items {
		d.Catalog.IDs = append(d.Catalog.IDs, fmt.Sprintf("i%02d", i))
	}
	return d
}

func newTuner(d *models.Dataset, trainer func(float64) *sharp) *tuner {
	return &tuner{
		Tuning: Tuning{
			Parts: []Tunable{
				{
					Part: "sharp", Space: models.Space{{Name: "value", Low: 0.01, High: 100, Log: true}}, Now: models.Values{"value": 50},
					Trainer: func(v models.Values) (models.Trainer, error) { return trainer(v["value"]), nil },
				},
				{Part: "plain", Trainer: func(models.Values) (models.Trainer, error) { return trainer(30), nil }},
			},
			Blend: func(parts []models.Trainer) models.Trainer { return firstOf{parts} },
		},
		data: d, seed: 3, k: 10, wall: func() time.Time { return time.Time{} }, progress: func(string, int64, int64) {},
	}
}

// firstOf blends by taking the first part.
type firstOf struct{ parts []models.Trainer }

func (f firstOf) Name() string { return "blend" }

func (f firstOf) Train(ctx context.Context, d *models.Dataset, until int64, seed uint64) (models.Model, error) {
	return f.parts[0].Train(ctx, d, until, seed)
}

// A planted best is found among thirty choices, most of which never see all subjects; twice the same; from the validation window alone.
func TestTuneFindsPlantedBest(t *testing.T) {
	d := tuneWorld(9 * leastShare)
	var outs []Tuned
	for range 2 {
		tu := newTuner(d, func(v float64) *sharp {
			return &sharp{value: v, train: func(x *models.Dataset, until int64) {
				if until != d.Cuts.Validation {
					t.Errorf("a part is trained until %d, beyond the validation cut", until)
				}
			}}
		})
		tu.Trials = 30
		var out Tuned
		if err := tu.run(t.Context(), &out); err != nil {
			t.Fatal(err)
		}
		for q := range tu.questions {
			if slices.Contains(tu.relevant[q], 0) || slices.Contains(tu.questions[q].History.Item, 0) {
				t.Fatal("a question knows the test window")
			}
		}
		outs = append(outs, out)
	}
	out := outs[0]
	if !reflect.DeepEqual(out, outs[1]) {
		t.Error("two searches of one seed differ")
	}
	if out.Stopped != stoppedTrials || len(out.Shares) != 3 || out.Questions != askedAtMost || len(out.Parts) != 1 {
		t.Fatalf("stopped by %s, shares %v, %d questions, %d parts", out.Stopped, out.Shares, out.Questions, len(out.Parts))
	}
	p := out.Parts[0]
	if v := p.Best["value"]; !p.Better || math.Abs(math.Log(v)) > 0.4 || p.Share != 1 {
		t.Errorf("the best is %v (better: %v, on %v of the subjects), planted 1", v, p.Better, p.Share)
	}
	if p.Difference.Low <= 0 || out.Whole == nil || !out.Whole.Better || out.Whole.Difference != p.Difference { // the blend is its first part
		t.Errorf("difference %+v, whole %+v", p.Difference, out.Whole)
	}
	by := map[float64]int{}
	chosen := map[int]bool{}
	for _, x := range p.Trials {
		by[x.Share]++
		chosen[x.Trial] = true
	}
	if len(chosen) != 31 || by[1] > 8 || by[1] < 3 || by[out.Shares[0]] != 31 {
		t.Errorf("%d choices, judged by share %v", len(chosen), by)
	}
}

// The budget ends the search, before it is overrun, and what was found until then is the outcome.
func TestTuneKeepsBudget(t *testing.T) {
	d := tuneWorld(9 * leastShare)
	now := time.Unix(0, 0)
	tu := newTuner(d, func(v float64) *sharp { return &sharp{value: v, clock: &now} })
	tu.wall, tu.began = func() time.Time { return now }, now
	tu.Budget = 8 * time.Duration(d.Events.Len()) * time.Millisecond // eight trainings on all subjects
	var out Tuned
	if err := tu.run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if out.Stopped != stoppedBudget {
		t.Errorf("stopped by %s", out.Stopped)
	}
	whole := time.Duration(d.Events.Len()) * time.Millisecond // of which the comparison of the blends trains one part more
	if spent := now.Sub(time.Unix(0, 0)); spent > tu.Budget+whole || spent < tu.Budget*6/10 {
		t.Errorf("%v of %v were spent", spent, tu.Budget)
	}
	p := out.Parts[0]
	if len(p.Trials) < 12 || !p.Better || out.Whole == nil {
		t.Errorf("%d trials, better %v, whole %v", len(p.Trials), p.Better, out.Whole)
	}

	// Too little for all subjects: what stands in the file is judged on a share, and so is all else.
	now = time.Unix(0, 0)
	tu.began, tu.Budget, tu.questions, tu.relevant, tu.owner, tu.samples = now, tu.Budget/10, nil, nil, nil, nil
	out = Tuned{}
	if err := tu.run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if p := out.Parts[0]; p.Share == 1 || p.Share == 0 || len(p.Trials) < 3 {
		t.Errorf("on %v of the subjects, %d trials", p.Share, len(p.Trials))
	}
}

// A part that overruns the whole budget leaves none to those after it, however many they are.
func TestTuneOverrun(t *testing.T) {
	now := time.Unix(0, 0)
	tu := newTuner(tuneWorld(200), func(v float64) *sharp { return &sharp{value: v, clock: &now} })
	tu.wall, tu.began = func() time.Time { return now }, now
	for _, name := range []string{"second", "third", "fourth"} {
		p := tu.Parts[0]
		p.Part = name
		tu.Parts = append(tu.Parts, p)
	}
	tu.Budget = time.Millisecond // the first training takes many
	var out Tuned
	if err := tu.run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if out.Stopped != stoppedBudget || len(out.Parts) != 4 {
		t.Errorf("stopped by %s, %d parts", out.Stopped, len(out.Parts))
	}
	for i, p := range out.Parts {
		if len(p.Trials) > 1 || i == 0 && len(p.Trials) == 0 {
			t.Errorf("%s: %d trials", p.Part, len(p.Trials))
		}
	}
}

// Whoever interrupts keeps the best so far.
func TestTuneInterrupted(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	n := 0
	tu := newTuner(tuneWorld(200), func(v float64) *sharp {
		return &sharp{value: v, train: func(*models.Dataset, int64) {
			if n++; n == 9 {
				stop()
			}
		}}
	})
	tu.Trials = 50
	var out Tuned
	if err := tu.run(ctx, &out); err != nil {
		t.Fatal(err)
	}
	if p := out.Parts[0]; out.Stopped != stoppedInterrupted || len(p.Trials) != 8 || !p.Better || out.Whole != nil {
		t.Errorf("stopped by %s after %d trials, better %v", out.Stopped, len(p.Trials), p.Better)
	}
}

// A choice that cannot be trained is named and left; what stands in the file must be trainable.
func TestTuneFailures(t *testing.T) {
	bad := errors.New("diverged")
	tu := newTuner(tuneWorld(200), func(v float64) *sharp {
		if v < 1 {
			return &sharp{value: v, err: bad}
		}
		return &sharp{value: v}
	})
	tu.Trials = 10
	var out Tuned
	if err := tu.run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for _, x := range out.Parts[0].Trials {
		if x.Failed != "" {
			failed++
			if x.NDCG != nil || x.Values["value"] >= 1 {
				t.Errorf("%+v", x)
			}
		}
	}
	if failed < 2 || out.Parts[0].Best["value"] < 1 {
		t.Errorf("%d failed, best %v", failed, out.Parts[0].Best)
	}

	tu = newTuner(tuneWorld(200), func(v float64) *sharp { return &sharp{value: v, err: bad} })
	tu.Trials = 2
	if err := tu.run(t.Context(), &out); !errors.Is(err, bad) {
		t.Errorf("error %v", err)
	}
	tu = newTuner(tuneWorld(200), func(v float64) *sharp { return &sharp{value: v} })
	tu.data.Cuts.Test = tu.data.Cuts.Validation + 1 // an empty window
	if err := tu.run(t.Context(), &out); !errors.Is(err, ErrNoData) {
		t.Errorf("error %v", err)
	}
}

func TestTuningCheck(t *testing.T) {
	space := models.Space{{Name: "value", Low: 1, High: 2}}
	for name, o := range map[string]Tuning{
		"no end":      {Parts: []Tunable{{Part: "als", Space: space}}},
		"no space":    {Parts: []Tunable{{Part: "als"}}, Trials: 1},
		"no such":     {Parts: []Tunable{{Part: "als", Space: space}}, Trials: 1, Only: []string{"ease"}},
		"too many":    {Parts: []Tunable{{Part: "als", Space: space}}, Trials: maxTrials + 1},
		"not its own": {Parts: []Tunable{{Part: "als", Space: space}, {Part: "popular"}}, Trials: 1, Only: []string{"popular"}},
	} {
		if o.check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if o := (Tuning{Parts: []Tunable{{Part: "als", Space: space}}, Budget: 1}); o.check() != nil {
		t.Error(o.check())
	}
}

func TestEstimate(t *testing.T) {
	// Mean .5. Owner 0 has 1 and 1: its sum of deviations is 1. Owners 1 and 2 have 0 each: −.5 and −.5. Σ squares = 1.5; / n = 4.
	e := estimate([]float64{1, 0, 1, 0}, []int{0, 1, 0, 2})
	half := 1.96 * math.Sqrt(1.5) / 4
	if e.Value != 0.5 || math.Abs(e.Low-(0.5-half)) > 1e-12 || math.Abs(e.High-(0.5+half)) > 1e-12 {
		t.Errorf("%+v, want .5 ± %v", e, half)
	}
	if e := estimate(nil, nil); e != (models.Interval{}) {
		t.Errorf("of nothing: %+v", e)
	}
}

// A search among few people would print what is some person's: it is refused.
func TestTuneOfFewPeople(t *testing.T) {
	tu := newTuner(tuneWorld(models.MinSubjects-1), func(v float64) *sharp { return &sharp{value: v} })
	tu.Trials = 1
	var out Tuned
	if err := tu.run(t.Context(), &out); !errors.Is(err, ErrNoData) || len(out.Parts) > 0 {
		t.Errorf("a search among %d people: %v", out.Subjects, err)
	}
	tu = newTuner(tuneWorld(models.MinSubjects), func(v float64) *sharp { return &sharp{value: v} })
	tu.Trials = 1
	if err := tu.run(t.Context(), &out); err != nil {
		t.Errorf("a search among %d people: %v", models.MinSubjects, err)
	}
}
