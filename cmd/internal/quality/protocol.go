package main

import (
	"errors"
	"slices"

	"github.com/rapport-ml/rapport/eval"
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
	return divide(&x, eval.Temporal, 0, &task{metrics: atTen, mask: mask})
}

// last asks for the last item of each subject that it had not had before, from all before it.
func last(d *models.Dataset) (*task, error) {
	return divide(d, eval.LeaveLastOut, 0, &task{metrics: atTen, mask: true})
}

// strong takes a tenth of the subjects out, and asks them for a fifth of their items from the rest.
func strong(d *models.Dataset, seed uint64) (*task, error) {
	return divide(d, eval.StrongGeneralization, seed, &task{mask: true, metrics: []metric{{"recall@20", 20, false}, {"recall@50", 50, false}, {"nDCG@100", 100, true}}})
}

// divide asks what a protocol of the product asks.
func divide(d *models.Dataset, by eval.Protocol, seed uint64, t *task) (*task, error) {
	h, err := eval.Hold(d, by, true, seed)
	if errors.Is(err, eval.ErrNothingHeld) {
		return nil, errNothing
	}
	if err != nil {
		return nil, err
	}
	t.train = h.Train
	for _, a := range h.Asked {
		row := a.Row
		if by == eval.StrongGeneralization {
			row = -1
		}
		q, relevant := h.Question(a)
		t.ask(row, q, relevant)
	}
	return t.checked()
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
