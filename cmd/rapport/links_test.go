package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/storage"
)

// link declares ids to be other names of people.
func (s *shop) link(lines ...string) {
	s.Helper()
	body := "alias,main\n" + strings.Join(lines, "\n") + "\n"
	if _, err := s.raw.Put(s.Context(), "links/all.csv", storage.Bytes([]byte(body)), storage.Cond{}); err != nil {
		s.Fatal(err)
	}
	s.runner.LinkedBy = &event.DataSet{Bucket: s.raw, Path: "links/*.csv", Columns: map[string]string{event.ColAlias: "alias", event.ColMain: "main"}}
}

// Linked from the first night or from a later one, days come to hold the same; only days that hold rows of who was linked are read again; an erasure by any id is
// one of the person; and nothing is linked that is not declared.
func TestLinkedIDs(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(6)
	two := s.admitted(2)
	main, alias := two[0], two[1]
	traces := map[string]map[string][]byte{main: s.traces(main), alias: s.traces(alias)}
	if _, a := s.reads(main); a == event.OnlineKey(s.opened.Keys.ServingKey(), alias) {
		t.Fatal("two ids are one person's, and nobody said so")
	}
	apart := s.days()
	unlinked := toDo(s.plan(7))

	s.link(alias + "," + main)
	var again []string
	for _, step := range toDo(s.plan(7)) {
		if strings.HasPrefix(step, "ingest ") && !slices.Contains(unlinked, step) {
			again = append(again, strings.TrimPrefix(step, "ingest "))
		}
	}
	if len(again) == 0 || len(again) == len(apart) {
		t.Fatalf("%d of %d days are to be read again: those that hold the alias are some", len(again), len(apart))
	}
	res := s.night(7)
	if !slices.ContainsFunc(res.Flags, func(x string) bool {
		return strings.HasPrefix(x, "links of sources.identities: under 11 more ids are one person's with another; ") && strings.Contains(x, " are read again")
	}) {
		t.Errorf("a run does not tell of the links that it applied: %q", res.Flags)
	}
	linked := s.days()
	for label, digest := range apart {
		if (linked[label] != digest) != slices.Contains(again, label) {
			t.Errorf("day %s: changed %v, to be read again %v", label, linked[label] != digest, slices.Contains(again, label))
		}
	}
	first := newShop(t, smallWorld)
	first.link(alias + "," + main)
	first.night(7)
	for label, digest := range first.days() {
		if linked[label] != digest {
			t.Errorf("day %s is not as if the ids had been linked from the first night", label)
		}
	}
	if todo := toDo(s.plan(7)); len(todo) != 0 {
		t.Errorf("nothing has changed, and there is to do %v", todo)
	}
	for _, id := range two {
		if personal, key := s.reads(id); !personal || key != event.OnlineKey(s.opened.Keys.ServingKey(), main) {
			t.Errorf("by the id %s: a list of their own %v", map[bool]string{true: "main", false: "alias"}[id == main], personal)
		}
	}
	// What is found of them: the main id's number. What stood under the alias' own is gone from days, and found by an erasure where it is left.
	out, err := s.erase(alias)
	if err != nil || out.Known != 1 || out.Linked != 1 || out.Rows == 0 {
		t.Fatalf("an erasure by the alias: %+v, %v", out, err)
	}
	s.noTrace("after an erasure by an alias", traces)
	s.night(7)
	s.noTrace("after the night that follows", traces)
}
