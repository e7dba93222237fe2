package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/storagetest"
)

// say records what a person says of recommend, at the runner's time, under a record id.
func (s *shop) say(id, state, recordID string) *jobs.Consented {
	s.Helper()
	out, err := s.runner.Consenter([]*jobs.Job{s.job}).Record(s.Context(), []event.Said{{
		ID: id, RecordID: recordID, Record: policy.Record{Purpose: "recommend", State: policy.State(state), Source: "app"},
	}})
	if err != nil {
		s.Fatal(err)
	}
	return out
}

// allowing is an online store that does something just before it lets people in again.
type allowing struct {
	online.Store
	first sync.Once
	do    func()
}

func (a *allowing) Allow(ctx context.Context, keys ...string) error {
	a.first.Do(a.do)
	return a.Store.Allow(ctx, keys...)
}

// TestConsentOneByOne: who withdraws by itself reads the list not based on profiling at once, and still does whatever feeds, retries and runs come after; who
// consents again starts anew; and nothing of it outlives an erasure.
func TestConsentOneByOne(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(5)
	ids := s.admitted(4)
	gone, back, racing, other := ids[0], ids[1], ids[2], ids[3]
	at := func(d time.Duration) { s.runner.Now = func() time.Time { return nightAfter(5).Add(d) } }
	old := readParquet[rawConsent](t, s.raw, consentFile)

	at(0)
	for _, id := range []string{gone, back, racing} {
		if out := s.say(id, "Withdrawn", "no-"+id); out.Denied != 1 || out.Records != 1 || s.personalized(id) {
			t.Fatalf("a withdrawal is not in force at once: %+v", out)
		}
	}
	// A feed of before, in another order, and a grant that is sent again.
	slices.Reverse(old)
	s.consents(5, old...)
	at(time.Hour)
	s.say(gone, "Withdrawn", "no-"+gone)
	if s.ingestDay(5); s.personalized(gone) || !s.personalized(other) {
		t.Error("an older feed overtakes a withdrawal that came by itself, or touches others")
	}
	for info, err := range s.opened.Bucket.List(t.Context(), "done/said/", storage.ListOpt{}) {
		t.Errorf("a snapshot has taken what came in, and %s stands there still (%v)", info.Key, err)
	}

	// Who consents again starts anew, and a grant that was sent before the next withdrawal brings nobody back.
	at(2 * time.Hour)
	s.say(back, "ConsentGiven", "yes")
	at(3 * time.Hour)
	s.say(gone, "ConsentGiven", "yes-"+gone)
	at(4 * time.Hour)
	s.say(gone, "Withdrawn", "no-again")
	at(5 * time.Hour)
	s.say(gone, "ConsentGiven", "yes-"+gone) // a retry
	if s.personalized(gone) {
		t.Error("a grant counts before any run")
	}
	shown, err := s.runner.ShowConsent(t.Context(), s.job, []string{gone, back})
	if err != nil {
		t.Fatal(err)
	}
	if p := shown[0].Purposes[0]; p.Allowed || p.Why != "refused" {
		t.Errorf("a retried grant brings somebody back who has withdrawn since: %+v", p)
	}
	if p, want := shown[1].Purposes[0], nightAfter(5).Add(2*time.Hour); !p.Allowed || p.From == nil || !p.From.Equal(want) {
		t.Errorf("who returns starts at %v, want %s: %+v", p.From, want, p)
	}
	counts := 0
	for _, r := range shown[0].Records {
		if r.Holds && r.Purpose == "recommend" {
			counts++
			if r.State != policy.Withdrawn || !r.Alone || r.Source != "app" {
				t.Errorf("the record that counts is %+v", r)
			}
		}
	}
	if counts != 1 {
		t.Errorf("%d records count for one purpose", counts)
	}

	// Somebody withdraws while a run lets them in again: the first whose lists were made since.
	at(6 * time.Hour)
	s.say(racing, "ConsentGiven", "yes")
	r := s.newRunner(s.opened.Bucket, "racing")
	r.Now = func() time.Time { return nightAfter(6) }
	raced := false
	r.Online = &allowing{Store: s.opened.Online, do: func() {
		raced = true
		at(24 * time.Hour)
		s.say(racing, "Withdrawn", "no-at-this-moment")
	}}
	if _, err := r.Run(t.Context(), s.job, s.interval(6), jobs.Options{Through: jobs.ThroughPublish}); err != nil || !raced {
		t.Fatalf("the run: %v; let in somebody: %v", err, raced)
	}
	if s.personalized(racing) {
		t.Error("a run lets somebody in who withdrew at that moment")
	}
	at(25 * time.Hour)
	if _, err := s.runner.Run(t.Context(), s.job, s.interval(6), jobs.Options{Through: jobs.ThroughPublish}); err != nil {
		t.Fatal(err)
	}
	if s.personalized(racing) || s.personalized(gone) {
		t.Error("the next run lets somebody in who has withdrawn")
	}

	// What cannot be meant is refused whole, by its place, and nobody is named.
	good := event.Said{ID: other, Record: policy.Record{Purpose: "recommend", State: policy.Withdrawn}}
	for name, spoil := range map[string]func(*event.Said){
		"state is not known":        func(x *event.Said) { x.Record.State = "granted" },
		"purpose is no purpose":     func(x *event.Said) { x.Record.Purpose = "For fun" },
		"more than ten years ahead": func(x *event.Said) { x.Record.Effective = nightAfter(5).AddDate(11, 0, 0) },
		"recorded_at is in the":     func(x *event.Said) { x.Record.Recorded = nightAfter(5).AddDate(0, 1, 0) },
		"not after effective_at": func(x *event.Said) {
			x.Record.State, x.Record.Effective, x.Record.Expires = policy.ConsentGiven, nightAfter(5), nightAfter(4)
		},
	} {
		bad := good
		spoil(&bad)
		_, err := s.runner.Consenter([]*jobs.Job{s.job}).Record(t.Context(), []event.Said{good, bad})
		if err == nil || !strings.Contains(err.Error(), "record 2: ") || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), other) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !s.personalized(other) {
		t.Error("a refused request has denied somebody")
	}

	traces := map[string]map[string][]byte{gone: s.traces(gone)}
	s.say(gone, "Withdrawn", "no-more") // no snapshot has it
	if _, err := s.erase(gone); err != nil {
		t.Fatal(err)
	}
	s.noTrace("after the erasure", traces)
	if log := s.log.String(); strings.Contains(log, racing) {
		t.Error("the log names a person")
	}
}

// TestConsentSync: the feed is read without a run, its denials are in force at once; one that would deny too many is held until it is accepted as it is.
func TestConsentSync(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(5)
	ids := s.admitted(3)
	gone, lost, alone := ids[0], ids[1], ids[2]
	whole := readParquet[rawConsent](t, s.raw, consentFile)
	js := []*jobs.Job{s.job}
	s.runner.Now = func() time.Time { return nightAfter(5).Add(time.Hour) }
	status := func() jobs.JobStatus {
		t.Helper()
		st, err := s.runner.Status(t.Context(), js)
		if err != nil {
			t.Fatal(err)
		}
		return st.Jobs[0]
	}
	sync := func(rows []rawConsent) *jobs.ConsentSynced {
		t.Helper()
		writeParquet(t, s.raw, consentFile, rows)
		out, err := s.runner.SyncConsent(t.Context(), js, jobs.Caller{Who: "ann", Verb: "consent sync"})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if _, err := s.runner.AcceptConsent(t.Context(), js, jobs.Caller{Who: "ann", Verb: "consent accept"}, "test", "to see"); !errors.Is(err, jobs.ErrNothingHeld) {
		t.Errorf("accepted, with nothing held: %v", err)
	}
	whole = append(whole, says(gone, "recommend", "Withdrawn", 5*24*time.Hour))
	if out := sync(whole); !out.New || out.Held() || out.Denied != 1 || s.personalized(gone) || !s.personalized(lost) {
		t.Errorf("a feed with one withdrawal: %+v", out)
	}
	read := time.Now().Add(time.Hour)
	s.runner.Wall = func() time.Time { return read }
	if out := sync(whole); out.New || out.Denied != 0 {
		t.Errorf("the same feed again: %+v", out)
	}
	if at := status().Consent; at != read.UTC().Format(time.RFC3339) {
		t.Errorf("status says that consent was read at %s", at)
	}

	// Without its line in the access log nothing is done.
	sane := s.runner
	s.runner = s.newRunner(storagetest.NewFaulty(s.opened.Bucket, storagetest.Fault{Err: errDied, Match: func(c storagetest.Call) bool {
		return c.Op == storagetest.Put && strings.HasPrefix(c.Key, "policy/access/")
	}}), "sealed")
	s.runner.Now = sane.Now
	writeParquet(t, s.raw, consentFile, append(slices.Clone(whole), says(lost, "recommend", "Withdrawn", 5*24*time.Hour)))
	before := keysOf(t, s, "consent/")
	if _, err := s.runner.SyncConsent(t.Context(), js, jobs.Caller{Who: "ann", Verb: "consent sync"}); !errors.Is(err, errDied) {
		t.Errorf("without its line: %v", err)
	}
	if !s.personalized(lost) || !slices.Equal(keysOf(t, s, "consent/"), before) {
		t.Error("without its line somebody was denied, or a snapshot stands")
	}
	s.runner = sane

	// A feed that shrinks to nothing denies nobody by itself, and allows nobody.
	s.say(alone, "Withdrawn", "1")
	for i, rows := range [][]rawConsent{{}, whole[len(whole)-3:]} {
		out := sync(rows)
		if !out.Held() || !s.personalized(lost) || s.personalized(gone) || s.personalized(alone) {
			t.Errorf("feed %d that has lost its records: %+v", i, out)
		}
	}
	if st := status(); !strings.Contains(st.ConsentHeld, "held") {
		t.Errorf("status says nothing of it: %+v", st)
	}
	out, err := s.runner.AcceptConsent(t.Context(), js, jobs.Caller{Who: "ann", Verb: "consent accept"}, "test", "they were right")
	if err != nil || out.Held() || out.Accepted == nil || out.Accepted.Why != "they were right" || s.personalized(lost) || s.personalized(gone) {
		t.Errorf("accepted: %+v %v", out, err)
	}
	if st := status(); st.ConsentHeld != "" {
		t.Errorf("status still says that it is held: %s", st.ConsentHeld)
	}
	if out := sync(whole[len(whole)-3:]); out.Held() || out.New {
		t.Errorf("what was accepted is judged again: %+v", out)
	}

	// Each time that somebody asked has its line in the access log, ahead of the act, with how many people it was of and nobody's name.
	people := map[string]bool{}
	for _, r := range whole {
		people[r.Subject] = true
	}
	verbs := ""
	for _, x := range linesIn(t, s.runner) {
		if verbs += x.Verb + ", "; x.Who != "ann" || x.People == 0 || x.People > len(people) || len(x.Subjects) > 0 {
			t.Errorf("a line of the access log: %+v", x)
		}
	}
	if want := strings.Repeat("consent sync, ", 4) + "consent accept, consent sync, "; verbs != want {
		t.Errorf("the access log tells of %s want %s", verbs, want)
	}
}

// TestConsentImport: a file of records is taken whole or not at all, by its rows; a million rows of one person are one person's.
func TestConsentImport(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(5)
	ids := s.admitted(2)
	files := storage.NewMemory(time.Now)
	load := func(body string, accept *jobs.Accepted) (*jobs.Consented, error) {
		t.Helper()
		if _, err := files.Put(t.Context(), "c.csv", storage.Bytes([]byte(body)), storage.Cond{}); err != nil {
			t.Fatal(err)
		}
		return s.runner.Consenter([]*jobs.Job{s.job}).Import(t.Context(), event.DataSet{Bucket: files, Path: "c.csv"}, accept)
	}
	const head = "subject,purpose,state,effective_at,expires_at\n"
	day := nightAfter(4).Format(time.RFC3339)
	for row, want := range map[string]string{
		ids[0] + ",recommend,granted," + day + ",\n":                         "row 2: state is not known",
		ids[0] + ",recommend,ConsentGiven,2999-01-01T00:00:00Z,\n":           "row 2: effective_at",
		ids[0] + ",recommend,ConsentGiven," + day + ",2001-01-01\n":          "row 2: expires_at is not after",
		",recommend,Withdrawn," + day + ",\n":                                "1 rows name no subject",
		ids[0] + ",recommend,Withdrawn,yesterday,\n":                         "row 2: effective_at is no time",
		ids[0] + ",recommend,ConsentGiven,2026-01-01T00:00:00Z,1,too,many\n": "c.csv",
	} {
		_, err := load(head+ids[1]+",recommend,Withdrawn,"+day+",\n"+row, nil)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), ids[0]) {
			t.Errorf("%q: %v", want, err)
		}
	}
	if !s.personalized(ids[1]) {
		t.Error("a refused file has denied somebody")
	}
	var body strings.Builder
	body.WriteString(head)
	for i := range 20_000 {
		fmt.Fprintf(&body, "%s,recommend,%s,%s,\n", ids[0], []string{"ConsentGiven", "Withdrawn"}[i%2], smallWorld.Start.Add(time.Duration(i)*time.Second).Format(time.RFC3339))
	}
	out, err := load(body.String(), nil)
	if err != nil || out.Records != 20_000 || out.Subjects != 1 || out.Denied != 1 || out.Held || s.personalized(ids[0]) {
		t.Errorf("many rows of one person: %+v %v", out, err)
	}

	// The same file again records nothing, whatever it is called; of who is new here it says how many they are.
	came := func() (n int) {
		for _, key := range keysOf(t, s, "said/") {
			if n++; !strings.HasPrefix(key, "done/said/") {
				t.Fatal(key)
			}
		}
		return n
	}
	before := came()
	again, err := load(body.String(), nil)
	if err != nil || again.Already == nil || again.Already.Records != out.Records || again.Already.Subjects != 1 || again.Records != 0 || came() != before || before == 0 {
		t.Errorf("the same file again: %+v %v, %d tables for %d", again, err, came(), before)
	}
	fresh := head + "new-one,recommend,ConsentGiven," + day + ",\nnew-two,recommend,Withdrawn," + day + ",\nnew-one,recommend,Withdrawn," + day + ",\n" + ids[1] + ",recommend,ConsentGiven," + day + ",\n"
	if out, err := load(fresh, nil); err != nil || out.Unknown != 2 || out.Subjects != 3 || out.Records != 4 || out.Already != nil {
		t.Errorf("people who are new: %+v %v", out, err)
	}
	for range 2 { // what nothing is recorded of is read again
		if out, err := load(head, nil); err != nil || out.Already != nil || out.Records != 0 {
			t.Errorf("an empty file: %+v %v", out, err)
		}
	}
	// A rotation does not make it another file; without the key of that time nobody can tell.
	k1, k2 := s.opened.Keys, newKeys(t, "k2")
	s.under(k2, k1)
	if again, err := load(fresh, nil); err != nil || again.Already == nil {
		t.Errorf("after a rotation: %+v %v", again, err)
	}
	s.under(k1)

	// Whoever has a later grant than the withdrawal of the file is not denied; and what denies many unasked is held.
	body.Reset()
	body.WriteString(head)
	for i := range smallWorld.Users {
		fmt.Fprintf(&body, "u%06d,recommend,Invalidated,%s,\n", i+1, day)
	}
	body.WriteString(ids[1] + ",recommend,Withdrawn,2001-01-01T00:00:00Z,\n")
	if out, err = load(body.String(), nil); err != nil || !out.Held || out.Records != 1 || out.Denied != 0 || !s.personalized(ids[1]) {
		t.Errorf("a file that denies everybody: %+v %v", out, err)
	}
	out, err = load(body.String(), &jobs.Accepted{By: "test", Why: "so it is"})
	if err != nil || out.Held || out.Accepted == nil || s.personalized(ids[1]) {
		t.Errorf("the same, accepted: %+v %v", out, err)
	}
	if again, err := load(body.String(), nil); err != nil || again.Already == nil || again.Held {
		t.Errorf("what was held, and then accepted, again: %+v %v", again, err)
	}
}
