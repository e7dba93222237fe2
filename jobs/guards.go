package jobs

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/models/lists"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// Guards are what a project declares about items that tell too much of a person, and about people who are never profiled.
type Guards struct {
	// Sensitive are the items that meet all conditions of one entry. They count for those who hold the consent of Purpose, and for nobody if it is nil.
	Sensitive []lists.Exclusion
	Purpose   *policy.Purpose
	// Protected are the subjects of whom a row of the subjects meets all conditions of one entry.
	Protected []lists.Exclusion
}

// off reports whether nothing is declared.
func (g *Guards) off() bool { return len(g.Sensitive)+len(g.Protected) == 0 }

// guards is which items and subjects that are now.
type guards struct {
	items    []string         // ascending
	subjects []policy.Subject // ascending
	key      string           // of the snapshot
	facts    guardFacts
}

// guardFacts are the facts of a snapshot of guards.
type guardFacts struct {
	Number int    `json:"number"` // of the snapshot: 1, 2, …
	Source string `json:"source"` // digest of the files, and of what is declared
	Items  int    `json:"items"`  // that are sensitive
}

// readGuards returns which items are sensitive and who is protected: the last snapshot if the files of the items and of the subjects are those that it was
// made of, else a new one. Policy is as of now, also for an interval of the past.
func (w *work) readGuards(ctx context.Context, p *plan) (*guards, error) {
	g := &w.job.Guards
	if g.off() {
		return &guards{}, nil
	}
	before, err := w.lastGuards(ctx)
	if err != nil {
		return nil, err
	}
	if w.Keys.IsZero() {
		if before.key == "" {
			return nil, fmt.Errorf("sensitive items and protected subjects: no snapshot has been taken, and without the pseudonym key none can be: run --step ingest with it first")
		}
		return before, nil
	}
	out := &guards{facts: guardFacts{Number: before.facts.Number + 1}}
	if out.facts.Source, err = w.guardSource(ctx); err != nil {
		return nil, err
	}
	if before.key != "" && before.facts.Source == out.facts.Source && len(g.Protected) == 0 {
		return before, nil
	}
	// Who is protected is read each time: an erased subject may have come back meanwhile, and must be known again.
	if err := w.lookForGuarded(ctx, p, out); err != nil {
		return nil, err
	}
	out.facts.Items = len(out.items)
	if before.key != "" && before.facts.Source == out.facts.Source && slices.Equal(before.items, out.items) && slices.Equal(before.subjects, out.subjects) {
		return before, nil
	}
	label := fmt.Sprintf("%08d", out.facts.Number)
	out.key = stepKey("guards", label, table.Interval{}, logicSnapshot, nil, out.facts.Source, hash([]any{out.items, out.subjects}))
	if w.dry {
		return out, nil
	}
	_, err = w.do(ctx, step{name: "guards", label: label, key: out.key, iv: w.iv}, func(ctx context.Context) (result, error) {
		outputs := map[string]table.Manifest{}
		if len(g.Sensitive) > 0 {
			if outputs["sensitive"], err = event.StoreSensitive(ctx, w.Bucket, dataPrefix(out.key, "sensitive"), out.items); err != nil {
				return result{}, err
			}
		}
		if len(g.Protected) > 0 {
			if outputs["protected"], err = event.StoreProtected(ctx, w.Bucket, dataPrefix(out.key, "protected"), out.subjects); err != nil {
				return result{}, err
			}
		}
		return result{outputs: outputs, facts: out.facts, rows: int64(len(out.items) + len(out.subjects))}, p.ids.Flush(ctx)
	})
	return out, err
}

// guardSource is a digest of the files that tell, of how they are read, and of what is declared.
func (w *work) guardSource(ctx context.Context) (string, error) {
	g := &w.job.Guards
	parts := []any{g.Sensitive, g.Protected}
	for _, s := range []struct {
		set  string
		of   *AttributeSource
		used bool
	}{{"items", w.job.Items, len(g.Sensitive) > 0}, {"subjects", w.job.Subjects, len(g.Protected) > 0}} {
		if !s.used {
			continue
		}
		if s.of == nil {
			return "", fmt.Errorf("no source of %s is declared to tell which are sensitive or protected", s.set) // configs has seen to it
		}
		var objs []storage.Info
		for info, err := range storage.Glob(ctx, s.of.Data.Bucket, s.of.Data.Path) {
			if err != nil {
				return "", fmt.Errorf("%s: list %s: %w", s.set, s.of.Data.Path, err)
			}
			objs = append(objs, info)
		}
		parts = append(parts, event.Fingerprint(objs), s.of.Data.Columns, s.of.Numeric)
	}
	return hash(parts), nil
}

// ProtectedShare is how many rows of the subjects one entry of protected_subjects withholds.
type ProtectedShare struct {
	Rows, Of int64
}

// String says it in words: a count of few, of either side, is not told.
func (s ProtectedShare) String() string {
	switch rest := s.Of - s.Rows; {
	case s.Rows == 0:
		return "nobody"
	case s.Rows < smallCell:
		return fmt.Sprintf("fewer than %d people", smallCell)
	case rest == 0:
		return "everybody"
	case rest < smallCell:
		return fmt.Sprintf("all but fewer than %d people", smallCell)
	}
	return fmt.Sprintf("%.1f %% of %d people", 100*float64(s.Rows)/float64(s.Of), s.Of)
}

// Most reports whether hardly anybody is left.
func (s ProtectedShare) Most() bool {
	return s.Rows > 0 && (10*s.Rows > 9*s.Of || s.Of-s.Rows < smallCell)
}

// ProtectedShares says of each entry whom it withholds, by the subjects as they are now; nil: none is declared. Nobody gets a number. Cost: the columns of the
// subjects that entries name.
func (j *Job) ProtectedShares(ctx context.Context) ([]ProtectedShare, error) {
	g := &j.Guards
	if len(g.Protected) == 0 {
		return nil, nil
	}
	out := make([]ProtectedShare, len(g.Protected))
	data := j.Subjects.Data
	data.Expect = expect.Set{}
	_, rows, err := event.ReadProtected(ctx, event.ProtectedPlan{Data: data, Columns: columnsOf(g.Protected), Numeric: j.Subjects.Numeric, Matches: func(row event.Row) bool {
		for i, e := range g.Protected {
			if meets(e, row) {
				out[i].Rows++
			}
		}
		return false
	}})
	for i := range out {
		out[i].Of = rows
	}
	return out, err
}

// meets reports whether a row meets all conditions of an entry.
func meets(e lists.Exclusion, row event.Row) bool {
	return e.Meets(func(column string) (string, float64) {
		number, ok := row.Number[column]
		if !ok {
			number = math.NaN()
		}
		return row.Text[column], number
	})
}

// lookForGuarded reads the sources. A row that breaks a rule of its source counts here: what is wrong with its price does not make an item less sensitive.
func (w *work) lookForGuarded(ctx context.Context, p *plan, out *guards) (err error) {
	g := &w.job.Guards
	if len(g.Sensitive) > 0 {
		data := w.job.Items.Data
		data.Expect = expect.Set{}
		columns := columnsOf(g.Sensitive)
		a, err := event.ReadAttributes(ctx, event.AttributesPlan{
			Data: data, Set: "items", Key: event.ColItem, Columns: columns, Numeric: w.job.Items.Numeric, Purpose: w.job.Training,
		})
		if err != nil {
			return fmt.Errorf("sensitive items: %w", err)
		}
		out.items = sensitiveOf(&a.Batch, g.Sensitive)
	}
	if len(g.Protected) > 0 {
		data := w.job.Subjects.Data
		data.Expect = expect.Set{}
		out.subjects, _, err = event.ReadProtected(ctx, event.ProtectedPlan{
			Data: data, Columns: columnsOf(g.Protected), Numeric: w.job.Subjects.Numeric, Identities: p.ids, Suppressions: p.sup,
			Matches: func(row event.Row) bool {
				return slices.ContainsFunc(g.Protected, func(e lists.Exclusion) bool { return meets(e, row) })
			},
		})
	}
	return err
}

// sensitiveOf returns the items of a snapshot that meet all conditions of one entry, ascending.
func sensitiveOf(rows *table.Batch, entries []lists.Exclusion) (out []string) {
	items := rows.Col(event.ColItem)
	for i := range rows.N {
		value := func(column string) (string, float64) {
			c := rows.Col(column)
			switch {
			case c == nil || c.Null(i):
				return "", math.NaN()
			case c.Float != nil:
				return "", c.Float[i]
			case c.Int != nil:
				return "", float64(c.Int[i])
			}
			return c.Text(i), math.NaN()
		}
		if slices.ContainsFunc(entries, func(e lists.Exclusion) bool { return e.Meets(value) }) {
			out = append(out, items.Str[i])
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// columnsOf are the columns that conditions name, ascending.
func columnsOf(entries []lists.Exclusion) (out []string) {
	for _, e := range entries {
		for _, c := range e {
			out = append(out, c.Column)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// lastGuards returns the newest snapshot, or an empty one.
func (w *work) lastGuards(ctx context.Context) (*guards, error) {
	last, err := w.lastNumbered(ctx, "guards")
	if err != nil {
		return nil, fmt.Errorf("sensitive items and protected subjects: %w", err)
	}
	out := &guards{key: last}
	if last == "" {
		return out, nil
	}
	c, _, err := w.tables.Lookup(ctx, last)
	if err != nil {
		return nil, fmt.Errorf("sensitive items and protected subjects: %w", err)
	}
	if out.facts, err = factsOf[guardFacts](c); err != nil {
		return nil, err
	}
	if m, ok := c.Outputs["sensitive"]; ok {
		if out.items, err = event.LoadSensitive(ctx, w.Bucket, m); err != nil {
			return nil, err
		}
	}
	if m, ok := c.Outputs["protected"]; ok {
		out.subjects, err = event.LoadProtected(ctx, w.Bucket, m)
	}
	return out, err
}

// guard brings what is sensitive and who is protected into the decisions of both purposes. by are those for the consent that sensitive items need; nil: there
// is none.
func (p *plan) guard(by *policy.Decisions) {
	if p.guards == nil {
		return
	}
	if by != nil {
		by = by.Protecting(p.guards.subjects)
	}
	p.trainingDecisions = p.trainingDecisions.Protecting(p.guards.subjects).Guarded(policy.NewSensitive(p.guards.items, by))
	if p.evaluationDecisions != nil {
		p.evaluationDecisions = p.evaluationDecisions.Protecting(p.guards.subjects)
	}
	if p.mitigationDecisions != nil {
		p.mitigationDecisions = p.mitigationDecisions.Protecting(p.guards.subjects)
	}
}

// audience is a digest of who is shown which sensitive items; "" where none are.
func (p *plan) audience() string { return p.trainingDecisions.Sensitive().Audience() }

// audienceInput is what of it is in the keys of the steps that make lists; nothing for a project without sensitive items.
func (p *plan) audienceInput() []string {
	if a := p.audience(); a != "" {
		return []string{"sensitive " + a}
	}
	return nil
}

// lapsed returns those who have had the consent to sensitive items and do not hold it now, while what is live was made for another audience than there is
// today. They are denied until lists are live that heed that, however long a gate or a pin keeps these waiting.
func (w *work) lapsed(ctx context.Context) map[policy.Subject]bool {
	out := map[policy.Subject]bool{}
	for s := range w.plan.trainingDecisions.Sensitive().Lapsed() {
		out[s] = true
	}
	if len(out) == 0 {
		return nil
	}
	if m, err := w.liveMeta(ctx); err == nil && m.Audience == w.plan.audience() { // what says nothing of its audience may hold anything
		return nil
	}
	return out
}

// readmit lets those back in whom lapsed, returned or outlived has kept out, now that other lists are live, and moves the horizon to what these do not carry.
func (w *work) readmit(ctx context.Context) error {
	w.next = nil
	if err := w.seeFurther(ctx); err != nil {
		return err
	}
	if w.early {
		return w.deny(ctx)
	}
	for range w.plan.trainingDecisions.Sensitive().Lapsed() {
		return w.deny(ctx)
	}
	for range w.plan.trainingDecisions.Returned() {
		return w.deny(ctx)
	}
	return nil
}

// positions returns where the sensitive items stand in the catalog of d, ascending.
func (d *dataset) positions(g *policy.Sensitive) (out []int32) {
	if g == nil {
		return nil
	}
	for i, id := range d.Catalog.IDs {
		if g.Has(id) {
			out = append(out, int32(i))
		}
	}
	return out
}
