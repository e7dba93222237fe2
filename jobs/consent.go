package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// consent is what the consent source says now, and what people have said one by one.
type consent struct {
	records *event.Records  // of the feed, sorted, where they are in memory and stand nowhere
	stored  *table.Manifest // of the feed's snapshot, where records is nil; nil: it has none
	key     string          // of the feed's snapshot; "" if there are no files
	at      time.Time
	newest  time.Time // when the newest of the source's files was written; zero if nobody has looked
	facts   consentFacts
	said    said
}

// consentFacts are the facts of a consent snapshot.
type consentFacts struct {
	event.ConsentFacts
	Number   int          `json:"number"` // of the snapshot: 1, 2, …
	Source   string       `json:"source"` // digest of the files and of how they are read
	Hold     *policy.Hold `json:"hold,omitempty"`
	Accepted *Accepted    `json:"accepted,omitempty"` // it would be held, but for them
	Void     int64        `json:"void,omitempty"`     // grants that end before they begin: they deny
}

// Accepted says who has let through what was held, when and why.
type Accepted struct {
	By  string    `json:"by"`
	Why string    `json:"why"`
	At  time.Time `json:"at"`
}

// flags are what a run says of a snapshot.
func (f consentFacts) flags() (out []string) {
	if f.Hold != nil && f.Hold.Held {
		out = append(out, "consent: "+f.Hold.String())
	}
	for _, x := range []struct {
		n    int64
		says string
	}{
		{f.Unknown, "are in a state that is not known, and deny: see the states in docs/contracts.md"},
		{f.Void, "grant until a time before they begin, and so deny: check expires_at"},
	} {
		if x.n > 0 {
			out = append(out, fmt.Sprintf("consent records: %s %s", smallCount(int(x.n)), x.says))
		}
	}
	return out
}

// readConsent returns the consent records: those of the feed, and those that people gave one by one. Of one subject and purpose the last in the order of
// policy.Record.Compare counts, wherever it came from: what somebody has withdrawn alone, no older record of a feed overtakes.
func (w *work) readConsent(ctx context.Context, p *plan) (*consent, error) {
	if w.job.Consent == nil {
		return &consent{}, nil
	}
	alone, err := w.readSaid(ctx)
	if err != nil {
		return nil, err
	}
	for i := range alone.records { // what stands here was recorded, if by the clock of another machine
		alone.records[i] = alone.records[i].Arrived(w.now)
	}
	alone.records = p.people(alone.records)
	out, err := w.readFeed(ctx, p, alone.records)
	if err != nil {
		return nil, err
	}
	out.said = alone
	return out, nil
}

// choose returns the records that keep wants (nil: all), in policy order, each once. It holds some 150 bytes of each: what can be decided without is.
func (c *consent) choose(ctx context.Context, b storage.Bucket, keep func(policy.Record) bool) (records []policy.Record, err error) {
	if keep == nil {
		keep = func(policy.Record) bool { return true }
	}
	if c.stored != nil {
		for r, err := range event.EachRecord(ctx, b, *c.stored) {
			if err != nil {
				return nil, err
			}
			if keep(r) {
				records = append(records, r)
			}
		}
	}
	for r := range c.records.All() {
		if keep(r) {
			records = append(records, r)
		}
	}
	for _, r := range c.said.records {
		if keep(r) {
			records = append(records, r)
		}
	}
	return joinRecords(records, nil), nil
}

// decide makes the decisions of purposes by all records, those beside them, and others, which are sorted (nil: none).
func (c *consent) decide(ctx context.Context, b storage.Bucket, beside []policy.Record, others *event.Records, now time.Time, erasures []policy.Erasure, purposes ...policy.Purpose) ([]*policy.Decisions, error) {
	if len(beside) == 0 {
		beside = c.said.records // without a copy: it may be large
	} else {
		beside = slices.Concat(c.said.records, beside)
	}
	if c.stored != nil {
		return event.DecideConsent(ctx, b, *c.stored, beside, others, now, erasures, purposes...)
	}
	return c.records.Decide(beside, others, now, erasures, purposes...)
}

// people is how many people the records are of. Cost: the feed's snapshot is read, if it stands.
func (c *consent) people(ctx context.Context, b storage.Bucket) (n int, err error) {
	alone := map[policy.Subject]bool{}
	for _, r := range c.said.records {
		alone[r.Subject] = true
	}
	var last policy.Subject
	count := func(s policy.Subject) {
		if n == 0 || s != last {
			n, last = n+1, s
			delete(alone, s)
		}
	}
	if c.stored != nil {
		for r, err := range event.EachRecord(ctx, b, *c.stored) {
			if err != nil {
				return 0, err
			}
			count(r.Subject)
		}
	}
	for r := range c.records.All() {
		count(r.Subject)
	}
	return n + len(alone), nil
}

// ErrConsentHeld says that records would deny more people than may be denied unasked, other than by their own withdrawal.
var ErrConsentHeld = errors.New("consent is held")

// ErrNothingHeld says that there is no held feed of consent to accept.
var ErrNothingHeld = errors.New("no feed of consent is held")

// readFeed returns the consent records of the source's files: the last snapshot if the source's files are those that it was made of, else a new one.
//
// Snapshots are numbered, and each stands on the one before: explicit withdrawals and objections are carried over, so that a record which
// is missing from a file means nothing, and an old file that comes back brings nobody back; only a later grant does. A new file that would
// deny more than the allowed share of subjects, by either purpose, is held: its withdrawals are added to the snapshot before, and no more. What is held
// stays so until other files are there, or until it is accepted (work.accept). alone is what people said one by one, which stands beside all of it.
func (w *work) readFeed(ctx context.Context, p *plan, alone []policy.Record) (*consent, error) {
	src := w.job.Consent
	if src.Path == "" {
		return &consent{}, nil
	}
	last, err := w.lastConsent(ctx)
	if err != nil {
		return nil, err
	}
	before := &consent{}
	if last != nil {
		if before, err = consentOf(last); err != nil {
			return nil, err
		}
	}
	if w.Keys.IsZero() {
		if last == nil {
			return nil, fmt.Errorf("consent: no snapshot has been taken, and without the pseudonym key none can be: run --step ingest with it first")
		}
		return before, nil
	}
	var objs []storage.Info
	for info, err := range storage.Glob(ctx, src.Bucket, src.Path) {
		if err != nil {
			return nil, fmt.Errorf("consent: list %s: %w", src.Path, err)
		}
		objs = append(objs, info)
	}
	zone := ""
	if src.Zone != nil {
		zone = src.Zone.String()
	}
	facts := consentFacts{Number: before.facts.Number + 1, Source: p.linked.sourceOf(objs, src, zone)}
	before.newest = newestOf(objs)
	if w.accept != nil && (last == nil || before.facts.Hold == nil || !before.facts.Hold.Held || before.facts.Source != facts.Source) {
		if last != nil && before.facts.Source != facts.Source {
			return nil, fmt.Errorf("%w: its files have changed, and the next run judges them anew", ErrNothingHeld)
		}
		return nil, ErrNothingHeld
	}
	if last != nil && before.facts.Source == facts.Source && w.accept == nil {
		return before, nil
	}
	if !w.dry {
		w.report("consent", 0, 0, "")
	}
	defer w.spare()()
	read, err := event.ReadConsent(ctx, *src, p.ids, p.sup)
	if err != nil {
		return nil, err
	}
	facts.ConsentFacts = read.Facts
	for r := range read.Records.All() {
		if r.State.Valid() && !r.Expires.IsZero() && !r.Expires.After(r.Effective) {
			facts.Void++
		}
	}
	out := &consent{records: read.Records, at: w.Wall(), newest: before.newest, facts: facts}
	var was, is *policy.Decisions
	if last != nil {
		if err := w.carryOver(ctx, p, before, out); err != nil {
			return nil, err
		}
		before.said, out.said = said{records: alone}, said{records: alone}
		if out.facts.Hold, was, is, err = w.judgeImport(ctx, before, out, nil, p.linked.erasures); err != nil {
			return nil, err
		}
		if w.accept != nil {
			out.facts.Hold.Held, out.facts.Accepted = false, w.accept
		}
		if out.facts.Hold.Held {
			if out.records, err = w.withdrawalsOnto(ctx, before, out.records); err != nil {
				return nil, err
			}
			was = nil // but for what people withdrew, all is as it was
		}
	}
	label := fmt.Sprintf("%08d", facts.Number)
	out.key = stepKey("consent", label, table.Interval{}, logicSnapshot, facts.Source, before.key)
	if w.dry {
		return out, nil
	}
	if w.ahead != nil {
		if err := w.ahead(ctx, &consent{records: out.records, said: said{records: alone}}); err != nil {
			return nil, err
		}
	}
	later := int64(0) // the first end of a basis that is not near, and was not known
	if was != nil {
		if later, err = w.denyShortened(ctx, p.ids, was, is); err != nil {
			return nil, err
		}
	}
	c, err := w.do(ctx, step{name: "consent", label: label, key: out.key, iv: w.iv}, func(ctx context.Context) (result, error) {
		m, err := out.records.Store(ctx, w.Bucket, dataPrefix(out.key, "records"))
		if err != nil {
			return result{}, err
		}
		if err := p.ids.Flush(ctx); err != nil {
			return result{}, err
		}
		return result{outputs: map[string]table.Manifest{"records": m}, facts: out.facts, rowsIn: read.Facts.Rows, rows: m.Rows}, nil
	})
	if err != nil {
		return nil, err
	}
	m := c.Outputs["records"]
	out.records, out.stored = nil, &m
	return out, w.narrow(ctx, later) // once more: who looked for new feeds before this one stood may have moved it on
}

// carryOver adds the withdrawals of the snapshot before to what has been read, under the numbers that their people have now.
func (w *work) carryOver(ctx context.Context, p *plan, before, to *consent) error {
	merged := p.ids.Merged()
	for r, err := range event.EachRecord(ctx, w.Bucket, *before.stored) {
		if err == nil && r.Withdraws() {
			if now, ok := merged[r.Subject]; ok {
				r.Subject = now
			}
			err = to.records.Add(r)
		}
		if err != nil {
			return fmt.Errorf("consent: carry withdrawals over: %w", err)
		}
	}
	to.records.Sort()
	return nil
}

// withdrawalsOnto returns the records of the snapshot before, and of others the withdrawals.
func (w *work) withdrawalsOnto(ctx context.Context, before *consent, others *event.Records) (*event.Records, error) {
	out := &event.Records{}
	for r, err := range event.EachRecord(ctx, w.Bucket, *before.stored) {
		if err == nil {
			err = out.Add(r)
		}
		if err != nil {
			return nil, fmt.Errorf("consent: what is held stays as it was: %w", err)
		}
	}
	for r := range others.All() {
		if r.Withdraws() {
			if err := out.Add(r); err != nil {
				return nil, fmt.Errorf("consent: %w", err)
			}
		}
	}
	out.Sort()
	return out, nil
}

// judgeImport compares the decisions of both purposes by what is known before and by what is after, beside others (nil: none). It returns those of training as well.
func (w *work) judgeImport(ctx context.Context, before, after *consent, others *event.Records, gone []policy.Erasure) (hold *policy.Hold, trainedBefore, trainedAfter *policy.Decisions, err error) {
	purposes := []policy.Purpose{w.job.Training}
	if w.job.Evaluation != nil {
		purposes = append(purposes, *w.job.Evaluation)
	}
	was, err := before.decide(ctx, w.Bucket, nil, nil, w.now, gone, purposes...)
	if err != nil {
		return nil, nil, nil, err
	}
	is, err := after.decide(ctx, w.Bucket, nil, others, w.now, gone, purposes...)
	if err != nil {
		return nil, nil, nil, err
	}
	var worst policy.Hold
	share := w.job.ConsentHold
	if share == policy.HoldShare {
		share = 0 // as if nobody had named it
	}
	for i := range purposes {
		if h := policy.HoldsImport(was[i], is[i], share); i == 0 || h.Held && !worst.Held {
			worst = h
		}
	}
	return &worst, was[0], is[0], nil
}

// joinRecords returns the records of both in policy order, each once.
func joinRecords(a, b []policy.Record) []policy.Record {
	all := slices.Concat(a, b)
	slices.SortFunc(all, policy.Record.Compare)
	return slices.CompactFunc(all, func(x, y policy.Record) bool { return x.Compare(y) == 0 })
}

// consentOf is what a snapshot says, its records where they stand.
func consentOf(c *table.Commit) (*consent, error) {
	facts, err := factsOf[consentFacts](c)
	m := c.Outputs["records"]
	return &consent{stored: &m, key: c.Key, at: c.At, facts: facts}, err
}

// lastConsent returns the newest consent snapshot, or nil. Cost: one listing and one GET.
func (w *work) lastConsent(ctx context.Context) (*table.Commit, error) {
	last, err := w.lastNumbered(ctx, "consent")
	if err != nil {
		return nil, fmt.Errorf("consent: %w", err)
	}
	if last == "" {
		return nil, nil
	}
	c, _, err := w.tables.Lookup(ctx, last)
	return c, err
}
