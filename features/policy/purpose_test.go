package policy

import (
	"strings"
	"testing"
	"time"
)

func TestCheckReportsEveryFault(t *testing.T) {
	err := Check([]Purpose{
		{Name: "recommend", Says: "Suggest.", Basis: Consent, Reads: map[string][]string{"events": {"kind", "value"}}},
		{Name: "Bad Name", Basis: "vibes", Use: "profit", Reads: map[string][]string{"evnts": {"a", "a"}}, Keep: map[string]time.Duration{"event": time.Hour, "models": -1}},
		{Name: "recommend", Says: "Again.", Basis: LegitimateInterest},
	}, []Use{
		{"view activity", "recommend", "events", "device"},
		{"view activity", "recommend", "items", "kind"},
		{"job nightly", "recomend", "events", "kind"},
	})
	if err == nil {
		t.Fatal("no fault found")
	}
	for _, want := range []string{
		`"recommend" is declared twice`,
		`purpose "Bad Name": the name must be`,
		`purpose "Bad Name": says is empty`,
		`basis "vibes" is unknown`,
		`use "profit" is unknown`,
		`unknown data set "evnts"`,
		`reads.evnts lists column "a" twice`,
		`unknown class "event"`,
		`keep.models is -1ns`,
		`job nightly wants events.kind for purpose "recomend", which is not declared`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("missing: %s\nin: %v", want, err)
		}
	}
}

func TestCheckRefusesAColumnOutsideItsPurpose(t *testing.T) {
	p := Purpose{Name: "recommend", Says: "Suggest.", Basis: Consent, Reads: map[string][]string{"events": {"kind"}}, Keep: map[string]time.Duration{"events": time.Hour}}
	if err := Check([]Purpose{p}, []Use{{"view activity", "recommend", "events", "kind"}}); err != nil {
		t.Fatalf("a declared column was refused: %v", err)
	}
	err := Check([]Purpose{p}, []Use{{"view activity", "recommend", "events", "device"}})
	if want := `view activity wants events.device, which purpose "recommend" does not read: add "device" to its reads.events, or leave it out of view activity`; err == nil || err.Error() != want {
		t.Fatalf("got %v, want %s", err, want)
	}
}
