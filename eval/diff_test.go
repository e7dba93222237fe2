package eval

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

// exampleDiff compares version 3, live when version 7 was judged, with version 7.
func exampleDiff(t *testing.T) *Diff {
	t.Helper()
	b := exampleReport(t)
	a := exampleReport(t)
	a.Quality.Contenders[1].Name = "live v2"
	a.Model.Parts = []PartWeight{{"als", 0.5}, {"popular", 0.5}}
	a.Model.Spec, b.Model.Spec = json.RawMessage(`{"parts":["als",{"dim":32}]}`), json.RawMessage(`{"parts":["als",{"dim":64}]}`)
	a.Model.Digest, a.Purposes = "sha256:00", a.Purposes[:1]
	a.Decision.Rules = a.Decision.Rules[:len(a.Decision.Rules)-1]
	return Compare("home", 3, 7, a, b, "reports/a.html", "reports/b.html")
}

// TestCalled: a difference whose interval leaves out zero is called only if its corrected p is small as well.
func TestCalled(t *testing.T) {
	low, high, small, large := 0.001, 0.02, 0.049, 0.066
	for _, c := range []struct {
		is   Comparison
		want int
	}{
		{Comparison{Low: &low, High: &high, P: &small, PAdjusted: &small}, 1},
		{Comparison{Low: &low, High: &high, P: &small, PAdjusted: &large}, 0},
		{Comparison{Low: negative(&high), High: negative(&low), P: &small, PAdjusted: &small}, -1},
		{Comparison{Low: negative(&low), High: &high, P: &small, PAdjusted: &small}, 0},
		{Comparison{Low: &low, High: &high}, 1},
		{Comparison{P: &small, PAdjusted: &small}, 0},
	} {
		if got := c.is.Called(); got != c.want {
			t.Errorf("%+v is called %d, want %d", c.is, got, c.want)
		}
	}
	d := exampleDiff(t)
	d.Figures[0].P = &large
	if tone, says := d.Better(); tone != "none" || !strings.Contains(says, "No difference can be told") || !strings.Contains(says, "p 0.066") {
		t.Errorf("at an adjusted p of 0.066: %s, %q", tone, says)
	}
}

// TestComparePaired: where one was live when the other was judged, figures are of the same people, whichever way round they are asked for.
func TestComparePaired(t *testing.T) {
	d := exampleDiff(t)
	q := exampleReport(t).Quality
	c := q.Comparison("ndcg@5", All, "live v3")
	live := q.named("live v3").Estimate("ndcg@5", All)
	f := d.Figures[0]
	if d.Paired != "b" || f.Metric != "ndcg@5" || *f.Difference.Value != *c.Difference || *f.Difference.Low != *c.Low || *f.P != *cmp.Or(c.PAdjusted, c.P) || *f.A.Value != *live.Value {
		t.Errorf("paired %q: %+v, want the comparison %+v", d.Paired, f, c)
	}
	if _, says := d.Better(); !strings.HasPrefix(says, "Version 7 is better than version 3, by +0.") {
		t.Errorf("it says %q", says)
	}
	back := Compare("home", 7, 3, exampleReport(t), &Report{Quality: &Quality{}}, "", "")
	g := back.Figures[0]
	if back.Paired != "a" || *g.Difference.Value != -*f.Difference.Value || *g.Difference.Low != -*f.Difference.High || *g.Difference.High != -*f.Difference.Low || *g.A.Value != *f.B.Value {
		t.Errorf("the other way round, %q: %+v, want %+v with its sign changed", back.Paired, g, f)
	}
	if _, says := back.Better(); !strings.HasPrefix(says, "Version 3 is worse than version 7") {
		t.Errorf("the other way round it says %q", says)
	}
	changed := map[string][2]string{}
	for _, c := range d.Changes {
		changed[c.Of+" "+c.What] = [2]string{c.A, c.B}
	}
	for what, want := range map[string][2]string{
		"parts als": {"0.5000", "0.6000"}, "parts again": {"", "0.3000"}, "hyperparameters parts[1].dim": {"32", "64"}, "purposes check_fairness (evaluation)": {"", "legitimate-interest"},
		"model digest": {"sha256:00", "sha256:5f1c0000000000000000000000000000"},
	} {
		if changed[what] != want {
			t.Errorf("%s: %q, want %q", what, changed[what], want)
		}
	}
	if _, had := changed["model seed"]; had {
		t.Error("what is the same stands among the changes")
	}
	if len(d.Cohorts) == 0 || *d.Cohorts[0].A.Value != *q.Cohort(d.Cohorts[0].Cohort, "live v3", "ndcg@5").RelativeGap {
		t.Errorf("the gap of version 3 is not that on the same people: %+v", d.Cohorts)
	}
	if len(d.Budgets) == 0 || d.Budgets[0].A != d.Budgets[0].B {
		t.Errorf("budgets: %+v", d.Budgets)
	}
}

// TestCompareWithItself: a version differs from itself in nothing, and the comparison says that it is the same one.
func TestCompareWithItself(t *testing.T) {
	d := Compare("home", 3, 3, exampleReport(t), exampleReport(t), "", "")
	if tone, says := d.Better(); tone != "none" || says != "Both are version 3: it is the same version." || strings.Contains(d.Tells, "live") {
		t.Errorf("%s: %s %s", tone, says, d.Tells)
	}
}

// TestCompareApart: of two that never met, both figures stand with their intervals, and nothing is called better.
func TestCompareApart(t *testing.T) {
	a, b := exampleReport(t), exampleReport(t)
	*b.Quality.Contenders[0].Estimates[0].Value += 0.2
	*b.Quality.Contenders[0].Estimates[0].Low += 0.2
	*b.Quality.Contenders[0].Estimates[0].High += 0.2
	d := Compare("home", 11, 12, a, b, "", "")
	f := d.Figures[0]
	if d.Paired != "" || f.Difference.Low != nil || f.P != nil || f.A.Low == nil || f.B.Low == nil || math.Abs(*f.Difference.Value-0.2) > 1e-12 {
		t.Errorf("paired %q: %+v", d.Paired, f)
	}
	if tone, says := d.Better(); tone != "none" || !strings.Contains(says, "Measured apart") || !strings.Contains(d.Tells, "Neither was live") {
		t.Errorf("%s: %q, %q", tone, says, d.Tells)
	}
	// The same version twice, and versions that were never measured.
	if d := Compare("home", 7, 7, a, a, "", ""); len(d.Changes) != 0 || *d.Figures[0].Difference.Value != 0 {
		t.Errorf("a version differs from itself: %+v", d.Changes)
	}
	empty := Compare("home", 1, 2, &Report{}, &Report{}, "", "")
	if tone, _ := empty.Better(); tone != "none" || len(empty.Figures) != 0 {
		t.Errorf("two empty reports: %s, %+v", tone, empty.Figures)
	}
	for name, x := range map[string]*Diff{"apart": d, "empty": empty} {
		var page, md, js bytes.Buffer
		if err := errors.Join(x.WriteHTML(&page), x.WriteMarkdown(&md), x.WriteJSON(&js)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, bad := range []string{"<script", "https://", "NaN", "<no value>", "ZgotmplZ"} {
			if strings.Contains(page.String(), bad) {
				t.Errorf("%s: the page holds %q", name, bad)
			}
		}
	}
	if err := d.WriteHTML(fullDisk{}); err == nil || !strings.Contains(err.Error(), "versions 11 and 12 of home: no space left") {
		t.Errorf("to a full disk: %v", err)
	}
}

// TestPair: two versions that are judged apart on the same people, one after another, differ as they do where one evaluation asks both; of other people, under another
// seed, of another window, and of what was not kept, nothing is paired.
func TestPair(t *testing.T) {
	f := rich(invented(600, 40, 6))
	all := inventedContenders(40)
	judged := func(contenders ...Contender) *Report {
		q, err := Evaluate(t.Context(), f.task(), contenders)
		if err != nil {
			t.Fatal(err)
		}
		return &Report{Quality: q}
	}
	alone := all[1]
	alone.Role = Candidate
	a, b, together := judged(alone, all[2]), judged(all[0], all[2]), judged(all[0], all[1])
	apart := func() *Diff { return Compare("home", 11, 12, a, b, "", "") }
	d := apart()
	if !d.Apart() || !strings.Contains(d.Tells, "nothing tests the difference") || strings.Contains(d.Difference(), "Paired") {
		t.Fatalf("before it is paired: %q, %s", d.Difference(), d.Tells)
	}
	if !d.Pair(a.Quality.Pool, b.Quality.Pool) || d.Paired != "both" || !strings.Contains(d.Tells, "paired, person by person") || d.Apart() {
		t.Fatalf("paired %q: %s", d.Paired, d.Tells)
	}
	tested := 0
	for _, x := range d.Figures {
		kept := b.Quality.Pool.cell("", "").figure(string(Candidate), x.Metric) != nil
		if kept != (x.P != nil) {
			t.Errorf("%s: kept %v, p %v", x.Metric, kept, x.P)
		}
		if x.P == nil {
			continue
		}
		tested++
		c := together.Quality.Comparison(x.Metric, All, "live v3")
		for i, pair := range [][2]*float64{{x.Difference.Value, c.Difference}, {x.Difference.Low, c.Low}, {x.Difference.High, c.High}, {x.P, c.P}} {
			if math.Abs(*pair[0]-*pair[1]) > 1e-12 {
				t.Errorf("%s, %d: %v, and in one evaluation %v", x.Metric, i, *pair[0], *pair[1])
			}
		}
	}
	if tested == 0 || tested == len(d.Figures) {
		t.Errorf("%d of %d figures are tested", tested, len(d.Figures))
	}
	tone, says := d.Better()
	if tone != "good" || !strings.Contains(says, "(95 % interval +") {
		t.Errorf("%s: %s", tone, says)
	}
	var page, md bytes.Buffer
	if err := errors.Join(d.WriteHTML(&page), d.WriteMarkdown(&md)); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"page": page.String(), "Markdown": md.String()} {
		if !strings.Contains(text, "Paired difference") {
			t.Errorf("%s: nothing says that differences are paired", name)
		}
	}

	fewer := *f
	fewer.rows = f.rows[:599]
	fewer.Cohorts = nil
	q, err := Evaluate(t.Context(), fewer.task(), []Contender{all[0]})
	if err != nil {
		t.Fatal(err)
	}
	seed := *b.Quality.Pool
	seed.Seed++
	for name, other := range map[string]*Pool{"of others": q.Pool, "under another seed": &seed, "of nobody": {}} {
		if d := apart(); d.Pair(a.Quality.Pool, other) || d.Paired != "" || d.Figures[0].P != nil {
			t.Errorf("%s: paired", name)
		}
	}
	if d := exampleDiff(t); d.Pair(a.Quality.Pool, b.Quality.Pool) || d.Paired != "b" {
		t.Error("what a report has paired is paired again")
	}
}

// TestCompareByTheHeadline: which is better is said by the headline metric alone, wherever it stands, and of nothing else; what different protocols have
// measured is set against each other by nobody.
func TestCompareByTheHeadline(t *testing.T) {
	b := exampleReport(t)
	es := b.Quality.named("live v3").Estimates
	for i := range es {
		if es[i].Metric == b.Quality.Headline {
			es[i].Metric = "unheard@5"
		}
	}
	d := Compare("home", 3, 7, exampleReport(t), b, "", "")
	if len(d.Figures) == 0 {
		t.Fatal("no figure is left")
	}
	if tone, says := d.Better(); tone != "none" || !strings.Contains(says, "ndcg@5 was not measured of both") {
		t.Errorf("without the headline of one: %s, %q", tone, says)
	}
	b = exampleReport(t)
	d = Compare("home", 3, 7, exampleReport(t), b, "", "")
	slices.Reverse(d.Figures)
	if tone, says := d.Better(); tone != "good" || !strings.HasSuffix(says, " of ndcg@5.") {
		t.Errorf("with the headline last: %s, %q", tone, says)
	}
	b.Quality.Protocol = "another"
	d = Compare("home", 11, 12, exampleReport(t), b, "", "")
	if tone, says := d.Better(); tone != "none" || !strings.Contains(says, "different protocols") || !strings.Contains(d.Tells, "can’t be compared") {
		t.Errorf("by different protocols: %s, %q, %q", tone, says, d.Tells)
	}
	var page bytes.Buffer
	if err := d.WriteHTML(&page); err != nil {
		t.Error(err)
	}
}

// TestDiffEscapes: what a project or its data call things is text, on the page and in Markdown.
func TestDiffEscapes(t *testing.T) {
	const evil = `<img src=x onerror=alert(1)>|"'`
	a, b := exampleReport(t), exampleReport(t)
	b.Quality.Contenders[1].Name = "live v3"
	for i := range b.Quality.Cohorts {
		c := &b.Quality.Cohorts[i]
		c.Cohort = evil + c.Cohort
		for j := range c.Figures {
			for k := range c.Figures[j].ByGroup {
				c.Figures[j].ByGroup[k].Level = evil
			}
		}
	}
	b.Decision.Reasons, b.Data.Kinds, b.Unprofiled = []string{evil}, []string{evil}, evil
	b.Purposes[0].Name, b.Purposes[0].Says, b.Model.Parts = evil, evil, []PartWeight{{evil, 1}}
	b.Model.Spec = json.RawMessage(`{"x":"<img src=x onerror=alert(1)>"}`)
	d := Compare(evil, 3, 7, a, b, evil, evil)
	var page, md, js bytes.Buffer
	if err := errors.Join(d.WriteHTML(&page), d.WriteMarkdown(&md), d.WriteJSON(&js)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(page.String(), "onerror") || !strings.Contains(md.String(), "onerror") {
		t.Fatal("what is evil stands nowhere")
	}
	for name, text := range map[string]string{"page": page.String(), "Markdown": strings.ReplaceAll(md.String(), `\<`, ""), "JSON": js.String()} {
		if strings.Contains(text, "<img") {
			t.Errorf("%s: not escaped", name)
		}
	}
}

// TestDiffSchema: the committed schema is the one that the types give, and comparisons of every kind follow it.
func TestDiffSchema(t *testing.T) {
	root := published(t, "diff.schema.json", SchemaOfDiff)
	one, other := exampleReport(t), exampleReport(t)
	one.Decision.Rules = nil // budgets that one of the two was not judged by
	for name, d := range map[string]*Diff{
		"paired": exampleDiff(t), "the same": Compare("home", 3, 3, other, other, "", ""), "apart": Compare("home", 11, 12, one, other, "", ""), "undeclared": Compare("home", 12, 11, other, one, "", ""),
	} {
		for _, f := range (validator{root}).check(root, written(t, d.WriteJSON), "$") {
			t.Errorf("%s: %s", name, f)
		}
	}
	for name, spoil := range map[string]func(map[string]any){
		"a report":                func(d map[string]any) { d["schema"] = ReportSchema },
		"no side":                 func(d map[string]any) { delete(d, "a") },
		"an unknown verdict":      func(d map[string]any) { first(d["budgets"])["verdict_a"] = "splendid" },
		"a version in words":      func(d map[string]any) { d["b"].(map[string]any)["version"] = "seven" },
		"a gap that is no number": func(d map[string]any) { first(d["cohorts"])["gap_a"].(map[string]any)["value"] = "wide" },
	} {
		v := written(t, exampleDiff(t).WriteJSON).(map[string]any)
		spoil(v)
		if len((validator{root}).check(root, v, "$")) == 0 {
			t.Errorf("%s: accepted", name)
		}
	}
}
