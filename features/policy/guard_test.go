package policy

import (
	"slices"
	"testing"

	"github.com/rapport-ml/rapport/storage/table"
)

// TestSensitive: an event with a sensitive item counts in the span of the consent that names such items, and a list may hold them while it is held.
func TestSensitive(t *testing.T) {
	purpose := Purpose{Name: "health", Basis: Consent}
	given := func(s Subject, at int) Record {
		return Record{Subject: s, Purpose: "health", State: ConsentGiven, Effective: day(at), Recorded: day(at)}
	}
	by := Decide(purpose, day(9), []Record{given(1, 3), given(2, 3), {Subject: 2, Purpose: "health", State: Withdrawn, Effective: day(5), Recorded: day(5)}}, nil)
	s := NewSensitive([]string{"test-kit", "vitamin"}, by)
	for _, c := range []struct {
		subject Subject
		at      int
		want    bool
	}{{1, 2, false}, {1, 3, true}, {1, 8, true}, {2, 4, false}, {3, 4, false}} {
		if got := s.Counts(c.subject, dayMicros(c.at)); got != c.want {
			t.Errorf("subject %d on day %d: counts %v", c.subject, c.at, got)
		}
	}
	if !s.Has("vitamin") || s.Has("tea") || !s.Shown(1) || s.Shown(2) || s.Shown(3) || !s.Timed() {
		t.Error("which items are sensitive, or to whom they are shown, is wrong")
	}
	if got := slices.Collect(s.Lapsed()); !slices.Equal(got, []Subject{2}) {
		t.Errorf("consents that ended are of subjects %v", got)
	}
	ended := NewSensitive([]string{"test-kit", "vitamin"}, Decide(purpose, day(9), []Record{given(2, 3)}, nil))
	if a := s.Audience(); a == "" || a == ended.Audience() || a == NewSensitive([]string{"vitamin"}, by).Audience() || a != NewSensitive([]string{"vitamin", "test-kit"}, by).Audience() {
		t.Error("an audience is not of who is shown which items")
	}
	nobody := NewSensitive([]string{"vitamin"}, nil)
	if nobody.Counts(1, dayMicros(4)) || nobody.Shown(1) || nobody.Timed() {
		t.Error("without a consent that names sensitive items somebody's count")
	}
	var none *Sensitive
	if NewSensitive(nil, by) != nil || none.Has("vitamin") || !none.Shown(3) || none.Timed() {
		t.Error("without sensitive items there is a guard")
	}

	all := table.Interval{Start: day(0), End: day(9)}
	d := Decide(Purpose{Name: "p", Basis: LegitimateInterest}, day(9), nil, nil)
	seen := map[string]string{d.Digest(all): "without a guard"}
	for name, g := range map[string]*Decisions{
		"guarded": d.Guarded(s), "for nobody": d.Guarded(nobody), "less items": d.Guarded(NewSensitive([]string{"vitamin"}, by)),
		"less people": d.Guarded(NewSensitive([]string{"test-kit", "vitamin"}, Decide(purpose, day(9), nil, nil))),
	} {
		if other, twice := seen[g.Digest(all)]; twice {
			t.Errorf("%s and %s have one digest", name, other)
		}
		seen[g.Digest(all)] = name
		if g.Judge(1, dayMicros(1), ever) != Kept || g.Sensitive() == nil {
			t.Errorf("%s: a guard of items has changed what is said of subjects", name)
		}
	}
	until := func(at int) *Decisions {
		r := given(1, 3)
		if at > 0 {
			r.Expires = day(at)
		}
		return Decide(purpose, day(9), []Record{r}, nil)
	}
	recommend := given(1, 3)
	recommend.Purpose, recommend.Expires = "p", day(20)
	profiled := Decide(Purpose{Name: "p", Basis: Consent}, day(9), []Record{recommend}, nil)
	for at, want := range map[int]int64{0: dayMicros(20), 15: dayMicros(15), 25: dayMicros(20), 8: dayMicros(20)} {
		if got := profiled.Guarded(NewSensitive([]string{"vitamin"}, until(at))).Expires(1); got != want {
			t.Errorf("a consent to sensitive items up to day %d: what is made expires at %d, want %d", at, got, want)
		}
	}
	if got := d.Guarded(NewSensitive([]string{"vitamin"}, until(15))).Expires(1); got != dayMicros(15) {
		t.Errorf("of a basis without an end it expires at %d", got)
	}
	if d.Guarded(nil) != d {
		t.Error("no guard made other decisions")
	}
}

// TestProtecting: who is protected is denied, whatever was agreed to, and an erasure stays one; of others nothing changes.
func TestProtecting(t *testing.T) {
	for _, basis := range []Basis{Consent, LegitimateInterest} {
		p := Purpose{Name: "recommend", Basis: basis}
		var records []Record
		for s := Subject(1); s < 5; s++ {
			records = append(records, Record{Subject: s, Purpose: "recommend", State: ConsentGiven, Effective: day(1), Recorded: day(1)})
		}
		before := Decide(p, day(9), records, []Erasure{{Subject: 3, At: day(5), Epoch: 1}})
		after := before.Protecting([]Subject{2, 3, 7})
		for s, want := range map[Subject]Reason{1: Kept, 2: Protected, 3: Erased, 4: Kept, 7: Protected, 8: before.Of(8).Why} {
			if got := after.Of(s).Why; got != want {
				t.Errorf("%s: of subject %d it says %s, want %s", basis, s, got, want)
			}
			if got := after.Rules(ever).Of(s).Judge(dayMicros(4)); got != want {
				t.Errorf("%s: the walk says of subject %d %s, want %s", basis, s, got, want)
			}
		}
		all := table.Interval{Start: day(0), End: day(9)}
		if after.Digest(all) == before.Digest(all) || before.Of(2).Denied() {
			t.Errorf("%s: the digest is the same, or the decisions that stood have changed", basis)
		}
		if before.Protecting(nil) != before {
			t.Error("nobody was protected, and the decisions are others")
		}
	}
}
