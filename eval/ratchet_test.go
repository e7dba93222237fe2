package eval

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestRatchetOfGaps: by hand. The gap of home is 0.055 − 0.040 = 0.015, that of again+popular 0.055 − 0.043 = 0.012, each value known to 0.002; relative to 0.05 and
// 0.045. Measured of the same people, so that their difference in a group is known to 0.0005, the first is larger by 0.003 ± 1.96·√2·0.0005 = 0.0016 to 0.0044.
func TestRatchetOfGaps(t *testing.T) {
	for _, tt := range []struct {
		name   string
		apart  float64 // 0: not known
		live   float64 // of again+popular in the group that is served worst
		effect Effect
		says   string
	}{
		{"surely larger", 0.0005, 0.043, Refuses, "That of again+popular (0.0120) is smaller: the difference is 0.0030 (95 % interval 0.0016 to 0.0044)."},
		{"larger by what chance does", 0.002, 0.043, Accepted, "That of again+popular (0.0120) is not surely smaller: the difference is 0.0030 (95 % interval −0.0025 to 0.0085): accepted as a risk."},
		{"of errors that are not known to go together", 0, 0.043, Accepted, "is not surely smaller: the difference is 0.0030 (95 % interval −0.0048 to 0.0108): accepted as a risk."},
		{"smaller", 0.0005, 0.039, Accepted, "It is no larger than that of again+popular (0.0160): accepted as a risk."},
		{"the same, and known exactly", 1e-300, 0.040, Accepted, "It is no larger than that of again+popular (0.0150): accepted as a risk."},
	} {
		q := measured(false)
		f := q.Cohort("region", "again+popular", "ndcg@10")
		f.ByGroup[1].Value = &tt.live
		for g := range f.ByGroup {
			if tt.apart > 0 {
				f.ByGroup[g].apart = &tt.apart
			}
		}
		r := judgeAll([]Budget{{Metric: "ndcg@10", Cohort: "region", AbsoluteGap: ptr(0.005)}}, q, nil)[0]
		if r.Verdict != Fail || r.Effect != tt.effect || !strings.Contains(r.Says, tt.says) {
			t.Errorf("%s: %s, %s: %q\nwant %s: …%s…", tt.name, r.Verdict, r.Effect, r.Says, tt.effect, tt.says)
		}
	}
}

// TestRatchetOfWhatIsNotCompared: figures of all lists together are in no comparison, and their errors are taken as independent: 0.30 ± 0.03 under 0.35 ± 0.04 is within ± 0.05.
func TestRatchetOfWhatIsNotCompared(t *testing.T) {
	for _, tt := range []struct {
		live float64
		want Effect
	}{{0.345, Accepted}, {0.355, Refuses}, {0.29, Accepted}} {
		q := &Quality{Headline: "ndcg@10", K: []int{10}, MinN: 30}
		for _, c := range []struct {
			name        string
			role        Role
			value, half float64
		}{{"home", Candidate, 0.30, 0.03}, {"live v3", Live, tt.live, 0.04}} {
			q.Contenders = append(q.Contenders, ContenderQuality{Name: c.name, Role: c.role, Estimates: []Estimate{
				{Metric: "coverage@10", Split: All, N: 500, Value: &c.value, Low: ptr(c.value - c.half), High: ptr(c.value + c.half)},
			}})
		}
		if r := judgeAll([]Budget{{Metric: "coverage@10", AtLeast: ptr(0.5)}}, q, nil)[0]; r.Verdict != Fail || r.Effect != tt.want {
			t.Errorf("live at %v: %s, %s: %s", tt.live, r.Verdict, r.Effect, r.Says)
		}
	}
}

// TestGapDeficitHolds: the interval of the difference of two gaps holds the true one at least 95 times in 100, whatever the groups are: alike, with a gap that is
// the same in both, in other groups, or larger in one.
func TestGapDeficitHolds(t *testing.T) {
	const nights, se, with = 2000, 0.01, 0.7 // with: the correlation of the two figures of a group
	for name, truth := range map[string][2][]float64{
		"all alike":              {{0.3, 0.3, 0.3, 0.3}, {0.3, 0.3, 0.3, 0.3}},
		"two groups, the same":   {{0.3, 0.27}, {0.3, 0.27}},
		"one group worse":        {{0.3, 0.3, 0.3, 0.25}, {0.3, 0.3, 0.3, 0.25}},
		"the other way round":    {{0.3, 0.25}, {0.25, 0.3}},
		"larger":                 {{0.3, 0.3, 0.3, 0.2}, {0.3, 0.3, 0.3, 0.25}},
		"other groups are worst": {{0.3, 0.31, 0.25, 0.3}, {0.25, 0.31, 0.3, 0.3}},
	} {
		rng := rand.New(rand.NewPCG(3, uint64(len(name))))
		mine, theirs := served{value: truth[0]}, served{value: truth[1]}
		want := mine.gap() - theirs.gap()
		missed, worse := 0, 0
		for range nights {
			var g gaps
			for i := range truth[0] {
				both := math.Sqrt(with) * rng.NormFloat64()
				own := func() float64 { return se * (both + math.Sqrt(1-with)*rng.NormFloat64()) }
				g.mine.add(truth[0][i]+own(), se*se)
				g.theirs.add(truth[1][i]+own(), se*se)
				g.apart = append(g.apart, 2*(1-with)*se*se)
			}
			d := g.deficit()
			if d.low > d.value+1e-12 || d.high < d.value-1e-12 {
				t.Fatalf("%s: %+v does not hold itself", name, d)
			}
			if d.low > want || d.high < want {
				missed++
			}
			if d.worse() {
				worse++
			}
		}
		if missed > nights*6/100 { // 5 % and three standard errors of the count
			t.Errorf("%s: the interval misses in %d of %d nights", name, missed, nights)
		}
		if want == 0 && worse > nights*35/1000 || want > 0.04 && worse < nights/2 {
			t.Errorf("%s: called worse in %d of %d nights", name, worse, nights)
		}
	}
}
