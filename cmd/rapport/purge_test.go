package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/cmd/internal/synth"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

const aDay = 24 * time.Hour

// newKeeping is a shop whose views look back two days, whose model learns from eight, and whose training purpose keeps what keep says.
func newKeeping(t testing.TB, keep map[string]time.Duration) *shop {
	t.Helper()
	s := newShop(t, synth.World{Users: 60, Items: 30, Days: 8, Seed: 7, EventsPerUser: 24, Start: smallWorld.Start})
	s.keeping(keep)
	return s
}

func (s *shop) keeping(keep map[string]time.Duration) {
	j := *s.job
	j.Training.Keep, j.Floor = keep, 0
	s.job = &j
	s.lookBack(2 * aDay)
}

// lookBack makes the windows of views a day, and so long.
func (s *shop) lookBack(window time.Duration) {
	j := *s.job
	j.Views = slices.Clone(j.Views)
	for i := range j.Views {
		j.Views[i].Windows = []time.Duration{aDay, window}
	}
	j.Published = j.Views
	s.job = &j
}

// purge is retention some time after the night of a day.
func (s *shop) purge(day int, after time.Duration) *jobs.Purged {
	s.Helper()
	out, err := s.tryPurge(day, after, false)
	if err != nil {
		s.Fatalf("purge after day %d: %v", day, err)
	}
	return out
}

func (s *shop) tryPurge(day int, after time.Duration, dry bool) (*jobs.Purged, error) {
	s.runner.Now = func() time.Time { return nightAfter(day).Add(after) }
	return s.runner.Purge(s.Context(), []*jobs.Job{s.job}, "test", dry)
}

// eventTimes are the times of all events that are stored, by the label of their day.
func (s *shop) eventTimes() map[string][]time.Time {
	s.Helper()
	out := map[string][]time.Time{}
	for c, err := range (table.Store{Bucket: s.opened.Bucket}).List(s.Context(), "ingest/") {
		if err != nil {
			s.Fatal(err)
		}
		label := strings.Split(c.Key, "/")[1]
		out[label] = []time.Time{}
		for b, err := range table.Read(s.Context(), s.opened.Bucket, c.Outputs["events"], table.ReadOptions{Columns: []string{event.ColTime}}) {
			if err != nil {
				s.Fatal(err)
			}
			for _, t := range b.Cols[0].Int {
				out[label] = append(out[label], time.UnixMicro(t).UTC())
			}
		}
	}
	return out
}

// oldest is the oldest event that is stored.
func (s *shop) oldest() (oldest time.Time) {
	s.Helper()
	for _, times := range s.eventTimes() {
		for _, t := range times {
			if oldest.IsZero() || t.Before(oldest) {
				oldest = t
			}
		}
	}
	return oldest
}

// goes is what goes of a store.
func goes(p jobs.Purge, store string) jobs.PurgeGoes {
	for _, g := range p.Goes {
		if g.Store == store {
			return g
		}
	}
	return jobs.PurgeGoes{}
}

func rests(p jobs.Purge, what string) (out []jobs.PurgeRests) {
	for _, x := range p.Rests {
		if strings.Contains(x.What, what) {
			out = append(out, x)
		}
	}
	return out
}

// TestPurge: what is past its retention goes, files and all; nothing else does. No step is done again, the next night builds one day, and its views are those of a
// project that never purged. It is written down once, and a second purge does nothing.
func TestPurge(t *testing.T) {
	s := newKeeping(t, map[string]time.Duration{"events": 4 * aDay})
	s.lookBack(4 * aDay)
	s.night(5)
	s.night(6)
	calm := s.clone(t)
	before, done, all := toDo(s.plan(7)), keysOf(t, s, ""), objects(t, s.opened.Bucket)
	if s.buildFacts(6).From == "" {
		t.Fatal("the last night has not gone on from the one before")
	}

	dry, err := s.tryPurge(6, 5*time.Hour, true)
	if err != nil || dry.Nothing || !maps.EqualFunc(all, objects(t, s.opened.Bucket), func(a, b []byte) bool { return string(a) == string(b) }) {
		t.Fatalf("a dry run: %+v, %v", dry, err)
	}
	cut := smallWorld.Start.AddDate(0, 0, 3) // the last interval ends as day 7 begins
	if old := s.oldest(); !old.Before(cut) {
		t.Fatalf("before the purge the oldest event is of %s", old)
	}
	out := s.purge(6, 5*time.Hour)
	if out.Purge.Number != 1 || !same(out.Purge.Goes, dry.Purge.Goes) || !same(out.Purge.Rests, dry.Purge.Rests) {
		t.Errorf("purge\n%+v\nthe dry run said\n%+v", out.Purge, dry.Purge)
	}
	if g := goes(out.Purge, "events"); g.Tables != 3 || g.Rows == 0 || g.Files == 0 || g.Bytes == 0 || !g.From.Equal(smallWorld.Start) || !g.To.Equal(cut) {
		t.Errorf("of events goes %+v", g)
	}
	if old := s.oldest(); old.Before(cut) {
		t.Errorf("after the purge the oldest event is of %s, want none before %s", old, cut)
	}
	if n := len(s.eventTimes()["2026-01-04"]); n == 0 {
		t.Error("a day within its retention has lost its events")
	}
	for key := range objects(t, s.opened.Bucket) {
		for day := range 3 {
			if strings.HasPrefix(key, "data/ingest/"+smallWorld.Start.AddDate(0, 0, day).Format(time.DateOnly)) {
				t.Errorf("%s is left", key)
			}
		}
	}
	// The state of the night before last rests on day 2; that of the last night on none that went.
	if x := rests(out.Purge, "running states"); len(x) != 1 || x[0].Becomes != "dropped" || x[0].Count != 2 {
		t.Errorf("states: %+v", x)
	}
	for name := range s.lastBuild(5).Outputs {
		if strings.HasPrefix(name, "state.") {
			t.Errorf("%s of day 5 is left, and rests on events that went", name)
		}
	}
	if x := rests(out.Purge, "version"); len(x) == 0 || !slices.ContainsFunc(x, func(r jobs.PurgeRests) bool {
		return strings.Contains(r.Why, "live as champion") && r.Becomes == "kept"
	}) {
		t.Errorf("models: %+v", x)
	}
	if x := rests(out.Purge, "training sets"); len(x) != 1 || x[0].Count != 2 || x[0].Becomes != "kept" {
		t.Errorf("training sets: %+v", x)
	}

	if now := keysOf(t, s, ""); !slices.Equal(now, done) {
		t.Errorf("%d steps were done, now %d are", len(done), len(now))
	}
	if after := toDo(s.plan(7)); !slices.Equal(after, before) {
		t.Errorf("to do before the purge %v, after it %v", before, after)
	}

	held := objects(t, s.opened.Bucket)
	delete(held, "policy/purged.json")
	if again := s.purge(6, 6*time.Hour); !again.Nothing || again.Purge.Number != 0 {
		t.Errorf("a second purge: %+v", again)
	}
	now := objects(t, s.opened.Bucket)
	delete(now, "policy/purged.json")
	for key, body := range now {
		if string(held[key]) != string(body) && !strings.HasPrefix(key, "leases/") {
			t.Errorf("a second purge wrote %s", key)
		}
	}
	entries, err := s.runner.Purges(t.Context())
	if err != nil || len(entries) != 1 || entries[0].Finished == nil {
		t.Errorf("the journal: %+v, %v", entries, err)
	}

	calm.night(7)
	for day, when := range map[int]string{6: "after the night", 7: "ahead of the night"} {
		x := s.clone(t)
		if day == 7 {
			if p := x.purge(7, -time.Hour); goes(p.Purge, "running states of views").Tables == 0 {
				t.Errorf("%s: no state goes, and the last one rests on day 3", when)
			}
		}
		x.night(7)
		if got, want := madeBy(t, x.lastBuild(7)), madeBy(t, calm.lastBuild(7)); got != want {
			t.Errorf("purged %s, the next build is\n%s\nwant\n%s", when, got, want)
		}
		if from := x.buildFacts(7).From; (from == "") != (day == 7) {
			t.Errorf("purged %s, the next build goes on from %q", when, from)
		}
	}
}

// TestPurgeStraddles: of a day through which the cut goes the older rows go, and no other; only the files that hold some are written anew.
func TestPurgeStraddles(t *testing.T) {
	s := newKeeping(t, map[string]time.Duration{"events": 60 * time.Hour})
	s.night(6)
	cut := smallWorld.Start.AddDate(0, 0, 7).Add(-60 * time.Hour)
	var want []time.Time
	const label = "2026-01-05"
	was, all := s.eventTimes()[label], 0
	for _, times := range s.eventTimes() {
		all += len(times)
	}
	for _, at := range was {
		if !at.Before(cut) {
			want = append(want, at)
		}
	}
	out := s.purge(6, time.Hour)
	got := s.eventTimes()[label]
	for _, times := range [][]time.Time{got, want} {
		slices.SortFunc(times, func(a, b time.Time) int { return a.Compare(b) })
	}
	if !slices.Equal(got, want) || len(want) == 0 || len(want) == len(was) {
		t.Errorf("%d of %d events are left, want %d", len(got), len(was), len(want))
	}
	left := 0
	for _, times := range s.eventTimes() {
		left += len(times)
	}
	if g := goes(out.Purge, "events"); g.Rows != int64(all-left) || g.Tables != 5 {
		t.Errorf("the journal says %+v, of %d events %d are left", g, all, left)
	}
	if again := s.purge(6, 2*time.Hour); !again.Nothing {
		t.Errorf("again: %+v", again.Purge.Goes)
	}
	s.night(7)
}

// TestPurgeOfClasses: each class has its own retention: views, attributes of people, models and reports go by the interval that they were made for; what is live,
// or kept for a rollback, stays and is named.
func TestPurgeOfClasses(t *testing.T) {
	s := newKeeping(t, map[string]time.Duration{"events": 100 * aDay, "features": aDay, "training": aDay, "models": aDay, "reports": aDay})
	j := *s.job
	evaluation := *j.Evaluation
	evaluation.Keep = map[string]time.Duration{"reports": 2 * aDay, "training": aDay}
	j.Evaluation = &evaluation
	s.job = &j
	for day := 3; day <= 6; day++ {
		s.night(day)
	}
	reg, err := registry.Open(s.opened.Bucket, "home")
	if err != nil {
		t.Fatal(err)
	}
	out := s.purge(6, time.Hour)
	for _, store := range []string{"events", "models"} {
		if g := goes(out.Purge, store); g.Tables != 0 { // the online store keeps the generations of all
			t.Errorf("of %s goes %+v", store, g)
		}
	}
	if x := rests(out.Purge, "past its retention"); !slices.ContainsFunc(x, func(r jobs.PurgeRests) bool { return strings.Contains(r.What, "model home") }) {
		t.Errorf("models past their retention are not named: %+v", out.Purge.Rests)
	}
	// Generations of old versions go, and with them what is kept for a rollback.
	generations, err := s.opened.Online.Generations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	live, err := reg.Live(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for g := range generations {
		if g != live.Aliases["champion"].Generation {
			if err := s.opened.Online.Drop(t.Context(), g); err != nil {
				t.Fatal(err)
			}
		}
	}
	out = s.purge(6, 2*time.Hour)
	versions, err := reg.Versions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	gone := 0
	for _, v := range versions {
		_, err := reg.Files(t.Context(), v)
		switch {
		case v.Number == live.Aliases["champion"].Version:
			if err != nil {
				t.Errorf("what is live: %v", err)
			}
		case err != nil:
			gone++
		}
	}
	if g := goes(out.Purge, "models"); gone == 0 || g.Tables != gone || g.Files == 0 || g.Bytes == 0 {
		t.Errorf("%d versions have lost their artifact, the journal says %+v", gone, g)
	}
	labels := map[string]bool{}
	for key := range objects(t, s.opened.Bucket) {
		if rest, ok := strings.CutPrefix(key, "reports/nightly/"); ok {
			labels[strings.Split(rest, "/")[0]] = true
		}
	}
	// The longest of two purposes keeps reports for two days, from as day 7 begins: those of days 5 and 6 are of intervals that end later than the cut.
	if got := slices.Sorted(maps.Keys(labels)); !slices.Equal(got, []string{"2026-01-06", "2026-01-07"}) {
		t.Errorf("reports of %v are left", got)
	}
	for day, want := range map[int]bool{3: false, 4: false, 6: true} {
		c := s.lastBuild(day)
		if has := c.Outputs["activity"].Rows > 0; has != want {
			t.Errorf("views of day %d have rows: %v", day, has)
		}
	}
	if !slices.ContainsFunc(out.Purge.Classes, func(c jobs.PurgeCut) bool {
		return c.Class == "reports" && c.Purpose == "check_fairness" && c.Keep == "2d"
	}) {
		t.Errorf("classes: %+v", out.Purge.Classes)
	}
	if again := s.purge(6, 3*time.Hour); !again.Nothing {
		t.Errorf("again: %+v", again.Purge.Goes)
	}
	s.night(7)
}

// TestPurgeKeepsForTheLongest: a table that two jobs read is kept as long as the one of them that keeps it longest.
func TestPurgeKeepsForTheLongest(t *testing.T) {
	s := newKeeping(t, map[string]time.Duration{"events": 2 * aDay})
	s.night(6)
	other := *s.job
	other.Name, other.Training.Keep = "weekly", map[string]time.Duration{"events": 5 * aDay}
	s.runner.Now = func() time.Time { return nightAfter(6).Add(time.Hour) }
	out, err := s.runner.Purge(t.Context(), []*jobs.Job{s.job, &other}, "test", false)
	if err != nil {
		t.Fatal(err)
	}
	if g := goes(out.Purge, "events"); g.Tables != 2 {
		t.Errorf("of events goes %+v", g)
	}
	if x := out.Purge.Longer; len(x) != 1 || x[0].Job != "weekly" || x[0].Store != "events" || x[0].Tables != 3 {
		t.Errorf("kept longer: %+v", x)
	}
	other.Training.Keep = nil
	s.runner.Now = func() time.Time { return nightAfter(7).AddDate(1, 0, 0) }
	if out, err = s.runner.Purge(t.Context(), []*jobs.Job{s.job, &other}, "test", false); err != nil || goes(out.Purge, "events").Tables != 0 {
		t.Errorf("of what one job keeps for ever goes %+v (%v)", out.Purge.Goes, err)
	}
}

// hold adds a legal hold of events, which lasts for an hour of the machine's clock; the returned function lets it pass.
func (s *shop) hold(h jobs.Hold) (end func()) {
	s.Helper()
	h.Class, h.Reason, h.Until, h.By = "events", "claim 17 of the works council", time.Now().Add(time.Hour), "legal"
	if _, err := s.runner.AddHold(s.Context(), h); err != nil {
		s.Fatal(err)
	}
	return func() { s.runner.Wall = func() time.Time { return time.Now().Add(2 * time.Hour) } }
}

// TestPurgeUnderHold: what is held stays, is told with its reason and its end, and is used for nothing; when the hold has ended, by itself, that is told, and it goes.
func TestPurgeUnderHold(t *testing.T) {
	s := newKeeping(t, map[string]time.Duration{"events": 2 * aDay})
	s.night(6)
	free := s.clone(t)
	end := s.hold(jobs.Hold{From: smallWorld.Start.AddDate(0, 0, 1).Add(12 * time.Hour), To: smallWorld.Start.AddDate(0, 0, 3), Job: "nightly"})
	out := s.purge(6, time.Hour)
	times := s.eventTimes()
	if len(times["2026-01-01"]) != 0 || len(times["2026-01-02"]) == 0 || len(times["2026-01-03"]) == 0 || len(times["2026-01-04"]) != 0 {
		t.Errorf("of days 0 to 3 are left %d, %d, %d, %d events", len(times["2026-01-01"]), len(times["2026-01-02"]), len(times["2026-01-03"]), len(times["2026-01-04"]))
	}
	if old, want := s.oldest(), smallWorld.Start.AddDate(0, 0, 1).Add(12*time.Hour); old.Before(want) {
		t.Errorf("the oldest event is of %s, and held is what is not before %s", old, want)
	}
	if x := out.Purge.Excepted; len(x) != 1 || x[0].Hold != 1 || x[0].Reason != "claim 17 of the works council" || x[0].Tables != 2 || x[0].Rows != int64(len(times["2026-01-02"])+len(times["2026-01-03"])) {
		t.Errorf("excepted: %+v", x)
	}
	if again := s.purge(6, 2*time.Hour); !again.Nothing || len(again.Purge.Excepted) != 1 {
		t.Errorf("again: %+v", again)
	}
	free.purge(6, time.Hour)
	free.night(7)
	s.night(7)
	if got, want := s.outcome().Digest+madeBy(t, s.lastBuild(7)), free.outcome().Digest+madeBy(t, free.lastBuild(7)); got != want {
		t.Errorf("what is held is used: the next night leads to\n%s\nand without it to\n%s", got, want)
	}

	end()
	out = s.purge(7, time.Hour)
	if len(out.Ended) != 1 || out.Ended[0].Number != 1 || !slices.Equal(out.Purge.Ended, []int{1}) || out.Purge.Number != 2 || len(out.Purge.Excepted) != 0 {
		t.Errorf("after its end: %+v", out)
	}
	if old := s.oldest(); old.Before(smallWorld.Start.AddDate(0, 0, 6)) {
		t.Errorf("after its end the oldest event is of %s", old)
	}
}

// TestErasureUnderHold: an erasure of somebody whose rows are held denies at once and says what is kept, why and until when; the rows go with the first purge after the
// hold, with a receipt of their own. Whoever comes back meanwhile loses nothing of what is new.
func TestErasureUnderHold(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(6)
	id := s.admitted(1)[0]
	traces := s.traces(id)
	end := s.hold(jobs.Hold{From: smallWorld.Start.AddDate(0, 0, 1), To: smallWorld.Start.AddDate(0, 0, 4)})
	out, err := s.erase(id)
	if err != nil {
		t.Fatal(err)
	}
	if len(out.HeldBack) != 1 || out.HeldBack[0].Hold != 1 || out.HeldBack[0].Store != "events" || out.HeldBack[0].Rows == 0 || out.HeldBack[0].Reason == "" || out.Rows == 0 {
		t.Fatalf("held back: %+v", out.HeldBack)
	}
	if s.personalized(id) {
		t.Error("who is erased is served a list of its own")
	}
	keys, err := s.runner.SigningKeys(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	receipt := func(key string) *jobs.Receipt {
		r, _, err := jobs.VerifyReceipt(object(t, s.opened.Bucket, key), keys.Keys)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		return r
	}
	if r := receipt(out.Receipts[0]); !slices.ContainsFunc(r.Pending, func(p jobs.ErasedPending) bool {
		return strings.Contains(p.What, fmt.Sprintf("events: %d rows, kept by legal hold 1", out.HeldBack[0].Rows)) && strings.Contains(p.Why, "claim 17") && p.Due.Equal(out.HeldBack[0].Until)
	}) {
		t.Errorf("the receipt does not say what is held back: %+v", r.Pending)
	}
	left := s.find(traces)
	for form, where := range left {
		if !strings.Contains(form, "number") || !strings.Contains(where, "data/ingest/2026-01-0") && !strings.Contains(where, "policy/journal/") {
			t.Errorf("the %s stands in %s", form, where)
		}
	}
	if len(left) == 0 {
		t.Fatal("nothing is left of who is held")
	}
	// Nights go on, from one another, without them; and an erasure that asks for nobody new is none.
	s.night(7)
	if f := s.buildFacts(7); strings.Contains(f.Anew, "erasure is under way") {
		t.Errorf("what is held back keeps builds from going on: %s", f.Anew)
	}
	if s.personalized(id) {
		t.Error("after the next night who is erased is served a list of its own")
	}
	if _, err := s.erase("nobody"); !errors.Is(err, jobs.ErrUnknownSubjects) {
		t.Errorf("an erasure of nobody: %v", err)
	}
	if p := s.purge(7, time.Hour); p.Waiting != 1 || len(p.Receipts) != 0 {
		t.Errorf("a purge under the hold: %+v", p)
	}
	first := object(t, s.opened.Bucket, out.Receipts[0])
	// An erasure of somebody else leaves what is held as it is, and its receipt.
	two, err := s.erase(s.admitted(1)[0])
	if err != nil || len(two.Receipts) != 1 || two.Receipts[0] == out.Receipts[0] {
		t.Fatalf("an erasure of somebody else: %v, %v", two, err)
	}
	if string(object(t, s.opened.Bucket, out.Receipts[0])) != string(first) {
		t.Error("the receipt of what is held back was written over")
	}

	end()
	p := s.purge(7, 2*time.Hour)
	if len(p.Receipts) != 1+len(two.HeldBack) || p.Receipts[0] == out.Receipts[0] || p.Nothing {
		t.Fatalf("the purge after the hold: %+v", p)
	}
	r, held := receipt(p.Receipts[0]), out.HeldBack[0].Rows
	i := slices.IndexFunc(r.Stores, func(x jobs.ErasedStore) bool { return x.Store == "events" })
	for _, h := range two.HeldBack { // the counts of a receipt are of all that were carried out together
		held += h.Rows
	}
	if i < 0 || r.Stores[i].Removed != held || r.Erasure != out.Epoch {
		t.Errorf("the receipt of what had been held back: %+v", r.Stores)
	}
	s.noTrace("after the hold", map[string]map[string][]byte{id: traces})
	journal, err := event.OpenJournal(t.Context(), s.opened.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	if _, pending := journal.Pending(); len(pending) != 0 {
		t.Errorf("%d erasures are pending", len(pending))
	}
	if p := s.purge(7, 3*time.Hour); !p.Nothing {
		t.Errorf("again: %+v", p)
	}
}

// TestChaosPurge fails a purge at its nth write and ever after, as a process that dies; the next one finishes it, and leads where an undisturbed one does.
func TestChaosPurge(t *testing.T) {
	origin := newKeeping(t, map[string]time.Duration{"events": 60 * time.Hour, "reports": aDay, "features": aDay})
	origin.night(5)
	origin.night(6)
	calm := origin.clone(t)
	want := calm.purge(6, time.Hour)
	rows := func(s *shop) map[string]string {
		out := map[string]string{}
		for key, body := range objects(t, s.opened.Bucket) {
			switch {
			case strings.HasPrefix(key, "data/"), strings.HasPrefix(key, "artifacts/"), strings.HasPrefix(key, "reports/"):
				out[key] = string(body)
			}
		}
		return out
	}
	end, stride, writes := rows(calm), 5, 0
	if os.Getenv("RAPPORT_CHAOS") == "all" {
		stride = 1
	}
	for n := 2; ; n += stride {
		s := origin.clone(t)
		seen := s.diesAt(n)
		_, err := s.tryPurge(6, time.Hour, false)
		if err == nil {
			writes = *seen
			break
		}
		s.buried(n, err)
		s.purge(6, 2*time.Hour)
		if got := rows(s); !maps.Equal(got, end) {
			t.Fatalf("died at write %d, the next purge leaves %d files, want %d:\n%s", n, len(got), len(end), strings.Join(differing(got, end), "\n"))
		}
		entries, err := s.runner.Purges(t.Context())
		if err != nil || len(entries) != 1 || entries[0].Finished == nil || !same(entries[0].Goes, want.Purge.Goes) {
			t.Fatalf("died at write %d, the journal: %+v (%v)", n, entries, err)
		}
		if again := s.purge(6, 3*time.Hour); !again.Nothing {
			t.Fatalf("died at write %d, a third purge: %+v", n, again.Purge.Goes)
		}
	}
	if writes < 20 {
		t.Errorf("a purge makes only %d writes", writes)
	}
}

func differing(got, want map[string]string) (keys []string) {
	for key := range got {
		if want[key] != got[key] {
			keys = append(keys, "+ "+key)
		}
	}
	for key := range want {
		if _, ok := got[key]; !ok {
			keys = append(keys, "- "+key)
		}
	}
	slices.Sort(keys)
	return keys
}

// TestPurgeBesideRun: a run beside a purge fails cleanly and works again, or sees what was or what is; and of two purges at once one does it.
func TestPurgeBesideRun(t *testing.T) {
	origin := newKeeping(t, map[string]time.Duration{"events": 2 * aDay})
	origin.night(6)
	calm := origin.clone(t)
	calm.night(7)
	for _, at := range []string{"data/ingest/2026-01-08/", "data/build/2026-01-08/", "done/assemble/2026-01-08/", "artifacts/", "leases/publish"} {
		t.Run(strings.ReplaceAll(strings.Trim(at, "/"), "/", " "), func(t *testing.T) {
			s := origin.clone(t)
			var once sync.Once
			purged := false
			s.runner = s.newRunner(hooked{s.opened.Bucket, func(key string) {
				if strings.HasPrefix(key, at) {
					once.Do(func() {
						other := s.newRunner(s.opened.Bucket, "two")
						other.Now = func() time.Time { return nightAfter(7) }
						out, err := other.Purge(t.Context(), []*jobs.Job{s.job}, "test", false)
						purged = err == nil && out.Purge.Number == 1
					})
				}
			}}, "one")
			_, err := s.try(7)
			if !purged {
				t.Fatalf("nothing was purged at %s", at)
			}
			if err != nil && !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("the run: %v", err)
			}
			s.night(7)
			if got, want := s.outcome().Digest+madeBy(t, s.lastBuild(7)), calm.outcome().Digest+madeBy(t, calm.lastBuild(7)); got != want {
				t.Errorf("the night leads to\n%s\nand without a purge beside it to\n%s", got, want)
			}
			if old, want := s.oldest(), smallWorld.Start.AddDate(0, 0, 6); old.Before(want) {
				t.Errorf("the oldest event is of %s", old)
			}
		})
	}

	s := origin.clone(t)
	var second error
	s.runner = s.newRunner(hooked{s.opened.Bucket, func(key string) {
		if strings.HasPrefix(key, "policy/purges/") && second == nil {
			other := s.newRunner(s.opened.Bucket, "two")
			other.Now = s.runner.Now
			_, second = other.Purge(context.Background(), []*jobs.Job{s.job}, "test", false)
		}
	}}, "one")
	s.purge(6, time.Hour)
	if !errors.Is(second, storage.ErrHeld) {
		t.Errorf("a second purge at once: %v", second)
	}
}

// TestPurgeOfOneRow: one row that went with a key is one row.
func TestPurgeOfOneRow(t *testing.T) {
	var out strings.Builder
	k := jobs.KeyRemoval{Key: "k1", Erasure: 2, Stores: []jobs.ErasedStore{{Store: "events", Unit: "rows", Removed: 1}, {Store: "identity table", Unit: "entries", Removed: 1}}}
	if (purgeLine{Key: &k}).print(&out); !strings.Contains(out.String(), "1 row of 1 person") {
		t.Errorf("it is listed as %q", out.String())
	}
}
