package eval

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/stat/distuv"
)

// Saying is one sentence or a few of what a search for remedies comes to, under what they are of.
type Saying struct{ Of, Says string }

// Told says what a search for remedies comes to, for who decides about it: how large the gap is and whether it may be chance, what was tried, what the proposed
// remedy brings and costs, or why none is proposed and which is the nearest, what is beyond chance, and what to do next.
func (m *Mitigation) Told(job string) []Saying {
	out := []Saying{{"The gap", m.gap()}}
	if m.Stands.Gap.Value != nil && len(m.Remedies) > 0 {
		out = append(out, Saying{"Tried", m.tried()})
		if p := m.proposed(); p != nil {
			out = append(out, Saying{"It brings", m.brings(p)}, Saying{"It costs", m.costs(p)})
		} else {
			out = append(out, Saying{"Why none", capital(m.none()) + "."})
			if p := m.nearest(); p != nil {
				out = append(out, Saying{"The nearest", fmt.Sprintf("%s. %s %s Against it: %s.", capital(p.Name), m.brings(p), m.costs(p), p.Against)})
			}
		}
		if m.Proposed != "" || m.nearest() != nil {
			out = append(out, Saying{"Chance", m.chance()})
		}
	}
	return append(out, Saying{"Next", m.Next(job)})
}

// gap says how large the gap is, between whom, and whether it may be chance.
func (m *Mitigation) gap() string {
	g := m.Stands.Gap
	if g.Value == nil {
		return fmt.Sprintf("Fewer than two groups of %s have enough people to be judged: nothing can be said of a gap.", crossed(m.Cohort))
	}
	s := fmt.Sprintf("Of the groups of %s, %s is served worst and %s best: %s of %s lie between them", crossed(m.Cohort), m.groupName(m.Stands.Worst), m.groupName(m.Stands.Best), figure(g.Value, g.Low, g.High, plain), m.Metric)
	if m.Stands.RelativeGap != nil {
		s += fmt.Sprintf(", %s of what all people have together", percent(*m.Stands.RelativeGap))
	}
	if m.mayBeNone() {
		return s + ". That may be chance."
	}
	return s + ". That is more than chance."
}

// groupName is what a group is called in a sentence.
func (m *Mitigation) groupName(level string) string {
	if level == Missing {
		return "who has not said"
	}
	return levelNames(m.Cohort)(level)
}

// mayBeNone reports whether the gap itself may be chance.
func (m *Mitigation) mayBeNone() bool { return m.Stands.Gap.Low != nil && *m.Stands.Gap.Low <= 0 }

// kindsInWords say what remedies do.
var kindsInWords = []struct {
	kind RemedyKind
	says string
}{
	{Calibrating, "spread lists over an item attribute as each person’s own history is"},
	{Capping, "let a list hold only so many items of one brand or category"},
	{Flooring, "keep places for brands or categories that are shown less than they are taken"},
	{Freshening, "keep places for new items"},
	{Reweighting, "let events of people whose group is served worse weigh more in training"},
}

// tried says how many remedies of which kinds were tried, and how many were not.
func (m *Mitigation) tried() string {
	var kinds []string
	for _, k := range kindsInWords {
		n := 0
		for i := range m.Remedies {
			if m.Remedies[i].Kind == k.kind {
				n++
			}
		}
		if n > 0 {
			kinds = append(kinds, fmt.Sprintf("%d %s", n, k.says))
		}
	}
	s := fmt.Sprintf("%s, each measured on the same %s people as the model as it stands: %s.", plural(len(m.Remedies), "way"), count(m.N), strings.Join(kinds, "; "))
	if len(m.NotTried) > 0 {
		s += fmt.Sprintf(" %d not tried, and why, stand at the end.", len(m.NotTried))
	}
	return s
}

// proposed is the remedy that is proposed, or nil.
func (m *Mitigation) proposed() *Remedy {
	for i := range m.Remedies {
		if m.Proposed != "" && m.Remedies[i].Name == m.Proposed {
			return &m.Remedies[i]
		}
	}
	return nil
}

// brings says what a remedy does to the gap.
func (m *Mitigation) brings(p *Remedy) string {
	s := fmt.Sprintf("The gap becomes %s smaller: from %s to %s.", optional(p.Cut, percent), optional(m.Stands.Gap.Value, plain), optional(p.Gap.Value, plain))
	if p.Closed.Value != nil {
		s += fmt.Sprintf(" %s and %s come together by %s of what lies between them.", capital(m.groupName(m.Stands.Worst)), m.groupName(m.Stands.Best), figure(p.Closed.Value, p.Closed.Low, p.Closed.High, percent))
	}
	return capital(s)
}

// costs says what a remedy does to the metric, and to whose lists.
func (m *Mitigation) costs(p *Remedy) string {
	change := *p.Change.Value
	s := fmt.Sprintf("%s of %s", percent2(-change), m.Metric)
	switch {
	case change >= 0 && *p.Change.Low >= 0:
		s = fmt.Sprintf("Nothing of %s, which gains %s", m.Metric, percent2(change))
	case change >= 0:
		s = fmt.Sprintf("Probably nothing of %s (%s), at worst %s", m.Metric, signedPercent(change), percent2(-*p.Change.Low))
	default:
		s += fmt.Sprintf(", at worst %s", percent2(-*p.Change.Low))
	}
	s += fmt.Sprintf("; %s is what may be lost.", percent(m.MostLoss))
	if p.Same != nil {
		s += fmt.Sprintf(" %s of each list stay as they are", percent(*p.Same))
		if p.Coverage != nil && m.Stands.Coverage != nil {
			s += fmt.Sprintf(", and %s of the catalog are shown in place of %s", percent(*p.Coverage), percent(*m.Stands.Coverage))
		}
		s += "."
	}
	return s
}

// surety is how sure it is that a remedy makes the gap smaller.
type surety int

const (
	unknownSurety surety = iota // too few people to tell
	chanceSurety                // it may be chance
	aloneSurety                 // it would be beyond chance if no other had been tried
	beyondSurety                // it is beyond chance, as the best of all that were tried
)

// stretch is by how much wider than at Confidence an interval is at the level that allows for all that were tried (Bonferroni): the best of many is the best by
// chance, too.
func (m *Mitigation) stretch() float64 {
	return distuv.UnitNormal.Quantile(1-(1-Confidence)/(2*float64(max(1, len(m.Remedies))))) / z95
}

// surety tells how sure it is that a remedy brings the two groups together.
func (m *Mitigation) surety(p *Remedy) surety {
	switch {
	case p.Cut == nil || p.Closed.Low == nil || p.Change.Low == nil:
		return unknownSurety
	case *p.Cut <= 0 || *p.Closed.Low <= 0:
		return chanceSurety
	case *p.Closed.Value-m.stretch()*(*p.Closed.Value-*p.Closed.Low) <= 0:
		return aloneSurety
	}
	return beyondSurety
}

// dear reports whether a remedy may cost more than may be lost.
func (m *Mitigation) dear(p *Remedy) bool { return *p.Change.Low < -m.MostLoss }

// chance says how many remedies make the gap smaller beyond chance, and by which measure.
func (m *Mitigation) chance() string {
	var of [beyondSurety + 1]int
	for i := range m.Remedies {
		of[m.surety(&m.Remedies[i])]++
	}
	n := len(m.Remedies)
	s := fmt.Sprintf("%d of %d make the gap smaller beyond chance", of[beyondSurety], n)
	if n > 1 {
		s += " when it is allowed for that the best of so many looks good by chance, too"
	}
	if of[aloneSurety] > 0 {
		s += fmt.Sprintf("; %d more would if nothing else had been tried", of[aloneSurety])
	}
	s += "."
	if m.Proposed != "" {
		s += " It is chosen on the people that it is judged by, which flatters it: the next nights tell."
	}
	return s
}

// nearest is, where none is proposed, the remedy that comes nearest to it: of those whose effect is surest the one whose loss may be the smallest; nil where
// nothing points to any.
func (m *Mitigation) nearest() (best *Remedy) {
	for i := range m.Remedies {
		p := &m.Remedies[i]
		switch e := m.surety(p); {
		case e < aloneSurety:
		case best == nil || e > m.surety(best) || e == m.surety(best) && *p.Change.Low > *best.Change.Low:
			best = p
		}
	}
	return best
}

// Next says what to do with the outcome.
func (m *Mitigation) Next(job string) string {
	p, near := m.proposed(), m.nearest()
	switch {
	case p != nil && p.Patch == "":
		return "The project file has it already."
	case p != nil:
		return fmt.Sprintf("Try it: rapport mitigate %s --write puts %s into the project file. The next run trains with it, and its gate judges it beside what is live.", job, p.Patch)
	case m.Stands.Gap.Value == nil || m.mayBeNone():
		return "Measure before anything is changed: more people, or more days to judge by (evaluate.split), tell whether there is a gap."
	case len(m.Remedies) == 0:
		return capital(m.none()) + ": declare what is missing, or allow more time (--budget)."
	case near != nil && m.surety(near) == beyondSurety:
		return fmt.Sprintf("Decide whether the gap is worth it: --most-loss %s would propose %s. If it is not, write why beside the budget.", upToTenths(-*near.Change.Low), near.Name)
	case near != nil:
		return fmt.Sprintf("Ask more people (leave out --sample, or judge by more days, evaluate.split), or try fewer ways: --remedy %s alone.", near.Kind)
	}
	return "None of these moves this gap. See what the group that is served worse takes (the report’s section For whom?) and which events or attributes would tell more of it; or accept the gap, and write why beside its budget."
}

// upToTenths prints a share in percent, rounded up to tenths, as a flag takes it.
func upToTenths(x float64) string { return fmt.Sprintf("%.1f%%", math.Ceil(1000*x)/10) }

// none says why no remedy is proposed: how many stand against a gap that may be chance; how many make the gap smaller beyond chance and may cost too much, and how
// many would be beyond chance if each were alone.
func (m *Mitigation) none() string {
	n := len(m.Remedies)
	if n == 0 {
		var whys []string
		for _, u := range m.NotTried {
			if !slices.Contains(whys, u.Why) {
				whys = append(whys, u.Why)
			}
		}
		if len(whys) == 0 {
			return "no remedy was tried"
		}
		return "no remedy was tried: " + strings.Join(whys, "; ")
	}
	var dear, alone, idle int
	for i := range m.Remedies {
		switch p := &m.Remedies[i]; m.surety(p) {
		case aloneSurety:
			alone++
		case beyondSurety:
			if m.dear(p) {
				dear++
			} else {
				idle++ // only against what may be no gap: else it were proposed
			}
		}
	}
	var out []string
	if idle > 0 {
		out = append(out, fmt.Sprintf("%d of the %d tried would bring its two groups together beyond chance, but nothing is proposed against what may be no gap: more people, or more days of validation, would tell", idle, n))
	}
	if dear > 0 {
		out = append(out, fmt.Sprintf("%d of the %d tried would make it smaller beyond chance, but may cost more than %s of %s", dear, n, percent(m.MostLoss), m.Metric))
	}
	if alone > 0 {
		out = append(out, fmt.Sprintf("%d of the %d tried would be beyond chance if it had been tried alone, and is not as the best of so many", alone, n))
	}
	if len(out) == 0 && n == 1 {
		return "the one remedy tried does not make the gap smaller beyond chance"
	}
	if len(out) == 0 {
		return fmt.Sprintf("none of the %d remedies tried makes the gap smaller beyond chance", n)
	}
	return strings.Join(out, "; ")
}
