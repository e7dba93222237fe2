package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage/table"
)

// TestNumbersAsWritten: what a number would change is text.
func TestNumbersAsWritten(t *testing.T) {
	for text, want := range map[string]bool{
		"0": true, "1": true, "-3": true, "0.5": true, "1.0": true, "2.50": true, "20000000": true, "9007199254740991": true, "1e+21": true, "-0.001": true,
		"007": false, "0x10p0": false, "9007199254740993": false, "1_000": false, "+5": false, " 5": false, "NaN": false, "Inf": false, "": false, "1e400": false, ".5": false,
		"0.12345678901234567891": false,
	} {
		if isNumber(text) != want {
			t.Errorf("%q: a number: %v", text, !want)
		}
	}
	for f, want := range map[float64]string{20_000_000: "20000000", 0.5: "0.5", 1e21: "1e+21", 1e-7: "1e-07", 0: "0", 9007199254740991: "9007199254740991"} {
		if got := decimal(f); got != want {
			t.Errorf("%v is written %s", f, got)
		}
	}
}

// TestJoinReplacesNothingUnasked: the examples are never replaced, under whatever name, and another file only if that is asked for.
func TestJoinReplacesNothingUnasked(t *testing.T) {
	dir := t.TempDir()
	from, other := filepath.Join(dir, "x.csv"), filepath.Join(dir, "y.csv")
	for _, f := range []string{from, other} {
		if err := os.WriteFile(f, []byte("kept\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "z.csv")
	if err := os.Symlink(from, link); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		to    string
		force bool
		ok    bool
	}{{from, false, false}, {from, true, false}, {link, true, false}, {other, false, false}, {other, true, true}, {dir, true, false}, {filepath.Join(dir, "new.csv"), false, true}} {
		if err := mayWrite(c.to, from, c.force); (err == nil) != c.ok {
			t.Errorf("%s, forced %v: %v", filepath.Base(c.to), c.force, err)
		}
	}
	w, err := createRows(other, table.Schema{{Name: "a", Type: table.Int64}})
	if err == nil {
		err = w.close(nil)
	}
	if body, readErr := os.ReadFile(other); err != nil || readErr != nil || string(body) != "a\n" {
		t.Errorf("%q, %v, %v", body, err, readErr)
	}
}

// TestPreviewOfFew: of fewer than eleven people a preview tells no range.
func TestPreviewOfFew(t *testing.T) {
	s := newShop(t, smallWorld)
	last := smallWorld.Days - 1
	s.night(last)
	v := s.job.Views[slices.IndexFunc(s.job.Views, func(v features.View) bool { return slices.Contains(v.Keys(), features.KeySubject) })]
	few := false
	for sample := 1.0; sample > 1e-4 && !few; sample *= 0.7 {
		p, err := s.runner.PreviewView(t.Context(), s.job, v, s.interval(last), sample)
		if err != nil {
			t.Fatal(err)
		}
		few = p.Entities > 0 && p.Entities < 11
		told := slices.ContainsFunc(p.Columns, func(c jobs.ColumnProfile) bool { return c.Min != nil || c.Max != nil || c.Median != nil })
		if told == (p.Entities < 11) {
			t.Errorf("of %d people ranges are told: %v", p.Entities, told)
		}
	}
	if !few {
		t.Error("no sample is small")
	}
}
