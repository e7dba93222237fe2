package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage/table"
)

// said is what people have said of consent one by one. It only grows: no record is replaced, and none is taken back but by a later one.
type said struct {
	records []policy.Record
	key     string          // of the snapshot; "" if there is none yet
	inbox   map[string]bool // keys of what has come in since, that records hold
}

// keptStep names the numbered snapshots of what people have said, and saidInbox is where it comes in.
const keptStep = "consented"

var saidInbox = inbox[policy.Record]{step: "said", what: "consent", store: event.StoreConsent, load: event.LoadConsent}

// saidFacts are the facts of a snapshot.
type saidFacts struct {
	Number  int   `json:"number"` // of the snapshot: 1, 2, …
	Records int64 `json:"records"`
}

// readSaid returns what has been said: the last snapshot if nothing has come in since, else a new one. A number is taken once: its key does not depend on what
// the snapshot holds. Who comes second to a number begins anew on top of the first.
func (w *work) readSaid(ctx context.Context) (said, error) {
	for range maxWishTurns {
		out, stored, err := w.nextSaid(ctx)
		if err != nil || !stored {
			return out, err
		}
	}
	return said{}, fmt.Errorf("consent: others took %d snapshots at this moment: run again", maxWishTurns)
}

// nextSaid returns what stands, or commits a snapshot of it: what stands is to be read again.
func (w *work) nextSaid(ctx context.Context) (out said, stored bool, err error) {
	// In this order: what is missing from the inbox by now stands in the snapshot that is read after it.
	keys, came, err := saidInbox.read(ctx, w)
	if err != nil {
		return out, false, err
	}
	out, number, err := w.lastSaid(ctx)
	if err != nil {
		return out, false, err
	}
	before := out.records
	out.records, out.inbox = joinSaid(before, came), keys
	stands := slices.EqualFunc(before, out.records, func(a, b policy.Record) bool { return a.Compare(b) == 0 })
	switch {
	case w.dry:
		return out, false, nil
	case stands:
		return out, false, saidInbox.empty(ctx, w.Bucket, keys)
	}
	label := fmt.Sprintf("%08d", number+1)
	key := stepKey(keptStep, label, table.Interval{}, logicSnapshot, nil)
	_, err = w.do(ctx, step{name: keptStep, label: label, key: key, iv: w.iv}, func(ctx context.Context) (result, error) {
		m, err := event.StoreConsent(ctx, w.Bucket, dataPrefix(key, "records"), out.records)
		if err != nil {
			return result{}, err
		}
		n := int64(len(out.records))
		return result{outputs: map[string]table.Manifest{"records": m}, facts: saidFacts{number + 1, n}, rowsIn: n, rows: m.Rows}, nil
	})
	return out, true, err
}

// lastSaid returns the newest snapshot and its number, or nothing. Cost: one listing, and the snapshot.
func (w *work) lastSaid(ctx context.Context) (out said, number int, err error) {
	if out.key, err = w.lastNumbered(ctx, keptStep); err != nil || out.key == "" {
		return out, 0, err
	}
	c, _, err := w.tables.Lookup(ctx, out.key)
	if err != nil {
		return out, 0, fmt.Errorf("consent: %w", err)
	}
	if out.records, err = event.LoadConsent(ctx, w.Bucket, c.Outputs["records"]); err != nil {
		return out, 0, err
	}
	facts, err := factsOf[saidFacts](c)
	return out, facts.Number, err
}

// joinSaid returns the records of both in policy order. Of grants with one id, subject and purpose the first stays: one that is sent again says nothing new, though it be at a later
// time; what has been withdrawn meanwhile stays withdrawn. Of denials only those of one time are the same: there are senders who keep one id for all that a person ever says of a
// purpose, and a withdrawal that is taken for an older one would be none.
func joinSaid(a, b []policy.Record) []policy.Record {
	type sent struct {
		purpose string
		state   policy.State
		id      string
		from    int64 // of a denial: when it takes effect, in µs
	}
	var of policy.Subject
	seen := map[sent]bool{} // of one subject: records come subject by subject
	return slices.DeleteFunc(joinRecords(a, b), func(r policy.Record) bool {
		if r.ID == "" {
			return false
		}
		if r.Subject != of {
			of, seen = r.Subject, map[sent]bool{}
		}
		s := sent{r.Purpose, r.State, r.ID, 0}
		if !r.State.Valid() {
			s.from = table.Micros(r.Effective)
		}
		again := seen[s]
		seen[s] = true
		return again
	})
}

// consentCame reports whether records have come in, or another feed has been read, since this work has read consent.
func (w *work) consentCame(ctx context.Context) (bool, error) {
	c := w.plan.consent
	if c == nil || w.job.Consent == nil {
		return false, nil
	}
	if came, err := saidInbox.came(ctx, w.Bucket, c.said.inbox); came || err != nil {
		return came, err
	}
	for step, key := range map[string]string{keptStep: c.said.key, "consent": c.key} {
		last, err := w.lastNumbered(ctx, step)
		if err != nil {
			return false, fmt.Errorf("consent: %w", err)
		}
		if last != key {
			return true, nil
		}
	}
	return false, nil
}

// ErrNoConsent says that no job of a project has a source of consent.
var ErrNoConsent = errors.New("this project takes no records of consent: declare sources.consent, if need be without a path")

// BadRecord says which of the records that were sent at once is refused, from 0, and why. None of them is recorded then.
type BadRecord struct {
	Index int
	Err   error
}

func (b *BadRecord) Error() string { return fmt.Sprintf("record %d: %v", b.Index+1, b.Err) }

// Unwrap returns why.
func (b *BadRecord) Unwrap() error { return b.Err }

// BadFile says that a file of records is refused, and why. None of it is recorded then.
type BadFile struct{ Err error }

func (b *BadFile) Error() string { return b.Err.Error() }

// Unwrap returns why.
func (b *BadFile) Unwrap() error { return b.Err }

// Consenter takes records of consent, one by one or a file at a time. It is safe for concurrent use, in any number of processes.
type Consenter struct {
	*desk
	job      *Job             // that judges imports; nil: no job takes consent
	purposes []policy.Purpose // what denies by them denies a list
	used     map[string]bool  // purposes that some job uses

	who, verb string                 // of the access log; "": nobody asks for others, as in a test
	tell      func(iter.Seq[string]) // of whom an import names; nil: nobody
}

// As is the consenter for one who records by a verb: each time a line of the access log says so, ahead of the act.
func (c *Consenter) As(who, verb string) *Consenter {
	named := *c
	named.who, named.verb = who, verb
	return &named
}

// Telling is the consenter that tells, ahead of the act, whom an import names: the online keys of those of them who are not erased, each once.
func (c *Consenter) Telling(tell func(online iter.Seq[string])) *Consenter {
	named := *c
	named.tell = tell
	return &named
}

// log writes the line.
func (c *Consenter) log(ctx context.Context, people int, marks []event.Mark) error {
	if c.who == "" {
		return nil
	}
	return c.r.logMarks(ctx, c.who, c.verb, people, marks)
}

// Consenter returns one for the jobs of a project, which share their records and their deny set.
func (r *Runner) Consenter(js []*Job) *Consenter {
	c := &Consenter{desk: &desk{r: r}, used: map[string]bool{}}
	for _, j := range js {
		if j.Consent == nil {
			continue
		}
		if c.job == nil {
			c.job = j
		}
		for _, p := range []*policy.Purpose{&j.Training, j.Guards.Purpose} {
			if p != nil && !slices.ContainsFunc(c.purposes, func(have policy.Purpose) bool { return have.Name == p.Name }) {
				c.purposes = append(c.purposes, *p)
			}
		}
		for _, p := range j.purposes() {
			c.used[p.Name] = true
		}
	}
	return c
}

// Consented says what became of records.
type Consented struct {
	Subjects  int          `json:"subjects"`
	Unknown   int          `json:"unknown,omitempty"` // people of whom nothing was known; what they say holds if they come
	Records   int          `json:"records"`           // that are kept, those that are known already among them
	Unused    int          `json:"unused"`            // of these, for purposes that no job of the project has
	Withheld  int          `json:"withheld"`          // of these, without their source text, which held the person's own id
	Erased    int          `json:"erased"`            // left out: recorded before their subject was erased
	Denied    int          `json:"denied"`            // subjects who read the list not based on profiling from now on
	Held      bool         `json:"held"`              // the import is: nothing is kept of it but what people withdrew themselves
	Hold      *policy.Hold `json:"hold,omitempty"`
	Accepted  *Accepted    `json:"accepted,omitempty"`
	Already   *Imported    `json:"already,omitempty"` // the file was recorded before: nothing is recorded now
	Effective time.Time    `json:"at"`
}

// Record takes records as of now, all or none, and denies those online at once whom a record of theirs denies. What grants counts from the next run on, which also lets
// in again who is denied for an old record that a later one overrules. A record whose id has come before changes nothing. Cost: two writes, and the identity table when it is
// first read or somebody has been erased since.
func (c *Consenter) Record(ctx context.Context, sent []event.Said) (*Consented, error) {
	journal, ids, sup, err := c.begin(ctx)
	if err != nil {
		return nil, err
	}
	epoch, now := journal.Epoch(), c.r.Now()
	out := &Consented{Effective: now.UTC()}
	var records, beside []policy.Record // beside: of further numbers of the same people
	unknown := map[string]bool{}
	for i, s := range sent {
		if !ids.Knows(s.ID) {
			unknown[s.ID] = true
		}
		r, others, withheld, err := event.ConsentOf(ids, now, s)
		if err != nil {
			return nil, &BadRecord{i, err}
		}
		if at, gone := sup.ErasedAt(s.ID); gone && r.Recorded.UnixMicro() <= at {
			out.Erased++
			continue
		}
		if withheld {
			out.Withheld++
		}
		records, beside = append(records, r), append(beside, others...)
	}
	out.Unknown = len(unknown)
	people := map[string]bool{}
	for _, s := range sent {
		people[s.ID] = true
	}
	var marks []event.Mark
	if len(people) <= event.MaxMarks {
		marks = c.r.marksOf(slices.Collect(maps.Keys(people)), false)
	}
	if err := c.log(ctx, len(people), marks); err != nil {
		return nil, err
	}
	subjects := map[policy.Subject]bool{}
	for _, r := range records {
		subjects[r.Subject] = true
	}
	out.Subjects = len(subjects)
	c.count(out, slices.Values(records))
	for _, r := range beside {
		subjects[r.Subject] = true
	}
	records = append(records, beside...)
	denied, later := c.denied(ctx, ids, joinSaid(nil, records), subjects)
	return out, c.keep(ctx, out, denied, later, func(ctx context.Context) error {
		return saidInbox.put(ctx, c.r, journal, epoch, ids, records)
	})
}

// begin opens what a record needs to be made.
func (c *Consenter) begin(ctx context.Context) (*event.Journal, *event.Identities, *event.Suppressions, error) {
	fail := func(err error) (*event.Journal, *event.Identities, *event.Suppressions, error) {
		return nil, nil, nil, fmt.Errorf("consent: %w", err)
	}
	switch {
	case c.job == nil:
		return nil, nil, nil, ErrNoConsent
	case c.r.Keys.IsZero():
		return fail(event.ErrNoKey)
	}
	journal, err := event.OpenJournal(ctx, c.r.Bucket)
	if err != nil {
		return fail(err)
	}
	ids, err := c.identities(ctx, journal)
	if err != nil {
		return fail(err)
	}
	sup, err := journal.Suppressions(ids)
	if err != nil {
		return fail(err)
	}
	return journal, ids, sup, nil
}

// count counts records that are taken, and those of them that no job uses.
func (c *Consenter) count(out *Consented, records iter.Seq[policy.Record]) {
	for r := range records {
		if out.Records++; !c.used[r.Purpose] {
			out.Unused++
		}
	}
}

// keep records what out counts, denies whom that denies, by online key, and narrows the horizon to a later end (µs; 0: there is none).
func (c *Consenter) keep(ctx context.Context, out *Consented, denied []string, later int64, put func(context.Context) error) error {
	if out.Records == 0 {
		return nil
	}
	// Who sends this may leave meanwhile: what is recorded is denied as well.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTime)
	defer cancel()
	if err := put(ctx); err != nil {
		return err
	}
	err := c.r.narrow(ctx, later)
	if out.Denied = len(denied); out.Denied > 0 {
		err = errors.Join(c.r.Online.Deny(ctx, denied...), err)
	}
	if err != nil {
		return fmt.Errorf("consent: recorded, and effective with the next run; the online store could not be told: %w", err)
	}
	return nil
}

// denied returns the online keys of those subjects whom records deny as of now: who has a record in effect for a purpose of lists, and no basis by it; and who has one that
// ends soon, and is served by a row that does not know of that. later is the first of the other ends of which such a row does not know (µs; 0: there is none).
func (c *Consenter) denied(ctx context.Context, ids *event.Identities, records []policy.Record, of map[policy.Subject]bool) (keys []string, later int64) {
	now := c.r.Now()
	in := map[string]map[policy.Subject]bool{} // purpose → subjects with a record in effect
	for _, r := range records {
		if of[r.Subject] && !r.Effective.After(now) && !r.Recorded.After(now) {
			if in[r.Purpose] == nil {
				in[r.Purpose] = map[policy.Subject]bool{}
			}
			in[r.Purpose][r.Subject] = true
		}
	}
	denied := map[policy.Subject]bool{}
	for _, p := range c.purposes {
		if len(in[p.Name]) == 0 {
			continue
		}
		d := policy.Decide(p, now, slices.DeleteFunc(slices.Clone(records), func(r policy.Record) bool { return !of[r.Subject] }), nil)
		for s := range in[p.Name] {
			if d.Of(s).Denied() {
				denied[s] = true
			}
		}
	}
	for s := range denied {
		if key, ok := ids.OnlineKey(s); ok {
			keys = append(keys, key)
		}
	}
	for s, end := range c.ends(records, of, now) {
		switch key, ok := ids.OnlineKey(s); {
		case !ok || denied[s] || !c.r.outlives(ctx, key, end, now):
		case endsNear(end, now):
			keys = append(keys, key)
		default:
			later = earliest(later, end)
		}
	}
	slices.SortFunc(keys, cmp.Compare[string])
	return keys, later
}

// ends are the ends (µs) that records set to what subjects are served by.
func (c *Consenter) ends(records []policy.Record, of map[policy.Subject]bool, now time.Time) map[policy.Subject]int64 {
	type basis struct {
		subject policy.Subject
		purpose string
	}
	by := map[basis][]policy.Record{}
	for _, r := range records {
		if of[r.Subject] {
			b := basis{r.Subject, r.Purpose}
			by[b] = append(by[b], r)
		}
	}
	out := map[policy.Subject]int64{}
	for _, p := range c.purposes {
		for s := range of {
			end := policy.Ends(p.Basis, by[basis{s, p.Name}], now)
			if end != 0 {
				out[s] = earliest(out[s], end)
			}
		}
	}
	return out
}
