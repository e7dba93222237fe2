package main

import (
	"errors"
	"math/rand/v2"
	"slices"

	"github.com/rapport-ml/rapport/models"
)

// task is one protocol on one data set: what is learned from, and what is asked.
type task struct {
	train     *models.Dataset // Cuts.Test is where learning ends
	questions []question
	metrics   []metric
	mask      bool // without what the subject had before
}

// question is one subject's.
type question struct {
	query    models.Query
	relevant []int32 // ascending
	row      int     // of train.Events.Subjects, or -1: the subject is not learned from
}

// metric is a figure of a list.
type metric struct {
	name string
	k    int
	ndcg bool // else recall over min(k, relevant)
}

var atTen = []metric{{"nDCG@10", 10, true}, {"recall@10", 10, false}}

// errNothing says that a protocol has nothing to ask.
var errNothing = errors.New("the protocol leaves no question: too few subjects have events that fit it")

// temporal asks at the test cut for what the test window holds, with repeats or without.
func temporal(d *models.Dataset, mask bool) (*task, error) {
	x := *d
	t := &task{train: &x, metrics: atTen, mask: mask}
	for s := range d.Events.Subjects {
		t.ask(s, d.Query(s, d.Cuts.Test, 0), d.Events.SubjectBetween(s, d.Cuts.Test, d.Cuts.End).Item)
	}
	return t.checked()
}

// last asks for the last item of each subject that it had not had before, from all before it.
func last(d *models.Dataset) (*task, error) {
	t := &task{metrics: atTen, mask: true}
	type answer struct {
		s, cut int
		item   int32
	}
	var answers []answer
	t.train = without(d, func(s int, h models.History) int {
		for cut := h.Len() - 1; cut > 0; cut-- {
			if !slices.Contains(h.Item[:cut], h.Item[cut]) {
				answers = append(answers, answer{s, cut, h.Item[cut]})
				return cut
			}
		}
		return h.Len()
	})
	for _, a := range answers {
		t.ask(a.s, t.train.Query(a.s, t.train.Cuts.Test, 0), []int32{a.item})
	}
	return t.checked()
}

// strong takes a tenth of the subjects out, and asks them for a fifth of their items from the rest.
func strong(d *models.Dataset, seed uint64) (*task, error) {
	t := &task{mask: true, metrics: []metric{{"recall@20", 20, false}, {"recall@50", 50, false}, {"nDCG@100", 100, true}}}
	r := rand.New(rand.NewPCG(seed, 0x7374726f6e67))
	out := make([]bool, len(d.Events.Subjects))
	for s := range out {
		out[s] = r.IntN(10) == 0 && len(models.Distinct(d.Events.Subject(s).Item)) >= 5
	}
	t.train = without(d, func(s int, h models.History) int {
		if out[s] {
			return 0
		}
		return h.Len()
	})
	for s, held := range out {
		if !held {
			continue
		}
		items := models.Distinct(d.Events.Subject(s).Item)
		r.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
		wanted := models.Distinct(items[:len(items)/5])
		q := d.Query(s, t.train.Cuts.Test, 0)
		q.History = models.History{}
		h := d.Events.Subject(s)
		for e, i := range h.Item {
			if _, asked := slices.BinarySearch(wanted, i); !asked {
				q.History.Item, q.History.Time = append(q.History.Item, i), append(q.History.Time, h.Time[e])
				q.History.Kind, q.History.Weight = append(q.History.Kind, h.Kind[e]), append(q.History.Weight, h.Weight[e])
			}
		}
		t.ask(-1, q, wanted)
	}
	return t.checked()
}

// without is d with the first keep(s) events of each subject alone, all of which are learned from: the last tenth of them, by time, is what weighs
// the parts of a blend. Contexts are left out.
func without(d *models.Dataset, keep func(s int, h models.History) int) *models.Dataset {
	out := *d
	out.Contexts = nil
	out.Events = models.EventLog{Subjects: d.Events.Subjects, Off: []int{0}}
	l := &out.Events
	for s := range l.Subjects {
		h := d.Events.Subject(s)
		n := keep(s, h)
		l.Item, l.Time = append(l.Item, h.Item[:n]...), append(l.Time, h.Time[:n]...)
		l.Kind, l.Weight = append(l.Kind, h.Kind[:n]...), append(l.Weight, h.Weight[:n]...)
		l.Off = append(l.Off, len(l.Item))
	}
	times := slices.Sorted(slices.Values(l.Time))
	if n := len(times); n > 0 {
		end := times[n-1] + 1
		cut := max(times[n*9/10], times[0]+1)
		out.Cuts = models.Cuts{Base: times[0], Rerank: cut, Validation: cut, Test: end, End: end}
	}
	return &out
}

// ask adds a question, unless nothing is left to be found or nothing is known of the subject.
func (t *task) ask(row int, q models.Query, relevant []int32) {
	if t.mask {
		q.Exclude = models.Distinct(q.History.Item)
	}
	wanted := slices.DeleteFunc(models.Distinct(relevant), func(i int32) bool {
		_, had := slices.BinarySearch(q.Exclude, i)
		return had
	})
	if len(wanted) > 0 && q.History.Len() > 0 {
		t.questions = append(t.questions, question{q, wanted, row})
	}
}

// checked gives the questions the depth of the metrics, and the candidates: items that somebody had.
func (t *task) checked() (*task, error) {
	if len(t.questions) == 0 {
		return nil, errNothing
	}
	had := models.Distinct(t.train.Training(t.train.Cuts.Test).Item)
	for i := range t.questions {
		q := &t.questions[i].query
		q.Candidates = had
		for _, m := range t.metrics {
			q.K = max(q.K, m.k)
		}
	}
	t.train.MaskSeen = t.mask
	return t, nil
}

// of keeps the events of the given kinds; of no kinds, all.
func of(d *models.Dataset, kinds []string) *models.Dataset {
	if len(kinds) == 0 {
		return d
	}
	out := *d
	out.Contexts = nil
	out.Events = models.EventLog{Subjects: d.Events.Subjects, Off: []int{0}}
	l := &out.Events
	for s := range l.Subjects {
		h := d.Events.Subject(s)
		for e := range h.Item {
			if slices.Contains(kinds, d.Kinds[h.Kind[e]]) {
				l.Item, l.Time = append(l.Item, h.Item[e]), append(l.Time, h.Time[e])
				l.Kind, l.Weight = append(l.Kind, h.Kind[e]), append(l.Weight, h.Weight[e])
			}
		}
		l.Off = append(l.Off, len(l.Item))
	}
	return &out
}
