package drift

import (
	"slices"
	"testing"
)

// week makes seven periods of a column of levels a and b with these shares of b, in per cent, over 1,000 subjects.
func week(t *testing.T, percent ...int) [][]*Summary {
	t.Helper()
	spec := CategoricalSpec("c", map[string]int64{"a": 1, "b": 1}, 10)
	periods := make([][]*Summary, len(percent))
	for i, b := range percent {
		s := NewSummary(spec)
		for subject := range uint64(1000) {
			level := "a"
			if int(subject%100) < b {
				level = "b"
			}
			s.AddLevel(subject, level)
		}
		periods[i] = []*Summary{s}
	}
	return periods
}

func TestReferenceLeavesOutliersOut(t *testing.T) {
	for _, c := range []struct {
		name  string
		share []int
		out   []int
		rows  int64
	}{
		{"alike", []int{30, 31, 29, 30, 30, 32, 28}, nil, 7000},
		{"one broken day", []int{30, 31, 29, 90, 30, 32, 28}, []int{3}, 6000},
		{"two broken days", []int{30, 90, 29, 90, 30, 32, 28}, []int{1, 3}, 5000},
		{"a change that has lasted", []int{30, 31, 29, 30, 90, 90, 90}, nil, 7000},
		{"too few periods to tell", []int{30, 90, 30, 30}, nil, 4000},
		{"noise is no outlier", []int{10, 50, 90, 20, 60, 80, 40}, nil, 7000},
	} {
		pooled, left, err := Reference(week(t, c.share...))
		if err != nil {
			t.Fatal(err)
		}
		var out []int
		for _, l := range left {
			out = append(out, l.Period)
		}
		slices.Sort(out)
		if !slices.Equal(out, c.out) || pooled[0].Result().Rows != c.rows {
			t.Errorf("%s: left out %v of %v, %d rows in the reference; want %v, %d", c.name, out, c.share, pooled[0].Result().Rows, c.out, c.rows)
		}
	}
	if _, _, err := Reference(nil); err == nil {
		t.Error("a reference of no period is no error")
	}
}

func TestReferenceKeepsItsPeriods(t *testing.T) {
	periods := week(t, 30, 30, 90, 30, 30, 30)
	before := periods[0][0].Result()
	if _, _, err := Reference(periods); err != nil {
		t.Fatal(err)
	}
	if after := periods[0][0].Result(); after.Rows != before.Rows {
		t.Errorf("the first period had %d rows and has %d", before.Rows, after.Rows)
	}
}
