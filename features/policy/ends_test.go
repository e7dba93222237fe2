package policy

import (
	"testing"
	"time"
)

// TestEnds: an end is that of the unbroken span which holds now; what is to come leaves what is not known as it is until then; a legitimate interest ends by an objection alone.
func TestEnds(t *testing.T) {
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	at := func(hours int) time.Time { return now.Add(time.Duration(hours) * time.Hour) }
	given := func(from, until int) Record {
		r := Record{State: ConsentGiven, Effective: at(from)}
		if until != 0 {
			r.Expires = at(until)
		}
		return r
	}
	no := func(from int) Record { return Record{State: Withdrawn, Effective: at(from)} }
	for name, c := range map[string]struct {
		basis   Basis
		records []Record
		want    int // hours from now; 0: none
	}{
		"nothing":                          {Consent, nil, 0},
		"for ever":                         {Consent, []Record{given(-1, 0)}, 0},
		"until then":                       {Consent, []Record{given(-1, 5)}, 5},
		"renewed before it ends":           {Consent, []Record{given(-2, 5), given(4, 9)}, 9},
		"renewed when it has ended":        {Consent, []Record{given(-2, 5), given(6, 9)}, 5},
		"cut short":                        {Consent, []Record{given(-2, 0), given(-1, 3)}, 3},
		"withdrawn later":                  {Consent, []Record{given(-1, 0), no(2)}, 2},
		"withdrawn later, unknown before":  {Consent, []Record{no(2)}, 2},
		"given later for a while":          {Consent, []Record{given(2, 7)}, 7},
		"withdrawn":                        {Consent, []Record{given(-2, 0), no(-1)}, 0},
		"over":                             {Consent, []Record{given(-2, -1)}, 0},
		"an interest does not expire":      {LegitimateInterest, []Record{given(-1, 5)}, 0},
		"objected to later":                {LegitimateInterest, []Record{no(4)}, 4},
		"objected to later, after a grant": {LegitimateInterest, []Record{given(-1, 2), no(4)}, 4},
	} {
		want := int64(0)
		if c.want != 0 {
			want = at(c.want).UnixMicro()
		}
		if got := Ends(c.basis, c.records, now); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
}

// TestArrived: what is here is recorded, by a clock that is a little ahead too.
func TestArrived(t *testing.T) {
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	for ahead, want := range map[time.Duration]time.Duration{-time.Hour: -time.Hour, 0: 0, 4 * time.Minute: 0, Askew: 0, Askew + 1: Askew + 1} {
		if got := (Record{Recorded: now.Add(ahead)}).Arrived(now).Recorded; !got.Equal(now.Add(want)) {
			t.Errorf("%s ahead: %s", ahead, got)
		}
	}
}
