package eval

import (
	"bytes"
	"strings"
	"testing"
)

// curve is a model with a gap of .1 and four remedies.
func curve() *Mitigation {
	remedy := func(name string, value, change, half, gap, closed, closedHalf float64) Remedy {
		cut := 1 - gap/0.1
		return Remedy{
			Kind: Calibrating, Name: name, Value: figureOf(value, value, value), Change: figureOf(change, change-half, change+half), Gap: figureOf(gap, gap/2, gap*2),
			Cut: &cut, Closed: figureOf(closed, closed-closedHalf, closed+closedHalf),
		}
	}
	return &Mitigation{
		Metric: "ndcg@10", Cohort: "gender", N: 500, MostLoss: 0.01,
		Stands: Remedy{Name: "as it stands", Value: figureOf(0.4, 0.4, 0.4), Change: figureOf(0, 0, 0), Gap: figureOf(0.1, 0.05, 0.2), Worst: "female", Best: "male", Exposure: []RemedyExposure{{Attribute: "brand", AWRF: figureOf(0.9, 0.8, 1)}}},
		Remedies: []Remedy{
			remedy("weak", 0.399, -0.0025, 0.002, 0.08, 0.2, 0.05), // cuts a fifth within 1 %
			remedy("strong", 0.39, -0.025, 0.002, 0.05, 0.5, 0.05), // halves it, too dear
			remedy("lucky", 0.3995, -0.001, 0.002, 0.04, 0.6, 0.5), // .6 ± .5: chance, as the best of four
			remedy("worse", 0.398, -0.005, 0.002, 0.09, 0.1, 0.01), // beaten by weak in both
		},
	}
}

// TestChoose: the largest cut whose loss lies within the limit with its whole interval and that is no chance, of all that were tried.
func TestChoose(t *testing.T) {
	m := curve()
	m.Choose()
	if m.Proposed != "weak" || !strings.Contains(m.Says, "20.0 %") {
		t.Errorf("proposed %q: %s", m.Proposed, m.Says)
	}
	for i, want := range []string{"", "it may cost 2.7 %", "may be chance", ""} {
		if got := m.Remedies[i].Against; got != "" && want == "" || !strings.Contains(got, want) {
			t.Errorf("%s: against it %q, want %q", m.Remedies[i].Name, got, want)
		}
	}
	for i, want := range []bool{false, false, true, false} { // .3995 and .04 beat all but the model as it stands
		if m.Remedies[i].Front != want {
			t.Errorf("%s on the front: %v", m.Remedies[i].Name, !want)
		}
	}
	if !m.Stands.Front {
		t.Error("nothing has a higher metric than the model as it stands, and yet it is beaten")
	}
	m.Remedies = m.Remedies[2:3] // .6 ± .5 alone is beyond chance
	if m.Choose(); m.Proposed != "lucky" {
		t.Errorf("alone: %s", m.Says)
	}
	m.MostLoss = 0.002
	if m.Choose(); m.Proposed != "" || m.Says != "1 of the 1 tried would make it smaller beyond chance, but may cost more than 0.2 % of ndcg@10" {
		t.Errorf("within .2 %%: %q, %s", m.Proposed, m.Says)
	}
	low := 0.0
	m.Stands.Gap.Low = &low
	if m.Choose(); !strings.HasPrefix(m.Says, "the gap may be chance, and 1 of the 1") {
		t.Error(m.Says)
	}
	m.MostLoss = 0.01
	if m.Choose(); m.Proposed != "" || !strings.HasPrefix(m.Says, "the gap may be chance, and 1 of the 1 tried would bring its two groups together beyond chance, but nothing is proposed") || !strings.Contains(m.Remedies[0].Against, "0.0000 to 0.2000") {
		t.Errorf("against what may be no gap: %q, %s; %s", m.Proposed, m.Says, m.Remedies[0].Against)
	}
	m.Stands.Gap = Figure{}
	if m.Choose(); !strings.HasPrefix(m.Says, "fewer than two groups") || m.Remedies[0].Against == "" {
		t.Error(m.Says)
	}
}

// TestChooseNone: why nothing is proposed, of remedies that are chance, that are chance as the best of many, that are too dear, and of none that was tried.
func TestChooseNone(t *testing.T) {
	m := curve()
	m.Remedies = append(m.Remedies[1:3], m.Remedies[2])
	m.Remedies[2].Closed = figureOf(0.1, -0.4, 0.6)
	want := "1 of the 3 tried would make it smaller beyond chance, but may cost more than 1.0 % of ndcg@10; 1 of the 3 tried would be beyond chance if it had been tried alone, and is not as the best of so many"
	if m.Choose(); m.Proposed != "" || m.Says != want {
		t.Errorf("%s\nwant %s", m.Says, want)
	}
	if got := m.Remedies[1].Against; got != "that it makes the gap smaller may be chance, as the best of 3" {
		t.Error(got)
	}
	m.Remedies[2].Change = figureOf(-0.02, -0.03, -0.01)
	m.Remedies = m.Remedies[2:]
	if m.Choose(); m.Says != "the one remedy tried does not make the gap smaller beyond chance" || m.Remedies[0].Against != "it may cost 3.0 % of ndcg@10; that it makes the gap smaller may be chance" {
		t.Error(m.Says, m.Remedies[0].Against)
	}
	m.Remedies, m.NotTried = nil, []Untried{{"a", "the budget of time was spent before"}, {"b", "the budget of time was spent before"}}
	low := -0.1
	m.Stands.Gap.Low = &low
	if m.Choose(); m.Says != "the gap may be chance, and no remedy was tried: the budget of time was spent before" {
		t.Error(m.Says)
	}
}

// TestTold: who decides reads how large the gap is, what was tried, what is proposed brings and costs, what is chance, and what to do next; where nothing is proposed,
// why, and what the nearest would take.
func TestTold(t *testing.T) {
	says := func(m *Mitigation, what string) string {
		t.Helper()
		told := m.Told("nightly")
		if told[len(told)-1].Of != "Next" {
			t.Fatalf("it ends with %+v", told[len(told)-1])
		}
		for _, x := range told {
			if x.Of == what {
				return x.Says
			}
		}
		return ""
	}
	want := func(m *Mitigation, what, text string) {
		t.Helper()
		if got := says(m, what); !strings.Contains(got, text) || text == "" && got != "" {
			t.Errorf("%s: %q, want %q", what, got, text)
		}
	}
	m := curve()
	m.Remedies[0].Patch = "models.home.lists.calibrate: {by: brand, weight: 0.1}"
	m.Choose()
	want(m, "The gap", "female is served worst and male best: 0.1000 (95 % interval 0.0500 to 0.2000) of ndcg@10 lie between them. That is more than chance.")
	want(m, "Tried", "4 ways, each measured on the same 500 people as the model as it stands: 4 spread lists")
	want(m, "It brings", "The gap becomes 20.0 % smaller: from 0.1000 to 0.0800. Female and male come together by 20.0 % (95 % interval 15.0 % to 25.0 %)")
	want(m, "It costs", "0.25 % of ndcg@10, at worst 0.45 %; 1.0 % is what may be lost.")
	want(m, "Chance", "3 of 4 make the gap smaller beyond chance when") // lucky is not
	want(m, "Chance", "; 1 more would if nothing else had been tried. It is chosen on the people")
	want(m, "Next", "rapport mitigate nightly --write puts models.home.lists.calibrate: {by: brand, weight: 0.1} into the project file")
	want(m, "Why none", "")

	m.Remedies = m.Remedies[1:2] // halves the gap, too dear
	m.Choose()
	want(m, "Why none", "1 of the 1 tried would make it smaller beyond chance, but may cost more than 1.0 %")
	want(m, "The nearest", "Strong. The gap becomes 50.0 % smaller")
	want(m, "Next", "--most-loss 2.8% would propose strong")
	m.MostLoss = 0.028
	if m.Choose(); m.Proposed != "strong" {
		t.Error("what would propose it does not")
	}
	m.Remedies[0].Change = figureOf(0.01, -0.005, 0.02)
	want(m, "It costs", "Probably nothing of ndcg@10 (+1.00 %), at worst 0.50 %")
	m.Remedies[0].Change = figureOf(0.01, 0.005, 0.02)
	want(m, "It costs", "Nothing of ndcg@10, which gains 1.00 %")

	for x, text := range map[float64]string{0.00001: "0.00 %", -0.00001: "0.00 %", 0.0012: "+0.12 %", -0.0012: "−0.12 %"} {
		if got := signedPercent(x); got != text {
			t.Errorf("%g is %q, want %q", x, got, text)
		}
	}

	m.Remedies[0].Closed = figureOf(0.1, -0.4, 0.6)
	m.Choose()
	want(m, "Next", "None of these moves this gap")
	want(m, "The nearest", "")
	m.Remedies = nil
	m.NotTried = []Untried{{"fresh", "nothing says which items are new"}}
	m.Choose()
	want(m, "Next", "No remedy was tried: nothing says which items are new: declare what is missing")
	low := -0.1
	m.Stands.Gap.Low = &low
	want(m, "The gap", "That may be chance.")
	want(m, "Next", "Measure before anything is changed")
	m.Stands.Gap = Figure{}
	want(m, "The gap", "Fewer than two groups of gender")
	want(m, "Tried", "")
}

// TestCurveLabels: numbers stand on no point and on no other number, inside of the chart; points that lie on one another share a label.
func TestCurveLabels(t *testing.T) {
	points := []curvePoint{{x: 95, y: 20, Number: 0}, {x: 95.5, y: 20.5, Number: 8}, {x: 96, y: 21, Number: 9}, {x: 90, y: 20, Number: 3}, {x: 85, y: 26, Number: 14}, {x: 2, y: 2, Number: 5}}
	for _, width := range []float64{curveNarrow, curveWide} {
		labels := labelled(points, width)
		if labels[0].Text != "0, 8, 9" && labels[0].Text != "0, 8, 9, 3" || labels[0].Anchor != "end" {
			t.Errorf("in %g px: %+v", width, labels)
		}
	}
	wide := labelled(points, curveWide)
	if len(wide) != 4 || wide[3].Anchor != "start" || wide[3].DY < textHeight {
		t.Errorf("%+v: want four labels, and that in the corner to the right of its point and beneath", wide)
	}
	many := []curvePoint{{x: 50, y: 50, Number: 0, Tone: "stands"}}
	for n := range 12 {
		many = append(many, curvePoint{x: 50, y: 50, Number: n + 1, Tone: "other"})
	}
	many[9].Tone = "proposed"
	if l := labelled(many, curveNarrow); len(l) != 1 || l[0].Text != "0, 1, 9 + 10" {
		t.Errorf("thirteen in one place: %+v", l)
	}
	if labelled(nil, curveWide) != nil {
		t.Error("labels of nothing")
	}
}

// TestMitigationPage: the page says what is proposed, has every point of the curve, and needs nothing else; nothing at all makes a page, too.
func TestMitigationPage(t *testing.T) {
	m := curve()
	m.Remedies[0].Name = `brand <b> & co`
	m.Purpose = "close_gaps"
	m.NotTried = []Untried{{"fresh", "nothing says which items are new"}}
	m.Choose()
	var page bytes.Buffer
	if err := (&MitigationPage{Mitigation: m, Model: "home", Job: "nightly"}).WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	text := page.String()
	if got := strings.Count(text, `<circle class="p`); got != 5 {
		t.Errorf("%d points, want 5", got)
	}
	for _, want := range []string{"brand &lt;b&gt; &amp; co", "under the purpose close_gaps", "nothing says which items are new", "−0.25\u00a0%", "AWRF brand"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, never := range []string{"<script", "http://", "https://", "NaN", "%!"} {
		if strings.Contains(text, never) {
			t.Errorf("the page holds %q", never)
		}
	}
	empty := &MitigationPage{Mitigation: &Mitigation{Metric: "ndcg@10", Cohort: "gender"}}
	empty.Choose()
	if err := empty.WriteHTML(&page); err != nil {
		t.Error(err)
	}
}
