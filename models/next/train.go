package next

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sort"
	"time"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/internal/vec"
)

// Trainer learns what follows what.
type Trainer struct {
	Hyper Hyper
}

// Name returns "next".
func (t *Trainer) Name() string { return "next" }

// Train counts transitions in the events of d in [Cuts.Base, until), on all cores. O(events·steps) at worst, usually far less: an
// event is followed for 6 half-lives. Memory: 4 bytes an event, and O(items) a worker; seed is not used.
func (t *Trainer) Train(ctx context.Context, d *models.Dataset, until int64, seed uint64) (models.Model, error) {
	if err := t.Hyper.Validate(); err != nil {
		return nil, fmt.Errorf("train next: %w", err)
	}
	h := t.Hyper.withDefaults()
	f, err := newFit(&h, d, until)
	if err != nil {
		return nil, fmt.Errorf("train next: %w", err)
	}
	m, err := f.model(ctx)
	if err != nil {
		return nil, fmt.Errorf("train next: %w", err)
	}
	return m, nil
}

// fit is the state of one training.
type fit struct {
	h        *Hyper
	d        *models.Dataset
	l        *models.EventLog
	first    []int // subject row s has the events [first[s], last[s]) in the training window
	last     []int
	items    []int32 // catalog positions of the items that take part, ascending
	index    []int32 // catalog position → position in items, or -1
	off      []int   // item k has the occurrences [off[k], off[k+1]) of at
	at       []int32 // events, ascending
	sessions []int   // of each item: sessions in which it occurs
	all      int     // sessions
}

// newFit finds the events of each item that enough subjects have, and the usual pause between sessions.
func newFit(h *Hyper, d *models.Dataset, until int64) (*fit, error) {
	l, n := &d.Events, d.Catalog.Len()
	if l.Len() > math.MaxInt32 {
		return nil, fmt.Errorf("%d events are more than this algorithm takes (%d); shorten train.window", l.Len(), math.MaxInt32)
	}
	f := &fit{h: h, d: d, l: l, index: make([]int32, n)}
	seen, subjects, events := make([]int32, n), make([]int, n), make([]int, n)
	var logPause, pauses float64
	for s := range l.Subjects {
		times := l.Time[l.Off[s]:l.Off[s+1]]
		lo := sort.Search(len(times), func(i int) bool { return times[i] >= d.Cuts.Base })
		hi := max(lo, sort.Search(len(times), func(i int) bool { return times[i] >= until }))
		f.first, f.last = append(f.first, l.Off[s]+lo), append(f.last, l.Off[s]+hi)
		for e := f.first[s]; e < f.last[s]; e++ {
			if item := l.Item[e]; seen[item] != int32(s)+1 {
				seen[item] = int32(s) + 1
				subjects[item]++
			}
			if !f.twice(s, e) {
				events[l.Item[e]]++
			}
			if e > f.first[s] && !f.joined(e) {
				logPause, pauses = logPause+math.Log(float64(l.Time[e]-l.Time[e-1])), pauses+1
			}
		}
	}
	if h.HalfLife == 0 {
		h.HalfLife = ruleFor(math.Exp2(logPause / math.Max(pauses, 1) * math.Log2E)) // math.Exp fuses where a processor can
	}
	f.off = []int{0}
	for i, c := range subjects {
		f.index[i] = -1
		if c > 0 && c >= h.MinSubjects {
			f.index[i] = int32(len(f.items))
			f.items = append(f.items, int32(i))
			f.off = append(f.off, f.off[len(f.items)-1]+events[i])
		}
	}
	f.place()
	return f, nil
}

// place lists each item's events, and counts the sessions it is in.
func (f *fit) place() {
	n := len(f.items)
	f.at, f.sessions = make([]int32, f.off[n]), make([]int, n)
	put, session := slices.Clone(f.off), make([]int, n) // session: the one an item was seen in last
	for s := range f.first {
		for e := f.first[s]; e < f.last[s]; e++ {
			if e == f.first[s] || !f.joined(e) {
				f.all++
			}
			k := f.index[f.l.Item[e]]
			if k < 0 || f.twice(s, e) {
				continue
			}
			f.at[put[k]] = int32(e)
			put[k]++
			if session[k] != f.all {
				session[k] = f.all
				f.sessions[k]++
			}
		}
	}
}

// twice reports whether the event after e is the same item at the same moment, as two lines of one receipt are: they count as one.
func (f *fit) twice(s, e int) bool {
	return e+1 < f.last[s] && f.l.Item[e+1] == f.l.Item[e] && f.l.Time[e+1] == f.l.Time[e]
}

// joined reports whether event e is in the session of the event before it, of the same subject.
func (f *fit) joined(e int) bool {
	return f.l.Time[e]-f.l.Time[e-1] <= int64(f.h.Session/time.Microsecond)
}

// counter is one worker's memory: what it counts of one item, by the other items.
type counter struct {
	after, together tallies
	items           []int32 // room for what is kept
	scores          []float32
}

func (f *fit) counter() *counter {
	n, k := len(f.items), min(f.h.Neighbours, len(f.items))
	return &counter{tallies{by: make([]tally, n)}, tallies{by: make([]tally, n)}, make([]int32, k), make([]float32, k)}
}

// tallies counts other items beside one.
type tallies struct {
	by      []tally
	touched []int32
}

// tally is what is counted of one pair.
type tally struct {
	sum      float64
	subjects int
	subject  int32 // 1 + the one counted last
	event    int32 // 1 + the one of the item whose pair was counted last
}

// add counts w for item j beside an event of a subject, once an event.
func (t *tallies) add(j int32, w float64, subject, event int) {
	y := &t.by[j]
	if y.event == int32(event)+1 {
		return
	}
	if y.event == 0 {
		t.touched = append(t.touched, j)
	}
	y.event = int32(event) + 1
	y.sum += w
	if y.subject != int32(subject)+1 {
		y.subject = int32(subject) + 1
		y.subjects++
	}
}

// list is what is kept of one item: others, ascending, and a value each.
type list struct {
	col []int32
	val []float32
}

// flush returns the pairs of the greatest values among those of enough subjects, and forgets all of them.
func (c *counter) flush(t *tallies, enough int, value func(j int32, sum float64) float64) list {
	var found []models.Scored
	for _, j := range t.touched {
		if y := &t.by[j]; y.subjects >= enough {
			found = append(found, models.Scored{Item: j, Score: float32(value(j, y.sum))})
		}
		t.by[j] = tally{}
	}
	t.touched = t.touched[:0]
	n := models.SelectRelated(found, c.items, c.scores)
	kept := found[:n]
	slices.SortFunc(kept, func(a, b models.Scored) int { return cmp.Compare(a.Item, b.Item) })
	out := list{make([]int32, n), make([]float32, n)}
	for k, s := range kept {
		out.col[k], out.val[k] = s.Item, s.Score
	}
	return out
}

// model counts every item's followers and companions.
func (f *fit) model(ctx context.Context) (*Model, error) {
	n := len(f.items)
	after, together := make([]list, n), make([]list, n)
	vec.Chunks(n, f.counter, func(c *counter, k int) {
		if ctx.Err() != nil {
			return
		}
		at := f.at[f.off[k]:f.off[k+1]]
		for _, e := range at {
			f.count(c, k, int(e))
		}
		shrunk := float64(len(at) + f.h.MinSubjects)
		after[k] = c.flush(&c.after, f.h.MinSubjects, func(_ int32, sum float64) float64 { return sum / shrunk })
		together[k] = c.flush(&c.together, f.h.MinSubjects, func(j int32, both float64) float64 { return f.lift(both, f.sessions[k], f.sessions[j]) })
	})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m := &Model{hyper: *f.h, after: flat(after), together: flat(together)}
	for _, i := range f.items {
		m.items = append(m.items, f.d.Catalog.IDs[i])
	}
	return m, nil
}

// lift is how many more sessions hold both items than if they came independently, drawn towards no more as if MinSubjects more had been
// expected and seen: (both + k)/(expected + k) − 1.
func (f *fit) lift(both float64, one, other int) float64 {
	k := float64(f.h.MinSubjects)
	expected := float64(one) * float64(other) / float64(f.all)
	return (both+k)/(expected+k) - 1
}

// count counts what event e, of item k, is followed by, and what comes with it.
func (f *fit) count(c *counter, k, e int) {
	l := f.l
	s := sort.SearchInts(l.Off, e+1) - 1
	first, last := max(f.first[s], e-f.h.Steps), min(f.last[s], e+f.h.Steps+1)
	see := func(t *tallies, item int32, w float64) {
		if j := f.index[item]; j >= 0 && int(j) != k {
			t.add(j, w, s, e)
		}
	}
	// Events of one moment have no order: each comes before and after the others.
	for b := e - 1; b >= first && l.Time[b] == l.Time[e]; b-- {
		see(&c.after, l.Item[b], 1)
	}
	for a, reach := e+1, f.h.reach(); a < last; a++ {
		age := l.Time[a] - l.Time[e]
		if l.Item[a] == l.Item[e] || age > reach {
			break // what comes after the item's next event follows that one
		}
		see(&c.after, l.Item[a], models.Decay(age, f.h.HalfLife))
	}
	// A session counts once, at the item's first event in it.
	begin := e
	for begin > first && f.joined(begin) {
		begin--
		if l.Item[begin] == l.Item[e] && l.Time[begin] < l.Time[e] {
			return
		}
	}
	for b := begin; b < e; b++ {
		see(&c.together, l.Item[b], 1)
	}
	for a := e + 1; a < last && f.joined(a); a++ {
		see(&c.together, l.Item[a], 1)
	}
}
