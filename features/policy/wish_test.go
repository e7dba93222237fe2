package policy

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

// TestWanted: the newest record counts, the more careful of two at once, nothing of the future; the order of records does not matter.
func TestWanted(t *testing.T) {
	day := func(d int) time.Time { return time.Date(2026, 3, d, 0, 0, 0, 0, time.UTC) }
	micros := func(d int) int64 { return day(d).UnixMicro() }
	records := []Wish{
		{1, WishLevel, "off", day(1)},
		{1, WishLevel, "full", day(2)},
		{1, WishLevel, "broad", day(9)}, // the last is of the future
		{2, WishLevel, "full", day(1)},
		{2, WishLevel, "off", day(1)},
		{3, WishLevel, "everything", day(1)},
		{4, WishPause, "on", day(1)},
		{4, WishPause, "off", day(2)},
		{4, WishPause, "", day(3)},
		{5, WishPause, "on", day(1)},
		{5, WishPause, "off", day(2)},
		{5, WishReset, "", day(2)},
		{5, WishReset, "", day(1)},
		{6, WishExclude, "category=gift", day(1)},
		{6, WishExclude, "brand=x", day(1)},
		{6, WishInclude, "brand=x", day(2)},
		{6, WishForget, "sku-1", day(2)},
		{6, WishForget, "sku-1", day(1)},
		{7, WishExclude, "brand=x", day(1)},
		{7, WishInclude, "brand=x", day(1)},
		{8, WishLevel, "off", day(1)},
		{8, WishLevel, "broad", day(1)},
		{9, WishLess, "category=gift", day(1)},
		{9, WishLess, "sku-2", day(2)},
		{9, WishUsual, "category=gift", day(2)},
		{9, WishPrefer, "new", day(1)},
		{9, WishDown, "sku-3", day(1)},
		{9, WishDown, "sku-4", day(1)},
		{9, WishUp, "sku-4", day(2)},
		{10, WishLess, "sku-2", day(1)},
		{10, WishUsual, "sku-2", day(1)},
		{10, WishPrefer, "new", day(1)},
		{10, WishPrefer, "usual", day(1)},
		{10, WishDown, "sku-3", day(1)},
		{10, WishUp, "sku-3", day(1)},
	}
	want := Wishes{
		1: {Level: Full}, 2: {Level: Off}, 3: {Level: Off}, 4: {Paused: true}, 5: {Since: micros(2)},
		6: {Exclude: []string{"category=gift"}, Forget: map[string]int64{"sku-1": micros(2)}}, 7: {Exclude: []string{"brand=x"}}, 8: {Level: Off},
		9: {Less: []string{"sku-2"}, New: true, Down: []string{"sku-3"}}, 10: {Less: []string{"sku-2"}, Down: []string{"sku-3"}},
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		got := Wanted(day(5), append(slices.Clone(records), records[r.IntN(len(records))]))
		if !reflect.DeepEqual(got, want) || got.Digest() != want.Digest() {
			t.Fatalf("got %+v, want %+v", got, want)
		}
		r.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	}
	if off := []bool{want[1].Unprofiled(), want[2].Unprofiled(), want[4].Unprofiled(), want[5].Unprofiled()}; !slices.Equal(off, []bool{false, true, true, false}) {
		t.Errorf("unprofiled: %v", off)
	}
	if later := Wanted(day(9), records); later[1].Level != Broad || later.Digest() == want.Digest() {
		t.Errorf("when its time has come the wish is %v", later[1])
	}
	if (Wishes{}).Digest() != "" {
		t.Error("nobody's wishes have a digest")
	}
	for _, w := range []Wish{{Name: "mute"}, {Name: WishExclude, Value: "gift"}, {Name: WishInclude, Value: "=x"}, {Name: WishForget}, {Name: WishLess}, {Name: WishDown}, {Name: WishPrefer, Value: "old"}} {
		if w.Check() == nil {
			t.Errorf("%+v is let pass", w)
		}
	}
	for _, w := range records {
		if err := w.Check(); err != nil {
			t.Error(err)
		}
	}
}
