package jobs

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/artifact"
	"github.com/rapport-ml/rapport/storage/table"
)

const dayMicros = int64(24 * time.Hour / time.Microsecond)

// clubs is a model of what people of one club take: it reads the attribute club, or team, which says the same. Who has neither hears what most take.
type clubs struct {
	trained func()
	by      map[string][]float64
	column  int    // of a query's attributes; −1: none
	reads   string // the attribute
}

func (c *clubs) Name() string { return "clubs" }

func (c *clubs) Save(w *artifact.Writer) error {
	w.JSON("by", c.by)
	w.JSON("reads", c.reads)
	return nil
}

func (c *clubs) Train(ctx context.Context, d *models.Dataset, until int64, _ uint64) (models.Model, error) {
	if c.trained != nil {
		c.trained()
	}
	out := &clubs{by: map[string][]float64{}, column: clubColumn(d.SubjectColumns())}
	if out.column >= 0 {
		out.reads = d.SubjectColumns()[out.column]
	}
	for s := range d.Events.Subjects {
		h := d.Events.SubjectBetween(s, d.Cuts.Base, until)
		for _, level := range []string{"", out.level(d.Query(s, until, 1).Subject)} {
			if out.by[level] == nil {
				out.by[level] = make([]float64, d.Catalog.Len())
			}
			for i, item := range h.Item {
				out.by[level][item] += float64(h.Weight[i])
			}
		}
	}
	return out, ctx.Err()
}

func clubColumn(names []string) int {
	return slices.IndexFunc(names, func(n string) bool { return n == "club" || n == "team" })
}

func (c *clubs) level(subject []string) string {
	if c.column < 0 {
		return ""
	}
	return subject[c.column]
}

func (c *clubs) Bind(_ context.Context, _ *models.Catalog, columns []string) (models.Scorer, error) {
	return &clubs{by: c.by, column: clubColumn(columns)}, nil
}

func (c *clubs) Score(_ context.Context, q []models.Query, dst []float32) error {
	n := len(c.by[""])
	for k := range q {
		for i, x := range c.by[c.level(q[k].Subject)] {
			dst[k*n+i] = float32(x)
		}
	}
	return nil
}

// clubWorld is people of two clubs, 3 in 5 of one, who take the item of their club on days 5, 60 and 99, and again in the window that is judged, days [100, 110).
// The real test window, days [110, 120), is out of sight.
func clubWorld(t *testing.T, people int, trainer models.Trainer) *minimizer {
	t.Helper()
	var events []models.Event
	levels := make([]string, people)
	shoes := make([]float64, people)
	for s := range people {
		item, level := int32(1), "reds"
		if s%5 < 2 {
			item, level = 2, "blues"
		}
		levels[s], shoes[s] = level, 36+float64(s%9)+0.5*float64(s%2)
		for i, day := range []int64{5, 60, 99, 101, 115} {
			if i == 0 && s%3 == 0 { // some come later
				continue
			}
			events = append(events, models.Event{Subject: uint64(s + 1), Time: day*dayMicros + int64(s%24)*dayMicros/24, Item: item, Weight: 1})
		}
	}
	d := &dataset{Dataset: models.Dataset{
		Catalog: &models.Catalog{IDs: []string{"a", "b", "c", "d"}}, Kinds: []string{"buy"}, Events: models.NewEventLog(events),
		Subjects: &models.Attributes{
			N: people, Cats: []models.CatColumn{models.NewCatColumn("club", levels), models.NewCatColumn("team", levels)},
			Nums: []models.NumColumn{{Name: "shoe", Values: shoes}},
		},
		Cuts: models.Cuts{Rerank: 100 * dayMicros, Validation: 100 * dayMicros, Test: 110 * dayMicros, End: 120 * dayMicros},
	}}
	d.facts.NSubjects = people
	every, err := table.EveryOf("1d", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	clock := time.Unix(0, 0)
	e := &experiment{facts: Experiment{K: 1}, work: &work{
		Runner: &Runner{Wall: func() time.Time { clock = clock.Add(time.Second); return clock }},
		job: &Job{
			Name: "nightly", Every: every, Model: Model{Trainer: trainer, Seed: 1, Lists: Lists{K: 1}}, K: []int{1}, Cohort: []string{Activity}, Last: 10 * 24 * time.Hour,
			Minimize: Minimizing{Margin: 0.005, Sensitive: map[string][]string{"subjects": {"shoe"}}},
		},
		plan: &plan{trainingDecisions: policy.Decide(policy.Purpose{Name: "p", Basis: policy.LegitimateInterest}, time.Unix(1, 0), nil, nil)},
	}}
	if err := e.begin(t.Context(), d, 0); err != nil {
		t.Fatal(err)
	}
	return &minimizer{experiment: e}
}

func (m *minimizer) row(t *testing.T, name string) *eval.Worth {
	t.Helper()
	for i := range m.out.Rows {
		if m.out.Rows[i].Name == name {
			return &m.out.Rows[i]
		}
	}
	t.Fatalf("no row %s", name)
	return nil
}

// TestMinimize: two attributes that say the same can be done without one by one, and not both; the one that the model does not read while there is the other, and what it
// never reads, are said not to be read; what nothing depends on goes, and the sentence says so.
func TestMinimize(t *testing.T) {
	m := clubWorld(t, 200, &clubs{})
	if err := m.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	out := &m.out
	if out.Stopped != stoppedTrials || out.Asked != 200 || out.People != 200 || out.Sampled || *out.Standing.Value != 1 || out.Metric != "ndcg@1" {
		t.Errorf("%+v", out)
	}
	for _, r := range out.Rows {
		want := eval.Droppable
		if r.Name == "shoe" || r.Name == "team" {
			want = eval.Unread
		}
		if r.Verdict != want || *r.Loss.Value != 0 || (want == eval.Unread) != strings.HasSuffix(r.Says, "leaves the lists as they are: the model does not read it") {
			t.Errorf("%s %s: %s, loss %v: %s", r.Family, r.Name, r.Verdict, *r.Loss.Value, r.Says)
		}
		if len(r.Groups) == 0 {
			t.Errorf("%s %s: no group of the activity cohort is judged", r.Family, r.Name)
		}
	}
	p := out.Proposal
	if p == nil || len(p.Without) != 1 || p.Judged.Verdict != eval.Droppable || p.Judged.Family != eval.AllAtOnce {
		t.Fatalf("proposal %+v", p)
	}
	var all []string
	all = append(append(all, p.Drop...), p.Without...)
	for _, want := range []string{"not reading the attribute club of people", "not reading the attribute team of people", "not reading the attribute shoe of people", "telling times to the day"} {
		if !slices.Contains(all, want) {
			t.Errorf("%q is neither proposed nor left out again: %q", want, all)
		}
	}
	if w := p.Without[0]; w != "not reading the attribute club of people" && w != "not reading the attribute team of people" {
		t.Errorf("what is not droppable beside the other is %q", w)
	}
	// Of all histories a week stores least, and says so with the 95 days that there are: the first events are of day 5.
	if !slices.Contains(p.Drop, "storing 7 days instead of 95 days") && !slices.Contains(p.Drop, "storing the last event of each person") {
		t.Errorf("proposed: %q", p.Drop)
	}
	if !strings.HasSuffix(out.Says, " costs 0.0 % ± 0.0 % ndcg@1") {
		t.Error(out.Says)
	}
	if len(out.Drop.Reads["subjects"]) != 2 {
		t.Errorf("a project file would say %+v", out.Drop)
	}
	if first := m.rows[1]; first.Name != "shoe" || !first.Sensitive {
		t.Errorf("after the history, %s is tried first, not what is declared sensitive", first.Name)
	}
	again := clubWorld(t, 200, &clubs{})
	if err := again.run(t.Context()); err != nil || again.out.Says != out.Says || !reflect.DeepEqual(costs(again.out.Rows), costs(out.Rows)) {
		t.Errorf("made again it says %q, and other costs: %v", again.out.Says, err)
	}
}

func costs(rows []eval.Worth) (out []eval.PrivacyCost) {
	for _, r := range rows {
		out = append(out, r.Cost)
	}
	return out
}

// TestMinimizeNeeded: an attribute that nothing stands in for is needed, by the third that two people in five lose, and nothing is proposed for it.
func TestMinimizeNeeded(t *testing.T) {
	m := clubWorld(t, 200, &clubs{})
	m.data.Subjects = withoutColumn(m.data.Subjects, "team")
	if err := m.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := m.row(t, "club")
	if r.Verdict != eval.Needed || *r.Value.Value != 0.6 || *r.Loss.Value < 0.39 || *r.Loss.Value > 0.41 || r.N != 200 {
		t.Errorf("%+v", r)
	}
	if !strings.Contains(r.Says, "costs 40.0 % ± ") {
		t.Error(r.Says)
	}
	if p := m.out.Proposal; p == nil || slices.ContainsFunc(p.Drop, func(d string) bool { return strings.Contains(d, "club") }) {
		t.Errorf("%+v", p)
	}
}

// TestMinimizeBudget: what the budget does not reach is named, and is no verdict. Each look at the clock takes a second.
func TestMinimizeBudget(t *testing.T) {
	m := clubWorld(t, 50, &clubs{})
	m.began, m.budget = m.Wall(), 30*time.Second
	if err := m.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	by := map[eval.WorthVerdict]int{}
	for _, r := range m.out.Rows {
		by[r.Verdict]++
		if r.Verdict == eval.NotReached && !strings.Contains(r.Says, "was not judged") {
			t.Error(r.Says)
		}
	}
	if m.out.Stopped != stoppedBudget || by[eval.NotReached] == 0 || by[eval.Droppable] == 0 || m.out.Rows[0].Family != familyHistory {
		t.Errorf("stopped by %s, %v", m.out.Stopped, by)
	}
	if m.out.Proposal == nil {
		t.Error("time for a proposal is kept")
	}
	m = clubWorld(t, 50, &clubs{})
	m.began, m.budget = m.Wall(), time.Nanosecond
	if err := m.run(t.Context()); err != nil || m.out.Proposal != nil || m.out.Standing.Value != nil || !strings.HasPrefix(m.out.Says, "nothing is proposed") {
		t.Errorf("without any time: %v, %q", err, m.out.Says)
	}
}

// TestMinimizeInterrupted: what was found until then is the outcome.
func TestMinimizeInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	m := clubWorld(t, 50, &clubs{trained: func() {
		if n++; n == 4 {
			cancel()
		}
	}})
	if err := m.run(ctx); err != nil {
		t.Fatal(err)
	}
	judged := 0
	for _, r := range m.out.Rows {
		if r.Loss.Value != nil {
			judged++
		}
	}
	if !m.out.Interrupted() || judged != 2 || m.out.Proposal != nil {
		t.Errorf("stopped by %s with %d judged, proposal %v", m.out.Stopped, judged, m.out.Proposal)
	}
}

// TestMinimizeFails: without it nothing can be trained, and the others are judged all the same.
func TestMinimizeFails(t *testing.T) {
	m := clubWorld(t, 50, needsShoes{&clubs{}})
	if err := m.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := m.row(t, "shoe"); r.Verdict != eval.Failed || !strings.Contains(r.Says, "no shoes, no model") {
		t.Errorf("%s: %s", r.Verdict, r.Says)
	}
	if r := m.row(t, "club"); r.Verdict != eval.Droppable {
		t.Error(r.Verdict)
	}
}

type needsShoes struct{ models.Trainer }

func (n needsShoes) Train(ctx context.Context, d *models.Dataset, until int64, seed uint64) (models.Model, error) {
	if d.Subjects.Num("shoe") == nil {
		return nil, fmt.Errorf("no shoes, no model")
	}
	return n.Trainer.Train(ctx, d, until, seed)
}

// TestLeavingOut: each way to leave something out gives a valid data set of the same people, changes nothing of what it is given, and leaves out what it says.
func TestLeavingOut(t *testing.T) {
	d := awkward()
	before := fmt.Sprint(d.Events, d.Shown, d.Cuts)
	for name, out := range map[string]*models.Dataset{
		"28 days": lastOf(d, 28*24*time.Hour), "an hour": lastOf(d, time.Hour), "last 3": lastEvents(d, 3), "random 3": randomEvents(d, 3, 7), "last 1": lastEvents(d, 1),
		"hour": coarseTimes(d, time.Hour, time.UTC), "day": coarseTimes(d, 24*time.Hour, berlin(t)), "week": coarseTimes(d, 7*24*time.Hour, berlin(t)),
		"kinds": weighAlike(d, map[string]float64{"buy": 3}), "device": withoutContext(d, "device"),
	} {
		if err := out.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !slices.Equal(out.Events.Subjects, d.Events.Subjects) || out.Cuts.Test != d.Cuts.Test || out.Cuts.End != d.Cuts.End {
			t.Errorf("%s: other people, or another test", name)
		}
		if got := fmt.Sprint(d.Events, d.Shown, d.Cuts); got != before {
			t.Fatalf("%s changes what it is given", name)
		}
		n := map[string]int{"last 3": 3, "random 3": 3, "last 1": 1}[name]
		for s := range out.Events.Subjects {
			h, all := out.Events.SubjectBetween(s, out.Cuts.Base, out.Cuts.Test), d.Events.SubjectBetween(s, d.Cuts.Base, d.Cuts.Test)
			if n > 0 && h.Len() != min(n, all.Len()) {
				t.Errorf("%s: person %d has %d events of %d", name, s, h.Len(), all.Len())
			}
			if strings.HasPrefix(name, "last") && h.Len() > 0 && !slices.Equal(h.Time, all.Time[all.Len()-h.Len():]) {
				t.Errorf("%s: person %d keeps others than the last", name, s)
			}
			if n == 0 && !strings.HasSuffix(name, "days") && name != "an hour" && h.Len() != all.Len() {
				t.Errorf("%s: person %d has %d events of %d", name, s, h.Len(), all.Len())
			}
		}
	}
	if few, many := randomEvents(d, 2, 7), randomEvents(d, 5, 7); !holds(many, few) {
		t.Error("five drawn events do not hold two")
	}
	if one, other := randomEvents(d, 2, 7), randomEvents(d, 2, 8); reflect.DeepEqual(one.Events, other.Events) {
		t.Error("two seeds draw the same")
	}
	for i, w := range weighAlike(d, map[string]float64{"buy": 3}).Events.Weight {
		if want := d.Events.Weight[i] / []float32{3, 1}[d.Events.Kind[i]]; w != want {
			t.Fatalf("event %d weighs %v, want %v", i, w, want)
		}
	}
	for _, c := range withoutContext(d, "device").Events.Context {
		if c.Level(0) != 0 || c.Level(1) == 0 {
			t.Fatalf("context %x: want no device, and the other column as it was", c)
		}
	}
	short := lastOf(d, 28*24*time.Hour)
	if c := short.Cuts; c.Base != c.Test-28*dayMicros || c.Test-c.Validation != 7*dayMicros || c.Validation-c.Rerank != 7*dayMicros {
		t.Errorf("cuts of 28 days: %+v", c)
	}
}

// holds reports whether a has all events of b.
func holds(a, b *models.Dataset) bool {
	for s := range b.Events.Subjects {
		x, y := a.Events.Subject(s), b.Events.Subject(s)
		for i := range y.Len() {
			if !slices.Contains(x.Time, y.Time[i]) {
				return false
			}
		}
	}
	return true
}

// TestCoarseTimes: times fall to the beginning of their hour, day or week in the calendar, and never out of their window.
func TestCoarseTimes(t *testing.T) {
	loc := berlin(t)
	at := func(s string) int64 {
		x, err := time.ParseInLocation("2006-01-02 15:04", s, loc)
		if err != nil {
			t.Fatal(err)
		}
		return x.UnixMicro()
	}
	for _, c := range []struct {
		to         time.Duration
		time, want string
	}{
		{time.Hour, "2026-03-10 13:45", "2026-03-10 13:00"},
		{24 * time.Hour, "2026-03-10 13:45", "2026-03-10 00:00"},
		{24 * time.Hour, "2026-03-29 23:30", "2026-03-29 00:00"},     // a day of 23 hours
		{7 * 24 * time.Hour, "2026-03-12 13:45", "2026-03-09 00:00"}, // a Thursday, to its Monday
		{7 * 24 * time.Hour, "2026-04-01 12:00", "2026-04-01 09:00"}, // the test window begins in the middle of the week
		{24 * time.Hour, "2026-04-01 08:59", "2026-04-01 00:00"},
	} {
		d := &models.Dataset{
			Catalog: &models.Catalog{IDs: []string{"a"}}, Kinds: []string{"buy"}, Events: models.NewEventLog([]models.Event{{Subject: 1, Time: at(c.time), Weight: 1}}),
			Cuts: models.Cuts{Base: at("2026-01-01 00:00"), Rerank: at("2026-02-01 00:00"), Validation: at("2026-02-01 00:00"), Test: at("2026-04-01 09:00"), End: at("2026-04-08 09:00")},
		}
		if got := coarseTimes(d, c.to, loc).Events.Time[0]; got != at(c.want) {
			t.Errorf("%s to %s is %s, want %s", c.time, c.to, timeOf(got).In(loc), c.want)
		}
	}
}

func berlin(t *testing.T) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// awkward is people with many events, one, and none, at equal times, with kinds, contexts and impressions.
func awkward() *models.Dataset {
	var events []models.Event
	var shown []models.Event
	x := uint64(1)
	for s := range 30 {
		n := []int{0, 1, 2, 9, 40}[s%5]
		for range n {
			x = draw(x, uint64(s))
			at := int64(x % uint64(100*dayMicros))
			if x%7 == 0 {
				at -= at % dayMicros
			}
			e := models.Event{Subject: uint64(s), Time: at, Item: int32(x % 11), Kind: uint8(x >> 20 % 2), Weight: float32(1 + x%3), Context: models.Context(0).With(0, int(x>>8%3)).With(1, 1+int(x>>12%2))}
			events = append(events, e)
			e.Context, e.Weight, e.Kind = 0, 1, 0
			shown = append(shown, e)
		}
	}
	d := &models.Dataset{
		Catalog: &models.Catalog{IDs: []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"}}, Kinds: []string{"buy", "view"}, Events: models.NewContextLog(events), Shown: models.NewEventLog(shown),
		Contexts: &models.Contexts{Columns: []models.ContextColumn{{Name: "device", Levels: []string{"app", "web"}}, {Name: "weekday", Levels: []string{"fri", "mon"}}}},
		Cuts:     models.Cuts{Rerank: 60 * dayMicros, Validation: 70 * dayMicros, Test: 80 * dayMicros, End: 100 * dayMicros},
	}
	return d
}

// TestTelling counts combinations by hand: 11 people with {1}, one with {1, 2} told twice and in another order, two with {3}, and one without a value.
func TestTelling(t *testing.T) {
	tell := newTelling()
	add := func(values ...uint64) {
		for _, v := range values {
			tell.value(v)
		}
		tell.next()
	}
	for range 11 {
		add(1, 1)
	}
	for range 11 {
		add(2, 1)
	}
	add(1, 2, 1)
	for range 2 {
		add(3)
	}
	add()
	n, unique, small := tell.count()
	if n != 25 || !reflect.DeepEqual(unique, eval.ShareOf(0, 25)) || !reflect.DeepEqual(small, eval.ShareOf(2, 25)) {
		t.Errorf("%d people, unique %s, small %s", n, unique, small)
	}
	for range 11 { // eleven whom nobody is like
		add(uint64(100 + len(tell.people)))
	}
	if n, unique, small = tell.count(); n != 36 || unique.String() != "30.6 %" || small.String() != "36.1 %" { // 11 of 36, 13 of 36
		t.Errorf("%d people, unique %s, small %s", n, unique, small)
	}
	few := newTelling()
	few.value(1)
	few.next()
	if c := few.cost(); c.People != 0 || c.Unique.Bound == "" {
		t.Errorf("of one person %+v is told", c)
	}
}

// TestAttributeCost: what an attribute adds to the others, and what it tells more coarsely.
func TestAttributeCost(t *testing.T) {
	m := clubWorld(t, 90, &clubs{})
	shoe := attributeCost(&m.data.Dataset, "shoe")
	// Shoes are 36 + s mod 9 + half if s is odd: 18 sizes of 5 people each; in tens they are all 40. With the club, s mod 5, each of 18 sizes falls into 2 and 3.
	if shoe.People != 90 || shoe.Unique.String() != "0.0 %" || shoe.Small.String() != "100.0 %" || len(shoe.Coarser) != 1 || shoe.Coarser[0].Small.String() != "0.0 %" {
		t.Errorf("%+v", shoe)
	}
	club := attributeCost(&m.data.Dataset, "club")
	if club.Small.String() != "0.0 %" || club.Together == nil || club.Together.String() != "0.0 %" {
		t.Errorf("%+v", club)
	}
}
