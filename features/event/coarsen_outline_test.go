package event

import (
	"fmt"
	"strings"
	"testing"
)

// hierarchyOf has n values of two levels, those from moved on by another parent.
func hierarchyOf(from, n, moved int) *Hierarchy {
	h := &Hierarchy{depth: 2, levels: map[string][]string{}}
	for i := from; i < n; i++ {
		town := i % 7
		if i < moved {
			town = 7
		}
		h.levels[fmt.Sprintf("%05d", i)] = append([]string{fmt.Sprintf("town %d", town), "land"}, make([]string, maxLevels-2)...)
	}
	return h
}

// TestOutlineSaysHowManyMoved: of a few values exactly how many, of many nearly, whatever the size; and it is read as it was written.
func TestOutlineSaysHowManyMoved(t *testing.T) {
	was := func(n int) Outline {
		o := hierarchyOf(0, n, 0).Outline()
		got, err := ParseOutline(o.Values, o.String())
		if err != nil || got.String() != o.String() || len(o.String()) > 5500 {
			t.Fatalf("an outline of %d values, %d characters: %v", n, len(o.String()), err)
		}
		return got
	}
	for _, tt := range []struct {
		before    int
		h         *Hierarchy
		want      string
		low, high int // of those that stand elsewhere; 0: as want says
	}{
		{3, hierarchyOf(0, 3, 1), "1 value stands elsewhere of 3", 0, 0},
		{200, hierarchyOf(0, 200, 4), "4 values stand elsewhere of 200", 0, 0},
		{200, hierarchyOf(0, 203, 0), "3 are new of 203", 0, 0},
		{200, hierarchyOf(2, 200, 0), "2 are gone of 200", 0, 0},
		{200, hierarchyOf(2, 203, 3), "1 value stands elsewhere, 3 are new, 2 are gone of 201", 0, 0},
		{8000, hierarchyOf(0, 8000, 5), "5 values stand elsewhere of 8000", 0, 0},
		{8000, hierarchyOf(0, 8000, 500), "about ", 420, 580},
		{8000, hierarchyOf(0, 8000, 7000), "more than 3066 values stand elsewhere, are new or are gone: 8000 were accepted, and it has 8000", 0, 0},
		{8000, hierarchyOf(7990, 8000, 0), "more than 190 values stand elsewhere, are new or are gone: 8000 were accepted, and it has 10", 0, 0},
		{10, hierarchyOf(0, 900, 0), "more than 190 values", 0, 0},
	} {
		got := tt.h.Outline().Differs(was(tt.before))
		if !strings.HasPrefix(got, tt.want) || tt.low == 0 && len(tt.want) > 60 && got != tt.want {
			t.Errorf("of %d values: %q, want %q", tt.before, got, tt.want)
		}
		var n int
		if _, err := fmt.Sscanf(got, "about %d values stand elsewhere", &n); tt.low > 0 && (err != nil || n < tt.low || n > tt.high) {
			t.Errorf("of %d values: %q, want about %d to %d", tt.before, got, tt.low, tt.high)
		}
	}
	for _, text := range []string{"", "????", strings.Repeat("A", 64+6), strings.Repeat("A", 128*4)} {
		if _, err := ParseOutline(3, text); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}
