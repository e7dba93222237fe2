package jobs

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/lists"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// wishes is what people have said that they want. The zero value is that of a job that asks nobody.
type wishes struct {
	records []policy.Wish
	asked   bool   // the job has a source of preferences
	key     string // of the snapshot; "" if there is none yet
	facts   wishFacts
	inbox   map[string]bool // keys of what has come in one by one, that records hold
	wanted  policy.Wishes   // as of now
}

// wishFacts are the facts of a snapshot of preferences.
type wishFacts struct {
	event.PreferenceFacts
	Number int    `json:"number"` // of the snapshot: 1, 2, …
	Source string `json:"source"` // digest of the files and of how they are read
}

// readWishes returns the preferences: the last snapshot if the source's files are those that it was made of and nothing has come in since, else a new one.
// Snapshots are numbered, and each holds the records of the one before: a record that is missing from a file means nothing, and only a later one takes it
// back. What has come in one by one (Preferrer) stands in the next snapshot, and then no longer by itself.
//
// A number is taken once: its key does not depend on what the snapshot holds. Who comes second to a number begins anew on top of the first.
func (w *work) readWishes(ctx context.Context, p *plan) (*wishes, error) {
	src := w.job.Preferences
	if src == nil {
		return &wishes{}, nil
	}
	source := ""
	if !w.Keys.IsZero() {
		var objs []storage.Info
		if src.Path != "" {
			for info, err := range storage.Glob(ctx, src.Bucket, src.Path) {
				if err != nil {
					return nil, fmt.Errorf("preferences: list %s: %w", src.Path, err)
				}
				objs = append(objs, info)
			}
		}
		zone := ""
		if src.Zone != nil {
			zone = src.Zone.String()
		}
		source = p.linked.sourceOf(objs, src, zone)
	}
	for range maxWishTurns {
		out, err := w.nextWishes(ctx, p, src, source)
		if out != nil || err != nil {
			return out, err
		}
	}
	return nil, fmt.Errorf("preferences: others took %d snapshots at this moment: run again", maxWishTurns)
}

// maxWishTurns bounds how often a snapshot is begun anew because others have taken its number.
const maxWishTurns = 16

// nextWishes returns what stands, or commits a snapshot of it and returns nil: what stands is to be read again.
func (w *work) nextWishes(ctx context.Context, p *plan, src *event.DataSet, source string) (*wishes, error) {
	// In this order: what is missing from the inbox by now stands in the snapshot that is read after it.
	keys, asked, err := wishInbox.read(ctx, w)
	if err != nil {
		return nil, err
	}
	before, err := w.lastWishes(ctx)
	if err != nil {
		return nil, err
	}
	if w.Keys.IsZero() && before.key == "" && src.Path != "" {
		return nil, fmt.Errorf("preferences: no snapshot has been taken, and without the pseudonym key none can be: run --step ingest with it first")
	}
	records := joinWishes(before.records, asked)
	stands := before.key != "" && len(records) == len(before.records)
	if stands && before.facts.Source == source && !w.dry {
		return before, wishInbox.empty(ctx, w.Bucket, keys)
	}
	before.records, before.inbox = records, keys
	if w.Keys.IsZero() || stands && before.facts.Source == source {
		return before, nil
	}
	facts := wishFacts{Number: before.facts.Number + 1, Source: source, PreferenceFacts: before.facts.PreferenceFacts}
	if before.key == "" || before.facts.Source != source {
		var read []policy.Wish
		facts.PreferenceFacts = event.PreferenceFacts{}
		if src.Path != "" {
			if read, facts.PreferenceFacts, err = event.ReadPreferences(ctx, *src, p.ids, p.sup); err != nil {
				return nil, err
			}
		}
		records = joinWishes(records, read)
	}
	label := fmt.Sprintf("%08d", facts.Number)
	key := stepKey("preferences", label, table.Interval{}, logicSnapshot, nil)
	if w.dry {
		return &wishes{records: records, asked: true, facts: facts, key: key, inbox: keys}, nil
	}
	_, err = w.do(ctx, step{name: "preferences", label: label, key: key, iv: w.iv}, func(ctx context.Context) (result, error) {
		m, err := event.StorePreferences(ctx, w.Bucket, dataPrefix(key, "records"), records)
		if err != nil {
			return result{}, err
		}
		if err := p.ids.Flush(ctx); err != nil {
			return result{}, err
		}
		return result{outputs: map[string]table.Manifest{"records": m}, facts: facts, rowsIn: facts.Rows, rows: m.Rows}, nil
	})
	return nil, err
}

// joinWishes returns the records of both, each once, in their order.
func joinWishes(a, b []policy.Wish) []policy.Wish {
	all := slices.Concat(a, b)
	slices.SortFunc(all, policy.Wish.Compare)
	return slices.CompactFunc(all, func(a, b policy.Wish) bool { return a.Compare(b) == 0 })
}

// lastWishes returns the newest snapshot of preferences, or an empty one. Cost: one listing, and the snapshot.
func (w *work) lastWishes(ctx context.Context) (*wishes, error) {
	last, err := w.lastNumbered(ctx, "preferences")
	if err != nil {
		return nil, fmt.Errorf("preferences: %w", err)
	}
	if last == "" {
		return &wishes{asked: true}, nil
	}
	c, _, err := w.tables.Lookup(ctx, last)
	if err != nil {
		return nil, fmt.Errorf("preferences: %w", err)
	}
	records, err := event.LoadPreferences(ctx, w.Bucket, c.Outputs["records"])
	if err != nil {
		return nil, err
	}
	facts, err := factsOf[wishFacts](c)
	return &wishes{records: records, asked: true, key: last, facts: facts}, err
}

// wish decides what everybody wants as of now.
func (p *plan) wish(now time.Time) {
	if p.wishes != nil {
		p.wishes.wanted = policy.Wanted(now.Add(policy.Askew), p.wishes.records) // what stands here was asked for, if by the clock of another machine
	}
}

// wants is what a subject wants.
func (p *plan) wants(s policy.Subject) policy.Wants {
	if p.wishes == nil {
		return policy.Wants{}
	}
	return p.wishes.wanted[s]
}

// wanted is a digest of what everybody wants; "" for a job without a source of preferences.
func (p *plan) wanted() string {
	if p.wishes == nil || !p.wishes.asked {
		return ""
	}
	return p.wishes.wanted.Digest()
}

// wishInput is what of preferences is in the keys of the steps that honour them; none for a job without a source.
func (p *plan) wishInput() []string {
	if p.wishes == nil || !p.wishes.asked {
		return nil
	}
	return []string{"preferences " + p.wishes.wanted.Digest()}
}

// unprofiled reports whether a subject reads the list not based on profiling: it may not be profiled, or does not want to be, or no more than
// the project knows to do.
func (w *work) unprofiled(s policy.Subject) bool {
	wants := w.plan.wants(s)
	return w.plan.trainingDecisions.Of(s).Denied() || listless(wants, w.job.Model.Lists.Broad != "")
}

// listless reports whether somebody wants no list of their own, or no more of one than a project knows to make without lists by levels (broad).
func listless(wants policy.Wants, broad bool) bool {
	return wants.Unprofiled() || wants.Level == policy.Broad && !broad
}

// honour makes the query of subject row s what the subject wants it to be: without what it wants forgotten, and without what it wants left out
// or what tells of a few others.
// It sets q.Exclude, q.Less and q.RatherNew.
func (w *work) honour(d *dataset, s int, q *models.Query) {
	wants := w.plan.wants(policy.Subject(d.Events.Subjects[s]))
	if wants.Since > 0 {
		q.History = d.Events.SubjectBetween(s, max(d.Cuts.Base, wants.Since), q.At)
	}
	if len(wants.Forget) > 0 {
		q.History = without(q.History, d.Catalog, wants.Forget)
	}
	q.Exclude = d.leftOut(s, wants.Since, q.At, &q.History)
	for _, x := range wants.Exclude {
		q.Exclude = union(q.Exclude, d.having(x))
	}
	for _, id := range wants.Down {
		if item, ok := d.Catalog.Lookup(id); ok {
			q.Exclude = union(q.Exclude, []int32{item})
		}
	}
	if !w.plan.trainingDecisions.Sensitive().Shown(policy.Subject(d.Events.Subjects[s])) {
		q.Exclude = union(q.Exclude, d.sensitive)
	}
	q.Exclude = union(q.Exclude, d.ofOthers(&q.History))
	for _, x := range wants.Less {
		q.Less = union(q.Less, d.named(x))
	}
	q.RatherNew = wants.New
}

// named returns the item of an id, or those with attribute=level, ascending.
func (d *dataset) named(x string) []int32 {
	if item, ok := d.Catalog.Lookup(x); ok {
		return []int32{item}
	}
	return d.having(x)
}

// wished reports whether a query is of somebody who wants less of some items, or would rather have new ones: list rules see to that.
func wished(q models.Query) bool { return len(q.Less) > 0 || q.RatherNew }

// without returns a history without the events of items before the time from which they are to be forgotten.
func without(h models.History, c *models.Catalog, forget map[string]int64) (out models.History) {
	until := map[int32]int64{}
	for id, at := range forget {
		if item, ok := c.Lookup(id); ok {
			until[item] = at
		}
	}
	for i, item := range h.Item {
		if h.Time[i] < until[item] {
			continue
		}
		out.Item, out.Time, out.Kind, out.Weight = append(out.Item, item), append(out.Time, h.Time[i]), append(out.Kind, h.Kind[i]), append(out.Weight, h.Weight[i])
		if h.Context != nil {
			out.Context = append(out.Context, h.Context[i])
		}
	}
	return out
}

// having returns the items with attribute=level, ascending. An attribute or a level that no item has leaves nothing out; the level of an attribute
// that holds numbers is one.
func (d *dataset) having(x string) []int32 {
	d.wished.Lock()
	defer d.wished.Unlock()
	if items, ok := d.haves[x]; ok {
		return items
	}
	column, level, _ := strings.Cut(x, "=")
	var items []int32
	if col := d.Catalog.Attrs.Cat(column); col != nil {
		if l, ok := slices.BinarySearch(col.Levels, level); ok {
			for i, v := range col.Values {
				if v == int32(l) {
					items = append(items, int32(i))
				}
			}
		}
	} else if col := d.Catalog.Attrs.Num(column); col != nil {
		if x, err := strconv.ParseFloat(level, 64); err == nil {
			for i, v := range col.Values {
				if v == x {
					items = append(items, int32(i))
				}
			}
		}
	}
	if d.haves == nil {
		d.haves = map[string][]int32{}
	}
	d.haves[x] = items
	return items
}

// broadWeight is the weight of the history in a list by levels: that of the scores, which are everybody's, is the rest.
const broadWeight = 0.5

// broadRules are the rules of lists that know of their subject only how its history spreads over the levels of one attribute, or nil where the
// project names none.
func (j *Job) broadRules() *lists.Rules {
	by := j.Model.Lists.Broad
	if by == "" {
		return nil
	}
	r := lists.Rules{}
	if j.Model.Lists.Rules != nil {
		r = *j.Model.Lists.Rules
	}
	r.Diversity, r.Calibrate = nil, &lists.Calibrate{By: by, Weight: broadWeight}
	return &r
}
