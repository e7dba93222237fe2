package local

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

// As many values as views may name are told apart, in each of the ways in which they are named.
func TestManyNamedValues(t *testing.T) {
	var names []string
	for i := range 65_000 {
		names = append(names, fmt.Sprintf("i%d", i))
	}
	last := names[len(names)-1]
	views := []features.View{{Name: "v", Key: features.KeySubject, Windows: []time.Duration{joinDay}, Features: []features.Feature{
		{Name: "a", Op: features.Count, Where: []features.Condition{{Column: "item", In: names}}},
		{Name: "b", Op: features.Count, Where: []features.Condition{{Column: "item", In: names, Not: true}}},
		{Name: "c", Op: features.Count, Where: []features.Condition{{Column: "item", In: names[:64_999], Not: true}, {Column: "item", In: names[1:]}}},
		{Name: "d", Op: features.Count, Where: []features.Condition{{Column: "item", In: []string{last}}}},
	}}}
	b := &table.Batch{Schema: table.Schema{{Name: "subject", Type: table.Int64}, {Name: "item", Type: table.String}, {Name: "time", Type: table.Time}}, N: 4, Cols: []table.Column{
		{Int: make([]int64, 4)}, {Str: []string{names[0], last, "another", ""}, Valid: []bool{true, true, true, false}}, {Int: make([]int64, 4)},
	}}
	for i := range b.Cols[2].Int {
		b.Cols[2].Int[i] = joinEnd.UnixMicro() - 1
	}
	var got []int64
	_, err := Engine{}.Build(t.Context(), features.Plan{
		Views: views, Interval: table.Interval{Start: joinEnd.Add(-joinDay), End: joinEnd},
		Events: func(context.Context, table.Interval) ([]features.Split, error) { return joinSource(b), nil },
		Out: func(_ features.View, rows *table.Batch) error {
			for _, c := range rows.Cols[1:] {
				got = append(got, c.Int...)
			}
			return nil
		},
	})
	if want := "[2 1 1 1]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("%v, %v; want %s", got, err, want)
	}
}

// manyWindows are views of 32 windows each, all different: multiples of step.
func manyWindows(n int, step time.Duration) (views []features.View) {
	for i := range n {
		v := features.View{Name: fmt.Sprint("v", i), Key: features.KeySubject, Features: []features.Feature{{Name: "n", Op: features.Count}}}
		for w := range 32 {
			v.Windows = append(v.Windows, time.Duration(1+32*i+w)*step)
		}
		views = append(views, v)
	}
	return views
}

// More moves than a record's bits tell apart: an error, and from a prior state a build from all events.
func TestMovesHaveNumbers(t *testing.T) {
	_, err := Engine{}.Build(t.Context(), features.Plan{Views: manyWindows(1024, time.Second), Interval: table.Interval{End: joinEnd}})
	if err == nil || !strings.Contains(err.Error(), "32768 different windows: at most 32766") {
		t.Errorf("error %v", err)
	}
	for views, ok := range map[int]bool{500: true, 550: false} { // two cuts a window
		vs := manyWindows(views, 3*time.Second)
		prior := &features.Prior{End: joinEnd.Add(-time.Second), State: map[string][]features.Split{vs[0].Key: make([]features.Split, 1)}}
		p, err := compile(vs[:1], nil, joinEnd, use{timed: true})
		if err != nil {
			t.Fatal(err)
		}
		for i := range vs { // all in one class, of all windows: a program of as many classes would be large
			if i > 0 {
				for _, w := range vs[i].Windows {
					p.views[0].class.windows = append(p.views[0].class.windows, w.Microseconds())
				}
			}
		}
		p.start = p.end - p.views[0].class.longest()
		if got := p.plan(prior, 0) != nil; got != ok {
			t.Errorf("%d windows: is the prior of use? %v, want %v", 32*views, got, ok)
		}
	}
}

// Values that only rise with time are all kept. Coming in no order of time, or against it, they cost the logarithm of their number each: if all that are
// later had to be moved, this would take minutes.
func TestExtremesOfLateEvents(t *testing.T) {
	const n = 200_000
	for name, order := range map[string]func(i int) int64{
		"in time":      func(i int) int64 { return int64(i) },
		"against time": func(i int) int64 { return int64(n - 1 - i) },
		"in no order":  func(i int) int64 { return int64(i) * 7919 % n },
	} {
		began := time.Now()
		k := extremes{keep: keep{op: features.Min}}
		k.room(1)
		for i := range n {
			at := order(i)
			k.add(0, 0, math.Float64bits(float64(at)), at)
		}
		k.done(1)
		list := k.of(&k.lists[0])
		if len(list) != n || list[0].Time != 0 || list[n-1].Value != n-1 {
			t.Fatalf("%s: %d entries, want %d", name, len(list), n)
		}
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("%s: %s for %d events", name, took, n)
		}
	}
}

// Texts that come out again count: where a file's dictionary holds texts that no row has, without them.
func TestPeakCountsTexts(t *testing.T) {
	const n = 500
	long := strings.Repeat("long ", 200)
	dict, codes := make([]string, 2*n), make([]int32, n)
	for i := range dict {
		dict[i] = fmt.Sprint(long, i)
	}
	for i := range codes {
		codes[i] = int32(2 * i)
	}
	b := &table.Batch{Schema: table.Schema{{Name: "subject", Type: table.Int64}, {Name: "item", Type: table.String}, {Name: "time", Type: table.Time}}, N: n, Cols: []table.Column{
		{Int: make([]int64, n)}, {Code: codes, Dict: dict}, {Int: make([]int64, n)},
	}}
	for i := range b.Cols[2].Int {
		b.Cols[2].Int[i] = joinEnd.UnixMicro() - 1 - int64(i)
	}
	views := []features.View{{Name: "v", Key: features.KeySubject, Windows: []time.Duration{joinDay}, Features: []features.Feature{{Name: "path", Op: features.Sequence, N: n}}}}
	events := func(context.Context, table.Interval) ([]features.Split, error) { return joinSource(b), nil }
	stats, err := Engine{}.Build(t.Context(), features.Plan{
		Views: views, Interval: table.Interval{Start: joinEnd.Add(-joinDay), End: joinEnd}, Events: events, Out: func(features.View, *table.Batch) error { return nil },
	})
	if texts := int64(n * len(long)); err != nil || stats.Peak < texts || stats.Peak > texts*3/2 {
		t.Errorf("build: Peak is %d, the texts are %d bytes, %v", stats.Peak, texts, err)
	}
	plan := features.JoinPlan{
		Views: views, Events: events, ExampleSchema: exampleSchema, Examples: joinSource(&table.Batch{Schema: exampleSchema, N: 2, Cols: []table.Column{
			{Int: make([]int64, 2)}, {Int: []int64{joinEnd.UnixMicro(), joinEnd.UnixMicro()}}, {Int: make([]int64, 2)}, {Str: make([]string, 2)},
		}}),
		Out: func(*table.Batch) error { return nil },
	}
	stats, err = Engine{}.Join(t.Context(), plan)
	if texts := int64(2 * n * len(long)); err != nil || stats.Peak < texts {
		t.Errorf("join: Peak is %d, the texts are %d bytes, %v", stats.Peak, texts, err)
	}
	j, err := compileJoin(plan)
	if err != nil || j.cells < 4*n {
		t.Errorf("a row with a sequence of %d texts counts as %d words, %v", n, j.cells, err)
	}
}

// A moment that can't be computed with is refused before anything is read.
func TestMomentsOfAges(t *testing.T) {
	ages := time.Unix(1<<60, 0)
	for _, iv := range []table.Interval{{Start: joinEnd, End: ages}, {Start: ages, End: joinEnd}, {Start: joinEnd, End: time.Unix(-1<<60, 0)}, {Start: time.Unix(-1<<60, 0), End: joinEnd}} {
		_, err := Engine{}.Build(t.Context(), features.Plan{
			Views: manyWindows(1, time.Second), Interval: iv,
			Events: func(context.Context, table.Interval) ([]features.Split, error) {
				t.Errorf("%v: the source was asked", iv)
				return nil, nil
			},
		})
		if err == nil || !strings.Contains(err.Error(), "73,000 years") {
			t.Errorf("%v: error %v", iv, err)
		}
	}
	p, err := compile(manyWindows(1, time.Second), nil, joinEnd, use{timed: true})
	if err != nil {
		t.Fatal(err)
	}
	if p.plan(&features.Prior{End: time.Unix(-1<<60, 0), State: map[string][]features.Split{features.KeySubject: {}}}, 0) != nil {
		t.Error("a prior state of ages ago is of use")
	}
}

// A state is of the types of the columns that were read: of another type, the same values hash otherwise, or are refused otherwise.
func TestStatesAreOfTypes(t *testing.T) {
	v := features.View{Name: "v", Key: features.KeySubject, Windows: []time.Duration{joinDay}, Features: []features.Feature{{Name: "n", Op: features.Distinct, Column: "x"}}}
	seeds := map[uint64]table.Type{}
	for _, typ := range []table.Type{table.Int64, table.Float64, table.String, table.Bool, table.Time} {
		p, err := compile([]features.View{v}, table.Schema{{Name: "x", Type: typ}}, joinEnd, use{timed: true})
		if err != nil {
			t.Fatal(err)
		}
		seed := seedOf(p, p.groups[0], 0, p.end)
		if other, ok := seeds[seed]; ok {
			t.Errorf("states of %s and %s are not told apart", typ, other)
		}
		seeds[seed] = typ
	}
}
