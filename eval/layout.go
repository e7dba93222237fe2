package eval

// layout says where the values of one subject stand: first those by which cohorts are told too, of the contenders that are measured by group; then
// the same of the others; then the exposure of items by group; then the hit metrics on the other splits.
type layout struct {
	hits, lists, content int // columns of a contender: hit metrics, list metrics with their counts, content with its counts
	exposure             int // levels of all provider attributes

	main     []int               // by contender: where its hit metrics on All begin, then its list metrics, then its content
	exposed  []int               // by contender: where its exposure by level begins; −1: not measured
	split    [len(splits)][]int  // by split and contender: where its hit metrics begin
	byGroup  int                 // columns that groups have: those from 0 on
	all      int                 // columns that everybody has: those from 0 on
	of       [len(splits)][2]int // the columns of a split: from, to
	width    int
	measured []bool // contenders that are measured by group
}

func newLayout(t *Task, contenders []Contender) layout {
	n := len(contenders)
	l := layout{
		hits: len(t.K) * len(hitMetrics), lists: 2 * len(t.K) * len(listMetrics), content: 2 * len(t.Items.Content),
		main: make([]int, n), exposed: make([]int, n), measured: make([]bool, n),
	}
	if t.Items.Price != nil {
		l.content += 2
	}
	for _, p := range t.Items.Providers {
		l.exposure += len(p.Levels) + 1
	}
	at := 0
	for _, judged := range []bool{true, false} {
		for c := range contenders {
			if l.measured[c] = contenders[c].Role != Part; l.measured[c] == judged {
				l.main[c] = at
				at += l.hits + l.lists + l.content
			}
		}
		if judged {
			l.byGroup = at
		}
	}
	for c := range contenders {
		l.exposed[c] = -1
		if l.measured[c] && l.exposure > 0 {
			l.exposed[c] = at
			at += l.exposure
		}
	}
	l.all = at
	l.split[0], l.of[0] = l.main, [2]int{0, at}
	for s := 1; s < len(splits); s++ {
		l.split[s], l.of[s][0] = make([]int, n), at
		for c := range contenders {
			l.split[s][c] = at
			at += l.hits
		}
		l.of[s][1] = at
	}
	l.width = at
	return l
}

// hit is figure f, a hit metric at a length, of a contender on a split.
func (l *layout) hit(split, contender, f int) series {
	return series{l.split[split][contender] + f, -1}
}

// list is figure f, a list metric at a length, of a contender.
func (l *layout) list(contender, f int) series {
	at := l.main[contender] + l.hits + 2*f
	return series{at, at + 1}
}

// place is figure f of the content of a contender's lists.
func (l *layout) place(contender, f int) series {
	at := l.main[contender] + l.hits + l.lists + 2*f
	return series{at, at + 1}
}
