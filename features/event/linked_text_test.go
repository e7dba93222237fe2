package event

import (
	"context"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
)

// TestTextOfLinkedIDs: what stands beside a record of consent, or is a wish, and holds another id of the same person is kept as little as one that holds the id it came under.
func TestTextOfLinkedIDs(t *testing.T) {
	b := storage.NewMemory(nil)
	ids, err := OpenIdentities(context.Background(), b, testKeys(t, "k1"))
	if err != nil {
		t.Fatal(err)
	}
	ids.Link(readLinks(t, b, "cookie-77,ann@shop.example", "device-5,ann@shop.example"))
	for _, sent := range []string{"cookie-77", "ann@shop.example", "device-5"} {
		for source, withheld := range map[string]bool{"app": false, "mail of Ann@Shop.example": true, "banner of COOKIE-77": true, "from device-5": true} {
			r, _, told, err := ConsentOf(ids, time.Now(), Said{ID: sent, Record: policy.Record{Purpose: "recommend", State: policy.Withdrawn, Source: source}})
			if err != nil || told != withheld || withheld != (r.Source == "withheld") {
				t.Errorf("a source that names the person: %q, withheld %v, want %v, %v", r.Source, told, withheld, err)
			}
		}
		for value, withheld := range map[string]int{"sku-1": 0, "page of ann@shop.example": 1, "device-5": 1} {
			kept, _, told, err := PreferencesOf(ids, sent, []policy.Wish{{Name: policy.WishDown, Value: value, At: time.Now()}})
			if err != nil || told != withheld || len(kept)+told != 1 {
				t.Errorf("a value that names the person: %d kept, %d withheld, want %d, %v", len(kept), told, withheld, err)
			}
		}
	}
}
