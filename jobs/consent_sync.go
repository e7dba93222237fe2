package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
)

// consentRead is the object that says when consent was read last between runs.
const consentRead = "policy/consent.json"

// readMark is what stands there.
type readMark struct {
	Format int       `json:"format"` // 1
	At     time.Time `json:"at"`
}

// ConsentSynced says what came of reading consent between runs.
type ConsentSynced struct {
	At       time.Time    `json:"at"`
	Snapshot int          `json:"snapshot"` // number of the feed's; 0: there are no files
	New      bool         `json:"new"`      // it is a new one
	Records  int64        `json:"records"`  // of the feed
	Said     int          `json:"said"`     // records that came one by one
	Denied   int          `json:"denied"`   // subjects who read the list not based on profiling from now on, and did not before
	Hold     *policy.Hold `json:"hold,omitempty"`
	Accepted *Accepted    `json:"accepted,omitempty"`
	Flags    []string     `json:"flags,omitempty"`
}

// Held reports whether the feed is held.
func (s *ConsentSynced) Held() bool { return s.Hold != nil && s.Hold.Held }

// Caller is who asks, and by which verb, as the access log names them. The zero Caller is the program by itself, as on a schedule: nothing is logged.
type Caller struct{ Who, Verb string }

// SyncConsent reads the feed of consent and what has come in one by one, as a run does first, commits its snapshot, and denies online at once whom the records
// deny. Nobody is let in again: that is for the next run, which makes lists of what may be used. The access log has a line of the caller's, with how many people the
// records are of, before anything is committed or denied. Cost: policy is read for each purpose of training.
func (r *Runner) SyncConsent(ctx context.Context, js []*Job, caller Caller) (*ConsentSynced, error) {
	return r.syncConsent(ctx, js, caller, nil)
}

// AcceptConsent lets the feed through that is held, if its files are the ones that were judged, and is SyncConsent then. It returns ErrNothingHeld where there
// is none.
func (r *Runner) AcceptConsent(ctx context.Context, js []*Job, caller Caller, by, why string) (*ConsentSynced, error) {
	return r.syncConsent(ctx, js, caller, &Accepted{By: by, Why: why, At: r.Now().UTC()})
}

func (r *Runner) syncConsent(ctx context.Context, js []*Job, caller Caller, accept *Accepted) (*ConsentSynced, error) {
	if r.Keys.IsZero() {
		return nil, fmt.Errorf("consent: %w", event.ErrNoKey)
	}
	out := &ConsentSynced{At: r.Now().UTC()}
	before, purposes := "", map[string]bool{}
	logged := caller.Who == ""
	ahead := func(ctx context.Context, c *consent) error {
		if logged {
			return nil
		}
		people, err := c.people(ctx, r.Bucket)
		if err != nil {
			return err
		}
		logged = true
		return r.logMarks(ctx, caller.Who, caller.Verb, people, nil)
	}
	for _, job := range js {
		if job.Consent == nil || purposes[job.Training.Name] {
			continue
		}
		w := r.newWork(job, job.Every.At(r.Now()), r.Now())
		w.run.ID = r.NewID(r.Wall()) // of what is committed
		w.plan = &plan{}
		if len(purposes) == 0 {
			var err error
			if before, err = w.lastNumbered(ctx, "consent"); err != nil {
				return nil, fmt.Errorf("consent: %w", err)
			}
			w.accept = accept
		}
		w.ahead = ahead
		purposes[job.Training.Name] = true
		if err := w.policy(ctx, w.plan); err != nil {
			return nil, err
		}
		if w.accept != nil {
			w.accept = nil
		}
		if err := ahead(ctx, w.plan.consent); err != nil {
			return nil, err
		}
		n, err := w.denyNow(ctx)
		if err != nil {
			return nil, err
		}
		out.Denied += n
		c := w.plan.consent
		out.Snapshot, out.New, out.Records, out.Said = c.facts.Number, c.key != before, c.facts.Records, len(c.said.records)
		out.Hold, out.Accepted, out.Flags = c.facts.Hold, c.facts.Accepted, c.facts.flags()
	}
	if len(purposes) == 0 {
		return nil, ErrNoConsent
	}
	body, err := json.Marshal(readMark{1, r.Wall().UTC()})
	if err == nil {
		_, err = r.Bucket.Put(ctx, consentRead, storage.Bytes(body), storage.Cond{})
	}
	if err != nil {
		return nil, fmt.Errorf("consent: note when it was read: %w", err)
	}
	return out, nil
}

// denyNow denies whoever may not be profiled, or does not want to be, and is not denied yet. It returns how many these are.
func (w *work) denyNow(ctx context.Context) (int, error) {
	if err := w.seeToEnds(ctx); err != nil {
		return 0, err
	}
	denied, err := w.Online.Denied(ctx)
	if err != nil {
		return 0, fmt.Errorf("online deny set: %w", err)
	}
	have := make(map[string]bool, len(denied))
	for _, k := range denied {
		have[k] = true
	}
	deny, _ := w.standing(ctx, have)
	if len(deny) == 0 {
		return 0, nil
	}
	if err := w.Online.Deny(ctx, deny...); err != nil {
		return 0, fmt.Errorf("online deny set: %w", err)
	}
	return len(deny), nil
}

// consentReadAt is when consent was read last, by a run that found new files or between runs, and whether what was found is held; the zero time if never.
func (w *work) consentReadAt(ctx context.Context) (at time.Time, held string, err error) {
	c, err := w.lastConsent(ctx)
	if err != nil {
		return at, "", err
	}
	if c != nil {
		at = c.At
		facts, err := factsOf[consentFacts](c)
		if err != nil {
			return at, "", err
		}
		if facts.Hold != nil && facts.Hold.Held {
			held = facts.Hold.String()
		}
	}
	mark, err := w.consentMark(ctx)
	if mark.After(at) {
		at = mark
	}
	return at, held, err
}

// consentMark is when consent was read last between runs; the zero time if never.
func (r *Runner) consentMark(ctx context.Context) (time.Time, error) {
	body, _, err := storage.ReadAll(ctx, r.Bucket, consentRead)
	if errors.Is(err, storage.ErrNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("consent: when it was read: %w", err)
	}
	var mark readMark
	if err = knownFormat(body); err == nil && json.Unmarshal(body, &mark) != nil {
		err = errDamaged
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("consent: when it was read: %s: %w (rapport consent sync writes it anew)", consentRead, err)
	}
	return mark.At, nil
}

// ConsentShown is what is known of one subject's consent.
type ConsentShown struct {
	Known    bool           `json:"known"` // the identity table has it
	Records  []ShownRecord  `json:"records"`
	Purposes []ShownPurpose `json:"purposes"` // of the job, in the order training, evaluation, mitigation, sensitive items
}

// ShownRecord is one record.
type ShownRecord struct {
	Purpose   string       `json:"purpose"`
	State     policy.State `json:"state"`
	Effective time.Time    `json:"effective_at"`
	Recorded  time.Time    `json:"recorded_at"`
	Expires   *time.Time   `json:"expires_at,omitempty"`
	Source    string       `json:"source,omitempty"`
	Alone     bool         `json:"alone"` // it came by itself, and not in a file of the feed
	Holds     bool         `json:"holds"` // it is the one that counts now
}

// ShownPurpose is what a purpose may use of a subject, and why.
type ShownPurpose struct {
	Purpose string       `json:"purpose"`
	Basis   policy.Basis `json:"basis"`
	Allowed bool         `json:"allowed"`
	Why     string       `json:"why"`
	From    *time.Time   `json:"from,omitempty"`  // what happened before does not count
	Until   *time.Time   `json:"until,omitempty"` // when it ends, by what is known now
}

// ShowConsent tells of subjects, by canonical id, what is recorded of their consent and what follows from it now, by the same decisions that runs use. It
// changes nothing. Cost: policy is read, as for a run.
func (r *Runner) ShowConsent(ctx context.Context, job *Job, canonical []string) ([]ConsentShown, error) {
	if job.Consent == nil {
		return nil, ErrNoConsent
	}
	w, err := r.asOfNow(ctx, job)
	if err != nil {
		return nil, err
	}
	asked := map[policy.Subject]bool{}
	for _, id := range canonical {
		if s, known := w.plan.ids.Find(id); known {
			asked[s] = true
		}
	}
	records, err := w.recordsOf(ctx, w.plan, func(s policy.Subject) bool { return asked[s] })
	if err != nil {
		return nil, err
	}
	gone := w.plan.gone()
	var decisions []*policy.Decisions
	for _, p := range job.purposes() {
		decisions = append(decisions, policy.Decide(p, w.now, records, gone))
	}
	var out []ConsentShown
	for _, id := range canonical {
		s, known := w.plan.ids.Find(id)
		x := ConsentShown{Known: known, Records: []ShownRecord{}, Purposes: []ShownPurpose{}}
		if known {
			x.Records = shownRecords(s, w.now, records, w.plan.consent.said.records)
		}
		_, gone := w.plan.sup.ErasedAt(id)
		for _, d := range decisions {
			decision := d.Unseen()
			if known {
				decision = d.Of(s)
			} else if gone {
				decision.Why = policy.Erased
			}
			x.Purposes = append(x.Purposes, shownPurpose(d.Purpose(), decision))
		}
		out = append(out, x)
	}
	return out, nil
}

// shownRecords are the records of a subject, and which of them counts now for each purpose.
func shownRecords(s policy.Subject, now time.Time, records, alone []policy.Record) []ShownRecord {
	out := []ShownRecord{}
	last := map[string]int{} // purpose → the last that is in effect
	of := func(all []policy.Record) (mine []policy.Record) {
		for _, r := range all {
			if r.Subject == s {
				mine = append(mine, r)
			}
		}
		return mine
	}
	mine, by := joinRecords(of(records), nil), of(alone)
	for i, r := range mine {
		x := ShownRecord{Purpose: r.Purpose, State: r.State, Effective: r.Effective, Recorded: r.Recorded, Source: r.Source}
		for _, a := range by {
			x.Alone = x.Alone || a.Compare(r) == 0
		}
		if !r.Expires.IsZero() {
			at := r.Expires
			x.Expires = &at
		}
		if !r.Effective.After(now) && !r.Arrived(now).Recorded.After(now) {
			last[r.Purpose] = i
		}
		out = append(out, x)
	}
	for _, i := range last {
		out[i].Holds = true
	}
	return out
}

func shownPurpose(p policy.Purpose, d policy.Decision) ShownPurpose {
	x := ShownPurpose{Purpose: p.Name, Basis: p.Basis, Allowed: !d.Denied()}
	if d.Denied() {
		x.Why = reasonWords(d.Why)
		return x
	}
	x.Why = "consent is given"
	if p.Basis == policy.LegitimateInterest {
		x.Why = "nobody has objected"
	}
	if d.From != math.MinInt64 { // since ever
		at := time.UnixMicro(d.From).UTC()
		x.From = &at
	}
	if d.Expires != 0 {
		at := time.UnixMicro(d.Expires).UTC()
		x.Until = &at
	}
	return x
}
