package local

import (
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/aggregate"
	"github.com/rapport-ml/rapport/storage/table"
)

// runRows is how many rows of a batch are turned into lanes at a time: few enough that the lanes stay in the cache.
const runRows = 4096

// reader turns runs of rows into lanes, for one worker. A lane is computed when it is first asked for in a run.
type reader struct {
	prog  *program
	types *columnTypes
	seen  []table.Type // by column, as the worker last saw it
	cols  []table.Column
	hashs []translation[uint64] // by column: identities
	names []translation[uint16] // by column: numbers of named values
	codes []translation[uint32]
	packs []translation[packed]
	seens []lately // by column: numbers

	// The run: rows [lo, hi) of the batch.
	lo, hi int
	run    int64 // counts runs, from 1
	lanes  []laneData
	named  []namedData
}

// laneData is a lane of a run. Where bad is not nil it says of each row what its word is worth.
type laneData struct {
	run     int64 // for which it was computed
	words   []uint64
	bad     []state
	refused bool // a row is refused

	wordsBuf []uint64
	badBuf   []state
}

type namedData struct {
	run     int64
	numbers []uint16
}

// state says whether a word of a lane is a value.
type state uint8

const (
	usable state = iota
	null
	refused // not to be computed with
)

// columnTypes is the type of each column, as the first batch had it.
type columnTypes struct {
	mu    sync.Mutex
	types []table.Type
}

func newReader(p *program, types *columnTypes) *reader {
	n := len(p.columns)
	return &reader{
		prog: p, types: types, seen: make([]table.Type, n), cols: make([]table.Column, n), hashs: make([]translation[uint64], n),
		names: make([]translation[uint16], n), codes: make([]translation[uint32], n), packs: make([]translation[packed], n), seens: make([]lately, n),
		lanes: make([]laneData, len(p.lanes)), named: make([]namedData, n),
	}
}

// batch takes a new batch, whose columns at the positions in need are going to be read, and checks them.
func (r *reader) batch(b *table.Batch, need []int) error {
	for _, c := range need {
		col, err := r.column(b, c)
		if err != nil {
			return err
		}
		r.cols[c] = *col
	}
	return nil
}

// column returns a column of the batch, checked for presence, type and length.
func (r *reader) column(b *table.Batch, at int) (*table.Column, error) {
	c := &r.prog.columns[at]
	i := b.Schema.Index(c.name)
	if i < 0 || i >= len(b.Cols) {
		return nil, fmt.Errorf("events have no column %q, which %s reads: map it in the source, and let the purpose read it", c.name, c.reader)
	}
	t, col := b.Schema[i].Type, &b.Cols[i]
	if t != r.seen[at] {
		if !slices.Contains(c.types, t) {
			return nil, fmt.Errorf("column %q of the events has type %s, which %s can't read", c.name, t, c.reader)
		}
		r.types.mu.Lock()
		was := r.types.types[at]
		r.types.types[at] = t
		r.types.mu.Unlock()
		if was != 0 && was != t {
			return nil, fmt.Errorf("column %q of the events has type %s here and %s elsewhere: give all files one type", c.name, t, was)
		}
		r.seen[at] = t
	}
	n := len(col.Int)
	switch t {
	case table.Float64:
		n = len(col.Float)
	case table.String:
		n = len(col.Str)
		if col.Code != nil {
			n = len(col.Code)
		}
	}
	if n != b.N || col.Valid != nil && len(col.Valid) != b.N {
		return nil, fmt.Errorf("column %q of the events has %d values in a batch of %d rows: the source is broken", c.name, n, b.N)
	}
	for j, code := range col.Code {
		if uint32(code) >= uint32(len(col.Dict)) && !col.Null(j) {
			return nil, fmt.Errorf("column %q of the events has a code beyond its dictionary of %d values: the source is broken", c.name, len(col.Dict))
		}
	}
	return col, nil
}

// start begins a run of the batch's rows [lo, hi).
func (r *reader) start(lo, hi int) {
	r.lo, r.hi = lo, hi
	r.run++
}

// lane returns a lane of the run.
func (r *reader) lane(at int) *laneData {
	d := &r.lanes[at]
	if d.run == r.run {
		return d
	}
	d.run = r.run
	n := r.hi - r.lo
	if cap(d.wordsBuf) < n {
		d.wordsBuf = make([]uint64, max(n, runRows))
	}
	d.words, d.bad, d.refused = d.wordsBuf[:n], nil, false
	switch l := &r.prog.lanes[at]; l.form {
	case identity:
		r.identities(d, l)
	case number:
		r.numbers(d, l)
	case product:
		r.products(d, l)
	case decaying:
		r.terms(d, l)
	case textCode:
		r.texts(d, l)
	case moment:
		r.moments(d, l)
	case packedHead:
		r.pack(d, r.lane(l.of), l)
	case packedTail: // with its head
	case ordinal:
		r.ordinals(d, r.lane(l.of), l)
	}
	return d
}

// nulls marks the nulls of a column, whose words are 0 from then on.
func (r *reader) nulls(d *laneData, c *table.Column) {
	if c.Valid == nil {
		return
	}
	valid := c.Valid[r.lo:r.hi]
	if !slices.Contains(valid, false) {
		return
	}
	bad, words := d.marks()[:len(valid)], d.words[:len(valid)]
	for i, ok := range valid {
		s := null
		if ok {
			s = usable
		}
		bad[i] = s
		words[i] &= uint64(s) - 1 // null is 1
	}
}

// marks returns d.bad, all usable if it was nil.
func (d *laneData) marks() []state {
	if d.bad == nil {
		if cap(d.badBuf) < len(d.words) {
			d.badBuf = make([]state, max(len(d.words), runRows))
		}
		d.bad = d.badBuf[:len(d.words)]
		clear(d.bad)
	}
	return d.bad
}

// mark says that row i of the run has no value. Its word is 0 from then on.
func (d *laneData) mark(i int, s state) {
	d.marks()[i] = s
	d.words[i] = 0
	d.refused = d.refused || s == refused
}

func (r *reader) identities(d *laneData, l *lane) {
	c := &r.cols[l.column]
	w := d.words
	switch {
	case c.Code != nil:
		hash := r.hashs[l.column].of(c.Dict, aggregate.HashString)
		for i, code := range c.Code[r.lo:r.hi] {
			if uint(code) < uint(len(hash)) {
				w[i] = hash[code]
			}
		}
	case c.Str != nil:
		for i, s := range c.Str[r.lo:r.hi] {
			w[i] = aggregate.HashString(s)
		}
	case c.Float != nil:
		for i, x := range c.Float[r.lo:r.hi] {
			w[i] = math.Float64bits(x + 0) // −0 becomes 0
		}
	default:
		for i, x := range c.Int[r.lo:r.hi] {
			w[i] = uint64(x)
		}
	}
	r.nulls(d, c)
	if c.Float != nil {
		r.refuse(d, c.Float[r.lo:r.hi])
	}
}

// refuse marks the floats that can't be computed with.
func (r *reader) refuse(d *laneData, xs []float64) {
	for i, x := range xs {
		if !(math.Abs(x) <= features.MaxValue) && (d.bad == nil || d.bad[i] == usable) {
			d.mark(i, refused)
		}
	}
}

func (r *reader) numbers(d *laneData, l *lane) {
	c := &r.cols[l.column]
	w := d.words
	if c.Float != nil {
		xs := c.Float[r.lo:r.hi]
		worst := 0.0
		for i, x := range xs {
			w[i] = math.Float64bits(x + 0)
			worst = max(worst, math.Abs(x)) // NaN if one is
		}
		r.nulls(d, c)
		if !(worst <= features.MaxValue) {
			r.refuse(d, xs)
		}
		return
	}
	xs := c.Int[r.lo:r.hi]
	large := uint64(0)
	for i, x := range xs {
		w[i] = math.Float64bits(float64(x))
		large |= uint64(x + features.MaxInteger)
	}
	r.nulls(d, c)
	if large > 2*features.MaxInteger { // or one is exactly the largest
		for i, x := range xs {
			if (x > features.MaxInteger || x < -features.MaxInteger) && (d.bad == nil || d.bad[i] == usable) {
				d.mark(i, refused)
			}
		}
	}
}

// products computes weights by kind, or their products with a number.
func (r *reader) products(d *laneData, l *lane) {
	var of *laneData
	if l.of >= 0 {
		of = r.lane(l.of)
	}
	for i, k := range r.numbersOf(l.kind) {
		if int(k) >= len(l.weights) || !l.weights[k].counts {
			d.mark(i, null)
			continue
		}
		x := &l.weights[k]
		if !x.explicit {
			d.words[i] = math.Float64bits(x.weight + 0)
			continue
		}
		if of.bad != nil && of.bad[i] != usable {
			d.mark(i, of.bad[i])
			continue
		}
		y := float64(x.weight * math.Float64frombits(of.words[i]))
		if !features.Computable(y) {
			d.mark(i, refused)
			continue
		}
		d.words[i] = math.Float64bits(y + 0)
	}
}

// terms computes the terms of a decayed sum.
func (r *reader) terms(d *laneData, l *lane) {
	var of *laneData
	if l.of >= 0 {
		of = r.lane(l.of)
	}
	for i, t := range r.cols[timeColumn].Int[r.lo:r.hi] {
		w := 1.0
		if of != nil {
			if of.bad != nil && of.bad[i] != usable {
				d.mark(i, of.bad[i])
				continue
			}
			if w = math.Float64frombits(of.words[i]); !aggregate.Decayable(w) {
				d.mark(i, refused)
				continue
			}
		}
		d.words[i] = math.Float64bits(l.decay.Term(w, t, l.base))
	}
}

// noCode stands for the number of a text that no row has had yet: a file's dictionary may hold many that none of the rows that are read has.
const noCode = math.MaxUint32

// texts numbers the texts of a column that come out again.
func (r *reader) texts(d *laneData, l *lane) {
	c, dict := &r.cols[l.column], r.prog.columns[l.column].dict
	r.nulls(d, c)
	if c.Code != nil {
		codes := r.codes[l.column].of(c.Dict, func(string) uint32 { return noCode })
		for i, code := range c.Code[r.lo:r.hi] {
			if uint(code) >= uint(len(codes)) || d.bad != nil && d.bad[i] != usable {
				continue
			}
			if codes[code] == noCode {
				codes[code] = dict.code(c.Dict[code])
			}
			d.words[i] = uint64(codes[code])
		}
		return
	}
	last, code := "", dict.code("")
	for i, s := range c.Str[r.lo:r.hi] {
		if d.bad != nil && d.bad[i] != usable {
			continue
		}
		if s != last {
			last, code = s, dict.code(s)
		}
		d.words[i] = uint64(code)
	}
}

// pack sets both lanes of a text as a key.
func (r *reader) pack(head, tail *laneData, l *lane) {
	c := &r.cols[l.column]
	if c.Code != nil {
		packs := r.packs[l.column].of(c.Dict, packText)
		for i, code := range c.Code[r.lo:r.hi] {
			if uint(code) < uint(len(packs)) {
				head.words[i], tail.words[i] = packs[code].head, packs[code].tail
			}
		}
	} else {
		for i, s := range c.Str[r.lo:r.hi] {
			p := packText(s)
			head.words[i], tail.words[i] = p.head, p.tail
		}
	}
	r.nulls(head, c)
}

// ordinals numbers the values of a lane of identities.
func (r *reader) ordinals(d, of *laneData, l *lane) {
	seen, t := &r.seens[l.column], r.prog.columns[l.column].numbering
	if d.bad = of.bad; d.bad == nil {
		for i, word := range of.words {
			d.words[i] = uint64(seen.number(t, word))
		}
		return
	}
	for i, word := range of.words {
		if of.bad[i] != usable {
			d.words[i] = 0
			continue
		}
		d.words[i] = uint64(seen.number(t, word))
	}
}

func (r *reader) moments(d *laneData, l *lane) {
	for i, t := range r.cols[l.column].Int[r.lo:r.hi] {
		d.words[i] = uint64(t)
	}
}

// numbersOf returns the numbers of a column's named values in the run.
func (r *reader) numbersOf(at int) []uint16 {
	d := &r.named[at]
	if d.run == r.run {
		return d.numbers
	}
	d.run = r.run
	n := r.hi - r.lo
	if cap(d.numbers) < n {
		d.numbers = make([]uint16, max(n, runRows))
	}
	d.numbers = d.numbers[:n]
	c, names := &r.cols[at], r.prog.columns[at].numbers
	number := func(s string) uint16 {
		if k, ok := names[s]; ok {
			return k
		}
		return otherValue
	}
	if c.Code != nil {
		of := r.names[at].of(c.Dict, number)
		for i, code := range c.Code[r.lo:r.hi] {
			if uint(code) < uint(len(of)) {
				d.numbers[i] = of[code]
			}
		}
	} else {
		last, k := "", number("")
		for i, s := range c.Str[r.lo:r.hi] {
			if s != last {
				last, k = s, number(s)
			}
			d.numbers[i] = k
		}
	}
	if c.Valid != nil {
		for i, ok := range c.Valid[r.lo:r.hi] {
			if !ok {
				d.numbers[i] = nullValue
			}
		}
	}
	return d.numbers
}

// translation is what the values of a dictionary stand for, as long as it is the same dictionary.
type translation[T any] struct {
	dict []string
	to   []T
}

func (t *translation[T]) of(dict []string, f func(string) T) []T {
	if len(dict) == 0 {
		return nil
	}
	if len(t.dict) == len(dict) && &t.dict[0] == &dict[0] {
		return t.to
	}
	t.dict, t.to = dict, slices.Grow(t.to[:0], len(dict))
	for _, s := range dict {
		t.to = append(t.to, f(s))
	}
	return t.to
}
