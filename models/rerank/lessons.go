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
	mix      []share
	context  []models.Context // those in which something was chosen, each once, in order
	chosen   [][]int          // by context: positions on the shortlist, ascending
	found    []int            // by context: how many of the relevant items were chosen in it
}

// answer is what was chosen of a shortlist in one context.
type answer struct {
	question int
	context  models.Context
	chosen   []int
}

// example is one chosen item of an answer.
type example struct{ answer, chosen int }

// lessons is the re-ranker's window: what the network learns from, and what it is stopped by.
type lessons struct {
	questions   []asked
	answers     []answer
	examples    []example
	held        []answer // of one subject in five
	width       int      // features of a candidate
	temperature float64
}

// What is trained on at most: the chosen items of one answer, and all of them.
const (
	chosenAnAnswer = 6
	mostExamples   = 12000
	holdOut        = 5 // one subject in so many
)

// newLessons sorts the questions of the re-ranker's window. unit is the blend's usual best score.
func newLessons(questions []asked, width int, n *network) *lessons {
	l := &lessons{questions: questions, width: width}
	for i := range questions {
		q := &questions[i]
		for c, x := range q.context {
			chosen := q.chosen[c]
			if len(chosen) == 0 || len(chosen) == len(q.list.items) {
				continue
			}
			a := answer{i, x, chosen}
			if q.row%holdOut == 0 {
				l.held = append(l.held, a)
				continue
			}
			l.answers = append(l.answers, a)
			most := min(len(chosen), chosenAnAnswer)
			for k := range most {
				l.examples = append(l.examples, example{len(l.answers) - 1, chosen[k*len(chosen)/most]})
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
	l.temper(n.bound)
	return l
}

// temper finds the temperature at which the blend alone makes the training answers likeliest. It is at least a tenth of the bound, for
// exponents must stay within float32.
func (l *lessons) temper(bound float64) {
	l.temperature = bound / 10
	best := math.Inf(1)
	for t := bound / 10; t <= 4*bound; t *= 1.4 {
		at := *l
		at.temperature = t
		if loss := at.over(l.answers, nil); loss < best {
			best, l.temperature = loss, t
		}
	}
}

// logit is the blend's score of candidate j, in temperatures below the best one; what is far below is no farther than 40.
func (l *lessons) logit(q *asked, j int) float32 {
	return float32(max(float64(q.list.base[j]-q.list.base[0])/l.temperature, -40))
}

// draw returns the candidates of a row: the chosen one, and others that were not chosen, half of them from the top of the list, where
// places are decided.
func (l *lessons) draw(a *answer, chosen int, r *rand.Rand) [contrast]int {
	n := len(l.questions[a.question].list.items)
	var out [contrast]int
	out[0] = chosen
	for c := 1; c < contrast; c++ {
		from := n
		if c%2 == 0 {
			from = min(n, 30)
		}
		j := r.IntN(from)
		for tries := 0; contains(a.chosen, j); tries++ {
			if tries > 20 { // nearly all were chosen
				from = n
			}
			j = r.IntN(from)
		}
		out[c] = j
	}
	return out
}

func contains(ascending []int, j int) bool {
	_, ok := slices.BinarySearch(ascending, j)
	return ok
}

// loss is the held-out loss of a network; nil is no correction.
func (l *lessons) loss(n *network) float64 { return l.over(l.held, n) }

// over is the mean over answers of −log of the probability that each chosen item has under a softmax over its whole shortlist without
// the others that were chosen.
func (l *lessons) over(answers []answer, n *network) float64 {
	const chunks = 32
	var sums [chunks]float64
	type scratch struct {
		net memory
		row []float64
	}
	vec.Chunks(chunks, func() *scratch { return &scratch{} }, func(s *scratch, chunk int) {
		lo, hi := vec.Span(len(answers), chunks, chunk)
		for _, a := range answers[lo:hi] {
			q := &l.questions[a.question]
			if cap(s.row) < len(q.list.items) {
				s.row = make([]float64, candidates)
			}
			row := s.row[:len(q.list.items)]
			clear(row)
			if n != nil {
				n.correct(row, q.list.features, []share{{a.context, 1}}, &s.net)
			}
			var others float64
			for j := range row {
				row[j] = float64(l.logit(q, j)) + row[j]/l.temperature
				if !contains(a.chosen, j) {
					others += math.Exp(row[j])
				}
			}
			var loss float64
			for _, j := range a.chosen {
				loss += math.Log1p(others / math.Exp(row[j]))
			}
			sums[chunk] += loss / float64(len(a.chosen))
		}
	})
	var sum float64
	for _, s := range sums {
		sum += s
	}
	return sum / float64(max(1, len(answers)))
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
