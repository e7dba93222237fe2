package expect

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

func ptr(v float64) *float64 { return &v }

// A row under test: text "" is a null, and so is a number of nothing.
type row struct {
	file   string
	number *float64
	text   string
}

var columns = []table.Field{{Name: "value", Type: table.Float64}, {Name: "device", Type: table.String}}

var rules = map[string]Rule{
	"value": {Min: ptr(0), Max: ptr(100)}, "device": {Required: true, Known: []string{"web", "app"}}, "gone": {Required: true},
}

func randomRows(r *rand.Rand, n int) []row {
	out := make([]row, n)
	for i := range out {
		out[i] = row{file: fmt.Sprintf("f%d", r.IntN(5)), text: []string{"web", "app", "phone", "", "web", "app"}[r.IntN(6)]}
		if r.IntN(4) > 0 {
			out[i].number = ptr([]float64{0, 100, 50, -1, 100.5, math.NaN(), math.Inf(1), math.Inf(-1)}[r.IntN(8)])
		}
	}
	return out
}

// naive says of one row what Checker says, from the words of the issue.
func naive(r row) (string, Reason) {
	if v := r.number; v != nil {
		switch {
		case math.IsNaN(*v) || math.IsInf(*v, 0):
			return "value", NotNumber
		case *v < 0 || *v > 100:
			return "value", Outside
		}
	}
	switch r.text {
	case "":
		return "device", Null
	case "web", "app":
		return "", ""
	}
	return "device", UnknownCategory
}

// batchOf turns rows into columns; nulls of text are written as empty text or as nulls.
func batchOf(rows []row) []*table.Column {
	number, text := &table.Column{}, &table.Column{}
	for i, r := range rows {
		v := 7.0 // what a null's slot holds says nothing
		if r.number != nil {
			v = *r.number
		}
		number.Float, number.Valid = append(number.Float, v), append(number.Valid, r.number != nil)
		text.Str, text.Valid = append(text.Str, r.text), append(text.Valid, r.text != "" || i%2 == 0)
	}
	return []*table.Column{number, text}
}

// collect counts rows as a step does.
func collect(rows []row) (Counts, Places) {
	var c Counts
	var p Places
	checker, cols := NewChecker(columns, rules), batchOf(rows)
	for i, r := range rows {
		column, why := checker.Row(cols, i)
		if column != "" {
			c.AddBad(column, why, 1)
			p.Add(Place{File: r.file, Row: int64(i), Column: column, Reason: why})
			continue
		}
		c.Kept++
		if r.number == nil {
			c.AddNulls("value", 1)
		}
	}
	return c, p
}

// TestCounts compares the counts of a checker with those of naive, and shows that neither the order of rows nor their split changes them.
func TestCounts(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 2))
	rows := randomRows(r, 5000)
	want := Counts{Nulls: map[string]int64{}, Bad: map[string]map[Reason]int64{"value": {}, "device": {}}}
	for _, x := range rows {
		column, why := naive(x)
		if column != "" {
			want.Bad[column][why]++
			continue
		}
		want.Kept++
		if x.number == nil {
			want.Nulls["value"]++
		}
	}
	got, _ := collect(rows)
	if !reflect.DeepEqual(got, want) || len(want.Bad["value"]) != 2 || len(want.Bad["device"]) != 2 {
		t.Fatalf("%+v, want %+v", got, want)
	}
	if got.Rows() != 5000 || got.QuarantinedFor("value")+got.QuarantinedFor("device")+got.Kept != 5000 {
		t.Errorf("%d rows", got.Rows())
	}
	for range 20 {
		r.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		var sum Counts
		for rest := rows; len(rest) > 0; {
			n := 1 + r.IntN(len(rest))
			part, _ := collect(rest[:n])
			sum.Merge(part)
			rest = rest[n:]
		}
		if !reflect.DeepEqual(sum, want) {
			t.Fatalf("split and shuffled: %+v, want %+v", sum, want)
		}
	}
	body, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var back Counts
	if err := json.Unmarshal(body, &back); err != nil || !reflect.DeepEqual(back, want) {
		t.Errorf("%s comes back as %+v, %v", body, back, err)
	}
}

// TestCoarseMerges: what rules did adds up, in any order, and no sum holds on to what it was made of.
func TestCoarseMerges(t *testing.T) {
	day := Counts{Coarse: map[string]Coarse{"zip": {Rows: 10, Unknown: 2, Values: 4, Lifted: map[int]int64{2: 1}, Withheld: 1}}}
	var sum Counts
	for range 3 {
		sum.Merge(day)
	}
	sum.AddCoarse("age", Coarse{})
	want := map[string]Coarse{"zip": {Rows: 30, Unknown: 6, Values: 12, Lifted: map[int]int64{2: 3}, Withheld: 3}}
	if !reflect.DeepEqual(sum.Coarse, want) || day.Coarse["zip"].Lifted[2] != 1 {
		t.Errorf("%+v of three times %+v", sum.Coarse, day.Coarse)
	}
}

// TestChecker: what a column that the file lacks, or that has no rule, means.
func TestChecker(t *testing.T) {
	c := NewChecker(columns, map[string]Rule{"device": {Known: []string{"web"}}})
	cols := batchOf([]row{{text: ""}, {text: "app"}, {text: "web", number: ptr(math.NaN())}, {text: "web", number: ptr(-1e300)}})
	for i, want := range []Reason{"", UnknownCategory, "", ""} {
		if _, why := c.Row(cols, i); why != want {
			t.Errorf("row %d: %q, want %q", i, why, want)
		}
	}
	if column, why := NewChecker(columns, rules).Row([]*table.Column{nil, nil}, 0); column != "device" || why != Null {
		t.Errorf("a file without the columns: %q, %q", column, why)
	}
}

// TestCheckerValues: a row that stands alone is judged as one of a batch, but for NaN, which stands for no value there.
func TestCheckerValues(t *testing.T) {
	rows := randomRows(rand.New(rand.NewPCG(5, 5)), 500)
	c, cols := NewChecker(columns, rules), batchOf(rows)
	for i, r := range rows {
		v := math.NaN()
		if r.number != nil {
			v = *r.number
			if v != v {
				continue
			}
		}
		column, why := c.Values([]string{"", r.text}, []float64{v, 0})
		if wantColumn, want := c.Row(cols, i); column != wantColumn || why != want {
			t.Fatalf("%+v: %q %q, want %q %q", r, column, why, wantColumn, want)
		}
	}
}

// TestPlaces: the first of each file and then of all, in whatever order they come; what is cut is only not listed.
func TestPlaces(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 1))
	var all []Place
	for f := range 14 {
		for i := range 900 + 100*(f%4) {
			all = append(all, Place{File: fmt.Sprintf("f%02d", f), Row: int64(i * 3), Column: "value", Reason: NotNumber})
		}
	}
	var want []Place
	for f := range 14 {
		n := 0
		for _, p := range all {
			if p.File == fmt.Sprintf("f%02d", f) && n < MaxInFile && len(want) < MaxPlaces {
				want, n = append(want, p), n+1
			}
		}
	}
	if len(want) != MaxPlaces {
		t.Fatalf("%d places do not try the bound", len(want))
	}
	for range 4 {
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		byFile := map[string]*Places{}
		for _, p := range all {
			if byFile[p.File] == nil {
				byFile[p.File] = &Places{}
			}
			byFile[p.File].Add(p)
		}
		var sum Places
		for _, p := range byFile {
			sum.Merge(*p)
		}
		if got := sum.Result(); !slices.Equal(got, want) {
			t.Fatalf("%d places, want %d, or they differ", len(got), len(want))
		}
	}
	var one Places
	for i := range 5000 {
		one.Add(Place{File: "f", Row: int64(i)})
	}
	if len(one.all) > 2*MaxInFile || len(one.Result()) != MaxInFile {
		t.Errorf("%d places of one file are held", len(one.all))
	}
}

// TestMergedPlacesAreBounded: merging keeps no more in memory than adding does, however many files of a day are bad throughout.
func TestMergedPlacesAreBounded(t *testing.T) {
	var sum Places
	for range 20 {
		var one Places
		for row := range MaxInFile {
			one.Add(Place{File: "f", Row: int64(row), Reason: Null})
		}
		sum.Merge(one)
	}
	if len(sum.all) > 2*MaxInFile || len(sum.Result()) != MaxInFile {
		t.Errorf("%d places are held", len(sum.all))
	}
}

// TestPlacesAsTable: what a table of places gives back is what was written.
func TestPlacesAsTable(t *testing.T) {
	want := []Place{{"a.parquet", 0, 7, "value", NotNumber}, {"a.parquet", 3, 4000, "device", UnknownCategory}, {"b.parquet", 0, 1, "time", Late}}
	b := storage.NewMemory(nil)
	w := table.NewWriter(b, "q", PlaceSchema, table.WriteOptions{SortBy: PlaceOrder})
	if err := w.Append(Batch([]Place{want[2], want[0], want[1]})); err != nil {
		t.Fatal(err)
	}
	m, err := w.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []Place
	for batch, err := range table.Read(t.Context(), b, m, table.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, FromBatch(batch)...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestJudge: each expectation on both sides of its bound, and where nothing can be told.
func TestJudge(t *testing.T) {
	end := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	share := func(most float64, a Action) *Share { return &Share{Most: most, OnMiss: a, Where: "rapport.yaml:9"} }
	both := Volume{Least: 0.5, Most: 2, OnLeast: Fail, OnMost: Warn}
	for _, c := range []struct {
		what string
		set  Set
		seen Seen
		want string // expectation column outcome: says
	}{
		{"nothing is expected", Set{}, Seen{}, ""},
		{"as usual", Set{Volume: both}, Seen{Now: 100, Median: 100, Over: 5}, "volume.least  pass: events: 100 rows, at least 50 % of the median of the 5 times before (100)|volume.most  pass: "},
		{"at the bounds", Set{Volume: both}, Seen{Now: 50, Median: 100, Over: 5}, "volume.least  pass: |volume.most  pass: "},
		{"just under", Set{Volume: both}, Seen{Now: 49, Median: 100, Over: 5}, "volume.least  fail: events: 49 rows, under 50 % of the median of the 5 times before (100)|volume.most  pass: "},
		{"twice", Set{Volume: both}, Seen{Now: 200, Median: 100, Over: 5}, "volume.least  pass: |volume.most  pass: "},
		{"over twice", Set{Volume: both}, Seen{Now: 201, Median: 100, Over: 5}, "volume.least  pass: |volume.most  warn: events: 201 rows, over 200 % of the median of the 5 times before (100)"},
		{"nothing before", Set{Volume: both}, Seen{Now: 1}, "volume.least  unknown: events: too little came before|volume.most  unknown: "},
		{"one side", Set{Volume: Volume{Most: 3, OnMost: Fail}}, Seen{Now: 301, Median: 100, Over: 4}, "volume.most  fail: "},
		{"fresh", Set{Fresh: &Fresh{Within: 6 * time.Hour, OnMiss: Fail}}, Seen{Counts: Counts{Newest: end.Add(-6 * time.Hour)}, Until: end}, "fresh  pass: "},
		{
			"stale",
			Set{Fresh: &Fresh{Within: 6 * time.Hour, OnMiss: Fail}},
			Seen{Counts: Counts{Newest: end.Add(-6*time.Hour - time.Minute)}, Until: end, What: "events"},
			"fresh  fail: events: the last of its events is from 2026-03-01 17:59Z, 6h1m before the interval's end, where 6h is allowed",
		},
		{"from the future", Set{Fresh: &Fresh{Within: time.Hour, OnMiss: Fail}}, Seen{Counts: Counts{Newest: end.Add(time.Hour)}, Until: end, ByFile: true}, "fresh  pass: events: its newest file is from 2026-03-02 01:00Z, 0m before now"},
		{"no rows", Set{Fresh: &Fresh{Within: time.Hour, OnMiss: Fail}}, Seen{Until: end}, "fresh  unknown: "},
		{"nulls at the bound", Set{Columns: map[string]Column{"value": {Nulls: share(0.2, Fail)}}}, Seen{Counts: Counts{Kept: 10, Nulls: map[string]int64{"value": 2}}}, "nulls value pass: "},
		{
			"nulls over",
			Set{Columns: map[string]Column{"value": {Nulls: share(0.2, Fail)}}},
			Seen{Counts: Counts{Kept: 10, Nulls: map[string]int64{"value": 3}}, What: "events"},
			`nulls value fail: events: 3 of 10 events have no "value", 30 % where 20 % is allowed`,
		},
		{"nulls of nothing", Set{Columns: map[string]Column{"value": {Nulls: share(0.2, Fail)}}}, Seen{}, "nulls value unknown: "},
		{
			"bad for one column, and for all",
			Set{Bad: share(0.5, Warn), Columns: map[string]Column{"value": {Bad: share(0.3, Warn)}}},
			Seen{Counts: Counts{Kept: 6, Bad: map[string]map[Reason]int64{"value": {NotNumber: 1, Outside: 3}, "time": {Late: 0}}}},
			`bad  pass: |bad value warn: events: 4 of 10 rows are quarantined for "value": 3 outside the range, 1 not a number, 40 % where 30 % is allowed`,
		},
		{"duplicates", Set{Duplicates: &Duplicates{Share: *share(0.01, Warn)}}, Seen{Repeated: 2, Compared: 100}, "duplicates  warn: events: 2 of 100 rows repeat another, 2 % where 1 % is allowed"},
		{
			"dropped",
			Set{Duplicates: &Duplicates{Share: *share(0.01, Fail), Drop: true}},
			Seen{Counts: Counts{Kept: 98, Bad: map[string]map[Reason]int64{"": {Duplicate: 2}}}},
			"duplicates  fail: events: 2 of 100 rows repeat another and are left out",
		},
		{
			"dropped rows are not bad ones",
			Set{Bad: share(0.015, Fail)},
			Seen{What: "usable events", Counts: Counts{Kept: 97, Bad: map[string]map[Reason]int64{"": {Duplicate: 2, Late: 1}}}},
			"bad  pass: events: 1 of 100 rows is quarantined: 1 too late",
		},
		{
			"columns",
			Set{Schema: &Schema{OnMiss: Warn}},
			Seen{
				Counts: Counts{Files: 3, Lacking: map[string]int{"device": 2}, Columns: map[string][]string{"a": {"int64"}, "b": {"string"}, "c\x1b": {"time"}}},
				Before: map[string][]string{"a": {"int64"}, "b": {"int64", "string"}},
			},
			`schema device warn: events: 2 of its 3 files lack the column "device": it is null there|schema  pass: events: its files have its other columns; new since those before: "b" is string and was int64 or string, "c\x1b" (time)`,
		},
		{
			"a rule that knows no value",
			Set{},
			Seen{Counts: Counts{Coarse: map[string]Coarse{"zip": {Rows: 300, Unknown: 300}}}},
			`coarsen zip warn: events: sources.events.coarsen.zip has no place for 300 of 300 values (100 %), where 10 % is let pass: "other" is told of them`,
		},
		{
			"rules that know most values",
			Set{},
			Seen{Counts: Counts{Coarse: map[string]Coarse{"zip": {Rows: 300, Unknown: 3}, "age": {Rows: 9}}}},
			"coarsen age pass: events: sources.events.coarsen.age has a place for every value|coarsen zip pass: events: sources.events.coarsen.zip has no place for 3 of 300 values (1 %)",
		},
		{
			"of people a share",
			Set{},
			Seen{ByFile: true, Counts: Counts{Coarse: map[string]Coarse{"zip": {Rows: 300, Unknown: 100}}}},
			"coarsen zip warn: events: sources.events.coarsen.zip has no place for 33 % of the values, where",
		},
		{
			"of few people that they are few",
			Set{},
			Seen{ByFile: true, Counts: Counts{Coarse: map[string]Coarse{"few": {Rows: 300, Unknown: 10}, "most": {Rows: 300, Unknown: 290}, "small": {Rows: 12, Unknown: 5}}}},
			"coarsen few pass: events: sources.events.coarsen.few has no place for few of the values, where|coarsen most warn: events: sources.events.coarsen.most has no place for most of the values, where|" +
				"coarsen small warn: events: sources.events.coarsen.small has no place for few of the values, where",
		},
		{
			"values that few share",
			Set{},
			Seen{Counts: Counts{Coarse: map[string]Coarse{"zip": {Rows: 300, Values: 70, Lifted: map[int]int64{3: 2, 2: 14}, Withheld: 1}}}},
			"coarsen zip pass: events: sources.events.coarsen.zip has a place for every value; of 70 values, those of each day by themselves, too few people share some: 14 told at level 2, 2 told at level 3, 1 not told",
		},
		{
			"no value that enough share",
			Set{},
			Seen{Counts: Counts{Coarse: map[string]Coarse{"zip": {Rows: 300, Values: 7, Withheld: 7}}}},
			"coarsen zip warn: events: sources.events.coarsen.zip has a place for every value; of 7 values, those of each day by themselves, too few people share some: 7 not told",
		},
		{"no columns before", Set{Schema: &Schema{OnMiss: Fail}}, Seen{Counts: Counts{Columns: map[string][]string{"a": {"int64"}}}}, "schema  pass: events: its files have the declared columns"},
	} {
		c.set.Name = "events"
		var got []string
		for _, v := range c.set.Judge(c.seen) {
			got = append(got, fmt.Sprintf("%s %s %s: %s", v.Expectation, v.Column, v.Outcome, v.Says))
			if v.Set != "events" || (v.Outcome == Warned || v.Outcome == Failed) && string(v.Severity) != string(v.Outcome) {
				t.Errorf("%s: %+v", c.what, v)
			}
		}
		want := strings.Split(c.want, "|")
		if c.want == "" {
			want = nil
		}
		if !slices.EqualFunc(got, want, strings.HasPrefix) {
			t.Errorf("%s:\n%q, want\n%q", c.what, got, want)
		}
	}
}

// TestKeeps: what changes the rows is in it, and nothing else.
func TestKeeps(t *testing.T) {
	set := Set{
		Volume: Volume{Least: 0.5}, Fresh: &Fresh{Within: time.Hour}, Bad: &Share{Most: 0.1}, Duplicates: &Duplicates{Share: Share{Most: 0.1}},
		Columns: map[string]Column{"value": {Nulls: &Share{Most: 0.2}}},
	}
	if k := set.Keeps(); k != nil {
		t.Errorf("bounds alone keep %+v", k)
	}
	text := func(s Set) string {
		b, err := json.Marshal(s.Keeps())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	seen := map[string]bool{}
	for _, c := range []map[string]Column{
		{"value": {Rule: Rule{Min: ptr(0)}}},
		{"value": {Rule: Rule{Max: ptr(0)}}},
		{"value": {Rule: Rule{Required: true}}},
		{"other": {Rule: Rule{Required: true}}},
		{"value": {Rule: Rule{Known: []string{"a", "b"}}}},
	} {
		set.Columns = c
		if s := text(set); seen[s] {
			t.Errorf("%s twice", s)
		} else {
			seen[s] = true
		}
	}
	before := text(set)
	set.Columns = map[string]Column{"value": {Rule: Rule{Known: []string{"b", "a", "b"}}, Bad: &Share{Most: 1}}}
	if s := text(set); s != before {
		t.Errorf("the order of categories matters: %s, %s", s, before)
	}
	set.Duplicates.Drop = true
	if s := text(set); s == before {
		t.Error("drop is not in it")
	}
}

// TestValidate: each fault once, at its key.
func TestValidate(t *testing.T) {
	nan := math.NaN()
	for key, set := range map[string]Set{
		"volume.least":         {Volume: Volume{Least: 1}},
		"volume.most":          {Volume: Volume{Most: 1}},
		"fresh":                {Fresh: &Fresh{}},
		"duplicates":           {Duplicates: &Duplicates{Share: Share{Most: 1.1}}},
		"bad":                  {Bad: &Share{Most: nan}},
		"columns.price.nulls":  {Columns: map[string]Column{"price": {Nulls: &Share{Most: -0.1}}}},
		"columns.price.bad":    {Columns: map[string]Column{"price": {Bad: &Share{Most: 2}}}},
		"columns.price":        {Columns: map[string]Column{"price": {Rule: Rule{Min: ptr(2), Max: ptr(1)}}}},
		"columns.device":       {Columns: map[string]Column{"device": {Rule: Rule{Max: ptr(1)}}}},
		"columns.price.known":  {Columns: map[string]Column{"price": {Rule: Rule{Known: []string{"1"}}}}},
		"columns.device.known": {Columns: map[string]Column{"device": {Rule: Rule{Known: []string{}}}}},
		"columns.color.known":  {Columns: map[string]Column{"color": {Rule: Rule{Known: []string{"red", ""}}}}},
		"columns.device.bad":   {Columns: map[string]Column{"device": {Bad: &Share{Most: 0.1}}}},
		"columns.device.nulls": {Columns: map[string]Column{"device": {Rule: Rule{Required: true}, Nulls: &Share{}}}},
		"":                     {Volume: Volume{Least: 0.5, Most: 2}, Bad: &Share{Most: 1}, Columns: map[string]Column{"price": {Bad: &Share{}}, "device": {Rule: Rule{Known: []string{"web"}}, Bad: &Share{}}}},
	} {
		err := set.Validate(func(column string) bool { return column == "price" })
		var p *Problem
		if key == "" && err != nil || key != "" && (!errors.As(err, &p) || p.Key != key || strings.Count(err.Error(), "\n") > 0) {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// TestString: a set is said in a line, and one that expects nothing is not.
func TestString(t *testing.T) {
	set := Set{
		Name: "events", Volume: Volume{Least: 0.5, Most: 2, OnLeast: Fail, OnMost: Warn}, Fresh: &Fresh{Within: 90 * time.Minute, OnMiss: Fail}, Schema: &Schema{OnMiss: Warn},
		Duplicates: &Duplicates{Share: Share{Most: 0.01, OnMiss: Warn}, Drop: true}, Bad: &Share{Most: 0.05, OnMiss: Warn},
		Columns: map[string]Column{
			"value":  {Rule: Rule{Required: true, Min: ptr(0), Max: ptr(1e5)}, Bad: &Share{Most: 0.01, OnMiss: Fail}},
			"device": {Rule: Rule{Known: []string{"web", "app"}}, Nulls: &Share{Most: 0.2, OnMiss: Fail}},
		},
	}
	const want = "events: at least 50 % of the usual volume, or fail; at most 200 % of the usual volume, or warn; fresh to 1h30m, or fail; every declared column in every file, or warn; " +
		"of equal rows one is kept; at most 1 % repeated, or warn; at most 5 % quarantined, or warn; device one of web, app; at most 20 % without device, or fail; " +
		"value required, at least 0, at most 100000; at most 1 % quarantined for value, or fail"
	if got := set.String(); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if got := (Set{Name: "items"}).String(); got != "" {
		t.Errorf("nothing is expected: %q", got)
	}
}

// TestUntrustedColumns: names of columns are a writer's: their length and number are bounded.
func TestUntrustedColumns(t *testing.T) {
	var c Counts
	var cols []table.FileColumn
	for i := range 3000 {
		cols = append(cols, table.FileColumn{Name: fmt.Sprintf("c%04d", i), Physical: "INT64", Type: table.Int64})
	}
	cols = append(cols, table.FileColumn{Name: strings.Repeat("a", 1<<20), Physical: "INT64"})
	c.AddFile(cols, nil)
	got := slices.Sorted(maps.Keys(c.Result().Columns))
	if len(got) != maxColumns || got[0] != "c0000" || got[maxColumns-1] != fmt.Sprintf("c%04d", maxColumns-1) {
		t.Errorf("%d columns, %q to %q", len(got), got[0], got[len(got)-1])
	}
}
