package next

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/modelstest"
)

// Neighbours of the suite's board have 10 subjects in common, one fewer than the default asks for.
func TestConformance(t *testing.T) {
	h := Defaults()
	h.MinSubjects = 10
	modelstest.TestTrainer(t, &Trainer{Hyper: h}, Load, modelstest.InCommon(h.MinSubjects))
}

func TestConformanceWithDaysOfMemory(t *testing.T) {
	h := Defaults()
	h.MinSubjects, h.HalfLife, h.Session, h.Steps, h.Neighbours = 5, 15*24*time.Hour, 24*time.Hour, 7, 6
	modelstest.TestTrainer(t, &Trainer{Hyper: h}, Load, modelstest.InCommon(h.MinSubjects))
}

const (
	minute = int64(60 * 1e6)
	hour   = 60 * minute
)

// dataset puts events over n items in their data set, the training window being all of it.
func dataset(n int, events []models.Event) *models.Dataset {
	d := &models.Dataset{Catalog: &models.Catalog{}, Kinds: []string{"view"}}
	for i := range n {
		d.Catalog.IDs = append(d.Catalog.IDs, fmt.Sprintf("i%03d", i))
	}
	end := int64(10_000) * hour
	d.Cuts = models.Cuts{Base: 0, Rerank: end, Validation: end, Test: end, End: end}
	d.Events = models.NewEventLog(events)
	return d
}

func fitted(t *testing.T, d *models.Dataset, h Hyper) (*Model, *scorer) {
	t.Helper()
	if err := d.Validate(); err != nil {
		t.Fatal(err)
	}
	m, err := (&Trainer{Hyper: h}).Train(t.Context(), d, d.Cuts.Test, 1)
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.Bind(t.Context(), d.Catalog, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m.(*Model), s.(*scorer)
}

func (x *matrix) at(i, j int32) float64 {
	col, val := x.row(i)
	if k, ok := slices.BinarySearch(col, j); ok {
		return float64(val[k])
	}
	return 0
}

// Two subjects, by hand. The first has a at 0, b and c at 1 h, a again at 2 h, d at 3 h; the second has a and b at the same moment.
func TestTransitionsByHand(t *testing.T) {
	const a, b, c, d = 0, 1, 2, 3
	e := func(s uint64, item int32, at int64) models.Event {
		return models.Event{Subject: s, Item: item, Time: at, Weight: 1}
	}
	data := dataset(4, []models.Event{
		e(1, a, 0), e(1, b, hour), e(1, c, hour), e(1, a, 2*hour), e(1, d, 3*hour),
		e(2, a, 0), e(2, b, 0),
	})
	m, _ := fitted(t, data, Hyper{HalfLife: time.Hour, MinSubjects: 1})
	for _, x := range []struct {
		from, to int32
		want     float64
	}{
		{a, b, (.5 + 1) / 4}, // an hour later, and at the same moment; three events of a and one more
		{a, c, .5 / 4},
		{a, d, .5 / 4},       // from the second a: what follows it does not follow the first
		{b, c, 1. / 3},       // at the same moment
		{b, a, (.5 + 1) / 3}, // an hour later, and at the same moment; two events of b and one more
		{b, d, .25 / 3},      // two hours later
		{c, b, 1. / 2},       // at the same moment
		{c, a, .5 / 2},       //
		{d, a, 0},
		{d, b, 0}, // nothing comes after d
	} {
		if got := m.after.at(x.from, x.to); math.Abs(got-x.want) > 1e-6 {
			t.Errorf("%d is followed by %d with %v, want %v", x.from, x.to, got, x.want)
		}
	}
	if m, _ := fitted(t, data, Hyper{HalfLife: time.Hour, MinSubjects: 2}); m.after.at(0, 1) == 0 || len(m.items) != 2 {
		t.Errorf("both subjects have the transition from a to b: %v", m.after)
	}
	// b never follows a at MinSubjects 2 when the second subject has it the other way round only.
	data = dataset(2, []models.Event{e(1, a, 0), e(1, b, hour), e(2, b, 0), e(2, a, hour)})
	if m, _ := fitted(t, data, Hyper{HalfLife: time.Hour, MinSubjects: 2}); len(m.after.col) != 0 {
		t.Errorf("each way was taken by one subject, and %v is kept", m.after)
	}
}

// naive counts as the package comment says, pair by pair.
func naive(d *models.Dataset, h Hyper) (after, together map[[2]int32]float64) {
	type set map[uint64]bool
	after, together = map[[2]int32]float64{}, map[[2]int32]float64{}
	whoAfter, whoWith, whoHas := map[[2]int32]set{}, map[[2]int32]set{}, map[int32]set{}
	events, sessionsOf, sessions := map[int32]int{}, map[int32]int{}, 0
	mark := func(m map[[2]int32]set, k [2]int32, s uint64) {
		if m[k] == nil {
			m[k] = set{}
		}
		m[k][s] = true
	}
	for row, s := range d.Events.Subjects {
		hist := d.Events.Subject(row)
		n := hist.Len()
		session := make([]int, n)
		for e := range n {
			if e == 0 || hist.Time[e]-hist.Time[e-1] > int64(h.Session/time.Microsecond) {
				sessions++
			}
			session[e] = sessions
			if whoHas[hist.Item[e]] == nil {
				whoHas[hist.Item[e]] = set{}
			}
			whoHas[hist.Item[e]][s] = true
			events[hist.Item[e]]++
			counted := map[int32]bool{}
			for f := e + 1; f < n && hist.Item[f] != hist.Item[e]; f++ {
				k := [2]int32{hist.Item[e], hist.Item[f]}
				if age := hist.Time[f] - hist.Time[e]; !counted[hist.Item[f]] && age <= h.reach() {
					counted[hist.Item[f]] = true
					after[k] += math.Pow(.5, float64(age)/float64(h.HalfLife/time.Microsecond))
					mark(whoAfter, k, s)
				}
			}
			for f := range e {
				if k := [2]int32{hist.Item[e], hist.Item[f]}; hist.Time[f] == hist.Time[e] && k[0] != k[1] && !counted[k[1]] {
					counted[k[1]] = true
					after[k]++
					mark(whoAfter, k, s)
				}
			}
		}
		inSession := map[int]map[int32]bool{}
		for e := range n {
			if inSession[session[e]] == nil {
				inSession[session[e]] = map[int32]bool{}
			}
			inSession[session[e]][hist.Item[e]] = true
		}
		for _, items := range inSession {
			for i := range items {
				sessionsOf[i]++
				for j := range items {
					if i != j {
						together[[2]int32{i, j}]++
						mark(whoWith, [2]int32{i, j}, s)
					}
				}
			}
		}
	}
	k := float64(h.MinSubjects)
	for p, v := range after {
		after[p] = v / (float64(events[p[0]]) + k)
		if len(whoAfter[p]) < h.MinSubjects {
			delete(after, p)
		}
	}
	for p, both := range together {
		expected := float64(sessionsOf[p[0]]) * float64(sessionsOf[p[1]]) / float64(sessions)
		together[p] = (both+k)/(expected+k) - 1
		if len(whoWith[p]) < h.MinSubjects || together[p] <= 0 {
			delete(together, p)
		}
	}
	return after, together
}

// walks returns subjects who tend to go from an item to the one after it, in sessions.
func walks(seed uint64, subjects, items int) *models.Dataset {
	rng := rand.New(rand.NewPCG(seed, 5))
	var events []models.Event
	for s := range subjects {
		at, item := rng.Int64N(100*hour), int32(rng.IntN(items))
		for range 5 + rng.IntN(30) {
			events = append(events, models.Event{Subject: uint64(s + 1), Item: item, Time: at, Weight: 1})
			if item++; rng.IntN(3) == 0 {
				item = int32(rng.IntN(items))
			}
			item %= int32(items)
			at += minute + rng.Int64N(10)*minute
			if rng.IntN(6) == 0 {
				at += rng.Int64N(40 * hour)
			}
		}
	}
	return dataset(items, events)
}

func TestCountsAreTheNaiveOnes(t *testing.T) {
	for _, h := range []Hyper{
		{HalfLife: 3 * time.Hour, Session: 20 * time.Minute, Steps: 1000, Neighbours: 100, MinSubjects: 1},
		{HalfLife: 50 * time.Hour, Session: 5 * time.Minute, Steps: 1000, Neighbours: 100, MinSubjects: 6},
	} {
		d := walks(1, 150, 12)
		m, _ := fitted(t, d, h)
		after, together := naive(d, h)
		for i := range int32(12) {
			for j := range int32(12) {
				if got, want := m.after.at(i, j), after[[2]int32{i, j}]; math.Abs(got-want) > 1e-6 {
					t.Errorf("%v: %d is followed by %d with %v, want %v", h, i, j, got, want)
				}
				if got, want := m.together.at(i, j), together[[2]int32{i, j}]; math.Abs(got-want) > 1e-5 {
					t.Errorf("%v: %d comes with %d with %v, want %v", h, i, j, got, want)
				}
			}
		}
		if len(after) < 30 || len(together) < 20 {
			t.Errorf("%v: %d transitions and %d pairs: the case tests little", h, len(after), len(together))
		}
	}
}

// The order of a chain is learned, which no model of sets can: after item i comes i+1, not i−1.
func TestOrderMatters(t *testing.T) {
	d := walks(2, 400, 30)
	_, s := fitted(t, d, Defaults())
	dst, right := make([]float32, 30), 0
	for i := range int32(30) {
		q := models.Query{At: 500 * hour, History: models.History{Item: []int32{i}, Time: []int64{500*hour - minute}, Kind: []uint8{0}, Weight: []float32{1}}}
		if err := s.Score(t.Context(), []models.Query{q}, dst); err != nil {
			t.Fatal(err)
		}
		if int32(slices.Index(dst, slices.Max(dst))) == (i+1)%30 {
			right++
		}
		if dst[(i+1)%30] <= dst[(i+29)%30] {
			t.Errorf("after %d the one before it (%v) ranks with the next one (%v)", i, dst[(i+29)%30], dst[(i+1)%30])
		}
	}
	if right < 28 {
		t.Errorf("the next item is first for %d of 30", right)
	}
}

// Recent events outweigh old ones by the half-life, and what happened more than six half-lives before the last event is forgotten.
func TestIntentFades(t *testing.T) {
	_, s := fitted(t, walks(3, 400, 30), Hyper{HalfLife: time.Hour})
	score := func(items []int32, times []int64) []float32 {
		n := len(items)
		dst := make([]float32, 30)
		q := models.Query{At: 600 * hour, History: models.History{Item: items, Time: times, Kind: make([]uint8, n), Weight: slices.Repeat([]float32{1}, n)}}
		if err := s.Score(t.Context(), []models.Query{q}, dst); err != nil {
			t.Fatal(err)
		}
		return dst
	}
	now, before := score([]int32{4}, []int64{600 * hour}), score([]int32{4}, []int64{599 * hour})
	for i := range now {
		if math.Abs(float64(before[i])-float64(now[i])/2) > 1e-7 {
			t.Fatalf("item %d: %v after an hour, %v at once", i, before[i], now[i])
		}
	}
	if both, forgot := score([]int32{10, 4}, []int64{593 * hour, 600 * hour}), now; !slices.Equal(both, forgot) {
		t.Error("an event of seven half-lives before the last one still counts")
	}
	if again := score([]int32{4, 4}, []int64{598 * hour, 600 * hour}); !slices.Equal(again, now) {
		t.Error("an item counts by its latest event alone")
	}
}

func TestTogetherOfTooFewSubjectsIsNotThere(t *testing.T) {
	pairs := func(both int) *scorer {
		var events []models.Event
		for s := range 100 {
			events = append(events, models.Event{Subject: uint64(s + 1), Item: int32(s % 4), Weight: 1})
			if s%4 < 2 && s/4 < both {
				// One subject meets the pair a hundred times.
				for r := range int64(100) {
					events = append(events, models.Event{Subject: uint64(s + 1), Item: 0, Time: r * 10 * hour, Weight: 1}, models.Event{Subject: uint64(s + 1), Item: 1, Time: r * 10 * hour, Weight: 1})
				}
			}
		}
		_, s := fitted(t, dataset(4, events), Hyper{MinSubjects: 11})
		return s
	}
	items, scores := make([]int32, 3), make([]float32, 3)
	if n, err := pairs(5).Related(t.Context(), models.RelatedTogether, 0, items, scores); err != nil || n != 0 {
		t.Errorf("10 subjects have both, and the list holds %v: %v", items[:n], err)
	}
	s := pairs(6)
	if n, err := s.Related(t.Context(), models.RelatedTogether, 0, items, scores); err != nil || n != 1 || items[0] != 1 {
		t.Errorf("12 subjects have both, and the list holds %v: %v", items[:n], err)
	}
	if _, err := s.Related(t.Context(), models.RelatedSimilar, 0, items, scores); err == nil {
		t.Error("a list of a kind that there is not")
	}
	for _, item := range []int32{-1, 4} {
		if _, err := s.Related(t.Context(), models.RelatedTogether, item, items, scores); err == nil {
			t.Errorf("a list beside item %d of 4", item)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Related(ctx, models.RelatedTogether, 1, items, scores); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancellation: %v", err)
	}
}

func TestSameBytesAtAnyNumberOfProcessors(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	d := walks(4, 300, 60)
	var want string
	for _, procs := range []int{1, 2, 3, 8} {
		runtime.GOMAXPROCS(procs)
		m, _ := fitted(t, d, Hyper{MinSubjects: 3, Neighbours: 9})
		_, digest, err := models.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		if want == "" {
			want = digest
		}
		if digest != want {
			t.Errorf("at GOMAXPROCS %d the artifact differs", procs)
		}
	}
}

func TestHalfLifeFollowsTheData(t *testing.T) {
	for _, pause := range []int64{hour * 3, 24 * hour, 30 * 24 * hour, 300 * 24 * hour} {
		var events []models.Event
		for s := range 20 {
			for v := range int64(4) {
				events = append(events, models.Event{Subject: uint64(s + 1), Item: int32(v % 2), Time: v * pause, Weight: 1})
			}
		}
		d := dataset(2, events)
		d.Cuts.Test, d.Cuts.End = 10*pause, 10*pause
		d.Cuts.Validation, d.Cuts.Rerank = d.Cuts.Test, d.Cuts.Test
		m, _ := fitted(t, d, Defaults())
		if want := min(8*time.Duration(pause)*time.Microsecond, 365*24*time.Hour); m.hyper.HalfLife != want {
			t.Errorf("visits every %v: half-life %v, want %v", time.Duration(pause)*time.Microsecond, m.hyper.HalfLife, want)
		}
	}
}

func TestBadInputIsNamed(t *testing.T) {
	d := walks(1, 20, 5)
	for _, h := range []Hyper{{HalfLife: -1}, {Session: -1}, {Steps: -1}, {Steps: maxSteps + 1}, {Neighbours: -1}, {Neighbours: 1 << 20}, {MinSubjects: -1}} {
		if _, err := (&Trainer{Hyper: h}).Train(t.Context(), d, d.Cuts.Test, 1); err == nil {
			t.Errorf("%+v is taken", h)
		}
	}
	// A subject of very many events in one session: bounded work.
	var events []models.Event
	for e := range 50_000 {
		events = append(events, models.Event{Subject: 1, Item: int32(e % 3), Time: int64(e), Weight: 1})
	}
	fitted(t, dataset(3, events), Hyper{MinSubjects: 1})
	// Every event at one moment, and no events at all.
	for i := range events[:1000] {
		events[i].Time = 0
	}
	fitted(t, dataset(3, events[:1000]), Hyper{MinSubjects: 1})
	fitted(t, dataset(3, nil), Hyper{})
}

// The rule is bounded on both sides, by pauses of 56 years too, which an event at time 0 makes.
func TestRuleForHalfLife(t *testing.T) {
	const day = 24 * time.Hour
	for pause, want := range map[time.Duration]time.Duration{
		0: time.Hour, time.Minute: time.Hour, 3 * time.Hour: day, 7 * day: 56 * day, 100 * day: 365 * day, 56 * 365 * day: 365 * day,
	} {
		if got := ruleFor(float64(pause / time.Microsecond)); got != want {
			t.Errorf("pauses of %v: %v, want %v", pause, got, want)
		}
	}
}
