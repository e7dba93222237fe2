package jobs

import (
	"fmt"
	"slices"
	"testing"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/storage/table"
)

// TestUnlisted: item i is taken by i people, of twelve; items 0 to 3 are in the catalog. Who took an item finds it in a list of their own. A shop without a catalog has one in its
// events: where what eleven people took fills no list, what fewer took does, and never what one did.
func TestUnlisted(t *testing.T) {
	d := &dataset{Dataset: models.Dataset{Catalog: &models.Catalog{}}}
	for i := range 13 {
		d.Catalog.IDs = append(d.Catalog.IDs, fmt.Sprintf("item-%02d", i))
	}
	log := models.EventLog{Off: []int{0}}
	for s := range 12 {
		log.Subjects = append(log.Subjects, uint64(s+1))
		for i := range 13 {
			if s < i {
				log.Item, log.Time, log.Kind, log.Weight = append(log.Item, int32(i), int32(i)), append(log.Time, 1, 2), append(log.Kind, 0, 0), append(log.Weight, 1, 1)
			}
		}
		log.Off = append(log.Off, len(log.Item))
	}
	d.Events = log
	items := &table.Batch{Schema: table.Schema{{Name: "item", Type: table.String}}, N: 4, Cols: []table.Column{{Str: d.Catalog.IDs[:4]}}}
	want := []int32{4, 5, 6, 7, 8, 9, 10}
	if got, enough := unlisted(&d.Dataset, items, 30); !slices.Equal(got, want) || enough != 11 {
		t.Errorf("beside a catalog %v, want %v", got, want)
	}
	all := []int32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for list, enough := range map[int]int{1: 11, 2: 11, 3: 10, 4: 9, 10: 3, 11: 2, 12: 2, 500: 2} {
		if got, least := unlisted(&d.Dataset, nil, list); least != enough || !slices.Equal(got, all[:enough]) {
			t.Errorf("without a catalog, for lists of %d, %v are left out, those of fewer than %d people; want %v, of %d", list, got, least, all[:enough], enough)
		}
	}
	d.unlisted, d.sensitive = want, []int32{2, 5}
	if got := d.untold(); !slices.Equal(got, []int32{2, 4, 5, 6, 7, 8, 9, 10}) {
		t.Errorf("untold are %v", got)
	}
	eighth := d.Events.Subject(7) // took items 8 to 12
	if got := d.ofOthers(&eighth); !slices.Equal(got, []int32{4, 5, 6, 7}) || len(d.unlisted) != len(want) {
		t.Errorf("of others are %v", got)
	}
	for _, x := range [][3][]int32{{{1, 4}, {2, 4, 9}, {1, 2, 4, 9}}, {{1, 2}, {3}, {1, 2, 3}}, {nil, {3}, {3}}, {{5, 6}, {1, 6}, {1, 5, 6}}} {
		if got := union(x[0], x[1]); !slices.Equal(got, x[2]) {
			t.Errorf("%v and %v are %v", x[0], x[1], got)
		}
	}
	if got := d.ofOthers(&models.History{Item: []int32{0, 12}}); !slices.Equal(got, want) {
		t.Errorf("of others than who took none of them are %v", got)
	}
}
