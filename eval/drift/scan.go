package drift

import (
	"slices"
	"strconv"

	"github.com/rapport-ml/rapport/storage/table"
)

// Field is a column that a window is looked at by. Text is compared level by level, everything else as numbers.
type Field struct {
	Name  string
	Group string // of what it is a column: "events", or a view's name
	Text  bool
}

// Batch is a run of rows of a window, in columns.
type Batch struct {
	// Unit says whose each row is: a subject's number, or an item's (UnitOf). Rows of one unit are never taken for independent.
	Unit []int64
	Cols []*table.Column // parallel to the fields; times and text that no purpose reads are simply no fields
}

const (
	topLevels = 50
	// learnRows is how many rows of a reference are looked at for the bins. More move an edge by less than the grid's steps.
	learnRows = 1 << 21
)

// Learner fixes the bins of columns from a reference window, in one scan, in any order. Memory: the distinct levels of text, and a sketch (Numbers) a
// column of numbers.
//
// The levels of text are learned from one half of the units. If there are more than get a bin each, the other half alone is counted, in every window:
// levels that are chosen for their count, and then measured by the same count, seem to fall ever after.
type Learner struct {
	fields  []Field
	numbers []*Numbers
	levels  []map[string]int64
	mask    uint64 // of hashed units: those are looked at whose bits are none of it
	rows    []int  // of a batch, those that are looked at,
	chosen  []int  // and of these those that choose levels
	codes   []int64
}

// NewLearner returns a learner for windows of about so many rows: of more than two million it looks at the rows of a random part of the units, always the same.
func NewLearner(fields []Field, rows int64) *Learner {
	l := &Learner{fields: fields, numbers: make([]*Numbers, len(fields)), levels: make([]map[string]int64, len(fields))}
	for i, f := range fields {
		if f.Text {
			l.levels[i] = map[string]int64{}
		} else {
			l.numbers[i] = NewNumbers()
		}
	}
	for ; rows > learnRows; rows /= 2 {
		l.mask = l.mask<<1 | 1
	}
	return l
}

// choosesLevels reports whether a unit helps to choose the levels that get a bin (and hence is not counted on them). It uses other bits of the hash than
// cluster, so that both halves fill all clusters.
func choosesLevels(unit uint64) bool { return mix(unit)&1 == 0 }

// looks reports whether a unit's rows are looked at. It uses other bits of the hash than cluster and choosesLevels.
func (l *Learner) looks(unit uint64) bool { return mix(unit)>>8&l.mask == 0 }

// Add takes in rows of the reference.
func (l *Learner) Add(b *Batch) {
	l.rows, l.chosen = l.rows[:0], l.chosen[:0]
	for i, u := range b.Unit {
		if !l.looks(uint64(u)) {
			continue
		}
		if l.rows = append(l.rows, i); choosesLevels(uint64(u)) {
			l.chosen = append(l.chosen, i)
		}
	}
	for i, c := range b.Cols {
		if l.fields[i].Text {
			l.learnText(l.levels[i], c)
		} else {
			learnNumbers(l.numbers[i], c, l.rows)
		}
	}
}

func (l *Learner) learnText(into map[string]int64, c *table.Column) {
	if c.Code == nil {
		for _, i := range l.chosen {
			if !c.Null(i) && c.Str[i] != "" {
				into[c.Str[i]]++
			}
		}
		return
	}
	l.codes = slices.Grow(l.codes[:0], len(c.Dict))[:len(c.Dict)]
	clear(l.codes)
	for _, i := range l.chosen {
		if !c.Null(i) {
			l.codes[c.Code[i]]++
		}
	}
	for code, n := range l.codes {
		if n > 0 && c.Dict[code] != "" {
			into[c.Dict[code]] += n
		}
	}
}

func learnNumbers(into *Numbers, c *table.Column, rows []int) {
	for _, i := range rows {
		switch {
		case c.Null(i):
		case c.Float != nil:
			into.Add(c.Float[i])
		default:
			into.Add(float64(c.Int[i]))
		}
	}
}

// Specs returns the bins. A column of numbers without a single value has no bin but that of nulls, so that values which come later are a change.
func (l *Learner) Specs() []Spec {
	out := make([]Spec, len(l.fields))
	for i, f := range l.fields {
		if f.Text {
			out[i] = CategoricalSpec(f.Name, l.levels[i], topLevels)
			out[i].Half = len(l.levels[i]) > topLevels
		} else if spec, err := l.numbers[i].Spec(f.Name); err == nil {
			out[i] = spec
		} else {
			out[i] = Spec{Name: f.Name}
		}
		out[i].Group = f.Group
	}
	return out
}

// Scan counts one window in one scan, in any order, batch by batch: a summary a column. It is not safe for concurrent use: give each goroutine its own,
// and Merge.
type Scan struct {
	sums     []*Summary
	tables   []levelTable
	clusters []uint8 // of a batch's rows
	halved   bool    // some column counts half of the units
	counted  []bool  // of a batch's rows, those of that half
}

// levelTable finds the bins of a column's levels.
type levelTable struct {
	bins    map[string]int32
	numbers []float64 // the levels, where they are numbers
	dict    *string   // the first element of the dictionary
	codes   []int32   // of which these are the bins
}

// NewScan returns a scan of the columns of these bins.
func NewScan(specs []Spec) *Scan {
	s := &Scan{tables: make([]levelTable, len(specs))}
	for i, spec := range specs {
		s.sums, s.halved = append(s.sums, NewSummary(spec)), s.halved || spec.Half
		if spec.numeric() {
			continue
		}
		t := &s.tables[i]
		t.bins = make(map[string]int32, len(spec.Levels))
		for b, level := range spec.Levels {
			t.bins[level] = int32(b)
			if v, err := strconv.ParseFloat(level, 64); err == nil {
				t.numbers = append(t.numbers, v)
			}
		}
	}
	return s
}

// Add counts rows. Of text, a dictionary is translated once as long as it stays the same. Cost: ten to twenty nanoseconds a value.
func (s *Scan) Add(b *Batch) {
	s.clusters = slices.Grow(s.clusters[:0], len(b.Unit))[:len(b.Unit)]
	for i, u := range b.Unit {
		s.clusters[i] = uint8(cluster(uint64(u)))
	}
	if s.halved {
		s.counted = s.counted[:0]
		for _, u := range b.Unit {
			s.counted = append(s.counted, !choosesLevels(uint64(u)))
		}
	}
	for i, c := range b.Cols {
		sum := s.sums[i]
		switch {
		case c.Code != nil:
			sum.addCodes(s.clusters, s.counted, c, &s.tables[i])
		case c.Str != nil:
			sum.addTexts(s.clusters, s.counted, c, &s.tables[i])
		case c.Float != nil:
			addNumbers(sum, s.clusters, c.Float, c.Valid, s.tables[i].numbers)
		default:
			addNumbers(sum, s.clusters, c.Int, c.Valid, s.tables[i].numbers)
		}
	}
}

// Merge adds the rows of another scan of the same bins.
func (s *Scan) Merge(o *Scan) error {
	for i, sum := range s.sums {
		if err := sum.Merge(o.sums[i]); err != nil {
			return err
		}
	}
	return nil
}

// Summaries returns what was counted, in the order of the columns.
func (s *Scan) Summaries() []*Summary { return s.sums }

func addNumbers[T int64 | float64](s *Summary, clusters []uint8, values []T, valid []bool, levels []float64) {
	width := s.spec.bins() + 1
	if s.spec.numeric() {
		for i, x := range values {
			v, bin := float64(x), width-1
			if isNumber(v) && (valid == nil || valid[i]) {
				bin = s.search.bin(v)
			}
			s.counts[int(clusters[i])*width+bin]++
		}
		return
	}
	for i, x := range values {
		v, bin := float64(x), width-1
		if isNumber(v) && (valid == nil || valid[i]) {
			if bin = slices.Index(levels, v); bin < 0 {
				bin = width - 2 // all others
			}
		}
		s.counts[int(clusters[i])*width+bin]++
	}
}

func (s *Summary) addTexts(clusters []uint8, counted []bool, c *table.Column, t *levelTable) {
	width := s.spec.bins() + 1
	for i, text := range c.Str {
		if s.spec.Half && !counted[i] {
			continue
		}
		bin := width - 1
		if text != "" && !c.Null(i) {
			bin = t.bin(text, width)
		}
		s.counts[int(clusters[i])*width+bin]++
	}
}

func (t *levelTable) bin(text string, width int) int {
	if b, ok := t.bins[text]; ok {
		return int(b)
	}
	return width - 2 // all others
}

func (s *Summary) addCodes(clusters []uint8, counted []bool, c *table.Column, t *levelTable) {
	width := s.spec.bins() + 1
	if len(c.Dict) > 0 && t.dict != &c.Dict[0] {
		t.dict, t.codes = &c.Dict[0], t.codes[:0]
		for _, text := range c.Dict {
			bin := width - 1
			if text != "" {
				bin = t.bin(text, width)
			}
			t.codes = append(t.codes, int32(bin))
		}
	}
	for i, code := range c.Code {
		if s.spec.Half && !counted[i] {
			continue
		}
		bin := width - 1
		if !c.Null(i) {
			bin = int(t.codes[code])
		}
		s.counts[int(clusters[i])*width+bin]++
	}
}

// UnitOf is the unit of what has a name and no number, as an item: FNV-1a.
func UnitOf(name string) int64 {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return int64(h)
}
