package main

import (
	"slices"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/table"
)

// saying records what a person says of recommend, with times of its own.
func (s *shop) saying(id string, r policy.Record) *jobs.Consented {
	s.Helper()
	r.Purpose, r.Source = "recommend", "app"
	out, err := s.runner.Consenter([]*jobs.Job{s.job}).Record(s.Context(), []event.Said{{ID: id, Record: r}})
	if err != nil {
		s.Fatal(err)
	}
	return out
}

// personalizedAt reports whether a subject is served a list of its own at a time, by what stands in the store now.
func (s *shop) personalizedAt(id string, at time.Time) bool {
	s.Helper()
	l, _, err := online.Recommend(s.Context(), s.opened.Online, s.key(id), 10, table.Micros(at))
	if err != nil {
		s.Fatal(err)
	}
	return l.Personalized
}

// TestEndsAreServed: who ends its consent by a time to come, whichever way it is said, is served no list beyond that time though no job runs any more; who ends it later than in thirty days,
// or not at all, loses nothing until then, when nobody is served a list while no job runs; and the lists of the next night carry the end and are read until it, a rollback's too.
func TestEndsAreServed(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(5)
	ids := s.admitted(9)
	at := func(day int, d time.Duration) { s.runner.Now = func() time.Time { return nightAfter(day).Add(d) } }
	now := nightAfter(5).Add(time.Hour)
	end := now.Add(48 * time.Hour)
	at(5, time.Hour)

	week, tomorrow, askew, unsure, year, renewed, fed, other, filed := ids[0], ids[1], ids[2], ids[3], ids[4], ids[5], ids[6], ids[7], ids[8]
	s.saying(week, policy.Record{State: policy.RenewedConsentGiven, Expires: end})
	s.saying(tomorrow, policy.Record{State: policy.Withdrawn, Effective: end})
	s.saying(askew, policy.Record{State: policy.Withdrawn, Effective: now.Add(3 * time.Second)})
	s.saying(unsure, policy.Record{State: policy.Withdrawn, Recorded: now.Add(4 * time.Minute)})
	if out := s.saying(year, policy.Record{State: policy.RenewedConsentGiven, Expires: now.AddDate(1, 0, 0)}); out.Denied != 0 || !s.personalized(year) {
		t.Errorf("who agrees for a year is denied: %+v", out)
	}
	if out := s.saying(renewed, policy.Record{State: policy.RenewedConsentGiven}); out.Denied != 0 || !s.personalized(renewed) {
		t.Errorf("who agrees anew is denied: %+v", out)
	}
	for who, id := range map[string]string{"agrees for two days": week, "withdraws from then on": tomorrow, "withdraws by a clock that is ahead": askew} {
		if s.personalizedAt(id, end) {
			t.Errorf("somebody who %s is served a list of its own when that is over, while no job runs", who)
		}
	}
	if s.personalized(unsure) {
		t.Error("a withdrawal that was recorded by a clock four minutes ahead is not in force")
	}
	if out := s.saying(other, policy.Record{State: policy.Withdrawn, Effective: now.AddDate(0, 0, 40)}); out.Denied != 0 {
		t.Errorf("a withdrawal that is weeks off denies now: %+v", out)
	}
	later := now.AddDate(0, 0, 40)
	if !s.personalizedAt(other, later.Add(-time.Second)) || s.personalizedAt(other, later) {
		t.Error("a list that knows of no end is read beyond one that is weeks off, while no job runs, or not until then")
	}

	// By a file.
	hand := storage.NewMemory(s.runner.Wall)
	row := says(filed, "recommend", "Withdrawn", end.Sub(smallWorld.Start))
	row.Recorded = now.UnixMicro()
	writeParquet(t, hand, "one.parquet", []rawConsent{row})
	if out, err := s.runner.Consenter([]*jobs.Job{s.job}).Import(t.Context(), event.DataSet{Bucket: hand, Path: "one.parquet"}, nil); err != nil || out.Denied != 1 || s.personalizedAt(filed, end) {
		t.Errorf("a withdrawal of a file that takes effect later: %+v, %v", out, err)
	}

	// By a feed, between runs.
	feed := readParquet[rawConsent](t, s.raw, consentFile)
	ends := says(fed, "recommend", "RenewedConsentGiven", now.Sub(smallWorld.Start))
	ends.Expires = end.UnixMicro()
	writeParquet(t, s.raw, consentFile, append(feed, ends))
	at(5, 2*time.Hour)
	if _, err := s.runner.SyncConsent(t.Context(), []*jobs.Job{s.job}, jobs.Caller{}); err != nil {
		t.Fatal(err)
	}
	if s.personalizedAt(fed, end) {
		t.Error("an end that a feed has brought is not that of what is served")
	}
	at(5, 3*time.Hour)
	if _, err := s.runner.Run(t.Context(), s.job, s.interval(5), jobs.Options{Through: jobs.ThroughIngest}); err != nil { // which makes no lists
		t.Fatal(err)
	}
	if s.personalizedAt(week, end) || s.personalizedAt(fed, end) || s.personalizedAt(tomorrow, end) {
		t.Error("a run that made no lists lets somebody in whose row has no end")
	}

	// The lists of the next night carry it.
	s.night(6)
	for _, id := range []string{week, tomorrow, fed, filed} {
		if !s.personalized(id) {
			t.Error("somebody whose consent holds yet has no list though lists are live that end with it")
		}
		if s.personalizedAt(id, end) {
			t.Error("a list is served beyond its end")
		}
	}
	if !s.personalizedAt(other, later.Add(-time.Second)) || s.personalizedAt(other, later) || !s.personalizedAt(year, later) {
		t.Error("weeks later: who withdrew to that day is served beyond it, or somebody else is not, though all lists know of it")
	}
	if s.personalized(askew) || s.personalized(unsure) || !s.personalized(year) {
		t.Error("the night after: who withdrew has a list, or who did not has none")
	}

	// Those of before know no end.
	if _, err := s.runner.Rollback(t.Context(), s.job, 1, "test", "to see"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{week, tomorrow, fed, filed} {
		if s.personalizedAt(id, end) {
			t.Error("rolled back, a list is served beyond the end of its consent")
		}
	}
	if !s.personalized(year) {
		t.Error("rolled back, somebody whose consent goes on has no list")
	}
	if s.personalizedAt(other, later) {
		t.Error("rolled back, a list is served beyond an end that is weeks off")
	}
}

// TestEndsFarOff: who ends its consent in weeks is denied as that comes near, by whatever reads policy, where no night makes lists meanwhile, for a gate or a pin lets none through; nobody else
// loses anything then. While nothing runs at all, nobody is served a list from the first end on that lists do not know.
func TestEndsFarOff(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(5)
	ids := s.admitted(5)
	first, second, fed, filed, rest := ids[0], ids[1], ids[2], ids[3], ids[4]
	now := nightAfter(5).Add(time.Hour)
	at := func(days int) time.Time { return now.AddDate(0, 0, days) }
	to := func(days int) { s.runner.Now = func() time.Time { return at(days) } }
	horizon := func(want int, why string) {
		t.Helper()
		got, err := s.opened.Online.Horizon(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		is := "none"
		if got != 0 {
			is = time.UnixMicro(got).Sub(now).String()
		}
		if want != 0 && got != at(want).UnixMicro() || want == 0 && got != 0 {
			t.Errorf("%s: the horizon is %s from now, want %d days", why, is, want)
		}
	}
	to(0)
	horizon(0, "nobody has said anything")
	s.saying(second, policy.Record{State: policy.Withdrawn, Effective: at(60)})
	horizon(60, "one record")
	s.saying(first, policy.Record{State: policy.RenewedConsentGiven, Expires: at(40)})
	horizon(40, "an earlier one")
	s.saying(rest, policy.Record{State: policy.RenewedConsentGiven})
	horizon(40, "one without an end")

	hand := storage.NewMemory(s.runner.Wall)
	row := says(filed, "recommend", "Withdrawn", at(38).Sub(smallWorld.Start))
	row.Recorded = now.UnixMicro()
	writeParquet(t, hand, "one.parquet", []rawConsent{row})
	if _, err := s.runner.Consenter([]*jobs.Job{s.job}).Import(t.Context(), event.DataSet{Bucket: hand, Path: "one.parquet"}, nil); err != nil {
		t.Fatal(err)
	}
	horizon(38, "a file")
	feed := readParquet[rawConsent](t, s.raw, consentFile)
	ends := says(fed, "recommend", "RenewedConsentGiven", now.Sub(smallWorld.Start))
	ends.Expires = at(36).UnixMicro()
	writeParquet(t, s.raw, consentFile, append(feed, ends))
	sync := func() {
		t.Helper()
		if _, err := s.runner.SyncConsent(t.Context(), []*jobs.Job{s.job}, jobs.Caller{}); err != nil {
			t.Fatal(err)
		}
	}
	sync()
	horizon(36, "a feed")
	for _, id := range ids {
		if !s.personalizedAt(id, at(36).Add(-time.Second)) || s.personalizedAt(id, at(36)) {
			t.Error("while nothing runs, somebody has a list beyond an end that the lists do not know, or none before")
		}
	}

	// No lists are made, but policy is read.
	to(5)
	sync()
	horizon(36, "none is near")
	to(9)
	sync() // those of the 36th and 38th day are near
	horizon(40, "two are denied")
	if s.personalized(fed) || s.personalized(filed) || !s.personalized(first) || !s.personalizedAt(rest, at(39)) {
		t.Error("as ends come near, one of them is served yet, or somebody else is not")
	}
	to(20)
	if _, err := s.runner.Run(t.Context(), s.job, s.interval(5), jobs.Options{Through: jobs.ThroughIngest}); err != nil {
		t.Fatal(err)
	}
	horizon(60, "a run without lists")
	if s.personalized(first) || s.personalized(fed) || !s.personalized(second) || !s.personalizedAt(rest, at(59)) {
		t.Error("a run without lists lets somebody in, or denies somebody else")
	}
	if s.personalizedAt(second, at(60)) {
		t.Error("a list is served beyond the last end")
	}
	s.night(6) // by whose clock they are far off again, and in the lists
	horizon(0, "lists carry all of them")
	if !s.personalized(fed) || s.personalizedAt(fed, at(36)) || s.personalizedAt(second, at(60)) || !s.personalizedAt(rest, at(400)) {
		t.Error("lists that carry the ends are served beyond them, or not until then, or withheld from somebody else")
	}
}

// TestOneRecordID: a sender that keeps one record id for all that somebody says of a purpose is heard each time it says no.
func TestOneRecordID(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(5)
	id := s.admitted(1)[0]
	for i, state := range []string{"Withdrawn", "ConsentGiven", "Withdrawn"} {
		s.runner.Now = func() time.Time { return nightAfter(5).Add(time.Duration(i+1) * time.Hour) }
		s.say(id, state, "the one")
	}
	s.runner.Now = func() time.Time { return nightAfter(5).Add(5 * time.Hour) }
	if _, err := s.runner.Run(t.Context(), s.job, s.interval(5), jobs.Options{Through: jobs.ThroughIngest}); err != nil {
		t.Fatal(err)
	}
	shown, err := s.runner.ShowConsent(t.Context(), s.job, []string{id})
	if err != nil {
		t.Fatal(err)
	}
	if p := shown[0].Purposes[0]; p.Allowed || slices.ContainsFunc(shown[0].Records, func(r jobs.ShownRecord) bool {
		return r.Holds && r.State != policy.Withdrawn && r.Purpose == "recommend"
	}) {
		t.Errorf("the second withdrawal under one id is taken for the first: %+v", shown[0])
	}
	s.night(6)
	if s.personalized(id) {
		t.Error("who withdrew for the second time under one id has a list")
	}
}

// TestClocksOfTwoMachines: who says no to a server whose clock is ahead is not let in by a run on a machine whose clock is behind, though what it said lies in the future there.
func TestClocksOfTwoMachines(t *testing.T) {
	s := newShop(t, smallWorld)
	s.job.Preferences = &event.DataSet{}
	s.night(5)
	ids := s.admitted(3)
	s.runner.Now = func() time.Time { return nightAfter(6).Add(20 * time.Second) }
	if out := s.say(ids[0], "Withdrawn", "no"); out.Denied != 1 {
		t.Fatalf("%+v", out)
	}
	off := []policy.Wish{{Name: policy.WishLevel, Value: "off"}}
	if out, err := s.runner.Preferrer([]*jobs.Job{s.job}).Prefer(t.Context(), ids[2:], off); err != nil || out.Denied != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	for _, through := range []jobs.Through{jobs.ThroughIngest, jobs.ThroughPublish} {
		r := s.newRunner(s.opened.Bucket, "behind")
		r.Now = func() time.Time { return nightAfter(6) }
		if _, err := r.Run(t.Context(), s.job, s.interval(6), jobs.Options{Through: through}); err != nil {
			t.Fatal(err)
		}
		if s.personalized(ids[0]) || s.personalized(ids[2]) || !s.personalized(ids[1]) {
			t.Errorf("a run through %s: who withdrew, or wants no list, by a clock twenty seconds ahead has one, or somebody else has none", through)
		}
	}
}
