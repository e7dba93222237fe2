package rerank

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/blend"
	"github.com/rapport-ml/rapport/models/modelstest"
)

// TestPassedOver: of what was shown in the time of a question, what was not chosen has been passed over; not what was shown before or after, to
// others, or is no candidate.
func TestPassedOver(t *testing.T) {
	d := modelstest.Checkerboard()
	at, until := d.Cuts.Rerank, d.Cuts.Rerank+1000
	me, other := d.Events.Subjects[3], d.Events.Subjects[4]
	show := func(s uint64, at int64, item int32) models.Event {
		return models.Event{Subject: s, Time: at, Item: item, Weight: 1}
	}
	d.Shown = models.NewEventLog([]models.Event{
		show(me, at-1, 1), show(me, at, 2), show(me, at+9, 2), show(me, at+10, 5), show(me, at+11, 7), show(me, until-1, 9), show(me, until, 4),
		show(me, at+12, 20), show(other, at+5, 6),
	})
	if err := d.Validate(); err != nil {
		t.Fatal(err)
	}
	list := shortlist{items: []int32{9, 7, 6, 5, 4, 2, 1}, base: []float32{7, 6, 5, 4, 3, 2, 1}}
	q := blend.Question{Row: 3, Query: d.Query(3, at, 5), Until: until, Relevant: []int32{7}}
	got := ask(&Model{}, d, []blend.Question{q}, []shortlist{list})[0]
	if want := []int{0, 3, 5}; !slices.Equal(got.passed, want) || !slices.Equal(got.hits, []int{1}) { // 9, 5 and 2; 7 was chosen
		t.Errorf("passed over are positions %v, want %v; hits %v", got.passed, want, got.hits)
	}
	d.Shown = models.EventLog{}
	if got := ask(&Model{}, d, []blend.Question{q}, []shortlist{list})[0]; got.passed != nil {
		t.Errorf("nothing was shown, and %v passed over", got.passed)
	}
}

// TestOdds: whatever is drawn how often, a candidate weighs in the loss what it weighs in the whole shortlist, and passedWeight times that if it
// was passed over.
func TestOdds(t *testing.T) {
	const rows = 60_000
	for _, passed := range [][]int{nil, {1, 30, 40}} {
		l := &lessons{questions: []asked{{passed: passed, list: shortlist{items: make([]int32, 50), base: make([]float32, 50)}}}}
		a := answer{chosen: []int{45}}
		r := rand.New(rand.NewPCG(1, 2))
		weight := make([]float64, 50)
		for range rows {
			drawn := l.draw(&a, 45, r)
			if drawn[0] != 45 {
				t.Fatalf("a row begins with candidate %d, not the chosen one", drawn[0])
			}
			for _, j := range drawn[1:] {
				weight[j] += float64(l.questions[0].odds(j)) / rows
			}
		}
		for j, got := range weight {
			want := float64(ofAll) / 50
			switch {
			case j == 45:
				want = 0
			case slices.Contains(passed, j):
				want *= passedWeight
			}
			// The chosen one is drawn again for somebody else: 2 % more of all others.
			if math.Abs(got-want) > 0.06*want {
				t.Errorf("%v passed over: candidate %d weighs %.4f, want %.4f", passed, j, got, want)
			}
		}
	}
}

// TestImpressionsAreNoSignal: they change the correction, and not the blend that is corrected.
func TestImpressionsAreNoSignal(t *testing.T) {
	var blends, all [2]string
	for i := range 2 {
		d := modelstest.Checkerboard()
		if i == 1 {
			var shown []models.Event
			for s, subject := range d.Events.Subjects {
				for at := d.Cuts.Base; at < d.Cuts.Test; at += (d.Cuts.Test - d.Cuts.Base) / 100 {
					shown = append(shown, models.Event{Subject: subject, Time: at, Item: int32((int(at/1e9) + s) % d.Catalog.Len()), Weight: 1})
				}
			}
			d.Shown = models.NewEventLog(shown)
		}
		m, err := trainer(true).Train(t.Context(), d, d.Cuts.Test, 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, all[i], err = models.Encode(m); err != nil {
			t.Fatal(err)
		}
		if _, blends[i], err = models.Encode(m.(*Model).Blend()); err != nil {
			t.Fatal(err)
		}
	}
	if blends[0] != blends[1] {
		t.Error("the blend learned from impressions")
	}
	if all[0] == all[1] {
		t.Error("the correction learned nothing from impressions: the test sees nothing")
	}
}

// TestSeesNothing: a network to which every feature is constant says the same of all candidates, which is taken away: the scores are the blend's.
func TestSeesNothing(t *testing.T) {
	d := modelstest.Checkerboard()
	tr := trainer(true)
	tr.Hyper.Context, tr.Sees = false, func(string) bool { return false }
	made, err := tr.Train(t.Context(), d, d.Cuts.Test, 1)
	if err != nil {
		t.Fatal(err)
	}
	m := made.(*Model)
	corrected, err := m.Bind(t.Context(), d.Catalog, d.SubjectColumns())
	if err != nil {
		t.Fatal(err)
	}
	base, err := m.BindBase(t.Context(), d.Catalog, d.SubjectColumns())
	if err != nil || base == nil {
		t.Fatalf("it does not correct: %v", err)
	}
	var rows [2][]float32
	for i, s := range []models.Scorer{corrected, base} {
		rows[i] = make([]float32, d.Catalog.Len())
		if err := s.Score(t.Context(), []models.Query{d.Query(1, d.Cuts.Test, 3)}, rows[i]); err != nil {
			t.Fatal(err)
		}
	}
	for i, v := range rows[0] {
		if math.Abs(float64(v-rows[1][i])) > 1e-6 {
			t.Errorf("item %d scores %v, the blend gives it %v", i, v, rows[1][i])
		}
	}
}
