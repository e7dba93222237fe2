package eval

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// figuresOf prints the figures of a group in their order.
func figuresOf(g TrustGroup) string {
	var out []string
	for i := range g.Figures {
		out = append(out, g.Figures[i].Print())
	}
	return strings.Join(out, " ")
}

// TestTellTrust: what is small is withheld, and what would give it away, and no more.
func TestTellTrust(t *testing.T) {
	rate := func(n, of int) TrustTally { return TrustTally{Metric: TrustConsent, Purpose: "p", N: n, Of: of} }
	flows := func(given, withdrawn, expired int) []TrustTally {
		return []TrustTally{{Metric: TrustGiven, N: given}, {Metric: TrustWithdrawn, N: withdrawn}, {Metric: TrustExpired, N: expired}}
	}
	for _, c := range []struct {
		name  string
		whole []TrustTally
		want  string
	}{
		{"a rate", []TrustTally{rate(75, 100)}, "75.0 %"},
		{"all of them", []TrustTally{rate(75, 75)}, "100.0 %"},
		{"none of them", []TrustTally{rate(0, 75)}, "0.0 %"},
		{"few of them", []TrustTally{rate(10, 75)}, "withheld"},
		{"all but a few", []TrustTally{rate(65, 75)}, "withheld"},
		{"nobody at all: no rate", []TrustTally{rate(0, 0)}, "—"},
		{"not counted", []TrustTally{{Metric: TrustConsent, Gap: true}}, "—"},
		{"none", []TrustTally{{Metric: TrustErasures}}, "0"},
		{"one", []TrustTally{{Metric: TrustErasures, N: 1}}, "withheld"},
		{"eleven", []TrustTally{{Metric: TrustErasures, N: 11}}, "11"},
		{"events of few", []TrustTally{{Metric: GrowthConversions, N: 3, Of: 100, Value: 400}}, "withheld"},
		{"events", []TrustTally{{Metric: GrowthConversions, N: 30, Of: 100, Value: 1400}}, "1,400"},
		{"what is of nobody", []TrustTally{{Metric: TrustColumns, Value: 0.5}, {Metric: TrustHeld, Value: 3}}, "50.0 % 3"},
		{"flows", flows(20, 15, 12), "20 15 12"},
		{"one flow is small, and the smallest other would tell it", flows(20, 3, 12), "20 withheld withheld"},
		{"a zero tells nothing", flows(20, 3, 0), "withheld withheld 0"},
		{"two small ones that are eleven together", flows(20, 6, 5), "20 withheld withheld"},
		{"nothing happened", flows(0, 0, 0), "0 0 0"},
	} {
		if got := figuresOf(TellTrust(c.whole, nil)[0]); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}

	active := func(ns ...int) (out [][]TrustTally) {
		for _, n := range ns {
			out = append(out, []TrustTally{{Metric: GrowthActive, N: n}})
		}
		return out
	}
	with := func(levels [][]TrustTally, ts ...TrustTally) [][]TrustTally {
		for l := range levels {
			levels[l] = append(levels[l], ts[l])
		}
		return levels
	}
	for _, c := range []struct {
		name   string
		levels [][]TrustTally
		want   []string
	}{
		{"sizes", active(40, 50, 20), []string{"40", "50", "20"}},
		{"one is small, and so is another withheld", active(40, 50, 3), []string{"withheld", "50", "withheld"}},
		{"an empty one hides nobody", active(40, 50, 0), []string{"40", "50", "0"}},
		{"a rate whose other side is small", with(active(40, 50, 0), rate(35, 40), rate(43, 50), rate(0, 0)), []string{"40 withheld", "50 withheld", "0 —"}},
		{"a rate does not tell of how many it is where that is withheld", with(active(40, 50, 3), rate(20, 40), rate(25, 50), rate(0, 3)), []string{"withheld withheld", "50 50.0 %", "withheld withheld"}},
	} {
		groups := TellTrust(sum(c.levels), []TrustCohort{{Name: "c", Levels: []string{"a", "b", Missing}, Tallies: c.levels}})
		for l, want := range c.want {
			if got := figuresOf(groups[1+l]); got != want || groups[1+l].Cohort != "c" {
				t.Errorf("%s: level %d is %q, want %q", c.name, l, got, want)
			}
		}
	}
	hidden := TellTrust(flows(20, 3, 12), []TrustCohort{{Name: "c", Levels: []string{"a", Missing}, Tallies: [][]TrustTally{flows(20, 0, 0), flows(0, 3, 12)}}})
	if got := figuresOf(hidden[2]); got != "0 withheld withheld" {
		t.Errorf("the sum over levels would tell what is withheld of the whole: %q", got)
	}
}

// sum adds up the tallies of all levels.
func sum(levels [][]TrustTally) (whole []TrustTally) {
	for l, ts := range levels {
		for i, t := range ts {
			if l == 0 {
				whole = append(whole, t)
				continue
			}
			whole[i].N, whole[i].Of, whole[i].Value = whole[i].N+t.N, whole[i].Of+t.Of, whole[i].Value+t.Value
		}
	}
	return whole
}

// TestTellTrustGivesNobodyAway plays the one who knows all that is told: no count under MinCell follows from the whole less the levels that are told, for who
// stands behind a figure and for the others.
func TestTellTrustGivesNobodyAway(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 1))
	told, withheld := 0, 0
	for range 5000 {
		levels := make([][]TrustTally, 1+rng.IntN(5))
		names := make([]string, len(levels))
		for l := range levels {
			names[l] = fmt.Sprint(l)
			n := rng.IntN(60)
			has := 0
			if n > 0 {
				has = []int{0, n, rng.IntN(n + 1), rng.IntN(min(n, 14) + 1), n - rng.IntN(min(n, 14)+1)}[rng.IntN(5)]
			}
			levels[l] = []TrustTally{{Metric: GrowthActive, N: n}, {Metric: TrustConsent, N: has, Of: n}, {Metric: GrowthConversions, N: n - has, Of: n, Value: 7}}
		}
		whole := sum(levels)
		groups := TellTrust(whole, []TrustCohort{{Name: "c", Levels: names, Tallies: levels}})
		for i := range whole {
			left := whole[i].parts()
			cells := make([]int, len(left)) // withheld ones with somebody in them
			some := groups[0].Figures[i].Status == Told
			for l := range levels {
				f, parts := groups[1+l].Figures[i], levels[l][i].parts()
				if f.Status == Told {
					told++
					for p, n := range parts {
						left[p] -= n
						if n > 0 && n < MinCell {
							t.Fatalf("%s: a level of %d is told", f.Metric, n)
						}
					}
					continue
				}
				withheld++
				for p, n := range parts {
					if n > 0 {
						cells[p]++
					}
				}
			}
			for p, n := range left {
				if some && n > 0 && (n < MinCell || cells[p] < 2 && slices.ContainsFunc(levels, func(ts []TrustTally) bool { x := ts[i].parts()[p]; return x == n && x < MinCell })) {
					t.Fatalf("%s: %d follow from what is told: %+v\n%+v", whole[i].Metric, n, whole[i], groups)
				}
			}
		}
	}
	if told < 5000 || withheld < 5000 {
		t.Errorf("%d told and %d withheld: both sides should be tried", told, withheld)
	}
}

// TestKeepTold: a week that is counted again tells what it could not tell before, and of what it told nothing else: 2 of 42 who are gone follow from nothing.
func TestKeepTold(t *testing.T) {
	count := func(metric string, n int) TrustTally { return TrustTally{Metric: metric, N: n} }
	rate := func(n, of int) TrustTally { return TrustTally{Metric: TrustConsent, Purpose: "p", N: n, Of: of} }
	tell := func(levels []string, ts ...[]TrustTally) []TrustGroup {
		return TellTrust(sum(slices.Clone(ts)), []TrustCohort{{Name: "c", Levels: levels, Tallies: ts}})
	}
	gap := TrustTally{Metric: TrustComplaints, Gap: true}
	held := func(days float64) TrustTally { return TrustTally{Metric: TrustHeld, Value: days} }
	earlier := tell([]string{"a", "b"},
		[]TrustTally{count(GrowthActive, 42), rate(20, 42), gap, count(TrustOptOuts, 0), count(TrustErased, 3), held(7)},
		[]TrustTally{count(GrowthActive, 50), rate(0, 50), gap, count(TrustOptOuts, 0), count(TrustErased, 2), held(0)})
	complaints := func(n, of int) TrustTally { return TrustTally{Metric: TrustComplaints, N: n, Of: of} }
	now := tell([]string{"a", "b", "new"},
		[]TrustTally{count(GrowthActive, 40), rate(20, 40), complaints(15, 40), count(TrustOptOuts, 12), count(TrustErased, 13), held(9)},
		[]TrustTally{count(GrowthActive, 50), rate(0, 50), complaints(15, 50), count(TrustOptOuts, 13), count(TrustErased, 14), held(0)},
		[]TrustTally{count(GrowthActive, 30), rate(30, 30), complaints(0, 30), count(TrustOptOuts, 14), count(TrustErased, 15), held(0)})
	got := KeepTold(now, earlier)
	for g, want := range []string{"92 21.7 % 30 39 42 9", "42 47.6 % 15 12 13 9", "50 0.0 % 15 13 14 0", "— — 0 14 15 0"} {
		if f := figuresOf(got[g]); f != want {
			t.Errorf("%s: %q, want %q", got[g].Level, f, want)
		}
	}
	if f := figuresOf(KeepTold(tell([]string{"a"}, []TrustTally{count(GrowthActive, 40)}), nil)[0]); f != "40" {
		t.Errorf("counted once: %q", f)
	}
}

// TestFoldSmall: levels of which nothing is told of anybody have one row and no name, which says no more than each of them; what was folded stays withheld when the week is
// counted again.
func TestFoldSmall(t *testing.T) {
	level := func(name string, ts ...TrustTally) TrustGroup {
		hidden := make([]bool, len(ts))
		for i, t := range ts {
			hidden[i] = t.N > 0 && t.N < MinCell
		}
		return TrustGroup{Cohort: "c", Level: name, Figures: tell(ts, hidden)}
	}
	count := func(active, complaints int) []TrustTally {
		return []TrustTally{{Metric: GrowthActive, N: active}, {Metric: TrustOptOuts, N: complaints}, {Metric: TrustHeld, Value: 7}, {Metric: TrustErased, Gap: true}}
	}
	whole := TrustGroup{Figures: level("", count(60, 12)...).Figures}
	got := FoldSmall([]TrustGroup{whole, level("told", count(40, 0)...), level("one", count(1, 0)...), level("nine", count(9, 3)...), level("nobody", count(0, 0)...), level(Missing, count(2, 0)...)})
	var text []string
	for _, g := range got {
		text = append(text, g.Level+": "+figuresOf(g))
	}
	if want := []string{": 60 12 7 —", "told: 40 0 7 —", "small groups: withheld withheld 7 —", "missing: withheld 0 7 —"}; !slices.Equal(text, want) {
		t.Errorf("folded %q, want %q", text, want)
	}
	again := FoldSmall(KeepTold([]TrustGroup{whole, level("told", count(39, 0)...), level("one", count(12, 0)...)}, got))
	if len(again) != 3 || again[1].Level != "told" || figuresOf(again[1]) != "40 0 7 —" || again[2].Level != Few {
		t.Errorf("counted again: %+v", again)
	}
}

// weeksOf are four weeks of one metric of trust and one of growth; nil: a gap, below 0: withheld.
func weeksOf(rates, active []float64) *TrustFacts {
	out := &TrustFacts{Notes: []string{"something cannot be told"}}
	for w := range rates {
		week := TrustWeek{Week: fmt.Sprintf("2026-W%02d", w+1), Days: 7, Of: 7}
		var figures []TrustFigure
		for _, f := range []struct {
			metric, purpose string
			value           float64
		}{{TrustConsent, "recommend_things", rates[w]}, {GrowthActive, "", active[w]}} {
			x := TrustFigure{Metric: f.metric, Purpose: f.purpose, Status: Told, Value: &f.value}
			switch {
			case f.value < -1:
				x.Status, x.Value = Gap, nil
			case f.value < 0:
				x.Status, x.Value = Withheld, nil
			}
			figures = append(figures, x)
		}
		week.Groups = []TrustGroup{{Figures: figures}, {Cohort: "age_band", Level: "18-24", Figures: figures}, {Cohort: "age_band", Level: Missing, Figures: figures}}
		out.Weeks = append(out.Weeks, week)
	}
	return out
}

// TestTrustPage: the section has a small chart a metric, broken where there is a gap, a table of all weeks, and one of each cohort; a report without weeks has none of it.
func TestTrustPage(t *testing.T) {
	r := &Report{Run: RunFacts{Job: "nightly"}, Trust: weeksOf([]float64{0.5, -2, 0.75, 0.625}, []float64{100, 200, 1400, -1})}
	page := func() string {
		var b strings.Builder
		if err := r.WriteHTML(&b); err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(b.String(), "\u00a0", " ")
	}
	html := page()
	for _, want := range []string{
		`<section id="trust"`, `href="#trust"`, "4 weeks to 2026-W04", ">consent rate for recommend things</a>", "<b>62.5 %</b>", "50.0 % to 75.0 %", "<b>withheld</b>", "100 to 1,400",
		"<td>50.0 %</td><td>—</td><td>75.0 %</td><td>62.5 %</td>", "<td>100</td><td>200</td><td>1,400</td><td>withheld</td>", "By age band, 2026-W04", "something cannot be told", `<dt id="def-consent_rate">`,
	} {
		if !strings.Contains(html, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	rates, active := r.Trust.Lines("", "")[0].spark(), r.Trust.Lines("", "")[1].spark()
	// Week 1 stands alone, weeks 3 and 4 are joined: 0.75 on top, at 5 pixels, 0.625 in the middle.
	if len(rates.Lines) != 1 || rates.Lines[0] != (sparkLine{"65.83%", "5.0", "97.50%", "20.0"}) || !slices.Equal(rates.Dots, []sparkDot{{"2.50%", "35.0"}, {"97.50%", "20.0"}}) {
		t.Errorf("the line of rates is %+v", rates)
	}
	if len(active.Lines) != 2 || len(active.Dots) != 1 || active.Last != "withheld" {
		t.Errorf("the line of active people is %+v", active)
	}
	if got := r.Trust.Levels("age_band"); !slices.Equal(got, []string{"18-24", Missing}) || len(r.Trust.Levels("")) > 0 {
		t.Errorf("levels %q", got)
	}
	r.Trust = nil
	if strings.Contains(page(), `id="trust"`) {
		t.Error("a report without weeks has the section")
	}
}

// TestTrustNote: a tile says in how many weeks it is told, and does not call what is withheld the same.
func TestTrustNote(t *testing.T) {
	for _, c := range []struct {
		rates []float64
		want  string
	}{
		{[]float64{1, 1, 1, 1}, "the same in all weeks"},
		{[]float64{-2, 1, 1, 1}, "100.0 % in 3 weeks, a gap in 1 week"},
		{[]float64{0, -1, -1}, "0.0 % in 1 week, withheld in 2 weeks"},
		{[]float64{0.5, -2, -1, 0.75}, "50.0 % to 75.0 %, withheld in 1 week, a gap in 1 week"},
		{[]float64{0.5, 0.75}, "50.0 % to 75.0 %"},
	} {
		if got := weeksOf(c.rates, make([]float64, len(c.rates))).Lines("", "")[0].spark().Note; got != c.want {
			t.Errorf("%v: %q, want %q", c.rates, got, c.want)
		}
	}
}
