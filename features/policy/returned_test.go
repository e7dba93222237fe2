package policy

import (
	"fmt"
	"maps"
	"testing"
	"time"
)

// TestReturned: who left and came back is told with when that was known; who never left, never was there or is gone again is not.
func TestReturned(t *testing.T) {
	at := func(day int) time.Time { return time.Date(2026, 3, day, 12, 0, 0, 0, time.UTC) }
	says := func(s Subject, state State, effective, recorded int) Record {
		return Record{Subject: s, Purpose: "recommend", State: state, Effective: at(effective), Recorded: at(recorded)}
	}
	until := func(r Record, day int) Record {
		r.Expires = at(day)
		return r
	}
	records := []Record{
		says(1, ConsentGiven, 1, 1),                                                        // never left
		says(2, ConsentGiven, 1, 1), says(2, Withdrawn, 3, 3), says(2, ConsentGiven, 5, 6), // back, known a day later
		says(3, ConsentRefused, 1, 1), says(3, ConsentGiven, 4, 4), // never was there
		says(4, ConsentGiven, 1, 1), says(4, Withdrawn, 3, 3), says(4, ConsentGiven, 5, 5), says(4, Revoked, 7, 7), // gone again
		until(says(5, ConsentGiven, 1, 1), 3), says(5, RenewedConsentGiven, 4, 4), // ran out for a day
		until(says(6, ConsentGiven, 1, 1), 3), says(6, RenewedConsentGiven, 2, 2), // renewed in time
		says(7, ConsentGiven, 1, 1), says(7, Withdrawn, 3, 3), says(7, ConsentGiven, 3, 4), // both of one time: it is broken
		says(8, ConsentGiven, 1, 1), says(8, Withdrawn, 3, 3), says(8, ConsentGiven, 12, 5), // not yet
		says(9, Withdrawn, 3, 3), says(9, ConsentGiven, 5, 5), // an objection, and back
		says(10, ConsentGiven, 1, 1), says(10, Withdrawn, 3, 3), says(10, ConsentGiven, 5, 5), // erased on day 4: nothing is left of before
	}
	for basis, want := range map[Basis]map[Subject]int{
		Consent:            {2: 6, 5: 4, 7: 4},
		LegitimateInterest: {2: 6, 3: 4, 7: 4, 9: 5},
	} {
		d := Decide(Purpose{Name: "recommend", Basis: basis}, at(10), records, []Erasure{{Subject: 10, At: at(4), Epoch: 1}})
		days := map[Subject]int64{}
		for s, day := range want {
			days[s] = at(day).UnixMicro()
		}
		if got := maps.Collect(d.Returned()); fmt.Sprint(got) != fmt.Sprint(days) {
			t.Errorf("%s: returned %v, want %v", basis, got, days)
		}
	}
	for s := range Decide(Purpose{}, at(10), records, nil).Returned() {
		t.Errorf("%s has returned for no purpose", s)
	}
}
