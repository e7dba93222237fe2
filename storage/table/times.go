package table

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/apache/arrow-go/v18/parquet"
)

const (
	minMicros = math.MinInt64
	maxMicros = math.MaxInt64
)

// micros converts a raw integer time to µs since the epoch, without its zone: rounded down, moved into range.
func (c *source) micros(v int64) int64 {
	switch {
	case c.kind == date:
		return scaled(v, secondsADay*1_000_000)
	case c.kind == unsigned && v < 0: // ≥ 2⁶³
		if c.unit == time.Nanosecond {
			return int64(uint64(v) / 1000)
		}
		return maxMicros
	}
	switch c.unit {
	case time.Second:
		return scaled(v, 1_000_000)
	case time.Millisecond:
		return scaled(v, 1000)
	case time.Nanosecond:
		return floorDiv(v, 1000)
	}
	return v
}

// scaled is v·k, or the nearest int64.
func scaled(v, k int64) int64 {
	switch {
	case v > maxMicros/k:
		return maxMicros
	case v < minMicros/k:
		return minMicros
	}
	return v * k
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// int96Micros converts a legacy timestamp, nanoseconds of a Julian day, taken as UTC as all its present writers do.
func int96Micros(v parquet.Int96) int64 {
	const unixEpoch = 2_440_588 // Julian day of 1970-01-01
	nanos := binary.LittleEndian.Uint64(v[:8])
	day := int64(binary.LittleEndian.Uint32(v[8:])) - unixEpoch
	whole := scaled(day, secondsADay*1_000_000)
	of := int64(nanos / 1000)
	if whole > maxMicros-of {
		return maxMicros
	}
	return whole + of
}

// wallClock turns readings of a zone's clock (µs since 1970-01-01 00:00 on that clock) into µs since the epoch. It remembers the offset
// of a quarter of an hour.
type wallClock struct {
	zone    *time.Location
	quarter int64
	offset  int64
	known   bool
}

const quarterHour = 15 * 60 * 1_000_000

func (w *wallClock) utc(reading int64) int64 {
	const day = secondsADay * 1_000_000
	if reading > maxMicros-day || reading < minMicros+day {
		return reading
	}
	q := floorDiv(reading, quarterHour)
	if w.known && q == w.quarter {
		return reading - w.offset
	}
	first, last := q*quarterHour, q*quarterHour+quarterHour-1
	a, b := first-w.exact(first), last-w.exact(last)
	if w.known = a == b; w.known {
		w.quarter, w.offset = q, a
		return reading - a
	}
	return w.exact(reading)
}

// exact is utc for one reading: the first instant at which the zone's clock shows it, and for a reading that the clock skips the one that the
// offset before the change gives. (time.Date would take the first or the second of two by the side of Greenwich that the zone lies on.)
func (w *wallClock) exact(reading int64) int64 {
	t := time.UnixMicro(reading).UTC()
	y, m, d := t.Date()
	near := time.Date(y, m, d, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), w.zone) // at most one change of clocks away
	_, now := near.Zone()
	before, after := now, now
	start, end := near.ZoneBounds()
	if !start.IsZero() {
		_, before = start.Add(-1).Zone()
	}
	if !end.IsZero() {
		_, after = end.Zone()
	}
	at := func(offset int) time.Time { return time.UnixMicro(reading - int64(offset)*1_000_000).In(w.zone) }
	first, found := int64(0), false
	for _, offset := range []int{before, now, after} {
		x := at(offset)
		if _, o := x.Zone(); o == offset && (!found || x.UnixMicro() < first) {
			first, found = x.UnixMicro(), true
		}
	}
	switch {
	case found:
		return first
	case !start.IsZero() && !at(before).Before(start) && at(now).Before(start): // skipped by the change at start
		return at(before).UnixMicro()
	}
	return at(now).UnixMicro() // by the one at end
}
