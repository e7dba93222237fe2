package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// relinking is a change of the declared links by which ingested days hold rows of the wrong person: these are read again. It names no person.
type relinking struct {
	Format  int       `json:"format"` // 1
	Number  int       `json:"number"` // 1, 2, …
	At      time.Time `json:"at"`
	Added   int       `json:"added"`
	Moved   int       `json:"moved"`
	Removed int       `json:"removed"`
	Days    []string  `json:"days"` // labels of ingest
	Nonce   string    `json:"nonce"`
}

func relinkKey(number int) string {
	return path.Join(event.RelinksPrefix, fmt.Sprintf("%08d.json", number))
}

// linked says what the declared links mean for a plan.
type linked struct {
	days        map[string]int // label of ingest → the last change by which it is read again
	last        int            // change; 0: none
	fingerprint string         // of the files; "" if no ids are linked
	lost        []string       // keys that were given up
	erasures    []policy.Erasure
}

// relink brings the identity table in line with the declared links. Where that makes rows another's, it finds the days that hold such rows, writes them down, and only
// then stores the links: cut short, it is done again. The days are read again; until then what stands under a number that is somebody else's now is nobody's.
// Cost: two HMACs a link and, where a known person's links have changed, one column of the shards that may hold them.
func (w *work) relink(ctx context.Context, p *plan) error {
	fail := func(err error) error { return fmt.Errorf("linked ids: %w", err) }
	change, err := p.ids.Relink()
	if err != nil {
		return fail(err)
	}
	p.linked = linked{days: map[string]int{}, fingerprint: p.ids.Links().Digest(), lost: p.ids.Lost()}
	for own := range p.ids.Merged() {
		p.linked.erasures = append(p.linked.erasures, policy.Erasure{Subject: own, At: w.now})
	}
	for _, key := range p.ids.Relinks() {
		r, err := w.relinking(ctx, key)
		if err != nil {
			return fail(err)
		}
		p.linked.note(r)
	}
	if w.Keys.IsZero() {
		return nil
	}
	var days []string
	if len(change.Subjects) > 0 {
		if days, err = w.daysHolding(ctx, change.Subjects); err != nil {
			return fail(err)
		}
		if len(days) > 0 {
			if err := w.writeRelinking(ctx, p, change, days); err != nil {
				return fail(err)
			}
		}
	}
	if says := relinkedSays(change, len(days)); says != "" {
		w.res.Flags = append(w.res.Flags, says)
	}
	if w.dry {
		return nil
	}
	if err := p.ids.Flush(ctx); err != nil {
		return fail(err)
	}
	return nil
}

// relinkedSays tells of a change of links, "" if there is none by which rows are another's.
func relinkedSays(change event.Relinked, days int) string {
	var parts []string
	for _, x := range []struct {
		n    int
		says string
	}{{change.Added, "more ids are one person's with another"}, {change.Moved, "are another person's than before"}, {change.Removed, "are linked no more"}} {
		if x.n > 0 {
			parts = append(parts, smallCount(x.n)+" "+x.says)
		}
	}
	if len(parts) == 0 || days == 0 && change.Moved+change.Removed == 0 { // ids that were linked when their rows were first read are no change of any
		return ""
	}
	read := "no day that was read holds rows of them"
	if days > 0 {
		read = plural(days, "day that holds their rows is read again", "days that hold their rows are read again")
	}
	return "links of sources.identities: " + strings.Join(parts, ", ") + "; " + read
}

func (l *linked) note(r *relinking) {
	for _, label := range r.Days {
		l.days[label] = max(l.days[label], r.Number)
	}
	l.last = max(l.last, r.Number)
}

// writeRelinking journals a change under the next number that is free.
func (w *work) writeRelinking(ctx context.Context, p *plan, change event.Relinked, days []string) error {
	r := &relinking{Format: 1, At: w.Wall().UTC(), Added: change.Added, Moved: change.Moved, Removed: change.Removed, Days: days, Nonce: w.NewID(w.now)}
	for number := p.linked.last + 1; ; number++ {
		r.Number = number
		if !w.dry {
			body, err := json.Marshal(r)
			if err != nil {
				return err
			}
			_, err = storage.Commit(ctx, w.Bucket, relinkKey(number), body, storage.Cond{IfAbsent: true})
			if errors.Is(err, storage.ErrPrecondition) {
				continue // another run has found the same, or something else
			}
			if err != nil {
				return err
			}
		}
		p.linked.note(r)
		return nil
	}
}

func (w *work) relinking(ctx context.Context, key string) (*relinking, error) {
	body, _, err := storage.ReadAll(ctx, w.Bucket, key)
	if err != nil {
		return nil, err
	}
	if err := knownFormat(body); err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	var r relinking
	if err := json.Unmarshal(body, &r); err != nil || r.Format != 1 || relinkKey(r.Number) != key {
		return nil, fmt.Errorf("%s is damaged", key)
	}
	return &r, nil
}

// daysHolding lists the labels of ingested days with a row of one of the subjects.
func (w *work) daysHolding(ctx context.Context, subjects []policy.Subject) ([]string, error) {
	of := map[policy.Subject]bool{}
	for _, s := range subjects {
		of[s] = true
	}
	var out []string
	for c, err := range (table.Store{Bucket: w.Bucket}).List(ctx, "ingest/") {
		if err != nil {
			return nil, err
		}
		m, ok := c.Outputs["events"]
		if !ok {
			continue
		}
		n, _, err := event.Count(ctx, w.Bucket, m, event.OfSubjects(event.ColSubject, of))
		if err != nil {
			return nil, err
		}
		if parts := strings.Split(c.Key, "/"); n > 0 && len(parts) > 1 {
			out = append(out, parts[1])
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// input is what the links add to the key of a day: nothing, but where a change of them made rows of it another's.
func (l *linked) input(label string) []string {
	if n := l.days[label]; n > 0 {
		return []string{fmt.Sprintf("links %d", n)}
	}
	return nil
}

// source is what a data set of people is read by beside its files: which ids are one person's, and whose numbers went with a lost key.
func (l *linked) source() (out []string) {
	if l.fingerprint != "" {
		out = append(out, "links "+l.fingerprint)
	}
	for _, id := range l.lost {
		out = append(out, "without "+id)
	}
	return out
}

// sourceOf is a digest of the files of records, of how they are read, and by what beside.
func (l *linked) sourceOf(objs []storage.Info, src *event.DataSet, zone string) string {
	of := []any{event.Fingerprint(objs), src.Columns, zone, src.TimeUnit}
	if beside := l.source(); len(beside) > 0 {
		of = append(of, beside)
	}
	return hash(of)
}

// gone are the erasures that hold for decisions: those that are pending, and of numbers that are somebody else's now.
func (p *plan) gone() []policy.Erasure {
	pending, _ := p.journal.Pending()
	return slices.Concat(pending, p.linked.erasures)
}

// people brings records under the numbers that their people have now.
func (p *plan) people(records []policy.Record) []policy.Record {
	merged := p.ids.Merged()
	if len(merged) == 0 {
		return records
	}
	out := slices.Clone(records)
	for i := range out {
		if now, ok := merged[out[i].Subject]; ok {
			out[i].Subject = now
		}
	}
	return joinRecords(out, nil)
}

// peopleOf is people, for wishes.
func (p *plan) peopleOf(wishes []policy.Wish) []policy.Wish {
	merged := p.ids.Merged()
	if len(merged) == 0 {
		return wishes
	}
	out := slices.Clone(wishes)
	for i := range out {
		if now, ok := merged[out[i].Subject]; ok {
			out[i].Subject = now
		}
	}
	slices.SortFunc(out, policy.Wish.Compare)
	return out
}
