package enginetest

import (
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features"
)

func TestRightEnginePasses(t *testing.T) { Run(t, definitions{}) }

func TestParseScriptFaults(t *testing.T) {
	const end = "end 2026-03-08T00:00:00Z\n"
	const view = "view v subject 1d\n  n count\n"
	for _, c := range []struct{ text, want string }{
		{"", "no end"},
		{"  1 a -1h buy 1", "line 1: an indented line belongs to no section"},
		{"begin", `line 1: unknown statement "begin"`},
		{"end", "line 1: end takes 1 fields"},
		{"end yesterday", "line 1: parsing time"},
		{end + "column x Blob", `line 2: column x: unknown type "Blob"`},
		{end + "view v subject 1x", "line 2: time: unknown unit"},
		{end + "view v subject 1d\n  n", "line 3: a feature is a name"},
		{end + "view v subject 1d\n  n count limit=3", `line 3: feature n: unknown option "limit"`},
		{end + view, "0 tables are expected of 1 views"},
		{end + "view v subject 1d\n  n median\nexpect v", `unknown operator "median"`},
		{"events\n  1 a -1h buy 1", "line 2: events stand below the end"},
		{end + "events\n  1 a -1h buy", "line 3: the event has 4 fields, the columns are 5"},
		{end + "events\n  x a -1h buy 1", "line 3: column subject: strconv.ParseInt"},
		{end + "events\n  1 a -1h buy 1\ncolumn d String", "line 4: column d comes after the first event"},
		{end + "expect w", `line 2: expect: no view "w" above`},
		{end + view + "expect v\n  entity n_2d", `line 5: the header is "entity n_2d", the view has "entity n_1d"`},
		{end + view + "expect v\n  entity n_1d\n  1", "line 6: the row has 1 fields, the header 2"},
		{end + "view v subject 1d hop=x\n", "line 2: time: invalid duration"},
		{end + view + "  m top n=x", "line 4: feature m: strconv.Atoi"},
		{end + view + "  m quantile q=x", "line 4: feature m: strconv.ParseFloat"},
		{end + view + "  m sum weights=view", "line 4: feature m: strconv.ParseFloat"},
		{end + view + "  m count where=x:1..y", "line 4: feature m: strconv.ParseFloat"},
		{end + view + "  m count where=x", "has a value that is empty or listed twice"},
		{end + view + "expect v\n  entity n_1d\n  1 1\n  1 2", "entity [1] is put out twice"},
		{end + view + "joined", "line 4: joined comes once, below the examples"},
		{end + view + "examples\nexamples\n  id", "0 tables are expected of 1 views"},
		{end + view + "examples\n  id time\n  1", "line 6: the example has 1 fields, the header 2"},
		{end + view + "examples\n  id time\njoined", "line 6: the examples have no column subject"},
		{end + view + "examples\n  time subject\njoined", "line 6: the examples begin with column time"},
		{end + view + "examples\n  id time subject\njoined\n  id time", `line 7: the header is "id time", the view has "id time subject v__n_1d"`},
		{end + view + "refused v x", "line 4: strconv.ParseInt"},
	} {
		if _, err := parseScript(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error %v, want %q", c.text, err, c.want)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"0": 0, "7d": 7 * day, "-7d": -7 * day, "-1d12h": -36 * time.Hour, "1d1us": day + time.Microsecond, "-90s": -90 * time.Second,
	} {
		if got, err := parseDuration(s); err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "d", "7", "1d-2h", "xd", "1dd", "99999999d"} {
		if got, err := parseDuration(s); err == nil {
			t.Errorf("%q gives %v", s, got)
		}
	}
}

// Whatever the text: an error, or a script whose plan an engine can run.
func FuzzParseScript(f *testing.F) {
	for _, c := range []string{"edges", "nulls", "operators", "filters", "weights", "join-hops", "keys"} {
		text, err := scripts.ReadFile("testdata/" + c + ".txt")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseScript(text)
		if err != nil {
			return
		}
		if err := features.Validate(s.views); err != nil {
			t.Errorf("a script with a faulty view was parsed: %v", err)
		}
		s.events.whole() // panics if a cell is not of its column's type
	})
}
