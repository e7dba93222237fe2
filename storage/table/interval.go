package table

import (
	"fmt"
	"time"
)

// Interval is a half-open span of time [Start, End), in UTC.
type Interval struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// Contains reports whether t lies in [Start, End).
func (iv Interval) Contains(t time.Time) bool { return !t.Before(iv.Start) && t.Before(iv.End) }

// Overlaps reports whether the two have a moment in common. An empty interval has none of its own, and overlaps what holds it within.
func (iv Interval) Overlaps(other Interval) bool {
	return iv.Start.Before(other.End) && other.Start.Before(iv.End)
}

// String prints the interval as START/END in RFC 3339.
func (iv Interval) String() string {
	return fmt.Sprintf("%s/%s", iv.Start.UTC().Format(time.RFC3339), iv.End.UTC().Format(time.RFC3339))
}

// Micros is a point in time as microseconds since 1970-01-01T00:00:00Z: the one unit of time inside tables.
func Micros(t time.Time) int64 { return t.UnixMicro() }
