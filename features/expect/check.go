package expect

import "github.com/rapport-ml/rapport/storage/table"

// Reason says why a row is quarantined.
type Reason string

// The reasons.
const (
	NoID            Reason = "no id"             // no subject or no item, or none that can be one
	NoTime          Reason = "no time"           //
	LongAgo         Reason = "before 1990"       // a time that no event has: a zero, a unit taken for another
	Late            Reason = "too late"          // its day is read no more when its file arrives: lateness
	Ahead           Reason = "after its file"    // its time is after the day on which its file arrived
	UnknownCategory Reason = "unknown category"  // of a column with a list of those that are known
	NotNumber       Reason = "not a number"      // NaN, infinite, or an integer that no number here can hold
	Null            Reason = "null"              // where the column is required
	Outside         Reason = "outside the range" //
	Duplicate       Reason = "duplicate"         // equal to an event that is kept
)

// Checker holds the rules of the columns of a batch. It is safe for concurrent use.
type Checker struct{ checks []check }

// check is the rule of one column.
type check struct {
	at       int // among the columns
	name     string
	number   bool
	required bool
	min, max *float64
	known    map[string]bool
}

// NewChecker compiles rules for rows with these columns. A column without a rule is not looked at: what is no number there is no value to those
// who compute with it, who count it. A rule of a column that the rows do not have is left out.
func NewChecker(columns []table.Field, rules map[string]Rule) *Checker {
	c := &Checker{}
	for i, f := range columns {
		r := rules[f.Name]
		if r.none() {
			continue
		}
		k := check{at: i, name: f.Name, number: f.Type == table.Float64, required: r.Required, min: r.Min, max: r.Max}
		if r.Known != nil {
			k.known = make(map[string]bool, len(r.Known))
			for _, v := range r.Known {
				k.known[v] = true
			}
		}
		c.checks = append(c.checks, k)
	}
	return c
}

// Row returns the first column for which row i is quarantined, and why; "" if it is fine. columns are those that the Checker was made for;
// nil is one that the file does not have. An empty text is a null, since writers do not agree on which of the two a missing text is.
func (c *Checker) Row(columns []*table.Column, i int) (column string, why Reason) {
	for k := range c.checks {
		ch := &c.checks[k]
		col := columns[ch.at]
		switch {
		case col == nil || col.Null(i):
			why = ch.null()
		case ch.number:
			why = ch.of(col.Float[i])
		default:
			why = ch.ofText(col.Str[i])
		}
		if why != "" {
			return ch.name, why
		}
	}
	return "", ""
}

// Values is Row for a row that stands alone: of each column its text or its number, "" and NaN for none.
func (c *Checker) Values(text []string, number []float64) (column string, why Reason) {
	for k := range c.checks {
		ch := &c.checks[k]
		switch v := number[ch.at]; {
		case !ch.number:
			why = ch.ofText(text[ch.at])
		case v != v:
			why = ch.null()
		default:
			why = ch.of(v)
		}
		if why != "" {
			return ch.name, why
		}
	}
	return "", ""
}

func (c *check) null() Reason {
	if c.required {
		return Null
	}
	return ""
}

func (c *check) of(v float64) Reason {
	switch {
	case v-v != 0: // NaN or infinite
		return NotNumber
	case c.min != nil && v < *c.min, c.max != nil && v > *c.max:
		return Outside
	}
	return ""
}

func (c *check) ofText(v string) Reason {
	switch {
	case v == "":
		return c.null()
	case c.known != nil && !c.known[v]:
		return UnknownCategory
	}
	return ""
}
