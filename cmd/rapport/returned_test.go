package main

import (
	"slices"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/table"
)

// key is the online key of a subject.
func (s *shop) key(id string) string { return event.OnlineKey(s.opened.Keys.ServingKey(), id) }

// served is what a subject reads now.
func (s *shop) served(id string) online.List {
	s.Helper()
	l, _, err := online.Recommend(s.Context(), s.opened.Online, s.key(id), 10, table.Micros(s.runner.Now()))
	if err != nil {
		s.Fatal(err)
	}
	return l
}

// TestWhoReturnsStartsAnew: who withdraws and consents again reads the list not based on profiling until a night has made lists since; that night's list rests on
// nothing of before, as it would for somebody who came that day; and a rollback to lists of before does not bring the old one back for a moment.
func TestWhoReturnsStartsAnew(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(5)
	ids := s.admitted(3)
	back, both, stays := ids[0], ids[1], ids[2]
	before := s.served(back)
	at := func(day int, d time.Duration) { s.runner.Now = func() time.Time { return nightAfter(day).Add(d) } }

	at(5, time.Hour)
	s.say(back, "Withdrawn", "no")
	at(5, 2*time.Hour)
	s.say(back, "ConsentGiven", "yes")
	// Both at once, in a feed: nobody was ever denied by it.
	feed := append(readParquet[rawConsent](t, s.raw, consentFile), says(both, "recommend", "Withdrawn", 6*24*time.Hour+time.Hour), says(both, "recommend", "ConsentGiven", 6*24*time.Hour+2*time.Hour))
	writeParquet(t, s.raw, consentFile, feed)
	at(5, 3*time.Hour)
	for _, run := range []string{"a run through ingest", "another"} {
		if _, err := s.runner.Run(t.Context(), s.job, s.interval(5), jobs.Options{Through: jobs.ThroughIngest}); err != nil {
			t.Fatal(err)
		}
		if s.personalized(back) || s.personalized(both) || !s.personalized(stays) {
			t.Errorf("%s: who returned reads the list of before (%t, %t), or somebody who stayed does not (%t)", run, s.personalized(back), s.personalized(both), s.personalized(stays))
		}
	}

	s.night(6)
	// The events of the day after the return are all that counts: whoever has none reads everybody's list.
	if l := s.served(back); l.Personalized && slices.EqualFunc(l.Items, before.Items, func(a, b online.ListItem) bool { return a.Item == b.Item && a.Score == b.Score }) {
		t.Errorf("the list of the night after the return is that of before: %+v", l)
	}
	if denied, err := s.opened.Online.Denied(t.Context()); err != nil || slices.Contains(denied, s.key(back)) || slices.Contains(denied, s.key(both)) {
		t.Errorf("who returned is denied still, though lists are live that were made since: %v %v", denied, err)
	}
	shown, err := s.runner.ShowConsent(t.Context(), s.job, []string{back, both})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []time.Time{nightAfter(5).Add(2 * time.Hour), smallWorld.Start.Add(6*24*time.Hour + 2*time.Hour)} {
		if p := shown[i].Purposes[0]; p.From == nil || !p.From.Equal(want) {
			t.Errorf("what counts of them begins at %v, want %s", p.From, want)
		}
	}

	// Version 1 was made before they left.
	if _, err := s.runner.Rollback(t.Context(), s.job, 1, "test", "to see"); err != nil {
		t.Fatal(err)
	}
	if s.personalized(back) || s.personalized(both) || !s.personalized(stays) {
		t.Error("a rollback brings the list of before back")
	}
}
