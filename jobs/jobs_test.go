package jobs

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

func every(t *testing.T, s string) table.Every {
	t.Helper()
	e, err := table.EveryOf(s, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func dayOf(d int) table.Interval {
	start := time.Date(2026, 3, d, 0, 0, 0, 0, time.UTC)
	return table.Interval{Start: start, End: start.AddDate(0, 0, 1)}
}

var noInterval table.Interval

// TestStepKey: each part of a key changes it, parts cannot run into one another, and the spec's part stands before the inputs'.
func TestStepKey(t *testing.T) {
	type spec struct{ K []int }
	base := stepKey("train", "2026-03-01", noInterval, 1, spec{[]int{10}}, "a", "b")
	for what, other := range map[string]string{
		"name":         stepKey("build", "2026-03-01", noInterval, 1, spec{[]int{10}}, "a", "b"),
		"label":        stepKey("train", "2026-03-02", noInterval, 1, spec{[]int{10}}, "a", "b"),
		"interval":     stepKey("train", "2026-03-01", table.Interval{End: time.Unix(1, 0)}, 1, spec{[]int{10}}, "a", "b"),
		"logic":        stepKey("train", "2026-03-01", noInterval, 2, spec{[]int{10}}, "a", "b"),
		"spec":         stepKey("train", "2026-03-01", noInterval, 1, spec{[]int{10, 20}}, "a", "b"),
		"input":        stepKey("train", "2026-03-01", noInterval, 1, spec{[]int{10}}, "a", "c"),
		"order":        stepKey("train", "2026-03-01", noInterval, 1, spec{[]int{10}}, "b", "a"),
		"joined":       stepKey("train", "2026-03-01", noInterval, 1, spec{[]int{10}}, "ab"),
		"split":        stepKey("train", "2026-03-01", noInterval, 1, spec{[]int{10}}, "a", "b", ""),
		"spec as name": stepKey("train/2026-03-01", "2026-03-01", noInterval, 1, spec{[]int{10}}, "a", "b"),
	} {
		if other == base {
			t.Errorf("another %s gives the same key", what)
		}
	}
	if base != stepKey("train", "2026-03-01", noInterval, 1, spec{[]int{10}}, "a", "b") {
		t.Error("the same parts give another key")
	}
	prefix := specPrefix("train", "2026-03-01", noInterval, 1, spec{[]int{10}})
	if !strings.HasPrefix(base, prefix) || !strings.HasPrefix(stepKey("train", "2026-03-01", noInterval, 1, spec{[]int{10}}, "x"), prefix) {
		t.Errorf("%s does not begin with %s", base, prefix)
	}
	if _, err := (table.Store{Bucket: storage.NewMemory(nil)}).Done(t.Context(), base); err != nil {
		t.Errorf("the table store refuses the key: %v", err)
	}
}

// TestZonesHaveOtherKeys: days of two zones have one label and differ in their hours, and so in their keys; a snapshot, which has no interval,
// has one key in both.
func TestZonesHaveOtherKeys(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	berlin, err := table.EveryOf("1d", zone)
	if err != nil {
		t.Fatal(err)
	}
	utc := every(t, "1d")
	here, there := utc.Containing(dayOf(3).Start.Add(12*time.Hour)), berlin.Containing(dayOf(3).Start.Add(12*time.Hour))
	label := utc.Label(here)
	if label != berlin.Label(there) || here == there {
		t.Fatalf("labels %s and %s, intervals %s and %s", label, berlin.Label(there), here, there)
	}
	for _, name := range []string{"ingest", "build", "train"} {
		if stepKey(name, label, here, 1, nil, "a") == stepKey(name, label, there, 1, nil, "a") {
			t.Errorf("%s %s has one key in two zones", name, label)
		}
		if specPrefix(name, label, here, 1, nil) == specPrefix(name, label, there, 1, nil) {
			t.Errorf("what was made of %s %s in one zone is found in the other", name, label)
		}
	}
	in := table.Interval{Start: here.Start.In(zone), End: here.End.In(zone)} // the same hours, told in another zone
	if stepKey("build", label, here, 1, nil) != stepKey("build", label, in, 1, nil) {
		t.Error("the same hours have two keys")
	}
}

// TestCuts: a window of 10 days that ends on the 11th, with a last of 2 days, learns from the 1st to the 7th, weighs its parts on the 7th and
// 8th, and judges on the 9th and 10th.
func TestCuts(t *testing.T) {
	j := &Job{Every: every(t, "1d"), Window: 10 * 24 * time.Hour, Last: 48 * time.Hour, Weigh: 48 * time.Hour}
	at := func(d int) int64 { return table.Micros(dayOf(d).Start) }
	want := models.Cuts{Base: at(1), Rerank: at(7), Validation: at(7), Test: at(9), End: at(11)}
	if got := j.cuts(dayOf(10)); got != want {
		t.Errorf("cuts %+v, want %+v", got, want)
	}
}

// TestHistory: a run reads as far back as the longest of its window, its views' windows and its interval.
func TestHistory(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		every        string
		window, view time.Duration
		days         int
	}{{"1d", 5 * day, 2 * day, 5}, {"1d", 5 * day, 9 * day, 9}, {"1w", day, 2 * day, 7}} {
		j := &Job{Every: every(t, c.every), Window: c.window, Views: []features.View{{Windows: []time.Duration{c.view, day}}}}
		iv := j.Every.At(dayOf(20).End)
		got := j.history(iv)
		if !got.End.Equal(iv.End) || !got.Start.Equal(iv.End.AddDate(0, 0, -c.days)) {
			t.Errorf("%+v: history %s of %s", c, got, iv)
		}
	}
}

// TestUnit: days are ingested, or hours where a job runs every hour; the units of a history cover it whole.
func TestUnit(t *testing.T) {
	for e, want := range map[string]time.Duration{"1h": time.Hour, "1d": 24 * time.Hour, "1w": 24 * time.Hour} {
		u := (&Job{Every: every(t, e)}).unit()
		iv := u.At(dayOf(3).Start)
		if got := iv.End.Sub(iv.Start); got != want {
			t.Errorf("every %s: units of %s", e, got)
		}
	}
	got := units(every(t, "1d"), table.Interval{Start: dayOf(3).Start.Add(time.Hour), End: dayOf(6).Start})
	if len(got) != 3 || got[0] != dayOf(3) || got[2] != dayOf(5) {
		t.Errorf("units %v", got)
	}
}

// TestVolume fails an interval without events, and one far below the trailing median of at least four.
func TestVolume(t *testing.T) {
	for _, c := range []struct {
		rows []int64 // of the days up to the interval, which is the last
		says string
	}{
		{[]int64{100, 100, 100, 100, 100}, ""},
		{[]int64{100, 100, 100, 100, 50}, ""},
		{[]int64{100, 100, 100, 100, 49}, "under 50 % of the median of the 4 intervals before (100)"},
		{[]int64{100, 100, 100, 1}, ""},                           // three before say little
		{[]int64{0, 100, 100, 100, 1}, ""},                        // empty ones are not counted
		{[]int64{1, 1, 100, 100, 100, 40}, "median of the 5"},     // 1 1 100 100 100
		{[]int64{900, 10, 10, 10, 10, 10, 10, 10, 10, 10, 6}, ""}, // the ninth before is too old
		{[]int64{100, 100, 100, 100, 0}, "no usable events"},
	} {
		w := &work{Runner: &Runner{}, job: &Job{Every: every(t, "1d"), Window: 12 * 24 * time.Hour, Floor: 0.5}, iv: dayOf(20), plan: &plan{}, res: &Result{}, run: &ledger.Run{}}
		for i, n := range c.rows {
			w.plan.committed = append(w.plan.committed, day{iv: dayOf(20 - len(c.rows) + 1 + i), manifest: table.Manifest{Rows: n}})
		}
		err := w.judgeSources(t.Context())
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%v: %v, want %q", c.rows, err, c.says)
		}
	}
}

// TestLogBuilder: kinds without weight are left out, impressions stand apart, others weigh what the job says, 1 if it says nothing.
func TestLogBuilder(t *testing.T) {
	b, err := newLogBuilder(&models.Catalog{IDs: []string{"a", "b"}}, []string{"buy", "hide", "show", "view"}, map[string]float64{"buy": 4, "hide": 0, "show": 0}, []string{"show"})
	if err != nil {
		t.Fatal(err)
	}
	row := func(item, kind string) *table.Batch {
		return &table.Batch{Schema: eventSchema, N: 1, Cols: []table.Column{{Int: []int64{-1}}, {Str: []string{item}}, {Int: []int64{7}}, {Str: []string{kind}}}}
	}
	for _, r := range [][2]string{{"b", "buy"}, {"a", "hide"}, {"a", "view"}, {"b", "show"}} {
		if err := b.add(row(r[0], r[1])); err != nil {
			t.Fatal(err)
		}
	}
	want := []models.Event{{Subject: math.MaxUint64, Time: 7, Item: 1, Kind: 0, Weight: 4}, {Subject: math.MaxUint64, Time: 7, Item: 0, Kind: 3, Weight: 1}}
	if !slices.Equal(b.events, want) {
		t.Errorf("%+v, want %+v", b.events, want)
	}
	if shown := []models.Event{{Subject: math.MaxUint64, Time: 7, Item: 1, Kind: 2, Weight: 1}}; !slices.Equal(b.shown, shown) || b.against != nil {
		t.Errorf("shown %+v, want %+v; against %+v", b.shown, shown, b.against)
	}
	for _, r := range [][2]string{{"c", "buy"}, {"a", "return"}} {
		if err := b.add(row(r[0], r[1])); err == nil {
			t.Errorf("%v is taken", r)
		}
	}
	if _, err := newLogBuilder(&models.Catalog{}, make([]string, 256), nil, nil); err == nil {
		t.Error("256 kinds are taken")
	}
}

// TestAttributesAlign: rows are put where their entity stands; who has no row has no value, and a row of nobody is left out.
func TestAttributesAlign(t *testing.T) {
	rows := &table.Batch{
		Schema: table.Schema{{Name: "subject", Type: table.Int64}, {Name: "region", Type: table.String}, {Name: "age", Type: table.Float64}}, N: 3,
		Cols: []table.Column{{Int: []int64{5, 6, 7}}, {Str: []string{"north", "", "south"}, Valid: []bool{true, false, true}}, {Float: []float64{30, 40, 50}}},
	}
	a := attributes(rows, "subject", 4, []int32{2, 0, -1})
	cat, num := a.Cats[0], a.Nums[0]
	if cat.Name != "region" || num.Name != "age" || a.N != 4 {
		t.Fatalf("%+v", a)
	}
	level := func(i int) string {
		if v := cat.Values[i]; v >= 0 {
			return cat.Levels[v]
		}
		return ""
	}
	for i, want := range []string{"", "", "north", ""} {
		if level(i) != want {
			t.Errorf("region of %d is %q, want %q", i, level(i), want)
		}
	}
	for i, want := range []float64{40, math.NaN(), 30, math.NaN()} {
		if got := num.Values[i]; got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
			t.Errorf("age of %d is %v, want %v", i, got, want)
		}
	}
}

// TestAppendRows: nulls survive being joined with rows that have none, before and after.
func TestAppendRows(t *testing.T) {
	schema := table.Schema{{Name: "x", Type: table.Int64}}
	full := &table.Batch{Schema: schema, N: 2, Cols: []table.Column{{Int: []int64{1, 2}}}}
	holey := &table.Batch{Schema: schema, N: 2, Cols: []table.Column{{Int: []int64{0, 4}, Valid: []bool{false, true}}}}
	out := &table.Batch{Schema: schema, Cols: make([]table.Column, 1)}
	for _, b := range []*table.Batch{full, holey, full} {
		appendRows(out, b)
	}
	if out.N != 6 || !slices.Equal(out.Cols[0].Int, []int64{1, 2, 0, 4, 1, 2}) || !slices.Equal(out.Cols[0].Valid, []bool{true, true, false, true, true, true}) {
		t.Errorf("%+v", out)
	}
}

// TestShapes: an error tells what ids look like and never what they are.
func TestShapes(t *testing.T) {
	got := shapes([]string{"123456", "654321", "someone@example.org", "00000000-0000-4000-8000-000000000000"})
	if got != "UUID form of length 36, digits of length 6, text of length 19" {
		t.Error(got)
	}
}

// TestParseThrough reads each station's name.
func TestParseThrough(t *testing.T) {
	for s, want := range map[string]Through{"ingest": ThroughIngest, "build": ThroughBuild, "train": ThroughTrain, "publish": ThroughPublish} {
		if got, err := ParseThrough(s); err != nil || got != want {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	if _, err := ParseThrough("evaluate"); err == nil {
		t.Error("evaluate is taken")
	}
}

// Two evaluations of equal inputs under other budgets have reports of their own: the spec is in the name, not the inputs alone.
func TestReportsOfOtherBudgetsStandApart(t *testing.T) {
	name := func(budget float64) string {
		w := &work{job: &Job{Name: "nightly"}, label: "2026-03-01", plan: &plan{}}
		w.plan.evaluate.key = stepKey("evaluate", "2026-03-01", dayOf(1), 1, struct{ Ratio float64 }{budget}, "train", "live")
		return w.reportKey()
	}
	if name(0.95) == name(3) {
		t.Errorf("both stand at %s", name(3))
	}
	if first, again := name(3), name(3); first != again {
		t.Errorf("one evaluation stands at %s and at %s", first, again)
	}
}

// A day of a source with a zone that the first release ingested, and whose files have gone since, stands: a new program that reads local times otherwise
// cannot read it again. What it has ingested itself comes first.
func TestDaysOfEarlierClocksStand(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	j := &Job{Name: "nightly", Every: every(t, "1d"), Window: 3 * 24 * time.Hour}
	j.Events.Zone = berlin
	b := storage.NewMemory(nil)
	want := map[string]string{}
	for day, clocks := range map[int][]int{3: {0}, 4: {0, 2}, 5: {2}} {
		label := fmt.Sprintf("2026-03-%02d", day)
		for _, c := range clocks {
			want[label] = stepKey("ingest", label, dayOf(day), logicIngest, j.ingestSpec(c), "files")
			if _, err := b.Put(t.Context(), "done/"+want[label], storage.Bytes(nil), storage.Cond{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	now := dayOf(5).End.Add(3 * time.Hour)
	w := (&Runner{Bucket: b, Wall: func() time.Time { return now }}).newWork(j, dayOf(5), now)
	p := &plan{}
	if err := w.planDays(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, d := range p.days {
		got[d.label] = d.key
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("days %v\nwant %v", got, want)
	}
}

// A day that an earlier program ingested, and whose files are there yet, is read again within lookback alone, and a plan says why; beyond it what was ingested
// stands until a backfill asks for it.
func TestDaysOfEarlierPrograms(t *testing.T) {
	j := &Job{Name: "nightly", Every: every(t, "1d"), Window: 4 * 24 * time.Hour, Lookback: 36 * time.Hour}
	b := storage.NewMemory(func() time.Time { return dayOf(5).End })
	j.Events.Bucket, j.Events.Path = storage.NewMemory(func() time.Time { return dayOf(5).End }), "e/date={date}/*.parquet"
	was := map[string]string{}
	for day := 2; day <= 5; day++ {
		label := fmt.Sprintf("2026-03-%02d", day)
		was[label] = stepKey("ingest", label, dayOf(day), logicIngest-1, j.ingestSpec(0), "files")
		if _, err := b.Put(t.Context(), "done/"+was[label], storage.Bytes(nil), storage.Cond{}); err != nil {
			t.Fatal(err)
		}
		if _, err := j.Events.Bucket.Put(t.Context(), "e/date="+label+"/a.parquet", storage.Bytes([]byte("x")), storage.Cond{}); err != nil {
			t.Fatal(err)
		}
	}
	now := dayOf(5).End.Add(3 * time.Hour)
	keys, err := event.NewKeys("k1", []byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	w := (&Runner{Bucket: b, Keys: keys, Wall: func() time.Time { return now }}).newWork(j, dayOf(5), now)
	w.dry = true
	p := &plan{}
	if err := w.planDays(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	for _, d := range p.days {
		beyond := d.label <= "2026-03-03"
		if d.done != beyond || (d.key == was[d.label]) != beyond || !strings.Contains(d.why, "an earlier program") {
			t.Errorf("%s: done %v, as it was %v: %q", d.label, d.done, d.key == was[d.label], d.why)
		}
	}
	if len(p.days) != 4 {
		t.Errorf("%d days", len(p.days))
	}
}

// How jobs stand is told from the ledger's last months alone where each job has succeeded in them, and from all of it where one has not.
func TestLatelyReadsNoOldMonths(t *testing.T) {
	b := storage.NewMemory(nil)
	now := time.Date(2026, 3, 20, 0, 0, 0, 0, time.UTC)
	r := &Runner{Bucket: b, Now: func() time.Time { return now }}
	runs := ledger.Ledger{Bucket: b}
	for i, x := range []ledger.Run{
		{Job: "weekly", Started: now.AddDate(0, -4, 0), Status: ledger.Succeeded},
		{Job: "nightly", Started: now.AddDate(0, 0, -25), Status: ledger.Succeeded},
		{Job: "weekly", Started: now.AddDate(0, 0, -3), Status: ledger.Failed},
	} {
		x.ID = fmt.Sprintf("%04d", i)
		if err := runs.Save(t.Context(), &x); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		jobs []*Job
		want int
	}{{[]*Job{{Name: "nightly"}}, 2}, {[]*Job{{Name: "nightly"}, {Name: "weekly"}}, 3}} {
		if lines, err := r.lately(t.Context(), c.jobs); err != nil || len(lines) != c.want {
			t.Errorf("%d jobs: %v, %v; want %d lines", len(c.jobs), lines, err, c.want)
		}
	}
}
