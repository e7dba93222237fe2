package eval

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/rapport-ml/rapport/storage/table"
)

// DiffSchema names the shape of a comparison's JSON.
const DiffSchema = "rapport.diff/1"

// Diff says how two versions of a model differ: what they were made of, how good they are, for whom, and what the rules said of them. All of it is from
// their reports.
type Diff struct {
	Schema string   `json:"schema"` // set by WriteJSON
	Model  string   `json:"model"`
	A      DiffSide `json:"a"`
	B      DiffSide `json:"b"`
	// Paired says where both were measured on the same people: in the evaluation of "b", in which a was the live version, in that of "a", in "both", each in its own,
	// with the same draws of the bootstrap, or, "", nowhere.
	Paired  string       `json:"paired"`
	Tells   string       `json:"tells"` // what the figures allow to be said, in words
	Figures []DiffFigure `json:"figures"`
	Cohorts []DiffCohort `json:"cohorts"`
	Budgets []DiffBudget `json:"budgets"`
	Changes []Change     `json:"changes"`

	Definitions []Definition `json:"definitions"` // set by WriteJSON

	headline string // metric of b, or if a was not measured by that, of a
	unlike   bool   // they were judged by different protocols
	window   bool   // they were asked for the same test window, each in its own evaluation
}

// DiffSide is one of the two versions, as it was judged.
type DiffSide struct {
	Version  int            `json:"version"`
	Digest   string         `json:"digest"`
	Interval table.Interval `json:"interval"`
	Verdict  Verdict        `json:"verdict"`
	Says     string         `json:"says"`    // the verdict in a line
	Reasons  []string       `json:"reasons"` // as on the first screen of its report
	Report   string         `json:"report"`  // where it is
}

// DiffFigure is one metric of both. Paired figures are of the same people, and Difference, b − a, has an interval and a p; the others are of each version's
// own test window, and their difference is as much the windows' as the versions'.
type DiffFigure struct {
	Metric     string   `json:"metric"`
	A          Figure   `json:"a"`
	B          Figure   `json:"b"`
	NA         int      `json:"n_a"`
	NB         int      `json:"n_b"`
	Difference Figure   `json:"difference"`
	P          *float64 `json:"p"` // of a comparison that a report made, corrected as there
}

// DiffCohort is the gap between the groups served best and worst, as a share of the overall value, and each group's headline figure.
type DiffCohort struct {
	Cohort string      `json:"cohort"`
	A      Figure      `json:"gap_a"`
	B      Figure      `json:"gap_b"`
	Groups []DiffGroup `json:"groups"`
}

// DiffGroup is one group; a figure that is not shown is null.
type DiffGroup struct {
	Level string `json:"level"`
	A     Figure `json:"a"`
	B     Figure `json:"b"`
}

// DiffBudget is one budget as each version was judged by it; a verdict is absent where it was not declared.
type DiffBudget struct {
	Budget string  `json:"budget"` // in words
	A      Verdict `json:"verdict_a,omitempty"`
	B      Verdict `json:"verdict_b,omitempty"`
	ValueA Figure  `json:"value_a"` // with the corrected interval
	ValueB Figure  `json:"value_b"`
	// Of a budget against what is live: the baseline that stood in for it where nothing was.
	InsteadA string `json:"instead_a,omitempty"`
	InsteadB string `json:"instead_b,omitempty"`

	show func(float64) string
}

// Change is one thing in which the versions differ; "" is none.
type Change struct {
	Of   string `json:"of"`   // "data", "model", "parts", "hyperparameters", "purposes" or "evaluation"
	What string `json:"what"` // the setting or fact
	A    string `json:"a"`
	B    string `json:"b"`
}

// Compare puts two versions of a model beside each other, by their numbers, reports and where these are.
func Compare(model string, a, b int, reportA, reportB *Report, atA, atB string) *Diff {
	d := &Diff{Model: model, A: side(a, reportA, atA), B: side(b, reportB, atB), Figures: []DiffFigure{}, Cohorts: []DiffCohort{}, Budgets: []DiffBudget{}, Changes: []Change{}}
	qa, qb := reportA.Quality, reportB.Quality
	nameA, nameB := candidateName(qa), candidateName(qb)
	switch liveA, liveB := fmt.Sprintf("live v%d", a), fmt.Sprintf("live v%d", b); {
	case a != b && qb.has(liveA):
		d.Paired, qa, nameA = "b", qb, liveA
		d.Tells = paired(a, b)
	case a != b && qa.has(liveB):
		d.Paired, qb, nameB = "a", qa, liveB
		d.Tells = paired(b, a)
	case a == b:
		d.Tells = "A version has no difference from itself: ask for two."
	case qa == nil || qb == nil:
		d.Tells = "One of the two was never measured."
	case qa.Protocol != qb.Protocol:
		d.unlike = true
		d.Tells = fmt.Sprintf("Neither was live when the other was judged, and they were judged by different protocols, %s and %s: their figures can’t be compared.", qa.Protocol, qb.Protocol)
	case reportA.Run.Interval.End.Equal(reportB.Run.Interval.End) && reportA.Data.Test.Start.Equal(reportB.Data.Test.Start):
		d.window = true
		d.Tells = "Neither was live when the other was judged: both were asked for the same test window, with what was known of it then. Their figures can’t be paired by person, so nothing tests the difference: " +
			"the evaluations kept nothing to pair by (a budget with pool does), or were of other people."
	default:
		d.Tells = "Neither was live when the other was judged: each figure is of its own test window and its own people. A difference may be the window’s; nothing tests it."
	}
	if qa != nil && qb != nil {
		d.figures(qa, qb, nameA, nameB)
		if d.headline = qb.Headline; !slices.ContainsFunc(d.Figures, func(f DiffFigure) bool { return f.Metric == qb.Headline }) {
			d.headline = qa.Headline
		}
		d.cohorts(qa, qb, nameA, nameB)
	}
	d.budgets(reportA.Decision.Rules, reportB.Decision.Rules)
	d.changes(reportA, reportB)
	return d
}

// paired tells of two versions of which one was live when the other was judged.
func paired(live, judged int) string {
	return fmt.Sprintf("Version %d was live when version %d was judged: both were asked for the same people, on data that neither had seen. Differences are paired, person by person.", live, judged)
}

// Apart reports whether both were asked for the same test window and nothing pairs their figures: Pair may.
func (d *Diff) Apart() bool { return d.window && d.Paired == "" }

// Pair pairs the figures of two versions that were asked for the same test window, each in its own evaluation, by what these kept of them: a and b hold the sums of
// each draw of the bootstrap. Draws of the same people under the same seed belong together, replicate by replicate; of others nothing is paired, and it reports so.
// What was not kept of a metric leaves that metric untested.
func (d *Diff) Pair(a, b *Pool) bool {
	ca, cb := a.cell("", ""), b.cell("", "")
	if !d.Apart() || ca == nil || cb == nil || a.Seed != b.Seed || ca.N != cb.N || !slices.Equal(ca.Weight, cb.Weight) {
		return false
	}
	tested := false
	for i := range d.Figures {
		f := &d.Figures[i]
		fa, fb := ca.figure(string(Candidate), f.Metric), cb.figure(string(Candidate), f.Metric)
		if fa == nil || fb == nil || fa.N != fb.N || !slices.Equal(ca.weights(fa), cb.weights(fb)) {
			continue
		}
		c := compare(fa.N, fb.Sum/float64(fb.N), fa.Sum/float64(fa.N), fb.Sums, cb.weights(fb), fa.Sums, ca.weights(fa))
		f.Difference, f.P = Figure{c.Difference, c.Low, c.High}, c.P
		tested = true
	}
	if tested {
		d.Paired = "both"
		d.Tells = "Neither was live when the other was judged, but both were asked for the same people in the same test window, on data that neither had seen. Differences are paired, person by person; those without an interval are not tested."
	}
	return tested
}

func side(number int, r *Report, at string) DiffSide {
	_, says := r.verdict()
	reasons, _ := r.whys()
	return DiffSide{Version: number, Digest: r.Model.Digest, Interval: r.Run.Interval, Verdict: r.Decision.Verdict, Says: says, Reasons: reasons, Report: at}
}

func candidateName(q *Quality) string {
	if q != nil {
		if c := q.Contender(Candidate); c != nil {
			return c.Name
		}
	}
	return ""
}

// has reports whether a contender was measured.
func (q *Quality) has(name string) bool { return q.named(name) != nil }

// named is the contender of a name, or nil.
func (q *Quality) named(name string) *ContenderQuality {
	if q == nil {
		return nil
	}
	for i := range q.Contenders {
		if q.Contenders[i].Name == name {
			return &q.Contenders[i]
		}
	}
	return nil
}

// figures sets the metrics beside each other that both have.
func (d *Diff) figures(qa, qb *Quality, nameA, nameB string) {
	ca, cb := qa.named(nameA), qb.named(nameB)
	if ca == nil || cb == nil {
		return
	}
	for _, eb := range cb.Estimates {
		ea := ca.Estimate(eb.Metric, All)
		if m, _, _ := parseMetric(eb.Metric); m == Overlap && d.Paired == "" { // each with the version that was live then: two different things
			continue
		}
		if eb.Split != All || ea == nil || ea.Value == nil || eb.Value == nil {
			continue
		}
		f := DiffFigure{Metric: eb.Metric, A: Figure{ea.Value, ea.Low, ea.High}, B: Figure{eb.Value, eb.Low, eb.High}, NA: ea.N, NB: eb.N}
		f.Difference.Value = finite(*eb.Value - *ea.Value)
		switch d.Paired {
		case "b":
			if c := qb.Comparison(eb.Metric, All, nameA); c != nil {
				f.Difference, f.P = Figure{c.Difference, c.Low, c.High}, cmp.Or(c.PAdjusted, c.P)
			}
		case "a": // measured as a − b
			if c := qa.Comparison(eb.Metric, All, nameB); c != nil {
				f.Difference, f.P = Figure{negative(c.Difference), negative(c.High), negative(c.Low)}, cmp.Or(c.PAdjusted, c.P)
			}
		}
		d.Figures = append(d.Figures, f)
	}
}

func negative(x *float64) *float64 {
	if x == nil {
		return nil
	}
	return finite(-*x)
}

// cohorts sets the gaps of the headline metric beside each other, of the cohorts that both were evaluated by.
func (d *Diff) cohorts(qa, qb *Quality, nameA, nameB string) {
	for _, c := range qb.Cohorts {
		fa, fb := qa.Cohort(c.Cohort, nameA, qb.Headline), qb.Cohort(c.Cohort, nameB, qb.Headline)
		if fa == nil || fb == nil {
			continue
		}
		x := DiffCohort{Cohort: c.Cohort, A: fa.relative(), B: fb.relative()}
		was := map[string]Group{}
		for _, g := range fa.ByGroup {
			was[g.Level] = g
		}
		for _, g := range fb.ByGroup {
			w := was[g.Level]
			x.Groups = append(x.Groups, DiffGroup{Level: g.Level, A: Figure{w.Value, w.Low, w.High}, B: Figure{g.Value, g.Low, g.High}})
		}
		d.Cohorts = append(d.Cohorts, x)
	}
}

// relative is the gap as a share of the overall value, with the interval of all pairs.
func (f *CohortFigure) relative() Figure {
	if f.RelativeGap == nil || f.Overall == nil || *f.Overall == 0 {
		return Figure{}
	}
	share := func(x *float64) *float64 {
		if x == nil {
			return nil
		}
		return finite(*x / *f.Overall)
	}
	return Figure{f.RelativeGap, share(f.DifferenceLow), share(f.DifferenceHigh)}
}

// budgets sets the verdicts on each budget beside each other.
func (d *Diff) budgets(a, b []Rule) {
	at := map[string]int{}
	for i, rules := range [][]Rule{a, b} {
		for j := range rules {
			r := &rules[j]
			if r.Budget == nil {
				continue
			}
			id := r.Budget.id()
			k, had := at[id]
			if !had {
				k, at[id] = len(d.Budgets), len(d.Budgets)
				d.Budgets = append(d.Budgets, DiffBudget{Budget: r.Budget.String(), show: r.Budget.unit()})
			}
			if x := &d.Budgets[k]; i == 0 {
				x.A, x.ValueA, x.InsteadA = r.Verdict, r.figure(), r.Instead
			} else {
				x.B, x.ValueB, x.InsteadB = r.Verdict, r.figure(), r.Instead
			}
		}
	}
}

// changes lists what differs between what the two were made of and judged by.
func (d *Diff) changes(a, b *Report) {
	for _, of := range []struct {
		name   string
		values func(*Report) map[string]string
	}{
		{"data", dataOf}, {"model", modelOf}, {"parts", partsOf}, {"hyperparameters", func(r *Report) map[string]string { return Leaves(r.Model.Spec) }}, {"purposes", purposesOf}, {"evaluation", judgingOf},
	} {
		x, y := of.values(a), of.values(b)
		all := maps.Clone(x)
		maps.Copy(all, y)
		for _, what := range slices.Sorted(maps.Keys(all)) {
			if x[what] != y[what] {
				d.Changes = append(d.Changes, Change{of.name, what, x[what], y[what]})
			}
		}
	}
}

func dataOf(r *Report) map[string]string {
	return map[string]string{
		"interval": printInterval(r.Run.Interval), "training window": printInterval(r.Data.Window), "test window": printInterval(r.Data.Test), "training events": count(r.Data.Rows),
		"people": printed(r.Data.Subjects), "items": count(r.Data.Items), "kinds of event": list(r.Data.Kinds),
	}
}

func modelOf(r *Report) map[string]string {
	out := map[string]string{
		"seed": strconv.FormatUint(r.Model.Seed, 10), "kernel class": r.Model.Kernel, "list length": count(r.Model.Length), "program": r.Run.Revision, "job": r.Run.Job, "digest": r.Model.Digest,
	}
	for kind, w := range r.Model.Weights {
		out["weight of "+kind] = amount(w)
	}
	if r.Rerank != nil {
		out["what ships"] = "the linear blend"
		if r.Rerank.Ships {
			out["what ships"] = "the re-ranked blend"
		}
	}
	if r.Lists != nil {
		out["list rules"] = list(r.Lists.Rules)
	}
	return out
}

func partsOf(r *Report) map[string]string {
	out := map[string]string{}
	for _, p := range r.Model.Parts {
		out[p.Name] = plain(p.Weight)
	}
	return out
}

// Leaves are the values of a JSON text by their paths, as parts[0].dim, without those that are null; none of what is no JSON.
func Leaves(body json.RawMessage) map[string]string {
	out := map[string]string{}
	var v any
	if json.Unmarshal(body, &v) != nil {
		return out
	}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch x := v.(type) {
		case map[string]any:
			for k, e := range x {
				walk(strings.TrimPrefix(path+"."+k, "."), e)
			}
		case []any:
			for i, e := range x {
				walk(fmt.Sprintf("%s[%d]", path, i), e)
			}
		case nil:
		default:
			out[path] = fmt.Sprint(x)
		}
	}
	walk("", v)
	return out
}

func purposesOf(r *Report) map[string]string {
	out := map[string]string{}
	for _, p := range r.Purposes {
		of := p.Name + " (" + p.Role + ")"
		out[of] = p.Basis
		out[of+", what people are told"] = p.Says
		for set, columns := range p.Reads {
			out[of+", reads of "+set] = list(columns)
		}
		for class, days := range p.KeepDays {
			out[of+", keeps "+class] = amount(days) + " days"
		}
	}
	return out
}

func judgingOf(r *Report) map[string]string {
	out := map[string]string{"list not based on profiling": r.Unprofiled, "masking": r.Data.Masking}
	if q := r.Quality; q != nil {
		var names, contenders []string
		for _, c := range q.Cohorts {
			names = append(names, crossed(c.Cohort))
		}
		for _, c := range q.Contenders {
			if c.Role == Baseline {
				contenders = append(contenders, c.Name)
			}
		}
		out["protocol"], out["headline metric"], out["people measured"] = string(q.Protocol), q.Headline, count(q.Evaluated)
		out["cohorts"], out["baselines"], out["least n"] = list(names), list(contenders), count(q.MinN)
	}
	for _, rule := range r.Decision.Rules {
		if rule.Budget != nil {
			out["budget: "+rule.Budget.String()] = "declared"
		}
	}
	return out
}

// definitions are those that the comparison speaks of.
func (d *Diff) definitions() []Definition {
	return slices.DeleteFunc(definitions(), func(x Definition) bool {
		return slices.Contains([]string{"drift", "effect", "adjusted p", "psi", "funnel", "expectation", "coarsening", "neural correction", "linear blend", "re-ranked blend", "explanation"}, x.Name)
	})
}

// WriteJSON writes the comparison as indented JSON, with its schema and definitions.
func (d *Diff) WriteJSON(w io.Writer) error {
	full := *d
	full.Schema, full.Definitions = DiffSchema, d.definitions()
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(&full); err != nil {
		return fmt.Errorf("write comparison of versions %d and %d of %s: %w", d.A.Version, d.B.Version, d.Model, err)
	}
	return nil
}

// Better says in a sentence which is better by the headline metric, and the tone of it for b.
func (d *Diff) Better() (tone, says string) {
	if d.A.Version == d.B.Version {
		return "none", fmt.Sprintf("Both are version %d: it is the same version.", d.A.Version)
	}
	if len(d.Figures) == 0 {
		return "none", "There are no figures of both."
	}
	at := slices.IndexFunc(d.Figures, func(f DiffFigure) bool { return f.Metric == d.headline })
	if at < 0 {
		return "none", fmt.Sprintf("No test tells which is better: %s was not measured of both.", d.headline)
	}
	f := d.Figures[at]
	a, b := fmt.Sprintf("version %d", d.A.Version), fmt.Sprintf("version %d", d.B.Version)
	values := fmt.Sprintf("%s %s and %s", f.Metric, plain(*f.A.Value), plain(*f.B.Value))
	by := figure(f.Difference.Value, f.Difference.Low, f.Difference.High, signed)
	low, high := f.Difference.Low, f.Difference.High
	switch is := called(low, high, f.P); {
	case d.unlike:
		return "none", fmt.Sprintf("Judged by different protocols, so nothing tells %s from %s: %s.", a, b, values)
	case d.Paired == "" && f.A.apart(f.B):
		return "none", fmt.Sprintf("Measured apart, with intervals that do not meet: %s.", values)
	case d.Paired == "" || low == nil || high == nil:
		return "none", fmt.Sprintf("No test tells %s from %s: %s.", a, b, values)
	case is > 0:
		return "good", fmt.Sprintf("V%s is better than %s, by %s of %s.", b[1:], a, by, f.Metric)
	case is < 0:
		return "bad", fmt.Sprintf("V%s is worse than %s, by %s of %s.", b[1:], a, by, f.Metric)
	}
	if f.P != nil {
		by += ", p " + Probability(*f.P)
	}
	return "none", fmt.Sprintf("No difference can be told: %s, paired difference %s.", values, by)
}

// apart reports whether two intervals have no value in common.
func (f Figure) apart(g Figure) bool {
	return f.Low != nil && f.High != nil && g.Low != nil && g.High != nil && (*f.High < *g.Low || *g.High < *f.Low)
}

// WriteMarkdown writes the comparison in short, for a pull request.
func (d *Diff) WriteMarkdown(w io.Writer) error {
	m := &markdown{}
	tone, says := d.Better()
	mark := ""
	if tone != "none" {
		mark = marks[tone] + " "
	}
	m.line("## %s%s, version %d → %d: %s", mark, escape(d.Model), d.A.Version, d.B.Version, escape(says))
	m.line("")
	m.line("%s", escape(d.Tells))
	m.line("")
	a, b := fmt.Sprintf("v%d", d.A.Version), fmt.Sprintf("v%d", d.B.Version)
	m.table([]string{"", a, b}, func(row func(...string)) {
		row("Interval", escape(printInterval(d.A.Interval)), escape(printInterval(d.B.Interval)))
		row("Verdict", escape(d.A.Says), escape(d.B.Says))
	})
	if len(d.Figures) > 0 {
		m.line("### Figures")
		m.line("")
		m.table([]string{"Metric", a, b, d.Difference(), "95 % interval", "p"}, func(row func(...string)) {
			for _, f := range d.Figures {
				row(escape(f.Metric), optional(f.A.Value, plain), optional(f.B.Value, plain), optional(f.Difference.Value, signed), between(f.Difference.Low, f.Difference.High, signed), escape(optional(f.P, Probability)))
			}
		})
	}
	if len(d.Cohorts) > 0 {
		m.line("### Gaps by cohort, of the overall value")
		m.line("")
		m.table([]string{"Cohort", a, b}, func(row func(...string)) {
			for _, c := range d.Cohorts {
				row(escape(crossed(c.Cohort)), optional(c.A.Value, percent), optional(c.B.Value, percent))
			}
		})
	}
	if len(d.Budgets) > 0 {
		m.line("### Budgets")
		m.line("")
		m.table([]string{"Budget", a, b}, func(row func(...string)) {
			for _, x := range d.Budgets {
				row(escape(x.Budget), escape(x.Before()), escape(x.After()))
			}
		})
	}
	m.line("### What differs")
	m.line("")
	m.table([]string{"", "", a, b}, func(row func(...string)) {
		for _, c := range d.Changes {
			row(c.Of, escape(c.What), escape(c.A), escape(c.B))
		}
	})
	if _, err := w.Write(bytes.ReplaceAll(m.Bytes(), []byte(" %"), []byte("\u00a0%"))); err != nil {
		return fmt.Errorf("write comparison of versions %d and %d of %s: %w", d.A.Version, d.B.Version, d.Model, err)
	}
	return nil
}

// Difference is what stands over the differences.
func (d *Diff) Difference() string {
	if d.Paired == "" {
		return "Difference, not paired"
	}
	return "Paired difference"
}

// in prints a verdict with its value.
func (x *DiffBudget) in(v Verdict, f Figure, instead string) string {
	if v == "" {
		return "not declared"
	}
	says := plainName(string(v))
	switch {
	case f.Value != nil && instead != "":
		says += fmt.Sprintf(" (%s of %s, as nothing was live)", x.show(*f.Value), instead)
	case f.Value != nil:
		says += " (" + x.show(*f.Value) + ")"
	}
	return says
}
