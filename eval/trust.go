package eval

import (
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/storage/table"
)

// TrustFacts are what people's trust and a service's growth were, week by week, oldest first. They are counts of people that are MinCell or more, or
// zero, and shares of such counts; whoever is behind them stands nowhere.
type TrustFacts struct {
	Weeks []TrustWeek `json:"weeks"`
	Notes []string    `json:"notes,omitempty"` // what cannot be told, and why, once each
}

// TrustWeek is one ISO week, Monday to Monday in the job's time zone.
type TrustWeek struct {
	Week     string         `json:"week"` // 2026-W34
	Interval table.Interval `json:"interval"`
	Counted  time.Time      `json:"counted"` // when: it is counted once, with what was known by its end, and stands
	Days     int            `json:"days"`    // of it that the source had files for
	Of       int            `json:"of"`      // days that it has; with fewer than the job wants, figures of events are gaps
	Groups   []TrustGroup   `json:"groups"`  // the whole first
	Notes    []string       `json:"notes,omitempty"`
}

// TrustGroup is everybody (no cohort), or one level of a cohort.
type TrustGroup struct {
	Cohort  string        `json:"cohort"`
	Level   string        `json:"level"`
	Figures []TrustFigure `json:"figures"`
}

// TrustFigure is one figure. N and Of are the counts that a share is of.
type TrustFigure struct {
	Metric  string      `json:"metric"`
	Purpose string      `json:"purpose,omitempty"` // whose basis it is about
	Status  TrustStatus `json:"status"`
	Value   *float64    `json:"value"` // nil unless told
	N       *int        `json:"n,omitempty"`
	Of      *int        `json:"of,omitempty"`
}

// TrustStatus says whether a figure is told.
type TrustStatus string

// The statuses.
const (
	Told     TrustStatus = "told"
	Withheld TrustStatus = "withheld" // of fewer than MinCell people, or it would give such a figure away
	Gap      TrustStatus = "gap"      // nobody could count it; not a zero
)

// The metrics of trust and of growth.
const (
	TrustConsent      = "consent_rate"
	TrustGiven        = "given"
	TrustRenewed      = "renewed"
	TrustWithdrawn    = "withdrawn"
	TrustExpired      = "expired"
	TrustRefused      = "refused"
	TrustPermitted    = "permitted_rows"
	TrustUnprofiled   = "unprofiled"
	TrustOptOuts      = "opt_outs"
	TrustComplaints   = "complaints"
	TrustExplanations = "explanation_views"
	TrustColumns      = "columns_read"
	TrustHeld         = "days_held"
	TrustErasures     = "erasures_asked"
	TrustErased       = "erasures_done"
	TrustOverdue      = "erasures_overdue"
	GrowthActive      = "active"
	GrowthNew         = "new"
	GrowthEvents      = "events"
	GrowthConversions = "conversions"
)

// trustForm is what kind of number a metric is.
type trustForm int

const (
	people     trustForm = iota // a count of them
	peopleRate                  // a share of people, or of their rows
	happened                    // a count of events, of people of whom there must be enough
	ofNobody                    // a number or share that is of nobody
)

// trustMetric is one metric and what it means.
type trustMetric struct {
	Name   string
	form   trustForm
	Growth bool
	some   bool // of the active people, whose number is told
	share  bool // of nobody, and a share
	Says   string
}

// trustMetrics are all of them, in the order in which they are shown.
var trustMetrics = []trustMetric{
	{Name: TrustConsent, form: peopleRate, Says: "Of the people of whom there is a record of consent for the purpose, active or not, those whose consent was valid at the week’s last moment. People who were never asked have no record and are in neither number."},
	{Name: TrustGiven, form: people, Says: "People whose consent began in the week, or began again."},
	{Name: TrustRenewed, form: people, Says: "People who consented again while their consent held."},
	{Name: TrustWithdrawn, form: people, Says: "People who withdrew, or objected to a purpose that rests on a legitimate interest. A record counts in the week in which it is both effective and recorded; each person once."},
	{Name: TrustExpired, form: people, Says: "People whose consent ran out in the week; at the very end of a week it is the next one’s."},
	{Name: TrustRefused, form: people, Says: "People who said no where no consent held, and had not said so before."},
	{Name: TrustPermitted, form: peopleRate, Says: "Of the rows of the source that consent decides on, those that the training purpose was allowed to keep, as decided when each day was read."},
	{Name: TrustUnprofiled, form: peopleRate, Says: "Of the people with events in the week, those who wanted no profile at its last moment: level off, or paused."},
	{Name: TrustOptOuts, form: people, Says: "People who asked for that in the week."},
	{Name: TrustComplaints, form: people, some: true, Says: "People with an event of a kind that the job declares a complaint."},
	{Name: TrustExplanations, form: people, some: true, Says: "People with an event of a kind that the job declares a look at the reasons of a list."},
	{Name: TrustColumns, form: ofNobody, share: true, Says: "Of the columns that the week’s event files have, those that are read: ids, times and what the purposes declare."},
	{Name: TrustHeld, form: ofNobody, Says: "Days of events that are held, as far back as this job reads."},
	{Name: TrustErasures, form: people, Says: "People who asked in the week to be forgotten."},
	{Name: TrustErased, form: people, Says: "People whose erasure was finished in the week."},
	{Name: TrustOverdue, form: people, Says: "People who had asked 30 days before the week’s last moment or earlier, and whose erasure was not finished then."},
	{Name: GrowthActive, form: people, Growth: true, Says: "People with events in the week that may be counted. Who had no valid basis when a day was read is not among those of that day."},
	{Name: GrowthNew, form: people, some: true, Growth: true, Says: "Of these, the people without any event in the four weeks before."},
	{Name: GrowthEvents, form: happened, Growth: true, Says: "Their events."},
	{Name: GrowthConversions, form: happened, some: true, Growth: true, Says: "Their events of the kinds that the job declares conversions."},
}

// trustMetricOf returns a metric by name, or nil.
func trustMetricOf(name string) *trustMetric {
	if i := slices.IndexFunc(trustMetrics, func(m trustMetric) bool { return m.Name == name }); i >= 0 {
		return &trustMetrics[i]
	}
	return nil
}

// TrustTally is one figure as it was counted, before anything is withheld. It never leaves the process that counted it.
type TrustTally struct {
	Metric, Purpose string
	N               int     // people who stand behind it
	Of              int     // the people whom they are some of, where that number is told too
	Value           float64 // of what is no count of people
	Gap             bool    // it could not be counted
}

// TrustCohort is the tallies of one cohort: of each level those of the same metrics, in the same order. The levels divide everybody (Missing is one), so
// that each metric's counts add up to those of the whole.
type TrustCohort struct {
	Name    string
	Levels  []string
	Tallies [][]TrustTally // by level
}

// TellTrust makes figures of tallies, and withholds what would tell of fewer than MinCell people: a count of fewer (a zero is told), a share of which
// either side is so small, and then as many others as it takes for none of these to follow from what is told: in a cohort the smallest other levels
// (as of cohorts in reports), among what began, was withdrawn and expired the smallest other. The whole comes first.
func TellTrust(whole []TrustTally, cohorts []TrustCohort) []TrustGroup {
	hidden := make([]bool, len(whole))
	for i, t := range whole {
		for _, n := range t.parts() {
			hidden[i] = hidden[i] || n > 0 && n < MinCell
		}
	}
	hideFlows(whole, hidden)
	out := []TrustGroup{{Figures: tell(whole, hidden)}}
	for _, c := range cohorts {
		for l, own := range c.hide(whole, hidden) {
			out = append(out, TrustGroup{Cohort: c.Name, Level: c.Levels[l], Figures: tell(c.Tallies[l], own)})
		}
	}
	return out
}

// KeepTold gives a week that is counted again (now) what an earlier count has told of people: whoever has both would learn of the few who have come or gone
// between them by subtraction. A metric that told of nobody, was withheld or a gap is told anew. Where a metric is kept, a level that has no figure of it is a gap.
func KeepTold(now, earlier []TrustGroup) []TrustGroup {
	if len(now) == 0 || len(earlier) == 0 {
		return now
	}
	for _, kept := range earlier[0].Figures {
		if !kept.tells() {
			continue
		}
		for g := range now {
			f := now[g].Figure(kept.Metric, kept.Purpose)
			if f == nil {
				continue
			}
			*f = TrustFigure{Metric: kept.Metric, Purpose: kept.Purpose, Status: Gap}
			for _, level := range []string{now[g].Level, Few} { // of what was folded then nothing was told
				at := slices.IndexFunc(earlier, func(e TrustGroup) bool { return e.Cohort == now[g].Cohort && e.Level == level })
				if at < 0 {
					continue
				}
				if was := earlier[at].Figure(kept.Metric, kept.Purpose); was != nil {
					*f = *was
				}
				break
			}
		}
	}
	return now
}

// FoldSmall puts one group in place of all levels of a cohort of which no figure tells of anybody: what a few people are called may be as telling as how many they are.
// It stands before the last level.
func FoldSmall(groups []TrustGroup) (out []TrustGroup) {
	at := map[string]int{} // cohort → its Few
	for _, g := range groups {
		if g.Cohort == "" || g.Level == Missing || slices.ContainsFunc(g.Figures, func(f TrustFigure) bool { return f.tells() }) {
			out = append(out, g)
			continue
		}
		i, ok := at[g.Cohort]
		if !ok {
			at[g.Cohort] = len(out)
			out = append(out, TrustGroup{Cohort: g.Cohort, Level: Few, Figures: slices.Clone(g.Figures)})
			continue
		}
		for k, f := range g.Figures { // of the same metrics, in the same order
			if few := &out[i].Figures[k]; few.Status != f.Status {
				*few = TrustFigure{Metric: f.Metric, Purpose: f.Purpose, Status: Withheld}
			}
		}
	}
	return out
}

// tells reports whether a figure tells of how many people something holds.
func (f *TrustFigure) tells() bool {
	m := trustMetricOf(f.Metric)
	return f.Status == Told && f.Value != nil && m != nil && m.form != ofNobody && (m.form == peopleRate || *f.Value != 0)
}

// parts are the counts of people that a figure tells: those who stand behind it, and the others of whom they are some.
func (t TrustTally) parts() []int {
	switch m := trustMetricOf(t.Metric); {
	case t.Gap || m == nil || m.form == ofNobody:
		return nil
	case m.form == peopleRate || m.some:
		return []int{t.N, t.Of - t.N}
	}
	return []int{t.N}
}

// hideFlows sees to it that none of what changes the number of those whose consent holds follows from the others and from how that number has changed.
func hideFlows(ts []TrustTally, hidden []bool) {
	flows := map[string][]int{} // by purpose
	for i, t := range ts {
		if slices.Contains([]string{TrustGiven, TrustWithdrawn, TrustExpired}, t.Metric) && !t.Gap {
			flows[t.Purpose] = append(flows[t.Purpose], i)
		}
	}
	for _, at := range flows {
		var sizes []int
		for _, i := range at {
			sizes = append(sizes, ts[i].N)
		}
		some := 0
		for j, h := range suppress(sizes) {
			if h && sizes[j] > 0 {
				hidden[at[j]] = true
				some++
			}
		}
		for j, n := range sizes {
			if some == 1 && n == 0 { // a zero beside it would tell it
				hidden[at[j]] = true
			}
		}
	}
}

// hide says of each level which of its figures are withheld.
func (c *TrustCohort) hide(whole []TrustTally, all []bool) [][]bool {
	out := make([][]bool, len(c.Levels))
	if len(out) == 0 {
		return nil
	}
	for l := range out {
		out[l] = make([]bool, len(c.Tallies[l]))
	}
	withhold := func(i int) {
		var columns [2][]int
		for l := range out {
			for p, n := range c.Tallies[l][i].parts() {
				columns[p] = append(columns[p], n)
			}
		}
		for _, sizes := range columns {
			if len(sizes) < len(out) { // a gap, or a number of nobody
				continue
			}
			for l, h := range suppress(sizes) {
				out[l][i] = out[l][i] || h && sizes[l] > 0
			}
		}
	}
	for i := range c.Tallies[0] {
		withhold(i)
		metric, purpose := c.Tallies[0][i].Metric, c.Tallies[0][i].Purpose
		if at := slices.IndexFunc(whole, func(t TrustTally) bool { return t.Metric == metric && t.Purpose == purpose }); at < 0 || all[at] {
			for l := range out { // or their sum would tell it
				out[l][i] = true
			}
		}
	}
	active := slices.IndexFunc(c.Tallies[0], func(t TrustTally) bool { return t.Metric == GrowthActive })
	for l := range out {
		for i := range c.Tallies[l] {
			if active >= 0 && out[l][active] && len(c.Tallies[l][i].parts()) > 1 { // it says of how many it is
				out[l][i] = true
			}
		}
	}
	return out
}

// tell makes figures of tallies, in their order.
func tell(ts []TrustTally, hidden []bool) []TrustFigure {
	out := make([]TrustFigure, len(ts))
	for i, t := range ts {
		f := TrustFigure{Metric: t.Metric, Purpose: t.Purpose, Status: Told}
		m := trustMetricOf(t.Metric)
		value := t.Value
		switch {
		case t.Gap || m == nil || m.form == peopleRate && t.Of == 0:
			f.Status = Gap
		case hidden[i]:
			f.Status = Withheld
		case m.form == people:
			value = float64(t.N)
		case m.form == peopleRate:
			value = float64(t.N) / float64(t.Of)
			f.N, f.Of = &t.N, &t.Of
		}
		if f.Status == Told {
			f.Value = finite(value)
		}
		out[i] = f
	}
	return out
}

// Figure returns one figure of a group, or nil.
func (g *TrustGroup) Figure(metric, purpose string) *TrustFigure {
	if i := slices.IndexFunc(g.Figures, func(f TrustFigure) bool { return f.Metric == metric && f.Purpose == purpose }); i >= 0 {
		return &g.Figures[i]
	}
	return nil
}

// Print prints a figure: 91.2 %, 1,240, "under 11", or a dash where there is a gap.
func (f *TrustFigure) Print() string {
	switch {
	case f == nil || f.Status == Gap:
		return "—"
	case f.Status == Withheld || f.Value == nil:
		return "withheld"
	}
	if m := trustMetricOf(f.Metric); m != nil && (m.form == peopleRate || m.share) {
		return percent(*f.Value)
	}
	return count(int64(*f.Value))
}

// TrustLine is one metric over the weeks.
type TrustLine struct {
	Metric, Purpose string
	Growth          bool
	Figures         []*TrustFigure // a week each; nil: that week has none
}

// Name is what the line is called: the metric in words, and the purpose.
func (l *TrustLine) Name() string {
	if l.Purpose != "" {
		return plainName(l.Metric) + " for " + plainName(l.Purpose)
	}
	return plainName(l.Metric)
}

// Levels are the levels of a cohort in any of the weeks, Missing last.
func (t *TrustFacts) Levels(cohort string) (out []string) {
	for _, w := range t.Weeks {
		for _, g := range w.Groups {
			if g.Cohort == cohort && cohort != "" && !slices.Contains(out, g.Level) {
				out = append(out, g.Level)
			}
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		if (a == Missing) != (b == Missing) {
			if a == Missing {
				return 1
			}
			return -1
		}
		return strings.Compare(a, b)
	})
	return out
}

// Lines are the metrics of a group over all weeks, those of trust first. A metric that no week tells anything of is left out.
func (t *TrustFacts) Lines(cohort, level string) []TrustLine {
	type name struct{ metric, purpose string }
	var order []name
	figures := map[name][]*TrustFigure{}
	for w := range t.Weeks {
		for g := range t.Weeks[w].Groups {
			group := &t.Weeks[w].Groups[g]
			if group.Cohort != cohort || group.Level != level {
				continue
			}
			for i := range group.Figures {
				f := &group.Figures[i]
				n := name{f.Metric, f.Purpose}
				if figures[n] == nil {
					figures[n] = make([]*TrustFigure, len(t.Weeks))
					order = append(order, n)
				}
				figures[n][w] = f
			}
		}
	}
	var out []TrustLine
	for _, m := range trustMetrics {
		for _, n := range order {
			if n.metric == m.Name && slices.ContainsFunc(figures[n], func(f *TrustFigure) bool { return f != nil && f.Status != Gap }) {
				out = append(out, TrustLine{Metric: n.metric, Purpose: n.purpose, Growth: m.Growth, Figures: figures[n]})
			}
		}
	}
	return out
}
