package policy

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestChangesByHand: the week is days 10 to 17.
func TestChangesByHand(t *testing.T) {
	late := with(1, Withdrawn, 8, 12) // of before the week, and recorded in it
	for _, tt := range []struct {
		name    string
		basis   Basis
		records []Record
		want    Churn
	}{
		{"nothing is known", Consent, nil, Churn{}},
		{"given before", Consent, []Record{given(1, 5, 0)}, Churn{}},
		{"given at the first moment", Consent, []Record{given(1, 10, 0)}, Churn{Given: true}},
		{"given at the end: the next week's", Consent, []Record{given(1, 17, 0)}, Churn{}},
		{"expires at the first moment: this week's", Consent, []Record{given(1, 5, 10)}, Churn{Expired: true}},
		{"expires at the end: the next week's", Consent, []Record{given(1, 5, 17)}, Churn{}},
		{"renewed at the expiry", Consent, []Record{given(1, 5, 12), given(1, 12, 30)}, Churn{Renewed: true}},
		{"renewed before, would have expired", Consent, []Record{given(1, 5, 12), given(1, 11, 30)}, Churn{Renewed: true}},
		{"expired, and given again", Consent, []Record{given(1, 5, 12), given(1, 13, 30)}, Churn{Expired: true, Given: true}},
		{"said to have expired", Consent, []Record{given(1, 5, 0), with(1, ConsentExpired, 12, 12)}, Churn{Expired: true}},
		{"withdrawn", Consent, []Record{given(1, 5, 0), with(1, Withdrawn, 12, 12)}, Churn{Withdrawn: true}},
		{"withdrawn twice: once", Consent, []Record{given(1, 5, 0), with(1, Withdrawn, 9, 9), with(1, Withdrawn, 12, 12)}, Churn{}},
		{"withdrawn, given, withdrawn", Consent, []Record{given(1, 5, 0), with(1, Withdrawn, 11, 11), given(1, 12, 0), with(1, Revoked, 13, 13)}, Churn{Withdrawn: true, Given: true}},
		{"withdrawn after it had expired", Consent, []Record{given(1, 5, 8), with(1, Withdrawn, 12, 12)}, Churn{Refused: true}},
		{"refused when asked", Consent, []Record{with(1, Requested, 9, 9), with(1, ConsentRefused, 12, 12)}, Churn{Refused: true}},
		{"invalidated by others", Consent, []Record{given(1, 5, 0), with(1, Invalidated, 12, 12)}, Churn{Withdrawn: true}},
		{"recorded late", Consent, []Record{given(1, 5, 0), late}, Churn{Withdrawn: true}},
		{"recorded late, and overtaken by a later grant", Consent, []Record{given(1, 5, 0), given(1, 9, 0), late}, Churn{}},
		{"recorded after the week", Consent, []Record{given(1, 5, 0), with(1, Withdrawn, 12, 18)}, Churn{}},
		{"effective after the week", Consent, []Record{given(1, 5, 0), with(1, Withdrawn, 18, 12)}, Churn{}},
		{"expired before it was recorded", Consent, []Record{{Subject: 1, Purpose: "recommend", State: ConsentGiven, Effective: day(5), Recorded: day(12), Expires: day(11)}}, Churn{}},
		{"objects", LegitimateInterest, []Record{with(1, Withdrawn, 12, 12)}, Churn{Withdrawn: true}},
		{"objects again", LegitimateInterest, []Record{with(1, Withdrawn, 5, 5), with(1, Withdrawn, 12, 12)}, Churn{}},
		{"takes an objection back", LegitimateInterest, []Record{with(1, Withdrawn, 5, 5), given(1, 12, 0)}, Churn{Given: true}},
		{"a grant that nobody needed", LegitimateInterest, []Record{given(1, 12, 13)}, Churn{Renewed: true}},
	} {
		if got := Changes(tt.basis, tt.records, day(10), day(17)); got != tt.want || got.Any() != (tt.want != Churn{}) {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// TestChangesAgreeWithDecisions: over generated histories, whoever is valid at one end of a span and not at the other has begun or ended in between; and what
// is said does not depend on the order of records, nor on any that are recorded later.
func TestChangesAgreeWithDecisions(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 9))
	turned := 0
	for n := range 20_000 {
		p := Purpose{Name: "recommend", Basis: []Basis{Consent, LegitimateInterest}[n%2]}
		all, _ := genHistory(rng)
		all = slices.DeleteFunc(all, func(r Record) bool { return r.Purpose != p.Name })
		a := rng.IntN(horizon)
		b := a + 1 + rng.IntN(horizon)
		before, after := Decide(p, day(a).Add(-1000), all, nil), Decide(p, day(b).Add(-1000), all, nil)
		for s := range Subject(6) {
			own := slices.DeleteFunc(slices.Clone(all), func(r Record) bool { return r.Subject != s })
			got := Changes(p.Basis, own, day(a), day(b))
			was, is := !before.Of(s).Denied(), !after.Of(s).Denied()
			if was && !is {
				turned++
				if !got.Withdrawn && !got.Expired {
					t.Fatalf("days %d to %d, %s: the basis ended, and %+v\n%v", a, b, p.Basis, got, own)
				}
			}
			if !was && is && !got.Given {
				t.Fatalf("days %d to %d, %s: the basis began, and %+v\n%v", a, b, p.Basis, got, own)
			}
			rng.Shuffle(len(own), func(i, j int) { own[i], own[j] = own[j], own[i] })
			known := slices.DeleteFunc(own, func(r Record) bool { return !r.Recorded.Before(day(b)) })
			if again := Changes(p.Basis, known, day(a), day(b)); again != got {
				t.Fatalf("days %d to %d: %+v without what was recorded later, and %+v with it\n%v", a, b, again, got, own)
			}
		}
	}
	if turned < 1000 {
		t.Errorf("only %d spans ended", turned)
	}
}
