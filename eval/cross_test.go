package eval

import (
	"slices"
	"testing"
)

// TestCross: three attributes, of which some rows lack one.
func TestCross(t *testing.T) {
	a := Cohort{Name: "a", Levels: []string{"x", "y"}, Of: []int32{0, 1, 0, -1, 1}}
	b := Cohort{Name: "b", Levels: []string{"1", "2+"}, Of: []int32{0, 1, 1, 0, -1}}
	c := Cohort{Name: "c", Levels: []string{"r"}, Of: []int32{0, 0, -1, 0, 0}}
	got := Cross(a, b, c)
	if got.Name != "a+b+c" || !slices.Equal(got.Levels, []string{"x+1+r", "y+2++r"}) || !slices.Equal(got.Of, []int32{0, 1, -1, -1, -1}) {
		t.Errorf("%+v", got)
	}
	if len(got.parts) != 3 || !slices.Equal(got.parts[1].of, []int32{0, 1}) || !slices.Equal(got.parts[2].of, []int32{0, 0}) {
		t.Errorf("parts %+v", got.parts)
	}
	if one := Cross(a); one.Name != "a" || one.parts != nil {
		t.Errorf("one: %+v", one)
	}
}

// TestCrossGivesNobodyAway: 60 women, of whom 50 have an age: beside the 60, their two groups of 25 would tell of ten without one.
func TestCrossGivesNobodyAway(t *testing.T) {
	f := fixture{Task: Task{Catalog: catalog(3), K: []int{1}, MinN: MinCell}}
	gender, age := Cohort{Name: "gender", Levels: []string{"f", "m"}}, Cohort{Name: "age", Levels: []string{"old", "young"}}
	for i := range 160 {
		f.add(Subject{Relevant: []int32{int32(i % 3)}})
		of := int32(i % 2)
		if i < 10 || i >= 140 { // ten women, and twenty men, have no age
			of = -1
		}
		gender.Of, age.Of = append(gender.Of, int32(min(1, i/60))), append(age.Of, of)
	}
	for _, alone := range []bool{true, false} {
		f.Cohorts = []Cohort{Cross(gender, age)}
		if alone {
			f.Cohorts = append(f.Cohorts, gender, age)
		}
		q, err := Evaluate(t.Context(), f.task(), []Contender{{Name: "c", Scorer: descending, Role: Candidate}})
		if err != nil {
			t.Fatal(err)
		}
		women, shown := 0, 0
		for _, g := range q.Cohort("gender+age", "c", "hit@1").ByGroup {
			if g.Status != Suppressed {
				shown++
				if g.Level[0] == 'f' {
					women += *g.N
				}
			}
		}
		if alone && 60-women < MinCell || !alone && shown != 5 {
			t.Errorf("with the attributes by themselves (%v): %d women and %d groups are told", alone, women, shown)
		}
	}
}
