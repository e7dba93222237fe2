package eval

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/rapport-ml/rapport/storage/table"
)

// Mitigation says what remedies against the gap between the groups of one cohort would cost and bring. Every remedy is measured on the same people as the
// model as it stands, paired.
type Mitigation struct {
	Metric string `json:"metric"` // as "ndcg@10"
	Cohort string `json:"cohort"`
	Chosen string `json:"chosen,omitempty"` // why that cohort, where nobody has asked for it
	N      int    `json:"n"`                // people asked
	// Purpose is under which remedies that train on the cohort read it; "" where the cohort is made of what training reads anyway, or nothing trained on it.
	Purpose string `json:"purpose"`
	// MostLoss is the rule by which a remedy is proposed: the whole interval of what the metric loses must stay within it, as a share of the metric.
	MostLoss float64  `json:"most_loss"`
	Stands   Remedy   `json:"stands"` // the model as it stands
	Remedies []Remedy `json:"remedies"`
	Proposed string   `json:"proposed"` // the name of a remedy; "": none
	Says     string   `json:"says"`     // why that one, or why none
	// NotTried are remedies that were not: those that the budget of time did not reach, and those that a declaration is missing for. Each says why.
	NotTried []Untried `json:"not_tried"`
}

// Untried is a remedy that was not tried.
type Untried struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

// RemedyKind is what a remedy changes.
type RemedyKind string

// The kinds.
const (
	Reweighting RemedyKind = "reweight"  // events of people whose group is served worse weigh more in training
	Calibrating RemedyKind = "calibrate" // lists are spread over an item attribute as the history is
	Capping     RemedyKind = "at_most"   // of one level of an item attribute no more than so many stand in a list
	Flooring    RemedyKind = "at_least"  // groups of items that are shown less than they are taken have a share of the places
	Freshening  RemedyKind = "fresh"     // new items have a share of the places
)

// Remedy is one remedy at one strength.
type Remedy struct {
	Kind     RemedyKind `json:"kind"` // "" of the model as it stands
	Name     string     `json:"name"`
	Strength float64    `json:"strength"` // in the unit of the kind
	Patch    string     `json:"patch"`    // what a project file says to have it, in YAML; "" where it says so already
	Value    Figure     `json:"value"`    // of the metric
	Change   Figure     `json:"change"`   // of the metric, as a share of what the model has as it stands; paired. −0.003 is a loss of 0.3 %
	// Gap is the largest difference between groups, and its interval holds for all pairs of groups at once.
	Gap         Figure   `json:"gap"`
	RelativeGap *float64 `json:"relative_gap"`
	Worst       string   `json:"worst"` // the groups that the gap is between
	Best        string   `json:"best"`
	// Cut is the share of the gap that is gone: 1 − gap ÷ gap as it stands.
	Cut *float64 `json:"cut"`
	// Closed is the share of the gap by which the two groups that it is between as it stands have come together; paired, on the same people. With two groups
	// it is Cut, as long as the worse one does not overtake.
	Closed   Figure           `json:"closed"`
	Groups   []Group          `json:"groups"`
	Exposure []RemedyExposure `json:"exposure"`   // by declared item attribute
	New      *float64         `json:"new_items"`  // share of places that new items have; null where nothing says which those are
	Coverage *float64         `json:"coverage"`   // distinct items over all lists ÷ items of the catalog
	Same     *float64         `json:"same_items"` // share of each list that stands in the list of the model as it stands, too
	Front    bool             `json:"front"`      // no other has both a higher metric and a smaller gap
	Against  string           `json:"against"`    // what keeps it from being proposed; "": nothing
	Seconds  float64          `json:"seconds"`
}

// RemedyExposure is how the places of lists are spread over the levels of an item attribute.
type RemedyExposure struct {
	Attribute string `json:"attribute"`
	AWRF      Figure `json:"awrf"`           // towards what people took themselves
	Ratio     Figure `json:"exposure_ratio"` // of the least to the most exposed level, per share taken
}

// Choose marks the front and proposes a remedy: of those whose metric's loss lies within MostLoss with its whole interval, and that bring the two groups
// together beyond chance, corrected for how many were tried, the one with the largest cut of the gap. Against a gap that may be chance itself none is proposed.
func (m *Mitigation) Choose() {
	points := []*Remedy{&m.Stands}
	for i := range m.Remedies {
		points = append(points, &m.Remedies[i])
	}
	for _, p := range points {
		p.Front = p.Gap.Value != nil && p.Value.Value != nil && !slices.ContainsFunc(points, func(o *Remedy) bool { return o.beats(p) })
	}
	m.Proposed = ""
	if m.Stands.Gap.Value == nil {
		m.Says = "fewer than two groups of " + crossed(m.Cohort) + " have enough people to be judged: nothing can be said of a gap"
		for i := range m.Remedies {
			m.Remedies[i].Against = "there is no gap to judge it by"
		}
		return
	}
	var best *Remedy
	for _, p := range points[1:] {
		sure := m.surety(p)
		if sure == unknownSurety {
			p.Against = "too few people to tell what it does"
			continue
		}
		var against []string
		if m.dear(p) {
			against = append(against, fmt.Sprintf("it may cost %s of %s", percent(-*p.Change.Low), m.Metric))
		}
		switch {
		case sure == chanceSurety:
			against = append(against, "that it makes the gap smaller may be chance")
		case sure == aloneSurety:
			against = append(against, fmt.Sprintf("that it makes the gap smaller may be chance, as the best of %d", len(m.Remedies)))
		case m.dear(p):
		case m.mayBeNone():
			against = append(against, fmt.Sprintf("the gap itself may be chance (%s)", between(m.Stands.Gap.Low, m.Stands.Gap.High, plain)))
		case best == nil || *p.Cut > *best.Cut:
			best = p
		}
		p.Against = strings.Join(against, "; ")
	}
	if best != nil {
		m.Proposed = best.Name
		m.Says = fmt.Sprintf("%s has the largest cut of the gap (%s) of those whose loss of %s lies within %s with its whole interval, beyond chance as the best of %d. That it is chosen on the people that it is judged by flatters it: the next nights tell",
			best.Name, percent(*best.Cut), m.Metric, percent(m.MostLoss), len(m.Remedies))
		return
	}
	m.Says = m.none()
	if m.mayBeNone() {
		m.Says = "the gap may be chance, and " + m.Says
	}
}

// beats reports whether r is at least as good as o in both the metric and the gap, and better in one.
func (r *Remedy) beats(o *Remedy) bool {
	if r.Value.Value == nil || r.Gap.Value == nil {
		return false
	}
	v, g := *r.Value.Value-*o.Value.Value, *o.Gap.Value-*r.Gap.Value
	return v >= 0 && g >= 0 && (v > 0 || g > 0)
}

// MitigationPage is what stands around a Mitigation on its page.
type MitigationPage struct {
	*Mitigation
	Model, Job string
	Learned    table.Interval
	Judged     table.Interval
	Revision   string
}

// remedyPage is a MitigationPage with the definitions of what it speaks of.
type remedyPage struct {
	*MitigationPage
	glossary
}

// WriteHTML writes a page of the report's kind: it needs nothing else, and no script.
func (p *MitigationPage) WriteHTML(w io.Writer) error {
	if err := writePage(w, "mitigation.html", &remedyPage{p, newGlossary(remedyDefinitions())}); err != nil {
		return fmt.Errorf("write the page of remedies: %w", err)
	}
	return nil
}

// remedyDefinitions are those of the page, beside those of a report.
func remedyDefinitions() []Definition {
	own := []Definition{
		{"change", "What becomes of the metric, as a share of what the model has as it stands: −0.3 % is a loss of 0.3 %. Paired, on the same people, with its 95 % bootstrap interval."},
		{"cut", "The share of the gap that is gone: 1 minus the gap with the remedy over the gap as it stands."},
		{"closed", "The share of the gap by which the two groups that it is between as the model stands come together; paired, on the same people, with its 95 % interval. Over 100 %: the one that was served worse is served better now."},
		{"front", "No other remedy has both a higher metric and a smaller gap."},
		{"same items", "The share of each list that stands in the list of the model as it stands, too."},
	}
	return append(own, slices.DeleteFunc(definitions(), func(d Definition) bool {
		return !slices.Contains([]string{NDCG, Coverage, "awrf", "exposure ratio", "gap", "interval", "group"}, d.Name)
	})...)
}

// All is the model as it stands, and every remedy.
func (m *Mitigation) All() []Remedy { return append([]Remedy{m.Stands}, m.Remedies...) }

// Tone is how the page shows a remedy.
func (m *Mitigation) Tone(r Remedy) string {
	switch {
	case r.Kind == "":
		return "stands"
	case r.Name == m.Proposed:
		return "proposed"
	case r.Front:
		return "front"
	}
	return "other"
}

// curvePicture is the trade-off: the change of the metric to the right, the gap upwards.
type curvePicture struct {
	Across, Up []curveTick
	Points     []curvePoint // as in the table: first the others, then those that matter, are drawn
	Others     []curvePoint
	Marked     []curvePoint
	Wide       []curveLabel // the points' numbers, on a screen
	Narrow     []curveLabel // the same on a telephone, where more points are in one place
	Front      []curveLine
	Limit      string // where the largest loss lies; "": outside
}

type curveTick struct{ At, Label, Anchor string }

// Top reports whether the tick is so near to the upper edge that its label has no room above it.
func (t curveTick) Top() bool {
	at, err := strconv.ParseFloat(strings.TrimSuffix(t.At, "%"), 64)
	return err == nil && at < 5
}

type curvePoint struct {
	X, Y, Low, High  string
	Name, Tone, Text string
	Number           int // as in the table

	x, y float64 // of 100, from the left and from above
}

// curveLabel is the numbers of one point, or of points that lie on one another. X and Y are the point's, DX and DY where it stands beside that, in px.
type curveLabel struct {
	X, Y, Text, Anchor string
	DX, DY             int
}

type curveLine struct{ X1, Y1, X2, Y2 string }

// Curve places all remedies that have both figures.
func (m *Mitigation) Curve() *curvePicture {
	across, up := fromZero(), fromZero()
	for _, r := range m.All() {
		if r.Change.Value != nil && r.Gap.Value != nil {
			across.add(r.Change.Value)
			up.add(r.Gap.Value)
		}
	}
	x, xTicks := newAxis(across.lo, across.hi, percents)
	y, yTicks := newAxis(up.lo, up.hi, decimal)
	height := func(v float64) string { return cent(100 - y.place(v)) }
	c := &curvePicture{}
	for _, t := range xTicks {
		c.Across = append(c.Across, curveTick(t))
	}
	for _, t := range yTicks {
		if at, err := strconv.ParseFloat(strings.TrimSuffix(t.At, "%"), 64); err == nil { // places are counted from above
			c.Up = append(c.Up, curveTick{cent(100 - at), t.Label, "start"})
		}
	}
	if -m.MostLoss >= x.lo {
		c.Limit = x.at(-m.MostLoss)
	}
	var front []Remedy
	for i, r := range m.All() {
		if r.Change.Value == nil || r.Gap.Value == nil {
			continue
		}
		p := curvePoint{X: x.at(*r.Change.Value), Y: height(*r.Gap.Value), Name: r.Name, Tone: m.Tone(r), Number: i}
		if r.Change.Low != nil && r.Change.High != nil && r.Kind != "" {
			p.Low, p.High = x.at(*r.Change.Low), x.at(*r.Change.High)
		}
		p.Text = fmt.Sprintf("%s: %s %s, gap %s", r.Name, m.Metric, signedPercent(*r.Change.Value), plain(*r.Gap.Value))
		p.x, p.y = x.place(*r.Change.Value), 100-y.place(*r.Gap.Value)
		c.Points = append(c.Points, p)
		if r.Front || r.Name == m.Proposed { // drawn last, over those that lie beside them
			c.Marked = append(c.Marked, p)
		} else {
			c.Others = append(c.Others, p)
		}
		if r.Front {
			front = append(front, r)
		}
	}
	c.Wide, c.Narrow = labelled(c.Points, curveWide), labelled(c.Points, curveNarrow)
	slices.SortStableFunc(front, func(a, b Remedy) int { return cmp.Compare(*a.Change.Value, *b.Change.Value) })
	for i := 1; i < len(front); i++ {
		a, b := front[i-1], front[i]
		c.Front = append(c.Front, curveLine{x.at(*a.Change.Value), height(*a.Gap.Value), x.at(*b.Change.Value), height(*b.Gap.Value)})
	}
	return c
}

// What a chart measures in px, as the page has it: at its least width on a screen and on a telephone.
const (
	curveWide, curveNarrow = 620, 260
	curveHeight            = 340
	curveRadius            = 8 // of a point with its rim
	digitWidth, textHeight = 8, 12
)

// labelled sets the numbers of points beside them, so that in a chart of so many px no label stands on a point or on another label, where there is room. Points
// that lie on one another have one label. In a wider chart points are further apart, and their labels with them.
func labelled(points []curvePoint, width float64) (out []curveLabel) {
	type box struct{ x0, y0, x1, y1 float64 }
	px := func(p *curvePoint) (x, y float64) { return p.x / 100 * width, p.y / 100 * curveHeight }
	var taken []box
	groups := make([][]*curvePoint, 0, len(points))
	for i := range points {
		p := &points[i]
		x, y := px(p)
		taken = append(taken, box{x - curveRadius, y - curveRadius, x + curveRadius, y + curveRadius})
		near := slices.IndexFunc(groups, func(g []*curvePoint) bool {
			return slices.ContainsFunc(g, func(o *curvePoint) bool {
				ox, oy := px(o)
				return math.Hypot(x-ox, y-oy) < 2*curveRadius
			})
		})
		if near < 0 {
			groups = append(groups, nil)
			near = len(groups) - 1
		}
		groups[near] = append(groups[near], p)
	}
	for _, g := range groups {
		text := numbersOf(g)
		wide := float64(len(text) * digitWidth)
		var best curveLabel
		var at box
		least := math.Inf(1)
		for _, p := range g { // beside any point of the group; the first place that is free
			x, y := px(p)
			for _, dy := range []int{-6, 16, 4, -20, 30} {
				for _, dx := range []int{9, -9, 22, -22} {
					l := curveLabel{X: p.X, Y: p.Y, Text: text, Anchor: "start", DX: dx, DY: dy}
					b := box{x + float64(dx), y + float64(dy) - textHeight, x + float64(dx) + wide, y + float64(dy)}
					if dx < 0 {
						l.Anchor, b.x0, b.x1 = "end", b.x0-wide, x+float64(dx)
					}
					covers := max(0, -b.x0) + max(0, b.x1-width) + max(0, -b.y0) + max(0, b.y1-curveHeight) // beyond the chart
					for _, o := range taken {
						covers += max(0, min(b.x1, o.x1)-max(b.x0, o.x0)) * max(0, min(b.y1, o.y1)-max(b.y0, o.y0))
					}
					if covers < least {
						least, best, at = covers, l, b
					}
				}
			}
		}
		taken, out = append(taken, at), append(out, best)
	}
	return out
}

// numbersOf are the numbers of points that lie on one another: of more than four three, those that matter first, and how many others there are.
func numbersOf(points []*curvePoint) string {
	shown, more := slices.Clone(points), 0
	if len(shown) > 4 {
		slices.SortStableFunc(shown, func(a, b *curvePoint) int { return cmp.Compare(toneRank(a.Tone), toneRank(b.Tone)) })
		shown, more = shown[:3], len(shown)-3
		slices.SortFunc(shown, func(a, b *curvePoint) int { return cmp.Compare(a.Number, b.Number) })
	}
	var numbers []string
	for _, p := range shown {
		numbers = append(numbers, strconv.Itoa(p.Number))
	}
	text := strings.Join(numbers, ", ")
	if more > 0 {
		text += fmt.Sprintf(" + %d", more)
	}
	return text
}

// toneRank orders points by how much they matter.
func toneRank(tone string) int {
	return slices.Index([]string{"proposed", "stands", "front", "other"}, tone)
}

// signedPercent prints a change: +0.3 %, −1.2 %.
func signedPercent(x float64) string {
	if s := percent2(x); x > 0 && s != percent2(0) {
		return "+" + s
	}
	return percent2(x)
}

// percent2 prints a share that may be small: 0.34 %.
func percent2(x float64) string { return minus(fmt.Sprintf("%.2f", 100*x)) + " %" }

// ChangeText is the change of the metric in print, and ChangeSpan its interval, or "".
func (r Remedy) ChangeText() string { return optional(r.Change.Value, signedPercent) }

// ChangeSpan is the interval of the change.
func (r Remedy) ChangeSpan() string { return spanOf(r.Change, signedPercent) }

// ClosedText is the share of the gap that is closed, and ClosedSpan its interval, or "".
func (r Remedy) ClosedText() string { return optional(r.Closed.Value, percent) }

// ClosedSpan is the interval of the share that is closed.
func (r Remedy) ClosedSpan() string { return spanOf(r.Closed, percent) }

// CutText is the cut of the gap.
func (r Remedy) CutText() string { return optional(r.Cut, percent) }

// NewText is the share of places that new items have.
func (r Remedy) NewText() string { return optional(r.New, percent) }

// SameText is how much of the lists stays.
func (r Remedy) SameText() string { return optional(r.Same, percent) }

// CoverageText is the share of the catalog that stands in lists.
func (r Remedy) CoverageText() string { return optional(r.Coverage, percent) }

// spanOf prints the interval of a figure, or nothing.
func spanOf(f Figure, show func(float64) string) string {
	if f.Low == nil || f.High == nil {
		return ""
	}
	return between(f.Low, f.High, show)
}
