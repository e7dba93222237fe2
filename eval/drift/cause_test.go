package drift

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/storage/table"
)

// visitor is one subject of a planted cause: a level, a price and how many events.
type visitor struct {
	subject int64
	level   string
	price   float64
	events  int
	hours   [2]int // of its events, half-open
}

// planted makes events of visitors: level and price of each are its own, with some noise.
func planted(seed uint64, all []visitor) (b *Batch, hours []int) {
	r := rand.New(rand.NewPCG(seed, 9))
	level, price := &table.Column{}, &table.Column{}
	for _, v := range all {
		for range v.events {
			b, l := v.price*(0.9+0.2*r.Float64()), v.level
			if r.Float64() < 0.05 {
				l = "other"
			}
			level.Str, price.Float = append(level.Str, l), append(price.Float, b)
			hours = append(hours, v.hours[0]+r.IntN(v.hours[1]-v.hours[0]))
		}
	}
	b = &Batch{Cols: []*table.Column{level, price}}
	for _, v := range all {
		for range v.events {
			b.Unit = append(b.Unit, v.subject)
		}
	}
	return b, hours
}

// population is n visitors from subject first on: half look at "app", half at "web", at prices of 5 to 50.
func population(first, n int, change func(i int, v *visitor)) (out []visitor) {
	for i := range n {
		r := rand.New(rand.NewPCG(uint64(first+i), 3))
		v := visitor{subject: int64(mix(uint64(first + i))), level: []string{"app", "web"}[i%2], price: 5 * math.Exp(2.3*r.Float64()), events: 2 + r.IntN(6), hours: [2]int{0, 24}}
		if change != nil {
			change(i, &v)
		}
		out = append(out, v)
	}
	return out
}

// causes compares two populations and returns the called columns with what they are put down to.
func causes(t *testing.T, was, is []visitor, x Circumstances) map[string]Cause {
	t.Helper()
	fields := []Field{{Name: "level", Text: true, Group: EventsGroup}, {Name: "price", Group: EventsGroup}}
	ref, refHours := planted(1, was)
	cur, curHours := planted(2, is)
	l := NewLearner(fields, 0)
	l.Add(ref)
	a, b := NewScan(l.Specs()), NewScan(l.Specs())
	a.Add(ref)
	b.Add(cur)
	r, err := Compare(a.Summaries(), b.Summaries(), Options{Seed: 1, Replicates: 199})
	if err != nil {
		t.Fatal(err)
	}
	specs := r.Specs(EventsGroup)
	pick := func(from *Batch) *Batch {
		out := &Batch{Unit: from.Unit}
		for _, s := range specs {
			out.Cols = append(out.Cols, from.Cols[map[string]int{"level": 0, "price": 1}[s.Name]])
		}
		return out
	}
	p := NewPanel(specs)
	p.Count(InReference, ref.Unit)
	p.Count(InCurrent, cur.Unit)
	p.Add(InReference, pick(ref), refHours)
	p.Add(InCurrent, pick(cur), curHours)
	out := map[string]Cause{}
	for i := range r.Columns {
		if c := &r.Columns[i]; c.Verdict == Drifted {
			out[c.Name] = p.Explain(c, x)
		}
	}
	return out
}

// TestCauses plants one cause at a time, and wants it named, with its evidence.
func TestCauses(t *testing.T) {
	usual := population(0, 600, nil)
	consent := ConsentRate("recommend", []Rate{{900, 1000}, {905, 1000}, {898, 1000}, {902, 1000}, {899, 1000}}, Rate{600, 1000})
	withdrawn, err := Compare(nil, nil, Options{}, consent)
	if err != nil || withdrawn.Columns[0].Verdict != Drifted {
		t.Fatalf("a consent rate that falls by a third is %+v, %v", withdrawn, err)
	}
	for _, c := range []struct {
		name   string
		is     []visitor
		x      Circumstances
		column string
		kind   CauseKind
		says   string
	}{
		{"values are lost", population(0, 600, func(i int, v *visitor) {
			if i%5 == 0 {
				v.price = math.NaN()
			}
		}), Circumstances{}, "price (share without a value)", UpstreamBreak, "have lost their value"},
		{"levels are lost", population(0, 600, func(i int, v *visitor) {
			if i%4 < 2 {
				v.level = ""
			}
		}), Circumstances{}, "level", UpstreamBreak, "have lost their value"},
		{"cents for euros", population(0, 600, func(_ int, v *visitor) { v.price *= 100 }), Circumstances{}, "price", UpstreamBreak, "a factor of 100"},
		{"inches for centimetres", population(0, 600, func(_ int, v *visitor) { v.price /= 2.54 }), Circumstances{}, "price", UpstreamBreak, "inches"},
		{"a level is renamed", population(0, 600, func(_ int, v *visitor) { v.level = strings.Replace(v.level, "web", "www", 1) }), Circumstances{}, "level", UpstreamBreak, `"web" is gone`},
		{"prices rise by half", population(0, 600, func(_ int, v *visitor) { v.price *= 1.4 }), Circumstances{}, "price", BehaviourShift, "the same people do otherwise"},
		{"the same people move to the app", population(0, 600, func(i int, v *visitor) {
			if i%3 > 0 {
				v.level = "app"
			}
		}), Circumstances{}, "level", BehaviourShift, "the same people do otherwise"},
		{"others come who use the app", append(population(0, 600, nil), population(9000, 600, func(_ int, v *visitor) { v.level = "app" })...), Circumstances{}, "level", PopulationShift, "others came"},
		{"those of the app become more active", population(0, 600, func(_ int, v *visitor) {
			if v.level == "app" {
				v.events *= 4
			}
		}), Circumstances{}, "level", PopulationShift, "became more active"},
		{"those of the web withdraw", population(0, 600, func(i int, v *visitor) {
			if v.level == "web" && i%8 != 1 {
				v.events = 0
			}
		}), Circumstances{Consent: &withdrawn.Columns[0]}, "level", ConsentShift, "may be used for recommend; 90.1 % before"},
		{"the window is cut", append(population(0, 600, nil), population(9000, 600, func(_ int, v *visitor) { v.level = "app" })...), Circumstances{Retention: "The window was cut."}, "level", RetentionCut, "was cut"},
		{"nobody is in both", population(5000, 600, func(_ int, v *visitor) { v.price *= 1.7 }), Circumstances{}, "price", UnclearCause, "under 11 are in both"},
	} {
		got, ok := causes(t, usual, c.is, c.x)[c.column]
		if !ok || got.Kind != c.kind || !strings.Contains(got.Says, c.says) {
			t.Errorf("%s: %s is put down to %+v, want %s: %q", c.name, c.column, got, c.kind, c.says)
		}
	}
}

// TestUnits: a unit is told of small days too, whose quantiles are off by chance, and of values that can't be told from a power of ten for sure.
func TestUnits(t *testing.T) {
	cents := func(v float64) float64 { return math.Round(100*v) / 100 }
	for name, draw := range map[string]func(*rand.Rand) float64{
		"of a list of prices": func(r *rand.Rand) float64 { return cents(3 + 1.1*float64(r.IntN(97))) },
		"of few prices":       func(r *rand.Rand) float64 { return []float64{0.99, 1.49, 1.99, 4.99, 9.99, 19.99, 24.99}[r.IntN(7)] },
		"that spread":         func(r *rand.Rand) float64 { return 20 * math.Exp(0.6*r.NormFloat64()) },
		"half of them zero":   func(r *rand.Rand) float64 { return float64(r.IntN(2)) * (5 + 50*r.Float64()) },
	} {
		for says, by := range map[string]float64{
			"a factor of 100 (": 100, "a factor of 1000 (": 1000, "a factor of 0.01 (": 0.01, "a factor of 60, as between minutes": 60, "inches": 2.54, "hours and seconds": 1. / 3600,
		} {
			r := rand.New(rand.NewPCG(7, 7))
			rows := func(subjects, each int, by float64) *Batch {
				b := &Batch{Cols: []*table.Column{{}}}
				for s := range subjects {
					for range each {
						b.Unit = append(b.Unit, int64(mix(uint64(s))))
						b.Cols[0].Float = append(b.Cols[0].Float, by*draw(r))
					}
				}
				return b
			}
			ref, cur := rows(800, 6, 1), rows(600, 1, by)
			l := NewLearner([]Field{{Name: "price", Group: EventsGroup}}, 0)
			l.Add(ref)
			a, b := NewScan(l.Specs()), NewScan(l.Specs())
			a.Add(ref)
			b.Add(cur)
			got, err := Compare(a.Summaries(), b.Summaries(), Options{Seed: 1, Replicates: 199})
			if err != nil || len(got.Specs(EventsGroup)) != 1 {
				t.Fatalf("%s, × %g: %+v, %v", name, by, got, err)
			}
			p := NewPanel(got.Specs(EventsGroup))
			for side, rows := range []*Batch{ref, cur} {
				p.Count(Side(side), rows.Unit)
			}
			for side, rows := range []*Batch{ref, cur} {
				p.Add(Side(side), rows, nil)
			}
			if cause := p.Explain(&got.Columns[0], Circumstances{}); cause.Kind != UpstreamBreak || !strings.Contains(cause.Says, says) {
				t.Errorf("values %s, × %g, are put down to %+v, want %q", name, by, cause, says)
			}
		}
	}
}

// TestLostHours: levels that come at an hour of the day vanish with the hour.
func TestLostHours(t *testing.T) {
	night := func(i int, v *visitor) {
		if v.hours = [2]int{8, 20}; i%2 == 0 {
			v.hours, v.price = [2]int{2, 5}, 3*v.price
		}
	}
	was := population(0, 600, night)
	is := population(0, 600, func(i int, v *visitor) {
		if night(i, v); i%2 == 0 {
			v.events = 0
		}
	})
	got := causes(t, was, is, Circumstances{WholeDays: true})["price"]
	if got.Kind != UpstreamBreak || !strings.Contains(got.Says, "the hours 2, 3, 4 of the day") {
		t.Errorf("three lost hours are put down to %+v", got)
	}
	if got := causes(t, was, is, Circumstances{})["price"]; got.Kind == UpstreamBreak {
		t.Errorf("without whole days, lost hours are put down to %+v", got)
	}
}

// TestMix follows four periods by hand.
func TestMix(t *testing.T) {
	m := NewMix(2)
	add := func(subjects []int64, items ...string) []*Summary {
		dict := &table.Column{Dict: items}
		for i := range subjects {
			dict.Code = append(dict.Code, int32(i%len(items)))
		}
		m.Add(subjects, dict)
		return m.EndPeriod()
	}
	if add([]int64{1, 2, 3}, "a", "b") != nil || add([]int64{2, 3, 4}, "b") != nil {
		t.Error("columns without two periods before")
	}
	got := add([]int64{4, 5}, "b", "c")
	// Of subjects 4 and 5, 5 is new; of 1 to 4, 4 came back. Of items b and c, c is new; of a and b, b is taken again.
	for i, want := range []struct {
		name  string
		bins  []int64
		label string
	}{
		{NewSubjectsColumn, []int64{1, 1, 0}, "new"},
		{ReturningSubjectsColumn, []int64{1, 3, 0}, "came back"},
		{NewItemsColumn, []int64{1, 1, 0}, "new"},
		{ReturningItemsColumn, []int64{1, 1, 0}, "not taken"},
	} {
		s := got[i]
		if s.spec.Name != want.name || fmt.Sprint(s.Result().Bins) != fmt.Sprint(want.bins) || s.spec.Levels[0] != want.label {
			t.Errorf("%s %v: %v, want %v", s.spec.Name, s.spec.Levels, s.Result().Bins, want)
		}
	}
	// Subject 1 was last there three periods ago, and is new again.
	if s := add([]int64{1}, "a")[0]; fmt.Sprint(s.Result().Bins) != "[1 0 0]" {
		t.Errorf("who was away for long: %v", s.Result().Bins)
	}
	if names := MixSpecs(); len(names) != 4 || names[3].Name != ReturningItemsColumn || names[3].Unit != "items" {
		t.Errorf("specs %+v", names)
	}
}

// TestConsentRate against a hand-computed prediction: shares 0.5, 0.6, 0.5, 0.6 have mean 0.55 and deviation 0.057735; 0.7 is 0.15 away, and
// t = 0.15/(0.057735·√1.25) = 2.3238, whose two-sided p with 3 degrees of freedom is 0.1027.
func TestConsentRate(t *testing.T) {
	before := []Rate{{5000, 10000}, {6000, 10000}, {5000, 10000}, {6000, 10000}}
	m := ConsentRate("p", before, Rate{7000, 10000})
	if math.Abs(m.Effect-0.15) > 1e-12 || math.Abs(m.P-0.1027) > 5e-4 {
		t.Errorf("effect %v, p %v", m.Effect, m.P)
	}
	for name, m := range map[string]Measured{
		"three intervals": ConsentRate("p", before[:3], Rate{7, 10}), "none": ConsentRate("p", nil, Rate{7, 10}), "nothing read": ConsentRate("p", before, Rate{}),
		"empty intervals": ConsentRate("p", append([]Rate{{}, {}}, before[:3]...), Rate{7, 10}),
	} {
		if r, err := Compare(nil, nil, Options{}, m); err != nil || r.Columns[0].Verdict != Insufficient {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if m := ConsentRate("p", []Rate{{9, 10}, {9, 10}, {9, 10}, {9, 10}}, Rate{1, 10}); !(m.P < 0.01) {
		t.Errorf("shares that never changed, and then do: p %v", m.P)
	}
}

// TestFigure: 0.2 ± 0.003 and 0.17 ± 0.004 are 6 standard errors apart, and a seventh; 0.199 is little.
func TestFigure(t *testing.T) {
	r, err := Compare(nil, nil, Options{},
		Figure("fell", "quality", Estimate{0.2, 0.003, 900}, Estimate{0.17, 0.004, 800}),
		Figure("held", "quality", Estimate{0.2, 0.003, 900}, Estimate{0.199, 0.004, 800}),
		Figure("unknown", "quality", Estimate{math.NaN(), 0, 900}, Estimate{0.199, 0.004, 800}),
		Figure("no spread", "quality", Estimate{0.2, 0, 900}, Estimate{0.1, 0, 800}))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []Verdict{Drifted, Stable, Insufficient, Insufficient} {
		if c := r.Columns[i]; c.Verdict != want {
			t.Errorf("%s is %s, want %s: %s", c.Name, c.Verdict, want, c.Says)
		}
	}
	if fell := r.Columns[0]; math.Abs(*fell.Effect-0.15) > 1e-12 || !strings.Contains(fell.Says, "It is 0.17, and was 0.2.") {
		t.Errorf("%+v", fell)
	}
}
