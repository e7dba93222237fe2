package table

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/schema"
)

// kind is what the values of a raw column are, after its physical, logical and converted types have been read together.
type kind uint8

const (
	unsupported kind = iota
	boolean
	signed
	unsigned
	floating // FLOAT, DOUBLE
	half     // FLOAT16 in 2 bytes
	decimal
	text
	uuid
	instant // integer, one step a unit
	int96
	date
)

// found is a raw column's kind and its parameters.
type found struct {
	kind  kind
	unit  time.Duration // of an instant
	local bool          // an instant or date without a zone
	scale int32         // of a decimal
}

// deliver is the Type in which each kind comes if no other is wanted.
var deliver = [...]Type{
	boolean: Bool, signed: Int64, unsigned: Int64, floating: Float64, half: Float64, decimal: Float64,
	text: String, uuid: String, instant: Time, int96: Time, date: Time,
}

// maxScale bounds a decimal's digits behind the point: those of a 256-bit number.
const maxScale = 76

// findKind reads the type of a column.
func findKind(c *schema.Column) found {
	switch c.PhysicalType() {
	case parquet.Types.Boolean:
		return found{kind: boolean}
	case parquet.Types.Float, parquet.Types.Double:
		return found{kind: floating}
	case parquet.Types.Int96:
		return found{kind: int96}
	}
	integer := c.PhysicalType() == parquet.Types.Int32 || c.PhysicalType() == parquet.Types.Int64
	switch t := c.LogicalType().(type) {
	case schema.DecimalLogicalType:
		if t.Scale() < 0 || t.Scale() > maxScale {
			return found{}
		}
		return found{kind: decimal, scale: t.Scale()}
	case schema.TimestampLogicalType:
		if integer {
			return found{kind: instant, unit: unitOf[t.TimeUnit()], local: !t.IsAdjustedToUTC()}
		}
	case schema.DateLogicalType:
		if integer {
			return found{kind: date, local: true}
		}
	case schema.IntLogicalType:
		if integer && !t.IsSigned() {
			return found{kind: unsigned}
		}
	case schema.UUIDLogicalType:
		if c.TypeLength() == 16 {
			return found{kind: uuid}
		}
	case schema.Float16LogicalType:
		if c.TypeLength() == 2 {
			return found{kind: half}
		}
	case schema.BSONLogicalType:
		return found{}
	}
	switch {
	case integer:
		return found{kind: signed}
	case c.PhysicalType() == parquet.Types.ByteArray:
		return found{kind: text}
	}
	return found{}
}

var unitOf = map[schema.TimeUnitType]time.Duration{
	schema.TimeUnitMillis: time.Millisecond, schema.TimeUnitMicros: time.Microsecond, schema.TimeUnitNanos: time.Nanosecond,
}

// as returns the Type in which a column of this kind is delivered for a wish, or false if it can't be.
func (f found) as(want Type, unit time.Duration) (Type, bool) {
	if f.kind == unsupported {
		return 0, false
	}
	have := deliver[f.kind]
	integer := f.kind == signed || f.kind == unsigned
	switch {
	case want == 0 || want == have:
		return have, true
	case integer && (want == String || want == Float64 || want == Time && unit != 0):
		return want, true
	case f.kind == decimal && want == String, f.kind == text && want == Time:
		return want, true
	}
	return 0, false
}

// describe names a column's type as its file has it, as in "INT64 Timestamp(…)".
func describe(c *schema.Column) string {
	s := c.PhysicalType().String()
	if c.PhysicalType() == parquet.Types.FixedLenByteArray {
		s = fmt.Sprintf("%s(%d)", s, c.TypeLength())
	}
	if l := describeLogical(c); l != "" {
		s += " " + l
	}
	return s
}

func describeLogical(c *schema.Column) string {
	l := c.LogicalType()
	if l == nil || l.IsNone() || !l.IsValid() {
		return ""
	}
	return l.String()
}

// source is a declared column of one raw file.
type source struct {
	found
	place place
	name  string
	leaf  int // column of the file; -1: the file has none
	typ   Type
	desc  *schema.Column
	unit  time.Duration // of an integer that is wanted as Time
	zone  *time.Location
	texts *TimeReader // of text that is wanted as Time
	seen  seenText    // of text
	spare spare       // of columns that are read by their pages
}

func (c *source) missing() bool { return c.leaf < 0 }

// listed reports whether the column stands in the list that is exploded.
func (c *source) listed() bool { return c.place.list != "" }

// source finds a declared column in the file.
func (s *scan) source(w Want) (*source, error) {
	c := &source{name: w.Name, typ: w.Type, zone: s.o.Local}
	var err error
	if c.leaf, err = s.leaf(w.Name); err != nil {
		return nil, err
	}
	switch {
	case c.missing() && w.Optional:
		return c, nil
	case c.missing():
		return nil, s.absent(w.Name)
	}
	c.desc, c.place = s.meta.Schema.Column(c.leaf), s.places[c.leaf]
	c.found = findKind(c.desc)
	var ok bool
	c.typ, ok = c.as(w.Type, s.o.Unit)
	if w.TimeText && w.Type == String && deliver[c.kind] == Time {
		c.typ, ok = String, true
	}
	if !ok {
		return nil, fmt.Errorf("%w: column %q is %s%s", ErrColumn, w.Name, describe(c.desc), unfit(c.found, w.Type))
	}
	switch {
	case c.kind == signed || c.kind == unsigned:
		c.unit = s.o.Unit
	case c.kind == text && c.typ == Time:
		if c.texts, err = NewTimeReader(s.o.TimeFormat, s.o.textUnit(), c.zone); err != nil {
			return nil, err
		}
	default:
		c.unit = c.found.unit
	}
	if c.kind == instant && c.local && c.zone == nil && c.typ == Time {
		return nil, fmt.Errorf("%w: column %q holds local times without a zone (%s); say which zone they are in", ErrColumn, w.Name, describe(c.desc))
	}
	return c, nil
}

// unfit says why a column cannot be had as wanted.
func unfit(f found, want Type) string {
	switch {
	case f.kind == unsupported:
		return ", which rapport does not read"
	case want == Time && (f.kind == signed || f.kind == unsigned):
		return ", wanted as time; say which unit it counts (s, ms, us, ns)"
	}
	return fmt.Sprintf(" (%s), wanted as %s", deliver[f.kind], want)
}

// timeBounds returns the least and greatest time of a row group by its statistics, in µs; ok is false unless they can be trusted.
func (c *source) timeBounds(f *rawFile, group int) (least, most int64, ok bool) {
	err := guard(func() error {
		chunk, err := f.meta.RowGroup(group).ColumnChunk(c.leaf)
		if err != nil {
			return err
		}
		ok, err = chunk.StatsSet() // false also for writers known to have got them wrong
		return err
	})
	st := f.meta.RowGroups[group].Columns[c.leaf].MetaData.Statistics
	if err != nil || !ok || st == nil {
		return 0, 0, false
	}
	low, high := st.MinValue, st.MaxValue
	if c.kind == text {
		if low == nil || high == nil {
			return 0, 0, false
		}
		return c.texts.bounds(low, high)
	}
	if low == nil && high == nil && c.kind != unsigned { // the older fields compare as signed
		low, high = st.Min, st.Max
	}
	if least, ok = c.statistic(low); !ok {
		return 0, 0, false
	}
	if most, ok = c.statistic(high); !ok || least > most || c.kind == unsigned && least < 0 {
		return 0, 0, false
	}
	least, most = c.micros(least), c.micros(most)
	if c.local && c.zone != nil { // around a change of clocks the order of readings is not that of instants
		const day = secondsADay * 1_000_000
		least, most = max(least, minMicros+day)-day, min(most, maxMicros-day)+day
	}
	return least, most, true
}

// nulls is how many rows of these row groups have no value, by the statistics; -1 if they do not tell.
func (c *source) nulls(f *rawFile, groups []int) (n int64) {
	if c.desc.MaxDefinitionLevel() == 0 {
		return 0
	}
	for _, g := range groups {
		st := f.meta.RowGroups[g].Columns[c.leaf].MetaData.Statistics
		if c.listed() || st == nil || st.NullCount == nil || *st.NullCount < 0 {
			return -1
		}
		n += *st.NullCount
	}
	return n
}

// statistic decodes a bound of an integer column.
func (c *source) statistic(b []byte) (int64, bool) {
	switch {
	case c.desc.PhysicalType() == parquet.Types.Int64 && len(b) == 8:
		return int64(binary.LittleEndian.Uint64(b)), true
	case c.desc.PhysicalType() == parquet.Types.Int32 && len(b) == 4:
		return c.widen(int32(binary.LittleEndian.Uint32(b))), true
	}
	return 0, false
}

// widen takes a 32-bit value as the signed or unsigned number it is.
func (c *source) widen(v int32) int64 {
	if c.kind == unsigned {
		return int64(uint32(v))
	}
	return int64(v)
}
