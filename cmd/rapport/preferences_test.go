package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/table"
)

// wish writes the preferences file: rows of subject, preference, value and day (from 0).
func (s *shop) wish(rows ...string) {
	s.Helper()
	var body strings.Builder
	body.WriteString("subject,preference,value,time\n")
	for _, r := range rows {
		f := strings.Split(r, ",")
		var day int
		if _, err := fmt.Sscan(f[3], &day); err != nil {
			s.Fatal(err)
		}
		fmt.Fprintf(&body, "%s,%s,%s,%s\n", f[0], f[1], f[2], smallWorld.Start.AddDate(0, 0, day).Format(time.RFC3339))
	}
	if _, err := s.raw.Put(s.Context(), "preferences.csv", storage.Bytes([]byte(body.String())), storage.Cond{}); err != nil {
		s.Fatal(err)
	}
	s.job.Preferences = &event.DataSet{Bucket: s.raw, Path: "preferences.csv"}
}

// listOf is what readers get for a raw id.
func (s *shop) listOf(id string) online.List {
	s.Helper()
	l, _, err := online.Recommend(s.Context(), s.opened.Online, event.OnlineKey(s.opened.Keys.ServingKey(), id), 100, table.Micros(s.runner.Now()))
	if err != nil {
		s.Fatal(err)
	}
	return l
}

// TestPreferences: each subject's lists are as it wants them, of the newest record, in the next generation; nobody's raw id or wish outlives an
// erasure.
func TestPreferences(t *testing.T) {
	s := newShop(t, smallWorld)
	s.job.Model.Lists.Seen = "mask"
	s.job.Model.Lists.Broad = "category"
	s.night(6)
	ids := s.admitted(7)
	before := map[string]online.List{}
	for _, id := range ids {
		if before[id] = s.listOf(id); !before[id].Personalized {
			t.Fatal("an admitted subject has no list of its own")
		}
	}
	plain := s.outcome()
	items := s.catalogOf()
	category := items[before[ids[3]].Items[0].Item]["category"]
	off, broad, paused, excludes, resets, forgets, other := ids[0], ids[1], ids[2], ids[3], ids[4], ids[5], ids[6]
	took := s.itemsTaken(forgets)
	rows := []string{
		off + ",level,broad,1", off + ",level,off,2",
		broad + ",level,broad,1",
		paused + ",pause,on,3",
		excludes + ",exclude,category=" + category + ",1",
		resets + ",reset,,7",
	}
	for _, item := range took {
		rows = append(rows, forgets+",forget,"+item+",7")
	}
	s.wish(rows...)
	s.night(6)
	if now := s.outcome(); now.Digest != plain.Digest {
		t.Error("what people want of their lists has changed the model")
	}
	for _, id := range []string{off, paused} {
		if l := s.listOf(id); l.Personalized {
			t.Error("somebody who wants no profile is served a list of its own")
		}
	}
	l := s.listOf(broad)
	if !l.Personalized || l.Variant != "broad" || slices.EqualFunc(l.Items, before[broad].Items, func(a, b online.ListItem) bool { return a.Item == b.Item }) {
		t.Errorf("the list by levels is personalized %v, of variant %q", l.Personalized, l.Variant)
	}
	for _, item := range l.Items {
		for _, r := range item.Reasons {
			if r.Kind != "rule" {
				t.Errorf("a list by levels gives the reason %s %s", r.Kind, r.Ref)
			}
		}
	}
	for _, item := range s.listOf(excludes).Items {
		if items[item.Item]["category"] == category {
			t.Fatal("an item of an excluded category stands in the list")
		}
	}
	for _, id := range []string{resets, forgets} {
		l, again := s.listOf(id), false
		for _, item := range l.Items {
			again = again || slices.Contains(s.itemsTaken(id), item.Item) // seen items are masked: they may come back, since they are forgotten
			for _, r := range item.Reasons {
				if r.Kind == "event" || r.Kind == "again" {
					t.Fatalf("a forgotten history gives the reason %s %s", r.Kind, r.Ref)
				}
			}
		}
		if !l.Personalized || !again {
			t.Errorf("personalized %v; forgotten items may come back: %v", l.Personalized, again)
		}
	}
	if got := s.listOf(other); !same(got.Items, before[other].Items) {
		t.Error("the list of somebody who wants nothing has changed")
	}
	if p := s.plan(6); p == nil {
		t.Error("no plan")
	}
	if v, err := s.runner.OnlineVerify(t.Context(), s.job, 0); err != nil || !v.Same || v.Denials < 2 {
		t.Errorf("online verify: %+v %v", v, err)
	}

	// Going back to a version of before does not go back to lists that nobody wants any more.
	if live, err := s.runner.Rollback(t.Context(), s.job, 1, "test", "to see"); err != nil || live.Aliases[s.job.Alias].Version != 1 {
		t.Fatalf("rollback: %+v %v", live, err)
	}
	for _, item := range s.listOf(excludes).Items {
		if items[item.Item]["category"] == category {
			t.Fatal("after a rollback an item of an excluded category stands in the list")
		}
	}
	if l := s.listOf(broad); l.Variant != "broad" {
		t.Errorf("after a rollback somebody who wants a list by levels has one of variant %q", l.Variant)
	}
	reg, err := registry.Open(s.opened.Bucket, "home")
	if err == nil {
		_, err = reg.Unpin(t.Context(), s.job.Alias, "test", "seen", s.runner.Now())
	}
	if err != nil {
		t.Fatal(err)
	}

	// A file without the records takes nothing back; later records do.
	s.wish(other+",pause,on,1", other+",pause,off,2")
	s.night(6)
	if s.listOf(off).Personalized || !s.listOf(other).Personalized {
		t.Error("a record that is missing from a file was taken for taken back")
	}
	s.wish(off+",level,full,3", paused+",pause,off,4", excludes+",include,category="+category+",2")
	s.night(6)
	for _, id := range []string{off, paused, excludes} {
		if got := s.listOf(id); !same(got.Items, before[id].Items) {
			t.Error("what was taken back is still in force")
		}
	}

	// Erasure: no trace of the subject, nor of what it wanted; the old file brings nothing back.
	traces := map[string]map[string][]byte{excludes: s.traces(excludes)}
	if _, err := s.erase(excludes); err != nil {
		t.Fatal(err)
	}
	s.noTrace("after the erasure", traces)

	// What cannot be read is refused by file and row, and nobody is named.
	s.wish(ids[0]+",level,off,1", ids[1]+",mute,x,1")
	_, err = s.try(6)
	if err == nil || !strings.Contains(err.Error(), "preferences.csv row 2") || strings.Contains(err.Error(), ids[1]) {
		t.Errorf("a preference that is not known: %v", err)
	}
}

// itemsTaken are the items of a subject's ingested events.
func (s *shop) itemsTaken(id string) (out []string) {
	s.Helper()
	number := s.number(id)
	for b := range s.batches("ingest/", "events") {
		for i := range b.N {
			if uint64(b.Col("subject").Int[i]) == uint64(number) {
				out = append(out, b.Col("item").Str[i])
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
