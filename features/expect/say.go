package expect

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// String says in a line what is expected of the set, or "" if nothing is: "events: at least 50 % of the usual volume, or fail; …".
func (s Set) String() string {
	var out []string
	say := func(onMiss Action, format string, args ...any) {
		out = append(out, fmt.Sprintf(format, args...)+", or "+string(onMiss))
	}
	if v := s.Volume; v.Least > 0 {
		say(v.OnLeast, "at least %s of the usual volume", percent(v.Least))
	}
	if v := s.Volume; v.Most > 0 {
		say(v.OnMost, "at most %s of the usual volume", percent(v.Most))
	}
	if s.Fresh != nil {
		say(s.Fresh.OnMiss, "fresh to %s", span(s.Fresh.Within))
	}
	if s.Schema != nil {
		say(s.Schema.OnMiss, "every declared column in every file")
	}
	if d := s.Duplicates; d != nil {
		if d.Drop {
			out = append(out, "of equal rows one is kept")
		}
		if d.Most < 1 {
			say(d.OnMiss, "at most %s repeated", percent(d.Most))
		}
	}
	if s.Bad != nil {
		say(s.Bad.OnMiss, "at most %s quarantined", percent(s.Bad.Most))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Columns)) {
		c := s.Columns[name]
		if text := c.Rule.String(); text != "" {
			out = append(out, name+" "+text)
		}
		if c.Bad != nil {
			say(c.Bad.OnMiss, "at most %s quarantined for %s", percent(c.Bad.Most), name)
		}
		if c.Nulls != nil {
			say(c.Nulls.OnMiss, "at most %s without %s", percent(c.Nulls.Most), name)
		}
	}
	if len(out) == 0 {
		return ""
	}
	return s.Name + ": " + strings.Join(out, "; ")
}

// String says which rows pass: "required, at least 0, at most 100", or "one of web, app". "" if all do.
func (r Rule) String() string {
	var out []string
	if r.Required {
		out = append(out, "required")
	}
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	if r.Min != nil {
		out = append(out, "at least "+number(*r.Min))
	}
	if r.Max != nil {
		out = append(out, "at most "+number(*r.Max))
	}
	if r.Known != nil {
		out = append(out, "one of "+strings.Join(r.Known, ", "))
	}
	return strings.Join(out, ", ")
}
