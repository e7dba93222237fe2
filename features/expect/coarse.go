package expect

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Coarse counts what a rule did to the values of a column that it makes coarser.
type Coarse struct {
	Rows    int64 `json:"rows"`              // with a value, as they were read: also those that another replaced later
	Unknown int64 `json:"unknown,omitempty"` // those of a value that the rule has no place for: it became "other"

	// Of a rule that looks at how many people share a value. A value counts once in each reading, of a day or a snapshot.
	Values   int64         `json:"values,omitempty"`
	Lifted   map[int]int64 `json:"lifted,omitempty"`   // level of the hierarchy above the rule's → values that are told there
	Withheld int64         `json:"withheld,omitempty"` // values that are not told
}

// Add adds the counts of o.
func (c *Coarse) Add(o Coarse) {
	c.Rows, c.Unknown, c.Values, c.Withheld = c.Rows+o.Rows, c.Unknown+o.Unknown, c.Values+o.Values, c.Withheld+o.Withheld
	for level, n := range o.Lifted {
		c.Lift(level, n)
	}
}

// Lift counts values that are told at a level.
func (c *Coarse) Lift(level int, values int64) {
	if c.Lifted == nil {
		c.Lifted = map[int]int64{}
	}
	c.Lifted[level] += values
}

// AddCoarse adds what the rule of a column did. Of a column without a value it did nothing.
func (c *Counts) AddCoarse(column string, n Coarse) {
	if n.Rows+n.Values == 0 {
		return
	}
	if c.Coarse == nil {
		c.Coarse = map[string]Coarse{}
	}
	sum := c.Coarse[column]
	sum.Lifted = maps.Clone(sum.Lifted)
	sum.Add(n)
	c.Coarse[column] = sum
}

// CoarsenedAs is the Verdict.Expectation of rules that make values coarser. It is expected of each of them, unasked, that it has a place for most values.
const CoarsenedAs = "coarsen"

// maxUnknown is the share of rows that may hold a value which a rule has no place for. Beyond it the rule is another column's, as a rule, or its table is old.
const maxUnknown = .1

// fewPeople is the number under which rows of a snapshot, which are people, are not told: as eval.MinCell.
const fewPeople = 11

// coarse judges what rules did to values: a rule that makes "other" of most leaves a column that says nothing, and nothing else would tell. Rows of events are
// counted; of people nothing is told but a share, and of few of them that they are few.
func (s Set) coarse(o Seen) (out []Verdict) {
	for _, name := range slices.Sorted(maps.Keys(o.Coarse)) {
		n := o.Coarse[name]
		share, most := 0., maxUnknown
		if n.Rows > 0 {
			share = float64(n.Unknown) / float64(n.Rows)
		}
		v := s.verdict(CoarsenedAs, name, Warn, "", share > most || n.Values > 0 && n.Withheld == n.Values)
		v.Bound = &most
		if o.ByFile {
			share = math.Round(100*share) / 100
		}
		known, of := n.Rows-n.Unknown, percent(share)+" of the values"
		switch few := n.Unknown > 0 && n.Unknown < fewPeople || known > 0 && known < fewPeople; {
		case !o.ByFile:
			v.Observed, of = &share, fmt.Sprintf("%d of %d values (%s)", n.Unknown, n.Rows, percent(share))
		case few && n.Unknown < known:
			of = "few of the values"
		case few:
			of = "most of the values"
		default:
			v.Observed = &share
		}
		rule := fmt.Sprintf("%s: sources.%s.coarsen.%s has ", s.Name, s.Name, name)
		v.Says = rule + "a place for every value"
		if n.Unknown > 0 {
			v.Says = fmt.Sprintf("%sno place for %s, where %s is let pass: \"other\" is told of them", rule, of, percent(most))
		}
		if text := n.lifted(); text != "" {
			v.Says += "; " + text
		}
		out = append(out, v)
	}
	return out
}

// lifted says where the values are told that too few people share, "" where none is.
func (c Coarse) lifted() string {
	var parts []string
	for _, level := range slices.Sorted(maps.Keys(c.Lifted)) {
		parts = append(parts, fmt.Sprintf("%d told at level %d", c.Lifted[level], level))
	}
	if c.Withheld > 0 {
		parts = append(parts, fmt.Sprintf("%d not told", c.Withheld))
	}
	if len(parts) == 0 {
		return ""
	}
	return fmt.Sprintf("of %d values, those of each day by themselves, too few people share some: %s", c.Values, strings.Join(parts, ", "))
}
