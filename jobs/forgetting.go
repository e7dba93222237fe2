package jobs

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage/table"
)

// HeldBack is what legal holds keep of the rows of people who are erased. Nobody uses it: the people are denied, and their row of the identity table is gone.
type HeldBack struct {
	Hold   int       `json:"hold"`
	Store  string    `json:"store"`
	Rows   int64     `json:"rows"`
	Reason string    `json:"reason"`
	Until  time.Time `json:"until"`
}

// forgetting is what erasures take out of tables, and what holds keep from them.
type forgetting struct {
	by         string                   // who writes successors
	before     map[policy.Subject]int64 // people, and the time (µs) before which their rows go: always for who asked now
	unfinished map[string]bool          // writers whose files may have been left behind
	jobs       []*Job
	holds      []Hold       // in force
	marks      []event.Mark // of who asks now, under every key that is given: the register may know them by an earlier one
	kept       map[forgottenLess]int64
	keptOf     map[policy.Subject]map[int]bool // the holds that keep rows of somebody
}

// always stands for all rows of somebody. Of people whose rows a hold kept, only those of before their erasure go: they may have come back since.
const always = math.MaxInt64

// forgottenLess is where a hold keeps rows.
type forgottenLess struct {
	hold  int
	store string
}

// erasedBy names an erasure as the writer of successors.
func erasedBy(epoch int) string { return fmt.Sprintf("erasure %d", epoch) }

// forget adds an entry of the journal.
func (f *forgetting) forget(e event.Entry) {
	f.by = erasedBy(e.Epoch)
	bound := int64(always)
	if e.Held != nil {
		bound = e.At.UnixMicro()
	}
	f.unfinished[f.by] = true
	for _, s := range e.Subjects {
		f.before[s] = max(f.before[s], bound)
	}
}

// asked are those of whom all goes.
func (f *forgetting) asked() (out []policy.Subject) {
	for s, bound := range f.before {
		if bound == always {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out
}

// in are the people of whom all rows of a commit go, but for what is held. Times of its rows are not looked at.
func (f *forgetting) in(c *table.Commit) map[policy.Subject]bool {
	out := map[policy.Subject]bool{}
	for s, bound := range f.before {
		if bound == always || classOf(c.Step) != "" && c.Interval != nil && table.Micros(c.Interval.End) <= bound {
			out[s] = true
		}
	}
	return out
}

// eraseTables writes a successor of every committed table that holds one of the people, and then removes the files that no longer stand
// in it: also of tables whose successors were written by an unfinished erasure.
func (w *work) eraseTables(ctx context.Context, f *forgetting, out *Erased) (err error) {
	if f.holds, err = w.inForce(ctx); err != nil {
		return fmt.Errorf("erase: %w", err)
	}
	f.kept, f.keptOf = map[forgottenLess]int64{}, map[policy.Subject]map[int]bool{}
	var n int64
	for c, err := range w.tables.List(ctx, "") {
		if err != nil {
			return fmt.Errorf("erase: %w", err)
		}
		w.Progressed("erase", c.Step, n, 0, "tables")
		n++
		next, changed, err := w.eraseTable(ctx, c, f, out)
		if err != nil {
			return fmt.Errorf("erase %s: %w", c.Key, err)
		}
		if changed {
			out.Tables[c.Step]++
		}
		if changed || f.unfinished[next.By] {
			removed, _, err := w.sweep(ctx, *next)
			if err != nil {
				return fmt.Errorf("erase %s: %w", c.Key, err)
			}
			out.Parts += removed
		}
	}
	return nil
}

// eraseTable writes a successor of a commit without the people, if it holds one, and returns what stands now.
func (w *work) eraseTable(ctx context.Context, c *table.Commit, f *forgetting, out *Erased) (stands *table.Commit, changed bool, err error) {
	var from *table.Commit
	var removed map[string]int64
	stands, changed, err = w.succeed(ctx, c, f.by, func(c *table.Commit) (next *table.Commit, changed bool, err error) {
		from = c
		next, removed, changed, err = w.withoutSubjects(ctx, c, f)
		return next, changed, err
	})
	if err != nil {
		return nil, false, err
	}
	if held := heldBy(f.holds, f.jobs, stands); len(held) > 0 {
		if err := w.countHeld(ctx, stands, f, held); err != nil {
			return nil, false, err
		}
	}
	if !changed {
		return stands, false, nil
	}
	for store, n := range removed {
		out.Rows += n
		out.removed(store, "rows", "files that held them were written anew without them, the old files deleted", n)
	}
	for name := range from.Outputs {
		if _, left := stands.Outputs[name]; !left {
			out.removed(storeOf(from.Step, name), "tables", "tables that may have counted them were dropped: the next build reads all events", 1)
		}
	}
	return stands, true, nil
}

// withoutSubjects makes the successor of a commit without the people, and stages its tables. What a hold keeps stays in them, but not what builds keep for later
// ones: what is held is used for nothing.
func (w *work) withoutSubjects(ctx context.Context, c *table.Commit, f *forgetting) (next *table.Commit, removed map[string]int64, changed bool, err error) {
	removed = map[string]int64{}
	without := *c
	without.Outputs, without.Supersedes = map[string]table.Manifest{}, slices.Clone(c.Supersedes)
	held := heldBy(f.holds, f.jobs, c)
	for name, m := range c.Outputs {
		column := subjectColumn(m.Schema)
		if column == "" && keptForBuilds(name) { // it may hold which subjects there were; the next build reads all events
			changed = true
			continue
		}
		without.Outputs[name] = m
		if column == "" {
			continue
		}
		rows, ok := f.rows(c, m, column, held)
		if !ok {
			continue
		}
		s, n, err := event.RewriteWithout(ctx, w.Bucket, m, dataPrefix(c.Key, name), column, rows)
		if err != nil {
			return nil, nil, false, err
		}
		if n > 0 {
			changed = true
			removed[storeOf(c.Step, name)] += n
			without.Outputs[name] = s
			without.Supersedes = append(without.Supersedes, m.Digest)
		}
	}
	return &without, removed, changed, nil
}

// rows are those that go of a table; false if none may.
func (f *forgetting) rows(c *table.Commit, m table.Manifest, column string, held []Hold) (event.Rows, bool) {
	if c.Step != "ingest" {
		all := f.in(c)
		return event.OfSubjects(column, all), len(held) == 0 && len(all) > 0
	}
	late := slices.ContainsFunc(slices.Collect(maps.Values(f.before)), func(bound int64) bool { return bound != always })
	if len(held) == 0 && !late {
		return event.OfSubjects(column, f.in(c)), true
	}
	return event.AndTimes(column, event.ColTime, f.before, func(s policy.Subject, t int64) bool {
		return t < f.before[s] && holdOf(held, t) == nil
	}), true
}

// countHeld counts, hold by hold, the rows of the people that holds keep in the tables of a commit: a row that two of them hold counts for both.
func (w *work) countHeld(ctx context.Context, c *table.Commit, f *forgetting, held []Hold) error {
	keep := func(h *Hold, name string, s policy.Subject) {
		f.kept[forgottenLess{h.Number, storeOf(c.Step, name)}]++
		if f.keptOf[s] == nil {
			f.keptOf[s] = map[int]bool{}
		}
		f.keptOf[s][h.Number] = true
	}
	for name, m := range c.Outputs {
		column := subjectColumn(m.Schema)
		if column == "" {
			continue
		}
		rows := event.OfSubjects(column, f.in(c))
		if c.Step == "ingest" {
			rows = event.AndTimes(column, event.ColTime, f.before, func(s policy.Subject, t int64) bool { return t < f.before[s] && holdOf(held, t) != nil })
		}
		for values, err := range event.Find(ctx, w.Bucket, m, rows) {
			if err != nil {
				return err
			}
			for i := range held { // each that holds it: when one ends, the others do not
				if c.Step != "ingest" || held[i].covers(values[1]) {
					keep(&held[i], name, policy.Subject(values[0]))
				}
			}
		}
	}
	return nil
}

// heldBy are the holds that keep rows of a commit, the one that lasts longest first. A hold of a job that the project does not have, or of what no job reads any
// more, holds it all the same: what it keeps is not to be had again.
func heldBy(holds []Hold, js []*Job, c *table.Commit) (out []Hold) {
	class := classOf(c.Step)
	for _, h := range holds {
		if h.Class != class || c.Interval != nil && !h.meets(*c.Interval) {
			continue
		}
		if h.Job != "" {
			readers := readersOf(js, c)
			i := slices.IndexFunc(js, func(j *Job) bool { return j.Name == h.Job })
			if i >= 0 && len(readers) > 0 && !slices.Contains(readers, js[i]) {
				continue
			}
		}
		out = append(out, h)
	}
	slices.SortStableFunc(out, func(a, b Hold) int { return b.Ended().Compare(a.Ended()) })
	return out
}

// holdOf is the first of some holds that holds a time (µs), or nil.
func holdOf(holds []Hold, t int64) *Hold {
	for i := range holds {
		if holds[i].covers(t) {
			return &holds[i]
		}
	}
	return nil
}

// heldBack lists what holds keep, the longest first.
func (f *forgetting) heldBack() []HeldBack {
	out := []HeldBack{}
	for of, n := range f.kept {
		h := f.holds[slices.IndexFunc(f.holds, func(h Hold) bool { return h.Number == of.hold })]
		out = append(out, HeldBack{Hold: h.Number, Store: of.store, Rows: n, Reason: h.Reason, Until: h.Ended()})
	}
	slices.SortFunc(out, func(a, b HeldBack) int {
		return cmp.Or(b.Until.Compare(a.Until), cmp.Compare(a.Hold, b.Hold), strings.Compare(a.Store, b.Store))
	})
	return out
}

// of are the people of an entry of whom holds keep rows, and these holds.
func (f *forgetting) of(e event.Entry) (people []policy.Subject, holds []int) {
	seen := map[int]bool{}
	for _, s := range e.Subjects {
		if len(f.keptOf[s]) > 0 {
			people = append(people, s)
			maps.Copy(seen, f.keptOf[s])
		}
	}
	return people, slices.Sorted(maps.Keys(seen))
}

// waits reports whether an erasure that is done but for what holds keep has nothing to do yet.
func waits(e event.Entry, inForce []Hold) bool {
	if e.Held == nil {
		return false
	}
	ended := func(number int) bool {
		return !slices.ContainsFunc(inForce, func(h Hold) bool { return h.Number == number })
	}
	return !slices.ContainsFunc(e.Held.Holds, ended)
}
