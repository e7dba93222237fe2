package configs

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/rapport-ml/rapport/features/policy"
)

// Imported is what an import found out about its data, and what the project file over them says of it. The names in it are written as they
// are: the importer makes them valid.
type Imported struct {
	Project     string
	Job         string // "": nightly, weekly or four_weekly, by Every
	From        string // the files, for a comment
	Raw         string // URL under which the imported files stand
	Now         time.Time
	First, Last time.Time         // of the events
	Zone        string            // of their days; "": UTC
	Columns     map[string]string // column of the project → column of the files, for comments
	Value       bool
	Context     []string
	Kinds       []ImportedKind // the most frequent first, at least one
	Items       *ImportedSet
	Subjects    *ImportedSet
	Cohorts     *ImportedSet

	Basis    string
	Consent  bool // there are records of consent
	Declared bool // which the operator declared

	Every, Schedule string
	Window, Test    int // days
	Views           []int
	HalfLife        int
	Floor           string // min_volume
	Why             string // of the above
}

// ImportedKind is a kind of events.
type ImportedKind struct {
	Name    string
	Feature string // name of its count
	Weight  float64
	Events  int64
}

// ImportedSet is a table beside the events.
type ImportedSet struct {
	Key     string
	Reads   []string // columns that are worth reading
	Numbers []string // those that hold numbers
	Unused  []string // columns that stand in the files and are not read
}

// ImportNames are the templates that Import knows.
var ImportNames = []string{"csv", "movielens"}

// kindFeatures is how many kinds get a count of their own in a view.
const kindFeatures = 5

// Features are the kinds that get a count of their own.
func (p *Imported) Features() []ImportedKind {
	if len(p.Kinds) < 2 {
		return nil
	}
	var out []ImportedKind
	seen := map[string]bool{}
	for _, k := range p.Kinds {
		if !seen[k.Feature] && len(out) < kindFeatures {
			seen[k.Feature] = true
			out = append(out, k)
		}
	}
	return out
}

// Strongest is the kind that says most, where there are weaker ones too, or "".
func (p *Imported) Strongest() string {
	best := slices.MaxFunc(p.Kinds, func(a, b ImportedKind) int { return int(4 * (a.Weight - b.Weight)) })
	for _, k := range p.Kinds {
		if 0 < k.Weight && k.Weight < best.Weight {
			return best.Name
		}
	}
	return ""
}

// HasKind reports whether there are events of a kind.
func (p *Imported) HasKind(name string) bool {
	return slices.ContainsFunc(p.Kinds, func(k ImportedKind) bool { return k.Name == name })
}

// CohortNames are the cohorts that are evaluated.
func (p *Imported) CohortNames() []string {
	if p.Cohorts == nil {
		return nil
	}
	return p.Cohorts.Reads
}

// Import returns a commented project file over imported data. It fills in p.Job.
func Import(name string, p *Imported) ([]byte, error) {
	if !slices.Contains(ImportNames, name) {
		return nil, fmt.Errorf("no template %q of an import; there are %s", name, strings.Join(ImportNames, ", "))
	}
	if !policy.ValidName(p.Project) || len(p.Kinds) == 0 {
		return nil, fmt.Errorf("project file of an import: the name %q is none, or there are no kinds", p.Project)
	}
	if p.Job == "" {
		p.Job = map[string]string{"1d": "nightly", "1w": "weekly"}[p.Every]
	}
	if p.Job == "" {
		p.Job = "four_weekly"
	}
	p.Raw = strings.TrimSuffix(p.Raw, "/")
	body, err := templates.ReadFile("templates/" + name + ".yaml")
	if err != nil {
		return nil, err
	}
	t, err := template.New(name).Delims("<<", ">>").Funcs(importFuncs).Parse(string(body))
	if err != nil {
		return nil, fmt.Errorf("template %s: %w", name, err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, p); err != nil {
		return nil, fmt.Errorf("template %s: %w", name, err)
	}
	return out.Bytes(), nil
}

var importFuncs = template.FuncMap{
	"quote": strconv.Quote,
	"date":  func(t time.Time) string { return t.Format(time.DateOnly) },
	"time":  func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"list":  func(names []string) string { return strings.Join(names, ", ") },
	"line":  commentLine,
	"column": func(columns map[string]string, name string) string {
		if columns[name] == "" {
			return "the same for all"
		}
		return commentLine(columns[name]) + " in the files"
	},
	"numbers": func(s *ImportedSet) string {
		if len(s.Numbers) == 0 {
			return ""
		}
		return ", numbers: [" + strings.Join(s.Numbers, ", ") + "]"
	},
	"unused": func(s *ImportedSet) string {
		if len(s.Unused) == 0 {
			return ""
		}
		return "   # not read, but there: " + strings.Join(s.Unused, ", ")
	},
	"days": func(days []int) string {
		var out []string
		for _, d := range days {
			out = append(out, fmt.Sprintf("%dd", d))
		}
		return strings.Join(out, ", ")
	},
}

// commentLine makes any text fit into a comment.
func commentLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 || r == '\ufffd' || r == '\ufeff' {
			return ' '
		}
		return r
	}, s)
	if r := []rune(s); len(r) > 80 {
		s = string(r[:79]) + "…"
	}
	return s
}
