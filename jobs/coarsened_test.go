package jobs

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// TestRulesAreInKeys: a rule of a column that is read, and none other, makes another day of it; and never is a day that was read under another rule taken for it.
func TestRulesAreInKeys(t *testing.T) {
	j := Job{
		Name: "nightly", Every: every(t, "1d"),
		Events:   event.Source{Subject: "user", Item: "sku", Time: "ts", Value: "amount", Columns: map[string]string{"device": "dev", "zip": "zip"}},
		Training: policy.Purpose{Name: "recommend", Reads: map[string][]string{"events": {"device", "value"}}},
	}
	day := dayOf(1)
	prefix := func() string { return specPrefix("ingest", "x", day, logicIngest, j.ingestSpec(j.clocks())) }
	plain := prefix()
	j.Events.Coarse = event.Coarsenings{"zip": {Prefix: 2}}
	if prefix() != plain || len(j.coarsenedLines()) > 0 {
		t.Error("a rule of a column that is not read is in the key")
	}
	seen := map[string]bool{plain: true}
	h := &event.Hierarchy{Digest: "0123456789abcdef0123456789abcdef"}
	for _, rule := range []event.Coarsening{
		{Prefix: 2}, {Prefix: 3}, {Width: 2}, {Hierarchy: h, Level: 1}, {Hierarchy: h, Level: 1, AtLeast: 11}, {Hierarchy: h, Level: 1, AtLeast: 12}, {Clock: event.ClockHour},
	} {
		j.Events.Coarse = event.Coarsenings{"device": rule}
		if seen[prefix()] {
			t.Errorf("%s is not in the key", rule)
		}
		for _, earlier := range append(j.earlierIngests("x", day), j.earlierPrograms("x", day)...) {
			if seen[earlier] {
				t.Errorf("under %s a day is taken that was read otherwise", rule)
			}
		}
		seen[prefix()] = true
	}
	if got, want := j.coarsenedLines(), []string{"events.device: hour"}; !slices.Equal(got, want) {
		t.Errorf("the plan tells of %q, want %q", got, want)
	}
	if spec := fmt.Sprint(j.spec()); !strings.Contains(spec, "coarsen:map[device:hour]") {
		t.Error("what is recorded of the job has no rules")
	}
}

// TestKeysWithoutRulesStand: a key of the release before there were rules, as that release made it.
func TestKeysWithoutRulesStand(t *testing.T) {
	j := Job{
		Events:   event.Source{Subject: "user", Item: "sku", Time: "ts", Columns: map[string]string{"device": "dev"}},
		Training: policy.Purpose{Name: "recommend", Reads: map[string][]string{"events": {"device"}}},
	}
	want := specPrefix("ingest", "x", table.Interval{}, 2, struct {
		Subject, Item, Time, Kind, Value, DefaultKind, Zone, Purpose string
		Unit                                                         time.Duration
		Columns, Reads                                               []string
	}{
		Subject: "user", Item: "sku", Time: "ts", Purpose: "recommend", Reads: []string{"device"},
		Columns: []string{"subject int64 ", "item string ", "time time ", "kind string ", "value float64 ", "device string dev"},
	})
	if got := specPrefix("ingest", "x", table.Interval{}, 2, j.ingestSpec(0)); got != want {
		t.Errorf("the key is %s, and was %s", got, want)
	}
}

// TestDayparts: the boundary and models tell the parts of a day alike, which cannot see one another.
func TestDayparts(t *testing.T) {
	body := "item,at\n"
	for hour := range 24 {
		body += fmt.Sprintf("%02d,2026-03-01T%02d:59:00Z\n", hour, hour)
	}
	b := storage.NewMemory(nil)
	if _, err := b.Put(t.Context(), "hours.csv", storage.Bytes([]byte(body)), storage.Cond{}); err != nil {
		t.Fatal(err)
	}
	got, err := event.ReadAttributes(t.Context(), event.AttributesPlan{
		Data: event.DataSet{Bucket: b, Path: "hours.csv"}, Set: "items", Key: event.ColItem, Columns: []string{"at"},
		Purpose: policy.Purpose{Name: "recommend", Reads: map[string][]string{"items": {"at"}}}, Coarse: event.Coarsenings{"at": {Clock: event.ClockDaypart}},
	})
	if err != nil || got.Batch.N != 24 {
		t.Fatal(got, err)
	}
	for hour, is := range got.Batch.Col("at").Str {
		if want, _ := models.ClockLevels(time.Date(2026, 3, 1, hour, 59, 0, 0, time.UTC)); is != want {
			t.Errorf("%d h is %s at the boundary, and %s in models", hour, is, want)
		}
	}
}
