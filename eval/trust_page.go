package eval

import (
	"fmt"
	"slices"
)

// trustDefinitions say what each metric of trust and growth means.
func trustDefinitions() (out []Definition) {
	for _, m := range trustMetrics {
		out = append(out, Definition{m.Name, m.Says})
	}
	return append(out, Definition{"withheld", "Of fewer than 11 people, or it would give such a figure away. A dash is a gap: nobody could count it. Neither is a zero."})
}

// sparkHeight is the height of a small chart, in pixels, and sparkInset what is left free above and below.
const (
	sparkHeight = 40
	sparkInset  = 5.0
)

// spark is one metric over the weeks, small.
type spark struct {
	Metric, Name, Last, Note string
	Lines                    []sparkLine
	Dots                     []sparkDot // what stands alone, and the last
}

type sparkLine struct{ X1, Y1, X2, Y2 string }

type sparkDot struct{ X, Y string }

// sparkList is some of them.
type sparkList struct {
	Page   *page
	Sparks []spark
}

// SparkList is the small charts of trust, or of growth.
func (p *page) SparkList(growth bool) sparkList {
	out := sparkList{Page: p}
	for _, l := range p.Trust.Lines("", "") {
		if l.Growth == growth && l.told() > 0 {
			out.Sparks = append(out.Sparks, l.spark())
		}
	}
	return out
}

// LastWeek names the week up to which is told.
func (p *page) LastWeek() string { return p.Trust.Weeks[len(p.Trust.Weeks)-1].Week }

// told is in how many weeks the line has a value.
func (l *TrustLine) told() (n int) {
	for _, f := range l.Figures {
		if f != nil && f.Status == Told {
			n++
		}
	}
	return n
}

// spark draws the weeks from left to right between the least and the largest value; what is not told breaks the line.
func (l *TrustLine) spark() spark {
	out := spark{Metric: l.Metric, Name: l.Name()}
	s := span{}
	var least, most *TrustFigure
	for _, f := range l.Figures {
		if f == nil || f.Status != Told {
			continue
		}
		s.add(f.Value)
		if least == nil || *f.Value < *least.Value {
			least = f
		}
		if most == nil || *f.Value > *most.Value {
			most = f
		}
	}
	weeks := axis{0, max(1, float64(len(l.Figures)-1))}
	at := func(i int) (x, y string) {
		v := 0.5
		if s.hi > s.lo {
			v = (*l.Figures[i].Value - s.lo) / (s.hi - s.lo)
		}
		return weeks.at(float64(i)), fmt.Sprintf("%.1f", sparkHeight-sparkInset-v*(sparkHeight-2*sparkInset))
	}
	shown := func(i int) bool {
		return i >= 0 && i < len(l.Figures) && l.Figures[i] != nil && l.Figures[i].Status == Told
	}
	last := -1
	for i := range l.Figures {
		if !shown(i) {
			continue
		}
		last = i
		x, y := at(i)
		if shown(i - 1) {
			x0, y0 := at(i - 1)
			out.Lines = append(out.Lines, sparkLine{x0, y0, x, y})
		} else if !shown(i + 1) {
			out.Dots = append(out.Dots, sparkDot{x, y})
		}
	}
	if x, y := at(last); !slices.Contains(out.Dots, sparkDot{x, y}) {
		out.Dots = append(out.Dots, sparkDot{x, y})
	}
	out.Last = l.Figures[len(l.Figures)-1].Print()
	out.Note = l.note(least, most)
	return out
}

// note says in which range the line is, and in how many weeks that is not told.
func (l *TrustLine) note(least, most *TrustFigure) string {
	withheld := 0
	for _, f := range l.Figures {
		if f != nil && f.Status == Withheld {
			withheld++
		}
	}
	told := l.told()
	gaps := len(l.Figures) - told - withheld
	out := least.Print() + " to " + most.Print()
	switch same := least.Print() == most.Print(); {
	case same && told == len(l.Figures):
		return "the same in all weeks"
	case same:
		out = least.Print() + " in " + plural(told, "week")
	}
	if withheld > 0 {
		out += ", withheld in " + plural(withheld, "week")
	}
	if gaps > 0 {
		out += ", a gap in " + plural(gaps, "week")
	}
	return out
}

// TrustRows are all metrics over the weeks, for a table.
func (p *page) TrustRows() []TrustLine { return p.Trust.Lines("", "") }

// trustTable is a cohort in the last week that was counted by it.
type trustTable struct {
	Cohort, Week string
	Heads        []TrustLine
	Rows         []trustRow
}

type trustRow struct {
	Level string
	Cells []string
}

// TrustCohorts are the cohorts, each with the metrics of which it tells anything but zeros.
func (p *page) TrustCohorts() (out []trustTable) {
	for w := range slices.Backward(p.Trust.Weeks) {
		week := &p.Trust.Weeks[w]
		if len(week.Groups) == 0 {
			continue
		}
		one := TrustFacts{Weeks: []TrustWeek{*week}}
		var names []string
		for _, g := range week.Groups {
			if g.Cohort != "" && !slices.Contains(names, g.Cohort) {
				names = append(names, g.Cohort)
			}
		}
		for _, name := range names {
			t := trustTable{Cohort: plainName(name), Week: week.Week}
			levels := one.Levels(name)
			for _, l := range one.Lines("", "") {
				if slices.ContainsFunc(levels, func(level string) bool {
					f := one.figure(name, level, l.Metric, l.Purpose)
					return f != nil && f.Status == Told && *f.Value != 0
				}) {
					t.Heads = append(t.Heads, l)
				}
			}
			for _, level := range levels {
				row := trustRow{Level: level}
				for _, h := range t.Heads {
					row.Cells = append(row.Cells, one.figure(name, level, h.Metric, h.Purpose).Print())
				}
				t.Rows = append(t.Rows, row)
			}
			out = append(out, t)
		}
		return out
	}
	return nil
}

// figure is one figure of a level in the first week.
func (t *TrustFacts) figure(cohort, level, metric, purpose string) *TrustFigure {
	for g := range t.Weeks[0].Groups {
		if group := &t.Weeks[0].Groups[g]; group.Cohort == cohort && group.Level == level {
			return group.Figure(metric, purpose)
		}
	}
	return nil
}
