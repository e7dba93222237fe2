package eval

import (
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/rapport-ml/rapport/models"
)

// measurer measures the lists of one subject after another; one for each worker.
type measurer struct {
	*evaluation
	flags  []bool // hits by split and rank
	prices []float64
}

// measure writes the values of every subject of the wave. Subjects are divided over all cores, each writes its own values.
func (e *evaluation) measure(wave []row) {
	var wg sync.WaitGroup
	workers := min(runtime.GOMAXPROCS(0), len(wave))
	for w := range workers {
		wg.Go(func() {
			m := measurer{evaluation: e, flags: make([]bool, len(splits)*e.depth)}
			for i := w; i < len(wave); i += workers {
				m.subject(&wave[i], i, e.values[i*e.layout.width:][:e.layout.width])
			}
		})
	}
	wg.Wait()
}

// subject writes all values of row r, which stands at place i of the wave.
func (m *measurer) subject(r *row, i int, values []float64) {
	clear(values)
	for c := range m.contenders {
		list, _ := m.lists[c].Query(i)
		m.hits(values, c, r, list)
		var live []int32
		if m.live >= 0 {
			live, _ = m.lists[m.live].Query(i)
		}
		at := m.layout.main[c] + m.layout.hits
		m.like(values[at:at+m.layout.lists], &r.Query, list, live)
		if m.layout.measured[c] {
			m.places(values, c, list)
		}
	}
}

// hits writes the hit metrics of one list on each split; where nothing is relevant they stay 0 and are not counted.
func (m *measurer) hits(values []float64, c int, r *row, list []int32) {
	n := len(list)
	var hit [len(splits)][]bool
	for s := range splits {
		hit[s] = m.flags[s*n : (s+1)*n]
	}
	for i, item := range list {
		relevant := contains(r.Relevant, item)
		repeat := relevant && contains(r.Seen, item)
		hit[0][i], hit[1][i], hit[2][i], hit[3][i] = relevant, repeat, relevant && !repeat, relevant
		hit[4][i] = relevant && m.task.Items.Cold != nil && m.task.Items.Cold[item]
	}
	for s := range splits {
		if r.relevant[s] > 0 {
			m.discount.score(values[m.layout.split[s][c]:][:m.layout.hits], hit[s], r.relevant[s], m.task.K)
		}
	}
}

// like writes the list metrics of one list at each length: a value and, where it is defined, a one beside it, k-major.
func (m *measurer) like(dst []float64, q *models.Query, list, live []int32) {
	var rarity, standing, unlike float64
	r := 0
	for j, k := range m.task.K {
		n := min(k, len(list))
		for ; r < n; r++ {
			if m.rarity != nil {
				rarity += m.rarity[list[r]]
				standing += m.standing[list[r]]
			}
			if m.task.Items.Measure != nil {
				for _, other := range list[:r] {
					unlike += 1 - m.task.Items.Measure.Similarity(list[r], other)
				}
			}
		}
		if n == 0 {
			continue
		}
		row := dst[2*j*len(listMetrics):][:2*len(listMetrics)]
		set := func(f int, v float64) { row[2*f], row[2*f+1] = v, 1 }
		if m.rarity != nil {
			set(0, rarity/float64(n))
			set(1, standing/float64(n))
		}
		if m.task.Items.Measure != nil {
			if _, ok := m.task.Items.Measure.Diversity(list[:min(n, 2)]); ok {
				set(2, unlike/float64(n*(n-1)/2))
			}
			if v, ok := m.task.Items.Measure.Divergence(q, list[:n]); ok {
				set(3, v)
			}
		}
		if m.live >= 0 {
			set(4, overlap(list[:n], live[:min(k, len(live))]))
		}
	}
}

// overlap is the number of items in both lists, over the length of the longer one. O(len(a)·len(b)), which are short.
func overlap(a, b []int32) float64 {
	both := 0
	for _, i := range a {
		if slices.Contains(b, i) {
			both++
		}
	}
	return float64(both) / float64(max(len(a), len(b)))
}

// places writes what stands in the places of the first length: shares of groups of items, the median price, and exposure by level.
func (m *measurer) places(values []float64, c int, list []int32) {
	list = list[:min(len(list), m.task.K[0])]
	if len(list) == 0 {
		return
	}
	x := &m.task.Items
	for f, g := range x.Content {
		s := m.layout.place(c, f)
		for _, i := range list {
			if g.In[i] {
				values[s.num]++
			}
		}
		values[s.num], values[s.den] = values[s.num]/float64(len(list)), 1
	}
	if x.Price != nil {
		m.prices = m.prices[:0]
		for _, i := range list {
			if v := x.Price.Of[i]; !math.IsNaN(v) && !math.IsInf(v, 0) {
				m.prices = append(m.prices, v)
			}
		}
		if len(m.prices) > 0 {
			s := m.layout.place(c, len(x.Content))
			values[s.num], values[s.den] = median(m.prices), 1
		}
	}
	if at := m.layout.exposed[c]; at >= 0 {
		for _, p := range x.Providers {
			for r, i := range list {
				l := int(p.Of[i])
				if l < 0 {
					l = len(p.Levels)
				}
				values[at+l] += m.discount.at[r]
			}
			at += len(p.Levels) + 1
		}
	}
}

// median sorts x, which is not empty, and returns its middle: of an even number, the mean of the middle two.
func median(x []float64) float64 {
	slices.Sort(x)
	n := len(x)
	return (x[(n-1)/2] + x[n/2]) / 2
}
