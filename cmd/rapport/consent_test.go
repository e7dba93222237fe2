package main

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage/table"
)

const consentFile = "consent/consent.parquet"

// says is a consent record of a subject, effective and recorded some time after the world's start.
func says(id, purpose, state string, after time.Duration) rawConsent {
	at := smallWorld.Start.Add(after).UnixMicro()
	return rawConsent{Subject: id, Purpose: purpose, State: state, Effective: at, Recorded: at, Source: "test", RecordID: state + after.String() + id}
}

// consents makes the consent source hold these records and runs the interval of a day through ingest.
func (s *shop) consents(day int, rows ...rawConsent) *jobs.Result {
	s.Helper()
	writeParquet(s.TB, s.raw, consentFile, rows)
	return s.ingestDay(day)
}

// ingestDay runs the interval of a day as far as ingest.
func (s *shop) ingestDay(day int) *jobs.Result {
	s.Helper()
	s.runner.Now = func() time.Time { return nightAfter(day) }
	res, err := s.runner.Run(s.Context(), s.job, s.interval(day), jobs.Options{Through: jobs.ThroughIngest})
	if err != nil {
		s.Fatal(err)
	}
	return res
}

// mayBeEvaluated reports whether the last consent snapshot admits a subject to the evaluation purpose.
func (s *shop) mayBeEvaluated(id string) bool {
	s.Helper()
	var records []policy.Record
	for c, err := range (table.Store{Bucket: s.opened.Bucket}).List(s.Context(), "consent/") {
		if err == nil {
			records, err = event.LoadConsent(s.Context(), s.opened.Bucket, c.Outputs["records"])
		}
		if err != nil {
			s.Fatal(err)
		}
	}
	return !policy.Decide(*s.job.Evaluation, s.runner.Now(), records, nil).Of(s.number(id)).Denied()
}

// heldFlags are the flags of a run that say that an import of consent is held.
func heldFlags(res *jobs.Result) (out []string) {
	for _, f := range res.Flags {
		if strings.HasPrefix(f, "consent: ") && strings.Contains(f, "held") {
			out = append(out, f)
		}
	}
	return out
}

// Who withdraws is served the list not based on profiling after the next run, however that ends: refused by the gate, kept waiting by a pin,
// only as far as ingest, or with a fault in a source.
func TestWithdrawalHoldsHoweverTheRunEnds(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(6)
	ids := s.admitted(4)
	before := contentOf(t, s.opened.Online)

	s.withdraw(ids[0], nightAfter(6).Add(time.Hour))
	if s.ingestDay(6); !s.personalized(ids[0]) {
		t.Error("a withdrawal holds before its time") // the clock of this run stands an hour before it
	}
	tenfold := 10.0
	budgets := s.job.Budgets
	s.job.Budgets = []eval.Budget{{Metric: "ndcg@10", Against: "live", Ratio: &tenfold, OnFail: eval.Block, Owner: "test", Why: "to be refused"}}
	if _, err := s.try(7); !errors.Is(err, jobs.ErrRejected) {
		t.Fatalf("the gate: %v", err)
	}
	if s.personalized(ids[0]) {
		t.Error("after a night that the gate refused, a subject who withdrew is served a list of its own")
	}
	s.job.Budgets = budgets

	if _, err := s.runner.Rollback(t.Context(), s.job, 1, "test", "to pin"); err != nil {
		t.Fatal(err)
	}
	s.withdraw(ids[1], nightAfter(6).Add(2*time.Hour))
	if !s.personalized(ids[1]) {
		t.Fatal("denied before any run has read the withdrawal")
	}
	if res := s.night(7); res.Waiting == "" || res.Published != nil {
		t.Fatalf("the alias is not pinned: %+v", res)
	}
	if s.personalized(ids[1]) {
		t.Error("after a night while the alias is pinned, a subject who withdrew is served a list of its own")
	}

	s.withdraw(ids[2], nightAfter(6).Add(3*time.Hour))
	if s.ingestDay(7); s.personalized(ids[2]) {
		t.Error("after a run through ingest, a subject who withdrew is served a list of its own")
	}

	s.withdraw(ids[3], nightAfter(6).Add(4*time.Hour))
	s.job.Items.Data.Path = "lost/*.parquet"
	if _, err := s.try(7); err == nil {
		t.Error("a source without files is no fault")
	}
	if s.personalized(ids[3]) {
		t.Error("after a run that found a source without files, a subject who withdrew is served a list of its own")
	}
	if contentOf(t, s.opened.Online) != before {
		t.Error("what is live has changed")
	}
}

// What a subject has refused stands in every later snapshot, whatever the file says: the old file that comes back, or a new one that lacks the
// record. Only a later grant brings a subject back.
func TestRefusalsOutliveTheirFile(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(5)
	ids := s.admitted(3)
	gone, objecting, other := ids[0], ids[1], ids[2]
	if !s.mayBeEvaluated(objecting) {
		t.Fatal("the subject has objected already")
	}
	const day = 24 * time.Hour
	old := readParquet[rawConsent](t, s.raw, consentFile)
	refused := append(slices.Clone(old), says(gone, "recommend", "Withdrawn", 5*day), says(objecting, "check_fairness", "Refused", 5*day))
	fresh := append(slices.Clone(old), says(other, "recommend", "RenewedConsentGiven", 5*day)) // a file that nobody has seen
	early := append(slices.Clone(old), says(gone, "recommend", "ConsentGiven", 4*day))         // before the withdrawal
	for _, c := range []struct {
		file string
		rows []rawConsent
	}{{"the file that says so", refused}, {"the old file again", old}, {"the file that says so, again", refused}, {"a new file without the records", fresh}, {"an earlier grant", early}} {
		res := s.consents(5, c.rows...)
		if s.personalized(gone) {
			t.Errorf("%s: a subject who withdrew is served a list of its own", c.file)
		}
		if s.mayBeEvaluated(objecting) {
			t.Errorf("%s: the objection is forgotten", c.file)
		}
		if !s.personalized(other) || len(heldFlags(res)) > 0 {
			t.Errorf("%s: another subject is touched, or the file is held: %v", c.file, res.Flags)
		}
	}
	s.consents(5, append(slices.Clone(old), says(gone, "recommend", "ConsentGiven", 5*day+time.Hour), says(objecting, "check_fairness", "ConsentGiven", 5*day+time.Hour))...)
	if !s.mayBeEvaluated(objecting) {
		t.Error("a later grant does not bring the subject back")
	}
	if !s.mayBeEvaluated(gone) {
		t.Error("a withdrawal of one purpose counts for the other")
	}
}

// A file that would deny more than a twentieth of the subjects is held, which every run says until the file is mended. What it withdraws
// explicitly holds at once, and still does when it is mended.
func TestHeldImport(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(5)
	ids := s.admitted(2)
	gone, lost := ids[0], ids[1]
	whole := readParquet[rawConsent](t, s.raw, consentFile)
	var broken []rawConsent
	for i, r := range whole {
		if i%2 == 0 && r.Subject != lost {
			broken = append(broken, r)
		}
	}
	broken = append(broken, says(gone, "recommend", "Withdrawn", 5*24*time.Hour))
	for try := 1; try <= 3; try++ { // the second and third read the same files again
		var res *jobs.Result
		if try == 1 {
			res = s.consents(5, broken...)
		} else {
			res = s.ingestDay(5)
		}
		if len(heldFlags(res)) != 1 {
			t.Errorf("run %d with a broken file: flags %v", try, res.Flags)
		}
		if s.personalized(gone) {
			t.Errorf("run %d: the explicit withdrawal of a held file does not hold", try)
		}
		if !s.personalized(lost) {
			t.Errorf("run %d: who is missing from a held file is denied", try)
		}
	}
	if res := s.consents(5, broken[1:]...); len(heldFlags(res)) != 1 || !s.personalized(lost) {
		t.Errorf("another broken file is not held: %v", res.Flags)
	}
	res := s.consents(5, whole...)
	if len(heldFlags(res)) != 0 {
		t.Errorf("the mended file: %v", res.Flags)
	}
	if s.personalized(gone) || !s.personalized(lost) {
		t.Error("the mended file undoes a withdrawal, or does not admit")
	}
}
