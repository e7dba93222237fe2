package features

import (
	"errors"
	"fmt"
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
	for _, v := range views {
		c := check{view: v}
		if seen[v.Name] {
			c.fault("", "a second view has this name: rename one")
		}
		seen[v.Name] = true
		c.run()
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
	if v.Key != KeySubject && v.Key != KeyItem {
		c.fault("", "key %q: must be %q or %q", v.Key, KeySubject, KeyItem)
	}
	c.windows()
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
	case Sum, Mean, Min, Max:
		if f.Column == "" {
			c.fault(f.Name, "%s needs a column", f.Op)
		}
		c.numeric(f)
	case Decayed:
		if f.HalfLife <= 0 {
			c.fault(f.Name, "decayed needs a half_life above zero")
		}
		c.numeric(f)
	case Distinct:
		if f.Column == "" {
			c.fault(f.Name, "distinct needs a column")
		} else if f.Column == c.view.Key {
			c.fault(f.Name, "distinct %s of one %s is always 1: choose another column", f.Column, f.Column)
		}
	case Count, Recency, ShareOf:
		if f.Column != "" {
			c.fault(f.Name, "%s takes no column, has %q", f.Op, f.Column)
		}
	default:
		c.fault(f.Name, "unknown operator %q: one of %s", f.Op, strings.Trim(strings.ReplaceAll(fmt.Sprint(Ops), " ", ", "), "[]"))
	}
	if f.HalfLife != 0 && f.Op != Decayed {
		c.fault(f.Name, "half_life belongs to decayed, not to %s", f.Op)
	}
	c.kinds(f)
}

// numeric refuses columns that are known to hold no number; the engine checks the others against what it reads.
func (c *check) numeric(f Feature) {
	switch f.Column {
	case "subject", "item", "kind", "time":
		c.fault(f.Name, "%s needs a column of numbers, %q holds none", f.Op, f.Column)
	}
}

func (c *check) kinds(f Feature) {
	for i, k := range f.Kinds {
		if k == "" || slices.Contains(f.Kinds[:i], k) {
			c.fault(f.Name, "kind %q in the filter is empty or listed twice", k)
		}
	}
	if f.Op != ShareOf {
		if len(f.Share) > 0 {
			c.fault(f.Name, "share kinds belong to share, not to %s", f.Op)
		}
		return
	}
	if len(f.Share) == 0 {
		c.fault(f.Name, "share needs the kinds of its numerator")
	}
	for i, k := range f.Share {
		switch {
		case k == "" || slices.Contains(f.Share[:i], k):
			c.fault(f.Name, "share kind %q is empty or listed twice", k)
		case len(f.Kinds) > 0 && !slices.Contains(f.Kinds, k):
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
