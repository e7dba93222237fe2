package eval

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/rapport-ml/rapport/eval/drift"
)

// WriteMarkdown writes the report in short, for pull requests and chats: the verdict, the figures, the cohorts, what drifted and what was left
// out, with a link to the page that stands beside it. It is GitHub's Markdown; names from the data are escaped.
func (r *Report) WriteMarkdown(w io.Writer) error {
	m := &markdown{}
	tone, says := r.verdict()
	title := r.Run.Job
	if r.Model.Name != "" {
		title = r.Model.Name + " (" + r.Run.Job + ")"
	}
	m.line("## %s %s: %s", marks[tone], escape(title), says)
	m.line("")
	m.line("%s", escape(printInterval(r.Run.Interval)))
	m.line("")
	reasons, _ := r.whys()
	for _, reason := range reasons {
		m.line("- %s", escape(reason))
	}
	m.line("")
	m.table([]string{"Question", "Answer"}, func(row func(...string)) {
		for _, a := range r.answers() {
			row(a.Question, a.Mark+" "+escape(a.Says))
		}
	})
	if r.Quality != nil {
		m.figures(r.Quality)
		m.cohorts(r)
		m.budgets(r.Decision.Rules)
	}
	if r.Lists != nil {
		m.lists(r.Lists)
	}
	if r.Drift != nil {
		m.drift(r.Drift)
	}
	if len(r.Funnel) > 0 {
		m.line("### What was left out when the days were read")
		m.line("")
		m.table([]string{"Events", ""}, func(row func(...string)) {
			for _, f := range r.Funnel {
				row(escape(reasonName(f.Reason)), escape(printed(f.Rows)))
			}
		})
	}
	m.list("What the events were expected to be and are not", r.Unexpected)
	m.list("What was made coarser when it was read", r.Coarsened)
	m.worth(r.Minimization)
	if r.Run.ID != "" {
		m.line("[The whole report](%s.html) · [its figures as JSON](%[1]s.json)", r.Run.ID)
	}
	if err := writeUnbroken(w, m.Bytes()); err != nil {
		return fmt.Errorf("write report of run %s: %w", r.Run.ID, err)
	}
	return nil
}

type markdown struct{ bytes.Buffer }

func (m *markdown) line(format string, args ...any) { fmt.Fprintf(&m.Buffer, format+"\n", args...) }

// list writes sentences under a title; of none nothing.
func (m *markdown) list(title string, sentences []string) {
	if len(sentences) == 0 {
		return
	}
	m.line("### %s", title)
	m.line("")
	for _, says := range sentences {
		m.line("- %s", escape(says))
	}
	m.line("")
}

// table writes a table whose cells are Markdown already; the first column is text, the others too.
func (m *markdown) table(head []string, rows func(row func(cells ...string))) {
	row := func(cells ...string) { m.line("| %s |", strings.Join(cells, " | ")) }
	row(head...)
	m.line("|%s", strings.Repeat(" --- |", len(head)))
	rows(row)
	m.line("")
}

func (m *markdown) figures(q *Quality) {
	m.line("### Figures")
	m.line("")
	m.table([]string{q.Headline, "Value", "95 % interval", "This version against it", "95 % interval", "Adjusted p"}, func(row func(...string)) {
		for i := range q.Contenders {
			c := &q.Contenders[i]
			e := c.Estimate(q.Headline, All)
			if e == nil || c.Role == Part {
				continue
			}
			cells := []string{escape(c.Name), optional(e.Value, plain), between(e.Low, e.High, plain), "", "", ""}
			if c.Role == Candidate {
				cells[0] = "**" + cells[0] + "**"
			} else if x := q.Comparison(q.Headline, All, c.Name); x != nil {
				cells[3], cells[4], cells[5] = optional(x.Difference, signed), between(x.Low, x.High, signed), escape(optional(x.PAdjusted, Probability))
			}
			row(cells...)
		}
	})
	of := ""
	if q.Queries != nil {
		of = " of " + count(*q.Queries)
	}
	m.line("%s%s people, all %s items ranked.", count(q.Evaluated), of, count(q.Items))
	m.line("")
	m.measures(q)
}

// measures lists every measure of the shortest lists, folded away.
func (m *markdown) measures(q *Quality) {
	candidate, other := q.Contender(Candidate), q.incumbent(q.Headline, false)
	if candidate == nil {
		return
	}
	against := "—"
	if other != nil {
		against = contenderName(other.Name, other.Role)
	}
	m.line("<details><summary>Every measure of lists of %d, and on whom</summary>", headLength(q))
	m.line("")
	m.table([]string{"Measure", "Value", "95 % interval", "n", "Against " + escape(against), "Adjusted p"}, func(row func(...string)) {
		line := func(name string, e *Estimate) {
			cells := []string{name, optional(e.Value, plain), between(e.Low, e.High, plain), count(e.N), "", ""}
			if other != nil {
				if x := q.Comparison(e.Metric, e.Split, other.Name); x != nil {
					cells[4], cells[5] = optional(x.Difference, signed), escape(optional(x.PAdjusted, Probability))
				}
			}
			row(cells...)
		}
		for i := range candidate.Estimates {
			e := &candidate.Estimates[i]
			if _, k, err := parseMetric(e.Metric); err == nil && k == headLength(q) && e.Split == All && e.Value != nil {
				line(escape(e.Metric), e)
			}
		}
		for _, s := range splits[1:] {
			if e := candidate.Estimate(q.Headline, s); e != nil && e.Value != nil {
				line(escape(q.Headline+", "+splitNames[s]), e)
			}
		}
	})
	m.line("</details>")
	m.line("")
}

func (m *markdown) cohorts(r *Report) {
	candidate := r.Quality.Contender(Candidate)
	if candidate == nil || len(r.Quality.Cohorts) == 0 {
		return
	}
	m.line("### By cohort")
	m.line("")
	m.table([]string{"Cohort", "Gap, of the overall value", "Worst to best"}, func(row func(...string)) {
		for _, c := range r.Quality.Cohorts {
			if f := r.Quality.Cohort(c.Cohort, candidate.Name, r.Quality.Headline); f != nil {
				row(escape(crossed(c.Cohort)), optional(f.RelativeGap, percent), optional(f.Ratio, percent))
			}
		}
	})
}

// budgets lists every declared budget with what was held against it.
func (m *markdown) budgets(rules []Rule) {
	rules = slices.DeleteFunc(slices.Clone(rules), func(r Rule) bool { return r.Kind != "budget" })
	if len(rules) == 0 {
		return
	}
	m.line("### Budgets")
	m.line("")
	m.table([]string{"Budget", "Value", "Corrected interval", "Verdict", "Effect", "Evaluations", "Owner"}, func(row func(...string)) {
		for _, r := range rules {
			show, pooled := r.Budget.unit(), 1
			if r.Pool != nil {
				pooled = r.Pool.Evaluations
			}
			row(escape(r.name()), optional(r.Value, show), between(r.CorrectedLow, r.CorrectedHigh, show), marks[tone(r)]+" "+plainName(string(r.Verdict)),
				plainName(string(r.Effect)), count(pooled), escape(r.Budget.Owner))
		}
	})
	for _, x := range leftOutOf(rules) {
		m.line("Left out of pools of %s:", x.Pool)
		m.line("")
		for _, says := range x.Says {
			m.line("- %s", says)
		}
		m.line("")
	}
}

func (m *markdown) drift(d *drift.Report) {
	m.line("### Drift")
	m.line("")
	quiet := 0
	m.table([]string{"Column", "Verdict", "Effect", "Large from", "Adjusted p", "Cause"}, func(row func(...string)) {
		for _, c := range d.Columns {
			if c.Verdict != drift.Drifted && len(d.Columns) > mostHeat/2 { // of many, those that nobody asks about are counted
				quiet++
				continue
			}
			verdict, cause := string(c.Verdict), ""
			if c.Acknowledged != "" {
				verdict += ", " + c.Acknowledged
			}
			if c.Cause != nil {
				cause = c.Cause.Says
			}
			row(escape(plainName(c.Name)), escape(verdict), optional(c.Effect, thousandths), thousandths(c.Threshold), escape(optional(c.AdjustedP, Probability)), escape(cause))
		}
	})
	if quiet > 0 {
		m.line("%s have not drifted, or too few people are in them to tell.", plural(quiet, "other column"))
		m.line("")
	}
}

// between prints an interval, or a dash.
func between(low, high *float64, show func(float64) string) string {
	if low == nil || high == nil {
		return "—"
	}
	return show(*low) + " to " + show(*high)
}

// escape takes the meaning from what Markdown, or the HTML in it, would read as more than text. A line break would end a table's row.
func escape(s string) string {
	var b strings.Builder
	for _, c := range s {
		switch {
		case strings.ContainsRune("\\`*_[]<>|#~", c):
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '&':
			b.WriteString("&amp;")
		case c < ' ':
			b.WriteByte(' ')
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}
