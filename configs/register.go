package configs

import (
	"maps"
	"slices"
	"strings"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/models/lists"
)

// Register is the register of processing (GDPR, Art. 30) as far as a project file tells it: for whom data is used for what, and where it goes.
type Register struct {
	Project  string            `json:"project"`
	Purposes []RegisterPurpose `json:"purposes"`
	Sources  []RegisterSource  `json:"sources"`
	Jobs     []RegisterJob     `json:"jobs"`
	Storage  string            `json:"storage"`
	Online   string            `json:"online"`
	Withheld []string          `json:"withheld"` // what sensitive_items and protected_subjects say, in words
	Guards   []RegisterRead    `json:"guards"`   // what is read to tell which items and people these are, and kept for nothing else
	Locked   bool              `json:"locked"`   // there is a purposes.lock
	Wider    []Wider           `json:"wider"`    // than that
	Accepted []Acceptance      `json:"accepted"` // oldest first
}

// RegisterPurpose is an entry of the register.
type RegisterPurpose struct {
	Name  string            `json:"name"`
	Says  string            `json:"says"`
	Basis string            `json:"basis"`
	Terms []RegisterTerm    `json:"terms"` // that the basis and the use have elsewhere
	Use   string            `json:"use"`
	Reads []RegisterRead    `json:"reads"`
	Keep  map[string]string `json:"keep"` // retention class → how long by event time; absent: for ever
	Jobs  []string          `json:"jobs"` // that use it, with for what: nightly (train)
}

// RegisterRead is what a purpose reads of one data set, beside its keys and times. Those of events are who took what and when: a purpose that a job uses reads them
// also where it reads no column.
type RegisterRead struct {
	Set     string   `json:"set"`
	Columns []string `json:"columns"` // with the column of the files after "from", where it has another name
}

// What is what is read, in words.
func (r RegisterRead) What() string {
	columns := strings.Join(r.Columns, ", ")
	switch {
	case r.Set != "events":
		return columns
	case columns == "":
		return "who took what and when"
	}
	return "who took what and when, " + columns
}

// RegisterSource is where a data set comes from.
type RegisterSource struct {
	Set  string `json:"set"`
	Path string `json:"path"`
}

// RegisterJob is who uses purposes, and what for.
type RegisterJob struct {
	Name     string   `json:"name"`
	Model    string   `json:"model"`
	Train    string   `json:"train"`
	Evaluate string   `json:"evaluate,omitempty"`
	Mitigate string   `json:"mitigate,omitempty"`
	Views    []string `json:"views"`
}

// Kept says how long what is used may be, in words.
func (p *RegisterPurpose) Kept() string {
	var out []string
	for _, class := range slices.Sorted(maps.Keys(p.Keep)) {
		out = append(out, class+" for "+p.Keep[class])
	}
	switch len(out) {
	case 0:
		return "all for ever"
	case len(policy.Classes):
		return strings.Join(out, ", ")
	}
	return strings.Join(out, ", ") + ", all else for ever"
}

// Register is the register of the project, beside its lock; nil: there is none.
func (p *Project) Register(l *Lock) *Register {
	g := &Register{Project: p.Project, Storage: p.Storage.URL, Online: p.Online.URL, Purposes: []RegisterPurpose{}, Withheld: []string{}, Guards: []RegisterRead{}, Wider: []Wider{}, Accepted: []Acceptance{}}
	add := func(set, path string) { g.Sources = append(g.Sources, RegisterSource{set, path}) }
	add("events", p.Sources.Events.Path)
	for _, s := range []struct {
		set    string
		source *Attributes
	}{{"items", p.Sources.Items}, {"subjects", p.Sources.Subjects}, {"cohorts", p.Sources.Cohorts}} {
		if s.source != nil {
			add(s.set, s.source.Path)
		}
	}
	if p.Sources.Consent != nil {
		add("consent", p.Sources.Consent.Path)
	}
	if p.Sources.Preferences != nil {
		add("preferences", p.Sources.Preferences.Path)
	}
	if p.Sources.Identities != nil {
		add("identities", p.Sources.Identities.Path)
	}
	users := map[string][]string{}
	for _, name := range sortedKeys(p.Jobs) {
		j := p.Jobs[name]
		if j.Drift.Of != "" {
			continue // it watches another job's data, under that one's purposes
		}
		job := RegisterJob{Name: name, Model: j.Train.Model, Train: j.Purpose.Train, Evaluate: j.Purpose.Evaluate, Mitigate: j.Purpose.Mitigate, Views: slices.Sorted(slices.Values(append(slices.Clone(j.Build.Views), j.Publish.Features...)))}
		job.Views = slices.Compact(job.Views)
		g.Jobs = append(g.Jobs, job)
		for _, u := range []struct{ purpose, role string }{{job.Train, "train"}, {job.Evaluate, "evaluate"}, {job.Mitigate, "mitigate"}} {
			if u.purpose != "" {
				users[u.purpose] = append(users[u.purpose], name+" ("+u.role+")")
			}
		}
	}
	now := p.allowed()
	for _, pu := range now.Purposes {
		out := RegisterPurpose{Name: pu.Name, Says: pu.Says, Basis: pu.Basis, Terms: p.Terms(pu.Name), Use: pu.Use, Keep: pu.Keep, Reads: []RegisterRead{}, Jobs: users[pu.Name]}
		if len(out.Jobs) > 0 && len(pu.Reads["events"]) == 0 {
			out.Reads = append(out.Reads, RegisterRead{"events", []string{}})
		}
		for _, set := range sortedKeys(pu.Reads) {
			if set == "events" && len(pu.Reads[set]) == 0 {
				continue // as above
			}
			read := RegisterRead{Set: set}
			for _, c := range pu.Reads[set] {
				read.Columns = append(read.Columns, p.told(c))
			}
			out.Reads = append(out.Reads, read)
		}
		g.Purposes = append(g.Purposes, out)
	}
	for _, s := range now.Sensitive {
		g.Withheld = append(g.Withheld, "items with "+s+": no signal, in no list")
	}
	for _, s := range now.Protected {
		g.Withheld = append(g.Withheld, "people with "+s+": never profiled")
	}
	guard := func(set string, entries []lists.Exclusion) {
		read := RegisterRead{Set: set}
		for _, e := range entries {
			for _, c := range e {
				read.Columns = append(read.Columns, c.Column)
			}
		}
		if slices.Sort(read.Columns); len(read.Columns) > 0 {
			read.Columns = slices.Compact(read.Columns)
			g.Guards = append(g.Guards, read)
		}
	}
	guards := p.guards()
	guard("items", guards.Sensitive)
	guard("subjects", guards.Protected)
	if l != nil {
		g.Locked, g.Accepted = true, append(g.Accepted, l.Accepted...)
		g.Wider = append(g.Wider, p.Wider(l)...)
	}
	return g
}
