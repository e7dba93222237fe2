package rerank

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/rapport-ml/rapport/models"
)

// mixed is how many contexts a list is averaged over at most: the subject's most frequent ones.
const mixed = 8

// share is one context of a mix, in the columns of the model, and its weight; those of a mix add up to 1.
type share struct {
	Context models.Context `json:"context"`
	Weight  float64        `json:"weight"`
}

// mixOf returns the mix of a subject whose events came in the given contexts: the most frequent ones (ties: the lower number), weighted by
// how often. It is empty where nothing is known.
func mixOf(contexts []models.Context) []share {
	sorted := slices.Clone(contexts)
	slices.Sort(sorted)
	var mix []share
	for i, c := range sorted {
		if i > 0 && c == sorted[i-1] {
			mix[len(mix)-1].Weight++
		} else {
			mix = append(mix, share{c, 1})
		}
	}
	return most(mix)
}

// most keeps the heaviest contexts of a mix and makes their weights add up to 1.
func most(mix []share) []share {
	slices.SortFunc(mix, func(a, b share) int {
		return cmp.Or(cmp.Compare(b.Weight, a.Weight), cmp.Compare(a.Context, b.Context))
	})
	mix = mix[:min(len(mix), mixed)]
	var sum float64
	for _, s := range mix {
		sum += s.Weight
	}
	for i := range mix {
		mix[i].Weight /= sum
	}
	return mix
}

// population returns the mix of everybody's events before until, and the contexts' columns reduced to what a model may hold: levels, and
// in the mix combinations of them, of at least models.MinSubjects subjects.
func population(d *models.Dataset, until int64) (*models.Contexts, []share) {
	if d.Contexts == nil {
		return &models.Contexts{Columns: []models.ContextColumn{}}, []share{{Weight: 1}}
	}
	events := d.Training(until)
	subjects := make([][]int, len(d.Contexts.Columns))
	last := make([][]int, len(subjects)) // 1 + the row of the subject that was counted last
	for c, col := range d.Contexts.Columns {
		subjects[c], last[c] = make([]int, len(col.Levels)+1), make([]int, len(col.Levels)+1)
	}
	for s := range events.Subjects {
		for _, x := range events.Subject(s).Context {
			for c := range subjects {
				if l := x.Level(c); last[c][l] != s+1 {
					last[c][l] = s + 1
					subjects[c][l]++
				}
			}
		}
	}
	kept := &models.Contexts{Zone: d.Contexts.Zone}
	for c, col := range d.Contexts.Columns {
		k := models.ContextColumn{Name: col.Name, Levels: []string{}}
		for l, level := range col.Levels {
			if subjects[c][l+1] >= models.MinSubjects {
				k.Levels = append(k.Levels, level)
			}
		}
		kept.Columns = append(kept.Columns, k)
	}
	return kept, mixIn(d, kept, until)
}

// mixIn returns the mix of everybody's events before until in the columns of c: of combinations of at least models.MinSubjects subjects.
func mixIn(d *models.Dataset, c *models.Contexts, until int64) []share {
	if d.Contexts == nil {
		return []share{{Weight: 1}}
	}
	events := d.Training(until)
	type count struct {
		events, subjects, last int
	}
	to, counts := translate(d.Contexts, c), map[models.Context]*count{}
	for s := range events.Subjects {
		for _, x := range events.Subject(s).Context {
			x = to.context(x)
			n := counts[x]
			if n == nil {
				n = &count{}
				counts[x] = n
			}
			n.events++
			if n.last != s+1 {
				n.last = s + 1
				n.subjects++
			}
		}
	}
	var mix []share
	for x, n := range counts {
		if n.subjects >= models.MinSubjects {
			mix = append(mix, share{x, float64(n.events)})
		}
	}
	if len(mix) == 0 {
		mix = []share{{Weight: 1}}
	}
	return most(mix)
}

// checkMix reports a mix that population cannot have made.
func checkMix(mix []share, c *models.Contexts) error {
	if len(mix) == 0 || len(mix) > mixed {
		return fmt.Errorf("the mix of contexts has %d, want 1 to %d", len(mix), mixed)
	}
	var sum float64
	for i, s := range mix {
		for col := range models.MaxContextColumns {
			levels := 0
			if col < len(c.Columns) {
				levels = len(c.Columns[col].Levels)
			}
			if s.Context.Level(col) > levels {
				return fmt.Errorf("context %d of the mix has level %d of %d in column %d", i, s.Context.Level(col), levels, col)
			}
		}
		if !(s.Weight > 0) {
			return fmt.Errorf("context %d of the mix has weight %v", i, s.Weight)
		}
		sum += s.Weight
	}
	if math.Abs(sum-1) > 1e-9 {
		return fmt.Errorf("the weights of the mix add up to %v", sum)
	}
	return nil
}

// translation rewrites contexts of one set of columns into another's. A column or level that the other lacks is unknown there.
type translation struct {
	from   *models.Contexts
	levels [][]int // to's level of from's, by to's column and from's level; nil: from lacks the column
	column []int
}

func translate(from, to *models.Contexts) *translation {
	t := &translation{from: from, levels: make([][]int, len(to.Columns)), column: make([]int, len(to.Columns))}
	for c := range to.Columns {
		f := from.Column(to.Columns[c].Name)
		t.column[c] = f
		if f < 0 {
			continue
		}
		t.levels[c] = make([]int, len(from.Columns[f].Levels)+1)
		for l, level := range from.Columns[f].Levels {
			t.levels[c][l+1] = to.Columns[c].Index(level)
		}
	}
	return t
}

func (t *translation) context(x models.Context) models.Context {
	var out models.Context
	for c, levels := range t.levels {
		if levels == nil {
			continue
		}
		if l := x.Level(t.column[c]); l < len(levels) {
			out = out.With(c, levels[l])
		}
	}
	return out
}
