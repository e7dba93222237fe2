package eval

import (
	"math"
	"strconv"
)

// Charts are SVG without a view box: places along an axis are percentages and all else is in pixels, so text and strokes keep their size at
// any width, on a phone as on paper.

// axis maps a range of values onto the width of a chart.
type axis struct{ lo, hi float64 }

// inset keeps dots and labels at the ends of an axis inside the picture, in percent of the width.
const inset = 2.5

// place is a value's place on the axis, from inset to 100 − inset; values beyond the ends stand at the ends.
func (a axis) place(x float64) float64 {
	if a.hi <= a.lo {
		return inset
	}
	return inset + (100-2*inset)*max(0, min(1, (x-a.lo)/(a.hi-a.lo)))
}

// at prints a place: "12.34%".
func (a axis) at(x float64) string { return cent(a.place(x)) }

func cent(x float64) string { return strconv.FormatFloat(x, 'f', 2, 64) + "%" }

// tick is a labelled place on an axis. Labels at the ends are anchored inwards.
type tick struct{ At, Label, Anchor string }

// newAxis returns an axis of round numbers around lo and hi, with two to six ticks printed by show, which gets the number of decimals that
// tell them apart.
func newAxis(lo, hi float64, show func(x float64, decimals int) string) (axis, []tick) {
	if size := max(math.Abs(lo), math.Abs(hi), 0.1); !(hi-lo > 1e-9*size) || math.IsInf(hi-lo, 0) { // one value, or nothing that can be drawn
		lo, hi = lo-0.5*size, lo+0.5*size
	}
	power := math.Floor(math.Log10((hi - lo) / 3.5))
	step, decimals := 0.0, 0
	for _, m := range []float64{1, 2, 2.5, 5, 10} {
		step, decimals = m*math.Pow(10, power), int(max(0, -power))
		switch {
		case m == 2.5:
			decimals++
		case m == 10 && decimals > 0:
			decimals--
		}
		if (hi-lo)/step <= 3.5 {
			break
		}
	}
	first, last := math.Floor(lo/step+1e-9), math.Ceil(hi/step-1e-9)
	a := axis{first * step, last * step}
	var ticks []tick
	for n := first; n <= last && len(ticks) < 8; n++ {
		t := tick{At: a.at(n * step), Label: show(n*step, decimals), Anchor: "middle"}
		switch n {
		case first:
			t.Anchor = "start"
		case last:
			t.Anchor = "end"
		}
		ticks = append(ticks, t)
	}
	if len(ticks) > 4 && len(ticks[len(ticks)-1].Label) > 4 { // a phone has room for three long labels
		for i := range ticks {
			if (i+int(first))%2 != 0 { // zero, if it is there, keeps its label
				ticks[i].Label = ""
			}
		}
	}
	return a, ticks
}

// decimal prints an axis label.
func decimal(x float64, decimals int) string {
	return minus(strconv.FormatFloat(x, 'f', decimals, 64))
}

// percents prints an axis label of a share.
func percents(x float64, decimals int) string {
	return minus(strconv.FormatFloat(100*x, 'f', max(0, decimals-2), 64)) + " %"
}

// span collects the range that a chart has to show.
type span struct {
	lo, hi float64
	some   bool
}

// fromZero is the span of a chart that shows zero, whatever else it shows.
func fromZero() span { return span{some: true} }

func (s *span) add(xs ...*float64) {
	for _, x := range xs {
		switch {
		case x == nil:
		case !s.some:
			s.lo, s.hi, s.some = *x, *x, true
		default:
			s.lo, s.hi = min(s.lo, *x), max(s.hi, *x)
		}
	}
}

// plot is a list of values with their intervals on one axis.
type plot struct {
	Label string // what it shows, for who hears it
	Rows  []plotRow
	Ticks []tick
	Marks []mark // through all rows
	Zone  *zone
	Note  string // of the axis
	Wide  bool   // the figures beside the rows are long
}

// mark is a vertical line: the overall value, a budget, zero.
type mark struct{ At, Class string }

// zone is a shaded part of the axis: where a budget is missed.
type zone struct{ At, Width string }

// plotRow is one value. At, Low and High are places; "" where there is none.
type plotRow struct {
	Label, Sub    string
	Class         string
	At, Low, High string
	Other, Tick   string // places of what it is held against: a hollow dot, a short line
	Beyond        bool   // further right than the axis reaches
	Text, Note    string // the figure in print
	Mark, Tone    string // a sign before the figure
}

// row places a figure on a.
func (a axis) row(label, class string, f Figure, show func(float64) string) plotRow {
	r := plotRow{Label: label, Class: class, Text: optional(f.Value, show)}
	if f.Value != nil {
		r.At = a.at(*f.Value)
	}
	if f.Low != nil && f.High != nil {
		lo, hi := a.place(*f.Low), a.place(*f.High)
		r.Low, r.High = cent(lo), cent(hi)
		r.Note = show(*f.Low) + " to " + show(*f.High)
	}
	return r
}

// bars is a list of amounts that begin somewhere on a common axis.
type bars struct {
	Label string
	Rows  []barRow
	Zero  string // place of a line through all rows, "" for none
}

// barRow is one amount, from At on for Width.
type barRow struct {
	Label, Sub, Class string
	At, Width         string
	Text, Note        string
}

// bar places the amount from…to on a.
func (a axis) bar(label, class string, from, to float64) barRow {
	lo, hi := a.place(min(from, to)), a.place(max(from, to))
	return barRow{Label: label, Class: class, At: cent(lo), Width: cent(max(hi-lo, 0.25))} // a sliver is seen
}
