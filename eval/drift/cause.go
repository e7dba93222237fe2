package drift

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// CauseKind is what a drift is put down to.
type CauseKind string

// The causes, in the order in which they are tried: the first that the evidence shows is the one.
const (
	UpstreamBreak   CauseKind = "upstream"   // the source writes otherwise: values are missing, a unit has changed, a level or an hour of the day is gone
	ConsentShift    CauseKind = "consent"    // other people may be used than before
	RetentionCut    CauseKind = "retention"  // the window reaches less far back than the one it is compared with
	PopulationShift CauseKind = "population" // other people came, or some became more active; those who were here before do as they did
	BehaviourShift  CauseKind = "behaviour"  // the same people do otherwise
	UnclearCause    CauseKind = "unclear"    // too few people are in both windows to tell the last two apart
)

// Cause is what the drift of a column is put down to, and by which evidence.
type Cause struct {
	Kind CauseKind `json:"kind"`
	Says string    `json:"says"`
	// Returning is the effect among those who are in both windows, with as many rows of each as in the reference; nil where it was not measured.
	Returning *float64 `json:"effect_among_returning,omitempty"`
}

// The rules. They decide between explanations of a drift that was called already, so none of them needs a test of its own.
const (
	nullsMoved     = 0.05 // of the rows, that lost or found their value
	unitTolerance  = 0.06 // of a known factor, for the ratio of medians: the logarithm of how far it is off
	largeTolerance = 0.2  // of a factor of ten and more, as little else moves everything that far
	powerTolerance = 0.35 // of a power of ten
	undone         = 0.2  // of the effect, at most so much of which is left once a unit is changed back
	levelShare     = 0.02 // of the reference's rows, that a level or an hour must have had to be missed
	levelRows      = 30   // rows that it should have had
	vanished       = 0.5  // of the effect, at most so much of which is left among those in both windows
	fewReturning   = 30   // units in both windows, to look at them alone
)

// Side is one of the two windows.
type Side int

// The windows of a Panel.
const (
	InReference Side = iota
	InCurrent
)

// Panel looks a second time at columns that were called, for what explains them: their values as they are, and their rows of the units that are in both
// windows. Count both windows first, then Add both. Memory: a word or two a unit, and what Numbers takes.
type Panel struct {
	specs  []Spec
	rows   [2]map[int64]int64
	both   int // units in both windows
	shared [2][][]float64
	values [2][]*Numbers
	hours  [2][24]int64
	others []*Panel
}

// Join lets p explain the columns of o as well, whose rows are other ones.
func (p *Panel) Join(o *Panel) { p.others = append(p.others, o) }

// NewPanel returns an empty panel of the columns of these bins.
func NewPanel(specs []Spec) *Panel {
	p := &Panel{specs: specs, both: -1}
	for side := range p.rows {
		p.rows[side] = map[int64]int64{}
		for _, s := range specs {
			p.shared[side] = append(p.shared[side], make([]float64, s.bins()+1))
			p.values[side] = append(p.values[side], NewNumbers())
		}
	}
	return p
}

// Count takes in whose the rows of a window are.
func (p *Panel) Count(side Side, units []int64) {
	for _, u := range units {
		p.rows[side][u]++
	}
}

// Add takes in rows of a window, with hours of the day of each (nil: they have none), once both windows have been counted.
func (p *Panel) Add(side Side, b *Batch, hours []int) {
	for _, h := range hours {
		p.hours[side][h]++
	}
	for c := range b.Cols {
		spec, col := &p.specs[c], b.Cols[c]
		search := newSearch(spec.Edges)
		for i, u := range b.Unit {
			if spec.Half && choosesLevels(uint64(u)) {
				continue
			}
			bin := spec.bins()
			switch {
			case col.Null(i):
			case col.Str != nil || col.Code != nil:
				if text := col.Text(i); text != "" {
					bin = spec.level(text)
				}
			default:
				v := 0.0
				if col.Float != nil {
					v = col.Float[i]
				} else {
					v = float64(col.Int[i])
				}
				if !isNumber(v) {
					break
				}
				p.values[side][c].Add(v)
				if spec.numeric() {
					bin = search.bin(v)
				} else {
					bin = spec.level(formatNumber(v))
				}
			}
			if before, now := p.rows[InReference][u], p.rows[InCurrent][u]; before > 0 && now > 0 {
				weight := 1.0
				if side == InCurrent { // as active as it was
					weight = float64(before) / float64(now)
				}
				p.shared[side][c][bin] += weight
			}
		}
	}
}

// level is the bin of a level.
func (s *Spec) level(text string) int {
	if b, found := slices.BinarySearch(s.Levels, text); found {
		return b
	}
	return len(s.Levels)
}

// returning is how many units are in both windows.
func (p *Panel) returning() int {
	if p.both < 0 {
		p.both = 0
		for u := range p.rows[InCurrent] {
			if p.rows[InReference][u] > 0 {
				p.both++
			}
		}
	}
	return p.both
}

// Circumstances are what is known beside the rows.
type Circumstances struct {
	Consent   *Column // the consent rate of the purpose, if it has drifted
	Retention string  // how the window's start has moved, in a sentence; "" if it has not
	// WholeDays says that both windows hold whole days, so that an hour without a row is worth a word.
	WholeDays bool
}

// Explain says what the drift of a called column is put down to. A column that the panel does not hold is explained by what it is of: a column of Mix is
// the population itself.
func (p *Panel) Explain(c *Column, x Circumstances) Cause {
	switch c.Group {
	case mixGroup:
		if x.Consent != nil && (c.Name == NewSubjectsColumn || c.Name == ReturningSubjectsColumn) {
			return consentCause(x.Consent)
		}
		return Cause{Kind: PopulationShift, Says: mixSays[c.Name]}
	case ConsentGroup:
		return Cause{Kind: ConsentShift, Says: "The share of what may be used is itself what has changed."}
	}
	i := slices.IndexFunc(p.specs, func(s Spec) bool { return c.spec != nil && s.Name == c.spec.Name })
	if i < 0 {
		for _, o := range p.others {
			if slices.ContainsFunc(o.specs, func(s Spec) bool { return c.spec != nil && s.Name == c.spec.Name }) {
				return o.Explain(c, x)
			}
		}
		return Cause{Kind: UnclearCause, Says: "Nothing is known that tells why."}
	}
	if says := p.upstream(i, c, x.WholeDays); says != "" {
		return Cause{Kind: UpstreamBreak, Says: says}
	}
	left, known := p.left(i, c)
	var out Cause
	if known {
		out.Returning = &left
	}
	gone := known && left <= vanished**c.Effect
	switch {
	case x.Consent != nil && (gone || !known):
		consent := consentCause(x.Consent)
		out.Kind, out.Says = consent.Kind, consent.Says
	case x.Retention != "":
		out.Kind, out.Says = RetentionCut, x.Retention
	case gone && c.Name == PerSubjectColumn:
		out.Kind = PopulationShift
		out.Says = fmt.Sprintf("Among the %d who are in both windows the effect is %s: others came.", p.returning(), short(left))
	case gone:
		out.Kind = PopulationShift
		out.Says = fmt.Sprintf("Among the %d who are in both windows, each as active as before, the effect is %s: others came, or some became more active.", p.returning(), short(left))
	case known && c.Name == PerSubjectColumn: // how active they are is what is looked at, so nothing holds it as it was
		out.Kind = BehaviourShift
		out.Says = fmt.Sprintf("Among the %d who are in both windows the effect is %s as well: the same people are active otherwise.", p.returning(), short(left))
	case known:
		out.Kind = BehaviourShift
		out.Says = fmt.Sprintf("Among the %d who are in both windows, each as active as before, the effect is %s as well: the same people do otherwise.", p.returning(), short(left))
	default:
		out.Kind, out.Says = UnclearCause, fmt.Sprintf("Only %s in both windows: whether others came or the same do otherwise can't be told.", few(p.returning()))
	}
	return out
}

// few says how many units there are, without telling of fewer than minShown.
func few(n int) string {
	if n < minShown {
		return fmt.Sprintf("under %d are", minShown)
	}
	return fmt.Sprintf("%d are", n)
}

var mixSays = map[string]string{
	NewSubjectsColumn:       "Other people came: the share of those who were not here before has changed.",
	ReturningSubjectsColumn: "Other people stayed: the share of those who came back has changed.",
	NewItemsColumn:          "Other items are on offer: the share of items that were not taken before has changed.",
	ReturningItemsColumn:    "Other items are on offer: the share of items that are still taken has changed.",
}

func consentCause(c *Column) Cause {
	return Cause{Kind: ConsentShift, Says: fmt.Sprintf("Those who were here before do as they did, and %s", strings.TrimSuffix(c.Says, ".")) + "."}
}

// left is the effect among those who are in both windows.
func (p *Panel) left(i int, c *Column) (effect float64, known bool) {
	if p.returning() < fewReturning {
		return 0, false
	}
	spec := &p.specs[i]
	ref, cur := slices.Clone(p.shared[InReference][i]), slices.Clone(p.shared[InCurrent][i])
	t := test{spec: spec}
	if c.Statistic == wassersteinN {
		t.edges, t.std = spec.Edges, spec.Std
		ref, cur = ref[:len(ref)-1], cur[:len(cur)-1]
	} else if spec.numeric() { // the share without a value
		ref, cur = valued(ref), valued(cur)
	}
	if !(sum(ref) > 0 && sum(cur) > 0) {
		return 0, false
	}
	normalize(ref)
	normalize(cur)
	return t.effect(ref, cur), true
}

// valued reduces bins to rows with a value and rows without.
func valued(bins []float64) []float64 {
	last := len(bins) - 1
	return []float64{sum(bins[:last]), bins[last]}
}

func sum(values []float64) (s float64) {
	for _, v := range values {
		s += v
	}
	return s
}

// upstream says how the source writes otherwise, or "".
func (p *Panel) upstream(i int, c *Column, wholeDays bool) string {
	if c.whole == nil {
		return ""
	}
	ref, cur := c.whole[InReference], c.whole[InCurrent]
	before, now := sum(ref), sum(cur)
	if !(before > 0 && now > 0) {
		return ""
	}
	last := len(ref) - 1
	without, lacks := ref[last]/before, cur[last]/now
	if d := lacks - without; math.Abs(d) >= nullsMoved && p.onlyNulls(i, c) {
		verb := "have lost their value"
		if d < 0 {
			verb = "have a value that had none"
		}
		return fmt.Sprintf("Rows %s: %s have none, %s had none before.", verb, percent(lacks), percent(without))
	}
	if c.Statistic == wassersteinN {
		if says := p.unit(i, c); says != "" {
			return says
		}
	}
	if !p.specs[i].numeric() {
		for b := range last {
			shown := b < len(p.specs[i].Levels) && slices.ContainsFunc(c.Bins, func(x Bin) bool { return x.Label == p.specs[i].Levels[b] })
			if share := ref[b] / before; share >= levelShare && share*now >= levelRows && cur[b] == 0 && shown {
				return fmt.Sprintf("%q is gone altogether: it made %s of the rows before.", p.specs[i].Levels[b], percent(share))
			}
		}
	}
	if wholeDays {
		return p.lostHours()
	}
	return ""
}

// onlyNulls reports whether nothing is left of a drift once rows without a value are left out.
func (p *Panel) onlyNulls(i int, c *Column) bool {
	spec := &p.specs[i]
	if spec.numeric() {
		return c.Statistic == jsN // the column is that of the share itself
	}
	ref, cur := slices.Clone(c.whole[InReference]), slices.Clone(c.whole[InCurrent])
	ref, cur = ref[:len(ref)-1], cur[:len(cur)-1]
	if sum(ref) == 0 || sum(cur) == 0 {
		return true // it is gone, or new
	}
	normalize(ref)
	normalize(cur)
	return jensenShannon(ref, cur) < c.Threshold
}

// factors are those between units that get mixed up, beside the powers of ten.
var factors = []struct {
	by    float64
	units string
}{
	{2.54, "inches and centimetres"},
	{2.20462, "kilograms and pounds"},
	{1.609344, "miles and kilometres"},
	{3.28084, "metres and feet"},
	{28.3495, "ounces and grams"},
	{60, "minutes and seconds, or hours and minutes"},
	{3600, "hours and seconds"},
	{24, "days and hours"},
	{86400, "days and seconds"},
	{12, "months and years, or dozens"},
	{1024, "bytes and KiB"},
	{1048576, "bytes and MiB"},
}

// unit says by which known factor the values have moved, or "". A factor is known by what it leaves: the values of now, divided by it, are spread as those of
// before were. No more is asked of it, as two windows are never quite alike, and a day of few rows least: its quantiles alone may be off by more than units.
func (p *Panel) unit(i int, c *Column) string {
	ref, cur := p.values[InReference][i], p.values[InCurrent][i]
	was, is := ref.middle(), cur.middle()
	ratio := is / was
	if !(ratio > 0) || math.IsInf(ratio, 0) {
		return ""
	}
	off := func(factor float64) float64 { return math.Abs(math.Log(ratio / factor)) }
	most := max(c.Threshold, undone**c.Effect) // may be left
	left, says := math.Inf(1), ""
	if k := math.Round(math.Log10(ratio)); k != 0 && off(math.Pow(10, k)) <= powerTolerance {
		if l := p.leaves(i, math.Pow(10, k)); l <= most {
			left, says = l, "a factor of "+short(math.Pow(10, k))
		}
	}
	for _, f := range factors {
		for _, by := range []float64{f.by, 1 / f.by} {
			tolerance := unitTolerance
			if f.by >= 10 {
				tolerance = largeTolerance
			}
			if off(by) > tolerance {
				continue
			}
			if l := p.leaves(i, by); l <= most && l < left/2 { // where a power of ten explains it about as well, it is that
				left, says = l, fmt.Sprintf("a factor of %s, as between %s", short(by), f.units)
			}
		}
	}
	if says == "" {
		return ""
	}
	return fmt.Sprintf("The unit has changed: values have moved by %s (the median from %s to %s). Undone, the effect is %s.", says, short(was), short(is), short(left))
}

// leaves is the effect that is left once the values of now are divided by a factor.
func (p *Panel) leaves(i int, by float64) float64 {
	spec := &p.specs[i]
	search := newSearch(spec.Edges)
	binned := func(n *Numbers, by float64) []float64 {
		out := make([]float64, spec.bins())
		for _, w := range n.sorted() {
			out[search.bin(w.value/by)] += float64(w.n)
		}
		normalize(out)
		return out
	}
	t := test{spec: spec, edges: spec.Edges, std: spec.Std}
	return t.effect(binned(p.values[InReference][i], 1), binned(p.values[InCurrent][i], by))
}

// lostHours says which hours of the day have no row any more.
func (p *Panel) lostHours() string {
	var before, now int64
	for h := range 24 {
		before, now = before+p.hours[InReference][h], now+p.hours[InCurrent][h]
	}
	if before == 0 || now == 0 {
		return ""
	}
	var lost []string
	for h, n := range p.hours[InReference] {
		share := float64(n) / float64(before)
		if share >= levelShare && share*float64(now) >= levelRows && p.hours[InCurrent][h] == 0 {
			lost = append(lost, strconv.Itoa(h))
		}
	}
	if len(lost) == 0 {
		return ""
	}
	return fmt.Sprintf("No event has come of the hours %s of the day, which had many: a part of the source is missing.", strings.Join(lost, ", "))
}

func percent(share float64) string { return strconv.FormatFloat(100*share, 'f', 1, 64) + " %" }

// Specs are the bins of the columns called drifted that have rows, each once, for a Panel.
func (r *Report) Specs(group string) []Spec {
	var out []Spec
	for i := range r.Columns {
		c := &r.Columns[i]
		if c.Verdict == Drifted && c.Group == group && c.spec != nil && !slices.ContainsFunc(out, func(s Spec) bool { return s.Name == c.spec.Name }) {
			out = append(out, *c.spec)
		}
	}
	return out
}
