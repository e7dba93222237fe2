package lists

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Rules is what a project declares about its lists. The zero value declares nothing.
type Rules struct {
	Exclude   []Exclusion `json:"exclude,omitempty"`
	AtMost    []Limit     `json:"at_most,omitempty"`
	AtLeast   []Floor     `json:"at_least,omitempty"`
	Diversity *Diversity  `json:"diversity,omitempty"`
	Calibrate *Calibrate  `json:"calibrate,omitempty"`
	Fresh     *Fresh      `json:"fresh,omitempty"`
}

// Exclusion takes the items out of all lists that meet every one of its conditions.
type Exclusion []Condition

// Condition is met by the items whose Column is one of In, or at least Min and at most Max; with Not, by those for which that is false. An
// item without a value meets neither.
type Condition struct {
	Column string   `json:"column"`
	In     []string `json:"in,omitempty"`  // of a category
	Min    *float64 `json:"min,omitempty"` // of a number
	Max    *float64 `json:"max,omitempty"`
	Not    bool     `json:"not,omitempty"`
}

// Meets reports whether a row meets the condition that has text, or a number, in the condition's column: "" and NaN are none.
func (cond *Condition) Meets(text string, number float64) bool {
	if cond.Min != nil || cond.Max != nil {
		inside := (cond.Min == nil || number >= *cond.Min) && (cond.Max == nil || number <= *cond.Max)
		return !math.IsNaN(number) && inside != cond.Not
	}
	return text != "" && slices.Contains(cond.In, text) != cond.Not
}

// Meets reports whether a row meets every condition; value gives what it has of a column, as Condition.Meets takes it.
func (e Exclusion) Meets(value func(column string) (text string, number float64)) bool {
	for i := range e {
		if !e[i].Meets(value(e[i].Column)) {
			return false
		}
	}
	return len(e) > 0
}

// Limit is how many items of one level of a category a page may hold.
type Limit struct {
	Column string `json:"column"`
	Most   int    `json:"most"`
}

// Floor gives the items of some levels of a category a share of the places of a page.
type Floor struct {
	Column string   `json:"column"`
	In     []string `json:"in"` // the levels, together
	Share  float64  `json:"share"`
}

// Vectors in place of attributes says that items are compared by the model's own vectors.
const Vectors = "vectors"

// Diversity trades score for items that are unlike those before them.
type Diversity struct {
	By     []string `json:"by"` // categories, or Vectors alone
	Weight float64  `json:"weight"`
}

// Calibrate trades score for lists whose categories are spread as the subject's history is.
type Calibrate struct {
	By     string  `json:"by"`
	Weight float64 `json:"weight"`
}

// Fresh gives new items a share of the places.
type Fresh struct {
	Age   time.Duration `json:"age"`             // an item is new for so long
	Share float64       `json:"share"`           // of the places of a page
	Since string        `json:"since,omitempty"` // the attribute that says since when there is the item, as Time reads it; empty: its first event
}

// Off reports whether the rules change no list.
func (r *Rules) Off() bool {
	return r == nil || len(r.Exclude) == 0 && len(r.AtMost) == 0 && len(r.AtLeast) == 0 && r.Diversity == nil && r.Calibrate == nil && r.Fresh == nil
}

// Yardstick is rules by which lists are measured, whether or not these rules change them: how alike their items are by the attributes of the
// first rule that names any (diversity, at_most, calibrate), how far they are from the history in one of them, and which items are new.
func (r *Rules) Yardstick() *Rules {
	const any = 0.5 // of no effect on what is measured
	var by []string
	switch {
	case r.Diversity != nil:
		by = r.Diversity.By
	case len(r.AtMost) > 0:
		for _, l := range r.AtMost {
			by = append(by, l.Column)
		}
	case r.Calibrate != nil:
		by = []string{r.Calibrate.By}
	}
	out := &Rules{Fresh: r.Fresh}
	if len(by) > 0 {
		out.Diversity = &Diversity{By: by, Weight: any / 2}
		if by[0] != Vectors {
			out.Calibrate = &Calibrate{By: by[len(by)-1], Weight: any / 2}
		}
	}
	if r.Calibrate != nil {
		out.Calibrate = &Calibrate{By: r.Calibrate.By, Weight: any / 2}
	}
	return out
}

// Variant is the same rules with another weight of one objective.
type Variant struct {
	Rule   string // diversity or calibrate
	Weight float64
	Rules  Rules
}

// DiversityWeight is the declared weight of Diversity, 0 without it.
func (r *Rules) DiversityWeight() float64 {
	if r.Diversity == nil {
		return 0
	}
	return r.Diversity.Weight
}

// CalibrateWeight is the declared weight of Calibrate, 0 without it.
func (r *Rules) CalibrateWeight() float64 {
	if r.Calibrate == nil {
		return 0
	}
	return r.Calibrate.Weight
}

// Variants returns the rules at several weights of each objective that they declare, from none on, the declared weight among them.
func (r *Rules) Variants() (out []Variant) {
	curve := func(rule string, declared, other float64, with func(Rules, float64) Rules) {
		weights := []float64{0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, declared}
		slices.Sort(weights)
		for _, w := range slices.Compact(weights) {
			if w+other < 1 {
				out = append(out, Variant{rule, w, with(*r, w)})
			}
		}
	}
	w, v := r.DiversityWeight(), r.CalibrateWeight()
	if r.Diversity != nil {
		curve("diversity", w, v, func(n Rules, w float64) Rules {
			n.Diversity = nil
			if w > 0 {
				n.Diversity = &Diversity{r.Diversity.By, w}
			}
			return n
		})
	}
	if r.Calibrate != nil {
		curve("calibrate", v, w, func(n Rules, v float64) Rules {
			n.Calibrate = nil
			if v > 0 {
				n.Calibrate = &Calibrate{r.Calibrate.By, v}
			}
			return n
		})
	}
	return out
}

// Says tells the rules in words, one a rule.
func (r *Rules) Says() (out []string) {
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, e := range r.Exclude {
		var parts []string
		for _, c := range e {
			parts = append(parts, c.String())
		}
		say("no item whose %s", strings.Join(parts, " and "))
	}
	for _, l := range r.AtMost {
		say("at most %d of one %s in a list", l.Most, l.Column)
	}
	for _, f := range r.AtLeast {
		say("%g %% of the places for items whose %s is %s", 100*f.Share, f.Column, strings.Join(f.In, " or "))
	}
	if d := r.Diversity; d != nil {
		say("unlike items by %s, with weight %g", strings.Join(d.By, " and "), d.Weight)
	}
	if c := r.Calibrate; c != nil {
		say("%s spread as in the person's history, with weight %g", c.By, c.Weight)
	}
	if f := r.Fresh; f != nil {
		say("%g %% of the places for items that are at most %g days old", 100*f.Share, f.Age.Hours()/24)
	}
	return out
}

func (cond *Condition) String() string {
	var says string
	switch {
	case len(cond.In) > 0 && cond.Not:
		return cond.Column + " is none of " + strings.Join(cond.In, ", ")
	case len(cond.In) > 0:
		return cond.Column + " is " + strings.Join(cond.In, " or ")
	case cond.Min != nil && cond.Max != nil:
		says = fmt.Sprintf("from %g to %g", *cond.Min, *cond.Max)
	case cond.Min != nil:
		says = fmt.Sprintf("at least %g", *cond.Min)
	case cond.Max != nil:
		says = fmt.Sprintf("at most %g", *cond.Max)
	}
	if cond.Not {
		says = "not " + says
	}
	return cond.Column + " is " + says
}

// Columns names the item attributes that the rules read, each once, in the order of the rules.
func (r *Rules) Columns() (out []string) {
	if r == nil {
		return nil
	}
	seen := map[string]bool{"": true, Vectors: true}
	add := func(c string) {
		if !seen[c] {
			seen[c] = true
			out = append(out, c)
		}
	}
	for _, e := range r.Exclude {
		for _, c := range e {
			add(c.Column)
		}
	}
	for _, l := range r.AtMost {
		add(l.Column)
	}
	for _, f := range r.AtLeast {
		add(f.Column)
	}
	if r.Diversity != nil {
		for _, c := range r.Diversity.By {
			add(c)
		}
	}
	if r.Calibrate != nil {
		add(r.Calibrate.By)
	}
	if r.Fresh != nil {
		add(r.Fresh.Since)
	}
	return out
}

// A Fault is what is wrong with one rule. Key is where it stands under lists:, as at_most.category.
type Fault struct{ Key, Problem string }

func (f *Fault) Error() string { return f.Key + ": " + f.Problem }

// Validate reports every fault of the rules at once, as joined Faults.
func (r *Rules) Validate() error {
	var faults []error
	fault := func(key, format string, args ...any) {
		faults = append(faults, &Fault{key, fmt.Sprintf(format, args...)})
	}
	for i, e := range r.Exclude {
		key := fmt.Sprintf("exclude[%d]", i)
		if len(e) == 0 {
			fault(key, "says nothing, and would take out every item: name an attribute, as {category: [gift]}")
		}
		for _, c := range e {
			at := key + "." + c.Column
			switch {
			case c.Column == "":
				fault(key, "names no attribute")
			case len(c.In) == 0 && c.Min == nil && c.Max == nil:
				fault(at, "says neither which values nor a range, as [gift] or {max: 5}")
			case len(c.In) > 0 && (c.Min != nil || c.Max != nil):
				fault(at, "is values or a range, not both at once")
			case c.Min != nil && !finite(*c.Min) || c.Max != nil && !finite(*c.Max):
				fault(at, "a bound is not finite")
			case c.Min != nil && c.Max != nil && *c.Min > *c.Max:
				fault(at, "min is above max: no item lies between")
			}
		}
	}
	for _, l := range r.AtMost {
		if l.Most < 1 {
			fault("at_most."+l.Column, "is %d, and must be at least 1: to take a level out of all lists, exclude it", l.Most)
		}
	}
	var places float64
	for _, f := range r.AtLeast {
		if len(f.In) == 0 {
			fault("at_least."+f.Column, "names no level: which ones are to have the places, as [A, B]")
		}
		if !(f.Share > 0 && f.Share <= 1) {
			fault("at_least."+f.Column+".share", "is %g, and must be above 0 and at most 1", f.Share)
		}
		places += f.Share
	}
	if r.Fresh != nil {
		places += r.Fresh.Share
	}
	if len(r.AtLeast) > 0 && len(faults) == 0 && places > 1 {
		fault("at_least", "and fresh promise %g times the places that there are", places)
	}
	var sum float64
	if d := r.Diversity; d != nil {
		weight(fault, "diversity.weight", d.Weight)
		sum += d.Weight
		seen := map[string]bool{}
		for _, c := range d.By {
			if seen[c] || c == Vectors && len(d.By) > 1 {
				fault("diversity.by", "%q stands beside itself or others: name each attribute once, or %s alone", c, Vectors)
			}
			seen[c] = true
		}
		if len(d.By) == 0 {
			fault("diversity.by", "is missing: an attribute, several, or %s", Vectors)
		}
	}
	if c := r.Calibrate; c != nil {
		weight(fault, "calibrate.weight", c.Weight)
		sum += c.Weight
		if c.By == "" {
			fault("calibrate.by", "is missing: the attribute whose levels are to be spread as in the history")
		}
	}
	if len(faults) == 0 && sum >= 1 {
		fault("diversity.weight", "adds up to %g with that of calibrate, which leaves nothing to the score: they must stay under 1", sum)
	}
	if f := r.Fresh; f != nil {
		if f.Age <= 0 {
			fault("fresh.age", "is missing: for how long an item is new, as 14d")
		}
		if !(f.Share > 0 && f.Share <= 1) {
			fault("fresh.share", "is %g, and must be above 0 and at most 1", f.Share)
		}
	}
	return errors.Join(faults...)
}

func weight(fault func(string, string, ...any), key string, w float64) {
	if !(w > 0 && w < 1) {
		fault(key, "is %g, and must be above 0 and under 1", w)
	}
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
