package policy

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Basis is the ground on which a purpose may use a subject's data.
type Basis string

// The bases. Consent needs a valid record; LegitimateInterest is honoured unless the subject objects (a record whose state denies).
const (
	Consent            Basis = "consent"
	LegitimateInterest Basis = "legitimate-interest"
)

// Purpose is one declared use of data, with plain words.
type Purpose struct {
	Name  string                   `json:"name"`
	Says  string                   `json:"says"`
	Basis Basis                    `json:"basis"`
	Terms []string                 `json:"terms,omitempty"` // what others call the basis or the use, each with its plain words
	Reads map[string][]string      `json:"reads"`           // data set ("events", "items", "cohorts", "subjects") → columns beyond its keys and times
	Keep  map[string]time.Duration `json:"keep"`            // retention class ("events", ...) → how long, by event time; absent: for ever
	Use   string                   `json:"use"`             // "" or "training", "evaluation", "mitigation"
}

// DataSets are the data sets that a purpose may read, and Classes the retention classes that it may limit.
var (
	DataSets = []string{"events", "items", "subjects", "cohorts", "impressions"}
	Classes  = []string{"events", "features", "training", "models", "reports"}
)

// Allows reports whether the purpose declares the column of the data set. Keys and times need no declaration and are not asked for here.
func (p Purpose) Allows(dataset, column string) bool {
	return slices.Contains(p.Reads[dataset], column)
}

// Oldest is the oldest event time (µs since the epoch) that the retention class still keeps for an interval that ends at intervalEnd:
// min(intervalEnd, now) − keep. It is math.MinInt64 for a class that is kept for ever.
func (p Purpose) Oldest(class string, intervalEnd, now time.Time) int64 {
	keep, ok := p.Keep[class]
	if !ok {
		return math.MinInt64
	}
	end := intervalEnd
	if now.Before(end) {
		end = now
	}
	return end.Add(-keep).UnixMicro()
}

// Use says that something (By, as a view or a model) wants one column of a data set under a purpose.
type Use struct{ By, Purpose, DataSet, Column string }

// Check validates the purposes and every use of a column. It reports all faults at once, joined; each names its purpose and column.
func Check(purposes []Purpose, uses []Use) error {
	var faults []error
	byName := make(map[string]Purpose, len(purposes))
	for _, p := range purposes {
		if _, dup := byName[p.Name]; dup {
			faults = append(faults, fmt.Errorf("purpose %q is declared twice: give each purpose its own name", p.Name))
		}
		byName[p.Name] = p
		faults = append(faults, p.faults()...)
	}
	for _, u := range uses {
		p, ok := byName[u.Purpose]
		switch {
		case !ok:
			faults = append(faults, fmt.Errorf("%s wants %s.%s for purpose %q, which is not declared", u.By, u.DataSet, u.Column, u.Purpose))
		case !p.Allows(u.DataSet, u.Column):
			faults = append(faults, fmt.Errorf("%s wants %s.%s, which purpose %q does not read: add %q to its reads.%s, or leave it out of %s",
				u.By, u.DataSet, u.Column, u.Purpose, u.Column, u.DataSet, u.By))
		}
	}
	return errors.Join(faults...)
}

func (p Purpose) faults() (faults []error) {
	bad := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("purpose %q: "+format, append([]any{p.Name}, args...)...))
	}
	if !ValidName(p.Name) {
		bad("the name must be 1 to 64 of a-z, 0-9, _ and -, and begin with a letter")
	}
	if p.Says == "" {
		bad("says is empty: tell the subject in plain words what the data is used for")
	}
	if p.Basis != Consent && p.Basis != LegitimateInterest {
		bad("basis %q is unknown: it is %q or %q", p.Basis, Consent, LegitimateInterest)
	}
	if !slices.Contains([]string{"", "training", "evaluation", "mitigation"}, p.Use) {
		bad(`use %q is unknown: it is "training", "evaluation" or "mitigation"`, p.Use)
	}
	for _, set := range sortedKeys(p.Reads) {
		if !slices.Contains(DataSets, set) {
			bad("reads an unknown data set %q: the data sets are %q", set, DataSets)
		}
		seen := map[string]bool{}
		for _, c := range p.Reads[set] {
			if c == "" || seen[c] {
				bad("reads.%s lists column %q twice or without a name", set, c)
			}
			seen[c] = true
		}
	}
	for _, class := range sortedKeys(p.Keep) {
		if !slices.Contains(Classes, class) {
			bad("keep has an unknown class %q: the classes are %q", class, Classes)
		}
		if p.Keep[class] <= 0 {
			bad("keep.%s is %v: it must be longer than nothing; leave the class out to keep it for ever", class, p.Keep[class])
		}
	}
	return faults
}

// ValidName reports whether s may name a purpose: 1 to 64 of a-z, 0-9, _ and -, beginning with a letter.
func ValidName(s string) bool {
	if s == "" || len(s) > 64 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
