package jobs

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/artifact"
)

// follower recommends what most often came after the last item of the history, by the weights of what it learned from.
type follower struct{ after [][]float64 }

func (f *follower) Name() string { return "follower" }

func (f *follower) Train(_ context.Context, d *models.Dataset, until int64, _ uint64) (models.Model, error) {
	out := &follower{make([][]float64, d.Catalog.Len())}
	for i := range out.after {
		out.after[i] = make([]float64, d.Catalog.Len())
	}
	for s := range d.Events.Subjects {
		h := d.Events.SubjectBetween(s, d.Cuts.Base, until)
		for i := 1; i < h.Len(); i++ {
			out.after[h.Item[i-1]][h.Item[i]] += float64(h.Weight[i])
		}
	}
	return out, nil
}

func (f *follower) Save(*artifact.Writer) error { return nil }

func (f *follower) Bind(context.Context, *models.Catalog, []string) (models.Scorer, error) {
	return f, nil
}

func (f *follower) Score(_ context.Context, q []models.Query, dst []float32) error {
	n := len(f.after)
	for k := range q {
		row := dst[k*n : (k+1)*n]
		clear(row)
		if h := q[k].History; h.Len() > 0 {
			for i, w := range f.after[h.Item[h.Len()-1]] {
				row[i] = float32(w)
			}
		}
	}
	return nil
}

// The world of experiments: windows of 10 days. Everybody starts with one of the first items. Of the even ones 3/5 go on with item 20 and 2/5 with item 21; the
// odd ones all go on with 21. All of that happens before the moved test cut at 30 and again in the window that is judged, [30, 40). What is in
// the real test window, [40, 50), is item 22 for all: nothing may learn of it.
func experimentWorld(t *testing.T, subjects int) *experiment {
	t.Helper()
	const items = 30
	var events []models.Event
	for s := range subjects {
		next := int32(21)
		if s%2 == 0 && s%5 < 3 {
			next = 20
		}
		first := int32(s % 2)
		for _, at := range []int64{5, 31} {
			events = append(events, models.Event{Subject: uint64(s), Time: at, Item: first, Weight: 1}, models.Event{Subject: uint64(s), Time: at + 1, Item: next, Weight: 1})
		}
		events = append(events, models.Event{Subject: uint64(s), Time: 29, Item: first, Weight: 1}, models.Event{Subject: uint64(s), Time: 45, Item: 22, Weight: 1})
	}
	d := &dataset{Dataset: models.Dataset{Catalog: &models.Catalog{}, Kinds: []string{"buy"}, Events: models.NewEventLog(events), Cuts: models.Cuts{Rerank: 30, Validation: 30, Test: 40, End: 50}}}
	for i := range items {
		d.Catalog.IDs = append(d.Catalog.IDs, string([]byte{'i', byte('0' + i/10), byte('0' + i%10)}))
	}
	clock := time.Unix(0, 0)
	e := &experiment{work: &work{
		Runner: &Runner{Wall: func() time.Time { clock = clock.Add(time.Second); return clock }},
		job:    &Job{Model: Model{Trainer: &follower{}, Seed: 1, Lists: Lists{K: 1}}, K: []int{1}},
		plan:   &plan{trainingDecisions: policy.Decide(policy.Purpose{Name: "p", Basis: policy.LegitimateInterest}, time.Unix(1, 0), nil, nil)},
	}}
	if err := e.begin(t.Context(), d, 0); err != nil {
		t.Fatal(err)
	}
	return e
}

// oneItem takes item 20 for 21, so that the even ones hear of nothing but 21.
func oneItem(d *models.Dataset) (*models.Dataset, error) {
	out := *d
	out.Events.Item = slices.Clone(d.Events.Item)
	for i, item := range out.Events.Item {
		if item == 20 {
			out.Events.Item[i] = 21
		}
	}
	return &out, nil
}

// TestExperiment: a variant is judged on the validation window, beside the model as it stands, for the same people.
func TestExperiment(t *testing.T) {
	e := experimentWorld(t, 200)
	if got := e.data.Events.Len(); got != 200*5 || slices.Contains(e.data.Events.Item, 22) {
		t.Errorf("%d events, some of which may be of the test window", got)
	}
	out, err := e.try(t.Context(), variant{name: "one item", data: oneItem})
	if err != nil {
		t.Fatal(err)
	}
	// nDCG@1 of 2 relevant items, the first item and the next: the list's one is the next or not. The even 100 hear 20, which 60 take, and the odd
	// 100 hear 21, which all take: .8. Where all are alike the even ones hear 21, which 40 take: .7.
	c := out.quality.Comparison(out.quality.Headline, eval.All, asItStands)
	if c == nil || math.Abs(*c.Difference - -0.1) > 1e-12 || c.N != 200 {
		t.Fatalf("difference %+v, want −.1 of 200", c)
	}
	d, n := paired(out.own, out.standing, nil)
	if n != 200 || math.Abs(d.Value - -0.1) > 1e-12 || !(d.Low < -0.1 && d.High > -0.1) {
		t.Errorf("paired %+v of %d", d, n)
	}
	// Of the even ones alone: .4 − .6.
	d, n = paired(out.own, out.standing, func(row int) bool { return e.task.Subject(row).Key%2 == 0 })
	if n != 100 || math.Abs(d.Value - -0.2) > 1e-12 {
		t.Errorf("the even ones: %+v of %d, want −.2 of 100", d, n)
	}
	if same, err := e.try(t.Context(), variant{name: "same"}); err != nil || !slices.Equal(same.own, same.standing) {
		t.Errorf("the model as it stands, tried again: %v", err)
	}
}

// TestExperimentServed: what is served from other data is asked with the history that is there, and masks by it.
func TestExperimentServed(t *testing.T) {
	e := experimentWorld(t, 200)
	forget := func(d *models.Dataset) (*models.Dataset, error) { // all but the first event of everybody
		out := *d
		out.Events = d.Events.Between(0, 6)
		return &out, nil
	}
	var mu sync.Mutex // people are asked side by side
	var asked []models.History
	look := variant{name: "forgetful", data: forget, trainer: lookedAt{func(q models.Query) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, q.History)
	}}}
	if _, err := e.try(t.Context(), look); err != nil {
		t.Fatal(err)
	}
	if len(asked) != 200 || asked[0].Len() != 3 {
		t.Errorf("%d are asked, the first with %d events: want 200, with 3", len(asked), asked[0].Len())
	}
	asked, look.served = nil, true
	if _, err := e.try(t.Context(), look); err != nil {
		t.Fatal(err)
	}
	if len(asked) != 200 || asked[0].Len() != 1 {
		t.Errorf("%d are asked, the first with %d events: want 200, with 1", len(asked), asked[0].Len())
	}
}

// lookedAt is a model that shows what it is asked.
type lookedAt struct{ look func(models.Query) }

func (l lookedAt) Name() string                { return "looked at" }
func (l lookedAt) Save(*artifact.Writer) error { return nil }
func (l lookedAt) Train(context.Context, *models.Dataset, int64, uint64) (models.Model, error) {
	return l, nil
}

func (l lookedAt) Bind(context.Context, *models.Catalog, []string) (models.Scorer, error) {
	return l, nil
}

func (l lookedAt) Score(_ context.Context, q []models.Query, dst []float32) error {
	for _, q := range q {
		l.look(q)
	}
	clear(dst)
	return nil
}

// TestExperimentRefuses: what cannot be asked the same, and a training window that has no place for another validation.
func TestExperimentRefuses(t *testing.T) {
	e := experimentWorld(t, 50)
	_, err := e.try(t.Context(), variant{name: "fewer", data: func(d *models.Dataset) (*models.Dataset, error) { return d.Sample(0.5), nil }})
	if err == nil || !strings.Contains(err.Error(), "fewer: its subjects") {
		t.Errorf("other subjects: %v", err)
	}
	d := e.data.Dataset // its validation window is [20, 30), and [0, 10) would be left
	if _, err := movedBack(&d); err != nil {
		t.Errorf("a window that is long enough: %v", err)
	}
	d.Cuts.Base = 10
	if _, err := movedBack(&d); !errors.Is(err, ErrNoData) {
		t.Errorf("a window that is too short: %v", err)
	}
}

// TestExperimentBudget: what would overrun the budget by what the last one took is not begun; the clock of the world moves a second at each look.
func TestExperimentBudget(t *testing.T) {
	e := experimentWorld(t, 50)
	e.budget = time.Hour
	if v := (variant{data: oneItem}); !e.affords(&v) {
		t.Error("an hour is not enough")
	}
	e.began, e.budget = e.Wall(), 10*time.Second
	e.training, e.asked = 9*time.Second, time.Second
	retrained, ranked := variant{data: oneItem}, variant{}
	if e.affords(&retrained) || !e.affords(&ranked) {
		t.Error("of 10 s, one is over: a training of 9 s and questions of 1 s do not fit, questions alone do")
	}
	if e.budget = 0; !e.affords(&retrained) {
		t.Error("without a budget something is too dear")
	}
}
