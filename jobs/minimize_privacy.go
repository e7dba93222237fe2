package jobs

import (
	"context"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/storage/table"
)

// telling counts how many people a field tells apart: a person's combination is the set of the distinct values of its rows. Values are kept as hashes of
// 64 bits, of a seed of their own each time, and forgotten when they are counted.
type telling struct {
	seed   maphash.Seed
	people []uint64 // the combination of each person of whom there is a value
	values []uint64 // of the person at hand
}

func newTelling() *telling { return &telling{seed: maphash.MakeSeed()} }

// text, number and value take in a value of the person at hand.
func (t *telling) text(s string)    { t.values = append(t.values, maphash.String(t.seed, s)) }
func (t *telling) number(x float64) { t.value(math.Float64bits(x)) }
func (t *telling) value(x uint64)   { t.values = append(t.values, maphash.Comparable(t.seed, x)) }

// next ends the person at hand, who is not counted without a value.
func (t *telling) next() {
	if len(t.values) > 0 {
		slices.Sort(t.values)
		var h maphash.Hash
		h.SetSeed(t.seed)
		for _, v := range slices.Compact(t.values) {
			maphash.WriteComparable(&h, v)
		}
		t.people = append(t.people, h.Sum64())
	}
	t.values = t.values[:0]
}

// count is what it came to. O(n log n).
func (t *telling) count() (people int, unique, small eval.Share) {
	slices.Sort(t.people)
	people = len(t.people)
	var alone, few int
	for at := 0; at < people; {
		end := at + 1
		for end < people && t.people[end] == t.people[at] {
			end++
		}
		switch n := end - at; {
		case n == 1:
			alone, few = alone+1, few+1
		case n < eval.MinCell:
			few += n
		}
		at = end
	}
	return people, eval.ShareOf(alone, people), eval.ShareOf(few, people)
}

// cost is that as a report has it.
func (t *telling) cost() eval.PrivacyCost {
	n, unique, small := t.count()
	if n < eval.MinCell {
		n = 0
	}
	return eval.PrivacyCost{People: n, Kept: eval.Share{Value: 1}, Unique: unique, Small: small, Coarser: []eval.Coarser{}}
}

// coarser is the same as a coarser way to tell something.
func (t *telling) coarser(to string) eval.Coarser {
	_, unique, small := t.count()
	return eval.Coarser{To: to, Unique: unique, Small: small}
}

// eachHistory calls f for each subject with what is known of it before the test cut.
func eachHistory(d *models.Dataset, f func(h models.History)) {
	for s := range d.Events.Subjects {
		f(d.Events.SubjectBetween(s, d.Cuts.Base, d.Cuts.Test))
	}
}

// toldBy counts people by the values that f takes in of a history.
func toldBy(d *models.Dataset, f func(t *telling, h models.History)) *telling {
	t := newTelling()
	eachHistory(d, func(h models.History) {
		f(t, h)
		t.next()
	})
	return t
}

// itemsCost is what the sets of items of d's histories tell, of which all events there were before anything was left out. Coarser is a category in place of
// the item: the two with the fewest levels.
func itemsCost(d *models.Dataset, all int, coarser bool) eval.PrivacyCost {
	kept := 0
	out := toldBy(d, func(t *telling, h models.History) {
		kept += h.Len()
		for _, item := range h.Item {
			t.value(uint64(item))
		}
	}).cost()
	out.Kept = eval.ShareOf(kept, all) // events, of which a few are told as a few people are
	if !coarser || d.Catalog.Attrs == nil {
		return out
	}
	cats := slices.Clone(d.Catalog.Attrs.Cats)
	slices.SortStableFunc(cats, func(a, b models.CatColumn) int { return len(a.Levels) - len(b.Levels) })
	for _, c := range cats[:min(2, len(cats))] {
		out.Coarser = append(out.Coarser, toldBy(d, func(t *telling, h models.History) {
			for _, item := range h.Item {
				t.value(uint64(c.Values[item]) + 1) // a missing level is a value like others
			}
		}).coarser(c.Name+" in place of the item"))
	}
	return out
}

// timesCost is what the times of events tell, cut off to so much; 0: as they are.
func timesCost(d *models.Dataset, to time.Duration) *telling {
	return toldBy(d, func(t *telling, h models.History) {
		for _, at := range h.Time {
			if to > 0 {
				at -= at % to.Microseconds()
			}
			t.value(uint64(at))
		}
	})
}

// kindsCost is what the kinds of events tell.
func kindsCost(d *models.Dataset) eval.PrivacyCost {
	return toldBy(d, func(t *telling, h models.History) {
		for _, k := range h.Kind {
			t.value(uint64(k))
		}
	}).cost()
}

// attributeCost is what an attribute of people tells.
func attributeCost(d *models.Dataset, name string) eval.PrivacyCost {
	a := d.Subjects
	tell := func(t *telling, s int, but, only string) {
		for i := range a.Cats {
			if c := &a.Cats[i]; c.Name != but && (only == "" || c.Name == only) && c.Values[s] >= 0 {
				t.text(fmt.Sprintf("%d %s", i, c.Levels[c.Values[s]]))
			}
		}
		for i := range a.Nums {
			if c := &a.Nums[i]; c.Name != but && (only == "" || c.Name == only) && !math.IsNaN(c.Values[s]) {
				t.text(fmt.Sprintf("n%d %g", i, c.Values[s]))
			}
		}
	}
	count := func(but, only string) *telling {
		t := newTelling()
		for s := range d.Events.Subjects {
			tell(t, s, but, only)
			t.next()
		}
		return t
	}
	out := count("", name).cost()
	if len(a.Cats)+len(a.Nums) > 1 {
		_, all, _ := count("", "").count()
		_, others, _ := count(name, "").count()
		out.Together, out.Others = &all, &others
	}
	if c := a.Num(name); c != nil {
		t := newTelling()
		for _, x := range c.Values {
			if !math.IsNaN(x) {
				t.number(oneDigit(x))
			}
			t.next()
		}
		out.Coarser = append(out.Coarser, t.coarser("one significant digit"))
	}
	if c := a.Cat(name); c != nil {
		t, held := newTelling(), make([]int, len(c.Levels))
		for _, v := range c.Values {
			if v >= 0 {
				held[v]++
			}
		}
		for _, v := range c.Values {
			switch {
			case v >= 0 && held[v] < eval.MinCell:
				t.value(math.MaxUint64)
			case v >= 0:
				t.value(uint64(v))
			}
			t.next()
		}
		out.Coarser = append(out.Coarser, t.coarser(rareAsOne))
	}
	return out
}

// rareAsOne is the coarser way to tell a category.
var rareAsOne = fmt.Sprintf("levels of fewer than %d people as one", eval.MinCell)

// oneDigit rounds to one significant digit.
func oneDigit(x float64) float64 {
	if x == 0 {
		return 0
	}
	unit := math.Pow(10, math.Floor(math.Log10(math.Abs(x))))
	return math.Round(x/unit) * unit
}

// told is a value of a column of events, of the subject in a row of a data set.
type told struct {
	row  int32
	text string
	x    float64
}

// columnCost is what a column of events tells that models do not hold: it reads the permitted events of d's people once. Memory: 32 bytes an event.
func (w *work) columnCost(ctx context.Context, d *models.Dataset, name string) (eval.PrivacyCost, error) {
	var all []told
	texts := map[string]string{} // one copy of each
	between := table.Interval{Start: timeOf(d.Cuts.Base), End: timeOf(d.Cuts.Test)}
	number := false
	for b, err := range w.events(ctx, between, append(slices.Clone(eventColumns), name), nil) {
		if err != nil {
			return eval.PrivacyCost{}, fmt.Errorf("column %s: %w", name, err)
		}
		subjects, col := b.Col(event.ColSubject).Int, b.Col(name)
		for i := range b.N {
			row, ok := slices.BinarySearch(d.Events.Subjects, uint64(subjects[i]))
			if !ok || col.Null(i) {
				continue
			}
			x := told{row: int32(row)}
			switch {
			case col.Float != nil:
				x.x, number = col.Float[i], true
			case col.Int != nil:
				x.x, number = float64(col.Int[i]), true
			default:
				text := col.Text(i)
				if _, ok := texts[text]; !ok {
					text = strings.Clone(text)
					texts[text] = text
				}
				x.text = texts[text]
			}
			all = append(all, x)
		}
	}
	slices.SortStableFunc(all, func(a, b told) int { return int(a.row) - int(b.row) })
	count := func(take func(t *telling, x told)) *telling {
		t := newTelling()
		for i, x := range all {
			take(t, x)
			if i+1 == len(all) || all[i+1].row != x.row {
				t.next()
			}
		}
		return t
	}
	if number {
		out := count(func(t *telling, x told) { t.number(x.x) }).cost()
		out.Coarser = append(out.Coarser, count(func(t *telling, x told) { t.number(oneDigit(x.x)) }).coarser("one significant digit"))
		return out, nil
	}
	held, last := map[string]int{}, map[string]int32{}
	for _, x := range all {
		if row, ok := last[x.text]; !ok || row != x.row {
			held[x.text], last[x.text] = held[x.text]+1, x.row
		}
	}
	out := count(func(t *telling, x told) { t.text(x.text) }).cost()
	out.Coarser = append(out.Coarser, count(func(t *telling, x told) {
		if held[x.text] < eval.MinCell {
			t.value(math.MaxUint64)
			return
		}
		t.text(x.text)
	}).coarser(rareAsOne))
	return out, nil
}
