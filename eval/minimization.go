package eval

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/storage/table"
)

// Worth is one thing that a job could do without: what lists lose without it, beside what it tells of people.
type Worth struct {
	Family string `json:"family"` // history, time, events, subjects, items or views
	Name   string `json:"name"`   // as "90d", "last 20", "device"
	Says   string `json:"says"`   // in words, as "storing 90d instead of 364d costs 0.3 % ± 0.2 % ndcg@10"
	// Sensitive is what the project declares, and About whom a value speaks of: people, or items alone.
	Sensitive bool   `json:"sensitive"`
	About     string `json:"about"`
	// Used is what else reads it, which a retrained model does not tell of: list rules, views, cohorts. Who would do without it goes there first.
	Used    []string     `json:"used"`
	Verdict WorthVerdict `json:"verdict"`
	N       int          `json:"n"`     // people asked
	Value   Figure       `json:"value"` // of lists without it
	// Loss is how much of the metric is lost without it, as a share of what the model has as it stands, paired on the same people: 0.003 is 0.3 %. Below 0
	// lists are better without. Without values it was not judged.
	Loss    Figure      `json:"loss"`
	Groups  []GroupLoss `json:"groups,omitempty"` // of the judged groups of each cohort
	Cost    PrivacyCost `json:"cost"`
	Seconds float64     `json:"seconds"`
}

// WorthVerdict is what is known of doing without something.
type WorthVerdict string

// The verdicts.
const (
	Needed     WorthVerdict = "needed"      // the whole interval of the loss lies above the margin
	Droppable  WorthVerdict = "droppable"   // the whole interval of the loss lies below the margin
	Unclear    WorthVerdict = "undecided"   // the interval reaches over the margin
	Unread     WorthVerdict = "unread"      // the model does not read it: without it the same lists would be made
	NotReached WorthVerdict = "not reached" // the budget of time was spent before
	Failed     WorthVerdict = "failed"      // without it nothing could be trained; Says has why
)

// GroupLoss is the loss of one group of a cohort, paired as the whole: as a share of what the group has with the model as it stands.
type GroupLoss struct {
	Cohort string `json:"cohort"`
	Level  string `json:"level"`
	N      int    `json:"n"`
	Loss   Figure `json:"loss"`
}

// PrivacyCost is what a field tells of people, among those whose data were looked at. A person's combination is the set of the distinct values that stand
// in the person's rows. It is zero for what speaks of items alone.
type PrivacyCost struct {
	People  int       `json:"people"`  // of whom there is a value; 0 if they are under MinCell
	Kept    Share     `json:"kept"`    // of all events, those that are stored; 1 where nothing else is said
	Unique  Share     `json:"unique"`  // of these people, those whose combination nobody else has
	Small   Share     `json:"small"`   // those whose combination fewer than MinCell have
	Coarser []Coarser `json:"coarser"` // the same, told more coarsely
	// Together is how many are unique by all attributes of the data set at once, and Others by all of them but this one; only of attributes of people.
	Together *Share `json:"together,omitempty"`
	Others   *Share `json:"others,omitempty"`
}

// Coarser is one coarser way to tell the same.
type Coarser struct {
	To     string `json:"to"` // as "hour", "category in place of item", "one significant digit"
	Unique Share  `json:"unique"`
	Small  Share  `json:"small"`
}

// Share is a share of people that gives nobody away: where either side of it would be 1 to MinCell−1 of them, it is the bound that MinCell of them would be,
// and of fewer than two times MinCell only none and all are told.
type Share struct {
	Value float64 `json:"value"`
	Bound string  `json:"bound,omitempty"` // "under" or "over" the value; "": it is the value
}

// ShareOf is n of all, told so. Of fewer than MinCell people nothing is told.
func ShareOf(n, all int) Share {
	switch {
	case all >= MinCell && (n == 0 || n == all):
		return Share{Value: float64(n) / float64(all)}
	case all < 2*MinCell:
		return Share{Value: 1, Bound: "under"}
	case n < MinCell:
		return Share{Value: float64(MinCell) / float64(all), Bound: "under"}
	case all-n < MinCell:
		return Share{Value: float64(all-MinCell) / float64(all), Bound: "over"}
	}
	return Share{Value: float64(n) / float64(all)}
}

// All reports whether it is of everybody.
func (s Share) All() bool { return s == Share{Value: 1} }

// String prints a share: 12.0 %, under 3.1 %, over 99.4 %. A bound is rounded outwards.
func (s Share) String() string {
	const tenths = 1000 // of a per cent
	switch s.Bound {
	case "under":
		return "under " + percent(math.Ceil(tenths*s.Value-1e-9)/tenths)
	case "over":
		return "over " + percent(math.Floor(tenths*s.Value+1e-9)/tenths)
	}
	return percent(s.Value)
}

// Judge decides by a margin, a share of the metric, what the interval of a loss says.
func (w *Worth) Judge(margin float64) {
	switch l := w.Loss; {
	case l.Low == nil || l.High == nil:
		w.Verdict = Unclear
	case *l.Low > margin:
		w.Verdict = Needed
	case *l.High < margin:
		w.Verdict = Droppable
	default:
		w.Verdict = Unclear
	}
}

// Spared names what is done without: items brand; of history what lies beyond that which is kept, history beyond 90d.
func (w *Worth) Spared() string {
	name := w.Family + " " + w.Name
	if w.Family != historyFamily {
		return name
	}
	switch {
	case strings.HasPrefix(w.Name, "last "):
		return historyFamily + " beyond the " + OfEach(w.Name)
	case strings.HasPrefix(w.Name, "random "):
		return historyFamily + " beyond " + OfEach(w.Name)
	}
	return historyFamily + " beyond " + w.Name
}

// OfEach names so many events of each person: the last 1 is the last event.
func OfEach(name string) string {
	if how, one := strings.CutSuffix(name, " 1"); one {
		if how == "last" {
			return "last event of each person"
		}
		return "one " + how + " event of each person"
	}
	return name + " events of each person"
}

// historyFamily is the family of what is kept of people's histories; its rows are named by what is kept.
const historyFamily = "history"

// Costs says what doing without costs, as "costs 0.3 % ± 0.2 % ndcg@10".
func (w *Worth) Costs(metric string) string {
	if w.Verdict == Unread {
		return "costs nothing: the model does not read it"
	}
	l := w.Loss
	if l.Value == nil {
		return "costs what was not measured"
	}
	verb, loss := "costs", *l.Value
	if loss < 0 {
		verb, loss = "gains", -loss
	}
	out := verb + " " + strconv.FormatFloat(100*loss, 'f', 1, 64) + " %"
	if l.Low != nil && l.High != nil {
		out += " ± " + strconv.FormatFloat(50*(*l.High-*l.Low), 'f', 1, 64) + " %"
	}
	return out + " " + metric
}

// Hardest is the judged group that loses most, by what it loses at least; nil without one.
func (w *Worth) Hardest() *GroupLoss {
	var out *GroupLoss
	for i := range w.Groups {
		if g := &w.Groups[i]; g.Loss.Low != nil && (out == nil || *g.Loss.Low > *out.Loss.Low) {
			out = g
		}
	}
	return out
}

// RelativeLoss is the loss of a metric as a share of what stands, of figures paired by row, with its 95 % interval; without values where fewer than MinCell
// rows have both, or what stands is 0 throughout. Each row is another person. With r = Σ(standing − own) / Σ standing, its standard error is by
// linearization: √Σ(standing − own − r·standing)² / Σ standing, taken n/(n−1) times under the root.
func RelativeLoss(own, standing []float64, in func(row int) bool) (loss Figure, n int) {
	var lost, had float64
	each := func(f func(lost, had float64)) {
		for i := range own {
			if !math.IsNaN(own[i]) && !math.IsNaN(standing[i]) && (in == nil || in(i)) {
				f(standing[i]-own[i], standing[i])
			}
		}
	}
	each(func(l, h float64) { lost, had, n = lost+l, had+h, n+1 })
	if n < MinCell || !(had > 0) {
		return Figure{}, n
	}
	r, square := lost/had, 0.0
	each(func(l, h float64) { square += (l - r*h) * (l - r*h) })
	half := z95 * math.Sqrt(square*float64(n)/float64(n-1)) / had
	low, high := r-half, r+half
	return Figure{Value: &r, Low: &low, High: &high}, n
}

// Proposal is what a ledger proposes to do without, all of it at once.
type Proposal struct {
	Drop []string `json:"drop"` // family and name of each
	// Judged is the loss without all of them together: what was droppable alone need not be droppable beside others. Its verdict is what holds.
	Judged  Worth    `json:"judged"`
	Without []string `json:"without"` // what was left out of it again, as all of it at once lost too much
}

// Minimization is a ledger of what each field of a job's data is worth. It holds no value of any person, and no count of fewer than MinCell.
type Minimization struct {
	Metric   string      `json:"metric"`
	Margin   float64     `json:"margin"` // the largest loss that is taken for none, as a share of the metric
	People   int         `json:"people"` // whose data were looked at: all, or a sample
	Asked    int         `json:"asked"`  // of these, for whom lists were made
	Sampled  bool        `json:"sampled"`
	Standing Figure      `json:"standing"` // of the model as it stands
	Cost     PrivacyCost `json:"cost"`     // of the histories of items as they are used now
	Rows     []Worth     `json:"rows"`
	Proposal *Proposal   `json:"proposal"` // nil: nothing is droppable, or there was no time to judge it
	Says     string      `json:"says"`     // the headline
}

// Headline says in one sentence what came of it.
func (m *Minimization) Headline() string {
	if p := m.Proposal; p != nil && p.Judged.Verdict != Needed {
		return list(p.Drop) + " " + p.Judged.Costs(m.Metric)
	}
	by := map[WorthVerdict]int{}
	for i := range m.Rows {
		by[m.Rows[i].Verdict]++
	}
	are := "are"
	if by[Needed] == 1 {
		are = "is"
	}
	out := fmt.Sprintf("nothing is proposed: of %d things that could be left out %d %s needed", len(m.Rows), by[Needed], are)
	for _, v := range []WorthVerdict{Unclear, Droppable, NotReached, Failed} {
		if by[v] > 0 {
			out += fmt.Sprintf(", %d %s", by[v], v)
		}
	}
	return out
}

// MinimizationFacts is what a report says of the last ledger of its job.
type MinimizationFacts struct {
	Key       string         `json:"key"`      // of the ledger in the bucket, without .json or .html; "": there is none
	At        time.Time      `json:"at"`       // when it was made, by the project's clock
	Days      int            `json:"days"`     // its age, in whole days
	Interval  table.Interval `json:"interval"` // until whose end it looked at data
	Says      string         `json:"says"`
	Droppable []string       `json:"droppable"`
	Needed    []string       `json:"needed"`
	Undecided int            `json:"undecided"`
	Unreached int            `json:"not_reached"`
}

// Link is what a report of a time says of the ledger under key, without .json.
func (m *Minimization) Link(key string, made, now time.Time, iv table.Interval) *MinimizationFacts {
	f := &MinimizationFacts{Key: key, At: made, Interval: iv, Days: max(0, int(now.Sub(made)/(24*time.Hour))), Says: m.Says, Droppable: []string{}, Needed: []string{}}
	for i := range m.Rows {
		w := &m.Rows[i]
		switch name := w.Spared(); w.Verdict {
		case Needed:
			f.Needed = append(f.Needed, name)
		case Droppable:
			f.Droppable = append(f.Droppable, name)
		case Unclear:
			f.Undecided++
		case NotReached:
			f.Unreached++
		}
	}
	return f
}

// Sentence says what the ledger found, and how old it is.
func (f *MinimizationFacts) Sentence() string {
	age := fmt.Sprintf("%s days ago", count(f.Days))
	switch f.Days {
	case 0:
		age = "less than a day ago"
	case 1:
		age = "a day ago"
	}
	return fmt.Sprintf("Looked at %s, over data up to %s: %s.", age, printTime(f.Interval.End), f.Says)
}

// Open says what is not known.
func (f *MinimizationFacts) Open() string {
	var out []string
	if f.Undecided > 0 {
		out = append(out, count(f.Undecided)+" undecided")
	}
	if f.Unreached > 0 {
		out = append(out, count(f.Unreached)+" not reached in the time there was")
	}
	return list(out)
}

// ByFamily is the rows as they are read: by family, the least loss first; what was not judged is last.
func (m *Minimization) ByFamily() []Worth {
	out := slices.Clone(m.Rows)
	at := func(v *float64) float64 {
		if v == nil {
			return math.Inf(1)
		}
		return *v
	}
	slices.SortStableFunc(out, func(a, b Worth) int {
		return cmp.Or(cmp.Compare(familyOrder(a.Family), familyOrder(b.Family)), cmp.Compare(at(a.Loss.Value), at(b.Loss.Value)))
	})
	return out
}

// AllAtOnce is the family of what was judged together.
const AllAtOnce = "all at once"

// families is the order in which rows are read.
var families = []string{"history", "time", "subjects", "events", "items", "views"}

func familyOrder(name string) int {
	if i := slices.Index(families, name); i >= 0 {
		return i
	}
	return len(families)
}
