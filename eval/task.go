package eval

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/lists"
)

// ErrEmptyTask is wrapped by Evaluate when the test window leaves nothing to measure.
var ErrEmptyTask = errors.New("nothing to evaluate")

// Missing is the level of subjects whose cohort is not known. It is a cohort like any other.
const Missing = "missing"

// Few is the one row of all groups of a cohort of which nothing is told, nor what they are called.
const Few = "small groups"

// Task is one test: what every contender is asked, and what the subjects really took. It holds nobody: rows are asked for one wave at a time.
type Task struct {
	Catalog *models.Catalog
	Rows    int // how many subjects may be asked about; one row each
	// Subject returns what is asked of one row, 0 to Rows−1. It is called from one goroutine at a time, and what it returns must stay as it is until the
	// wave that it is in has been measured.
	Subject func(row int) Subject
	Cohorts []Cohort
	Items   Items
	K       []int // list lengths, ascending; the first is the headline

	// Each is told of every row that is measured, in their order: the headline metric of each contender, in their order. It may not keep the slice. nil: nobody asks.
	Each     func(row int, headline []float64)
	Pool     []string // metrics whose sums Quality.Pool is to hold
	Protocol Protocol // as the report states it; "" means Temporal
	Masked   bool     // lists leave out what the subject had before; as the report states it

	Seed       uint64 // of the bootstrap
	Replicates int    // of the bootstrap; 0 means DefaultReplicates
	MinN       int    // the smallest group that is judged; 0 means DefaultMinN, and less than MinCell is raised to it
}

// Subject is one row of a Task. A subject has one.
type Subject struct {
	Key   uint64       // the same number in every evaluation, and of nobody else: resampling keeps a subject together with itself over days
	Query models.Query // K is ignored: the lists are as deep as the largest of Task.K
	// Relevant holds the distinct items of the subject in the test window, ascending. Rows without any that a list may hold are left out and counted.
	Relevant []int32
	// Seen holds the distinct items that the subject had before, ascending: a relevant item in it is a repeat, any other is explored.
	Seen []int32
	Cold bool // hardly anything was known of the subject before the cut
}

// Cohort divides the rows of a Task by one attribute that evaluation alone may read.
type Cohort struct {
	Name   string
	Levels []string
	Of     []int32 // a level a row; −1 is Missing

	parts []part // of an intersection
}

// part is one of the cohorts that an intersection is of.
type part struct {
	name   string
	of     []int32 // the part's level of each level of the intersection
	rows   []int32 // and of each row
	levels int
}

// Defaults and floors.
const (
	DefaultReplicates = 1000
	DefaultMinN       = 30
	MinCell           = 11 // groups of fewer subjects are not printed
	Confidence        = 0.95
	MaxLevels         = 500 // of a cohort: each costs memory for every figure
)

// Role says what a contender is to the decision.
type Role string

// The roles. A task has exactly one candidate and at most one live version.
const (
	Candidate Role = "candidate"
	Live      Role = "live"
	Baseline  Role = "baseline"
	Part      Role = "part" // a part of the candidate's blend, shown and not judged
)

// Popular is the name by which Gate knows the popularity baseline, the floor under every candidate.
const Popular = "popular"

// Contender is one ranking to be measured.
type Contender struct {
	Name   string
	Scorer models.Scorer
	Role   Role
	Rules  *lists.Stage // by which its scores become lists; nil: by the scores alone
	// Ask makes of a query of the task what this contender is asked, who may know less of the subject than others do: of the same subject, catalog and
	// moment. Its length does not matter. nil: the query itself.
	Ask func(models.Query) models.Query
}

// check reports every fault of the task at once, and fills the defaults.
func (t *Task) check(contenders []Contender) error {
	var faults []error
	fault := func(format string, args ...any) {
		if len(faults) < 20 {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	if t.Catalog == nil || len(t.Catalog.IDs) == 0 {
		return fmt.Errorf("evaluate: %w: the catalog has no items", ErrEmptyTask)
	}
	if t.Rows == 0 {
		return fmt.Errorf("evaluate: %w: no subject has an event in the test window; choose a longer window or an interval with data", ErrEmptyTask)
	}
	if t.Rows < 0 || t.Subject == nil {
		return fmt.Errorf("evaluate: %d rows, and nothing that tells what is asked of each", t.Rows)
	}
	n := t.Rows
	faults = append(faults, t.Items.check(t.Catalog.Len())...)
	switch t.Protocol {
	case "", Temporal, LeaveLastOut, StrongGeneralization:
	default:
		fault("protocol %q: want one of %q", t.Protocol, Protocols)
	}
	names := map[string]bool{}
	for _, c := range t.Cohorts {
		if names[c.Name] {
			fault("cohort %q is declared twice", c.Name)
		}
		names[c.Name] = true
		if len(c.Of) != n {
			fault("cohort %q has levels for %d rows, want %d", c.Name, len(c.Of), n)
		}
		for _, l := range c.Of {
			if l < -1 || int(l) >= len(c.Levels) {
				fault("cohort %q has a level number %d, want −1 to %d", c.Name, l, len(c.Levels)-1)
				break
			}
		}
		if len(c.Levels) > MaxLevels {
			fault("cohort %q has %d levels, want at most %d: divide the attribute more coarsely", c.Name, len(c.Levels), MaxLevels)
		}
		if slices.Contains(c.Levels, Missing) {
			fault("cohort %q has a level named %q, which is reserved for subjects without one", c.Name, Missing)
		}
	}
	if len(t.K) == 0 || t.K[0] < 1 || !slices.IsSorted(t.K) || len(slices.Compact(slices.Clone(t.K))) != len(t.K) {
		fault("list lengths %v must be positive, distinct and ascending", t.K)
	}
	if t.Replicates < 0 || t.Replicates > 1<<16 {
		fault("%d bootstrap replicates, want 1 to %d", t.Replicates, 1<<16)
	}
	for _, metric := range t.Pool {
		if name, k, err := parseMetric(metric); err != nil || name == Coverage || name == Gini || !slices.Contains(t.K, k) {
			fault("metric %s cannot be pooled: it is no mean over subjects, or lists are not measured at that length", metric)
		}
	}
	faults = append(faults, checkContenders(contenders)...)
	if len(faults) > 0 {
		return fmt.Errorf("evaluate: %w", errors.Join(faults...))
	}
	if t.Protocol == "" {
		t.Protocol = Temporal
	}
	if t.Replicates == 0 {
		t.Replicates = DefaultReplicates
	}
	if t.MinN == 0 {
		t.MinN = DefaultMinN
	}
	t.MinN = max(t.MinN, MinCell)
	return nil
}

func checkContenders(contenders []Contender) []error {
	var faults []error
	count := map[Role]int{}
	names := map[string]bool{}
	for _, c := range contenders {
		count[c.Role]++
		switch c.Role {
		case Candidate, Live, Baseline, Part:
		default:
			faults = append(faults, fmt.Errorf("contender %q has the role %q", c.Name, c.Role))
		}
		if c.Name == "" || names[c.Name] {
			faults = append(faults, fmt.Errorf("contender name %q is empty or used twice", c.Name))
		}
		names[c.Name] = true
		if c.Scorer == nil {
			faults = append(faults, fmt.Errorf("contender %q has no scorer", c.Name))
		}
	}
	if count[Candidate] != 1 {
		faults = append(faults, fmt.Errorf("%d candidates, want exactly 1", count[Candidate]))
	}
	if count[Live] > 1 {
		faults = append(faults, fmt.Errorf("%d live versions, want at most 1", count[Live]))
	}
	return faults
}

// ascending reports whether row holds distinct positions in [0, n) in ascending order.
func ascending(row []int32, n int32) bool {
	last := int32(-1)
	for _, i := range row {
		if i <= last || i >= n {
			return false
		}
		last = i
	}
	return true
}

// check reports what is wrong with a row, for a catalog of n items.
func (s *Subject) check(n int32) error {
	for _, row := range []struct {
		name  string
		items []int32
	}{{"relevant", s.Relevant}, {"seen", s.Seen}} {
		if !ascending(row.items, n) {
			return fmt.Errorf("%s items are not distinct catalog positions in ascending order", row.name)
		}
	}
	return nil
}

// finite returns a pointer to x, or nil if x has no value: JSON knows no NaN.
func finite(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}
