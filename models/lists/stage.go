package lists

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/storage/table"
)

// Options are what rules need to know beside a catalog.
type Options struct {
	K  int   // places of a page: how many items readers show
	At int64 // µs since the epoch; an item is new or not at this time
	// First holds the time of each item's first event before At in µs, math.MaxInt64 where there is none. Only Fresh without Since reads it.
	First []int64
	// Vectors returns an item's vector, or nil where it has none; only Diversity by Vectors reads it. The vectors are of one length.
	Vectors func(item int32) []float32
	// Less and New are what a wish of a subject weighs, in shares of the range of its scores: that it wants less of an item, and that it would rather
	// have new ones. 0: LessWeight, NewWeight. Who wants neither is not concerned.
	Less, New float64
}

// The weights of wishes where a project declares none.
const (
	LessWeight = 0.5
	NewWeight  = 0.5
)

// newFor is how long after its first event an item is new to those who would rather have new ones, where no Fresh says how long that is.
const newFor = 28 * 24 * time.Hour

// Stage is rules bound to a catalog. It is safe for concurrent use.
type Stage struct {
	rules    *Rules
	k, items int
	excluded []int32 // ascending
	limits   []limit
	similar  [][]int32   // levels of the attributes that items are compared by
	vectors  [][]float32 // of length 1, nil: no vector
	spread   *models.CatColumn
	fresh    []int32 // new items that are not excluded, ascending
	isFresh  []bool
	floors   []floor // those of Fresh and of AtLeast

	less, rather float64 // weights of wishes
	recent       []int32 // new items for those who want them: fresh, or by their first events
	isRecent     []bool
}

type limit struct {
	of   []int32 // level of each item
	most int32
	used int // where its counters begin
	n    int // levels
}

// floor is a share of the places of a page that some items have.
type floor struct {
	is    []bool
	items []int32 // that are not excluded, ascending; nil for new items, which are drawn
	share float64
	by    Rule
	salt  int32 // of the draw that rounds what a page owes them
}

// Bind prepares the rules for the items of c. Rules that name an attribute that the catalog lacks, or one of the wrong sort, are an error, and
// so is a column of times that cannot be read. O(items · rules).
func (r *Rules) Bind(c *models.Catalog, o Options) (*Stage, error) {
	if err := r.Validate(); err != nil {
		return nil, fmt.Errorf("list rules: %w", err)
	}
	if o.K < 1 {
		return nil, fmt.Errorf("list rules: a page of %d places", o.K)
	}
	s := &Stage{rules: r, k: o.K, items: c.Len()}
	if err := s.exclude(c); err != nil {
		return nil, fmt.Errorf("list rules: %w", err)
	}
	used := 0
	for _, l := range r.AtMost {
		col, err := category(c, "at_most", l.Column)
		if err != nil {
			return nil, fmt.Errorf("list rules: %w", err)
		}
		s.limits = append(s.limits, limit{of: col.Values, most: int32(l.Most), used: used, n: len(col.Levels)})
		used += len(col.Levels)
	}
	if err := s.bindObjectives(c, o); err != nil {
		return nil, fmt.Errorf("list rules: %w", err)
	}
	if err := s.bindFresh(c, o); err != nil {
		return nil, fmt.Errorf("list rules: %w", err)
	}
	if err := s.bindFloors(c); err != nil {
		return nil, fmt.Errorf("list rules: %w", err)
	}
	s.less, s.rather = cmp.Or(o.Less, LessWeight), cmp.Or(o.New, NewWeight)
	if s.recent, s.isRecent = s.fresh, s.isFresh; r.Fresh == nil && len(o.First) == c.Len() {
		s.recent, s.isRecent = s.since(o.First, o.At-newFor.Microseconds(), o.At)
	}
	return s, nil
}

func category(c *models.Catalog, rule, name string) (*models.CatColumn, error) {
	if col := c.Attrs.Cat(name); col != nil {
		return col, nil
	}
	if c.Attrs.Num(name) != nil {
		return nil, fmt.Errorf("%s: the item attribute %q holds numbers, and the rule needs a category", rule, name)
	}
	return nil, fmt.Errorf("%s: the items have no attribute %q: declare it under sources.items and let the purpose read it", rule, name)
}

func (s *Stage) exclude(c *models.Catalog) error {
	if len(s.rules.Exclude) == 0 {
		return nil
	}
	out := make([]bool, c.Len())
	for _, e := range s.rules.Exclude {
		meets := make([]bool, c.Len())
		for i := range meets {
			meets[i] = true
		}
		for _, cond := range e {
			if err := cond.narrow(c, meets); err != nil {
				return err
			}
		}
		for i, yes := range meets {
			out[i] = out[i] || yes
		}
	}
	for i, yes := range out {
		if yes {
			s.excluded = append(s.excluded, int32(i))
		}
	}
	return nil
}

// narrow takes the items out of meets that do not meet the condition.
func (cond *Condition) narrow(c *models.Catalog, meets []bool) error {
	if cond.Min != nil || cond.Max != nil {
		col := c.Attrs.Num(cond.Column)
		if col == nil {
			return fmt.Errorf("exclude: the items have no attribute %q that holds numbers: name it under sources.items.numbers, and let the purpose read it", cond.Column)
		}
		for i, x := range col.Values {
			meets[i] = meets[i] && cond.Meets("", x)
		}
		return nil
	}
	col, err := category(c, "exclude", cond.Column)
	if err != nil {
		return err
	}
	of := make([]bool, len(col.Levels))
	for l, level := range col.Levels {
		of[l] = cond.Meets(level, math.NaN())
	}
	for i, l := range col.Values {
		meets[i] = meets[i] && l >= 0 && of[l]
	}
	return nil
}

func (s *Stage) bindObjectives(c *models.Catalog, o Options) (err error) {
	if v := s.rules.Calibrate; v != nil {
		if s.spread, err = category(c, "calibrate", v.By); err != nil {
			return err
		}
	}
	d := s.rules.Diversity
	if d == nil {
		return nil
	}
	if d.By[0] != Vectors {
		for _, name := range d.By {
			col, err := category(c, "diversity", name)
			if err != nil {
				return err
			}
			s.similar = append(s.similar, col.Values)
		}
		return nil
	}
	if o.Vectors == nil {
		return fmt.Errorf("diversity: no part of the model has item vectors: name attributes, or add als to its parts")
	}
	s.vectors = make([][]float32, s.items)
	for i := range s.vectors {
		v := o.Vectors(int32(i))
		var norm float64
		for _, x := range v {
			norm += float64(x) * float64(x)
		}
		if norm == 0 {
			continue
		}
		unit := make([]float32, len(v))
		for j, x := range v {
			unit[j] = float32(float64(x) / math.Sqrt(norm))
		}
		s.vectors[i] = unit
	}
	return nil
}

func (s *Stage) bindFresh(c *models.Catalog, o Options) error {
	f := s.rules.Fresh
	if f == nil {
		return nil
	}
	since := o.First
	if f.Since != "" {
		col, err := category(c, "fresh.since", f.Since)
		if err != nil {
			return err
		}
		at := make([]int64, len(col.Levels))
		for i, text := range col.Levels {
			if at[i], err = f.Time(text); err != nil {
				return err
			}
		}
		since = make([]int64, s.items)
		for i, l := range col.Values {
			if since[i] = math.MaxInt64; l >= 0 {
				since[i] = at[l]
			}
		}
	}
	if len(since) != s.items {
		return fmt.Errorf("fresh: first events of %d items for a catalog of %d", len(since), s.items)
	}
	s.fresh, s.isFresh = s.since(since, o.At-f.Age.Microseconds(), o.At)
	return nil
}

// bindFloors finds the items that have a right to places. A floor whose levels no item has, or has any more, is idle.
func (s *Stage) bindFloors(c *models.Catalog) error {
	if s.rules.Fresh != nil {
		s.floors = append(s.floors, floor{is: s.isFresh, share: s.rules.Fresh.Share, by: Freshness, salt: math.MaxInt32})
	}
	for i, r := range s.rules.AtLeast {
		col, err := category(c, "at_least", r.Column)
		if err != nil {
			return err
		}
		f := floor{is: make([]bool, s.items), share: r.Share, by: Ensured, salt: math.MaxInt32 - 1 - int32(i)}
		wanted := make([]bool, len(col.Levels))
		for _, level := range r.In {
			if l, ok := slices.BinarySearch(col.Levels, level); ok {
				wanted[l] = true
			}
		}
		for item, l := range col.Values {
			if _, out := slices.BinarySearch(s.excluded, int32(item)); l >= 0 && wanted[l] && !out {
				f.is[item] = true
				f.items = append(f.items, int32(item))
			}
		}
		s.floors = append(s.floors, f)
	}
	return nil
}

// since returns the items that are not excluded and of a time in (from, at], ascending, and for each item whether it is one.
func (s *Stage) since(times []int64, from, at int64) (items []int32, is []bool) {
	is = make([]bool, s.items)
	for i, t := range times {
		if _, out := slices.BinarySearch(s.excluded, int32(i)); t > from && t <= at && !out {
			is[i] = true
			items = append(items, int32(i))
		}
	}
	return items, is
}

// Time reads a value of the attribute Since, in µs since the epoch; UTC if it names no zone.
func (f *Fresh) Time(text string) (int64, error) {
	r, err := table.NewTimeReader("", 0, time.UTC)
	if err != nil {
		return 0, err
	}
	at, err := r.Micros(text)
	if err != nil {
		return 0, &Fault{"fresh.since", fmt.Sprintf("the item attribute %q holds %.40q, which is no time: want 2026-03-01 or 2026-03-01T10:00:00Z, in text or as a column of dates or timestamps", f.Since, text)}
	}
	return at, nil
}

// Says tells the rules in words as Rules.Says does, and of exclusions and limits that change no list that they do not; idle are those. It is asked of
// the catalog that the stage is bound to. O(items · rules).
func (s *Stage) Says(c *models.Catalog) (says, idle []string, err error) {
	says = s.rules.Says()
	for i, e := range s.rules.Exclude {
		alone := Stage{rules: &Rules{Exclude: []Exclusion{e}}}
		if err := alone.exclude(c); err != nil {
			return nil, nil, fmt.Errorf("list rules: %w", err)
		}
		if len(alone.excluded) == 0 {
			says[i] += " (excluded 0 items)"
			idle = append(idle, says[i])
		}
	}
	for i, l := range s.rules.AtMost {
		col, err := category(c, "at_most", l.Column)
		if err != nil {
			return nil, nil, fmt.Errorf("list rules: %w", err)
		}
		if !slices.ContainsFunc(col.Values, func(level int32) bool { return level >= 0 }) {
			at := len(s.rules.Exclude) + i
			says[at] = fmt.Sprintf("no limit by %s (no item has one)", l.Column)
			idle = append(idle, says[at])
		}
	}
	for i, l := range s.rules.AtLeast {
		if f := s.floors[len(s.floors)-len(s.rules.AtLeast)+i]; len(f.items) == 0 {
			at := len(s.rules.Exclude) + len(s.rules.AtMost) + i
			says[at] = fmt.Sprintf("no places by %s (no item that may stand in a list is %s)", l.Column, strings.Join(l.In, " or "))
			idle = append(idle, says[at])
		}
	}
	return says, idle, nil
}

// Excluded returns the items that stand in no list, ascending, as a view.
func (s *Stage) Excluded() []int32 { return s.excluded }

// IsFresh reports whether an item is new and may stand in a list.
func (s *Stage) IsFresh(item int32) bool { return s.isFresh != nil && s.isFresh[item] }

// HasFresh reports whether the rules know new items.
func (s *Stage) HasFresh() bool { return s.isFresh != nil }

// Within is the stage for lists of items that all have one level of a column: the same rules but for the limit on that column, which would end each
// page after a few. It is s itself where there is none.
func (s *Stage) Within(column string) *Stage {
	at := slices.IndexFunc(s.rules.AtMost, func(l Limit) bool { return l.Column == column })
	if at < 0 {
		return s
	}
	rules, out := *s.rules, *s
	rules.AtMost, out.rules, out.limits = nil, &rules, nil
	used := 0
	for i, l := range s.limits {
		if s.rules.AtMost[i].Column == column {
			continue
		}
		rules.AtMost, out.limits = append(rules.AtMost, s.rules.AtMost[i]), append(out.limits, limit{l.of, l.most, used, l.n})
		used += l.n
	}
	return &out
}

// Without returns exclude and the items that stand in no list, ascending. It is exclude itself, or a view of the stage's own, where one of them is empty.
func (s *Stage) Without(exclude []int32) []int32 {
	switch {
	case len(s.excluded) == 0:
		return exclude
	case len(exclude) == 0:
		return s.excluded
	}
	out := make([]int32, 0, len(exclude)+len(s.excluded))
	out = append(append(out, exclude...), s.excluded...)
	slices.Sort(out)
	return slices.Compact(out)
}

// Rule is a set of rules.
type Rule uint8

// The rules that move items. Exclusions leave no item of which anything could be said.
const (
	AtMost Rule = 1 << iota
	Freshness
	Diverse
	Calibrated
	Lessened  // the subject wants less of some items
	Preferred // the subject would rather have new ones
	Ensured   // a group of items has a share of the places
)

// ruleNames are the rules' keys in a project file, and the names of wishes, by bit.
var ruleNames = [...]string{"at_most", "fresh", "diversity", "calibrate", "less", "prefer", "at_least"}

// Names returns the rules of the set by their keys in a project file, and the wishes by their names.
func (r Rule) Names() (out []string) {
	for i, name := range ruleNames {
		if r&(1<<i) != 0 {
			out = append(out, name)
		}
	}
	return out
}

// Lists receives lists as served: a Ranking whose order is the rules', and for each entry what they did.
type Lists struct {
	models.Ranking
	Before []int32 // the place that the scores alone would give, from 1; 0: it was no candidate
	By     []Rule  // which rules moved it, or others past it; 0: none
}

// K returns the places of a page.
func (s *Stage) K() int { return s.k }

// Pool is how many candidates the stage chooses from to make a list of n items.
func (s *Stage) Pool(n int) int { return max(10*s.k, 2*n) }

// Rank makes the list of each query, of q.K items at most, from the scores of m, which is bound to the stage's catalog. It overwrites out. A
// query's list does not depend on the others, nor on the number of cores.
func (s *Stage) Rank(ctx context.Context, m models.Scorer, q []models.Query, out *Lists) error {
	candidates, err := s.Candidates(ctx, m, q)
	if err != nil {
		return err
	}
	made := make([]List, len(q))
	g, gctx := errgroup.WithContext(ctx)
	workers := min(runtime.GOMAXPROCS(0), len(q))
	for w := range workers {
		g.Go(func() error {
			var f filler
			for i := w; i < len(q); i += workers {
				if err := gctx.Err(); err != nil {
					return err
				}
				made[i] = f.fill(s, &q[i], candidates[i])
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	*out = Lists{}
	out.Off = append(out.Off, 0)
	for _, l := range made {
		out.Item, out.Score = append(out.Item, l.Items...), append(out.Score, l.Scores...)
		out.Before, out.By = append(out.Before, l.Before...), append(out.By, l.By...)
		out.Off = append(out.Off, len(out.Item))
	}
	return nil
}

// Candidates returns what the list of each query is to be filled from, by the scores of m. A stage of the same exclusions, page and Fresh may fill
// lists from them too.
func (s *Stage) Candidates(ctx context.Context, m models.Scorer, q []models.Query) ([]Candidates, error) {
	pool := slices.Clone(q)
	for i := range pool {
		pool[i].Exclude = s.Without(q[i].Exclude)
		pool[i].K = 0
		if q[i].K > 0 {
			pool[i].K = s.Pool(q[i].K)
		}
	}
	var best models.Ranking
	if err := models.Rank(ctx, m, s.items, pool, &best); err != nil {
		return nil, err
	}
	extra, err := s.rankFresh(ctx, m, pool, q)
	if err != nil {
		return nil, err
	}
	ensured, err := s.rankFloors(ctx, m, pool, q)
	if err != nil {
		return nil, err
	}
	out := make([]Candidates, len(q))
	for i := range out {
		out[i].Items, out[i].Scores = best.Query(i)
		if extra != nil {
			out[i].Fresh, out[i].FreshScores = extra.Query(i)
		}
		for _, r := range ensured {
			items, scores := r.Query(i)
			out[i].Ensured, out[i].EnsuredScores = append(out[i].Ensured, items...), append(out[i].EnsuredScores, scores...)
		}
	}
	return out, nil
}

// drawn is how many of the new items a query is offered for each place that they have a right to, and how many at least.
const (
	drawn      = 8
	leastDrawn = 64
)

// rankFresh scores a draw of the new items for each query whose list owes them places, or whose subject would rather have them. It returns nil where
// that is none.
func (s *Stage) rankFresh(ctx context.Context, m models.Scorer, pool, q []models.Query) (*models.Ranking, error) {
	if len(s.fresh) == 0 && (len(s.recent) == 0 || !slices.ContainsFunc(q, func(q models.Query) bool { return q.RatherNew })) {
		return nil, nil
	}
	asked := slices.Clone(pool)
	for i := range asked {
		places := 0
		if s.rules.Fresh != nil {
			places = s.owed(&s.floors[0], q[i].Draw) * ((q[i].K + s.k - 1) / s.k)
		}
		asked[i].K = 0
		if places > 0 || q[i].RatherNew && q[i].K > 0 {
			asked[i].Candidates = draw(within(s.recent, q[i].Candidates), q[i].Draw, max(leastDrawn, drawn*places))
			asked[i].K = len(asked[i].Candidates)
		}
	}
	var out models.Ranking
	if err := models.Rank(ctx, m, s.items, asked, &out); err != nil {
		return nil, err
	}
	for i := range asked { // what ties is put in an order of the query's own, else the first of the catalog would always be shown
		items, scores := out.Query(i)
		for a := 0; a < len(items); {
			b := a + 1
			for b < len(items) && scores[b] == scores[a] {
				b++
			}
			slices.SortFunc(items[a:b], byDraw(q[i].Draw))
			a = b
		}
	}
	return &out, nil
}

// rankFloors returns, for each floor but that of new items, the best of its items for each query whose list owes them places.
func (s *Stage) rankFloors(ctx context.Context, m models.Scorer, pool, q []models.Query) (out []models.Ranking, err error) {
	for i := range s.floors {
		f := &s.floors[i]
		if f.by == Freshness {
			continue
		}
		asked := slices.Clone(pool)
		for i := range asked {
			asked[i].Candidates = within(f.items, q[i].Candidates)
			asked[i].K = min(len(asked[i].Candidates), s.owed(f, q[i].Draw)*((q[i].K+s.k-1)/s.k))
		}
		var r models.Ranking
		if err := models.Rank(ctx, m, s.items, asked, &r); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// within keeps those of items that are candidates too; nil candidates are all.
func within(items, candidates []int32) []int32 {
	if candidates == nil {
		return items
	}
	out := make([]int32, 0, len(items))
	for _, i := range items {
		if _, ok := slices.BinarySearch(candidates, i); ok {
			out = append(out, i)
		}
	}
	return out
}

// owed is how many places of a page are owed to the items of a floor: share·K, rounded down or up by the draw.
func (s *Stage) owed(f *floor, draw uint64) int {
	u := float64(mix(draw, f.salt)>>11) * 0x1p-53
	return int(f.share*float64(s.k) + u)
}

// draw returns n of the items, ascending: each with the same chance over seeds. All of them if there are no more.
func draw(items []int32, seed uint64, n int) []int32 {
	if n >= len(items) {
		return items
	}
	out := slices.Clone(items)
	slices.SortFunc(out, byDraw(seed))
	out = out[:n]
	slices.Sort(out)
	return out
}

// byDraw orders items by chance, in an order that the draw fixes.
func byDraw(draw uint64) func(a, b int32) int {
	return func(a, b int32) int {
		x, y := mix(draw, a), mix(draw, b)
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return int(a) - int(b)
	}
}

// mix is a hash of a draw and an item (the finalizer of SplitMix64; Steele, Lea & Flood 2014).
func mix(draw uint64, item int32) uint64 {
	z := draw + (uint64(uint32(item))+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
