package jobs

import (
	"maps"
	"math"
	"slices"

	"github.com/rapport-ml/rapport/features/aggregate"
	"github.com/rapport-ml/rapport/storage/table"
)

// ColumnProfile is what the values of a column look like, without any of them but the ends of a range of numbers.
type ColumnProfile struct {
	Column   string     `json:"column"`
	Type     table.Type `json:"type"`
	Rows     int64      `json:"rows"`
	Nulls    int64      `json:"nulls"`
	Min      *float64   `json:"min,omitempty"` // of numbers, where one of them is known
	P10      *float64   `json:"p10,omitempty"` // these three to 1 %
	Median   *float64   `json:"median,omitempty"`
	P90      *float64   `json:"p90,omitempty"`
	Max      *float64   `json:"max,omitempty"`
	Distinct int64      `json:"distinct"` // of values that are not null; an estimate, to 1.6 %
}

// profile describes columns as their batches come, in bounded memory: some 4 KiB a column, and its bins.
type profile struct {
	skip int // first columns that name entities
	cols []*columnProfile
}

type columnProfile struct {
	ColumnProfile
	least, most float64
	bins        map[int32]int64
	registers   [aggregate.RegisterNum]uint8
}

func newProfile(s table.Schema, skip int) *profile {
	p := &profile{skip: skip}
	for _, f := range s[skip:] {
		p.cols = append(p.cols, &columnProfile{ColumnProfile: ColumnProfile{Column: f.Name, Type: f.Type}, least: math.Inf(1), most: math.Inf(-1), bins: map[int32]int64{}})
	}
	return p
}

func (p *profile) add(b *table.Batch) {
	for k, c := range p.cols {
		col := &b.Cols[p.skip+k]
		c.Rows += int64(b.N)
		for i := range b.N {
			switch {
			case col.Null(i):
				c.Nulls++
			case c.Type == table.String:
				c.seen(aggregate.HashString(col.Text(i)))
			case col.Float != nil:
				c.number(col.Float[i])
			default:
				c.number(float64(col.Int[i]))
			}
		}
	}
}

func (c *columnProfile) number(x float64) {
	c.least, c.most = min(c.least, x), max(c.most, x)
	c.bins[aggregate.Bin(x)]++
	c.seen(aggregate.HashBits(math.Float64bits(x)))
}

func (c *columnProfile) seen(hash uint64) {
	register, rank := aggregate.Register(hash)
	c.registers[register] = max(c.registers[register], rank)
}

// columns returns what has been seen. bySubject tells that rows are of people: of fewer than smallCell of them no range is told.
func (p *profile) columns(bySubject bool) []ColumnProfile {
	out := make([]ColumnProfile, len(p.cols))
	for k, c := range p.cols {
		var ranks aggregate.Ranks
		for _, rank := range c.registers {
			ranks[rank]++
		}
		x := c.ColumnProfile
		x.Distinct = ranks.Estimate()
		if n := c.Rows - c.Nulls; n > 0 && (!bySubject || n >= smallCell) && c.Type != table.String {
			least, most := c.least, c.most
			x.Min, x.Max = &least, &most
			x.P10, x.Median, x.P90 = c.quantile(0.1, n), c.quantile(0.5, n), c.quantile(0.9, n)
		}
		out[k] = x
	}
	return out
}

// quantile is never outside the range: a bin's value may be.
func (c *columnProfile) quantile(q float64, n int64) *float64 {
	rank := aggregate.Rank(q, n)
	for _, bin := range slices.Sorted(maps.Keys(c.bins)) {
		if rank -= c.bins[bin]; rank < 0 {
			x := min(max(aggregate.BinValue(bin), c.least), c.most)
			if c.Type == table.Int64 {
				x = math.Round(x)
			}
			return &x
		}
	}
	return nil
}
