package eval

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/models"
)

// attacker knows everything that is told: sums of cells, each of a number of people. What a cell holds he does not know, if there is another world of which
// the same is told and in which the cell holds another number.
type attacker struct {
	cells     []int // as they are
	low, high []int // between which he knows each to be
	sums      []map[int]int
	order     [][]int // the cells of each
	of        [][]int // the sums of each cell
	gaveUp    int
}

func newAttacker(cells []int) *attacker {
	a := &attacker{cells: cells, low: make([]int, len(cells)), high: make([]int, len(cells)), of: make([][]int, len(cells))}
	for i := range a.high {
		a.high[i] = math.MaxInt
	}
	return a
}

// learns a sum of cells, each as often as it says.
func (a *attacker) learns(sum map[int]int) {
	for c := range sum {
		a.of[c] = append(a.of[c], len(a.sums))
	}
	a.sums, a.order = append(a.sums, sum), append(a.order, slices.Sorted(maps.Keys(sum)))
}

func sumOf(cells ...int) map[int]int {
	out := map[int]int{}
	for _, c := range cells {
		out[c]++
	}
	return out
}

// knows reports whether the people of some cells together can be no other number. He looks for another world step by step: a cell is one more or one less, another of a sum that
// is off by that makes up for it, and so on. Of sums like these any two worlds are such rings apart.
func (a *attacker) knows(target ...int) bool {
	for _, c := range target {
		for _, step := range []int{1, -1} {
			left := 2000
			if a.ring(map[int]int{c: step}, target, &left) {
				return false
			}
			if left < 0 {
				a.gaveUp++
				return false
			}
		}
	}
	return true
}

func (a *attacker) ring(moved map[int]int, target []int, left *int) bool {
	off := make([]int, len(a.sums))
	move := make([]int, len(a.cells))
	for c, d := range moved {
		if v := a.cells[c] + d; v < a.low[c] || v > a.high[c] {
			return false
		}
		move[c] = d
		for _, s := range a.of[c] {
			off[s] += d * a.sums[s][c]
		}
	}
	var step func(n int) bool
	step = func(n int) bool {
		if *left--; *left < 0 || n > 14 {
			return false
		}
		open := -1
		for s, x := range off {
			if x != 0 && (open < 0 || len(a.sums[s]) < len(a.sums[open])) {
				open = s
			}
		}
		if open < 0 {
			net := 0
			for _, c := range target {
				net += move[c]
			}
			return net != 0
		}
		for _, c := range a.order[open] {
			d := 1
			if (off[open] > 0) == (a.sums[open][c] > 0) {
				d = -1
			}
			if v := a.cells[c] + d; move[c] != 0 || v < a.low[c] || v > a.high[c] {
				continue
			}
			turn := func(d int) {
				move[c] += d
				for _, s := range a.of[c] {
					off[s] += d * a.sums[s][c]
				}
			}
			turn(d)
			if step(n + 1) {
				return true
			}
			turn(-d)
		}
		return false
	}
	return step(1)
}

// shopOf is a small world of people with three attributes, some of whom lack one.
type shopOf struct {
	cohorts []Cohort
	people  [][3]int // levels; that after the last: missing
	levels  [3]int
}

func newShopOf(rng *rand.Rand) *shopOf {
	w := &shopOf{}
	names := [3]string{"gender", "age", "region"}
	odds := [3][]float64{}
	for k := range 3 {
		w.levels[k] = 2 + rng.IntN(2)
		w.cohorts = append(w.cohorts, Cohort{Name: names[k]})
		for l := range w.levels[k] + 1 {
			if l < w.levels[k] {
				w.cohorts[k].Levels = append(w.cohorts[k].Levels, fmt.Sprintf("%c%d", names[k][0], l))
			}
			odds[k] = append(odds[k], math.Exp(2*rng.NormFloat64()))
		}
		if rng.IntN(2) == 0 {
			odds[k][w.levels[k]] = 0 // nobody lacks it
		}
	}
	for range 40 + rng.IntN(200) {
		var p [3]int
		for k := range p {
			sum := 0.0
			for _, o := range odds[k] {
				sum += o
			}
			x := rng.Float64() * sum
			for x > odds[k][p[k]] && p[k] < w.levels[k] {
				x -= odds[k][p[k]]
				p[k]++
			}
			of := int32(p[k])
			if p[k] == w.levels[k] {
				of = -1
			}
			w.cohorts[k].Of = append(w.cohorts[k].Of, of)
		}
		w.people = append(w.people, p)
	}
	return w
}

// divide is which of the groups of a published cohort each combination is of, by name.
func (w *shopOf) divide(name string, p [3]int) string {
	var level []string
	for _, part := range strings.Split(name, "+") {
		k := slices.IndexFunc(w.cohorts, func(c Cohort) bool { return c.Name == part })
		if p[k] == w.levels[k] {
			return Missing
		}
		level = append(level, w.cohorts[k].Levels[p[k]])
	}
	return strings.Join(level, "+")
}

// attack learns all that is told (cohort → group → people) and returns of how many small groups of the cohorts he knows the number, and how often he
// found no answer in time.
func (w *shopOf) attack(told map[string]map[string]int) (broken, small, gaveUp int) {
	at := map[[3]int]int{}
	var all [][3]int
	var cells []int
	for _, p := range w.people {
		i, ok := at[p]
		if !ok {
			i, at[p] = len(cells), len(cells)
			cells, all = append(cells, 0), append(all, p)
		}
		cells[i]++
	}
	a := newAttacker(cells)
	everybody := map[int]int{}
	for i := range cells {
		everybody[i] = 1
	}
	a.learns(everybody)
	hidden := map[string][]int{}
	for _, cohort := range slices.Sorted(maps.Keys(told)) {
		groups := map[string][]int{}
		for i, p := range all {
			level := w.divide(cohort, p)
			groups[level] = append(groups[level], i)
		}
		for _, level := range slices.Sorted(maps.Keys(groups)) {
			if _, ok := told[cohort][level]; ok {
				a.learns(sumOf(groups[level]...))
			} else {
				hidden[cohort+" "+level] = groups[level]
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(hidden)) {
		n := 0
		for _, c := range hidden[name] {
			n += cells[c]
		}
		if n < MinCell {
			if small++; a.knows(hidden[name]...) {
				broken++
			}
		}
	}
	return broken, small, a.gaveUp
}

// TestAttackerOfCohorts: what reports tell of cohorts, and of cohorts crossed, leaves the number of people of each small group open; whoever tells all that is not small tells
// of some, and so does whoever looks at each cohort by itself.
func TestAttackerOfCohorts(t *testing.T) {
	rng := rand.New(rand.NewPCG(20, 26))
	alone, apart, small, told, open := 0, 0, 0, 0, 0
	for round := range 250 {
		w := newShopOf(rng)
		cohorts := [][]string{{"gender", "age", "gender+age"}, {"gender", "gender+age", "age", "region", "age+region"}, {"gender+age", "age"}, {"gender", "age", "region", "gender+age", "gender+age+region"}}[rng.IntN(4)]
		f := fixture{Task: Task{Catalog: catalog(3), K: []int{1}, MinN: MinCell, Replicates: 20}}
		for i := range w.people {
			f.add(Subject{Relevant: []int32{int32(i % 3)}})
		}
		for _, name := range cohorts {
			var parts []Cohort
			for _, part := range strings.Split(name, "+") {
				parts = append(parts, w.cohorts[slices.IndexFunc(w.cohorts, func(c Cohort) bool { return c.Name == part })])
			}
			f.Cohorts = append(f.Cohorts, Cross(parts...))
		}
		q, err := Evaluate(t.Context(), f.task(), []Contender{{Name: "c", Scorer: descending, Role: Candidate}})
		if err != nil {
			t.Fatal(err)
		}
		published, careless, each := map[string]map[string]int{}, map[string]map[string]int{}, map[string]map[string]int{}
		for _, c := range f.Cohorts {
			published[c.Name], careless[c.Name], each[c.Name] = map[string]int{}, map[string]int{}, map[string]int{}
			for _, g := range q.Cohort(c.Name, "c", "hit@1").ByGroup {
				if g.N != nil {
					published[c.Name][g.Level] = *g.N
					told++
				}
			}
			levels := append(slices.Clone(c.Levels), Missing)
			sizes := make([]int, len(levels))
			for _, p := range w.people {
				sizes[slices.Index(levels, w.divide(c.Name, p))]++
			}
			hidden := suppress(sizes)
			for l, n := range sizes {
				if n >= MinCell {
					careless[c.Name][levels[l]] = n
				}
				if !hidden[l] {
					each[c.Name][levels[l]] = n
				}
			}
		}
		broken, n, gaveUp := w.attack(published)
		open += gaveUp
		if small += n; broken > 0 {
			t.Fatalf("world %d: %d of %d small groups follow from what is told of %v:\n%v", round, broken, n, cohorts, published)
		}
		broken, _, _ = w.attack(careless)
		alone += broken
		broken, _, _ = w.attack(each)
		apart += broken
	}
	if open > small/50 {
		t.Errorf("of %d small groups the attacker did not find out in time whether he knows %d", small, open)
	}
	if small < 500 || told < 500 || alone < 50 || apart < 5 {
		t.Errorf("%d small groups and %d told; the attacker knows %d of them where only they are withheld, and %d where each cohort is looked at by itself: he is too weak, or has too little to do", small, told, alone, apart)
	}
}

// TestAttackerOfOneCohort knows the program as well: of all worlds of three groups, those of which the same is told leave each small group two numbers at least.
func TestAttackerOfOneCohort(t *testing.T) {
	const most, judged = 34, 24
	type world [3]int
	told := func(w world, hide func([]int) []bool) string {
		var out strings.Builder
		sum := 0
		for i, h := range hide(w[:]) {
			if sum += w[i]; h {
				out.WriteString("- ")
			} else {
				out.WriteString(strconv.Itoa(w[i]) + " ")
			}
		}
		return out.String() + strconv.Itoa(sum)
	}
	for name, hide := range map[string]func([]int) []bool{
		"as it is": suppress,
		"without complements": func(sizes []int) (out []bool) {
			for _, n := range sizes {
				out = append(out, n < MinCell)
			}
			return out
		},
	} {
		worlds := map[string][]world{}
		var w world
		for w[0] = 0; w[0] <= most; w[0]++ {
			for w[1] = 0; w[1] <= most; w[1]++ {
				for w[2] = 0; w[2] <= most; w[2]++ {
					text := told(w, hide)
					worlds[text] = append(worlds[text], w)
				}
			}
		}
		broken, small := 0, 0
		for _, same := range worlds {
			for i := range 3 {
				if n := same[0][i]; n == 0 || n >= MinCell || same[0][0]+same[0][1]+same[0][2] > judged+MinCell || slices.Max(same[0][:]) > judged {
					continue
				}
				if small++; !slices.ContainsFunc(same, func(o world) bool { return o[i] != same[0][i] }) {
					broken++
				}
			}
		}
		if small < 100 || (broken == 0) != (name == "as it is") {
			t.Errorf("%s: %d of %d small groups are known", name, broken, small)
		}
	}
}

// TestAttackerOfWeeks: what is told of weeks, of everybody and by level, with what changes the number of those whose consent holds from week to week, leaves each small number open.
func TestAttackerOfWeeks(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 14))
	size := func() int { return []int{0, rng.IntN(11), rng.IntN(40), 11 + rng.IntN(50)}[rng.IntN(4)] }
	broken := map[bool]int{}
	small := 0
	for range 400 {
		const weeks = 3
		levels := []string{"a", "b", Missing}
		var cells []int
		cell := func(n int) int {
			cells = append(cells, n)
			return len(cells) - 1
		}
		type week struct{ fresh, known, flows, refused []int }
		consents := cell(100 + rng.IntN(50))
		var all []week
		for range weeks {
			var x week
			for range levels {
				x.fresh, x.known = append(x.fresh, cell(size())), append(x.known, cell(size()))
			}
			x.flows, x.refused = []int{cell(size()), cell(rng.IntN(12)), cell(rng.IntN(20))}, []int{cell(size())}
			all = append(all, x)
		}
		for _, complements := range []bool{true, false} {
			a := newAttacker(cells)
			var watched [][]int
			stock := map[int]int{consents: 1}
			holds := cells[consents]
			for _, x := range all {
				given, withdrawn, expired := x.flows[0], x.flows[1], x.flows[2]
				stock = maps.Clone(stock)
				stock[given], stock[withdrawn], stock[expired] = 1, -1, -1
				holds += cells[given] - cells[withdrawn] - cells[expired]
				by := make([][]TrustTally, len(levels))
				for l := range levels {
					active := cells[x.fresh[l]] + cells[x.known[l]]
					by[l] = []TrustTally{{Metric: GrowthActive, N: active}, {Metric: GrowthNew, N: cells[x.fresh[l]], Of: active}}
					watched = append(watched, []int{x.fresh[l]}, []int{x.known[l]}, []int{x.fresh[l], x.known[l]})
				}
				watched = append(watched, x.fresh, x.known, slices.Concat(x.fresh, x.known), x.flows[:1], x.flows[1:2], x.flows[2:], x.refused)
				whole := append(
					sum(slices.Clone(by)), TrustTally{Metric: TrustConsent, Purpose: "p", N: holds, Of: holds + cells[x.refused[0]]},
					TrustTally{Metric: TrustGiven, Purpose: "p", N: cells[given]}, TrustTally{Metric: TrustWithdrawn, Purpose: "p", N: cells[withdrawn]}, TrustTally{Metric: TrustExpired, Purpose: "p", N: cells[expired]})
				groups := TellTrust(whole, []TrustCohort{{Name: "c", Levels: levels, Tallies: by}})
				if !complements {
					groups = tellAlone(whole, by)
				}
				for g, group := range groups {
					in := func(parts []int) []int {
						if g == 0 {
							return parts
						}
						return parts[g-1 : g]
					}
					for _, f := range group.Figures {
						if f.Status != Told {
							continue
						}
						switch f.Metric {
						case GrowthActive:
							a.learns(sumOf(slices.Concat(in(x.fresh), in(x.known))...))
						case GrowthNew:
							a.learns(sumOf(in(x.fresh)...))
						case TrustConsent:
							a.learns(stock)
							a.learns(sumOf(x.refused...))
						case TrustGiven:
							a.learns(sumOf(given))
						case TrustWithdrawn:
							a.learns(sumOf(withdrawn))
						case TrustExpired:
							a.learns(sumOf(expired))
						}
					}
				}
			}
			for _, of := range watched {
				n := 0
				for _, c := range of {
					n += cells[c]
				}
				if n == 0 || n >= MinCell {
					continue
				}
				if small++; a.knows(of...) {
					broken[complements]++
				}
			}
		}
	}
	if broken[true] > 0 || broken[false] < 100 || small < 2000 {
		t.Errorf("of %d small numbers %d are known, and %d where complements are told", small, broken[true], broken[false])
	}
}

// tellAlone tells every figure that is not small itself.
func tellAlone(whole []TrustTally, levels [][]TrustTally) (out []TrustGroup) {
	for _, ts := range append([][]TrustTally{whole}, levels...) {
		hidden := make([]bool, len(ts))
		for i, t := range ts {
			hidden[i] = slices.ContainsFunc(t.parts(), func(n int) bool { return n > 0 && n < MinCell })
		}
		out = append(out, TrustGroup{Figures: tell(ts, hidden)})
	}
	return out
}

// TestAttackerOfReasons: of the rows that policy left out, the printed funnel leaves each small count open.
func TestAttackerOfReasons(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	small := 0
	for range 5000 {
		funnel := policy.Funnel{policy.Kept: int64(rng.IntN(60))}
		for _, r := range []policy.Reason{policy.NoRecord, policy.Refused, policy.Expired, policy.Erased} {
			funnel.Add(r, []int64{0, rng.Int64N(11), rng.Int64N(30), 500}[rng.IntN(4)])
		}
		text := funnel.Suppressed(MinCell)
		var cells []int
		a := newAttacker(nil)
		var all, few []int
		read := false
		for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == '→' || r == '·' }) {
			reason, count, _ := strings.Cut(strings.TrimSpace(word), " ")
			if reason == "read" {
				read = count != "(withheld)"
				continue
			}
			var n int64
			for r, of := range funnel {
				if r.String() == reason {
					n = of
				}
			}
			low, high := int(n), int(n)
			switch count {
			case "(withheld)":
				low, high = MinCell, math.MaxInt
			case "<11":
				low, high, few = 1, MinCell-1, append(few, len(cells))
			}
			a.low, a.high, a.of = append(a.low, low), append(a.high, high), append(a.of, nil)
			all, cells = append(all, len(cells)), append(cells, int(n))
		}
		if a.cells = cells; read {
			a.learns(sumOf(all...))
		}
		for _, c := range few {
			if small++; a.knows(c) {
				t.Fatalf("%q tells that one of them is %d", text, cells[c])
			}
		}
	}
	if small < 1000 {
		t.Errorf("only %d small counts", small)
	}
}

// TestAttackerOfUndefined knows the program, how large each group is, and of how many each figure is said to be, in all and by group: of how few it is not defined follows for no
// group. Where the numbers are told as they are it does.
func TestAttackerOfUndefined(t *testing.T) {
	sizes := [3]int{60, 50, 45}
	const most = 26 // people for whom it is not defined, of a group
	for name, told := range map[string]func(n, group int) int{"as it is": toldOf, "as they are": func(n, _ int) int { return n }} {
		worlds := map[[4]int][][3]int{}
		var left [3]int
		for left[0] = 0; left[0] <= most; left[0]++ {
			for left[1] = 0; left[1] <= most; left[1]++ {
				for left[2] = 0; left[2] <= most; left[2]++ {
					var says [4]int
					n, all := 0, 0
					for g, size := range sizes {
						says[g] = told(size-left[g], size)
						n, all = n+size-left[g], all+size
					}
					says[3] = told(n, all)
					worlds[says] = append(worlds[says], left)
				}
			}
		}
		broken := 0
		for _, same := range worlds {
			for g := range sizes {
				few := slices.ContainsFunc(same, func(w [3]int) bool { return w[g] > 0 && w[g] < MinCell })
				if few && !slices.ContainsFunc(same, func(w [3]int) bool { return w[g] != same[0][g] }) {
					broken++
				}
			}
		}
		if (broken > 0) != (name == "as they are") {
			t.Errorf("%s: %d of %d sets of numbers tell of how few a figure is not defined", name, broken, len(worlds))
		}
	}
}

// TestFewLeftOut: how few took nothing that a list may hold, have lists whose order says nothing, are in a split or out of it, or have no value of a figure, is told nowhere.
func TestFewLeftOut(t *testing.T) {
	for _, c := range []struct {
		few  int
		told bool
	}{{0, true}, {1, false}, {10, false}, {11, true}, {25, true}} {
		f := rich(invented(200, 40, 3))
		f.Cohorts, f.Pool = nil, nil
		for i := range f.rows {
			x := &f.rows[i]
			x.Relevant, x.Cold, x.Query.Exclude = []int32{int32(i % 40)}, false, nil
			x.Seen, x.Query.History.Item = x.Relevant, x.Relevant // what is taken is taken again
			switch {
			case i < c.few:
				x.Relevant = nil
			case i < 2*c.few:
				x.Seen, x.Query.History.Item = nil, nil
			}
		}
		flat := scorerFunc(func(q *models.Query, item int) float32 {
			if len(q.History.Item) == 0 {
				return 0
			}
			return float32(-item)
		})
		q, err := Evaluate(t.Context(), f.task(), []Contender{{Name: "flat", Scorer: flat, Role: Candidate}})
		if err != nil {
			t.Fatal(err)
		}
		if (q.NoRelevant != nil) != c.told || (q.Queries != nil) != c.told || c.told && (*q.NoRelevant != c.few || *q.Queries != 200) {
			t.Errorf("%d took nothing that a list may hold: told %v of %v", c.few, deref(q.NoRelevant), deref(q.Queries))
		}
		x := q.Contender(Candidate)
		if (x.Tied != nil) != c.told || c.told && *x.Tied != c.few {
			t.Errorf("%d lists are tied: told %v", c.few, deref(x.Tied))
		}
		n := q.Evaluated
		for _, e := range x.Estimates {
			if left := n - e.N; e.N > 0 && left > 0 && left < MinCell {
				t.Errorf("with %d of few, %s on %s is said to be of %d of %d people", c.few, e.Metric, e.Split, e.N, n)
			}
		}
		for _, x := range q.Content {
			for _, e := range x.Figures {
				if left := n - e.N; e.N > 0 && left > 0 && left < MinCell {
					t.Errorf("with %d of few, %s is said to be of %d of %d people", c.few, x.Name, e.N, n)
				}
			}
		}
		again := x.Estimate("hit@5", Repeat)
		if again == nil {
			t.Fatal("no split of what is taken again")
		}
		if want := map[bool]int{true: n - c.few, false: n - MinCell}[c.told]; again.N != want {
			t.Errorf("%d of %d took something new: %d are said to have taken something again, want %d", c.few, n, again.N, want)
		}
		var md, page strings.Builder
		r := &Report{Run: RunFacts{ID: "r"}, Model: ModelFacts{Name: "home"}, Quality: q}
		if err := errors.Join(r.WriteMarkdown(&md), r.WriteHTML(&page)); err != nil {
			t.Fatal(err)
		}
		if some := strings.Contains(page.String(), "a few others took nothing"); some == c.told {
			t.Errorf("%d took nothing that a list may hold, and the page says a few did: %v", c.few, some)
		}
	}
}

func deref(n *int) any {
	if n == nil {
		return nil
	}
	return *n
}
