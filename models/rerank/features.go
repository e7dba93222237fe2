package rerank

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sort"
	"time"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/blend"
)

// candidates is how many of the blend's best items of a query are corrected.
const candidates = 200

// maxAttributes is how many of the items' categories become features.
const maxAttributes = 3

// day is a day in µs.
const day = int64(24 * time.Hour / time.Microsecond)

// recent is how many of a history's last events tell what the subject is after now.
const recent = 10

// taste is the half-life of the share of a history that has an attribute in common with a candidate.
const taste = 30 * 24 * time.Hour

// featureNames lists the features of a candidate in their order. All are of what was known before the query's time.
func featureNames(parts, attributes []string) []string {
	var names []string
	for _, p := range parts {
		// The part's score over its scale in the blend, and log₂ of 1 + how many candidates the part puts before this one.
		names = append(names, "score."+p, "rank."+p)
	}
	names = append(names,
		"blend",            // the blend's score
		"blend.rank",       // log₂ of 1 + how many candidates have a higher one
		"blend.share",      // its share of the best candidate's
		"item.recency",     // log(1 + days) since the subject's last event with the item; missing: never
		"item.count",       // log(1 + events of the subject with it)
		"item.last_weight", // weight of the last of them; missing: never
	)
	for _, a := range attributes {
		// log(1 + days) since the last event with an item of the same level, missing: never or no level; and the share of the history,
		// decayed, that has this level: taste; and of its last events: intent.
		names = append(names, "recency."+a, "share."+a, "recent."+a)
	}
	return append(names,
		"popularity",      // log of the share of people who choose the item lately
		"trend",           // log of that share over the last days, against it over the last weeks
		"history.events",  // log(1 + events of the subject)
		"history.recency", // log(1 + days) since the last one; missing: never
	)
}

// popularity of an item is that of models/popular, with two half-lives; their ratio is the trend.
const (
	slowHalfLife = 28 * 24 * time.Hour
	fastHalfLife = 4 * 24 * time.Hour
	leastShare   = 1e-6 // added before logarithms
)

// snapshot is what the features of one time are made from, all of it trained on the events before: a blend and the popularity of items.
type snapshot struct {
	blend      *blend.Model
	slow, fast models.Model
	attributes []string // of items
}

// bound is a snapshot bound to a catalog.
type bound struct {
	n                 int
	whole             blend.Whole
	scale             []float64 // of each part
	attributes        []attribute
	popularity, trend []float32
	width             int
}

type attribute struct {
	level  []int32 // of each item, or -1
	levels int
}

func (s *snapshot) bind(ctx context.Context, c *models.Catalog, subjectColumns []string) (*bound, error) {
	b := &bound{n: c.Len()}
	var err error
	if b.whole, err = s.blend.BindWhole(ctx, c, subjectColumns); err != nil {
		return nil, err
	}
	record := s.blend.Record()
	for _, p := range record.Parts {
		b.scale = append(b.scale, p.Scale)
	}
	for _, name := range s.attributes {
		a := attribute{}
		if col := c.Attrs.Cat(name); col != nil {
			a.level, a.levels = col.Values, len(col.Levels)
		}
		b.attributes = append(b.attributes, a)
	}
	var shares [2][]float32
	for i, m := range []models.Model{s.slow, s.fast} {
		sc, err := m.Bind(ctx, c, nil)
		if err != nil {
			return nil, fmt.Errorf("bind popularity: %w", err)
		}
		shares[i] = make([]float32, b.n)
		if b.n == 0 {
			continue
		}
		if err := sc.Score(ctx, []models.Query{{}}, shares[i]); err != nil {
			return nil, fmt.Errorf("popularity: %w", err)
		}
	}
	b.popularity, b.trend = make([]float32, b.n), make([]float32, b.n)
	for i := range b.n {
		slow, fast := math.Log(float64(shares[0][i])+leastShare), math.Log(float64(shares[1][i])+leastShare)
		b.popularity[i], b.trend[i] = float32(slow), float32(fast-slow)
	}
	b.width = 2*len(b.scale) + 10 + 3*len(b.attributes)
	return b, nil
}

// shortlist is the candidates of a query, best first in the blend's order, with their features.
type shortlist struct {
	items    []int32
	base     []float32 // the blend's scores
	features []float32 // len(items) × width; NaN: missing
}

// head is how long the head of a shortlist is.
const head = 20

// unitOf returns the least unit of a shortlist: the blend's score of the last candidate of its head, or 0 if that is less. A candidate's
// correction is bounded by a share of its own blend score, or of this unit if that is more: so a bound means the same at any
// place of the list, for people of many events (whose scores are high) as for those of few, and the tail can still climb. base descends.
func unitOf(base []float32) float64 {
	if len(base) == 0 {
		return 0
	}
	return max(0, float64(base[min(len(base), head)-1]))
}

// desk is the scratch of one goroutine at a bound snapshot.
type desk struct {
	items  []int32
	scores []float32
	sorted []float32
	last   []int64 // by item: time of the subject's last event with it
	weight []float32
	count  []int32
	of     [][]level // by attribute and level
	net    memory
	row    []float64
	rows   []float32 // scores of a batch: the blend's, then each part's
}

// level is what a history says of one level of an attribute.
type level struct {
	last   int64
	mass   float64
	recent int // among the last events
	seen   bool
}

func (b *bound) newDesk() *desk {
	d := &desk{
		items: make([]int32, candidates), scores: make([]float32, candidates), sorted: make([]float32, candidates),
		last: make([]int64, b.n), weight: make([]float32, b.n), count: make([]int32, b.n), of: make([][]level, len(b.attributes)),
	}
	for a := range d.of {
		d.of[a] = make([]level, b.attributes[a].levels)
	}
	return d
}

// shortlist picks the candidates of q from the blend's row of scores and makes their features; parts are the rows of its parts.
// O(items + history + candidates·features).
func (b *bound) shortlist(q *models.Query, blended []float32, parts [][]float32, d *desk) (shortlist, error) {
	n, err := models.Best(blended, q, d.items, d.scores)
	if err != nil {
		return shortlist{}, err
	}
	s := shortlist{items: slices.Clone(d.items[:n]), base: slices.Clone(d.scores[:n]), features: make([]float32, n*b.width)}
	if n == 0 {
		return s, nil
	}
	column := 0
	put := func(i int, v float32) { s.features[i*b.width+column] = v }
	scores := make([]float32, n)
	for p, row := range parts {
		for i, item := range s.items {
			scores[i] = row[item]
			put(i, float32(float64(row[item])/b.scale[p]))
		}
		column++
		b.ranks(scores, d, put)
		column++
	}
	top := s.base[0]
	for i, v := range s.base {
		put(i, v)
	}
	column++
	b.ranks(s.base, d, put)
	column++
	for i, v := range s.base {
		if top > 0 {
			put(i, v/top)
		}
	}
	column++
	b.fromHistory(q, &s, d, &column)
	return s, nil
}

// ranks puts log₂(1 + g) for each score, of which g others are greater.
func (b *bound) ranks(scores []float32, d *desk, put func(int, float32)) {
	sorted := append(d.sorted[:0], scores...)
	slices.Sort(sorted)
	for i, v := range scores {
		below := sort.Search(len(sorted), func(k int) bool { return sorted[k] > v })
		put(i, float32(math.Log2(float64(1+len(sorted)-below))))
	}
}

// fromHistory makes the features of what the subject did before, and of the items' popularity.
func (b *bound) fromHistory(q *models.Query, s *shortlist, d *desk, column *int) {
	h, nan := &q.History, float32(math.NaN())
	var mass float64
	latest := int64(math.MinInt64)
	for e, item := range h.Item {
		t := h.Time[e]
		if d.count[item] == 0 || t >= d.last[item] {
			d.last[item], d.weight[item] = t, h.Weight[e]
		}
		d.count[item]++
		latest = max(latest, t)
		m := float64(h.Weight[e]) * models.Decay(q.At-t, taste)
		mass += m
		for a, at := range b.attributes {
			if at.level == nil || at.level[item] < 0 {
				continue
			}
			l := &d.of[a][at.level[item]]
			if !l.seen || t > l.last {
				l.last = t
			}
			if l.seen, l.mass = true, l.mass+m; e >= h.Len()-recent {
				l.recent++
			}
		}
	}
	age := func(t int64) float32 { return float32(math.Log1p(float64(max(q.At-t, 0)) / float64(day))) }
	events, idle := float32(math.Log1p(float64(h.Len()))), nan
	if h.Len() > 0 {
		idle = age(latest)
	}
	for i, item := range s.items {
		f := s.features[i*b.width+*column : (i+1)*b.width]
		f[0], f[2] = nan, nan
		if d.count[item] > 0 {
			f[0], f[2] = age(d.last[item]), d.weight[item]
		}
		f[1] = float32(math.Log1p(float64(d.count[item])))
		f = f[3:]
		for a, at := range b.attributes {
			f[0], f[1], f[2] = nan, nan, nan
			if at.level != nil && at.level[item] >= 0 {
				l := d.of[a][at.level[item]]
				if l.seen {
					f[0] = age(l.last)
				}
				if f[1], f[2] = 0, 0; mass > 0 {
					f[1], f[2] = float32(l.mass/mass), float32(l.recent)/float32(min(h.Len(), recent))
				}
			}
			f = f[3:]
		}
		f[0], f[1], f[2], f[3] = b.popularity[item], b.trend[item], events, idle
	}
	for _, item := range h.Item { // leave the desk as it was
		d.count[item] = 0
		for a, at := range b.attributes {
			if at.level != nil && at.level[item] >= 0 {
				d.of[a][at.level[item]] = level{}
			}
		}
	}
}

// batch is how many queries are scored before their candidates are picked, if a row of scores is short enough.
const batch = 16

// batchFloats bounds the scores of one matrix of a batch: 8 MiB.
const batchFloats = 2 << 20

// each scores q in batches and calls f with the index, the blend's row of scores and the shortlist of each query, in order. The row
// is f's until it returns.
func (b *bound) each(ctx context.Context, q []models.Query, d *desk, f func(i int, blended []float32, s shortlist)) error {
	size := max(1, min(batch, batchFloats/max(1, b.n), len(q)))
	d.rows = grow(d.rows, (1+len(b.scale))*size*b.n)
	rows, parts, one := d.rows[:size*b.n], make([][]float32, len(b.scale)), make([][]float32, len(b.scale))
	for p := range parts {
		parts[p] = d.rows[(p+1)*size*b.n:][:size*b.n]
	}
	for from := 0; from < len(q); from += size {
		to := min(from+size, len(q))
		n := (to - from) * b.n
		for p := range one {
			one[p] = parts[p][:n]
		}
		if err := b.whole.ScoreParts(ctx, q[from:to], rows[:n], one); err != nil {
			return err
		}
		for i := from; i < to; i++ {
			at := (i - from) * b.n
			for p := range one {
				one[p] = parts[p][at:][:b.n]
			}
			blended := rows[at:][:b.n]
			s, err := b.shortlist(&q[i], blended, one, d)
			if err != nil {
				return fmt.Errorf("query %d: %w", i, err)
			}
			f(i, blended, s)
		}
	}
	return nil
}

// attributesOf returns the items' categories that become features: those whose levels have something in common, the first by name.
func attributesOf(c *models.Catalog) []string {
	var names []string
	if c.Attrs == nil {
		return names
	}
	for i := range c.Attrs.Cats {
		if col := &c.Attrs.Cats[i]; len(col.Levels) > 1 && 2*len(col.Levels) <= c.Len() {
			names = append(names, col.Name)
		}
	}
	slices.Sort(names)
	return names[:min(len(names), maxAttributes)]
}
