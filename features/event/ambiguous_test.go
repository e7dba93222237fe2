package event

import (
	"maps"
	"testing"
)

// TestAmbiguous: a subject is counted once a column, however many rows differ, and only in the columns that do.
func TestAmbiguous(t *testing.T) {
	var f AttributesFacts
	columns := []string{"gender", "age"}
	row := func(text string, number float64) *attributeRow {
		return &attributeRow{text: []string{text, ""}, number: []float64{0, number}}
	}
	rows := []*attributeRow{row("f", 30), row("m", 30), row("f", 30), row("f", 31)}
	for i := 1; i < len(rows); i++ {
		f.differ(rows[i-1], rows[i], columns)
	}
	f.differ(row("f", 5), row("f", 5), columns)
	f.differ(row("x", 5), row("y", 5), columns)
	if want := map[string]int64{"gender": 2, "age": 1}; !maps.Equal(f.Ambiguous, want) {
		t.Errorf("%v, want %v", f.Ambiguous, want)
	}
}
