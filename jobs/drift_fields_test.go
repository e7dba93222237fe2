package jobs

import (
	"slices"
	"testing"

	"github.com/rapport-ml/rapport/eval/drift"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
)

// When events became known is later each night, so that it would drift for ever: it is not compared.
func TestDriftComparesNoTimes(t *testing.T) {
	j := &Job{
		Events:   event.Source{Created: "known_at", Kind: "action", Columns: map[string]string{"device": "device"}},
		Training: policy.Purpose{Reads: map[string][]string{"events": {"kind", "device"}}},
	}
	if j.eventSchema().Index(event.ColCreated) < 0 {
		t.Fatal("the events do not have the column")
	}
	var names []string
	for _, f := range j.driftFields() {
		names = append(names, f.Name)
	}
	for _, want := range []string{event.ColItem, "kind", "device"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not compared: %v", want, names)
		}
	}
	if slices.Contains(names, event.ColCreated) || slices.ContainsFunc(j.driftFields(), func(f drift.Field) bool { return f.Name == event.ColTime }) {
		t.Errorf("compared are %v", names)
	}
}
