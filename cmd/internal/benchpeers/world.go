package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"sort"

	"github.com/rapport-ml/rapport/cmd/internal/benchpeers/peers"
)

// shape is how large a world is.
type shape struct {
	subjects, items, pairs int
	judged                 int // subjects of whose pairs a fifth is held out
}

// world is what subjects had, for training, and what was held out of some.
type world struct {
	train  *peers.Matrix
	judged []int     // rows, ascending
	held   [][]int32 // items held out of each of them, ascending
}

// topics is how many groups of items a world has; a subject likes a few of them.
const topics = 48

// generate makes a world of planted tastes: items have a popularity that falls off as a power law, and a topic; subjects are active by a
// log-normal law, from 20 pairs on as in ML-20M, and draw most pairs from topics of their own. Equal shapes and seeds give equal worlds.
// Pairs are as many as asked, to about 2 %: a subject does not draw an item twice.
func generate(s shape, seed uint64) *world {
	r := rand.New(rand.NewPCG(seed, 0x7065657273))
	all, byTopic := &urn{}, make([]urn, topics)
	for i := range s.items {
		popularity := math.Pow(float64(i)+50, -0.9)
		all.add(int32(i), popularity)
		byTopic[r.IntN(topics)].add(int32(i), popularity)
	}
	const least, spread = 20, 1.1
	mean := float64(s.pairs) / float64(s.subjects)
	scale := max(mean-least, 0) / math.Exp(spread*spread/2)
	w := &world{train: &peers.Matrix{Items: s.items, Off: []int64{0}, Col: make([]int32, 0, s.pairs+s.pairs/10)}}
	every := max(1, s.subjects/max(1, s.judged))
	had := make([]int, s.items) // 1 + the row that had the item last
	var row, held []int32
	for subject := range s.subjects {
		want := min(int(min(least, mean)+scale*math.Exp(spread*r.NormFloat64())), s.items/3)
		var likes [4]int
		for k := range likes {
			likes[k] = r.IntN(topics)
		}
		row = row[:0]
		for draws := 0; len(row) < want && draws < 6*want; draws++ {
			from := all
			if r.Float64() < 0.75 {
				from = &byTopic[likes[min(r.IntN(4), r.IntN(4))]]
			}
			if i := from.draw(r); i >= 0 && had[i] != subject+1 {
				had[i] = subject + 1
				row = append(row, i)
			}
		}
		if subject%every == 0 && len(w.judged) < s.judged && len(row) >= 5 {
			n := len(row) / 5 // drawn in no order that says anything, but the popular ones come first
			for k := range n {
				j := k + r.IntN(len(row)-k)
				row[k], row[j] = row[j], row[k]
			}
			held, row = slices.Clone(row[:n]), row[n:]
			slices.Sort(held)
			w.judged, w.held = append(w.judged, subject), append(w.held, held)
		}
		slices.Sort(row)
		w.train.Col = append(w.train.Col, row...)
		w.train.Off = append(w.train.Off, int64(len(w.train.Col)))
	}
	return w
}

// part is the judged subjects and some of the others, evenly, one subject in `share` together (or the judged alone, if they are more).
func (w *world) part(share int) *world {
	m := w.train
	others := max(0, m.Subjects()/share-len(w.judged))
	every := max(1, (m.Subjects()-len(w.judged))/max(1, others))
	p := &world{train: &peers.Matrix{Items: m.Items, Off: []int64{0}}, held: w.held}
	seen, judged := 0, 0
	for s := range m.Subjects() {
		if judged < len(w.judged) && w.judged[judged] == s {
			judged++
			p.judged = append(p.judged, p.train.Subjects())
		} else {
			seen++
			if seen%every != 0 || seen/every > others {
				continue
			}
		}
		p.train.Col = append(p.train.Col, m.Row(s)...)
		p.train.Off = append(p.train.Off, int64(len(p.train.Col)))
	}
	return p
}

// start is what our als draws for the items of m that anybody had, and 0 for others: a peer that starts there solves the same equations in its first
// epoch. The trainer keeps its draws to itself, so they are drawn again here, and a test fails if the two part.
func start(m *peers.Matrix, seed uint64, d int) []float32 {
	seen := make([]bool, m.Items)
	for _, i := range m.Col {
		seen[i] = true
	}
	r, sd := rand.New(rand.NewPCG(seed, 0x616c73)), 0.1/math.Sqrt(float64(d))
	x := make([]float32, m.Items*d)
	for i, had := range seen {
		for k := range d {
			if had {
				x[i*d+k] = float32(sd * r.NormFloat64())
			}
		}
	}
	return x
}

// urn holds items to draw from, in proportion to their weights.
type urn struct {
	items []int32
	upTo  []float64 // sums of weights
}

func (u *urn) add(item int32, weight float64) {
	if n := len(u.upTo); n > 0 {
		weight += u.upTo[n-1]
	}
	u.items, u.upTo = append(u.items, item), append(u.upTo, weight)
}

// draw returns an item, or -1 of an empty urn.
func (u *urn) draw(r *rand.Rand) int32 {
	if len(u.items) == 0 {
		return -1
	}
	x := r.Float64() * u.upTo[len(u.upTo)-1]
	return u.items[min(sort.Search(len(u.upTo), func(i int) bool { return u.upTo[i] > x }), len(u.items)-1)]
}
