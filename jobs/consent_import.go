package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"path"
	"slices"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// importPrefix is where the files of consent stand that have been recorded, each under a keyed digest of what it holds.
const importPrefix = "policy/imports/"

// Imported says that a file of consent has been recorded, whole, and that whom it denies has been denied. To record it again would say nothing new: no record is ever taken
// back but by a later one.
type Imported struct {
	Format   int       `json:"format"` // 1
	At       time.Time `json:"at"`     // by the machine's clock
	By       string    `json:"by,omitempty"`
	Subjects int       `json:"subjects"`
	Records  int       `json:"records"`
}

func importKey(digest string) string { return path.Join(importPrefix, digest+".json") }

// Import takes the records of a file, as a feed's are read, but for what no feed can be asked about: a state that is not known, a time that cannot be meant
// or a row without a subject refuses the file, by row. A file that would deny more than the allowed share of people, other than by their own withdrawal, is held as a feed is
// (Consented.Held): what people withdrew themselves is kept, and the rest only if it is accepted. A file that has been recorded is not recorded again
// (Consented.Already). Memory: that of event.Records. Cost: the file is read twice, and policy is read, as for a run.
func (c *Consenter) Import(ctx context.Context, d event.DataSet, accept *Accepted) (*Consented, error) {
	journal, ids, sup, err := c.begin(ctx)
	if err != nil {
		return nil, err
	}
	epoch, now := journal.Epoch(), c.r.Now()
	out := &Consented{Effective: now.UTC()}
	digests, fingerprint, err := event.DigestFiles(ctx, d, c.r.given()...)
	if err != nil {
		return nil, &BadFile{err}
	}
	if out.Already, err = c.r.imported(ctx, digests); err != nil {
		return nil, err
	}
	if out.Already != nil {
		return out, c.log(ctx, out.Already.Subjects, nil)
	}
	read, err := event.ImportConsent(ctx, d, ids, sup, now)
	if err == nil && read.Fingerprint != fingerprint {
		err = errors.New("read consent: the file was changed while it was read: import it again")
	}
	if err != nil {
		c.forget()
		return nil, &BadFile{err}
	}
	records := read.Records
	if c.tell != nil {
		c.tell(onlineKeysOf(ids, records.All()))
	}
	if err := c.log(ctx, read.People, read.Marks); err != nil {
		return nil, err
	}
	w, err := c.r.asOfNow(ctx, c.job)
	if err != nil {
		return nil, err
	}
	out.Unknown, out.Erased, out.Withheld = read.New, int(read.Facts.Erased), int(read.Facts.Withheld)
	if out.Hold, _, _, err = w.judgeImport(ctx, w.plan.consent, w.plan.consent, records, w.plan.linked.erasures); err != nil {
		return nil, err
	}
	switch {
	case out.Hold.Held && accept == nil:
		out.Held = true
		records.Keep(policy.Record.Withdraws)
	case out.Hold.Held:
		out.Hold.Held, out.Accepted = false, accept
		c.r.Log.Warn("a held import of consent is accepted", "by", accept.By, "why", accept.Why, "lost", out.Hold.Lost)
	}
	out.Subjects = records.People()
	c.count(out, records.All())
	denied, later, err := c.deniedBy(ctx, w, ids, records)
	if err != nil {
		return nil, err
	}
	err = c.keep(ctx, out, denied, later, func(ctx context.Context) error {
		return saidInbox.putTable(ctx, c.r, journal, epoch, ids, func(ctx context.Context, prefix string) (table.Manifest, error) {
			return records.Store(ctx, c.r.Bucket, prefix)
		})
	})
	if err != nil || out.Held || out.Records == 0 {
		return out, err
	}
	return out, c.noteImported(context.WithoutCancel(ctx), digests[0], out)
}

// onlineKeysOf yields the online key of everybody whom records, which are ordered by subject, are of.
func onlineKeysOf(ids *event.Identities, records iter.Seq[policy.Record]) iter.Seq[string] {
	return func(yield func(string) bool) {
		var last policy.Subject
		begun := false
		for r := range records {
			if begun && r.Subject == last {
				continue
			}
			begun, last = true, r.Subject
			if key, ok := ids.OnlineKey(r.Subject); ok && !yield(key) {
				return
			}
		}
	}
}

// deniedBy returns the online keys of those whom records deny as of now beside all that is known: who has one in effect for a purpose of lists, and no basis by all of them; and who has
// a basis that ends soon, and is served by a row that does not know of that. later is the first of the other ends that were not known (µs; 0: there is none).
func (c *Consenter) deniedBy(ctx context.Context, w *work, ids *event.Identities, records *event.Records) (keys []string, later int64, err error) {
	p := w.plan
	by, err := p.consent.decide(ctx, w.Bucket, p.people(p.journal.Withdrawals()), records, w.now, p.linked.erasures, c.purposes...)
	if err != nil {
		return nil, 0, err
	}
	var last policy.Subject
	begun := false
	for r := range records.All() {
		i := slices.IndexFunc(c.purposes, func(p policy.Purpose) bool { return p.Name == r.Purpose })
		if begun && r.Subject == last || i < 0 {
			continue
		}
		key, ok := ids.OnlineKey(r.Subject)
		d, told := by[i].Of(r.Subject), !r.Effective.After(w.now) && !r.Recorded.After(w.now)
		if d.Expires != 0 && !d.Denied() && !endsNear(d.Expires, w.now) {
			if was := p.trainingDecisions; !was.Of(r.Subject).Denied() && earliest(was.Expires(r.Subject), d.Expires) != was.Expires(r.Subject) {
				later = earliest(later, d.Expires)
			}
		}
		if !ok || d.Denied() && !told || !d.Denied() && !(endsNear(d.Expires, w.now) && c.r.outlives(ctx, key, d.Expires, w.now)) {
			continue
		}
		begun, last, keys = true, r.Subject, append(keys, key)
	}
	slices.Sort(keys)
	return keys, later, nil
}

// imported tells of a file by its digests when it was recorded; nil: it was not.
func (r *Runner) imported(ctx context.Context, digests []string) (*Imported, error) {
	for _, digest := range digests {
		key := importKey(digest)
		body, _, err := storage.ReadAll(ctx, r.Bucket, key)
		if errors.Is(err, storage.ErrNotFound) {
			continue
		}
		x := new(Imported)
		if err == nil {
			err = knownFormat(body)
		}
		if err == nil && strictJSON(body, x) != nil {
			err = errDamaged
		}
		if err != nil {
			return nil, fmt.Errorf("consent: was this file recorded before? %s: %w", key, err)
		}
		return x, nil
	}
	return nil, nil
}

// noteImported writes down that a file has been recorded, last of all: until it stands, the file is recorded anew.
func (c *Consenter) noteImported(ctx context.Context, digest string, out *Consented) error {
	body, err := json.Marshal(Imported{Format: 1, At: c.r.Wall().UTC(), By: c.who, Subjects: out.Subjects, Records: out.Records})
	if err == nil {
		_, err = storage.Commit(ctx, c.r.Bucket, importKey(digest), body, storage.Cond{IfAbsent: true})
	}
	if err != nil && !errors.Is(err, storage.ErrPrecondition) {
		return fmt.Errorf("consent: recorded, and that could not be written down: %w", err)
	}
	return nil
}
