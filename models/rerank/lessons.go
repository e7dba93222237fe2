package rerank

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/blend"
	"github.com/rapport-ml/rapport/models/internal/vec"
)

// asked is one question of a window, with its shortlist and what the subject chose of it.
type asked struct {
	row      int
	list     shortlist
	relevant int   // items that a good list holds, on the shortlist or not
	hits     []int // positions of those on the shortlist, ascending
	passed   []int // positions of what was put before the subject in its time and not chosen, ascending
	mix      []share
	context  []models.Context // those in which something was chosen, each once, in order
	chosen   [][]int          // by context: positions on the shortlist, ascending
	found    []int            // by context: how many of the relevant items were chosen in it
}

// answer is what was chosen of a shortlist in one context.
type answer struct {
	question int
	context  models.Context
	chosen   []int // positions on the shortlist, ascending
	found    int   // items chosen, on the shortlist or not
}

// example is one chosen item of an answer.
type example struct{ answer, chosen int }

// lessons is the re-ranker's window: what the network learns from, and what it is stopped by.
type lessons struct {
	questions []asked
	answers   []answer
	examples  []example
	held      []answer // of one subject in five
	width     int      // features of a candidate
	k         int      // lists are judged to this length
}

// What is trained on at most: the chosen items of one answer, and all of them.
const (
	chosenAnAnswer = 6
	mostExamples   = 6000
	holdOut        = 5 // one subject in so many
)

// newLessons sorts the questions of the re-ranker's window. Answers that no order of the shortlist could do better or worse are left out.
func newLessons(questions []asked, width, k int) *lessons {
	l := &lessons{questions: questions, width: width, k: k}
	for i := range questions {
		q := &questions[i]
		for c, x := range q.context {
			chosen := q.chosen[c]
			if len(chosen) == 0 || len(chosen) == len(q.list.items) || !(q.list.base[0] > 0) {
				continue
			}
			a := answer{i, x, chosen, q.found[c]}
			if q.row%holdOut == 0 {
				l.held = append(l.held, a)
				continue
			}
			l.answers = append(l.answers, a)
			most := min(len(chosen), chosenAnAnswer)
			for k := range most {
				if j := chosen[k*len(chosen)/most]; max(unitOf(q.list.base), float64(q.list.base[j])) > 0 { // a correction can move it
					l.examples = append(l.examples, example{len(l.answers) - 1, j})
				}
			}
		}
	}
	if len(l.examples) > mostExamples {
		spaced := make([]example, mostExamples)
		for i := range spaced {
			spaced[i] = l.examples[i*len(l.examples)/mostExamples]
		}
		l.examples = spaced
	}
	return l
}

// logit is the logarithm of a candidate's blend score, as far as the head reaches, and falls linearly below it: scores are compared by their
// ratio, as corrections are shares of them. It counts from the best candidate's.
func logit(base []float32, j int) float64 {
	least := unitOf(base)
	unit := max(least, float64(base[j]))
	if !(unit > 0) {
		return -farthest
	}
	return math.Log(unit/float64(base[0])) + float64(base[j])/unit - 1
}

// ofHead of a row's candidates are drawn from the head, the other ofAll, beside the chosen one, from the whole shortlist.
const ofHead, ofAll = (contrast - 1) / 2, contrast / 2

// ofShown of the ofAll are what was shown and passed over, where anything was: not to choose what one has seen says more.
const ofShown = ofAll / 2

// passedWeight is how much more a pair weighs whose other item was passed over than one of whose it is not known that it was seen.
const passedWeight = 4

// fromHead and fromShown tell which those are.
func fromHead(c int) bool  { return c > 0 && c%2 == 0 }
func fromShown(c int) bool { return c%4 == 1 }

// draw returns the candidates of a row: the chosen one, and others that were not chosen, half of them from the head of the list, where
// places are decided, and a quarter of those that were shown and passed over, if any were.
func (l *lessons) draw(a *answer, chosen int, r *rand.Rand) [contrast]int {
	q := &l.questions[a.question]
	n := len(q.list.items)
	var out [contrast]int
	out[0] = chosen
	for c := 1; c < contrast; c++ {
		from := n
		switch {
		case fromHead(c):
			from = min(n, head)
		case fromShown(c) && len(q.passed) > 0:
			out[c] = q.passed[r.IntN(len(q.passed))]
			continue
		}
		j := r.IntN(from)
		for tries := 0; contains(a.chosen, j); tries++ {
			if tries > 20 { // nearly all of the head were chosen
				from = n
			}
			j = r.IntN(from)
		}
		out[c] = j
	}
	return out
}

// odds corrects for how candidates are drawn: the head's and those that were passed over come up more often than the others, so that each counts
// less. A pair of candidates is to weigh in the loss what it weighs among all pairs of the shortlist, those passed over passedWeight times that;
// else the many that are below the head would be lifted with the few of them that were chosen.
func (q *asked) odds(j int) float32 {
	n, passed := len(q.list.items), contains(q.passed, j)
	all := float32(ofAll) / float32(n)
	drawn := all
	if len(q.passed) > 0 {
		drawn = float32(ofAll-ofShown) / float32(n)
	}
	if passed {
		drawn += float32(ofShown) / float32(len(q.passed))
	}
	if top := min(n, head); j < top {
		drawn += float32(ofHead) / float32(top)
	}
	if passed {
		return passedWeight * all / drawn
	}
	return all / drawn
}

// gain is what a list's nDCG would lose or win if the candidates at positions i and j of the shortlist changed places: what a pair of
// them weighs in the loss (Burges et al. 2006). Places count to twice the length of the lists, so that an item below the end is worth lifting.
func (l *lessons) gain(a *answer, i, j int) float32 {
	ideal := 0.0
	for r := range min(a.found, l.k) {
		ideal += place(r, l.k)
	}
	return float32(math.Abs(place(i, 2*l.k)-place(j, 2*l.k)) / ideal)
}

// place is what an item at rank r, from 0, adds to the DCG of a list of k.
func place(r, k int) float64 {
	if r >= k {
		return 0
	}
	return 1 / math.Log2(float64(r)+2)
}

func contains(ascending []int, j int) bool {
	_, ok := slices.BinarySearch(ascending, j)
	return ok
}

// held-out figure of a network: mean nDCG@k over the held-out answers, each asked in its context; nil is no correction.
func (l *lessons) figure(n *network) float64 {
	const chunks = 32
	var sums [chunks]float64
	type scratch struct {
		net memory
		row []float64
	}
	vec.Chunks(chunks, func() *scratch { return &scratch{row: make([]float64, candidates)} }, func(s *scratch, chunk int) {
		lo, hi := vec.Span(len(l.held), chunks, chunk)
		for _, a := range l.held[lo:hi] {
			list := &l.questions[a.question].list
			row := s.row[:len(list.items)]
			clear(row)
			if n != nil {
				n.correct(row, list.features, list.base, []share{{a.context, 1}}, &s.net)
			}
			for j, v := range list.base {
				row[j] += float64(v)
			}
			sums[chunk] += ndcg(row, list.items, a.chosen, a.found, l.k)
		}
	})
	var sum float64
	for _, s := range sums {
		sum += s
	}
	return sum / float64(max(1, len(l.held)))
}

// choice is an item in one of a question's contexts.
type choice struct {
	context int
	item    int32
}

// ask looks up what was chosen of the shortlists of a window's questions, and in which contexts.
func ask(m *Model, d *models.Dataset, questions []blend.Question, lists []shortlist) []asked {
	var to *translation
	if d.Contexts != nil {
		to = translate(d.Contexts, m.contexts)
	}
	out := make([]asked, len(questions))
	for i := range questions {
		q := &questions[i]
		a := asked{row: q.Row, list: lists[i], relevant: len(q.Relevant), mix: m.mix}
		at := map[int32]int{}
		for j, item := range lists[i].items {
			at[item] = j
			if _, ok := slices.BinarySearch(q.Relevant, item); ok {
				a.hits = append(a.hits, j)
			}
		}
		if to != nil && len(q.Query.History.Context) > 0 {
			own := make([]models.Context, len(q.Query.History.Context))
			for e, c := range q.Query.History.Context {
				own[e] = to.context(c)
			}
			a.mix = mixOf(own)
		}
		shown := d.ShownBetween(q.Row, q.Query.At, q.Until)
		for _, item := range models.Distinct(shown.Item) {
			if j, ok := at[item]; ok && !contains(a.hits, j) {
				a.passed = append(a.passed, j)
			}
		}
		slices.Sort(a.passed)
		after := d.Events.SubjectBetween(q.Row, q.Query.At, q.Until)
		in := map[choice]bool{}
		for e, item := range after.Item {
			if _, ok := slices.BinarySearch(q.Relevant, item); !ok {
				continue
			}
			var x models.Context
			if to != nil {
				x = to.context(after.Context[e])
			}
			c := slices.Index(a.context, x)
			if c < 0 {
				c = len(a.context)
				a.context, a.chosen, a.found = append(a.context, x), append(a.chosen, nil), append(a.found, 0)
			}
			if in[choice{c, item}] {
				continue
			}
			in[choice{c, item}] = true
			a.found[c]++
			if j, ok := at[item]; ok {
				a.chosen[c] = append(a.chosen[c], j)
			}
		}
		for c := range a.chosen {
			slices.Sort(a.chosen[c])
		}
		out[i] = a
	}
	return out
}
