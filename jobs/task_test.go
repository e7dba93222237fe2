package jobs

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/features/event"
)

// TestBanded: bands begin at the given values; without any there are three of as equal size as ties allow, and what is not known is missing.
func TestBanded(t *testing.T) {
	show := func(v float64) string { return fmt.Sprint(v) }
	values := []float64{0, 5, 19, 20, math.NaN(), 21}
	c := banded("n", values, []float64{5, 20}, show)
	if !slices.Equal(c.Levels, []string{"under 5", "5 and more", "20 and more"}) || !slices.Equal(c.Of, []int32{0, 1, 1, 2, -1, 2}) {
		t.Errorf("%+v", c)
	}
	if c = banded("n", []float64{3, 1, 2, 6, 5, 4, math.NaN()}, nil, show); !slices.Equal(c.Of, []int32{1, 0, 0, 2, 2, 1, -1}) {
		t.Errorf("thirds: %+v", c)
	}
	if c = banded("n", []float64{1, 1, 1}, nil, show); !slices.Equal(c.Of, []int32{2, 2, 2}) { // ties everywhere: one group
		t.Errorf("ties: %+v", c)
	}
	if c = banded("n", []float64{math.NaN()}, nil, show); !slices.Equal(c.Of, []int32{-1}) {
		t.Errorf("nothing known: %+v", c)
	}
}

// TestASubjectInTwoCohorts: a table that puts people into two groups of one cohort is refused with what to do, and tells of nobody, nor of how few.
func TestASubjectInTwoCohorts(t *testing.T) {
	x := &cohortRows{facts: event.AttributesFacts{Ambiguous: map[string]int64{"gender": 3}}}
	_, err := x.cohort("gender", nil, nil)
	if err == nil || !strings.Contains(err.Error(), "cohort gender: a file of sources.cohorts has two rows that differ in it for under 11 people: give one row a subject in each file") {
		t.Errorf("%v", err)
	}
}
