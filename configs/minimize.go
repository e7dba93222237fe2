package configs

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/schedule"
)

// What a ledger of what each field is worth takes where nothing is said.
const (
	defaultMinimizeBudget = 30 * time.Minute
	defaultMinimizeSample = 20_000
	defaultMinimizeMargin = 0.005
)

// minimizing is the section as jobs have it.
func (m *Minimize) minimizing(loc *time.Location) (jobs.Minimizing, error) {
	out := jobs.Minimizing{Budget: defaultMinimizeBudget, Sample: defaultMinimizeSample, Margin: defaultMinimizeMargin}
	if m == nil {
		return out, nil
	}
	if m.Budget > 0 {
		out.Budget = m.Budget
	}
	if m.Sample > 0 {
		out.Sample = m.Sample
	}
	if m.Margin != nil {
		out.Margin = *m.Margin
	}
	out.Sensitive = m.Sensitive
	var err error
	if m.Schedule != "" {
		out.Due, err = schedule.Parse(m.Schedule, loc)
	}
	return out, err
}

// checkMinimize checks what a job says of its ledgers.
func (p *Project) checkMinimize(name string, j Job) {
	m, d, path := j.Minimize, p.dec, "jobs."+name+".minimize"
	if m == nil {
		return
	}
	if m.Schedule != "" {
		if _, err := schedule.Parse(m.Schedule, p.zone("jobs."+name+".time_zone", j.TimeZone)); err != nil {
			d.at(path+".schedule", "as 0 4 1 * *", "%v", err)
		}
	}
	if m.Budget < 0 {
		d.at(path+".budget", "as 30m", "may not be negative")
	}
	if m.Sample < 0 {
		d.at(path+".sample", "as 20000", "%d people are none", m.Sample)
	}
	if x := m.Margin; x != nil && !(*x > 0 && *x < 1) {
		d.at(path+".margin", "as 0.005, for half a per cent", "%g is not above 0 and under 1", *x)
	}
	for _, set := range sortedKeys(m.Sensitive) {
		for _, c := range m.Sensitive[set] {
			if reads := p.Purposes[j.Purpose.Train].Reads[set]; !slices.Contains(reads, c) {
				hint := "only what the training purpose reads can be left out"
				if near := nearest(c, reads); near != "" {
					hint = "did you mean " + near + "?"
				}
				d.at(path+".sensitive."+set, hint, "purpose %q does not read %q of %s", j.Purpose.Train, c, set)
			}
		}
	}
}

// Without is the text of the project file with what a ledger proposes left out, and all else as it stands: comments, order and layout. An error says that the
// file is written in a way that this cannot edit, or that something else needs what is to be left out; then it is to be done by hand.
func (p *Project) Without(job string, drop jobs.Drop) ([]byte, error) {
	return p.edited(func(root ast.Node) (edits []edit, gone []int, err error) {
		if drop.Window > 0 {
			e, err := setIn(under(under(under(root, "jobs"), job), "train"), "window", features.FormatWindow(drop.Window))
			if err != nil {
				return nil, nil, fmt.Errorf("jobs.%s.train: %w", job, err)
			}
			edits = append(edits, e)
		}
		purpose := p.Jobs[job].Purpose.Train
		reads := under(under(under(root, "purposes"), purpose), "reads")
		for _, set := range sortedKeys(drop.Reads) {
			e, lost, err := takeOut(under(reads, set), drop.Reads[set])
			if err != nil {
				return nil, nil, fmt.Errorf("purposes.%s.reads.%s: %w", purpose, set, err)
			}
			edits, gone = append(edits, e...), append(gone, lost...)
		}
		return edits, gone, nil
	}, func(text string) error {
		want := *p
		if err := want.leaveOut(job, drop, text); err != nil {
			return err
		}
		return want.after(text, "", nil)
	})
}

// leaveOut makes p, a copy, what the edited text is meant to say. What the file leaves to be worked out from the window is worked out anew.
func (p *Project) leaveOut(job string, drop jobs.Drop, text string) error {
	again, err := parse(p.dec.file, []byte(text))
	if err != nil {
		return fmt.Errorf("without it the file is not valid: %w", err)
	}
	p.Jobs, p.Purposes = maps.Clone(p.Jobs), maps.Clone(p.Purposes)
	j := p.Jobs[job]
	if drop.Window > 0 {
		j.Train.Window = drop.Window
		if p.dec.lines["jobs."+job+".evaluate.split.validation"] == 0 {
			j.Evaluate.Split.Validation = again.Jobs[job].Evaluate.Split.Validation
		}
	}
	p.Jobs[job] = j
	purpose := p.Purposes[j.Purpose.Train]
	purpose.Reads = maps.Clone(purpose.Reads)
	for set, columns := range drop.Reads {
		left := []string{}
		for _, c := range purpose.Reads[set] {
			if !slices.Contains(columns, c) {
				left = append(left, c)
			}
		}
		purpose.Reads[set] = left
	}
	p.Purposes[j.Purpose.Train] = purpose
	return nil
}
