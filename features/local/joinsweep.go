package local

import (
	"cmp"
	"math"
	"slices"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/aggregate"
	"github.com/rapport-ml/rapport/storage/table"
)

// sweep computes the results of entities, one after another. Its slices are used again and again.
type sweep struct {
	*block
	found   *joinEvents
	refused map[string]int64

	// Of the entity: its examples by moment, and its records by time.
	rows    []int32
	moments []int64
	recs    []uint64
	byTime  []int32

	// Of the view: as of when each example sees it.
	asOf   []int64
	seen   []int64 // by record, in the order of byTime: from which moment on it is visible
	bySeen []int32 // positions in byTime in the order of seen
	place  []int32 // by position in byTime: the position in the series; −1: none
	// Of the feature.
	x series
	windowStates

	position []int32 // of sorted
	pairs    []keyAt
}

// series is the events that a feature aggregates, by time.
type series struct {
	time  []int64
	seen  []int64 // from which moment on
	word  []uint64
	order []int32 // positions in the order of seen
	at    []int32 // the inverse of order
}

func newSweep(b *block, found *joinEvents) *sweep {
	return &sweep{block: b, found: found, refused: map[string]int64{}}
}

// partition brings the records of a part of a group's entities together and sweeps each entity.
func (s *sweep) partition(group, part int, examples examplesOf) {
	g := s.groups[group]
	k := g.recordWords()
	slots := len(examples.ends) - 1
	if slots <= part {
		return
	}
	n := (slots-1-part)/joinPartitions + 1
	ends := make([]int, n+1)
	for _, w := range s.found.workers {
		recs := w.groups[group].parts[part]
		for i := 0; i < len(recs); i += k {
			ends[recs[i+slotWord]+1] += k
		}
	}
	for i := range n {
		ends[i+1] += ends[i]
	}
	all := make([]uint64, ends[n])
	fill := slices.Clone(ends)
	for number, w := range s.found.workers {
		recs := w.groups[group].parts[part]
		w.groups[group].parts[part] = nil
		for i := 0; i < len(recs); i += k {
			rec := recs[i : i+k]
			text := rec[k-len(g.texts):]
			for j, t := range g.texts {
				if rank := s.found.texts[t].rank[number]; int(text[j]) < len(rank) {
					text[j] = uint64(rank[text[j]])
				}
			}
			at := &fill[rec[slotWord]]
			*at += copy(all[*at:], rec)
		}
	}
	for i := range n {
		s.recs = all[ends[i]:ends[i+1]]
		s.entity(g, k, examples.of(i*joinPartitions+part))
	}
}

// entity sweeps one entity's records for all views of its group.
func (s *sweep) entity(g *joinGroup, k int, rows []int32) {
	moments := s.cols[s.moment].Int
	s.keys = s.keys[:0]
	for _, row := range rows {
		s.keys = append(s.keys, moments[row])
	}
	s.rows, s.moments = s.rows[:0], s.moments[:0]
	for _, i := range s.sorted(s.keys) {
		s.rows, s.moments = append(s.rows, rows[i]), append(s.moments, s.keys[i])
	}
	s.keys = s.keys[:0]
	for i := 0; i < len(s.recs); i += k {
		s.keys = append(s.keys, int64(s.recs[i+timeWord]))
	}
	s.byTime = append(s.byTime[:0], s.sorted(s.keys)...)

	anchor := s.Anchor.UnixMicro()
	for i := range g.views {
		v := &g.views[i]
		s.asOf, s.seen = s.asOf[:0], s.seen[:0]
		for _, t := range s.moments {
			s.asOf = append(s.asOf, v.asOf(anchor, t))
		}
		for _, rec := range s.byTime {
			r := s.recs[int(rec)*k:][:k]
			s.seen = append(s.seen, v.visible(anchor, int64(r[timeWord]), int64(r[knownWord])))
		}
		s.bySeen = append(s.bySeen[:0], s.sorted(s.seen)...)
		for j := range v.features {
			f := &v.features[j]
			s.gather(g, v, f, k)
			at := v.at + j*len(v.windows)
			s.feature(f, v.windows, s.cols[at:at+len(v.windows)])
		}
	}
}

// sorted returns the positions of keys in their order, equal ones as they stand; it is valid until the next call. Most data come in order.
func (s *sweep) sorted(keys []int64) []int32 {
	s.position = s.position[:0]
	if slices.IsSorted(keys) {
		for i := range keys {
			s.position = append(s.position, int32(i))
		}
		return s.position
	}
	s.pairs = s.pairs[:0]
	for i, key := range keys {
		s.pairs = append(s.pairs, keyAt{key, int32(i)})
	}
	slices.SortFunc(s.pairs, func(a, b keyAt) int {
		if a.key != b.key {
			return cmp.Compare(a.key, b.key)
		}
		return cmp.Compare(a.at, b.at)
	})
	for _, p := range s.pairs {
		s.position = append(s.position, p.at)
	}
	return s.position
}

type keyAt struct {
	key int64
	at  int32
}

// gather sets s.x to the events that pass the feature's filter and have a value.
func (s *sweep) gather(g *joinGroup, v *joinView, f *joinFeature, k int) {
	x := &s.x
	x.time, x.seen, x.word, x.order = x.time[:0], x.seen[:0], x.word[:0], x.order[:0]
	s.place = slices.Grow(s.place[:0], len(s.byTime))[:len(s.byTime)]
	for i, rec := range s.byTime {
		r := s.recs[int(rec)*k:][:k]
		mask := r[maskWord : maskWord+g.mask]
		s.place[i] = -1
		if !has(mask, f.pred) {
			continue
		}
		word := math.Float64bits(1)
		if f.word >= 0 {
			word = r[f.word]
		}
		switch f.Op {
		case features.Decayed:
			if !aggregate.Decayable(math.Float64frombits(word)) {
				s.refused[v.Name+"."+f.Name]++
				continue
			}
		case features.ShareOf:
			if word = 0; has(mask, f.part) {
				word = 1
			}
		}
		s.place[i] = int32(len(x.time))
		x.time, x.seen, x.word = append(x.time, int64(r[timeWord])), append(x.seen, s.seen[i]), append(x.word, word)
	}
	for _, i := range s.bySeen {
		if at := s.place[i]; at >= 0 {
			x.order = append(x.order, at)
		}
	}
	x.at = slices.Grow(x.at[:0], len(x.order))[:len(x.order)]
	for i, event := range x.order {
		x.at[event] = int32(i)
	}
}

// slide moves a window over the series, example by example: add is called for each event that comes into the window, remove for each that leaves
// it, and put when the window is that of example k.
func (s *sweep) slide(window int64, add, remove func(event int), put func(k int)) {
	x := &s.x
	shown, tail := 0, 0
	for k, as := range s.asOf {
		for ; tail < len(x.time) && x.time[tail] < as-window; tail++ {
			if int(x.at[tail]) < shown {
				remove(tail)
			}
		}
		for ; shown < len(x.order) && x.seen[x.order[shown]] <= s.moments[k]; shown++ {
			if event := int(x.order[shown]); event >= tail {
				add(event)
			}
		}
		put(k)
	}
}

// reveal calls add for each event when it becomes visible, and put when all that example k sees were added.
func (s *sweep) reveal(add func(event int), put func(k int)) {
	x := &s.x
	shown := 0
	for k := range s.asOf {
		for ; shown < len(x.order) && x.seen[x.order[shown]] <= s.moments[k]; shown++ {
			add(int(x.order[shown]))
		}
		put(k)
	}
}

// feature computes a feature for all examples; dst are the columns of its windows.
func (s *sweep) feature(f *joinFeature, windows []int64, dst []table.Column) {
	switch f.Op {
	case features.Min, features.Max:
		s.extreme(f, windows, dst)
		return
	case features.First, features.Last, features.Sequence, features.Recency:
		s.timed(f, windows, dst)
		return
	}
	for w, window := range windows {
		switch f.Op {
		case features.Count, features.ShareOf:
			s.counts(f, window, &dst[w])
		case features.Sum, features.Mean:
			s.sums(f, window, &dst[w])
		case features.Decayed:
			s.decayed(f, window, &dst[w])
		case features.Distinct:
			s.distinct(window, &dst[w], w == 0)
		case features.ApproxDistinct:
			s.approx(f, window, &dst[w], w == 0)
		case features.Top:
			s.top(f, window, &dst[w], w == 0)
		case features.Quantile:
			s.quantile(f, window, &dst[w], w == 0)
		}
	}
}

func putInt(c *table.Column, row int32, x int64)     { c.Int[row], c.Valid[row] = x, true }
func putFloat(c *table.Column, row int32, x float64) { c.Float[row], c.Valid[row] = x, true }
func putText(c *table.Column, row int32, x string)   { c.Str[row], c.Valid[row] = x, true }

func (s *sweep) counts(f *joinFeature, window int64, dst *table.Column) {
	all, part := int64(0), int64(0)
	s.slide(window, func(e int) {
		all++
		part += int64(s.x.word[e] & 1)
	}, func(e int) {
		all--
		part -= int64(s.x.word[e] & 1)
	}, func(k int) {
		switch {
		case f.Op == features.Count:
			putInt(dst, s.rows[k], all)
		case all > 0:
			putFloat(dst, s.rows[k], float64(part)/float64(all))
		}
	})
}

func (s *sweep) value(event int) float64 { return math.Float64frombits(s.x.word[event]) }

func (s *sweep) sums(f *joinFeature, window int64, dst *table.Column) {
	var sum aggregate.Exact
	n := int64(0)
	s.slide(window, func(e int) {
		sum.Add(s.value(e))
		n++
	}, func(e int) {
		sum.Add(-s.value(e))
		if n--; n == 0 {
			sum = aggregate.Exact{}
		}
	}, func(k int) {
		switch {
		case f.Op == features.Sum:
			putFloat(dst, s.rows[k], sum.Result())
		case n > 0:
			putFloat(dst, s.rows[k], sum.Result()/float64(n))
		}
	})
}

// rebaseAfter is by how many half-lives the base of a decayed sum may stay behind its window.
const rebaseAfter = 32

func (s *sweep) decayed(f *joinFeature, window int64, dst *table.Column) {
	var sum aggregate.Exact
	decay, n := aggregate.Decay{HalfLife: f.HalfLife.Microseconds()}, 0
	base := int64(0)
	example := 0
	// What is left when an example's window has lost its oldest events is moved to a base that is near the window.
	rebase := func() {
		to := decay.Base(s.asOf[example] - window)
		if n == 0 {
			sum, base = aggregate.Exact{}, to
		} else if to-base > rebaseAfter {
			sum.Scale(int(base - to))
			base = to
		}
	}
	s.slide(window, func(e int) {
		rebase()
		sum.Add(decay.Term(s.value(e), s.x.time[e], base))
		n++
	}, func(e int) {
		sum.Add(-decay.Term(s.value(e), s.x.time[e], base))
		n--
	}, func(k int) {
		rebase()
		putFloat(dst, s.rows[k], decay.Result(sum.Result(), base, s.asOf[k]))
		example = k + 1
	})
}

func (s *sweep) extreme(f *joinFeature, windows []int64, dst []table.Column) {
	sign := 1.0
	if f.Op == features.Max {
		sign = -1
	}
	best := s.best[:0]
	longest := windows[len(windows)-1]
	s.reveal(func(e int) {
		best.Add(s.x.time[e], sign*s.value(e))
	}, func(k int) {
		if n := len(best); n > 0 && best[n/2].Time < s.asOf[k]-longest {
			best.Cut(s.asOf[k] - longest)
		}
		for w, window := range windows {
			if x, ok := best.Result(s.asOf[k] - window); ok {
				putFloat(&dst[w], s.rows[k], sign*x+0)
			}
		}
	})
	s.best = best
}

// ordered returns a word of the feature as a number that is ordered as its values are.
func (f *joinFeature) ordered(word uint64) int64 {
	if f.kind == table.Float64 {
		return int64(ordered(word) ^ 1<<63)
	}
	return int64(word)
}

// number is the inverse of ordered, of a float.
func (f *joinFeature) number(x int64) float64 { return unordered(uint64(x) ^ 1<<63) }

// element writes a value, of which ordered made x, to a JSON array.
func (s *sweep) element(f *joinFeature) func(dst []byte, x int64) []byte {
	switch f.kind {
	case table.String:
		return func(dst []byte, x int64) []byte {
			return aggregate.AppendJSONString(dst, s.found.texts[f.text].sorted[x])
		}
	case table.Float64:
		return func(dst []byte, x int64) []byte { return aggregate.AppendJSONNumber(dst, f.number(x)) }
	case table.Bool:
		return aggregate.AppendJSONBool
	}
	return aggregate.AppendJSONInt
}

// timed is First, Last, Sequence and Recency.
func (s *sweep) timed(f *joinFeature, windows []int64, dst []table.Column) {
	put := func(c *table.Column, row int32, x int64) {
		if f.kind == table.String {
			putText(c, row, s.found.texts[f.text].sorted[x])
			return
		}
		putFloat(c, row, f.number(x))
	}
	event := func(e int) aggregate.Event[int64] {
		return aggregate.Event[int64]{Time: s.x.time[e], Value: f.ordered(s.x.word[e])}
	}
	longest := windows[len(windows)-1]
	switch f.Op {
	case features.First:
		first := aggregate.Firsts[int64](s.events[:0])
		s.reveal(func(e int) { first.Add(event(e), 1, cmp.Compare[int64]) }, func(k int) {
			if n := len(first); n > 0 && first[n/2].Time < s.asOf[k]-longest {
				first.Cut(s.asOf[k] - longest)
			}
			for w, window := range windows {
				if e, ok := first.Result(s.asOf[k] - window); ok {
					put(&dst[w], s.rows[k], e.Value)
				}
			}
		})
		s.events = first
	case features.Recency:
		last := int64(minTime)
		s.reveal(func(e int) { last = max(last, s.x.time[e]) }, func(k int) {
			for w, window := range windows {
				if last >= s.asOf[k]-window {
					putFloat(&dst[w], s.rows[k], float64(s.asOf[k]-last)/1e6)
				}
			}
		})
	default: // Last and Sequence
		s.recent(f, windows, dst, event, put)
	}
}

func (s *sweep) recent(f *joinFeature, windows []int64, dst []table.Column, event func(int) aggregate.Event[int64], put func(*table.Column, int32, int64)) {
	recent := aggregate.Recents[int64](s.events[:0])
	// The texts of a window's sequence are written anew only where it has changed.
	version := 0
	type written struct {
		version, n int
		text       string
	}
	last := make([]written, len(windows))
	element := s.element(f)
	s.reveal(func(e int) {
		recent.Add(event(e), max(1, f.N), cmp.Compare[int64])
		version++
	}, func(k int) {
		for w, window := range windows {
			events := recent.Result(s.asOf[k] - window)
			n := len(events)
			switch {
			case n == 0:
			case f.Op == features.Last:
				put(&dst[w], s.rows[k], events[n-1].Value)
			default:
				if l := &last[w]; l.version != version || l.n != n {
					s.text = aggregate.AppendSequence(s.text[:0], events, element)
					*l = written{version, n, string(s.text)}
				}
				putText(&dst[w], s.rows[k], last[w].text)
			}
		}
	})
	s.events = recent
}
