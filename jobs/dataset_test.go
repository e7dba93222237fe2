package jobs

import (
	"fmt"
	"slices"
	"testing"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/storage/table"
)

// TestUnlisted: item i is taken by i people, of twelve; items 0 to 3 are in the catalog. Who took an item finds it in a list of their own; a shop without a catalog has one in its
// events as long as what eleven people took fills no list.
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
	if got := unlisted(&d.Dataset, items, 3); !slices.Equal(got, want) {
		t.Errorf("beside a catalog %v, want %v", got, want)
	}
	if got := unlisted(&d.Dataset, nil, 2); !slices.Equal(got, append([]int32{0, 1, 2, 3}, want...)) {
		t.Errorf("without a catalog %v", got)
	}
	if got := unlisted(&d.Dataset, nil, 3); got != nil {
		t.Errorf("of two items that eleven people took no list of three is made, and yet %v are left out", got)
	}
	d.unlisted, d.sensitive = want, []int32{2, 5}
	if got := d.untold(); !slices.Equal(got, []int32{2, 4, 5, 6, 7, 8, 9, 10}) {
		t.Errorf("untold are %v", got)
	}
	eighth := d.Events.Subject(7) // took items 8 to 12
	if got := d.ofOthers(&eighth); !slices.Equal(got, []int32{4, 5, 6, 7}) || len(d.unlisted) != len(want) {
		t.Errorf("of others are %v", got)
	}
	if got := d.ofOthers(&models.History{Item: []int32{0, 12}}); !slices.Equal(got, want) {
		t.Errorf("of others than who took none of them are %v", got)
	}
}
