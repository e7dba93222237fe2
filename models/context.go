package models

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"
)

// The columns of Contexts that are told from the time of an event, in the calendar of Contexts.Zone.
const (
	DaypartColumn = "daypart"
	WeekdayColumn = "weekday"
)

// Bounds of what a Context can hold.
const (
	MaxContextColumns = 8
	MaxContextLevels  = 32 // of a column; rarer levels count as unknown
)

// Contexts names the circumstances that events are known with: declared columns (device, channel), then those told from the time.
type Contexts struct {
	Columns []ContextColumn `json:"columns"`
	Zone    string          `json:"zone"` // IANA name of the calendar's time zone; "" is UTC
}

// ContextColumn is one circumstance. Levels ascend.
type ContextColumn struct {
	Name   string   `json:"name"`
	Levels []string `json:"levels"`
}

// Context is the circumstances of one event or request: for each column of a Contexts, in its order, one byte from the lowest: 0 where
// the level is not known, else 1 + its index in Levels.
type Context uint64

// Level returns the byte of a column: 0, or 1 + the level's index.
func (c Context) Level(column int) int { return int(c >> (8 * column) & 0xff) }

// With returns c with the byte of a column replaced.
func (c Context) With(column, level int) Context {
	return c&^(0xff<<(8*column)) | Context(level&0xff)<<(8*column)
}

// Column returns the position of a column, or -1. It may be called on nil.
func (c *Contexts) Column(name string) int {
	if c == nil {
		return -1
	}
	return slices.IndexFunc(c.Columns, func(x ContextColumn) bool { return x.Name == name })
}

// Index returns the byte of a level: 0 if the column does not know it.
func (c *ContextColumn) Index(level string) int {
	i, ok := slices.BinarySearch(c.Levels, level)
	if !ok {
		return 0
	}
	return i + 1
}

// Location returns the calendar's time zone.
func (c *Contexts) Location() (*time.Location, error) {
	if c.Zone == "Local" {
		return nil, errors.New("contexts: the time zone of a machine is no calendar")
	}
	loc, err := time.LoadLocation(c.Zone)
	if err != nil {
		return nil, fmt.Errorf("contexts: %w", err)
	}
	return loc, nil
}

// NewContexts makes columns of how often each declared level occurs; the columns told from the time follow. A column keeps its
// MaxContextLevels most frequent levels (ties: the lower text).
func NewContexts(names []string, counts []map[string]int, zone string) (*Contexts, error) {
	if n := len(names) + 2; n > MaxContextColumns {
		return nil, fmt.Errorf("%d context columns: a re-ranker takes at most %d; let the purpose read fewer", len(names), MaxContextColumns-2)
	}
	c := &Contexts{Zone: zone}
	for i, name := range names {
		if name == DaypartColumn || name == WeekdayColumn {
			return nil, fmt.Errorf("context column %q: that name stands for what is told from the time; name the column otherwise", name)
		}
		levels := make([]string, 0, len(counts[i]))
		for level := range counts[i] {
			if level != "" && utf8.ValidString(level) {
				levels = append(levels, level)
			}
		}
		slices.SortFunc(levels, func(a, b string) int {
			return cmp.Or(cmp.Compare(counts[i][b], counts[i][a]), cmp.Compare(a, b))
		})
		levels = levels[:min(len(levels), MaxContextLevels)]
		slices.Sort(levels)
		c.Columns = append(c.Columns, ContextColumn{Name: name, Levels: levels})
	}
	dayparts := make([]string, len(Dayparts))
	for i, d := range Dayparts {
		dayparts[i] = d.Name
	}
	slices.Sort(dayparts)
	c.Columns = append(c.Columns, ContextColumn{DaypartColumn, dayparts}, ContextColumn{WeekdayColumn, slices.Sorted(slices.Values(weekdays[:]))})
	return c, c.Validate()
}

// Daypart is a part of the day, from an hour of the local clock until the next one's.
type Daypart struct {
	Name string `json:"name"`
	From int    `json:"from_hour"`
}

// Dayparts are the parts of a day, the first from midnight.
var Dayparts = []Daypart{{"night", 0}, {"morning", 6}, {"midday", 11}, {"afternoon", 15}, {"evening", 18}}

var weekdays = [7]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// ClockLevels returns the levels that the local time t has in the columns told from the time.
func ClockLevels(t time.Time) (daypart, weekday string) {
	daypart = Dayparts[0].Name
	for _, d := range Dayparts {
		if t.Hour() >= d.From {
			daypart = d.Name
		}
	}
	return daypart, weekdays[t.Weekday()]
}

// Validate reports the first fault: too many columns, a name twice, levels out of order.
func (c *Contexts) Validate() error {
	if len(c.Columns) > MaxContextColumns {
		return fmt.Errorf("contexts: %d columns, at most %d", len(c.Columns), MaxContextColumns)
	}
	for i, col := range c.Columns {
		if col.Name == "" || !utf8.ValidString(col.Name) || c.Column(col.Name) != i {
			return fmt.Errorf("contexts: column %d has no name, one that is not UTF-8, or one that stands before it", i)
		}
		if len(col.Levels) > MaxContextLevels {
			return fmt.Errorf("contexts: column %q has %d levels, at most %d", col.Name, len(col.Levels), MaxContextLevels)
		}
		for j, level := range col.Levels {
			if level == "" || !utf8.ValidString(level) || j > 0 && col.Levels[j-1] >= level {
				return fmt.Errorf("contexts: column %q: level %d is empty, not UTF-8, or out of order", col.Name, j)
			}
		}
	}
	return nil
}

// check reports a context that names a level which there is not.
func (c *Contexts) check(x Context) error {
	for i, col := range c.Columns {
		if x.Level(i) > len(col.Levels) {
			return fmt.Errorf("context column %q has level %d of %d", col.Name, x.Level(i), len(col.Levels))
		}
	}
	if n := len(c.Columns); n < MaxContextColumns && x>>(8*n) != 0 {
		return fmt.Errorf("a context has levels beyond its %d columns", n)
	}
	return nil
}
