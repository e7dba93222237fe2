package jobs

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/models/lists"
	"github.com/rapport-ml/rapport/storage/table"
)

// TestSiftItems: events of sensitive items count in the span of the consent that they need, whether items are written as text or as codes, and each row that is
// left out is counted.
func TestSiftItems(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
	by := policy.Decide(policy.Purpose{Name: "health", Basis: policy.Consent}, day(9), []policy.Record{
		{Subject: 2, Purpose: "health", State: policy.ConsentGiven, Effective: day(3), Recorded: day(3)},
	}, nil)
	items := []string{"tea", "test", "tea", "test", "test", "cup"}
	subjects, days := []int64{1, 1, 2, 2, 2, 3}, []int{4, 4, 2, 2, 4, 4}
	for _, coded := range []bool{false, true} {
		for who, c := range map[string]struct {
			by   *policy.Decisions
			want []int
		}{"with consent": {by, []int{0, 2, 4, 5}}, "without": {nil, []int{0, 2, 5}}} {
			b := &table.Batch{N: len(items), Schema: table.Schema{{Name: "subject", Type: table.Int64}, {Name: "item", Type: table.String}, {Name: "time", Type: table.Time}}, Cols: make([]table.Column, 3)}
			b.Cols[0].Int, b.Cols[1].Str = slices.Clone(subjects), slices.Clone(items)
			for _, d := range days {
				b.Cols[2].Int = append(b.Cols[2].Int, table.Micros(day(d)))
			}
			if coded {
				b.Cols[1] = table.Column{Dict: []string{"cup", "tea", "test"}}
				for _, item := range items {
					b.Cols[1].Code = append(b.Cols[1].Code, int32(slices.Index(b.Cols[1].Dict, item)))
				}
			}
			s := &sieve{guard: policy.NewSensitive([]string{"test", "never taken"}, c.by), funnel: policy.Funnel{policy.Kept: int64(len(items))}}
			if err := s.siftItems(b); err != nil {
				t.Fatal(err)
			}
			var got, want []string
			for i := range b.N {
				got = append(got, fmt.Sprint(b.Cols[0].Int[i], b.Cols[1].Text(i), b.Cols[2].Int[i]))
			}
			for _, i := range c.want {
				want = append(want, fmt.Sprint(subjects[i], items[i], table.Micros(day(days[i]))))
			}
			if left := int64(len(items) - len(want)); !slices.Equal(got, want) || s.funnel[policy.SensitiveItem] != left || s.funnel[policy.Kept] != int64(len(want)) {
				t.Errorf("%s, coded %v: %v, want %v; %v", who, coded, got, want, s.funnel)
			}
		}
	}
	if err := (&sieve{guard: policy.NewSensitive([]string{"x"}, nil)}).siftItems(&table.Batch{Schema: table.Schema{{Name: "subject", Type: table.Int64}}, Cols: make([]table.Column, 1)}); err == nil {
		t.Error("rows without their items passed")
	}
}

// TestSensitiveOf: items meet all conditions of one entry; what they lack meets none.
func TestSensitiveOf(t *testing.T) {
	rows := &table.Batch{N: 4, Schema: table.Schema{{Name: "item", Type: table.String}, {Name: "category", Type: table.String}, {Name: "age", Type: table.Float64}}, Cols: []table.Column{
		{Str: []string{"d", "a", "c", "b"}}, {Str: []string{"health", "tea", "", "health"}, Valid: []bool{true, true, false, true}}, {Float: []float64{18, 18, 0, 0}, Valid: []bool{true, true, false, true}},
	}}
	adult := 18.0
	health, grown := lists.Condition{Column: "category", In: []string{"health"}}, lists.Condition{Column: "age", Min: &adult}
	notTea := lists.Condition{Column: "category", In: []string{"tea"}, Not: true}
	for _, c := range []struct {
		entries []lists.Exclusion
		want    []string
	}{
		{nil, nil},
		{[]lists.Exclusion{{health}}, []string{"b", "d"}},
		{[]lists.Exclusion{{health, grown}}, []string{"d"}},
		{[]lists.Exclusion{{health}, {grown}}, []string{"a", "b", "d"}},
		{[]lists.Exclusion{{notTea}}, []string{"b", "d"}},
		{[]lists.Exclusion{{}}, nil},
		{[]lists.Exclusion{{{Column: "none", In: []string{"x"}}}}, nil},
	} {
		if got := sensitiveOf(rows, c.entries); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.entries, got, c.want)
		}
	}
	if notTea.Meets("", math.NaN()) || grown.Meets("", math.NaN()) {
		t.Error("what is not known meets a condition")
	}
}

// TestProtectedShare: how many an entry withholds is told, of few on either side not how many.
func TestProtectedShare(t *testing.T) {
	for _, tt := range []struct {
		rows, of int64
		says     string
		most     bool
	}{
		{0, 500, "nobody", false},
		{smallCell - 1, 500, "fewer than 11 people", false},
		{smallCell, 500, "2.2 % of 500 people", false},
		{451, 500, "90.2 % of 500 people", true},
		{495, 500, "all but fewer than 11 people", true},
		{500, 500, "everybody", true},
	} {
		if s := (ProtectedShare{tt.rows, tt.of}); s.String() != tt.says || s.Most() != tt.most {
			t.Errorf("%d of %d: %s, %t; want %s, %t", tt.rows, tt.of, s, s.Most(), tt.says, tt.most)
		}
	}
}

// TestRelinkedSays: ids that were linked from the first are no change of links; one by which rows are another's is.
func TestRelinkedSays(t *testing.T) {
	for _, tt := range []struct {
		change event.Relinked
		days   int
		want   string
	}{
		{event.Relinked{}, 0, ""},
		{event.Relinked{Added: 125}, 0, ""},
		{event.Relinked{Added: 125}, 2, "links of sources.identities: 125 more ids are one person's with another; 2 days that hold their rows are read again"},
		{event.Relinked{Removed: 40}, 0, "links of sources.identities: 40 are linked no more; no day that was read holds rows of them"},
	} {
		if got := relinkedSays(tt.change, tt.days); got != tt.want {
			t.Errorf("%+v, %d: %q, want %q", tt.change, tt.days, got, tt.want)
		}
	}
}
