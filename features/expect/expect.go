package expect

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// Action is what happens when an expectation is missed.
type Action string

// A miss that warns raises a flag of the run; one that fails ends the run before anything is built.
const (
	Warn Action = "warn"
	Fail Action = "fail"
)

// Set is what is expected of one data set. The zero Set expects nothing. Its JSON says what the project file says, but for where.
type Set struct {
	Name string `json:"-"` // events, items, subjects, cohorts or consent

	Volume     Volume            `json:"volume,omitzero"`
	Fresh      *Fresh            `json:"fresh,omitempty"`
	Schema     *Schema           `json:"schema,omitempty"`
	Duplicates *Duplicates       `json:"duplicates,omitempty"`
	Bad        *Share            `json:"bad,omitempty"`     // of all rows, those that are quarantined
	Columns    map[string]Column `json:"columns,omitempty"` // by the names that the project gives them
}

// Empty reports whether nothing is expected but a volume, for which nothing has to be counted.
func (s Set) Empty() bool {
	return s.Fresh == nil && s.Schema == nil && s.Duplicates == nil && s.Bad == nil && len(s.Columns) == 0
}

// Volume bounds the number of rows by the median of what came before it.
type Volume struct {
	Least   float64 `json:"least,omitempty"` // shares of the median; 0: not judged
	Most    float64 `json:"most,omitempty"`
	OnLeast Action  `json:"on_least,omitempty"`
	OnMost  Action  `json:"on_most,omitempty"`
	Where   string  `json:"-"` // key and line in the project file, for those who read verdicts; "" if it says nothing
}

// Fresh bounds how old the newest row, or the newest file, is.
type Fresh struct {
	Within time.Duration `json:"within"`
	OnMiss Action        `json:"on_miss"`
	Where  string        `json:"-"`
}

// Schema expects every declared column in every file. Columns that no file had before are told, whatever OnMiss is.
type Schema struct {
	OnMiss Action `json:"on_miss"`
	Where  string `json:"-"`
}

// Share bounds a share of rows, 0 to 1.
type Share struct {
	Most   float64 `json:"most"`
	OnMiss Action  `json:"on_miss"`
	Where  string  `json:"-"`
}

// Duplicates bounds the share of rows that repeat another: of events those equal in subject, item, time and kind, of other sets those
// with the key of another. With Drop, all but one of equal events are quarantined, and the share is of those.
type Duplicates struct {
	Share
	Drop bool `json:"drop,omitempty"`
}

// Column is what is expected of one column.
type Column struct {
	Rule
	Nulls *Share `json:"nulls,omitempty"` // rows without a value, among those that are kept
	Bad   *Share `json:"bad,omitempty"`   // rows that Rule quarantines
}

// Rule says which rows are quarantined for a column. The zero Rule lets pass what is null and, of numbers, what is finite.
type Rule struct {
	Required bool     `json:"required,omitempty"` // a null is not let pass
	Min      *float64 `json:"min,omitempty"`      // of a number, both included
	Max      *float64 `json:"max,omitempty"`
	Known    []string `json:"known,omitempty"` // the categories of a text; nil: all
}

// none reports whether the rule is the zero Rule.
func (r Rule) none() bool { return !r.Required && r.Min == nil && r.Max == nil && r.Known == nil }

// Keeps is the part of a Set that changes which rows are kept: what the key of a step names. Its JSON is canonical.
type Keeps struct {
	Rules map[string]Rule `json:"rules,omitempty"`
	Drop  bool            `json:"drop,omitempty"` // repeated events
}

// Keeps returns the rules of the set, or nil if it has none.
func (s Set) Keeps() *Keeps {
	k := Keeps{Drop: s.Duplicates != nil && s.Duplicates.Drop}
	for name, c := range s.Columns {
		if c.none() {
			continue
		}
		if k.Rules == nil {
			k.Rules = map[string]Rule{}
		}
		r := c.Rule
		if r.Known != nil {
			r.Known = slices.Compact(slices.Sorted(slices.Values(r.Known)))
		}
		k.Rules[name] = r
	}
	if k.Rules == nil && !k.Drop {
		return nil
	}
	return &k
}

// A Problem is one thing that is wrong in a Set, with the key that it stands at, relative to the set's: "columns.value.min".
type Problem struct{ Key, Says string }

func (p *Problem) Error() string { return p.Key + ": " + p.Says }

// Validate reports every Problem of a set, joined. numeric says which of the columns hold numbers.
func (s Set) Validate(numeric func(column string) bool) error {
	var errs []error
	add := func(key, format string, args ...any) {
		errs = append(errs, &Problem{key, fmt.Sprintf(format, args...)})
	}
	share := func(key string, b *Share) {
		if b != nil && !(b.Most >= 0 && b.Most <= 1) {
			add(key, "a share of rows is at least 0 and at most 1")
		}
	}
	v := s.Volume
	if !(v.Least >= 0 && v.Least < 1) {
		add("volume.least", "must be at least 0 and less than 1: a share of the usual volume")
	}
	if v.Most != 0 && !(v.Most > 1 && !math.IsInf(v.Most, 0)) {
		add("volume.most", "must be more than 1: a multiple of the usual volume; 0 leaves it out")
	}
	if s.Fresh != nil && s.Fresh.Within <= 0 {
		add("fresh", "must be more than 0")
	}
	if s.Duplicates != nil {
		share("duplicates", &s.Duplicates.Share)
	}
	share("bad", s.Bad)
	for _, name := range slices.Sorted(maps.Keys(s.Columns)) {
		c, at := s.Columns[name], "columns."+name
		share(at+".nulls", c.Nulls)
		share(at+".bad", c.Bad)
		switch {
		case (c.Min != nil || c.Max != nil) && !numeric(name):
			add(at, "min and max are of numbers, and %s is read as text: list it under numbers", name)
		case c.Min != nil && c.Max != nil && *c.Min > *c.Max:
			add(at, "min is above max: no row would be kept")
		}
		switch {
		case c.Known != nil && numeric(name):
			add(at+".known", "known lists categories, and %s is a number: give it min and max", name)
		case c.Known != nil && len(c.Known) == 0:
			add(at+".known", "no category is listed: no row would be kept")
		case slices.Contains(c.Known, ""):
			add(at+".known", "an empty text is a null, and no category: leave it out; nulls pass unless the column is required")
		}
		if c.Bad != nil && c.none() && !numeric(name) {
			add(at+".bad", "no row can be bad by this column: add required, or known")
		}
		if c.Nulls != nil && c.Required {
			add(at+".nulls", "rows without a value are quarantined, since the column is required: give bad in its place")
		}
	}
	return errors.Join(errs...)
}

// Reading returns the set without the columns that are not read, of which nothing can be said.
func (s Set) Reading(columns []string) Set {
	out := map[string]Column{}
	for name, c := range s.Columns {
		if slices.Contains(columns, name) {
			out[name] = c
		}
	}
	if s.Columns = out; len(out) == 0 {
		s.Columns = nil
	}
	return s
}
