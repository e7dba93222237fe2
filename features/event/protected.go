package event

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// ProtectedPlan says how those are found who are never profiled.
type ProtectedPlan struct {
	Data         DataSet
	Columns      []string           // attributes that tell who is protected; they are read for this alone, and not kept
	Numeric      []string           // those of them that hold numbers
	Matches      func(row Row) bool // it may not keep the row
	Identities   *Identities
	Suppressions *Suppressions
}

// Row is the values of one row: of a text "" and of a number NaN is none.
type Row struct {
	Text   map[string]string
	Number map[string]float64
}

// ReadProtected returns the numbers of the protected subjects, ascending: of those of whom a row matches. They get a number if they have none, so that
// they are recognized wherever they come; somebody who was erased and has not come back gets none. New numbers are buffered: Flush Identities.
func ReadProtected(ctx context.Context, p ProtectedPlan) (subjects []policy.Subject, rows int64, err error) {
	fail := func(err error) ([]policy.Subject, int64, error) {
		return nil, rows, fmt.Errorf("read who is protected: %w", err)
	}
	objs, err := p.Data.list(ctx)
	if err != nil {
		return fail(err)
	}
	schema := table.Schema{{Name: ColSubject, Type: table.Int64}}
	wants := []table.Want{{Name: p.Data.column(ColSubject), Type: table.String}}
	for _, c := range p.Columns {
		t := table.String
		if slices.Contains(p.Numeric, c) {
			t = table.Float64
		}
		// A column that is missing would leave everybody unprotected.
		wants, schema = append(wants, table.Want{Name: p.Data.column(c), Type: t, TimeText: true}), append(schema, table.Field{Name: c, Type: t})
	}
	found := map[policy.Subject]bool{}
	var counts expect.Counts
	var values attributeRow
	row := Row{Text: map[string]string{}, Number: map[string]float64{}}
	for r, err := range p.Data.scan(ctx, objs, wants, &counts) {
		if err != nil {
			return fail(err)
		}
		rows++
		id, ok := idAt(&r.b.Cols[0], r.i)
		if !ok {
			continue
		}
		if err := values.fill(r, schema); err != nil {
			return fail(err)
		}
		for j, f := range schema[1:] {
			if f.Type == table.String {
				row.Text[f.Name] = values.text[j]
			} else {
				row.Number[f.Name] = values.number[j]
			}
		}
		if !p.Matches(row) {
			continue
		}
		s, known := p.Identities.Find(id)
		if _, erased := p.Suppressions.ErasedAt(id); !known && erased {
			continue
		}
		if !known {
			if s, err = p.Identities.Number(id); err != nil {
				return fail(err)
			}
		}
		found[s] = true
		for _, other := range p.Identities.Beside(id, s) {
			found[other] = true
		}
	}
	for s := range found {
		subjects = append(subjects, s)
	}
	slices.Sort(subjects)
	return subjects, rows, nil
}

// guardSchemas are the tables of a snapshot of who is protected and which items are sensitive.
var (
	protectedSchema = table.Schema{{Name: ColSubject, Type: table.Int64}}
	sensitiveSchema = table.Schema{{Name: ColItem, Type: table.String}}
)

// StoreProtected writes the numbers of protected subjects as a content-addressed table under prefix.
func StoreProtected(ctx context.Context, b storage.Bucket, prefix string, subjects []policy.Subject) (table.Manifest, error) {
	return storeSnapshot(ctx, b, prefix, "who is protected", protectedSchema, []string{ColSubject}, subjects, func(cols []table.Column, s policy.Subject) {
		cols[0].Int = append(cols[0].Int, int64(s))
	})
}

// LoadProtected reads what StoreProtected wrote, ascending.
func LoadProtected(ctx context.Context, b storage.Bucket, m table.Manifest) ([]policy.Subject, error) {
	return loadSnapshot(ctx, b, m, "who is protected", cmp.Compare[policy.Subject], func(c []table.Column, i int) policy.Subject { return policy.Subject(c[0].Int[i]) })
}

// StoreSensitive writes the sensitive items as a content-addressed table under prefix.
func StoreSensitive(ctx context.Context, b storage.Bucket, prefix string, items []string) (table.Manifest, error) {
	w := table.NewWriter(b, prefix, sensitiveSchema, table.WriteOptions{SortBy: []string{ColItem}})
	if err := w.Append(&table.Batch{Schema: sensitiveSchema, N: len(items), Cols: []table.Column{{Str: items}}}); err != nil {
		return table.Manifest{}, fmt.Errorf("store sensitive items: %w", err)
	}
	m, err := w.Finish(ctx)
	if err != nil {
		return table.Manifest{}, fmt.Errorf("store sensitive items: %w", err)
	}
	return m, nil
}

// LoadSensitive reads what StoreSensitive wrote, ascending.
func LoadSensitive(ctx context.Context, b storage.Bucket, m table.Manifest) ([]string, error) {
	return loadSnapshot(ctx, b, m, "sensitive items", cmp.Compare[string], func(c []table.Column, i int) string { return c[0].Str[i] })
}
