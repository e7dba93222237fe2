package eval

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// trendChart is the headline metric over versions.
type trendChart struct {
	Points []trendDot
	Ticks  []trendTick
	Bands  []trendBand
	Floors bool
	Rows   []TrendPoint
}

// trendDot is one version; X and next places are in percent, Y in pixels of a chart that is trendHeight high.
type trendDot struct {
	X, Label     string
	Anchor       string // of the label
	Y, Low, High float64
	Floor        *float64
	Next         *trendDot
	Range, Own   bool
}

// trendBand is the place of a version whose interval touches days that the calendar declares, in percent.
type trendBand struct{ X, Width, Says string }

type trendTick struct {
	Y, TextY float64
	Label    string
}

const trendHeight = 180.0

func (p *page) trend() {
	own, ok := p.point()
	if !ok {
		return
	}
	var points []TrendPoint
	for _, t := range p.Report.Trend {
		if t.Metric == own.Metric && t.Value != nil {
			points = append(points, t)
		}
	}
	if len(points) == 0 {
		return
	}
	points = append(points, own)
	s := fromZero()
	for _, t := range points {
		s.add(t.Value, t.Low, t.High, t.Floor)
	}
	a, ticks := newAxis(s.lo, s.hi, decimal)
	y := func(x float64) float64 {
		return math.Round(10*(8+(trendHeight-16)*(1-(x-a.lo)/(a.hi-a.lo)))) / 10
	}
	c := &trendChart{Rows: points, Bands: p.bands(points)}
	for i, t := range ticks {
		at := y(a.lo + (a.hi-a.lo)*float64(i)/float64(len(ticks)-1))
		c.Ticks = append(c.Ticks, trendTick{Y: at, TextY: at + 4, Label: t.Label})
	}
	every := (len(points) + 6) / 7 // labels that a phone has room for
	for i, t := range points {
		d := trendDot{X: cent(100 * (float64(i) + 0.5) / float64(len(points))), Y: y(*t.Value), Own: i == len(points)-1, Anchor: "middle"}
		if t.Low != nil && t.High != nil {
			d.Range, d.Low, d.High = true, y(*t.Low), y(*t.High)
		}
		if t.Floor != nil {
			f := y(*t.Floor)
			d.Floor, c.Floors = &f, true
		}
		switch {
		case d.Own:
			d.Label = "this"
			if len(points) > 9 { // it stands near the edge
				d.Anchor = "end"
			}
		case len(points) > 9 && len(points)-1-i < 3: // there stands the own label
		case (len(points)-1-i)%every == 0:
			d.Label = fmt.Sprintf("v%d", t.Version)
		}
		c.Points = append(c.Points, d)
	}
	for i := range len(c.Points) - 1 {
		c.Points[i].Next = &c.Points[i+1]
	}
	p.Chart = c
}

// bands are the places of those points whose intervals the calendar declares: what is out of the ordinary there is expected.
func (p *page) bands(points []TrendPoint) (out []trendBand) {
	width := 100 / float64(len(points))
	for i, t := range points {
		expected := ""
		if i == len(points)-1 {
			expected = p.Expected()
		}
		for _, d := range p.DriftHistory {
			if d.Interval.End.Equal(t.Interval.End) {
				expected = d.Expected
			}
		}
		if expected != "" {
			out = append(out, trendBand{cent(width * float64(i)), cent(width), plainName(expected) + ", declared in the calendar"})
		}
	}
	return out
}

// funnel draws what the policy let through when the days of the interval were read, and what this run learned from of what they hold.
func (p *page) funnel() {
	p.Flow = flow("events read, left out and kept", p.Report.Funnel)
	p.LearnedFlow = flow("events of the training window, left out and kept", p.Report.Learned)
}

// flow draws a funnel as a staircase: each loss begins where the one before it ended. It is nil of none.
func flow(label string, funnel []FunnelRow) *bars {
	if len(funnel) == 0 {
		return nil
	}
	read, known := stageOf(funnel, "read")
	most := float64(max(read, 1))
	a := axis{0, most}
	left := most
	out := &bars{Label: label}
	for _, f := range funnel {
		n, ok := stageOf(funnel, f.Reason)
		x := float64(n)
		row := barRow{Text: f.Rows}
		switch {
		case f.Reason == "read" || f.Reason == "kept":
			if f.Reason == "read" && !known {
				x = most
			}
			row = a.bar(reasonName(f.Reason), f.Reason, 0, x)
		default:
			row = a.bar(reasonName(f.Reason), "lost", max(0, left-x), left)
			left = max(0, left-x)
		}
		row.Text = f.Rows
		if ok {
			row.Text = count(n)
			if known && read > 0 && f.Reason != "read" {
				row.Note = percent(x / most)
			}
		}
		if n == 0 && (f.Reason != "read" || known) { // nothing, or a count that is not shown, has no length
			row.At, row.Width = "", ""
		}
		out.Rows = append(out.Rows, row)
	}
	return out
}

// sample is an explanation as a staircase of contributions up to the score.
type sample struct {
	ExplanationSample
	Bars  *bars
	Sum   float64 // of all reasons
	Off   float64 // completeness error: how far that is from the score
	Error string
}

// Faithful says how well the explanations add up to what they explain.
func (p *page) Faithful() (says string) {
	worst, bound := 0.0, 0.0
	for _, s := range p.Samples {
		worst, bound = max(worst, s.Off), max(bound, s.Explanation.Error)
	}
	if worst <= bound {
		return fmt.Sprintf("The reasons of every sample add up to its score within the error that is stated with it, %.1g at most; the furthest is off by %.1g.", bound, worst)
	}
	return fmt.Sprintf("The reasons of a sample miss its score by %.1g, more than the error that is stated, %.1g: do not rely on them.", worst, bound)
}

// small is the share of a score under which reasons are drawn together.
const small = 0.005

func (p *page) explanations() {
	for _, e := range p.Report.Explanations {
		s := sample{ExplanationSample: e, Bars: &bars{Label: "what the score of " + e.Item + " is made of"}, Error: fmt.Sprintf("%.1g", e.Explanation.Error)}
		total := 0.0
		for _, x := range e.Explanation.Reasons {
			total += math.Abs(x.Contribution)
			s.Sum += x.Contribution
		}
		s.Off = math.Abs(s.Sum - e.Explanation.Score)
		type step struct {
			label string
			by    float64
		}
		var steps []step
		rest, pooled := 0.0, 0
		for _, x := range e.Explanation.Reasons {
			if math.Abs(x.Contribution) < small*total && x.Kind != "neural" {
				rest, pooled = rest+x.Contribution, pooled+1
				continue
			}
			steps = append(steps, step{sourceName(x.Kind, x.Ref), x.Contribution})
		}
		switch pooled {
		case 0:
		case 1:
			steps = append(steps, step{"1 smaller reason", rest})
		default:
			steps = append(steps, step{fmt.Sprintf("%d smaller reasons", pooled), rest})
		}
		r, sum := fromZero(), 0.0
		r.add(&e.Explanation.Score)
		for _, x := range steps {
			sum += x.by
			at := sum
			r.add(&at)
		}
		a := axis{r.lo, r.hi}
		s.Bars.Zero = a.at(0)
		sum = 0
		for _, x := range steps {
			class := "adds"
			if x.by < 0 {
				class = "takes"
			}
			row := a.bar(x.label, class, sum, sum+x.by)
			row.Text = contribution(x.by)
			s.Bars.Rows = append(s.Bars.Rows, row)
			sum += x.by
		}
		score := a.bar("score", "kept", 0, e.Explanation.Score)
		score.Text = plain(e.Explanation.Score)
		s.Bars.Rows = append(s.Bars.Rows, score)
		p.Samples = append(p.Samples, s)
	}
}

// lineagePicture shows what led to the verdict. Places are in percent, the rest in pixels.
type lineagePicture struct {
	Inputs       []pictureBox
	Spine        []pictureBox // training set, model, evaluation, gate
	Side         []pictureBox // what the evaluation reads besides the model
	BusX1, BusX2 string       // the line that joins the inputs
	Height       int
	Says         string // for who hears it
}

// pictureBox is one box, boxHeight high.
type pictureBox struct {
	X, Width, Middle string
	Y                int
	Title, Sub       string
	Left             bool // beside the evaluation: which side
}

const (
	boxHeight = 46
	boxPitch  = 84 // from one row of boxes to the next
)

// Above is where the edge from the box above begins: the first hangs on the bus of the inputs.
func (b pictureBox) Above() int {
	if b.Y == boxPitch {
		return boxHeight + (boxPitch-boxHeight)/2 - 1
	}
	return b.Y - boxPitch + boxHeight
}

// Centre is the middle of the box's height, TitleY and SubY are its lines of text.
func (b pictureBox) Centre() int { return b.Y + boxHeight/2 }
func (b pictureBox) TitleY() int { return b.Y + 19 }
func (b pictureBox) SubY() int   { return b.Y + 36 }

// Boxes are all boxes of the picture.
func (l *lineagePicture) Boxes() []pictureBox { return slices.Concat(l.Inputs, l.Spine, l.Side) }

func (p *page) lineage() {
	days, dayLabel := 0, "days"
	var inputs []pictureBox
	has := map[string]bool{}
	for _, s := range p.Report.Lineage {
		name, _, _ := strings.Cut(s.Step, " ")
		has[name] = true
		if name == "ingest" {
			days++
			p.Days = append(p.Days, s)
			continue
		}
		p.Steps = append(p.Steps, s)
	}
	if len(p.Report.Lineage) == 0 {
		return
	}
	if days == 1 {
		dayLabel = "day"
	}
	inputs = append(inputs, pictureBox{Title: "Events", Sub: fmt.Sprintf("%d %s", days, dayLabel)})
	for _, set := range [][2]string{{"items", "Items"}, {"subjects", "People"}} {
		if has[set[0]] {
			inputs = append(inputs, pictureBox{Title: set[1], Sub: "attributes"})
		}
	}
	pic := &lineagePicture{}
	slot := 100 / float64(len(inputs))
	for i := range inputs {
		b := &inputs[i]
		width := min(30.0, slot-4)
		middle := slot * (float64(i) + 0.5)
		b.X, b.Width, b.Middle = cent(middle-width/2), cent(width), cent(middle)
		if i == 0 {
			pic.BusX1 = b.Middle
		}
		pic.BusX2 = b.Middle
	}
	pic.Inputs = inputs
	_, says := p.verdict()
	says, _, _ = strings.Cut(says, ":")
	says, _, _ = strings.Cut(says, ";")
	says, _, _ = strings.Cut(says, ",")
	digest := p.Model.Digest
	if len(digest) > 10 {
		digest = digest[:10] + "…"
	}
	spine := []pictureBox{
		{Title: "Training set", Sub: count(p.Data.Rows) + " events"},
		{Title: "Model", Sub: digest},
		{Title: "Evaluation", Sub: p.Headline},
		{Title: "Gate", Sub: strings.TrimSuffix(says, ".")},
	}
	if !p.trained() {
		columns := "nothing compared"
		if p.Report.Drift != nil {
			columns = plural(len(p.Report.Drift.Columns), "column")
		}
		spine = []pictureBox{{Title: "Drift check", Sub: columns}, {Title: "Gate", Sub: "refused"}}
	}
	for i := range spine {
		b := &spine[i]
		b.Y = boxPitch * (i + 1)
		b.X, b.Width, b.Middle = cent(27), cent(46), cent(50)
		if i == 2 {
			b.X, b.Width = cent(36), cent(28)
		}
	}
	pic.Spine = spine
	pic.Height = boxPitch*len(spine) + boxHeight + 4
	if !p.trained() {
		pic.Says = "events make columns, which are compared with the reference; the gate refuses"
		p.Picture = pic
		return
	}
	pic.Says = "events and attributes make the training set, it makes the model, the model is evaluated against the live version and by cohort, the gate decides"
	if p.Quality != nil {
		if live := p.Quality.Contender(Live); live != nil {
			pic.Side = append(pic.Side, pictureBox{X: cent(1), Width: cent(27), Middle: cent(14.5), Y: spine[2].Y, Title: "Live", Sub: contenderName(live.Name, Live), Left: true})
		}
	}
	if has["cohorts"] {
		pic.Side = append(pic.Side, pictureBox{X: cent(72), Width: cent(27), Middle: cent(85.5), Y: spine[2].Y, Title: "Cohorts", Sub: "only here"})
	}
	p.Picture = pic
}
