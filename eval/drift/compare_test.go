package drift

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/storage/table"
)

// shop simulates windows of events: each subject has its own rate, taste in items and kinds, and price level, kept from window to window, so
// that rows of one subject are far from independent.
type shop struct {
	r        *rand.Rand
	subjects int
	again    float64 // the share of subjects who come back in the next window
	numbers  []uint64
}

func newShop(seed uint64, subjects int) *shop {
	s := &shop{r: rand.New(rand.NewPCG(seed, 77)), subjects: subjects, again: 0.7}
	for range subjects {
		s.numbers = append(s.numbers, s.r.Uint64())
	}
	return s
}

// change is a planted drift.
type change struct {
	buys  float64 // added to the chance of a buy
	price float64 // factor on prices
	nulls float64 // share of values lost
	item  float64 // share of events that go to one new item
}

// window simulates one window of events and lets some subjects be replaced before the next.
func (s *shop) window(c change) []Event {
	var out []Event
	for i, subject := range s.numbers {
		own := rand.New(rand.NewPCG(subject, 5)) // what a subject keeps
		rate, level := math.Exp(1.5+0.8*own.NormFloat64()), math.Exp(2+0.5*own.NormFloat64())
		buyer, favourite := 0.05+0.5*own.Float64()*own.Float64(), own.IntN(300)
		device := []string{"phone", "desktop", ""}[own.IntN(3)]
		for range int(rate * (0.5 + s.r.Float64())) {
			e := Event{Subject: subject, Kind: "view", Item: fmt.Sprintf("i%03d", favourite), Value: level * (0.8 + 0.4*s.r.Float64()) * max(c.price, 1), Context: []string{device}}
			if s.r.Float64() < buyer+c.buys {
				e.Kind = "buy"
			}
			if s.r.Float64() < 0.5 {
				e.Item = fmt.Sprintf("i%03d", int(math.Abs(s.r.NormFloat64())*30))
			}
			if s.r.Float64() < c.item {
				e.Item = "i000"
			}
			if s.r.Float64() < c.nulls {
				e.Value = math.NaN()
			}
			out = append(out, e)
		}
		if s.r.Float64() > s.again {
			s.numbers[i] = s.r.Uint64()
		}
	}
	return out
}

// Event is an event as the simulations have it.
type Event struct {
	Subject    uint64
	Kind, Item string
	Value      float64
	Context    []string
}

const (
	KindColumn  = "kind"
	ValueColumn = "value"
)

const ItemColumn = "item"

var shopFields = []Field{{Name: KindColumn, Text: true}, {Name: ValueColumn}, {Name: "device", Text: true}, {Name: ItemColumn, Text: true}}

// columns of some events, in batches of a hundred.
func batches(events []Event) (out []*Batch) {
	for part := range slices.Chunk(events, 100) {
		b := &Batch{}
		kind, value, device, item := &table.Column{}, &table.Column{}, &table.Column{}, &table.Column{}
		for _, e := range part {
			b.Unit = append(b.Unit, int64(e.Subject))
			item.Str = append(item.Str, e.Item)
			kind.Str, value.Float, device.Str = append(kind.Str, e.Kind), append(value.Float, e.Value), append(device.Str, e.Context[0])
		}
		b.Cols = []*table.Column{kind, value, device, item}
		out = append(out, b)
	}
	return out
}

func learn(reference []Event) []Spec {
	l := NewEventsLearner(shopFields, int64(len(reference)))
	for _, b := range batches(reference) {
		l.Add(b)
	}
	l.EndPeriod()
	return l.Specs()
}

func scan(specs []Spec, events []Event) []*Summary {
	s := NewEventsScan(specs)
	for _, b := range batches(events) {
		s.Add(b)
	}
	return s.Summaries()
}

// compare learns from reference and compares current with it.
func compare(t *testing.T, reference, current []Event, o Options) *Report {
	t.Helper()
	plan := learn(reference)
	r, err := Compare(scan(plan, reference), scan(plan, current), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestFalseAlarms: over stationary replicates with repeated events by subjects, the test's p ≤ 0.05 in about 5 % of replicates for each column,
// and drift (which also asks for a large effect) is called in at most about 5 % of runs over all columns. In one half of the replicates most subjects are
// in both windows, in the other none. In the second half a test over rows rejects far too often: else the simulation would prove nothing.
func TestFalseAlarms(t *testing.T) {
	const replicates = 180
	rejected, tested := map[string]int{}, map[string]int{}
	called, rows := 0, 0
	for i := range replicates {
		s := newShop(uint64(1000+i), 250)
		if i%2 == 0 {
			s.again = 0
		}
		a, b := s.window(change{}), s.window(change{})
		r := compare(t, a, b, Options{Seed: uint64(i), Replicates: 199})
		for _, c := range r.Columns {
			if c.P != nil {
				tested[c.Name]++
				if *c.P <= 0.05 {
					rejected[c.Name]++
				}
			}
		}
		if len(r.Drifted()) > 0 {
			called++
		}
		if i%2 == 0 && rowTest(a, b) {
			rows++
		}
	}
	if len(tested) != 5 {
		t.Errorf("tested %v, want five columns", tested)
	}
	// With 180 tests at 5 %: 9 ± 2.9 (one standard deviation).
	for name, n := range tested {
		rate := float64(rejected[name]) / float64(n)
		t.Logf("%-20s p ≤ 0.05 in %4.1f %% of %d", name, 100*rate, n)
		if n < replicates*9/10 || rate > 0.10 {
			t.Errorf("%s: false rejections in %.1f %% of %d replicates, want about 5 %% of %d", name, 100*rate, n, replicates)
		}
	}
	rowRate := float64(rows) / (replicates / 2)
	t.Logf("drift called in %.1f %% of runs; a row-level test of kind rejects in %.1f %%", 100*float64(called)/replicates, 100*rowRate)
	if rate := float64(called) / replicates; rate > 0.07 {
		t.Errorf("drift is called in %.1f %% of stationary runs, want at most about 5 %%", 100*rate)
	}
	if rowRate < 0.12 {
		t.Errorf("a test over rows rejects in only %.1f %% of the replicates: the simulation has too little dependence to show anything", 100*rowRate)
	}
}

// rowTest is the two-proportion z-test of buys at 5 %, which takes rows for independent.
func rowTest(a, b []Event) bool {
	share := func(events []Event) (p, n float64) {
		for _, e := range events {
			if e.Kind == "buy" {
				p++
			}
		}
		return p / float64(len(events)), float64(len(events))
	}
	p, n := share(a)
	q, m := share(b)
	pool := (p*n + q*m) / (n + m)
	return math.Abs(p-q) > 1.96*math.Sqrt(pool*(1-pool)*(1/n+1/m))
}

// TestPower: planted drifts are found in at least eleven of twelve runs, and only in the columns where they were planted.
func TestPower(t *testing.T) {
	tests := []struct {
		name   string
		change change
		column string
	}{
		{"a third more events are buys", change{buys: 0.33}, KindColumn},
		{"prices half as high again", change{price: 1.5}, ValueColumn},
		{"a unit changes", change{price: 100}, ValueColumn},
		{"a tenth of the values is lost", change{nulls: 0.1}, "value (share without a value)"},
		{"a quarter of events goes to one item", change{item: 0.25}, ItemColumn},
	}
	const runs = 12
	for _, tt := range tests {
		found, elsewhere := 0, 0
		for i := range runs {
			s := newShop(uint64(5000+i), 400)
			r := compare(t, s.window(change{}), s.window(tt.change), Options{Seed: uint64(i), Replicates: 199})
			names := r.Drifted()
			if slices.Contains(names, tt.column) {
				found++
			}
			if slices.ContainsFunc(names, func(n string) bool { return n != tt.column }) {
				elsewhere++
			}
		}
		if found < runs-1 || elsewhere > 2 {
			t.Errorf("%s: found in %d of %d runs, and called elsewhere in %d", tt.name, found, runs, elsewhere)
		}
	}
}

// TestSmallButSure: with many subjects a tiny change is certain, and is still not drift.
func TestSmallButSure(t *testing.T) {
	spec := Spec{Name: "k", Levels: []string{"a", "b"}}
	ref, cur := NewSummary(spec), NewSummary(spec)
	for i := range 200000 {
		ref.AddLevel(uint64(i), []string{"a", "b"}[i%2])
		level := "a"
		if float64(i%1000) < 530 {
			level = "b"
		}
		cur.AddLevel(uint64(i), level)
	}
	r, err := Compare([]*Summary{ref}, []*Summary{cur}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if c := r.Columns[0]; c.Verdict != Stable || *c.AdjustedP > 0.01 || !strings.Contains(c.Says, "but little") {
		t.Errorf("%+v", c)
	}
}

func TestInsufficient(t *testing.T) {
	spec := Spec{Name: "k", Levels: []string{"a", "b"}}
	few, many, loud := NewSummary(spec), NewSummary(spec), NewSummary(spec)
	for i := range 20 {
		few.AddLevel(uint64(i), "a")
	}
	for i := range 2000 {
		many.AddLevel(uint64(i), "b")
		loud.AddLevel(uint64(i), "a")
	}
	for range 20000 { // one subject makes most of the rows
		loud.AddLevel(7, "a")
	}
	for _, tt := range []struct {
		name     string
		ref, cur *Summary
		says     string
	}{
		{"few subjects", few, many, "too few subjects"},
		{"one loud subject", many, loud, "too few subjects"},
		{"no reference", NewSummary(spec), many, "reference window holds no data"},
		{"no current", many, NewSummary(spec), "current window holds no data"},
	} {
		r, err := Compare([]*Summary{tt.ref}, []*Summary{tt.cur}, Options{Replicates: 99})
		if err != nil {
			t.Fatal(err)
		}
		if c := r.Columns[0]; c.Verdict != Insufficient || c.P != nil || !strings.Contains(c.Says, tt.says) {
			t.Errorf("%s: %+v", tt.name, c)
		}
	}
	// A column that is gone from the current window is not judged, and is not forgotten.
	r, err := Compare([]*Summary{many}, nil, Options{Replicates: 99})
	if err != nil || len(r.Columns) != 1 || r.Columns[0].Verdict != Insufficient {
		t.Errorf("a column that is gone: %+v, %v", r, err)
	}
}

func TestCompareRefusesBadInput(t *testing.T) {
	a, b := NewSummary(Spec{Name: "k", Levels: []string{"a"}}), NewSummary(Spec{Name: "k", Levels: []string{"b"}})
	for name, call := range map[string]func() (*Report, error){
		"other bins":      func() (*Report, error) { return Compare([]*Summary{a}, []*Summary{b}, Options{}) },
		"column twice":    func() (*Report, error) { return Compare([]*Summary{a}, []*Summary{a, a}, Options{}) },
		"alpha above one": func() (*Report, error) { return Compare([]*Summary{a}, []*Summary{a}, Options{Alpha: 1.5}) },
		"no replicates":   func() (*Report, error) { return Compare([]*Summary{a}, []*Summary{a}, Options{Replicates: -1}) },
	} {
		if _, err := call(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestCompareIsDeterministic: the same rows in another order, from another division, give the same report.
func TestCompareIsDeterministic(t *testing.T) {
	s := newShop(3, 400)
	a, b := s.window(change{}), s.window(change{buys: 0.1, nulls: 0.05})
	first, err := json.Marshal(compare(t, a, b, Options{Seed: 4, Replicates: 199}))
	if err != nil {
		t.Fatal(err)
	}
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(a), func(i, j int) { a[i], a[j] = a[j], a[i] })
	rand.New(rand.NewPCG(2, 1)).Shuffle(len(b), func(i, j int) { b[i], b[j] = b[j], b[i] })
	second, err := json.Marshal(compare(t, a, b, Options{Seed: 4, Replicates: 199}))
	if err != nil {
		t.Fatal(err)
	}
	if string(first) != string(second) {
		t.Error("the order of events changes the report")
	}
}

// TestBinsShown: bins of fewer than 11 subjects are pooled, and the pool never stands for fewer.
func TestBinsShown(t *testing.T) {
	spec := Spec{Name: "k", Levels: []string{"common", "rare", "usual"}}
	ref, cur := NewSummary(spec), NewSummary(spec)
	for i := range 4000 {
		level := "common"
		switch {
		case i < 5:
			level = "rare"
		case i < 1200:
			level = "usual"
		}
		ref.AddLevel(uint64(i), level)
		cur.AddLevel(uint64(i), level)
	}
	r, err := Compare([]*Summary{ref}, []*Summary{cur}, Options{Replicates: 99})
	if err != nil {
		t.Fatal(err)
	}
	want := []Bin{{"common", 0.7, 0.7}, {"small groups together", 0.3, 0.3}}
	got := r.Columns[0].Bins
	if len(got) != 2 || got[0] != want[0] || got[1].Label != want[1].Label || !close12(got[1].Reference, 0.3) {
		t.Errorf("bins %+v, want %+v", got, want)
	}
	// All subjects together are too few: nothing is shown.
	small := NewSummary(spec)
	for i := range 8 {
		small.AddLevel(uint64(i), "common")
	}
	r, err = Compare([]*Summary{ref}, []*Summary{small}, Options{Replicates: 99})
	if err != nil || r.Columns[0].Bins != nil {
		t.Errorf("eight subjects are shown: %+v, %v", r.Columns[0].Bins, err)
	}
}

// TestItemsAreChosenByOthers: a subject either helps to choose the items to follow or is counted on them.
func TestItemsAreChosenByOthers(t *testing.T) {
	events := newShop(1, 400).window(change{})
	sums := scan(learn(events), events)
	var counted int64
	filled := map[int]bool{}
	for _, e := range events {
		if !choosesLevels(e.Subject) {
			counted++
			filled[cluster(e.Subject)] = true
		}
	}
	for _, s := range sums {
		if s.Spec().Name == ItemColumn && s.Result().Rows != counted {
			t.Errorf("%d item rows, want the %d of the other half", s.Result().Rows, counted)
		}
	}
	if counted < int64(len(events))/3 || counted > int64(len(events))*2/3 || len(filled) < 100 {
		t.Errorf("%d of %d events in %d clusters are counted, want about half, in most clusters", counted, len(events), len(filled))
	}
}

func BenchmarkCompare200Columns(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	values := make([]float64, 10000)
	for i := range values {
		values[i] = r.NormFloat64()
	}
	var ref, cur []*Summary
	for c := range 200 {
		spec := NumericSpec(fmt.Sprint("c", c), values)
		x, y := NewSummary(spec), NewSummary(spec)
		for i, v := range values {
			x.AddNumber(uint64(i), v)
			y.AddNumber(uint64(i+7), v)
		}
		ref, cur = append(ref, x), append(cur, y)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compare(ref, cur, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAddNumber(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	values := make([]float64, 1<<16)
	for i := range values {
		values[i] = r.NormFloat64()
	}
	s := NewSummary(NumericSpec("x", values))
	i := 0
	for b.Loop() {
		s.AddNumber(uint64(i), values[i&(1<<16-1)])
		i++
	}
}
