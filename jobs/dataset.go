package jobs

import (
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"sync"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/storage/table"
)

// dataset is a training set in memory, with the facts that assemble commits.
type dataset struct {
	models.Dataset
	held     *eval.Held // divided by the job's protocol; nil: not yet
	task     *eval.Task // what evaluation asks; nil: not yet
	facts    assembled
	refusals refusals // of the permitted events of negative weight
	// sensitive are the items that stand in no list of who does not hold the consent that they need, ascending.
	sensitive []int32
	// unlisted are the items that no catalog has and fewer than enough people took, ascending: that there is such a thing tells of these few. They stand in no
	// list but their own.
	unlisted []int32
	enough   int      // models.MinSubjects, or fewer where there is no catalog and lists would not fill
	titles   []string // of items; nil: none are named

	wished sync.Mutex
	haves  map[string][]int32 // items by attribute=level, of those that somebody wants left out
}

// assembled are the facts of an assemble step: the training set as references, never as copies, so that an erasure has nothing to
// rewrite here.
type assembled struct {
	Window      table.Interval     `json:"window"`
	Days        []table.Ref        `json:"days"`
	Items       string             `json:"items_snapshot,omitempty"`    // keys
	Subjects    string             `json:"subjects_snapshot,omitempty"` //
	Cohorts     string             `json:"cohorts_snapshot,omitempty"`  // where groups weigh otherwise
	Weights     map[string]float64 `json:"weights,omitempty"`           // of kinds
	Reweight    *Reweight          `json:"reweight,omitempty"`          // of groups
	Filter      string             `json:"subject_filter"`
	Digest      table.Digest       `json:"digest"` // of the permitted rows of the window
	Rows        int64              `json:"rows"`
	NSubjects   int                `json:"subjects"`
	NItems      int                `json:"items"`
	Kinds       []string           `json:"kinds"`
	Funnel      policy.Funnel      `json:"funnel"`
	RepeatShare float64            `json:"repeat_share"` // of the validation window's events
	Mask        bool               `json:"mask_seen"`
	Cuts        models.Cuts        `json:"cuts"`
	Contexts    *models.Contexts   `json:"contexts,omitempty"` // where a re-ranker reads them
}

// masking says in words what the lists do with items that a subject had already, and why.
func (a assembled) masking(seen string) string {
	word := "kept"
	if a.Mask {
		word = "masked"
	}
	if seen != "auto" {
		return fmt.Sprintf("seen items are %s (lists.seen: %s)", word, seen)
	}
	return fmt.Sprintf("seen items are %s: %.1f %% of the events of the validation window repeat an earlier pair of subject and item", word, 100*a.RepeatShare)
}

// load reads the training set of the run. It reads the permitted events once; memory is about 60 bytes an event while it works.
func (w *work) load(ctx context.Context) (*dataset, error) {
	if w.data != nil {
		return w.data, nil
	}
	p := w.plan
	items, err := w.snapshotRows(ctx, p.items)
	if err != nil {
		return nil, err
	}
	subjects, err := w.snapshotRows(ctx, p.subjects)
	if err != nil {
		return nil, err
	}
	d := &dataset{}
	d.Cuts = w.job.cuts(w.iv)
	d.facts = assembled{
		Window: p.training, Filter: p.filter, Funnel: policy.Funnel{}, Cuts: d.Cuts, Days: p.dayRefs(p.training),
		Items: p.items.keyOrNone(), Subjects: p.subjects.keyOrNone(), Weights: w.job.Model.Weights,
	}

	if w.job.Reweight != nil {
		d.facts.Reweight, d.facts.Cohorts = w.job.Reweight, p.cohorts.keyOrNone()
	}

	// First pass in memory: which items and kinds there are. The batches' strings may be kept, so the rows are held as they are.
	circumstances := w.job.contexts()
	schema, columns := withContexts(circumstances)
	digest := table.NewDigester(schema)
	var batches []*table.Batch
	ids, kinds, levels := map[string]bool{}, map[string]bool{}, newLevelCounts(circumstances)
	for b, err := range w.events(ctx, p.training, columns, d.facts.Funnel) {
		if err != nil {
			return nil, err
		}
		if err := digest.Add(b); err != nil {
			return nil, err
		}
		for i := range b.N {
			ids[b.Cols[1].Str[i]] = true
			kinds[b.Cols[3].Str[i]] = true
		}
		levels.add(b)
		batches = append(batches, clone(b))
	}
	if items != nil {
		for _, id := range items.Col("item").Str {
			ids[id] = true
		}
	}
	d.Catalog = &models.Catalog{IDs: sortedSet(ids)}
	d.sensitive = d.positions(p.trainingDecisions.Sensitive())
	if items != nil {
		at := make([]int32, items.N)
		for i, id := range items.Col("item").Str {
			at[i], _ = d.Catalog.Lookup(id)
		}
		d.Catalog.Attrs = attributes(items, "item", d.Catalog.Len(), at)
		if err := d.takeTitles(w.job.Model.Lists.Title); err != nil {
			return nil, err
		}
	}
	d.Kinds = sortedSet(kinds)
	log, err := newLogBuilder(d.Catalog, d.Kinds, w.job.Model.Weights, w.job.Model.Impressions)
	if err != nil {
		return nil, err
	}
	log.days = w.job.dayWeights(p.training)
	if w.job.Rerank > 0 {
		if d.Contexts, err = models.NewContexts(circumstances, levels, w.job.Every.Location().String()); err != nil {
			return nil, err
		}
		d.facts.Contexts, log.context = d.Contexts, contextReader(d.Contexts, w.job.Every.Location())
	}
	for i, b := range batches {
		if err := log.add(b); err != nil {
			return nil, err
		}
		batches[i] = nil
	}
	if len(log.shown) > 0 {
		d.Shown = models.NewEventLog(log.shown)
		log.shown = nil
	}
	if d.Events = models.NewEventLog(log.events); d.Contexts != nil {
		d.Events = models.NewContextLog(log.events)
	}
	log.events = nil
	d.refusals = log.against
	d.refusals.sort()
	d.unlisted, d.enough = unlisted(&d.Dataset, items, w.job.Model.Lists.K*depth)
	if subjects != nil {
		d.addSubjects(subjects, p.trainingDecisions)
	}
	if err := d.Validate(); err != nil {
		return nil, err
	}
	d.facts.Digest, d.facts.Rows = digest.Sum(), digest.Rows()
	d.facts.NSubjects, d.facts.NItems, d.facts.Kinds = len(d.Events.Subjects), d.Catalog.Len(), d.Kinds
	d.facts.RepeatShare = models.RepeatShare(&d.Dataset, d.Cuts.Validation, d.Cuts.Test)
	switch w.job.Model.Lists.Seen {
	case "mask":
		d.facts.Mask = true
	case "auto":
		d.facts.Mask = models.AutoMask(d.facts.RepeatShare)
	}
	d.MaskSeen = d.facts.Mask
	w.data = d
	return d, nil
}

// takeTitles sets the titles of items from an attribute, "": none, and takes that away: every item has its own, and no model learns from it.
func (d *dataset) takeTitles(column string) error {
	if column == "" {
		return nil
	}
	a := d.Catalog.Attrs
	i := slices.IndexFunc(a.Cats, func(c models.CatColumn) bool { return c.Name == column })
	if i < 0 {
		return fmt.Errorf("lists.title: the items have no text attribute %q", column)
	}
	d.titles = make([]string, a.N)
	for item := range d.titles {
		d.titles[item] = a.Cats[i].Level(item)
	}
	a.Cats = slices.Delete(a.Cats, i, i+1)
	return nil
}

// unlisted finds the items that the snapshot of items (nil: there is none) does not have and that fewer than enough people took, models.MinSubjects. Where there is none, the events are all
// the catalog that a small shop has: what is rarest is left out then, as long as a list of the given length can be filled with the rest, and always what one person alone took, which tells
// of that person whoever else is in the shop. O(events).
func unlisted(d *models.Dataset, items *table.Batch, list int) (out []int32, enough int) {
	listed := make([]bool, d.Catalog.Len())
	if items != nil {
		for _, id := range items.Col("item").Str {
			if i, ok := d.Catalog.Lookup(id); ok {
				listed[i] = true
			}
		}
	}
	people, last := make([]int, len(listed)), make([]int, len(listed)) // last: 1 + the row of who was counted last
	for s := range d.Events.Subjects {
		for _, i := range d.Events.Subject(s).Item {
			if last[i] != s+1 {
				last[i] = s + 1
				people[i]++
			}
		}
	}
	enough = models.MinSubjects
	if items == nil {
		var by [models.MinSubjects + 1]int // items by how many people took them, the last as many or more
		for _, n := range people {
			by[min(n, models.MinSubjects)]++
		}
		for left := by[enough]; enough > 2 && left < list; left += by[enough] {
			enough--
		}
	}
	for i, n := range people {
		if !listed[i] && n < enough {
			out = append(out, int32(i))
		}
	}
	return out, enough
}

// untold are the items that stand in no list of nobody in particular: of these no consent is known, and a thing that few know of tells of them.
func (d *dataset) untold() []int32 { return union(d.sensitive, d.unlisted) }

// ofOthers are the unlisted items that are not of a history.
func (d *dataset) ofOthers(h *models.History) []int32 {
	if !slices.ContainsFunc(h.Item, func(i int32) bool { _, is := slices.BinarySearch(d.unlisted, i); return is }) {
		return d.unlisted
	}
	own := models.Distinct(h.Item)
	return slices.DeleteFunc(slices.Clone(d.unlisted), func(i int32) bool { _, is := slices.BinarySearch(own, i); return is })
}

// leftOut returns the items that may not stand in the list of subject row s at time at (µs), of which history is what is known: those it spoke
// against since a time and, if seen items are masked, those it had.
func (d *dataset) leftOut(s int, since, at int64, history *models.History) []int32 {
	var seen []int32
	if d.facts.Mask {
		seen = models.Distinct(history.Item)
	}
	return union(seen, d.refusals.of(d.Events.Subjects[s], since, at))
}

var eventSchema = table.Schema{{Name: "subject", Type: table.Int64}, {Name: "item", Type: table.String}, {Name: "time", Type: table.Time}, {Name: "kind", Type: table.String}}

// addSubjects joins profile attributes to the log. Subjects who may be profiled and have attributes but no event join the log with an
// empty history, so that they get a list too.
func (d *dataset) addSubjects(rows *table.Batch, decisions *policy.Decisions) {
	known := map[uint64]bool{}
	for _, s := range d.Events.Subjects {
		known[s] = true
	}
	var fresh []uint64
	for _, n := range rows.Col("subject").Int {
		if s := uint64(n); !known[s] && !decisions.Of(policy.Subject(s)).Denied() {
			known[s] = true
			fresh = append(fresh, s)
		}
	}
	if len(fresh) > 0 {
		old := d.Events
		all := append(slices.Clone(old.Subjects), fresh...)
		slices.Sort(all)
		off := make([]int, 1, len(all)+1)
		at := 0
		for _, s := range all {
			n := off[len(off)-1]
			if at < len(old.Subjects) && old.Subjects[at] == s {
				n += old.Off[at+1] - old.Off[at]
				at++
			}
			off = append(off, n)
		}
		d.Events.Subjects, d.Events.Off = all, off
	}
	pos := make([]int32, rows.N)
	for i, n := range rows.Col("subject").Int {
		j, ok := slices.BinarySearch(d.Events.Subjects, uint64(n))
		if !ok || decisions.Of(policy.Subject(uint64(n))).Denied() {
			j = -1
		}
		pos[i] = int32(j)
	}
	d.Subjects = attributes(rows, "subject", len(d.Events.Subjects), pos)
}

// reading is what the run may read of events.
func (w *work) reading() reading {
	d := w.plan.trainingDecisions
	return reading{bucket: w.Bucket, days: w.plan.committed, decisions: d, oldest: d.Purpose().Oldest("events", w.iv.End, w.now)}
}

// events yields the run's permitted events in window.
func (w *work) events(ctx context.Context, window table.Interval, columns []string, f policy.Funnel) iter.Seq2[*table.Batch, error] {
	return w.reading().permitted(ctx, window, columns, f)
}

// attributes turns the columns of a snapshot into attributes of n entities: row i describes entity pos[i] (−1: nobody). Text is
// categorical, numbers are numeric.
func attributes(rows *table.Batch, key string, n int, pos []int32) *models.Attributes {
	a := &models.Attributes{N: n}
	for c, f := range rows.Schema {
		if f.Name == key {
			continue
		}
		col := &rows.Cols[c]
		if f.Type == table.String {
			levels := make([]string, n)
			for i, to := range pos {
				if to >= 0 && !col.Null(i) {
					levels[to] = col.Str[i]
				}
			}
			a.Cats = append(a.Cats, models.NewCatColumn(f.Name, levels))
			continue
		}
		values := make([]float64, n)
		for i := range values {
			values[i] = math.NaN()
		}
		for i, to := range pos {
			if to < 0 || col.Null(i) {
				continue
			}
			if col.Float != nil {
				values[to] = col.Float[i]
			} else {
				values[to] = float64(col.Int[i])
			}
		}
		a.Nums = append(a.Nums, models.NumColumn{Name: f.Name, Values: values})
	}
	return a
}

// snapshotRows reads a snapshot whole, or returns nil where the job has none.
func (w *work) snapshotRows(ctx context.Context, s *snapshot) (*table.Batch, error) {
	if s == nil {
		return nil, nil
	}
	c, _, err := w.tables.Lookup(ctx, s.step.key)
	if err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", s.step.label, err)
	}
	return whole(ctx, w, c.Outputs["rows"])
}

// whole reads a table into one batch.
func whole(ctx context.Context, w *work, m table.Manifest) (*table.Batch, error) {
	out := &table.Batch{Schema: m.Schema, Cols: make([]table.Column, len(m.Schema))}
	for b, err := range table.Read(ctx, w.Bucket, m, table.ReadOptions{}) {
		if err != nil {
			return nil, err
		}
		appendRows(out, b)
	}
	return out, nil
}

// appendRows copies the rows of b to the end of out, which has its schema.
func appendRows(out, b *table.Batch) {
	for c := range b.Cols {
		to, from := &out.Cols[c], &b.Cols[c]
		if from.Valid != nil || to.Valid != nil {
			to.Valid = append(valid(to.Valid, out.N), valid(from.Valid, b.N)...)
		}
		to.Int, to.Float, to.Str = append(to.Int, from.Int...), append(to.Float, from.Float...), append(to.Str, from.Str...)
	}
	out.N += b.N
}

func valid(v []bool, n int) []bool {
	if v != nil {
		return v
	}
	v = make([]bool, n)
	for i := range v {
		v[i] = true
	}
	return v
}

func clone(b *table.Batch) *table.Batch {
	out := &table.Batch{Schema: b.Schema, Cols: make([]table.Column, len(b.Cols))}
	appendRows(out, b)
	return out
}

func sortedSet(m map[string]bool) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
