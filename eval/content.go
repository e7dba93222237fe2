package eval

import "math"

// content adds the figures of what stands in the places of the first length: r is everybody.
func (e *evaluation) content(q *Quality, r *resampled) {
	add := func(x ContentQuality, f int) {
		for c, contender := range e.contenders {
			if !e.layout.measured[c] {
				continue
			}
			est := r.estimate(e.layout.place(c, f))
			est = est.as(toldOf(est.N, r.n))
			est.Metric, est.Split = x.Name, All
			x.Figures = append(x.Figures, ContentFigure{Contender: contender.Name, Estimate: est})
		}
		q.Content = append(q.Content, x)
	}
	for f, g := range e.task.Items.Content {
		items := 0
		for _, in := range g.In {
			if in {
				items++
			}
		}
		add(ContentQuality{Name: g.Name, Sort: ShareOfPlaces, K: e.task.K[0], Catalog: finite(float64(items) / float64(len(g.In)))}, f)
	}
	if x := e.task.Items.Price; x != nil {
		var known []float64
		for _, v := range x.Of {
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				known = append(known, v)
			}
		}
		c := ContentQuality{Name: x.Name, Sort: MedianOfList, K: e.task.K[0]}
		if len(known) > 0 {
			c.Catalog = finite(median(known))
		}
		add(c, len(e.task.Items.Content))
	}
}

// contentOf returns a contender's figure of everybody, of the content of that name, or nil.
func (q *Quality) contentOf(name, contender string) *Estimate {
	for i := range q.Content {
		if q.Content[i].Name != name {
			continue
		}
		for j := range q.Content[i].Figures {
			if f := &q.Content[i].Figures[j]; f.Contender == contender {
				return &f.Estimate
			}
		}
	}
	return nil
}

// ceiling is the largest value that a figure can have.
func (e *evaluation) ceiling(name string) float64 {
	if x := e.task.Items.Price; x != nil && x.Name == name {
		return math.Inf(1)
	}
	return ceiling(name)
}
