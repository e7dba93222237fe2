package expect

import (
	"maps"
	"slices"
	"time"

	"github.com/rapport-ml/rapport/storage/table"
)

// Counts are what was found of a data set. The zero Counts is that of no rows. They merge in any order.
type Counts struct {
	Files   int                         `json:"files,omitempty"`
	Kept    int64                       `json:"kept"`              // rows
	Nulls   map[string]int64            `json:"nulls,omitempty"`   // column → rows that were kept without a value in it
	Bad     map[string]map[Reason]int64 `json:"bad,omitempty"`     // column ("" is the whole row) → reason → rows that were quarantined; of a row that is bad twice, the first
	Lacking map[string]int              `json:"lacking,omitempty"` // declared column → files that do not have it
	Columns map[string][]string         `json:"columns,omitempty"` // of the files → their types
	Newest  time.Time                   `json:"newest,omitzero"`   // row or file, to the minute
	Coarse  map[string]Coarse           `json:"coarse,omitempty"`  // column with a rule that makes its values coarser → what it did to them
}

// AddBad counts a row that is quarantined.
func (c *Counts) AddBad(column string, why Reason, rows int64) {
	if rows == 0 {
		return
	}
	if c.Bad == nil {
		c.Bad = map[string]map[Reason]int64{}
	}
	if c.Bad[column] == nil {
		c.Bad[column] = map[Reason]int64{}
	}
	c.Bad[column][why] += rows
}

// AddNulls counts rows that were kept without a value in a column.
func (c *Counts) AddNulls(column string, rows int64) {
	if rows == 0 {
		return
	}
	if c.Nulls == nil {
		c.Nulls = map[string]int64{}
	}
	c.Nulls[column] += rows
}

// Bounds of what is kept of the columns of files, whose names are untrusted.
const (
	maxColumns = 500
	maxName    = 200 // bytes
)

// AddFile counts a file with these columns, in which the declared columns of missing are not.
func (c *Counts) AddFile(columns []table.FileColumn, missing []string) {
	c.Files++
	for _, name := range missing {
		if c.Lacking == nil {
			c.Lacking = map[string]int{}
		}
		c.Lacking[name]++
	}
	for _, f := range columns {
		typ := f.Physical
		if f.Type != 0 {
			typ = f.Type.String()
		}
		c.addColumn(f.Name, typ)
	}
}

func (c *Counts) addColumn(name, typ string) {
	if len(name) > maxName {
		return
	}
	if c.Columns == nil {
		c.Columns = map[string][]string{}
	}
	if !slices.Contains(c.Columns[name], typ) {
		c.Columns[name] = slices.Sorted(slices.Values(append(c.Columns[name], typ)))
	}
}

// SeenAt notes a row or a file of time t.
func (c *Counts) SeenAt(t time.Time) {
	if t = t.UTC().Truncate(time.Minute); t.After(c.Newest) {
		c.Newest = t
	}
}

// Merge adds the counts of o to c.
func (c *Counts) Merge(o Counts) {
	c.Files += o.Files
	c.Kept += o.Kept
	for column, n := range o.Nulls {
		c.AddNulls(column, n)
	}
	for column, reasons := range o.Bad {
		for why, n := range reasons {
			c.AddBad(column, why, n)
		}
	}
	for column, n := range o.Lacking {
		if c.Lacking == nil {
			c.Lacking = map[string]int{}
		}
		c.Lacking[column] += n
	}
	for name, types := range o.Columns {
		for _, t := range types {
			c.addColumn(name, t)
		}
	}
	for column, n := range o.Coarse {
		c.AddCoarse(column, n)
	}
	if o.Newest.After(c.Newest) {
		c.Newest = o.Newest
	}
}

// Result returns the counts as they are committed: of more columns than a table has, the first by name.
func (c Counts) Result() Counts {
	if len(c.Columns) > maxColumns {
		few := map[string][]string{}
		for _, name := range slices.Sorted(maps.Keys(c.Columns))[:maxColumns] {
			few[name] = c.Columns[name]
		}
		c.Columns = few
	}
	return c
}

// Quarantined is how many rows were.
func (c Counts) Quarantined() (n int64) {
	for column := range c.Bad {
		n += c.QuarantinedFor(column)
	}
	return n
}

// QuarantinedFor is how many rows were for a column.
func (c Counts) QuarantinedFor(column string) (n int64) {
	for _, k := range c.Bad[column] {
		n += k
	}
	return n
}

// Rows is how many rows there were: kept and quarantined.
func (c Counts) Rows() int64 { return c.Kept + c.Quarantined() }
