package event

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage/table"
)

// Other is what a rule makes of a value that it has no bin for: text that is no number, or one that its hierarchy does not know.
const Other = "other"

// What Coarsening.Clock may be.
const (
	ClockHour    = "hour"    // 00 to 23
	ClockDaypart = "daypart" // one of dayparts
)

// dayparts are the parts of a day, from an hour until the next one's. A test holds them against those of models.
var dayparts = []struct {
	name string
	from int
}{{"night", 0}, {"morning", 6}, {"midday", 11}, {"afternoon", 15}, {"evening", 18}}

// Coarsening is a rule that makes the values of a column coarser at the boundary: what leaves the package is what the rule leaves of a value. One of
// Width, Edges, Prefix, Hierarchy and Clock is set. A null stays one.
//
// A number becomes the least of its bin, so that sums and means still are of its size; one below all edges becomes the first of them. In a column of text a
// bin is named, as "20 to under 30".
type Coarsening struct {
	Width     float64    // of bins that begin at 0, in the unit of the column
	Edges     []float64  // where bins begin, ascending
	Prefix    int        // characters of text that are left
	Hierarchy *Hierarchy // what stands in place of each value
	Level     int        // of the hierarchy, from 1
	AtLeast   int        // people who share what is told of a value, or it is told at a level above Level, at last not at all; 0: all are told at Level
	Clock     string     // ClockHour or ClockDaypart: what is left of a time, by the clock that it is written in
}

// Coarsenings are rules by column.
type Coarsenings map[string]Coarsening

// Of are the rules of some columns as text, for keys; nil if there are none.
func (c Coarsenings) Of(columns []string) map[string]string {
	var out map[string]string
	for _, name := range columns {
		if rule, ok := c[name]; ok {
			if out == nil {
				out = map[string]string{}
			}
			out[name] = rule.String()
		}
	}
	return out
}

// Rules are those of the columns that a purpose reads, as text, for keys; nil if there are none.
func (s Source) Rules(p policy.Purpose) map[string]string {
	return s.Coarse.Of(p.Reads["events"])
}

// bySize applies those of the rules that look at how many people share a value to minimized batches, which the rules have been applied to row by row, and returns
// what each did, by column.
func bySize(rules []*Coarsening, batches []*table.Batch) []expect.Coarse {
	did := make([]expect.Coarse, len(rules))
	for j, rule := range rules {
		if rule != nil && rule.AtLeast > 0 {
			did[j] = rule.bySize(batches, j)
		}
	}
	return did
}

// addCoarse adds what the rules of a schema's columns did.
func addCoarse(to *expect.Counts, s table.Schema, did []expect.Coarse) {
	for j, n := range did {
		to.AddCoarse(s[j].Name, n)
	}
}

// sized reports whether one of rules looks at how many people share a value.
func sized(rules []*Coarsening) bool {
	return slices.ContainsFunc(rules, func(r *Coarsening) bool { return r != nil && r.AtLeast > 0 })
}

// rules are those of the columns of a schema, in its order; nil if there are none.
func (c Coarsenings) rules(s table.Schema) []*Coarsening {
	var out []*Coarsening
	for j, f := range s {
		if rule, ok := c[f.Name]; ok {
			if out == nil {
				out = make([]*Coarsening, len(s))
			}
			out[j] = &rule
		}
	}
	return out
}

// String is the rule as it stands in keys and locks; ParseCoarsening reads it. Two rules that leave the same of every value may differ in it.
func (c Coarsening) String() string {
	switch {
	case c.Width != 0:
		return "width " + digits(c.Width)
	case c.Edges != nil:
		edges := make([]string, len(c.Edges))
		for i, e := range c.Edges {
			edges[i] = digits(e)
		}
		return "edges " + strings.Join(edges, " ")
	case c.Prefix != 0:
		return "prefix " + strconv.Itoa(c.Prefix)
	case c.Hierarchy != nil:
		text := fmt.Sprintf("level %d of hierarchy %s", c.Level, c.Hierarchy.Digest)
		if c.AtLeast != 0 {
			text += fmt.Sprintf(", of at least %d people", c.AtLeast)
		}
		return text
	}
	return c.Clock
}

// Told is String for people: a hierarchy goes by the name of its file.
func (c Coarsening) Told() string {
	if c.Hierarchy == nil || c.Hierarchy.Name == "" {
		return c.String()
	}
	return strings.Replace(c.String(), c.Hierarchy.Digest, c.Hierarchy.Name, 1)
}

// digits write a number so that it reads as the same one.
func digits(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

// ParseCoarsening reads what String writes. Of a hierarchy it has the digest alone: such a rule can be compared, and not applied.
func ParseCoarsening(text string) (Coarsening, error) {
	var c Coarsening
	var err error
	word, rest, _ := strings.Cut(text, " ")
	switch word {
	case "width":
		c.Width, err = strconv.ParseFloat(rest, 64)
	case "edges":
		for _, e := range strings.Split(rest, " ") {
			x, fault := strconv.ParseFloat(e, 64)
			c.Edges, err = append(c.Edges, x), errors.Join(err, fault)
		}
	case "prefix":
		c.Prefix, err = strconv.Atoi(rest)
	case "level":
		level, digest, ok := strings.Cut(rest, " of hierarchy ")
		c.Level, err = strconv.Atoi(level)
		digest, least, bySize := strings.Cut(digest, ", of at least ")
		if bySize {
			var fault error
			c.AtLeast, fault = strconv.Atoi(strings.TrimSuffix(least, " people"))
			err = errors.Join(err, fault)
		}
		c.Hierarchy = &Hierarchy{Digest: digest, depth: math.MaxInt}
		if len(digest) != digestLength || !ok {
			err = errors.New("no digest of a hierarchy")
		}
	case ClockHour, ClockDaypart:
		c.Clock = word
	}
	if err == nil {
		err = c.Validate(false)
	}
	if err == nil && c.String() != text {
		err = errors.New("it is written otherwise")
	}
	if err != nil {
		return Coarsening{}, fmt.Errorf("%q is no rule: %w", text, err)
	}
	return c, nil
}

// Validate reports the first fault of a rule for a column of numbers, or of text.
func (c Coarsening) Validate(numeric bool) error {
	given := 0
	for _, is := range []bool{c.Width != 0, c.Edges != nil, c.Prefix != 0, c.Hierarchy != nil, c.Clock != ""} {
		if is {
			given++
		}
	}
	finite := func(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
	switch {
	case given != 1:
		return errors.New("want one of width, edges, prefix, hierarchy and clock")
	case c.Width != 0 && !(c.Width > 0 && finite(c.Width)):
		return errors.New("width must be above 0")
	case c.Edges != nil && (len(c.Edges) == 0 || slices.ContainsFunc(c.Edges, func(x float64) bool { return !finite(x) })):
		return errors.New("edges must be numbers, one or more")
	case c.Prefix < 0:
		return errors.New("prefix must be above 0")
	case c.Clock != "" && c.Clock != ClockHour && c.Clock != ClockDaypart:
		return fmt.Errorf("clock must be %s or %s", ClockHour, ClockDaypart)
	case c.Hierarchy != nil && (c.Level < 1 || c.Level > c.Hierarchy.depth):
		return fmt.Errorf("level must be between 1 and %d, the levels of the hierarchy", c.Hierarchy.depth)
	case c.Hierarchy == nil && c.Level != 0:
		return errors.New("level is one of a hierarchy, and there is none")
	case c.Hierarchy == nil && c.AtLeast != 0:
		return errors.New("at_least chooses among the levels of a hierarchy, and there is none")
	case c.AtLeast < 0 || c.AtLeast == 1:
		return errors.New("at_least must be a number of people, 2 or more")
	case numeric && c.Width == 0 && c.Edges == nil:
		return errors.New("the column holds numbers: want width or edges, or take it out of numbers")
	}
	for i := 1; i < len(c.Edges); i++ {
		if c.Edges[i-1] >= c.Edges[i] {
			return errors.New("edges must ascend")
		}
	}
	return nil
}

// Within reports whether this rule leaves no more of a value than another does: what this one leaves follows from what the other left. Of two rules that choose by size
// it is the one that begins as high and wants as many people.
func (c Coarsening) Within(o Coarsening) bool {
	switch {
	case c.String() == o.String():
		return true
	case c.Width != 0:
		return o.Width != 0 && multiple(c.Width, o.Width)
	case c.Edges != nil && o.Width != 0:
		return !slices.ContainsFunc(c.Edges, func(x float64) bool { return !multiple(x, o.Width) })
	case c.Edges != nil:
		return o.Edges != nil && !slices.ContainsFunc(c.Edges, func(x float64) bool { return !slices.Contains(o.Edges, x) })
	case c.Prefix != 0:
		return o.Prefix > c.Prefix
	case c.Hierarchy != nil:
		return o.Hierarchy != nil && o.Hierarchy.Digest == c.Hierarchy.Digest && c.Level >= o.Level && c.AtLeast >= o.AtLeast
	}
	return c.Clock == ClockDaypart && o.Clock == ClockHour
}

// multiple reports whether x is a whole number of times w, both as they are: 0.3 is none of 0.1 in binary.
func multiple(x, w float64) bool { return math.Mod(x, w) == 0 }

// apply makes value i of a column coarser, and counts it.
func (c *Coarsening) apply(t table.Type, col *table.Column, i int, did *expect.Coarse) {
	switch {
	case col.Null(i):
	case t == table.Float64:
		col.Float[i] = c.number(col.Float[i])
		did.Rows++
	case t == table.String:
		col.Str[i] = c.counted(col.Str[i], did)
	}
}

// counted is Text, which it counts.
func (c *Coarsening) counted(s string, did *expect.Coarse) string {
	out := c.Text(s)
	if did.Rows++; out == Other && !c.Knows(s) {
		did.Unknown++
	}
	return out
}

// Knows reports whether the rule has a place for a text: of one that it does not know it makes Other.
func (c Coarsening) Knows(s string) bool {
	switch {
	case c.Prefix != 0:
		return true
	case c.Hierarchy != nil:
		return c.Hierarchy.levels[s] != nil
	}
	return c.Text(s) != Other
}

// number returns the least of the bin of x. NaN stays what it is: a row with one is left out before it comes here.
func (c *Coarsening) number(x float64) float64 {
	if c.Width == 0 {
		return c.Edges[max(c.bin(x), 0)]
	}
	return c.floor(x)
}

// floor is the least of the bin of Width that x lies in.
func (c *Coarsening) floor(x float64) float64 {
	k := math.Floor(x / c.Width)
	switch low, next := c.times(k), c.times(k+1); {
	case math.IsInf(low, 0):
		return math.Copysign(math.MaxFloat64, x)
	case next <= x: // as 0.3 is the third tenth, though 0.3/0.1 is under 3 in binary
		return next
	case low > x:
		return c.times(k - 1)
	default:
		return low
	}
}

// times is k times Width, without the digits by which a product of floats is off.
func (c *Coarsening) times(k float64) float64 {
	x := k*c.Width + 0 // -0 is 0
	if c.Width == math.Trunc(c.Width) {
		return x
	}
	if short, err := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 12, 64), 64); err == nil {
		return short
	}
	return x
}

// bin is the last edge that is not above x; -1 if all are.
func (c *Coarsening) bin(x float64) int {
	i, found := slices.BinarySearch(c.Edges, x)
	if found {
		return i
	}
	return i - 1
}

// Text returns what is left of a text that is not empty.
func (c *Coarsening) Text(s string) string {
	switch {
	case c.Prefix != 0:
		at := 0
		for range c.Prefix {
			_, n := utf8.DecodeRuneInString(s[at:])
			if at += n; at == len(s) {
				break
			}
		}
		return s[:at]
	case c.Hierarchy != nil:
		return c.Hierarchy.at(s, c.Level)
	case c.Clock != "":
		return c.clock(s)
	}
	x, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
		return Other
	}
	if c.Width != 0 {
		low := c.floor(x)
		return digits(low) + " to under " + digits(c.times(math.Round(low/c.Width)+1))
	}
	switch i, last := c.bin(x), len(c.Edges)-1; i {
	case -1:
		return "under " + digits(c.Edges[0])
	case last:
		return digits(c.Edges[last]) + " and over"
	default:
		return digits(c.Edges[i]) + " to under " + digits(c.Edges[i+1])
	}
}

// clock returns the hour of a time as it is written, 2026-03-01T08:30:00+01:00 or 08:30, or the part of the day that it lies in.
func (c *Coarsening) clock(s string) string {
	if at := strings.IndexAny(s, "T "); at >= 0 {
		s = s[at+1:]
	}
	digits, rest, ok := strings.Cut(s, ":")
	hour, err := strconv.ParseUint(digits, 10, 8)
	if !ok || err != nil || len(digits) > 2 || hour > 23 || rest == "" || rest[0] < '0' || rest[0] > '5' {
		return Other
	}
	if c.Clock == ClockHour {
		return fmt.Sprintf("%02d", hour)
	}
	name := dayparts[0].name
	for _, d := range dayparts {
		if int(hour) >= d.from {
			name = d.name
		}
	}
	return name
}
