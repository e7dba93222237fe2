package eval

import (
	"fmt"
	"math"
	"slices"

	"github.com/rapport-ml/rapport/storage/table"
)

// PoolSchema is a Pool as a table: for each cell a row a replicate without contender and metric, which has the cell's n and weights, and for each
// of its figures a row a replicate. n, sum and square stand with replicate 0 alone; a figure without weights of its own has none.
var PoolSchema = table.Schema{
	{Name: "cohort", Type: table.String},
	{Name: "level", Type: table.String},
	{Name: "contender", Type: table.String},
	{Name: "metric", Type: table.String},
	{Name: "replicate", Type: table.Int64},
	{Name: "seed", Type: table.String},
	{Name: "n", Type: table.Int64},
	{Name: "sum", Type: table.Float64},
	{Name: "square", Type: table.Float64},
	{Name: "weight", Type: table.Float64},
	{Name: "sums", Type: table.Float64},
}

// PoolOrder is the order of a Pool's rows, in which no two are alike.
var PoolOrder = []string{"cohort", "level", "contender", "metric", "replicate"}

// maxPool bounds the replicates of a pool that is read.
const maxPool = 1 << 16

// Batch returns the pool as rows of PoolSchema.
func (p *Pool) Batch() *table.Batch {
	b := &table.Batch{Schema: PoolSchema, Cols: make([]table.Column, len(PoolSchema))}
	seed := fmt.Sprint(p.Seed) // a table's whole numbers have 63 bits
	add := func(c *PoolCell, f *PoolFigure) {
		n, contender, metric, sum, square := c.N, "", "", 0.0, 0.0
		weight, sums := c.Weight, []float64(nil)
		if f != nil {
			n, contender, metric, sum, square, weight, sums = f.N, f.Contender, f.Metric, f.Sum, f.Square, f.Weight, f.Sums
		}
		for r := range max(len(weight), len(sums)) {
			for i, s := range []string{c.Cohort, c.Level, contender, metric} {
				b.Cols[i].Str = append(b.Cols[i].Str, s)
			}
			b.Cols[4].Int = append(b.Cols[4].Int, int64(r))
			b.Cols[5].Str = append(b.Cols[5].Str, seed)
			b.Cols[6].Int = append(b.Cols[6].Int, int64(n))
			b.Cols[6].Valid = append(b.Cols[6].Valid, r == 0)
			for i, x := range []float64{sum, square} {
				b.Cols[7+i].Float = append(b.Cols[7+i].Float, x)
				b.Cols[7+i].Valid = append(b.Cols[7+i].Valid, r == 0 && f != nil)
			}
			for i, xs := range [][]float64{weight, sums} {
				x := 0.0
				if xs != nil {
					x = xs[r]
				}
				b.Cols[9+i].Float = append(b.Cols[9+i].Float, x)
				b.Cols[9+i].Valid = append(b.Cols[9+i].Valid, xs != nil)
			}
			b.N++
		}
	}
	for i := range p.Cells {
		c := &p.Cells[i]
		add(c, nil)
		for j := range c.Figures {
			add(c, &c.Figures[j])
		}
	}
	return b
}

// Add takes rows of PoolSchema, in PoolOrder, into the pool. It may be called for one batch after another; Merge then refuses a pool that lacks some.
func (p *Pool) Add(b *table.Batch) error {
	for i, f := range PoolSchema {
		if i >= len(b.Schema) || b.Schema[i] != f {
			return fmt.Errorf("read pooled figures: column %d is not %s", i, f.Name)
		}
	}
	for i := range b.N {
		cohort, level, contender, metric := b.Cols[0].Text(i), b.Cols[1].Text(i), b.Cols[2].Text(i), b.Cols[3].Text(i)
		seed, r := b.Cols[5].Text(i), b.Cols[4].Int[i]
		fault := func(what string) error {
			return fmt.Errorf("read pooled figures: %s of %q in %s=%s, replicate %d: %s", metric, contender, cohort, level, r, what)
		}
		if len(p.Cells) == 0 && contender == "" && r == 0 {
			if _, err := fmt.Sscan(seed, &p.Seed); err != nil {
				return fault("the seed is no number")
			}
		}
		if seed != fmt.Sprint(p.Seed) {
			return fault("another seed")
		}
		c := p.cell(cohort, level)
		var f *PoolFigure
		switch {
		case contender == "" && r == 0:
			if c != nil {
				return fault("a cell twice")
			}
			p.Cells = append(p.Cells, PoolCell{Cohort: cohort, Level: level, N: int(b.Cols[6].Int[i])})
			c = &p.Cells[len(p.Cells)-1]
		case c == nil:
			return fault("a figure without its cell")
		case contender != "":
			if f = c.figure(contender, metric); r == 0 {
				if f != nil {
					return fault("a figure twice")
				}
				c.Figures = append(c.Figures, PoolFigure{Contender: contender, Metric: metric, N: int(b.Cols[6].Int[i]), Sum: b.Cols[7].Float[i], Square: b.Cols[8].Float[i]})
				f = &c.Figures[len(c.Figures)-1]
			}
			if f == nil {
				return fault("out of order")
			}
		}
		weight, at := &c.Weight, len(c.Weight)
		if f != nil {
			weight, at = &f.Weight, len(f.Sums)
			f.Sums = append(f.Sums, b.Cols[10].Float[i])
		}
		if int64(at) != r || at >= maxPool {
			return fault("out of order")
		}
		if !b.Cols[9].Null(i) {
			*weight = append(*weight, b.Cols[9].Float[i])
		}
		for _, x := range []float64{b.Cols[9].Float[i], b.Cols[10].Float[i]} {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				return fault("no number")
			}
		}
	}
	return nil
}

// Unlike says why two pools do not belong together: they hold other metrics of other contenders over everybody, so that figures which only one of them has would be compared with
// those that both have, or their replicates are others. It is "" of two that do.
func (p *Pool) Unlike(other *Pool) Omission {
	names := func(p *Pool) (out []string) {
		if c := p.cell("", ""); c != nil {
			for _, f := range c.Figures {
				out = append(out, f.Contender+" "+f.Metric)
			}
		}
		slices.Sort(out)
		return out
	}
	switch {
	case p.Seed != other.Seed || p.replicates() != other.replicates():
		return OtherDraws
	case !slices.Equal(names(p), names(other)):
		return OtherContenders
	}
	return ""
}
