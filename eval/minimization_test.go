package eval

import (
	"bytes"
	"html"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/storage/table"
)

func TestShareOf(t *testing.T) {
	for _, c := range []struct {
		n, all int
		want   string
	}{
		{0, 100, "0.0 %"},
		{1, 100, "under 11.0 %"},
		{10, 100, "under 11.0 %"},
		{11, 100, "11.0 %"},
		{89, 100, "89.0 %"},
		{90, 100, "over 89.0 %"}, // the other ten could be told
		{99, 100, "over 89.0 %"},
		{100, 100, "100.0 %"},
		{5, 10, "under 100.0 %"}, // of ten people nothing is told
		{10, 10, "under 100.0 %"},
		{0, 0, "under 100.0 %"},
		{0, 11, "0.0 %"},
		{11, 11, "100.0 %"},
		{6, 12, "under 100.0 %"},
		{11, 22, "50.0 %"},
		{12, 22, "over 50.0 %"},
	} {
		if got := ShareOf(c.n, c.all).String(); got != c.want {
			t.Errorf("%d of %d: %s, want %s", c.n, c.all, got, c.want)
		}
	}
	if !ShareOf(20, 20).All() || ShareOf(19, 20).All() || ShareOf(5, 5).All() {
		t.Error("all is everybody of enough people")
	}
}

// TestShareOfGivesNobodyAway: from what is told, no count of 1 to 10 people on either side can be told from all others.
func TestShareOfGivesNobodyAway(t *testing.T) {
	for all := range 60 {
		told := map[string][]int{}
		for n := range all + 1 {
			s := ShareOf(n, all).String()
			told[s] = append(told[s], n)
		}
		for s, ns := range told {
			for _, n := range ns {
				if few := n > 0 && n < MinCell || all-n > 0 && all-n < MinCell; few && len(ns) < min(all, MinCell-1) {
					t.Errorf("of %d people, %q says that it is one of %v", all, s, ns)
				}
			}
		}
	}
}

func figureOf(value, low, high float64) Figure { return Figure{&value, &low, &high} }

func TestWorthJudge(t *testing.T) {
	for _, c := range []struct {
		loss Figure
		want WorthVerdict
	}{
		{figureOf(0.02, 0.011, 0.03), Needed},
		{figureOf(0.02, 0.01, 0.03), Unclear}, // it touches the margin
		{figureOf(0.004, -0.001, 0.0099), Droppable},
		{figureOf(-0.02, -0.03, -0.01), Droppable},
		{figureOf(0.004, -0.001, 0.02), Unclear},
		{Figure{}, Unclear},
	} {
		w := Worth{Loss: c.loss}
		if w.Judge(0.01); w.Verdict != c.want {
			t.Errorf("%v: %s, want %s", c.loss, w.Verdict, c.want)
		}
	}
	if got := (&Worth{Loss: figureOf(0.003, 0.001, 0.005)}).Costs("ndcg@10"); got != "costs 0.3 % ± 0.2 % ndcg@10" {
		t.Error(got)
	}
	if got := (&Worth{Loss: figureOf(-0.012, -0.02, -0.004)}).Costs("ndcg@10"); got != "gains 1.2 % ± 0.8 % ndcg@10" {
		t.Error(got)
	}
}

// TestRelativeLoss: 8 people lose nothing of 1 each, and 4 lose a half of it: 2 of 12, with the error worked out by hand.
func TestRelativeLoss(t *testing.T) {
	var own, standing []float64
	for i := range 14 {
		switch {
		case i < 8:
			own, standing = append(own, 1), append(standing, 1)
		case i < 12:
			own, standing = append(own, 0.5), append(standing, 1)
		case i == 12:
			own, standing = append(own, math.NaN()), append(standing, 1) // was not asked
		default:
			own, standing = append(own, 0), append(standing, 0)
		}
	}
	got, n := RelativeLoss(own, standing, func(row int) bool { return row < 13 })
	// r = 2/12; residuals: eight of −1/6, four of 1/2 − 1/6 = 1/3: 8/36 + 4/9 = 2/3; times 12/11; half an interval 1.96·√(8/11)/12.
	half := z95 * math.Sqrt(8.0/11) / 12
	if n != 12 || math.Abs(*got.Value-2.0/12) > 1e-12 || math.Abs(*got.High-*got.Value-half) > 1e-12 || math.Abs(*got.Value-*got.Low-half) > 1e-12 {
		t.Errorf("%v (%v to %v) of %d", *got.Value, *got.Low, *got.High, n)
	}
	if few, n := RelativeLoss(own, standing, func(row int) bool { return row < 10 }); few.Value != nil || n != 10 {
		t.Error("the loss of ten people is told")
	}
	if none, _ := RelativeLoss(make([]float64, 20), make([]float64, 20), nil); none.Value != nil {
		t.Error("a share of nothing")
	}
}

func ledgerOf() *Minimization {
	m := &Minimization{
		Metric: "ndcg@10", Margin: 0.005, People: 2000, Asked: 700, Sampled: true, Standing: figureOf(0.4, 0.38, 0.42),
		Rows: []Worth{
			{Family: "events", Name: "<b>device</b>", Verdict: Unread, Used: []string{"view activity"}, Cost: PrivacyCost{People: 2000, Unique: ShareOf(5, 2000), Small: ShareOf(400, 2000)}, Says: "it is not read"},
			{Family: "history", Name: "90d", Verdict: Droppable, Loss: figureOf(0.003, 0.001, 0.0045), Cost: PrivacyCost{People: 1990, Unique: ShareOf(1800, 1990), Small: ShareOf(1985, 1990)}, Says: "storing 90 days instead of 364 days costs 0.3 % ± 0.2 % ndcg@10", Groups: []GroupLoss{
				{"age", "25-34", 300, figureOf(0.001, -0.002, 0.004)}, {"age", "65+", 60, figureOf(0.02, 0.004, 0.036)},
			}},
			{Family: "history", Name: "7d", Verdict: Needed, Loss: figureOf(0.3, 0.28, 0.32), Says: "storing 7 days"},
			{Family: "subjects", Name: "age", Sensitive: true, Verdict: NotReached, Cost: PrivacyCost{People: 2000, Unique: ShareOf(0, 2000), Coarser: []Coarser{{To: "one significant digit", Unique: ShareOf(0, 2000)}}}},
		},
	}
	m.Proposal = &Proposal{Drop: []string{"storing 90 days instead of 364 days"}, Judged: m.Rows[1]}
	m.Says = m.Headline()
	return m
}

func TestLedgerHeadline(t *testing.T) {
	m := ledgerOf()
	if m.Says != "storing 90 days instead of 364 days costs 0.3 % ± 0.2 % ndcg@10" {
		t.Error(m.Says)
	}
	m.Proposal = nil
	if got := m.Headline(); got != "nothing is proposed: of 4 things that could be left out 1 is needed, 1 droppable, 1 not reached" {
		t.Error(got)
	}
	if g := m.Rows[1].Hardest(); g == nil || g.Level != "65+" {
		t.Errorf("the group that loses most: %+v", g)
	}
}

// TestLedgerHeading: of several things the heading says how many and what that costs at most, and the list of them stands under it; of one it says which.
func TestLedgerHeading(t *testing.T) {
	m := ledgerOf()
	page := func() string {
		var out bytes.Buffer
		if err := m.WriteHTML(&out, MinimizationHead{Job: "nightly", Model: "home"}); err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(out.String(), "\u00a0", " ")
	}
	if text := page(); !strings.Contains(text, `<p class="says">Storing 90 days instead of 364 days costs`) || strings.Count(text, "Storing 90 days") != 1 {
		t.Error("the heading is not what is proposed, once")
	}
	m.Proposal.Drop = append(m.Proposal.Drop, "not reading the column device of events")
	m.Says = m.Headline()
	if text := page(); !strings.Contains(text, `<p class="says">2 things can go: without them lists lose no more than 0.5 % of ndcg@10</p>`) || !strings.Contains(text, "<li>Storing 90 days") {
		t.Errorf("the heading of several: %s", m.Says)
	}
	m.Proposal.Judged.Verdict = Unclear
	if text := page(); strings.Contains(text, "2 things can go") {
		t.Error("what is undecided is said to cost nothing")
	}
}

func TestLedgerLink(t *testing.T) {
	made := time.Date(2026, 3, 1, 4, 0, 0, 0, time.UTC)
	f := ledgerOf().Link("minimization/nightly/2026-02-28/abc", made, made.Add(50*time.Hour), table.Interval{End: made})
	want := "Looked at 2 days ago, over data up to 2026-03-01 04:00 UTC: storing 90 days instead of 364 days costs 0.3 % ± 0.2 % ndcg@10."
	if got := f.Sentence(); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if len(f.Droppable) != 1 || len(f.Needed) != 1 || f.Open() != "1 not reached in the time there was" {
		t.Errorf("%+v: %s", f, f.Open())
	}
}

// TestLedgerPage: the page stands by itself, says what the table says, and takes no markup from a name.
func TestLedgerPage(t *testing.T) {
	var page, md bytes.Buffer
	m := ledgerOf()
	if err := m.WriteHTML(&page, MinimizationHead{Job: "nightly", Model: "home", Stopped: "budget"}); err != nil {
		t.Fatal(err)
	}
	if err := m.WriteMarkdown(&md); err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(html.UnescapeString(page.String()), "\u00a0", " ")
	for _, want := range []string{
		"storing 90 days instead of 364 days costs 0.3 % ± 0.2 % ndcg@10", "declared sensitive", "under 0.6 %", "over 99.4 %", "Read by view activity too.",
		"age 65+ (n 60) loses most: 2.0 % (0.4 % to 3.6 %)", "700 of the 2,000 people", "a sample", "one significant digit: 0.0 %",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	for _, not := range []string{"<b>device", "<script", "http://", "https://", "%!"} {
		if strings.Contains(page.String(), not) {
			t.Errorf("the page has %q", not)
		}
	}
	if got := strings.ReplaceAll(md.String(), "\u00a0", " "); !strings.Contains(got, "| length of history: 90d | ✓ droppable | 0.3 % | 0.1 % to 0.4 % | age 65+: 2.0 % | 1,990 |") {
		t.Error(got)
	}
}

// TestSpared: what is done without is named, also where a row is named by what is kept, and what is not read costs nothing that was measured.
func TestSpared(t *testing.T) {
	for _, c := range []struct{ family, name, want string }{
		{"history", "7d", "history beyond 7d"},
		{"history", "last 20", "history beyond the last 20 events of each person"},
		{"history", "random 5", "history beyond random 5 events of each person"},
		{"history", "last 1", "history beyond the last event of each person"},
		{"history", "random 1", "history beyond one random event of each person"},
		{"items", "brand", "items brand"},
	} {
		w := Worth{Family: c.family, Name: c.name, Verdict: Needed}
		if got := w.Spared(); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.family, c.name, got, c.want)
		}
		m := Minimization{Rows: []Worth{w}}
		if f := m.Link("key", time.Time{}, time.Time{}, table.Interval{}); len(f.Needed) != 1 || f.Needed[0] != c.want {
			t.Errorf("needed: %q", f.Needed)
		}
	}
	zero := 0.0
	w := Worth{Verdict: Unread, Loss: Figure{Value: &zero, Low: &zero, High: &zero}}
	if got := w.Costs("ndcg@10"); strings.Contains(got, "±") || !strings.Contains(got, "does not read it") {
		t.Errorf("what is not read %q", got)
	}
}
