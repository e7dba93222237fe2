package event

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

const towns = "value,level_1,level_2\n10115,Berlin,north\n10117,Berlin,north\n80331,Munich,south\n27498,,\n"

func readHierarchy(t testing.TB, body string) (*Hierarchy, error) {
	t.Helper()
	b := storage.NewMemory(nil)
	put(t, b, "towns.csv", []byte(body))
	return ReadHierarchy(context.Background(), DataSet{Bucket: b, Path: "towns.csv"})
}

func mustHierarchy(t testing.TB, body string) *Hierarchy {
	t.Helper()
	h, err := readHierarchy(t, body)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestCoarsenText(t *testing.T) {
	h := mustHierarchy(t, towns)
	for _, c := range []struct {
		rule Coarsening
		from map[string]string
	}{
		{Coarsening{Width: 10}, map[string]string{"0": "0 to under 10", "9.99": "0 to under 10", "10": "10 to under 20", "-1": "-10 to under 0", " 37 ": "30 to under 40", "NaN": Other, "inf": Other, "old": Other, "1e400": Other}},
		{Coarsening{Width: 0.1}, map[string]string{"0.3": "0.3 to under 0.4", "0.29": "0.2 to under 0.3", "0.7": "0.7 to under 0.8", "-0.05": "-0.1 to under 0"}},
		{Coarsening{Edges: []float64{18, 65}}, map[string]string{"17.9": "under 18", "18": "18 to under 65", "64": "18 to under 65", "65": "65 and over", "1000": "65 and over", "?": Other}},
		{Coarsening{Edges: []float64{5}}, map[string]string{"4": "under 5", "5": "5 and over"}},
		{Coarsening{Prefix: 2}, map[string]string{"10115": "10", "äöü": "äö", "x": "x", "\xff\xfe\xfd": "\xff\xfe"}},
		{Coarsening{Hierarchy: h, Level: 1}, map[string]string{"10115": "Berlin", "80331": "Munich", "27498": Other, "99999": Other}},
		{Coarsening{Hierarchy: h, Level: 2}, map[string]string{"10115": "north", "27498": Other, "80331": "south", "": Other}},
		{Coarsening{Clock: ClockHour}, map[string]string{"2026-03-01T08:30:00Z": "08", "2026-03-01T23:59:59.5+01:00": "23", "2026-03-01 00:00": "00", "7:05": "07", "24:00": Other, "2026-03-01": Other, "noon": Other, "08:": Other, "8:99": Other, "123:00": Other}},
		{Coarsening{Clock: ClockDaypart}, map[string]string{"05:59": "night", "06:00": "morning", "11:00": "midday", "15:00": "afternoon", "18:00": "evening", "23:59": "evening"}},
	} {
		if err := c.rule.Validate(false); err != nil {
			t.Errorf("%s: %v", c.rule, err)
		}
		for from, want := range c.from {
			if got := c.rule.Text(from); got != want {
				t.Errorf("%s makes %q of %q, want %q", c.rule, got, from, want)
			}
		}
	}
}

func TestCoarsenNumbers(t *testing.T) {
	for _, c := range []struct {
		rule     Coarsening
		from, to float64
	}{
		{Coarsening{Width: 10}, 37, 30},
		{Coarsening{Width: 10}, -1, -10},
		{Coarsening{Width: 10}, 30, 30},
		{Coarsening{Width: 0.1}, 0.3, 0.3},
		{Coarsening{Width: 0.25}, 9.99, 9.75},
		{Coarsening{Width: 1e-300}, 1e300, math.MaxFloat64},
		{Coarsening{Width: 1e300}, 5, 0},
		{Coarsening{Width: 5}, math.Copysign(0, -1), 0},
		{Coarsening{Edges: []float64{0, 18, 65}}, 17, 0},
		{Coarsening{Edges: []float64{0, 18, 65}}, 18, 18},
		{Coarsening{Edges: []float64{0, 18, 65}}, 900, 65},
		{Coarsening{Edges: []float64{0, 18, 65}}, -3, 0},
	} {
		if got := c.rule.number(c.from); got != c.to || math.Signbit(got) != math.Signbit(c.to) {
			t.Errorf("%s makes %v of %v, want %v", c.rule, got, c.from, c.to)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20000 { // every value lies in its bin, and the least of a bin stays what it is
		rule := Coarsening{Width: []float64{0.01, 0.1, 0.25, 0.3, 1, 7, 1000}[rng.IntN(7)]}
		x := math.Trunc((rng.Float64()-0.5)*1e7) / []float64{1, 10, 100, 1000}[rng.IntN(4)]
		low := rule.number(x)
		if !(low <= x) || x-low > rule.Width*(1+1e-9) || rule.number(low) != low {
			t.Fatalf("%s: %v is in the bin of %v, which is in that of %v", rule, x, low, rule.number(low))
		}
	}
}

// TestWithin holds Within against its meaning: where it says so, two values that one rule does not tell apart are not told apart by the coarser one either.
func TestWithin(t *testing.T) {
	h := mustHierarchy(t, towns)
	other := mustHierarchy(t, strings.Replace(towns, "Munich", "Bavaria", 1))
	rules := []Coarsening{
		{Width: 5},
		{Width: 10},
		{Width: 15},
		{Width: 0.1},
		{Edges: []float64{10, 30}},
		{Edges: []float64{10, 20, 30}},
		{Edges: []float64{20}},
		{Edges: []float64{15, 30}},
		{Edges: []float64{7}},
		{Prefix: 1},
		{Prefix: 3},
		{Hierarchy: h, Level: 1},
		{Hierarchy: h, Level: 2},
		{Hierarchy: other, Level: 2},
		{Hierarchy: h, Level: 1, AtLeast: 11},
		{Hierarchy: h, Level: 1, AtLeast: 20},
		{Hierarchy: h, Level: 2, AtLeast: 20},
		{Clock: ClockHour},
		{Clock: ClockDaypart},
	}
	values := []string{"10115", "10117", "80331", "27498", "101", "10", "2026-03-01T08:30:00Z", "07:00", "08:00", "12:00", "x"}
	for x := -40; x < 60; x++ {
		values = append(values, digits(float64(x)), digits(float64(x)+0.5))
	}
	within := 0
	for _, a := range rules {
		for _, b := range rules {
			if !a.Within(b) {
				continue
			}
			within++
			of := map[string]string{} // what the finer rule leaves → what the coarser one leaves of the same value
			for _, x := range values {
				if first, known := of[b.Text(x)]; known && first != a.Text(x) {
					t.Fatalf("%s makes %q of %q, of which %s makes what it makes of another, and is said to be within it", a, a.Text(x), x, b)
				}
				of[b.Text(x)] = a.Text(x)
			}
		}
	}
	if want := len(rules) + 22; within != want {
		t.Errorf("%d pairs are within one another, want %d", within, want)
	}
}

func TestBadRules(t *testing.T) {
	h := mustHierarchy(t, towns)
	for _, c := range []struct {
		rule    Coarsening
		numeric bool
		want    string
	}{
		{Coarsening{}, false, "one of width"},
		{Coarsening{Width: 1, Prefix: 2}, false, "one of width"},
		{Coarsening{Width: -1}, false, "above 0"},
		{Coarsening{Width: math.NaN()}, false, "above 0"},
		{Coarsening{Edges: []float64{}}, false, "one or more"},
		{Coarsening{Edges: []float64{2, 1}}, false, "ascend"},
		{Coarsening{Edges: []float64{1, 1}}, false, "ascend"},
		{Coarsening{Edges: []float64{math.Inf(1)}}, false, "numbers"},
		{Coarsening{Prefix: -1}, false, "above 0"},
		{Coarsening{Hierarchy: h}, false, "between 1 and 2"},
		{Coarsening{Hierarchy: h, Level: 3}, false, "between 1 and 2"},
		{Coarsening{Level: 1, Prefix: 2}, false, "there is none"},
		{Coarsening{AtLeast: 11, Prefix: 2}, false, "there is none"},
		{Coarsening{Hierarchy: h, Level: 1, AtLeast: 1}, false, "2 or more"},
		{Coarsening{Hierarchy: h, Level: 1, AtLeast: -3}, false, "2 or more"},
		{Coarsening{Clock: "minute"}, false, "hour or daypart"},
		{Coarsening{Prefix: 2}, true, "out of numbers"},
		{Coarsening{Clock: ClockHour}, true, "out of numbers"},
	} {
		if err := c.rule.Validate(c.numeric); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.rule, err, c.want)
		}
	}
}

func TestHierarchies(t *testing.T) {
	one := mustHierarchy(t, towns)
	lines := strings.Split(strings.TrimSpace(towns), "\n")
	slices.Reverse(lines[1:])
	if again := mustHierarchy(t, strings.Join(lines, "\n")); again.Digest != one.Digest {
		t.Error("the order of rows is in the digest")
	}
	if finer := mustHierarchy(t, towns+"99999,Nowhere,south\n"); finer.Digest == one.Digest {
		t.Error("one value more is not in the digest")
	}
	b := storage.NewMemory(nil)
	type row struct {
		Value int64  `parquet:"value"`
		L1    string `parquet:"level_1,optional"`
		L2    string `parquet:"level_2,optional"`
	}
	putParquet(t, b, "towns.parquet", []row{{10117, "Berlin", "north"}, {10115, "Berlin", "north"}, {80331, "Munich", "south"}, {27498, "", ""}})
	h, err := ReadHierarchy(context.Background(), DataSet{Bucket: b, Path: "towns.parquet"})
	if err != nil || h.at("10115", 1) != "Berlin" {
		t.Errorf("Parquet: %v", err)
	}
	for body, want := range map[string]string{
		"value,level_1,level_2\na,x,1\nb,x,2\n": "row 2: an earlier row has its level_1 in another level_2",
		"value,level_1,level_2\na,,1\n":         "row 1: it has no level_1, and a level_2",
		"value,level_1,level_2\na,other,1\n":    "row 1: it has no level_1, and a level_2",
		"value,level_1\na,x\na,y\n":             "row 2: its value stands in an earlier row",
		"value,level_1\n,x\n":                   "row 1: it has no value",
		"value,town\na,x\n":                     "no level",
		"place,level_1\na,x\n":                  "value",
		"":                                      "empty",
	} {
		if _, err := readHierarchy(t, body); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "towns.csv") {
			t.Errorf("%q: %v, want %q", body, err, want)
		}
	}
}

// FuzzCoarsening: what is read as a rule is written as it was read, is a valid one, and makes something of every text.
func FuzzCoarsening(f *testing.F) {
	for _, s := range []string{"width 10", "edges 0 18 65", "prefix 2", "hour", "daypart", "level 2 of hierarchy 0123456789abcdef0123456789abcdef", "level 1 of hierarchy 0123456789abcdef0123456789abcdef, of at least 11 people", "width 0.1", "edges", "prefix 1e3", "width +Inf"} {
		f.Add(s, "37")
	}
	f.Fuzz(func(t *testing.T, rule, value string) {
		c, err := ParseCoarsening(rule)
		if err != nil {
			return
		}
		if c.String() != rule || c.Validate(false) != nil || !c.Within(c) {
			t.Errorf("%q is read as %q", rule, c)
		}
		if c.Hierarchy == nil && value != "" && c.Text(value) == "" {
			t.Errorf("%s makes nothing of %q", rule, value)
		}
	})
}

// written is every byte of what was ingested.
func (w *world) written(t testing.TB) string {
	t.Helper()
	var all strings.Builder
	for info, err := range w.out.List(context.Background(), "ingest", storage.ListOpt{}) {
		if err != nil {
			t.Fatal(err)
		}
		body, _, err := storage.ReadAll(context.Background(), w.out, info.Key)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(body)
	}
	return all.String()
}

// TestIngestCoarsens: of the events of a day the columns with rules hold what the rules leave, wherever a row stands and however it was read, and no byte of the
// table holds what they were.
func TestIngestCoarsens(t *testing.T) {
	w := newWorld(t, 120)
	rng := rand.New(rand.NewPCG(3, 1))
	events := genEvents(rng, 1, 3000, 120)
	for i := range events {
		if events[i].Device != "" {
			events[i].Device += "-canary"
		}
		events[i].Amount = float64(1+rng.IntN(500)) + 0.0625
	}
	events = append(events, events[:300]...)
	putEvents(t, w.lake, "events/dt=2024-03-02/a.parquet", events[:2000])
	putEvents(t, w.lake, "events/dt=2024-03-02/b.parquet", events[2000:])
	s := shop(w.lake)
	s.Lateness = 24 * 3600e9
	plain, _ := w.ingest(t, s, oneDay(1), 1, nil)
	raw := readRows(t, w.out, plain)
	if !strings.Contains(w.written(t), "-canary") {
		t.Fatal("the scan does not find the canary where there is no rule")
	}
	w.out = storage.NewMemory(nil)
	s.Coarse = Coarsenings{"device": {Prefix: 3}, ColValue: {Edges: []float64{0, 100, 250}}}
	m, _ := w.ingest(t, s, oneDay(1), 2, nil)
	if strings.Contains(w.written(t), "canary") {
		t.Error("the raw value stands in what was written")
	}
	var want []string
	for batch, err := range table.Read(context.Background(), w.out, m, table.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		for i := range batch.N {
			if v := batch.Col(ColValue); !v.Null(i) && !slices.Contains([]float64{0, 100, 250}, v.Float[i]) {
				t.Fatalf("a value of %v", v.Float[i])
			}
		}
	}
	for _, line := range raw {
		fields := strings.Fields(line)
		for j, field := range fields {
			name, text, _ := strings.Cut(field, "=")
			if text == "null" {
				continue
			}
			switch rule := s.Coarse[name]; name {
			case "device":
				fields[j] = name + "=" + rule.Text(text)
			case ColValue:
				x, err := strconv.ParseFloat(text, 64)
				if err != nil {
					t.Fatal(err)
				}
				fields[j] = name + "=" + fmt.Sprintf("%g", rule.number(x))
			}
		}
		want = append(want, strings.Join(fields, " ")+" ")
	}
	slices.Sort(want)
	if got := readRows(t, w.out, m); !slices.Equal(got, want) {
		t.Errorf("%d rows, want %d as %q", len(got), len(want), want[0])
	}
}

// TestAttributesCoarsen: what is expected is said of values as they are; what is kept is what the rules leave.
func TestAttributesCoarsen(t *testing.T) {
	b := storage.NewMemory(nil)
	put(t, b, "people.csv", fmt.Appendf(nil, "id,age,zip,born\n%s,37,10115,2001-02-03T04:05:06Z\n%s,,80331,\n%s,81,99999,2001-02-03\n", person(3), person(4), person(5)))
	w := newWorld(t, 20)
	p := policy.Purpose{Name: "recommend", Says: "x", Basis: policy.Consent, Reads: map[string][]string{"subjects": {"age", "born", "zip"}}}
	got, err := ReadAttributes(context.Background(), AttributesPlan{
		Data: DataSet{Bucket: b, Path: "people.csv", Columns: map[string]string{ColSubject: "id"}}, Set: "subjects", Key: ColSubject, Columns: []string{"age", "born", "zip"}, Numeric: []string{"age"},
		Purpose: p, Decisions: w.decisions, Identities: w.ids,
		Coarse: Coarsenings{"age": {Width: 10}, "zip": {Hierarchy: mustHierarchy(t, towns), Level: 1}, "born": {Clock: ClockHour}},
	})
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bool{}
	for i := range got.Batch.N {
		_, line, _ := strings.Cut(rowText(&got.Batch, i), " ")
		rows[line] = true
	}
	for _, want := range []string{"age=30 born=04 zip=Berlin ", "age=null born=null zip=Munich ", "age=80 born=other zip=other "} {
		if !rows[want] {
			t.Errorf("no row %q among %v", want, rows)
		}
	}
	did := expect.Counts{Coarse: map[string]expect.Coarse{"age": {Rows: 2}, "born": {Rows: 2, Unknown: 1}, "zip": {Rows: 3, Unknown: 1}}}
	if !reflect.DeepEqual(got.Facts.Quality, did) {
		t.Errorf("what the rules did is told as %+v", got.Facts.Quality)
	}
}

// TestIngestCountsUnknown: of the events of a day it is known for how many a rule has no place, whoever reads them; those that the hierarchy itself says nothing of are not among
// them, nor those of a row that does not count.
func TestIngestCountsUnknown(t *testing.T) {
	w := newWorld(t, 120)
	events := genEvents(rand.New(rand.NewPCG(3, 1)), 1, 3000, 120)
	for i := range events {
		if events[i].Device != "" && i%7 == 0 {
			events[i].Device = "tv"
		}
	}
	putEvents(t, w.lake, "events/dt=2024-03-02/a.parquet", events[:2000])
	putEvents(t, w.lake, "events/dt=2024-03-02/b.parquet", events[2000:])
	s := shop(w.lake)
	s.Lateness = 24 * 3600e9
	plain, _ := w.ingest(t, s, oneDay(1), 1, nil)
	devices := map[string]int64{}
	for batch, err := range table.Read(t.Context(), w.out, plain, table.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		for i := range batch.N {
			if c := batch.Col("device"); !c.Null(i) {
				devices[c.Str[i]]++
			}
		}
	}
	names := slices.Sorted(maps.Keys(devices))
	if len(names) < 3 {
		t.Fatalf("devices %v", devices)
	}
	var want expect.Coarse
	for i, name := range names {
		if want.Rows += devices[name]; i > 1 {
			want.Unknown += devices[name]
		}
	}
	s.Coarse = Coarsenings{"device": {Hierarchy: mustHierarchy(t, "value,level_1\n"+names[0]+",known\n"+names[1]+",\n"), Level: 1}}
	for workers := range 2 {
		w.out = storage.NewMemory(nil)
		if _, facts := w.ingest(t, s, oneDay(1), 1+workers, nil); !reflect.DeepEqual(facts.Quality.Coarse, map[string]expect.Coarse{"device": want}) {
			t.Errorf("counted %+v, want %+v", facts.Quality.Coarse, want)
		}
	}
}
