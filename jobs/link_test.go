package jobs

import (
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/storage"
)

// A record of changed links that is damaged, moved, or a newer release's is refused by its name.
func TestRelinkingIsChecked(t *testing.T) {
	b := storage.NewMemory(nil)
	w := &work{Runner: &Runner{Bucket: b}}
	key := event.RelinksPrefix + "00000002.json"
	for body, want := range map[string]string{
		`{"format":1,"number":2,"days":["2026-01-01","2026-01-02"]}`: "",
		`{"format":1,"number":3,"days":[]}`:                          key + " is damaged",
		`{"format":99,"number":2}`:                                   "newer",
		`{`:                                                          key,
	} {
		if _, err := b.Put(t.Context(), key, storage.Bytes([]byte(body)), storage.Cond{}); err != nil {
			t.Fatal(err)
		}
		r, err := w.relinking(t.Context(), key)
		if want == "" {
			l := linked{days: map[string]int{}}
			if err != nil {
				t.Fatal(err)
			}
			if l.note(r); l.last != 2 || l.input("2026-01-02")[0] != "links 2" || l.input("2026-01-03") != nil {
				t.Errorf("%+v", l)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
}
