package features

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// Limits of a view. They bound what one event can cost.
const (
	maxWindows  = 32
	maxFeatures = 256
	maxName     = 63
	maxWindow   = 100 * 366 * 24 * time.Hour
	maxN        = 1000
	// maxNamed is how many values of one column all views together may name, so that an engine can tell them by 16 bits.
	maxNamed = 65_000
	// maxHalfLives is how many half-lives the longest window of a decayed feature may hold: of an older event 2^-500 would be left.
	maxHalfLives = 500
)

// Fault is one thing wrong with a view. View and Feature say where ("" for the view itself); Problem says what, and what to do.
type Fault struct {
	View, Feature string
	Problem       string
}

// Error prints the fault with its place.
func (f *Fault) Error() string {
	if f.Feature == "" {
		return fmt.Sprintf("view %q: %s", f.View, f.Problem)
	}
	return fmt.Sprintf("view %q, feature %q: %s", f.View, f.Feature, f.Problem)
}

// Validate returns every fault of the views at once, each a *Fault, joined by errors.Join; nil if there is none.
func Validate(views []View) error {
	var faults []error
	seen := map[string]bool{}
	named := map[string]map[string]bool{}
	for _, v := range views {
		c := check{view: v}
		if seen[v.Name] {
			c.fault("", "a second view has this name: rename one")
		}
		seen[v.Name] = true
		c.run()
		for _, f := range v.Features {
			c.named(named, f)
		}
		faults = append(faults, c.faults...)
	}
	return errors.Join(faults...)
}

// Validate returns every fault of the view, as the function Validate does.
func (v View) Validate() error { return Validate([]View{v}) }

// check collects the faults of one view.
type check struct {
	view   View
	faults []error
}

func (c *check) fault(feature, format string, args ...any) {
	c.faults = append(c.faults, &Fault{View: c.view.Name, Feature: feature, Problem: fmt.Sprintf(format, args...)})
}

func (c *check) run() {
	v := c.view
	if !validName(v.Name) {
		c.fault("", "the name must be a lower-case letter followed by letters, digits or _, at most %d in all", maxName)
	}
	c.key()
	c.windows()
	if v.Hop != 0 && (v.Hop < time.Minute || v.Hop%time.Second != 0) {
		c.fault("", "hop %s: must be a whole number of seconds, at least 1m", v.Hop)
	}
	switch n := len(v.Features); {
	case n == 0:
		c.fault("", "no features: declare at least one")
	case n > maxFeatures:
		c.fault("", "%d features: at most %d", n, maxFeatures)
	}
	for i, f := range v.Features {
		if i > 0 && v.Features[i-1].Name == f.Name {
			c.fault(f.Name, "declared twice")
		}
		if i > 0 && v.Features[i-1].Name > f.Name {
			c.fault(f.Name, "features must be sorted by name (features.Sorted)")
		}
		c.feature(f)
		if keys := v.Keys(); len(keys) == 2 {
			for _, w := range v.Windows {
				if name := ColumnName(f.Name, w); slices.Contains(keys, name) {
					c.fault(f.Name, "its column %s is named as a column of the key: rename the feature", name)
				}
			}
		}
	}
}

func (c *check) key() {
	keys := c.view.Keys()
	if len(keys) > 2 || slices.Contains(keys, "") {
		c.fault("", "key %q: must be %q, %q, a context column, or two of them", c.view.Key, KeySubject, KeyItem)
		return
	}
	for i, k := range keys {
		if k == "time" || k == "value" || k == EntityColumn || k == StateColumn || slices.Contains(keys[:i], k) {
			c.fault("", "key %q: %q can't be a part of it; %s, %s, kind and context columns of names can", c.view.Key, k, KeySubject, KeyItem)
		}
	}
}

func (c *check) windows() {
	ws := c.view.Windows
	switch {
	case len(ws) == 0:
		c.fault("", "no windows: declare at least one, as 7d")
	case len(ws) > maxWindows:
		c.fault("", "%d windows: at most %d", len(ws), maxWindows)
	}
	for i, w := range ws {
		if w < time.Second || w%time.Second != 0 || w > maxWindow {
			c.fault("", "window %s: must be a whole number of seconds, from 1s to %s", w, FormatWindow(maxWindow))
		}
		if slices.Contains(ws[:i], w) {
			c.fault("", "window %s is declared twice", FormatWindow(w))
		}
	}
}

func (c *check) feature(f Feature) {
	if !validName(f.Name) {
		c.fault(f.Name, "the name must be a lower-case letter followed by letters, digits or _, at most %d in all", maxName)
	}
	switch f.Op {
	case Mean, Min, Max, Quantile:
		if f.Column == "" {
			c.fault(f.Name, "%s needs a column", f.Op)
		}
		c.numeric(f)
	case Sum:
		if f.Column == "" && len(f.Weights) == 0 {
			c.fault(f.Name, "sum needs a column, or weights")
		}
		c.numeric(f)
	case Decayed:
		switch ws := c.view.SortedWindows(); {
		case f.HalfLife <= 0:
			c.fault(f.Name, "decayed needs a half_life above zero")
		case f.HalfLife%time.Microsecond != 0:
			c.fault(f.Name, "half_life %s: must be a whole number of microseconds", f.HalfLife)
		case len(ws) > 0 && ws[len(ws)-1]/maxHalfLives > f.HalfLife:
			c.fault(f.Name, "half_life %s is under 1/%d of the longest window: nothing is left of its older events; shorten the window", FormatWindow(f.HalfLife), maxHalfLives)
		}
		c.numeric(f)
	case Distinct, ApproxDistinct:
		if f.Column == "" {
			c.fault(f.Name, "%s needs a column", f.Op)
		} else if slices.Contains(c.view.Keys(), f.Column) {
			c.fault(f.Name, "%s %s of one %s is always 1: choose another column", f.Op, f.Column, f.Column)
		}
	case First, Last, Top:
		if f.Column == "" {
			c.fault(f.Name, "%s needs a column", f.Op)
		}
		if f.Column == KeySubject || f.Column == "time" {
			c.fault(f.Name, "%s of %s: a view's values never name a subject or a moment: choose another column", f.Op, f.Column)
		}
	case Sequence:
		if f.Column == KeySubject || f.Column == "time" {
			c.fault(f.Name, "%s of %s: a view's values never name a subject or a moment: choose another column", f.Op, f.Column)
		}
	case ShareOf:
	case Count, Recency:
		if f.Column != "" {
			c.fault(f.Name, "%s takes no column, has %q", f.Op, f.Column)
		}
	default:
		c.fault(f.Name, "unknown operator %q: one of %s", f.Op, strings.Trim(strings.ReplaceAll(fmt.Sprint(Ops), " ", ", "), "[]"))
	}
	if f.HalfLife != 0 && f.Op != Decayed {
		c.fault(f.Name, "half_life belongs to decayed, not to %s", f.Op)
	}
	if takes := f.Op == Top || f.Op == Sequence; takes && (f.N < 1 || f.N > maxN) {
		c.fault(f.Name, "%s needs n, from 1 to %d", f.Op, maxN)
	} else if !takes && f.N != 0 {
		c.fault(f.Name, "n belongs to top and sequence, not to %s", f.Op)
	}
	if f.Op == Quantile && !(f.Quantile > 0 && f.Quantile < 1) {
		c.fault(f.Name, "quantile needs q, between 0 and 1")
	} else if f.Op != Quantile && f.Quantile != 0 {
		c.fault(f.Name, "q belongs to quantile, not to %s", f.Op)
	}
	c.weights(f)
	c.where(f)
	c.kinds(f)
}

func (c *check) weights(f Feature) {
	if len(f.Weights) > 0 && f.Op != Sum && f.Op != Decayed {
		c.fault(f.Name, "weights belong to sum and decayed, not to %s", f.Op)
	}
	for _, k := range slices.Sorted(maps.Keys(f.Weights)) {
		switch w := f.Weights[k]; {
		case k == "":
			c.fault(f.Name, "a weight has no kind")
		case !(math.Abs(w) <= maxWeight) || w != 0 && math.Abs(w) < 1/maxWeight:
			c.fault(f.Name, "the weight of %q must be a number, of magnitude 0 or from %g to %g", k, 1/maxWeight, float64(maxWeight))
		case len(f.Kinds) > 0 && !slices.Contains(f.Kinds, k):
			c.fault(f.Name, "kind %q has a weight and never passes the filter %s", k, strings.Join(f.Kinds, ", "))
		}
	}
	for i, k := range f.Explicit {
		if _, ok := f.Weights[k]; !ok || slices.Contains(f.Explicit[:i], k) {
			c.fault(f.Name, "explicit kind %q has no weight, or is listed twice", k)
		}
	}
	switch {
	case len(f.Weights) > 0 && f.Column != "" && len(f.Explicit) == 0:
		c.fault(f.Name, "say which kinds of the weights are explicit, that is, multiply %s", f.Column)
	case len(f.Explicit) > 0 && f.Column == "":
		c.fault(f.Name, "explicit kinds need the column that their weight multiplies")
	}
}

// named adds the values that a feature names to those of all views, by column. The fault is that of the feature that names one too many.
func (c *check) named(all map[string]map[string]bool, f Feature) {
	add := func(column string, values []string) {
		set := all[column]
		if set == nil {
			set = map[string]bool{}
			all[column] = set
		}
		before := len(set)
		for _, x := range values {
			set[x] = true
		}
		if before <= maxNamed && len(set) > maxNamed {
			c.fault(f.Name, "with it, %d values of %q are named in all views: at most %d; let the events say in another column to which group a value belongs", len(set), column, maxNamed)
		}
	}
	add("kind", f.Kinds)
	add("kind", slices.Collect(maps.Keys(f.Weights)))
	add(cmp.Or(f.Column, "kind"), f.Share)
	for _, x := range f.Where {
		add(x.Column, x.In)
	}
}

// repeated returns the positions of values that are empty, or stand before.
func repeated(values []string) (at []int) {
	seen := make(map[string]bool, len(values))
	for i, s := range values {
		if s == "" || seen[s] {
			at = append(at, i)
		}
		seen[s] = true
	}
	return at
}

// maxWeight bounds the weights of kinds, so that products with a column can be computed with.
const maxWeight = 1e9

func (c *check) where(f Feature) {
	for _, x := range f.Where {
		if x.Column == "" {
			c.fault(f.Name, "a condition has no column")
		}
		switch bounds := x.Min != nil || x.Max != nil; {
		case len(x.In) == 0 && !bounds:
			c.fault(f.Name, "the condition on %q says neither which values nor which range", x.Column)
		case len(x.In) > 0 && bounds:
			c.fault(f.Name, "the condition on %q names values and a range: write two", x.Column)
		case len(x.In) > 0 && x.Column == "value":
			c.fault(f.Name, "the condition on %q does not fit what the column holds: a number, as {value: {min: 5, max: 100}}", x.Column)
		case bounds && (x.Column == "item" || x.Column == "kind"), x.Column == KeySubject, x.Column == "time":
			c.fault(f.Name, "the condition on %q does not fit what the column holds", x.Column)
		}
		for _, bound := range []*float64{x.Min, x.Max} {
			if bound != nil && !Computable(*bound) {
				c.fault(f.Name, "the condition on %q has a bound that is no number", x.Column)
			}
		}
		if x.Min != nil && x.Max != nil && *x.Min > *x.Max {
			c.fault(f.Name, "the condition on %q has a minimum above its maximum", x.Column)
		}
		for range repeated(x.In) {
			c.fault(f.Name, "the condition on %q has a value that is empty or listed twice", x.Column)
		}
	}
}

// numeric refuses columns that are known to hold no number; the engine checks the others against what it reads.
func (c *check) numeric(f Feature) {
	switch f.Column {
	case "subject", "item", "kind", "time":
		c.fault(f.Name, "%s needs a column of numbers, %q holds none", f.Op, f.Column)
	}
}

func (c *check) kinds(f Feature) {
	for _, i := range repeated(f.Kinds) {
		c.fault(f.Name, "kind %q in the filter is empty or listed twice", f.Kinds[i])
	}
	if f.Op != ShareOf {
		if len(f.Share) > 0 {
			c.fault(f.Name, "share kinds belong to share, not to %s", f.Op)
		}
		return
	}
	if len(f.Share) == 0 {
		c.fault(f.Name, "share needs the values of its numerator, as kinds")
	}
	twice := repeated(f.Share)
	for i, k := range f.Share {
		switch {
		case slices.Contains(twice, i):
			c.fault(f.Name, "share kind %q is empty or listed twice", k)
		case (f.Column == "" || f.Column == "kind") && len(f.Kinds) > 0 && !slices.Contains(f.Kinds, k):
			c.fault(f.Name, "share kind %q never passes the filter %s", k, strings.Join(f.Kinds, ", "))
		}
	}
}

func validName(s string) bool {
	for i := range len(s) {
		b := s[i]
		if letter := 'a' <= b && b <= 'z'; !letter && (i == 0 || b != '_' && (b < '0' || b > '9')) {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}
