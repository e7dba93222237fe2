package local

import (
	"fmt"
	"math"
	"slices"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

// chunk is a batch after reading: only the rows within the longest window, only what the views need. Workers read it, nobody writes it.
type chunk struct {
	age   []int64    // µs from the event to the end, > 0
	kind  []uint16   // program.kinds
	lanes []laneData // parallel to program.lanes
	// rows lists the rows of each shard, by position in program.keys. Rows without that key stand with shard 0, which counts them.
	rows [][][]int32
}

// laneData is one lane of a chunk: one of id and num is set, by the lane's form.
type laneData struct {
	id    []uint64
	num   []float64
	state []state
}

// state says whether a value can be used.
type state uint8

const (
	null state = iota
	usable
	refused // not computable (features.Computable)
)

// reader turns batches into chunks.
type reader struct {
	prog   *program
	shards int
	dicts  map[string]*dict      // by column
	types  map[string]table.Type // by column, as first seen

	kept, outside, timeless int64
	keep                    []int32 // scratch: the rows of the batch that are kept
}

// dict numbers the strings of one column in the order of their coming.
type dict struct {
	ids   map[string]uint64
	names []string
}

func (d *dict) id(s string) uint64 {
	id, ok := d.ids[s]
	if !ok {
		id = uint64(len(d.names))
		d.ids[s] = id
		d.names = append(d.names, s)
	}
	return id
}

func newReader(p *program, shards int) *reader {
	return &reader{prog: p, shards: shards, dicts: map[string]*dict{}, types: map[string]table.Type{}}
}

// read returns the chunk of a batch, nil if no row lies in the window.
func (r *reader) read(b *table.Batch) (*chunk, error) {
	at, err := r.column(b, "time", "every view", table.Time)
	if err != nil {
		return nil, err
	}
	r.keep = r.keep[:0]
	for i := range b.N {
		switch t := at.Int[i]; {
		case at.Null(i):
			r.timeless++
		case t < r.prog.start || t >= r.prog.end:
			r.outside++
		default:
			r.keep = append(r.keep, int32(i))
		}
	}
	if len(r.keep) == 0 {
		return nil, nil
	}
	r.kept += int64(len(r.keep))

	c := &chunk{age: make([]int64, len(r.keep)), lanes: make([]laneData, len(r.prog.lanes))}
	for i, row := range r.keep {
		c.age[i] = r.prog.end - at.Int[row]
	}
	if c.kind, err = r.kinds(b); err != nil {
		return nil, err
	}
	for i, l := range r.prog.lanes {
		if c.lanes[i], err = r.lane(b, l); err != nil {
			return nil, err
		}
	}
	c.rows = make([][][]int32, len(r.prog.keys))
	for i, l := range r.prog.keys {
		c.rows[i] = r.partition(&c.lanes[l])
	}
	return c, nil
}

// kinds returns the kind of each kept row, nil if no view asks for one.
func (r *reader) kinds(b *table.Batch) ([]uint16, error) {
	if len(r.prog.kinds) == 0 {
		return nil, nil
	}
	col, err := r.column(b, "kind", "a filter", table.String)
	if err != nil {
		return nil, err
	}
	kinds := make([]uint16, len(r.keep))
	for i, row := range r.keep {
		if !col.Null(int(row)) {
			kinds[i] = r.prog.kinds[col.Str[row]]
		}
	}
	return kinds, nil
}

// lane returns one lane of the kept rows.
func (r *reader) lane(b *table.Batch, l lane) (laneData, error) {
	d := laneData{state: make([]state, len(r.keep))}
	var (
		col *table.Column
		err error
	)
	if l.form == number {
		col, err = r.column(b, l.column, l.reader, table.Float64, table.Int64, table.Bool)
		d.num = make([]float64, len(r.keep))
	} else {
		col, err = r.column(b, l.column, l.reader, identityTypes[l.column]...)
		d.id = make([]uint64, len(r.keep))
	}
	if err != nil {
		return d, err
	}
	for i, row := range r.keep {
		if col.Null(int(row)) {
			continue
		}
		d.state[i] = usable
		if col.Float == nil {
			continue
		}
		if !features.Computable(col.Float[row]) {
			d.state[i] = refused
		}
	}
	switch {
	case l.form == number && col.Float != nil:
		for i, row := range r.keep {
			d.num[i] = col.Float[row] + 0 // −0 becomes 0
		}
	case l.form == number:
		for i, row := range r.keep {
			d.num[i] = float64(col.Int[row])
		}
	case col.Float != nil:
		for i, row := range r.keep {
			d.id[i] = math.Float64bits(col.Float[row] + 0)
		}
	case col.Int != nil:
		for i, row := range r.keep {
			d.id[i] = uint64(col.Int[row])
		}
	default:
		dict := r.dict(l.column)
		for i, row := range r.keep {
			if d.state[i] == usable {
				d.id[i] = dict.id(col.Str[row])
			}
		}
	}
	return d, nil
}

// identityTypes are the types of the columns that every event has; a context column may have any.
var identityTypes = map[string][]table.Type{
	features.KeySubject: {table.Int64},
	features.KeyItem:    {table.String},
	"kind":              {table.String},
	"value":             {table.Float64},
}

func (r *reader) dict(column string) *dict {
	d := r.dicts[column]
	if d == nil {
		d = &dict{ids: map[string]uint64{}}
		r.dicts[column] = d
	}
	return d
}

// partition lists the kept rows of each shard.
func (r *reader) partition(key *laneData) [][]int32 {
	rows := make([][]int32, r.shards)
	for i := range rows {
		rows[i] = make([]int32, 0, len(key.id)/r.shards+len(key.id)/8+8)
	}
	for i, id := range key.id {
		s := 0
		if key.state[i] == usable {
			s = shardOf(id, r.shards)
		}
		rows[s] = append(rows[s], int32(i))
	}
	return rows
}

// shardOf spreads keys over n shards by Fibonacci hashing: the top 32 bits of key·2^64/φ, scaled to n.
func shardOf(key uint64, n int) int { return int(key * 0x9e3779b97f4a7c15 >> 32 * uint64(n) >> 32) }

// column returns a column of the batch, checked for presence, type (any if none is named, but the same in every batch) and length.
func (r *reader) column(b *table.Batch, name, reader string, types ...table.Type) (*table.Column, error) {
	i := b.Schema.Index(name)
	if i < 0 {
		return nil, fmt.Errorf("events have no column %q, which %s reads: map it in the source, and let the purpose read it", name, reader)
	}
	t, col := b.Schema[i].Type, &b.Cols[i]
	if len(types) > 0 && !slices.Contains(types, t) {
		return nil, fmt.Errorf("column %q of the events has type %s, which %s can't read", name, t, reader)
	}
	if was, ok := r.types[name]; ok && was != t {
		return nil, fmt.Errorf("column %q of the events has type %s here and %s before: give all files one type", name, t, was)
	}
	r.types[name] = t
	n := len(col.Int)
	switch t {
	case table.Float64:
		n = len(col.Float)
	case table.String:
		n = len(col.Str)
	}
	if n != b.N || col.Valid != nil && len(col.Valid) != b.N {
		return nil, fmt.Errorf("column %q of the events has %d values in a batch of %d rows: the source is broken", name, n, b.N)
	}
	return col, nil
}
