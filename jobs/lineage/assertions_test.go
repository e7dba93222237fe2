package lineage

import (
	"slices"
	"testing"

	rawevent "github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/ledger"
)

// TestAssertions: each verdict is an assertion of the data set that it is of, by the names that its files have; what could not be told is none.
func TestAssertions(t *testing.T) {
	w := newWorld(t)
	w.file = "unused"
	w.job.Raw = []string{"s3://lake/events/*", "s3://lake/items.csv", "s3://lake/consent.csv"}
	w.job.Events = rawevent.Source{Value: "amount", Columns: map[string]string{"device": "device_type"}}
	w.job.Items = &jobs.AttributeSource{Data: rawevent.DataSet{Columns: map[string]string{"category": "cat"}}}
	w.job.Consent = &rawevent.DataSet{Path: "consent.csv"}
	bound := func(v float64) *float64 { return &v }
	run := w.run(1, ledger.Failed)
	run.Fault = "unexpected"
	run.Verdicts = []expect.Verdict{
		{Set: "events", Expectation: "volume.least", Outcome: expect.Passed, Bound: bound(0.5)},
		{Set: "events", Expectation: "volume.most", Outcome: expect.Warned, Bound: bound(2)},
		{Set: "events", Expectation: "fresh", Outcome: expect.Unknown, Bound: bound(60)},
		{Set: "events", Expectation: "nulls", Column: "value", Outcome: expect.Failed, Bound: bound(0.2)},
		{Set: "events", Expectation: "bad", Column: "device", Outcome: expect.Passed, Bound: bound(0.01)},
		{Set: "events", Expectation: "schema", Column: "device", Outcome: expect.Warned},
		{Set: "items", Expectation: "duplicates", Outcome: expect.Passed, Bound: bound(0)},
		{Set: "items", Expectation: "nulls", Column: "category", Outcome: expect.Passed, Bound: bound(0.1)},
		{Set: "consent", Expectation: "fresh", Outcome: expect.Failed, Bound: bound(3600)},
	}
	want := [][]assertion{
		{
			{"not_empty", true, ""},
			{"volume_at_least_0.5_of_the_trailing_median", true, ""},
			{"volume_at_most_2_of_the_trailing_median", false, ""},
			{"nulls_at_most_0.2", false, "amount"},
			{"bad_at_most_0.01", true, "device_type"},
			{"has_column", false, "device_type"},
		},
		{{"duplicates_at_most_0", true, ""}, {"nulls_at_most_0.1", true, "cat"}},
		{{"newest_within_3600_seconds", false, ""}},
	}
	got := w.emitter().sources(w.job, run, true)
	if len(got) != len(want) {
		t.Fatalf("%d data sets", len(got))
	}
	for i, d := range got {
		said, _ := d.InputFacets["dataQualityAssertions"]["assertions"].([]assertion)
		if !slices.Equal(said, want[i]) {
			t.Errorf("%s: %+v, want %+v", d.Name, said, want[i])
		}
	}
	run.Verdicts, run.Fault = nil, "no_data"
	if said := assertions(w.job, run, "events"); !slices.Equal(said, []assertion{{"not_empty", false, ""}}) {
		t.Errorf("an empty interval: %+v", said)
	}
	if run.Fault = "damaged"; len(assertions(w.job, run, "events")) != 0 {
		t.Error("something is said of what nobody has looked at")
	}
	for _, d := range w.emitter().sources(w.job, run, true) {
		if d.InputFacets != nil {
			t.Errorf("%s has %v", d.Name, d.InputFacets)
		}
	}
}
