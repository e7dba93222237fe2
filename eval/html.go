package eval

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

//go:embed page
var pageFiles embed.FS

//go:embed page/report.css
var reportCSS string

// sections are those of the page, in their order, each with its template, "section " and its ID, in page/ID.html. It stands in a page if it has
// something to tell.
var sections = []section{
	{"subjects", "Real people’s lists", func(r *Report) bool { return r.Subjects != nil }},
	{"quality", "Is it better?", (*Report).trained},
	{"rerank", "Which one ships?", (*Report).trained},
	{"lists", "What do list rules do?", func(r *Report) bool { return r.Lists != nil }},
	{"cohorts", "For whom?", (*Report).trained},
	{"shown", "What is shown?", func(r *Report) bool { return r.Quality != nil && len(r.Quality.Providers)+len(r.Quality.Content) > 0 }},
	{"rules", "Rules", (*Report).trained},
	{"drift", "What changed?", nil},
	{"trust", "Is trust kept?", func(r *Report) bool { return r.Trust != nil && len(r.Trust.Weeks) > 0 }},
	{"data", "Whose data?", nil},
	{"worth", "What is a field worth?", func(r *Report) bool { return r.Minimization != nil }},
	{"why", "Why an item?", (*Report).trained},
	{"card", "Model card", (*Report).trained},
	{"rights", "People’s rights", (*Report).trained},
	{"lineage", "Lineage", nil},
	{"definitions", "Definitions", nil},
}

// section is one part of the page: its template is handed the whole page.
type section struct {
	ID, Title string
	has       func(*Report) bool // nil: always
}

// Style is the style sheet of all pages that Rapport writes, for those that are no reports.
func Style() template.CSS { return template.CSS(reportCSS) }

var pageTemplates = template.Must(template.New("pages").Funcs(template.FuncMap{
	"css":       Style,
	"value":     func(x *float64) string { return optional(x, plain) },
	"signed":    func(x *float64) string { return optional(x, signed) },
	"percent":   func(x *float64) string { return optional(x, percent) },
	"probable":  func(x *float64) string { return optional(x, Probability) },
	"plain":     plain,
	"share":     percent,
	"count":     func(n int) string { return count(n) },
	"count64":   func(n int64) string { return count(n) },
	"interval":  printInterval,
	"time":      printTime,
	"words":     func(s any) string { return plainName(fmt.Sprint(s)) },
	"list":      list,
	"crossed":   crossed,
	"flags":     flags,
	"title":     capital,
	"deref":     func(n *int) int { return *n },
	"short":     func(s string) string { return s[:min(len(s), 12)] },
	"anchor":    anchor,
	"tone":      tone,
	"mark":      func(tone string) string { return marks[tone] },
	"reason":    reasonName,
	"source":    sourceName,
	"printed":   printed,
	"contender": contenderName,
	"sets": func(reads map[string][]string) (out []string) {
		for _, set := range slices.Sorted(maps.Keys(reads)) {
			out = append(out, set+" ("+list(reads[set])+")")
		}
		return out
	},
	"fifths": func(fair *bool) string {
		switch {
		case fair == nil:
			return ""
		case *fair:
			return ", above four fifths"
		}
		return ", below four fifths"
	},
	"span":       func(low, high *float64) string { return between(low, high, plain) },
	"signedSpan": func(low, high *float64) string { return between(low, high, signed) },
}).ParseFS(pageFiles, "page/*.html"))

// WriteHTML writes the report as one page that needs nothing else: no script, no font, no picture from elsewhere. It is readable in light and
// dark, on a phone and on paper. Subjects, if there are any, stand in it: such a page is for one machine and never for the bucket.
func (r *Report) WriteHTML(w io.Writer) error {
	if err := writePage(w, "report.html", newPage(r)); err != nil {
		return fmt.Errorf("write report of run %s: %w", r.Run.ID, err)
	}
	return nil
}

// writePage makes a page of a template, whole or not at all.
func writePage(w io.Writer, name string, content any) error {
	var buf bytes.Buffer
	if err := pageTemplates.ExecuteTemplate(&buf, name, content); err != nil {
		return err
	}
	return writeUnbroken(w, buf.Bytes())
}

// writeUnbroken writes a text in which a number and its per cent sign stay on one line.
func writeUnbroken(w io.Writer, text []byte) error {
	_, err := w.Write(bytes.ReplaceAll(text, []byte(" %"), []byte("\u00a0%")))
	return err
}

// oneFlag is a flag of the command line.
var oneFlag = regexp.MustCompile(`--[a-z][a-z-]*`)

// flags prints a text in which no flag of the command line is broken over two lines.
func flags(text string) template.HTML {
	return template.HTML(oneFlag.ReplaceAllString(template.HTMLEscapeString(text), `<span class="whole">$0</span>`))
}

// tone is the colour of a rule; the words beside it say the same.
func tone(r Rule) string {
	switch {
	case r.Effect == Refuses:
		return "bad"
	case r.Verdict == Pass:
		return "good"
	}
	return "warn"
}

// page is a report arranged for reading.
type page struct {
	*Report
	Title            string
	Tone, Mark, Says string // the verdict
	Answers          []answer
	Reasons, More    []string // the gravest, and the others
	Detail           []string // what stands behind those of drift, a column each
	Tiles            []tile
	Sections         []section

	Headline                       string // the metric that the first screen speaks of
	Length                         int    // of the lists it speaks of
	Values, Differences            *plot
	Names                          []ContenderQuality
	Compared                       []Comparison
	Rivals                         []ContenderQuality // all but the parts
	Incumbent                      *ContenderQuality  // what the version would replace; nil: nothing
	Splits                         []splitRow
	SplitPlot                      *plot
	Short, Metrics                 []metricRow // of the shortest lists; of all
	Chart                          *trendChart
	Ties                           []string
	RerankValues, RerankDifference *plot

	Cohorts       []cohortBlock
	Gaps          *plot // of all cohorts
	Providers     []providerBlock
	Content       []contentBlock
	ContentTables []contentTable
	Budgets       []budgetRow
	BudgetTrends  int    // budgets with a past
	Rules         []Rule // all others, but
	Quiet         []Rule // those of columns that have not drifted
	Effects       *plot
	DriftCards    []driftCard
	QuietCards    []driftCard // folded away
	MoreColumns   []driftRow  // that are not drawn
	Heat          *heatMap
	Flow          *bars
	LearnedFlow   *bars
	Samples       []sample
	PartRows      []partRow
	Picture       *lineagePicture
	Days          []LineageStep // steps of one day each, which are many
	Steps         []LineageStep // the others
	Owners        []string

	glossary
}

// tile is one figure of the first screen.
type tile struct{ Name, Def, Value, Note string }

// partRow is one main parameter: a part of the blend, what it counts, and how good it is alone.
type partRow struct {
	PartWeight
	Says  string
	Share float64
	Alone *Estimate
}

func newPage(r *Report) *page {
	p := &page{Report: r, Title: r.Run.Job, glossary: newGlossary(r.definitions())}
	if r.Model.Name != "" {
		p.Title = r.Model.Name
	}
	p.Tone, p.Says = r.verdict()
	p.Mark = marks[p.Tone]
	p.Answers = r.answers()
	reasons, detail := r.whys()
	first := min(4, len(reasons))
	p.Reasons, p.More, p.Detail = reasons[:first], reasons[first:], detail
	if q := r.Quality; q != nil {
		p.Headline, p.Length = q.Headline, headLength(q)
		p.quality(q)
		p.trend()
		p.cohorts(q)
		p.shown(q)
	}
	p.budgets()
	p.rerank()
	p.drift()
	p.heat()
	p.funnel()
	p.explanations()
	p.parts()
	p.lineage()
	p.tiles()
	for _, s := range sections {
		if s.has == nil || s.has(r) {
			p.Sections = append(p.Sections, s)
		}
	}
	return p
}

// Section is one section as it stands on the page.
func (p *page) Section(id string) (template.HTML, error) {
	var buf bytes.Buffer
	err := pageTemplates.ExecuteTemplate(&buf, "section "+id, p)
	return template.HTML(buf.String()), err
}

// UnprofiledValue is the headline figure of the list not based on profiling, or nil.
func (p *page) UnprofiledValue() *Estimate {
	if p.Quality == nil {
		return nil
	}
	return p.Quality.value(p.Unprofiled)
}

// Single reports whether the interval prints as one day, which stays on one line.
func (p *page) Single() bool { return len(printInterval(p.Run.Interval)) == len("2006-01-02") }

// headLength is the length of the lists that the headline metric is of.
func headLength(q *Quality) int {
	if _, k, err := parseMetric(q.Headline); err == nil {
		return k
	}
	return 0
}

func anchor(s string) string { return strings.ReplaceAll(strings.ReplaceAll(s, ",", ""), " ", "-") }

// glossary is the definitions of a page, and how often the page has spoken of each so far.
type glossary struct {
	figures []Definition
	uses    map[string]int
}

func newGlossary(figures []Definition) glossary {
	return glossary{figures, map[string]int{}}
}

// Def links words to the definition of a figure; the definition links back. A metric may carry its length: "ndcg@10".
func (p *glossary) Def(name, words string) (template.HTML, error) {
	name, _, _ = strings.Cut(name, "@")
	for _, d := range p.figures {
		if d.Name != name {
			continue
		}
		p.uses[name]++
		says, _, _ := strings.Cut(d.Says, ": ")
		return template.HTML(fmt.Sprintf(`<a class="def" id="use-%s-%d" href="#def-%s" title="%s">%s</a>`,
			anchor(name), p.uses[name], anchor(name), template.HTMLEscapeString(says), template.HTMLEscapeString(words))), nil
	}
	return "", fmt.Errorf("the report speaks of %q, which no definition explains", name)
}

// definition is a Definition with the places that speak of it.
type definition struct {
	Definition
	Backs []string // anchors
}

// Defined are the definitions, as the page before has used them.
func (p *glossary) Defined() []definition {
	var out []definition
	for _, d := range p.figures {
		if p.uses[d.Name] == 0 { // nothing on the page speaks of it; the JSON has all
			continue
		}
		x := definition{Definition: d}
		for n := range min(p.uses[d.Name], 5) {
			x.Backs = append(x.Backs, fmt.Sprintf("use-%s-%d", anchor(d.Name), n+1))
		}
		out = append(out, x)
	}
	return out
}

// roleNames say what a contender is.
var roleNames = map[Role]string{Candidate: "this version", Live: "live now", Baseline: "baseline", Part: "alone"}

func contenderName(name string, role Role) string {
	if role == Live {
		return strings.TrimPrefix(name, "live ")
	}
	return name
}

func (p *page) rerank() {
	f := p.Rerank
	if f == nil || f.N == 0 { // nothing was compared
		return
	}
	s := span{}
	for _, x := range []Figure{f.Blend, f.Reranked} {
		s.add(x.Value, x.Low, x.High)
	}
	a, ticks := newAxis(s.lo, s.hi, decimal)
	first, second := a.row("linear blend", "other", f.Blend, plain), a.row("re-ranked blend", "other", f.Reranked, plain)
	chosen := &first
	if f.Ships {
		chosen = &second
	}
	chosen.Class, chosen.Sub = "candidate", "ships"
	p.RerankValues = &plot{Label: f.Metric + " of the two rankings", Ticks: ticks, Rows: []plotRow{first, second}}

	s = fromZero()
	s.add(f.Difference.Value, f.Difference.Low, f.Difference.High)
	a, ticks = newAxis(s.lo, s.hi, decimal)
	row := a.row("re-ranked minus linear", "candidate", f.Difference, signed)
	if f.P != nil {
		row.Mark, row.Tone = "p "+Probability(*f.P), "none"
	}
	p.RerankDifference = &plot{Label: "difference of the two rankings", Ticks: ticks, Marks: []mark{{a.at(0), "zero"}}, Rows: []plotRow{row}}
}

// parts are the main parameters of the ranking and what each counts (the words of the DSA's article 27).
func (p *page) parts() {
	sum := 0.0
	for _, w := range p.Model.Parts {
		sum += max(0, w.Weight)
	}
	for _, w := range p.Model.Parts {
		row := partRow{PartWeight: w, Says: partNames[w.Name]}
		if sum > 0 {
			row.Share = max(0, w.Weight) / sum
		}
		if p.Quality != nil {
			row.Alone = p.Quality.value("part " + w.Name)
		}
		p.PartRows = append(p.PartRows, row)
	}
}

// tiles picks at most six figures for the first screen.
func (p *page) tiles() {
	q := p.Quality
	if q == nil {
		return
	}
	c := q.Contender(Candidate)
	if c == nil {
		return
	}
	if e := c.Estimate(q.Headline, All); e != nil && e.Value != nil {
		note := ""
		if e.Low != nil {
			note = plain(*e.Low) + " to " + plain(*e.High)
		}
		p.Tiles = append(p.Tiles, tile{q.Headline, q.Headline, plain(*e.Value), note})
	}
	for _, role := range []Role{Live, Baseline} {
		for _, cmp := range p.Compared {
			if cmp.Role == role && cmp.Difference != nil && len(p.Tiles) < 4 {
				note := ""
				if cmp.Low != nil {
					note = signed(*cmp.Low) + " to " + signed(*cmp.High)
				}
				p.Tiles = append(p.Tiles, tile{"against " + strings.ReplaceAll(cmp.Against, "+", " + "), "interval", signed(*cmp.Difference), note})
			}
		}
	}
	if len(q.K) > 0 {
		if e := c.Estimate(At(Coverage, q.K[0]), All); e != nil && e.Value != nil {
			p.Tiles = append(p.Tiles, tile{"of the catalog shown", Coverage, percent(*e.Value), At(Coverage, q.K[0])})
		}
	}
	if gap, cohort := p.widest(); gap != nil {
		p.Tiles = append(p.Tiles, tile{"widest gap", "gap", percent(*gap), "by " + crossed(cohort)})
	}
}
