package models

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// tiny is a valid data set: two subjects, three items, six events.
func tiny() *Dataset {
	return &Dataset{
		Catalog: &Catalog{IDs: []string{"a", "b", "c"}},
		Kinds:   []string{"view", "buy"},
		Events: NewEventLog([]Event{
			{Subject: 7, Time: 30, Item: 0, Weight: 1, Kind: 1},
			{Subject: 7, Time: 10, Item: 0, Weight: 1},
			{Subject: 7, Time: 20, Item: 2, Weight: 2},
			{Subject: 3, Time: 20, Item: 1, Weight: 1},
			{Subject: 3, Time: 20, Item: 1, Weight: 1, Kind: 1},
			{Subject: 3, Time: 40, Item: 1, Weight: 1},
		}),
		Subjects: &Attributes{N: 2, Cats: []CatColumn{NewCatColumn("age", []string{"", "old"})}},
		Cuts:     Cuts{Base: 0, Rerank: 20, Validation: 20, Test: 30, End: 50},
	}
}

func TestNewEventLog(t *testing.T) {
	d := tiny()
	if err := d.Validate(); err != nil {
		t.Fatal(err)
	}
	want := EventLog{
		Subjects: []uint64{3, 7},
		Off:      []int{0, 3, 6},
		Item:     []int32{1, 1, 1, 0, 2, 0},
		Time:     []int64{20, 20, 40, 10, 20, 30},
		Kind:     []uint8{0, 1, 0, 0, 0, 1},
		Weight:   []float32{1, 1, 1, 1, 2, 1},
	}
	if !reflect.DeepEqual(d.Events, want) {
		t.Errorf("got %+v", d.Events)
	}
	empty := NewEventLog(nil)
	if err := empty.Validate(); err != nil || empty.Len() != 0 || len(empty.Off) != 1 {
		t.Errorf("empty log %+v: %v", empty, err)
	}
}

func TestBetween(t *testing.T) {
	d := tiny()
	got := d.Events.Between(20, 30)
	if want := (EventLog{
		Subjects: []uint64{3, 7}, Off: []int{0, 2, 3}, Item: []int32{1, 1, 2}, Time: []int64{20, 20, 20},
		Kind: []uint8{0, 1, 0}, Weight: []float32{1, 1, 2},
	}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	if got := d.Events.Before(20); !slices.Equal(got.Off, []int{0, 0, 1}) || got.Item[0] != 0 {
		t.Errorf("before 20: %+v", got)
	}
	if all := d.Events.Before(math.MaxInt64); &all.Item[0] != &d.Events.Item[0] {
		t.Error("a window around all events copies them")
	}
	if h := d.Events.Subject(1); !slices.Equal(h.Time, []int64{10, 20, 30}) {
		t.Errorf("subject row 1: %+v", h)
	}
}

// TestBetweenIsAFilter compares windows with a filter over rows, on random logs.
func TestBetweenIsAFilter(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		var events, kept []Event
		from, to := rng.Int64N(20), rng.Int64N(20)
		for range rng.IntN(30) {
			e := Event{Subject: rng.Uint64N(4), Time: rng.Int64N(20), Item: rng.Int32N(3), Weight: 1}
			events = append(events, e)
			if e.Time >= from && e.Time < to {
				kept = append(kept, e)
			}
		}
		log := NewEventLog(events)
		got, want := log.Between(from, to), NewEventLog(kept)
		if err := got.Validate(); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Item, want.Item) || !slices.Equal(got.Time, want.Time) || !slices.Equal(got.Subjects, log.Subjects) {
			t.Fatalf("[%d, %d): got %+v, want %+v", from, to, got, want)
		}
	}
}

func TestQuery(t *testing.T) {
	d := tiny()
	d.Cuts.Base = 15
	q := d.Query(1, 30, 4)
	if want := (Query{At: 30, K: 4, Draw: 7, Subject: []string{"old"}, History: History{Item: []int32{2}, Time: []int64{20}, Kind: []uint8{0}, Weight: []float32{2}}}); !reflect.DeepEqual(q, want) {
		t.Errorf("got %+v", q)
	}
	if got := d.Query(0, 30, 4).Subject; !slices.Equal(got, []string{""}) {
		t.Errorf("missing level: %q", got)
	}
	if got := d.SubjectColumns(); !slices.Equal(got, []string{"age"}) {
		t.Errorf("columns %q", got)
	}
	d.Subjects = nil
	if d.SubjectColumns() != nil || d.Query(0, 30, 4).Subject != nil {
		t.Error("attributes where none are declared")
	}
}

func TestDatasetValidate(t *testing.T) {
	for want, spoil := range map[string]func(d *Dataset){
		"no catalog":                           func(d *Dataset) { d.Catalog = nil },
		"ids must ascend":                      func(d *Dataset) { d.Catalog.IDs[1] = "a" },
		"id is not valid UTF-8":                func(d *Dataset) { d.Catalog.IDs[2] = "\xff" },
		"attributes of 1 items for a catalog":  func(d *Dataset) { d.Catalog.Attrs = &Attributes{N: 1} },
		"item attributes: column \"x\" has 0":  func(d *Dataset) { d.Catalog.Attrs = &Attributes{N: 3, Nums: []NumColumn{{Name: "x"}}} },
		"the columns must have one length":     func(d *Dataset) { d.Events.Kind = d.Events.Kind[1:] },
		"offsets do not span":                  func(d *Dataset) { d.Events.Off[2] = 5 },
		"ends before it begins":                func(d *Dataset) { d.Events.Off[1] = 7 },
		"subject row 1 is out of order":        func(d *Dataset) { d.Events.Subjects[0] = 7 },
		"weight 0":                             func(d *Dataset) { d.Events.Weight[2] = 0 },
		"weight NaN":                           func(d *Dataset) { d.Events.Weight[2] = float32(math.NaN()) },
		"weight +Inf":                          func(d *Dataset) { d.Events.Weight[2] = float32(math.Inf(1)) },
		"row 1 is out of order":                func(d *Dataset) { d.Events.Kind[0], d.Events.Kind[1] = 1, 0 },
		"row 5 is out of order":                func(d *Dataset) { d.Events.Time[5] = 11 },
		"event 0 has item 3 of a catalog of 3": func(d *Dataset) { d.Events.Item[0], d.Events.Item[1], d.Events.Item[2] = 3, 3, 3 },
		"event 3 has item -1":                  func(d *Dataset) { d.Events.Item[3] = -1 },
		"event 1 has kind 1 of 1":              func(d *Dataset) { d.Kinds = d.Kinds[:1] },
		"attributes of 3 subjects for 2":       func(d *Dataset) { d.Subjects.N = 3 },
		"column \"age\" has 2 rows, want 3": func(d *Dataset) {
			d.Subjects.N = 3
			d.Events.Subjects = []uint64{3, 7, 9}
			d.Events.Off = []int{0, 3, 6, 6}
		},
		"column \"age\" is there twice":           func(d *Dataset) { d.Subjects.Cats = append(d.Subjects.Cats, d.Subjects.Cats[0]) },
		"level 0 is empty":                        func(d *Dataset) { d.Subjects.Cats[0].Levels[0] = "" },
		"row 1 has level 1 of 1":                  func(d *Dataset) { d.Subjects.Cats[0].Values[1] = 1 },
		"no name":                                 func(d *Dataset) { d.Subjects.Cats[0].Name = "" },
		"cuts 0, 20, 20, 60, 50 must not descend": func(d *Dataset) { d.Cuts.Test = 60 },
	} {
		d := tiny()
		spoil(d)
		if err := d.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestRepeatShare(t *testing.T) {
	d := tiny()
	for _, c := range []struct {
		from, to int64
		want     float64
	}{
		// Subject 3: b at 20 (twice, at one time: no repeat), b at 40 (a repeat). Subject 7: a at 10, c at 20, a at 30 (a repeat).
		{0, 50, 2. / 6},
		{30, 50, 2. / 2}, // earlier events count although they lie before the window
		{20, 30, 0. / 3},
		{45, 50, 0}, // no event
	} {
		if got := RepeatShare(d, c.from, c.to); got != c.want {
			t.Errorf("[%d, %d): %v, want %v", c.from, c.to, got, c.want)
		}
	}
	if !AutoMask(0.049) || AutoMask(0.05) {
		t.Error("the choice does not turn at one repeat in twenty")
	}
}

func TestCatalog(t *testing.T) {
	c := &Catalog{IDs: []string{"a", "c", "d"}}
	for id, want := range map[string]int32{"a": 0, "c": 1, "d": 2} {
		if i, ok := c.Lookup(id); !ok || i != want {
			t.Errorf("%s: %d, %v", id, i, ok)
		}
	}
	for _, id := range []string{"", "b", "z"} {
		if _, ok := c.Lookup(id); ok {
			t.Errorf("%q found", id)
		}
	}
	if got := Map(c, &Catalog{IDs: []string{"", "b", "c", "d", "e"}}); !slices.Equal(got, []int32{-1, 2, 3}) {
		t.Errorf("map %v", got)
	}
	if got := Map(&Catalog{}, c); len(got) != 0 {
		t.Errorf("map of nothing %v", got)
	}
	if got := Map(c, &Catalog{}); !slices.Equal(got, []int32{-1, -1, -1}) {
		t.Errorf("map to nothing %v", got)
	}
}

func TestNewCatColumn(t *testing.T) {
	c := NewCatColumn("x", []string{"b", "", "a", "b"})
	if want := (CatColumn{Name: "x", Levels: []string{"a", "b"}, Values: []int32{1, -1, 0, 1}}); !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v", c)
	}
	if c.Level(0) != "b" || c.Level(1) != "" {
		t.Error("levels of rows")
	}
	a := &Attributes{N: 4, Cats: []CatColumn{c}, Nums: []NumColumn{{Name: "n", Values: make([]float64, 4)}}}
	if a.Cat("x") == nil || a.Cat("n") != nil || a.Num("n") == nil || a.Num("x") != nil || (*Attributes)(nil).Cat("x") != nil || (*Attributes)(nil).Num("x") != nil {
		t.Error("columns by name")
	}
}

func TestDecay(t *testing.T) {
	h := int64(time.Hour / time.Microsecond)
	for _, c := range []struct {
		age  int64
		half time.Duration
		want float64
	}{{0, time.Hour, 1}, {h, time.Hour, .5}, {2 * h, time.Hour, .25}, {-h, time.Hour, 1}, {h, 0, 1}, {h, 2 * time.Hour, math.Sqrt(.5)}} {
		if got := Decay(c.age, c.half); math.Abs(got-c.want) > 1e-15 {
			t.Errorf("Decay(%d, %v) = %v, want %v", c.age, c.half, got, c.want)
		}
	}
}

// withContexts is tiny, its events in known circumstances.
func withContexts(t *testing.T) *Dataset {
	t.Helper()
	d := tiny()
	c, err := NewContexts([]string{"device"}, []map[string]int{{"phone": 3, "desktop": 3, "": 9}}, "Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	d.Contexts = c
	var events []Event
	for s, subject := range d.Events.Subjects {
		for i := d.Events.Off[s]; i < d.Events.Off[s+1]; i++ {
			e := Event{Subject: subject, Time: d.Events.Time[i], Item: d.Events.Item[i], Kind: d.Events.Kind[i], Weight: d.Events.Weight[i]}
			e.Context = e.Context.With(0, i%3).With(2, 1+i)
			events = append(events, e)
		}
	}
	d.Events = NewContextLog(events)
	return d
}

func TestContexts(t *testing.T) {
	d := withContexts(t)
	if err := d.Validate(); err != nil {
		t.Fatal(err)
	}
	if got := d.Contexts.Columns; len(got) != 3 || !slices.Equal(got[0].Levels, []string{"desktop", "phone"}) || got[1].Name != DaypartColumn || got[2].Name != WeekdayColumn {
		t.Errorf("columns %+v", got)
	}
	c := Context(0).With(0, 2).With(7, 255).With(0, 1)
	if c.Level(0) != 1 || c.Level(1) != 0 || c.Level(7) != 255 {
		t.Errorf("context %x", uint64(c))
	}
	if got := d.Events.Between(20, 30).Context; !slices.Equal(got, []Context{d.Events.Context[0], d.Events.Context[1], d.Events.Context[4]}) {
		t.Errorf("a window has contexts %x of %x", got, d.Events.Context)
	}
	q := d.Query(1, 30, 4)
	if q.Contexts != d.Contexts || q.Context != nil || !slices.Equal(q.History.Context, d.Events.Context[3:5]) {
		t.Errorf("query %+v", q)
	}
	for at, want := range map[string][2]string{
		"2026-03-28T23:59:59Z": {"night", "sun"}, // 00:59:59 in Berlin
		"2026-03-29T05:30:00Z": {"morning", "sun"},
		"2026-03-30T10:00:00Z": {"midday", "mon"}, // summer time: 12:00
		"2026-03-30T15:59:59Z": {"afternoon", "mon"},
		"2026-03-30T16:00:00Z": {"evening", "mon"},
	} {
		loc, err := d.Contexts.Location()
		if err != nil {
			t.Fatal(err)
		}
		utc, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if daypart, weekday := ClockLevels(utc.In(loc)); [2]string{daypart, weekday} != want {
			t.Errorf("%s is %s %s, want %v", at, weekday, daypart, want)
		}
	}
}

func TestContextsRefuse(t *testing.T) {
	counts := map[string]int{}
	for i := range MaxContextLevels + 5 {
		counts[string(rune('a'+i))] = i
	}
	c, err := NewContexts([]string{"x"}, []map[string]int{counts}, "")
	if err != nil || len(c.Columns[0].Levels) != MaxContextLevels || c.Columns[0].Index("a") != 0 || c.Columns[0].Index(string(rune('a'+MaxContextLevels))) == 0 {
		t.Errorf("frequent levels: %+v, %v", c, err)
	}
	if _, err := NewContexts([]string{"weekday"}, []map[string]int{nil}, ""); err == nil || !strings.Contains(err.Error(), "told from the time") {
		t.Errorf("got %v", err)
	}
	if _, err := NewContexts(make([]string, 7), make([]map[string]int, 7), ""); err == nil || !strings.Contains(err.Error(), "at most 6") {
		t.Errorf("got %v", err)
	}
	for want, spoil := range map[string]func(d *Dataset){
		"must be there together":      func(d *Dataset) { d.Contexts = nil },
		"columns must have one":       func(d *Dataset) { d.Events.Context = d.Events.Context[1:] },
		"event 2: context column":     func(d *Dataset) { d.Events.Context[2] = Context(0).With(0, 3) },
		"event 1: a context has":      func(d *Dataset) { d.Events.Context[1] = Context(0).With(3, 1) },
		"one that stands before it":   func(d *Dataset) { d.Contexts.Columns[1].Name = "device" },
		"level 1 is empty, not UTF-8": func(d *Dataset) { d.Contexts.Columns[0].Levels[1] = "a" },
	} {
		d := withContexts(t)
		spoil(d)
		if err := d.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	for _, zone := range []string{"Local", "Nowhere/Land"} {
		if _, err := (&Contexts{Zone: zone}).Location(); err == nil {
			t.Errorf("zone %q is taken", zone)
		}
	}
}
