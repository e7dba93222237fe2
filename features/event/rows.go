package event

import (
	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage/table"
)

// rows collects minimized rows: what may leave this package.
type rows struct {
	batch  table.Batch
	coarse []*Coarsening   // by column, of what is added of raw rows; nil: none is made coarser
	did    []expect.Coarse // what they did
}

func newRows(s table.Schema, coarse []*Coarsening) *rows {
	return &rows{batch: table.Batch{Schema: s, Cols: make([]table.Column, len(s))}, coarse: coarse, did: make([]expect.Coarse, len(coarse))}
}

func (r *rows) reset() {
	r.batch.N = 0
	for i := range r.batch.Cols {
		c := &r.batch.Cols[i]
		c.Int, c.Float, c.Str, c.Valid = c.Int[:0], c.Float[:0], c.Str[:0], nil
	}
}

// renew leaves the memory of the rows to who has taken them.
func (r *rows) renew() { r.batch = newRows(r.batch.Schema, nil).batch }

// add appends row i of c as an event of s, of the given kind. It is the only place where a raw row becomes a minimized one.
func (r *rows) add(c bound, i int, s policy.Subject, item string, t int64, kind string) {
	cols := r.batch.Cols
	cols[0].Int = append(cols[0].Int, int64(s))
	cols[1].Str = append(cols[1].Str, item)
	cols[2].Int = append(cols[2].Int, t)
	cols[3].Str = append(cols[3].Str, kind)
	r.copy(4, c.value, i)
	context := len(cols) - len(c.context)
	if context > 5 {
		r.copy(5, c.created, i)
	}
	for j, col := range c.context {
		r.copy(context+j, col, i)
	}
	for j, rule := range r.coarse {
		if rule != nil {
			rule.apply(r.batch.Schema[j].Type, &cols[j], r.batch.N, &r.did[j])
		}
	}
	r.batch.N++
}

// take appends row i of a minimized batch of the same schema.
func (r *rows) take(b *table.Batch, i int) {
	for j := range b.Cols {
		r.copy(j, &b.Cols[j], i)
	}
	r.batch.N++
}

// copy appends row i of from to column j as row N: a null if from is nil, and for empty text as well, since writers do not agree on
// which of the two a missing text is.
func (r *rows) copy(j int, from *table.Column, i int) {
	to := &r.batch.Cols[j]
	null := from == nil || from.Null(i)
	switch r.batch.Schema[j].Type {
	case table.Float64:
		var v float64
		if !null {
			v = from.Float[i]
		}
		to.Float = append(to.Float, v)
	case table.Time, table.Int64:
		var v int64
		if !null {
			v = from.Int[i]
		}
		to.Int = append(to.Int, v)
	default:
		var v string
		if !null {
			v = from.Str[i]
			null = v == ""
		}
		to.Str = append(to.Str, v)
	}
	r.setValid(to, !null)
}

// setValid says whether row N of a column holds a value.
func (r *rows) setValid(c *table.Column, ok bool) {
	if c.Valid == nil {
		if ok {
			return
		}
		c.Valid = make([]bool, r.batch.N, cap(c.Valid)+r.batch.N+1)
		for i := range c.Valid {
			c.Valid[i] = true
		}
	}
	c.Valid = append(c.Valid, ok)
}
