package expect

import (
	"cmp"
	"slices"

	"github.com/rapport-ml/rapport/storage/table"
)

// Place is where a quarantined row stands. It never holds a value.
type Place struct {
	File   string `json:"file"`
	Group  int    `json:"row_group"` // from 0; 0 in a file of text
	Row    int64  `json:"row"`       // in the file, from 0
	Column string `json:"column"`    // "" is the whole row
	Reason Reason `json:"reason"`
}

func (p Place) compare(q Place) int {
	return cmp.Or(cmp.Compare(p.File, q.File), cmp.Compare(p.Row, q.Row), cmp.Compare(p.Column, q.Column), cmp.Compare(p.Reason, q.Reason))
}

// MaxInFile and MaxPlaces bound how many places of a file, and of a day, are kept. Rows are counted all the same.
const (
	MaxInFile = 1000
	MaxPlaces = 10_000
)

// Places collects places in any order. Its memory is twice what it keeps.
type Places struct {
	all  []Place
	trim int // how many there may be before those are left out that no file's first are among
}

// Add notes a place.
func (p *Places) Add(at Place) {
	if p.all = append(p.all, at); len(p.all) > max(p.trim, 2*MaxInFile) {
		p.all = p.first()
		p.trim = 2 * len(p.all)
	}
}

// Merge adds the places of o.
func (p *Places) Merge(o Places) {
	for _, at := range o.all {
		p.Add(at)
	}
}

// first returns the first MaxInFile places of each file, by file and row.
func (p *Places) first() []Place {
	slices.SortFunc(p.all, Place.compare)
	var out []Place
	inFile := 0
	for i, at := range p.all {
		if i > 0 && at.File != p.all[i-1].File {
			inFile = 0
		}
		if inFile++; inFile <= MaxInFile {
			out = append(out, at)
		}
	}
	return out
}

// Result returns the first MaxInFile places of each file, and of those the first MaxPlaces, by file and row.
func (p *Places) Result() []Place {
	all := p.first()
	return all[:min(len(all), MaxPlaces)]
}

// PlaceSchema is the schema of a table of places.
var PlaceSchema = table.Schema{
	{Name: "file", Type: table.String},
	{Name: "row_group", Type: table.Int64},
	{Name: "row", Type: table.Int64},
	{Name: "column", Type: table.String},
	{Name: "reason", Type: table.String},
}

// PlaceOrder is the order in which a table of places is sorted.
var PlaceOrder = []string{"file", "row", "column", "reason"}

// Batch returns places as rows of PlaceSchema.
func Batch(places []Place) *table.Batch {
	b := &table.Batch{Schema: PlaceSchema, N: len(places), Cols: make([]table.Column, len(PlaceSchema))}
	for _, p := range places {
		b.Cols[0].Str = append(b.Cols[0].Str, p.File)
		b.Cols[1].Int = append(b.Cols[1].Int, int64(p.Group))
		b.Cols[2].Int = append(b.Cols[2].Int, p.Row)
		b.Cols[3].Str = append(b.Cols[3].Str, p.Column)
		b.Cols[4].Str = append(b.Cols[4].Str, string(p.Reason))
	}
	return b
}

// FromBatch is the inverse of Batch.
func FromBatch(b *table.Batch) []Place {
	out := make([]Place, b.N)
	for i := range out {
		out[i] = Place{
			b.Col("file").Str[i], int(b.Col("row_group").Int[i]), b.Col("row").Int[i], b.Col("column").Str[i], Reason(b.Col("reason").Str[i]),
		}
	}
	return out
}
