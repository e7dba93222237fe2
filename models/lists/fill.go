package lists

import (
	"math"
	"slices"

	"github.com/rapport-ml/rapport/models"
)

// Candidates are a query's best items, best first, the new items that its list may owe places to, in the order in which they are to be
// taken, and those of groups that it owes places to. An item may stand in several.
type Candidates struct {
	Items         []int32
	Scores        []float32
	Fresh         []int32
	FreshScores   []float32
	Ensured       []int32
	EnsuredScores []float32
}

// List is one list as served.
type List struct {
	Items  []int32
	Scores []float32
	Before []int32 // as in Lists
	By     []Rule
}

// smoothing is α of Steck 2018: how much of the history's spread is mixed into the list's, so that the divergence is finite.
const smoothing = 0.01

// Fill makes the list of q from candidates, of q.K items at most. It is one query of Rank.
func (s *Stage) Fill(q *models.Query, c Candidates) List {
	var f filler
	return f.fill(s, q, c)
}

// filler fills one list after another; its slices are scratch.
type filler struct {
	s      *Stage
	item   []int32
	score  []float64 // ŝ
	raw    []float32
	before []int32
	by     []Rule
	taken  []bool
	near   []float64 // max similarity to the page
	less   []float64 // what a wish for less takes away of the gain
	rather []float64 // what one for new items adds to it
	eager  bool      // new items may stand anywhere
	owed   []int     // by floor: places of a page
	has    []int     // by floor: places that it has on the page
	due    []bool    // by floor: whether the next place is its

	used   []int32   // per limit and level, in the page
	levels []int     // of the attribute that is calibrated: those with p > 0
	p      []float64 // of all levels
	q      []float64 // of all levels, in Kths
}

func (f *filler) fill(s *Stage, q *models.Query, c Candidates) List {
	f.begin(s, c)
	f.wishes(q)
	calibrated := f.target(q)
	f.owed, f.has, f.due = sized(f.owed, len(s.floors)), sized(f.has, len(s.floors)), sized(f.due, len(s.floors))
	for i := range s.floors {
		f.owed[i] = s.owed(&s.floors[i], q.Draw)
	}
	var out List
	var chosen []int
	for len(chosen) < q.K {
		place := len(chosen) % s.k
		if place == 0 {
			f.turn(calibrated)
		}
		for i := range f.due {
			f.due[i] = f.has[i] < f.owed[i]*(place+1)/s.k
		}
		at, why := f.choose(calibrated)
		if at < 0 {
			break
		}
		f.pass(at, why, calibrated)
		f.take(at, calibrated)
		chosen = append(chosen, at)
	}
	for j, at := range chosen {
		out.Items, out.Scores, out.Before = append(out.Items, f.item[at]), append(out.Scores, f.raw[at]), append(out.Before, f.before[at])
		by := Rule(0)
		if f.before[at] != int32(j+1) {
			by = f.by[at]
		}
		out.By = append(out.By, by)
	}
	return out
}

// begin takes the candidates in: those ranked, then new items that are not among them, then those of groups.
func (f *filler) begin(s *Stage, c Candidates) {
	f.s = s
	f.item, f.raw = append(f.item[:0], c.Items...), append(f.raw[:0], c.Scores...)
	f.before = f.before[:0]
	known := make(map[int32]bool, len(c.Items))
	for i, item := range c.Items {
		f.before = append(f.before, int32(i+1))
		known[item] = true
	}
	also := func(items []int32, scores []float32) {
		for i, item := range items {
			if !known[item] {
				f.item, f.raw, f.before = append(f.item, item), append(f.raw, scores[i]), append(f.before, 0)
				known[item] = true
			}
		}
	}
	also(c.Fresh, c.FreshScores)
	also(c.Ensured, c.EnsuredScores)
	n := len(f.item)
	f.score, f.near, f.by, f.taken = sized(f.score, n), sized(f.near, n), sized(f.by, n), sized(f.taken, n)
	if m := len(c.Scores); m > 0 {
		hi, lo := float64(c.Scores[0]), float64(c.Scores[m-1])
		for i, x := range f.raw {
			if hi > lo {
				f.score[i] = max(0, (float64(x)-lo)/(hi-lo))
			}
		}
	}
	total := 0
	for _, l := range s.limits {
		total += l.n
	}
	f.used = sized(f.used, total)
}

// wishes reads what the subject wants less of, and whether it would rather have what is new: to it, to all, or to both.
func (f *filler) wishes(q *models.Query) {
	f.less, f.rather, f.eager = f.less[:0], f.rather[:0], q.RatherNew
	if len(q.Less) > 0 {
		f.less = sized(f.less, len(f.item))
		for x, item := range f.item {
			if _, yes := slices.BinarySearch(q.Less, item); yes {
				f.less[x] = f.s.less
			}
		}
	}
	if !q.RatherNew {
		return
	}
	had := models.Distinct(q.History.Item)
	f.rather = sized(f.rather, len(f.item))
	for x, item := range f.item {
		if _, yes := slices.BinarySearch(had, item); !yes {
			f.rather[x] += f.s.rather / 2
		}
		if f.s.isRecent != nil && f.s.isRecent[item] {
			f.rather[x] += f.s.rather / 2
		}
	}
}

// wish returns what x has of a wish, 0 if there is no such wish.
func wish(of []float64, x int) float64 {
	if len(of) == 0 {
		return 0
	}
	return of[x]
}

// sized returns a slice of n zeros, of s's memory if it is large enough.
func sized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// target reads how the history spreads over the attribute that is calibrated, and reports whether it does.
func (f *filler) target(q *models.Query) bool {
	if f.s.spread == nil {
		return false
	}
	n := len(f.s.spread.Levels)
	f.p, f.q, f.levels = sized(f.p, n), sized(f.q, n), f.levels[:0]
	var sum float64
	for j, item := range q.History.Item {
		if l := f.s.spread.Values[item]; l >= 0 {
			w := 1.0
			if q.History.Weight != nil {
				w = float64(q.History.Weight[j])
			}
			f.p[l] += w
			sum += w
		}
	}
	for l := range f.p {
		if f.p[l] > 0 {
			f.p[l] /= sum
			f.levels = append(f.levels, l)
		}
	}
	return sum > 0
}

// turn begins a page.
func (f *filler) turn(calibrated bool) {
	clear(f.used)
	clear(f.near)
	clear(f.has)
	if calibrated {
		clear(f.q)
	}
}

// blocked reports whether a limit keeps candidate x out of the page.
func (f *filler) blocked(x int) bool {
	for _, l := range f.s.limits {
		if v := l.of[f.item[x]]; v >= 0 && f.used[l.used+int(v)] >= l.most {
			return true
		}
	}
	return false
}

// weights are w and v of the gain.
func (f *filler) weights(calibrated bool) (w, v float64) {
	if f.s.rules.Diversity != nil {
		w = f.s.rules.Diversity.Weight
	}
	if calibrated {
		v = f.s.rules.Calibrate.Weight
	}
	return w, v
}

// closer is K·[C(S ∪ x) − C(S)] of candidate x: how much nearer it brings the page to the history's spread.
func (f *filler) closer(x int) float64 {
	l := f.s.spread.Values[f.item[x]]
	if l < 0 || f.p[l] == 0 {
		return 0
	}
	k := float64(f.s.k)
	base := smoothing * f.p[l]
	now, then := base+(1-smoothing)*f.q[l], base+(1-smoothing)*(f.q[l]+1/k)
	return k * f.p[l] * math.Log(then/now)
}

// gain is what candidate x would add to the page.
func (f *filler) gain(x int, w, v float64) float64 {
	g := (1 - w - v) * f.score[x]
	if w > 0 {
		g -= w * f.near[x]
	}
	if v > 0 {
		g += v * f.closer(x)
	}
	return g - wish(f.less, x) + wish(f.rather, x)
}

// choose returns the candidate for the next place, or −1. Where items of a floor are due, it is one of them if any may stand there.
func (f *filler) choose(calibrated bool) (at int, why Rule) {
	w, v := f.weights(calibrated)
	best, bestDue := -1, -1
	var gain, gainDue float64
	var by Rule
	for x := range f.item {
		if f.taken[x] || f.blocked(x) {
			continue
		}
		ranked, due := f.before[x] > 0 || f.eager, f.dueTo(f.item[x])
		if !ranked && due == 0 {
			continue
		}
		g := f.gain(x, w, v)
		if ranked && (best < 0 || g > gain) {
			best, gain = x, g
		}
		if due != 0 && (bestDue < 0 || g > gainDue) {
			bestDue, gainDue, by = x, g, due
		}
	}
	if bestDue >= 0 && bestDue != best {
		return bestDue, by
	}
	return best, 0
}

// dueTo is by which rules the next place is the item's, 0 if by none.
func (f *filler) dueTo(item int32) (by Rule) {
	for i, due := range f.due {
		if due && f.s.floors[i].is[item] {
			by |= f.s.floors[i].by
		}
	}
	return by
}

// pass notes, of each better ranked candidate that the choice goes past, which rule did that, and the same of the choice.
func (f *filler) pass(at int, why Rule, calibrated bool) {
	w, v := f.weights(calibrated)
	for x := range f.item[:at] {
		if f.taken[x] || f.before[x] == 0 {
			continue
		}
		r := why
		switch {
		case f.blocked(x):
			r = AtMost
		case r != 0:
		default:
			r = f.cause(x, at, w, v)
		}
		f.by[x] |= r
		f.by[at] |= r
	}
}

// cause is which objective or wish does most to put at before x, which the model ranks better.
func (f *filler) cause(x, at int, w, v float64) (r Rule) {
	most := math.Inf(-1)
	by := func(rule Rule, gain float64) {
		if gain > most {
			r, most = rule, gain
		}
	}
	if w > 0 {
		by(Diverse, w*(f.near[x]-f.near[at]))
	}
	if v > 0 {
		by(Calibrated, v*(f.closer(at)-f.closer(x)))
	}
	if len(f.less) > 0 {
		by(Lessened, f.less[x]-f.less[at])
	}
	if f.eager {
		by(Preferred, f.rather[at]-f.rather[x])
	}
	return r
}

// take puts candidate x on the page.
func (f *filler) take(x int, calibrated bool) {
	f.taken[x] = true
	item := f.item[x]
	for _, l := range f.s.limits {
		if v := l.of[item]; v >= 0 {
			f.used[l.used+int(v)]++
		}
	}
	for i := range f.has {
		if f.s.floors[i].is[item] {
			f.has[i]++
		}
	}
	if calibrated {
		if l := f.s.spread.Values[item]; l >= 0 {
			f.q[l] += 1 / float64(f.s.k)
		}
	}
	if f.s.rules.Diversity == nil {
		return
	}
	for y := range f.item {
		if !f.taken[y] {
			f.near[y] = max(f.near[y], f.s.Similarity(item, f.item[y]))
		}
	}
}

// Similarity returns how alike two items are, 0 to 1, as Diversity compares them; 0 without it. O(attributes), with vectors O(dim).
func (s *Stage) Similarity(a, b int32) float64 {
	if s.vectors != nil {
		x, y := s.vectors[a], s.vectors[b]
		if x == nil || y == nil {
			return 0
		}
		var dot float64
		for i := range x {
			dot += float64(x[i]) * float64(y[i])
		}
		return min(1, max(0, dot))
	}
	if len(s.similar) == 0 {
		return 0
	}
	same := 0
	for _, of := range s.similar {
		if of[a] >= 0 && of[a] == of[b] {
			same++
		}
	}
	return float64(same) / float64(len(s.similar))
}
