package jobs

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/models"
)

// spared is one thing to do without: what is known of it, and what the training set is without it. A nil data is of what no model reads; what this one does not read
// its training tells.
type spared struct {
	eval.Worth
	data func(*models.Dataset) (*models.Dataset, error)
	// only compares and is never proposed, as a project cannot ask for it.
	only bool
	// keep is how much history is stored, 0: all.
	keep time.Duration
	// column is the data set and the column that would not be read, "": none.
	set, column string
}

// The lengths of history that are tried, in the order in which they tell most: first the middle, then either side.
var (
	sparedDays  = []int{90, 28, 180, 7}
	sparedLast  = []int{20, 5, 50, 10, 1}
	sparedTimes = []struct {
		name string
		to   time.Duration
	}{{"day", 24 * time.Hour}, {"hour", time.Hour}, {"week", 7 * 24 * time.Hour}}
)

// The families of what can be left out, as package eval orders them.
const (
	familyHistory  = "history"
	familyTime     = "time"
	familySubjects = "subjects"
	familyEvents   = "events"
	familyItems    = "items"
	familyViews    = "views"
)

// spareable lists what a job could do without, with what it tells of people: one family after another in turn, so that whatever time there is tells of
// each, in a family what tells most first, and what only compares last.
func (e *experiment) spareable(ctx context.Context) ([]spared, error) {
	events, err := e.spareEvents(ctx)
	if err != nil {
		return nil, err
	}
	last, random := e.spareLast()
	families := [][]spared{e.spareDays(), e.spareSubjects(), events, e.spareTimes(), last, e.spareItems(), e.spareViews()}
	for _, f := range families[1:3] {
		slices.SortStableFunc(f, func(a, b spared) int {
			return cmp.Or(-cmp.Compare(btoi(a.Sensitive), btoi(b.Sensitive)), -cmp.Compare(a.Cost.Unique.Value, b.Cost.Unique.Value))
		})
	}
	var out []spared
	for turn := 0; ; turn++ {
		before := len(out)
		for _, f := range families {
			if turn < len(f) {
				out = append(out, f[turn])
			}
		}
		if len(out) == before {
			return append(out, random...), nil
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// history is the events that everybody has before the test cut, which everything is a share of.
func (e *experiment) history() (n int) {
	eachHistory(&e.data.Dataset, func(h models.History) { n += h.Len() })
	return n
}

// of makes a row.
func (e *experiment) of(family, name, about string) spared {
	s := spared{Worth: eval.Worth{Family: family, Name: name, About: about, Used: []string{}, Verdict: eval.NotReached}}
	s.Cost.Coarser = []eval.Coarser{}
	return s
}

// About whom a value speaks.
const (
	aboutPeople = "people"
	aboutItems  = "items"
)

// spareDays is less history: as train.window would have it, the windows of weights and of a ranker no longer than a quarter of it.
func (e *experiment) spareDays() (out []spared) {
	d, all := &e.data.Dataset, e.history()
	for _, days := range sparedDays {
		keep := time.Duration(days) * 24 * time.Hour
		if d.Cuts.Test-keep.Microseconds() <= d.Cuts.Base {
			continue
		}
		s := e.of(familyHistory, features.FormatWindow(keep), aboutPeople)
		s.keep, s.data = keep, func(d *models.Dataset) (*models.Dataset, error) { return lastOf(d, keep), nil }
		if s.Cost = itemsCost(lastOf(d, keep), all, false); s.Cost.Kept.All() { // there is no older event
			continue
		}
		out = append(out, s)
	}
	return out
}

// lastOf is d with no more history than that before the test cut.
func lastOf(d *models.Dataset, keep time.Duration) *models.Dataset {
	out := *d
	c := &out.Cuts
	c.Base = max(c.Base, c.Test-keep.Microseconds())
	quarter := (c.Test - c.Base) / 4
	validation, rerank := min(d.Cuts.Test-d.Cuts.Validation, quarter), min(d.Cuts.Validation-d.Cuts.Rerank, quarter)
	c.Validation = c.Test - validation
	c.Rerank = c.Validation - rerank
	out.Events = d.Events.Between(c.Base, c.Test)
	if d.Shown.Off != nil {
		out.Shown = d.Shown.Between(c.Base, c.Test)
	}
	return &out
}

// spareLast is no more than so many events of each person: the last ones, and for comparison as many drawn at random (Biega et al., SIGIR 2020).
func (e *experiment) spareLast() (last, random []spared) {
	d, all := &e.data.Dataset, e.history()
	longest := 0
	eachHistory(d, func(h models.History) { longest = max(longest, h.Len()) })
	seed := e.job.Model.Seed
	for _, n := range sparedLast {
		if n >= longest {
			continue
		}
		add := func(to *[]spared, which string, only bool, data func(*models.Dataset) *models.Dataset) {
			s := e.of(familyHistory, fmt.Sprintf("%s %d", which, n), aboutPeople)
			s.only, s.Cost = only, itemsCost(data(d), all, false)
			s.data = func(d *models.Dataset) (*models.Dataset, error) { return data(d), nil }
			*to = append(*to, s)
		}
		add(&last, "last", false, func(d *models.Dataset) *models.Dataset { return lastEvents(d, n) })
		add(&random, "random", true, func(d *models.Dataset) *models.Dataset { return randomEvents(d, n, seed) })
	}
	return last, random
}

// lastEvents is d with each person's last n events before the test cut.
func lastEvents(d *models.Dataset, n int) *models.Dataset {
	return keepEvents(d, func(s int, h models.History, keep []bool) {
		for i := max(0, h.Len()-n); i < h.Len(); i++ {
			keep[i] = true
		}
	})
}

// randomEvents is d with n events of each person before the test cut, drawn by the seed; more of them hold fewer.
func randomEvents(d *models.Dataset, n int, seed uint64) *models.Dataset {
	var order []int
	var by []uint64
	return keepEvents(d, func(s int, h models.History, keep []bool) {
		order, by = order[:0], by[:0]
		for i := range h.Len() {
			order = append(order, i)
			by = append(by, draw(seed, d.Events.Subjects[s], uint64(i)))
		}
		slices.SortFunc(order, func(a, b int) int { return cmp.Compare(by[a], by[b]) })
		for _, i := range order[:min(n, len(order))] {
			keep[i] = true
		}
	})
}

// draw is 64 bits of a seed, a subject and an event: SplitMix64's finalizer over them (Steele, Lea & Flood, OOPSLA 2014).
func draw(parts ...uint64) (x uint64) {
	for _, p := range parts {
		x += p + 0x9e3779b97f4a7c15
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		x ^= x >> 31
	}
	return x
}

// keepEvents is d with some of the events before the test cut, and none behind it. What was shown to a person is kept from its first kept event on.
func keepEvents(d *models.Dataset, choose func(s int, h models.History, keep []bool)) *models.Dataset {
	out := *d
	l := models.EventLog{Subjects: d.Events.Subjects, Off: make([]int, 1, len(d.Events.Off))}
	since := make([]int64, len(d.Events.Subjects))
	var keep []bool
	for s := range d.Events.Subjects {
		h := d.Events.SubjectBetween(s, d.Cuts.Base, d.Cuts.Test)
		keep = append(keep[:0], make([]bool, h.Len())...)
		choose(s, h, keep)
		since[s] = math.MaxInt64
		for i, kept := range keep {
			if !kept {
				continue
			}
			since[s] = min(since[s], h.Time[i])
			l.Item, l.Time, l.Kind, l.Weight = append(l.Item, h.Item[i]), append(l.Time, h.Time[i]), append(l.Kind, h.Kind[i]), append(l.Weight, h.Weight[i])
			if h.Context != nil {
				l.Context = append(l.Context, h.Context[i])
			}
		}
		l.Off = append(l.Off, len(l.Item))
	}
	if d.Events.Context != nil && l.Context == nil {
		l.Context = []models.Context{}
	}
	out.Events = l
	if d.Shown.Off != nil {
		out.Shown = models.NewEventLog(shownSince(d, since))
	}
	return &out
}

// shownSince is what was shown to each person before the test cut, from a time on.
func shownSince(d *models.Dataset, since []int64) (out []models.Event) {
	for s, number := range d.Events.Subjects {
		h := d.ShownBetween(s, since[s], d.Cuts.Test)
		for i := range h.Len() {
			out = append(out, models.Event{Subject: number, Time: h.Time[i], Item: h.Item[i], Kind: h.Kind[i], Weight: h.Weight[i]})
		}
	}
	return out
}

// spareTimes is coarser times: each event at the beginning of its hour, day or week, or of the window that it lies in.
func (e *experiment) spareTimes() (out []spared) {
	for _, x := range sparedTimes {
		s := e.of(familyTime, "to the "+x.name, aboutPeople)
		s.data = func(d *models.Dataset) (*models.Dataset, error) {
			return coarseTimes(d, x.to, e.job.Every.Location()), nil
		}
		s.Cost = timesCost(&e.data.Dataset, x.to).cost()
		out = append(out, s)
	}
	return out
}

// coarseTimes is d with the times of events cut off in the calendar of a zone. None leaves the window of cuts that it lies in: what is known is known when
// it was.
func coarseTimes(d *models.Dataset, to time.Duration, loc *time.Location) *models.Dataset {
	bounds := []int64{d.Cuts.Base, d.Cuts.Rerank, d.Cuts.Validation, d.Cuts.Test, d.Cuts.End}
	floor := func(at int64) int64 {
		t := timeOf(at).In(loc)
		switch {
		case to <= time.Hour:
			t = t.Truncate(to)
		default:
			back := 0
			if to > 24*time.Hour {
				back = (int(t.Weekday()) + 6) % 7 // Monday
			}
			t = time.Date(t.Year(), t.Month(), t.Day()-back, 0, 0, 0, 0, loc)
		}
		out := t.UnixMicro()
		for _, b := range bounds {
			if out < b && b <= at {
				out = b
			}
		}
		return out
	}
	retimed := func(l *models.EventLog) []models.Event {
		events := make([]models.Event, 0, l.Len())
		for s, number := range l.Subjects {
			h := l.Subject(s)
			for i := range h.Len() {
				x := models.Event{Subject: number, Time: floor(h.Time[i]), Item: h.Item[i], Kind: h.Kind[i], Weight: h.Weight[i]}
				if h.Context != nil {
					x.Context = h.Context[i]
				}
				events = append(events, x)
			}
		}
		return events
	}
	out := *d
	made := models.NewEventLog
	if d.Events.Context != nil {
		made = models.NewContextLog
	}
	out.Events = withSubjects(made(retimed(&d.Events)), d.Events.Subjects)
	if d.Shown.Off != nil {
		out.Shown = models.NewEventLog(retimed(&d.Shown))
	}
	return &out
}

// withSubjects is a log whose subjects are among the given ones, with a row for each of these.
func withSubjects(l models.EventLog, all []uint64) models.EventLog {
	off := make([]int, 1, len(all)+1)
	at := 0
	for _, s := range all {
		if at < len(l.Subjects) && l.Subjects[at] == s {
			at++
		}
		off = append(off, l.Off[at])
	}
	l.Subjects, l.Off = all, off
	return l
}

// spareSubjects is each attribute of people.
func (e *experiment) spareSubjects() (out []spared) {
	a := e.data.Subjects
	if a == nil {
		return nil
	}
	for _, name := range attributeNames(a) {
		s := e.of(familySubjects, name, aboutPeople)
		s.set, s.column = "subjects", name
		s.Sensitive = e.job.Minimize.sensitive(s.set, name)
		s.Cost = attributeCost(&e.data.Dataset, name)
		s.data = func(d *models.Dataset) (*models.Dataset, error) {
			out := *d
			out.Subjects = withoutColumn(d.Subjects, name)
			return &out, nil
		}
		out = append(out, s)
	}
	return out
}

// spareItems is each attribute of items. What the rules of lists read they go on reading: rules are applied to what the model scores.
func (e *experiment) spareItems() (out []spared) {
	a := e.data.Catalog.Attrs
	if a == nil {
		return nil
	}
	for _, name := range attributeNames(a) {
		s := e.of(familyItems, name, aboutItems)
		s.set, s.column, s.Used = "items", name, e.job.itemUses(name)
		s.data = func(d *models.Dataset) (*models.Dataset, error) {
			out := *d
			out.Catalog = &models.Catalog{IDs: d.Catalog.IDs, Attrs: withoutColumn(d.Catalog.Attrs, name)}
			return &out, nil
		}
		out = append(out, s)
	}
	return out
}

func attributeNames(a *models.Attributes) (out []string) {
	for i := range a.Cats {
		out = append(out, a.Cats[i].Name)
	}
	for i := range a.Nums {
		out = append(out, a.Nums[i].Name)
	}
	return out
}

// withoutColumn is attributes without one.
func withoutColumn(a *models.Attributes, name string) *models.Attributes {
	out := *a
	out.Cats = slices.DeleteFunc(slices.Clone(a.Cats), func(c models.CatColumn) bool { return c.Name == name })
	out.Nums = slices.DeleteFunc(slices.Clone(a.Nums), func(c models.NumColumn) bool { return c.Name == name })
	return &out
}

// spareEvents is each column of events that the training purpose reads: the kind, where kinds weigh differently, what a re-ranker takes for circumstances,
// and what models do not read.
func (e *experiment) spareEvents(ctx context.Context) (out []spared, err error) {
	d := &e.data.Dataset
	contexts := e.job.contexts()
	for _, f := range e.job.eventSchema() {
		if !e.job.Training.Allows("events", f.Name) { // keys and times, and what is empty
			continue
		}
		s := e.of(familyEvents, f.Name, aboutPeople)
		s.set, s.Used = "events", e.job.eventUses(f.Name)
		s.Sensitive = e.job.Minimize.sensitive(s.set, f.Name)
		if f.Name != event.ColKind { // which events count is told by their kinds
			s.column = f.Name
		}
		switch {
		case f.Name == event.ColKind && weighed(e.job.Model.Weights):
			s.data = func(d *models.Dataset) (*models.Dataset, error) { return weighAlike(d, e.job.Model.Weights), nil }
		case slices.Contains(contexts, f.Name):
			s.data = func(d *models.Dataset) (*models.Dataset, error) { return withoutContext(d, f.Name), nil }
		default:
			s.Verdict = eval.Unread
		}
		if f.Name == event.ColKind {
			s.Cost = kindsCost(d)
		} else if s.Cost, err = e.columnCost(ctx, d, f.Name); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// weighed reports whether kinds that count do so by different weights. What weighs nothing, or speaks against its item, is told apart by who reads events.
func weighed(weights map[string]float64) bool {
	for _, w := range weights {
		if w > 0 && w != 1 {
			return true
		}
	}
	return false
}

// weighAlike is d with every kind of event of weight 1. What a day weighs stays.
func weighAlike(d *models.Dataset, weights map[string]float64) *models.Dataset {
	by := make([]float32, len(d.Kinds))
	for i, kind := range d.Kinds {
		by[i] = 1
		if w, ok := weights[kind]; ok && w > 0 {
			by[i] = float32(1 / w)
		}
	}
	out := *d
	out.Events.Weight = make([]float32, len(d.Events.Weight))
	for i, w := range d.Events.Weight {
		out.Events.Weight[i] = w * by[d.Events.Kind[i]]
	}
	return &out
}

// withoutContext is d in which no event has a level of a context column.
func withoutContext(d *models.Dataset, name string) *models.Dataset {
	at := d.Contexts.Column(name)
	if at < 0 {
		return d
	}
	out := *d
	out.Events.Context = make([]models.Context, len(d.Events.Context))
	for i, c := range d.Events.Context {
		out.Events.Context[i] = c.With(at, 0)
	}
	return &out
}

// spareViews is each view. No model reads views: they are published for others, or watched for drift.
func (e *experiment) spareViews() (out []spared) {
	for _, v := range e.job.Views {
		s := e.of(familyViews, v.Name, aboutPeople)
		if !slices.Contains(v.Keys(), event.ColSubject) {
			s.About = aboutItems
		}
		s.Verdict = eval.Unread
		for _, p := range e.job.Published {
			if p.Name == v.Name {
				s.Used = append(s.Used, "whoever reads what is published")
			}
		}
		out = append(out, s)
	}
	return out
}

// eventUses says what reads a column of events beside the model.
func (j *Job) eventUses(name string) []string {
	out := []string{}
	for _, v := range j.Views {
		if slices.Contains(v.Columns(), name) {
			out = append(out, "view "+v.Name)
		}
	}
	if slices.Contains(j.Model.Lists.UnprofiledBy, name) {
		out = append(out, "lists.unprofiled_by")
	}
	for _, c := range j.Cohort {
		if slices.Contains(strings.Split(c, CohortCross), name) {
			out = append(out, "cohort "+c)
		}
	}
	if name == event.ColKind && len(j.Model.Weights)+len(j.Model.Impressions) > 0 {
		out = append(out, "event weights")
	}
	return out
}

// itemUses says what reads an attribute of items beside the model.
func (j *Job) itemUses(name string) []string {
	out := []string{}
	l, e := &j.Model.Lists, &j.Judging
	use := func(by string, columns ...string) {
		if slices.Contains(columns, name) {
			out = append(out, by)
		}
	}
	if !l.Rules.Off() {
		use("list rules", l.Rules.Columns()...)
	}
	use("lists.broad", l.Broad)
	use("lists.title", l.Title)
	use("lists.unprofiled_by", l.UnprofiledBy...)
	use("sensitive_items", columnsOf(j.Guards.Sensitive)...)
	var judged []string
	judged = append(append(judged, e.Diversity...), e.Providers...)
	judged = append(judged, e.Calibration, e.Price)
	for _, g := range e.Content {
		for _, c := range g.Of {
			judged = append(judged, c.Column)
		}
	}
	if e.New != nil {
		judged = append(judged, e.New.Since)
	}
	use("evaluate", judged...)
	return out
}
