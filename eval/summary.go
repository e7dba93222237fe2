package eval

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rapport-ml/rapport/eval/drift"
)

// answer is one of the few questions that everybody asks of a run, answered in a sentence.
type answer struct {
	Question string
	Tone     string // "good", "warn", "bad" or "none"
	Mark     string // says the tone without colour
	Says     string
	Section  string // where the figures stand
}

// marks say a tone without colour.
var marks = map[string]string{"good": "✓", "warn": "!", "bad": "✕", "none": "·"}

// trained reports whether there was anything to judge: a run that its drift check refused has trained nothing.
func (r *Report) trained() bool {
	return r.Quality != nil || r.Model.Digest != "" || r.Decision.Publish
}

// verdict is the decision in one line.
func (r *Report) verdict() (tone, says string) {
	d := &r.Decision
	warned := false
	for _, rule := range d.Rules {
		warned = warned || rule.Effect == Warns || rule.Effect == Accepted
	}
	switch {
	case !r.trained():
		return "bad", "Refused before training: the data have drifted."
	case !d.Publish:
		return "bad", "Refused: this version may not be published."
	case warned:
		return "warn", "May be published, with warnings."
	case d.Verdict == Undecided:
		return "warn", "May be published; not every rule could be decided."
	}
	return "good", "May be published: every rule is kept."
}

// Of what a drift is put down to, beside the causes: of what a model makes of its inputs, and of an input for which nothing was found.
const (
	ofOutputs drift.CauseKind = "outputs"
	ofNothing drift.CauseKind = ""
)

// causeWords say in plain words what a drift is put down to.
var causeWords = map[drift.CauseKind]string{
	drift.UpstreamBreak: "the source writes otherwise than before, as by lost values or other units", drift.ConsentShift: "other people may be used than before",
	drift.RetentionCut: "the window reaches less far back than before", drift.PopulationShift: "other people came, or some are more active than before",
	drift.BehaviourShift: "the same people do otherwise than before", drift.UnclearCause: "what people do has changed, and too few are known from before to say whose doing it is",
	ofOutputs: "what the model makes of its inputs has moved", ofNothing: "what people did in this window is unlike before, and nothing says why",
}

// whys are the reasons of the decision in plain words: those of drift in a line for each cause, and what could not be judged in one. Detail is what stands behind
// such lines, a sentence for each column.
func (r *Report) whys() (out, detail []string) {
	causes := map[string]drift.CauseKind{}
	if r.Drift != nil {
		for _, c := range r.Drift.Columns {
			cause := ofNothing
			switch {
			case c.Cause != nil:
				cause = c.Cause.Kind
			case slices.Contains([]string{"scores", "lists", "quality"}, c.Group):
				cause = ofOutputs
			}
			causes["drift of "+c.Name] = cause
		}
	}
	rules := map[string]*Rule{}
	for i := range r.Decision.Rules {
		if x := &r.Decision.Rules[i]; x.Kind == "drift" {
			if _, of := causes[x.Subject]; of {
				rules[x.Says] = x
			}
		}
	}
	at := map[drift.CauseKind]int{} // the line of each cause
	columns := map[drift.CauseKind][]string{}
	var order []drift.CauseKind
	unjudged, line := 0, -1
	for _, reason := range r.Decision.Reasons {
		x := rules[reason]
		switch {
		case x == nil:
			out = append(out, reason)
			continue
		case x.Verdict == Fail:
			cause := causes[x.Subject]
			if _, had := at[cause]; !had {
				at[cause] = len(out)
				order = append(order, cause)
				out = append(out, "")
			}
			columns[cause] = append(columns[cause], plainName(strings.TrimPrefix(x.Subject, "drift of ")))
		default:
			if unjudged++; line < 0 {
				line = len(out)
				out = append(out, "")
			}
		}
		detail = append(detail, reason)
	}
	for _, cause := range order {
		names := columns[cause]
		if more := len(names) - 4; more > 1 {
			names = append(slices.Clone(names[:4]), fmt.Sprintf("%d other columns", more))
		}
		out[at[cause]] = fmt.Sprintf("Drift: %s. It shows in %s.", causeWords[cause], list(names))
	}
	if line >= 0 {
		out[line] = fmt.Sprintf("Drift of %s could not be judged: too little to go by.", plural(unjudged, "column"))
	}
	return out, detail
}

// answers are the questions of the first screen.
func (r *Report) answers() []answer {
	var out []answer
	if r.trained() {
		out = append(out, r.better(), r.forWhom())
	}
	if r.Rerank != nil {
		out = append(out, r.whichShips())
	}
	out = append(out, r.changed(), r.whose())
	if !r.trained() {
		out = append(out, answer{
			Question: "What is served now?", Tone: "none", Section: "lineage", Says: "What was live before: nothing was trained, judged or published by this run.",
		}, answer{
			Question: "What can be done?", Tone: "none", Section: "drift",
			Says: "If the data are wrong, mend the source and run again. If the change is meant, " + r.acknowledging() + ", and the next run of the interval trains. What it trains is judged like any other: the gate may refuse it still, also for drift of its scores or of the live version’s quality, which is known only then and acknowledged in its turn.",
		})
	}
	for i := range out {
		out[i].Mark = marks[out[i].Tone]
	}
	return out
}

// acknowledging says how what has drifted is acknowledged, cause by cause.
func (r *Report) acknowledging() string {
	var causes []string
	var columns []drift.Column
	if r.Drift != nil {
		columns = r.Drift.Columns
	}
	for _, c := range columns {
		if c.Verdict == drift.Drifted && c.Cause != nil && c.Acknowledged == "" && !slices.Contains(causes, string(c.Cause.Kind)) {
			causes = append(causes, string(c.Cause.Kind))
		}
	}
	if len(causes) < 2 {
		return "rapport drift ack RUN --until T --why TEXT silences this cause until then (of several columns, --column or --cause names those that are known)"
	}
	return "rapport drift ack RUN --until T --why TEXT --cause CAUSE silences one cause until then (here there are " + list(causes) + ")"
}

func (r *Report) better() answer {
	a := answer{Question: "Is it better?", Tone: "none", Says: "Not measured.", Section: "quality"}
	q := r.Quality
	if q == nil {
		return a
	}
	var parts []string
	compare := func(c *Comparison, than string) {
		switch called := c.Called(); {
		case c.Difference == nil:
		case c.Low == nil || c.High == nil:
			parts = append(parts, fmt.Sprintf("Too few people to compare it with %s.", than))
		case called > 0:
			parts = append(parts, fmt.Sprintf("Better than %s, by %s.", than, signed(*c.Difference)))
		case called < 0:
			parts = append(parts, fmt.Sprintf("Worse than %s, by %s.", than, minus(strconv.FormatFloat(-*c.Difference, 'f', 4, 64))))
			a.Tone = "bad"
		default:
			parts = append(parts, fmt.Sprintf("As good as %s, as far as this test can tell.", than))
		}
	}
	live := q.Contender(Live)
	if live != nil {
		if c := q.Comparison(q.Headline, All, live.Name); c != nil {
			compare(c, "what is live ("+strings.TrimPrefix(live.Name, "live ")+")")
			if c.Called() > 0 {
				a.Tone = "good"
			}
		}
	} else if q.NoLive != "" {
		parts = append(parts, "Not compared with what was live: "+q.NoLive+".")
	} else {
		parts = append(parts, "Nothing was live when the interval ended to compare it with.")
	}
	if c := q.Comparison(q.Headline, All, Popular); c != nil {
		compare(c, "a list of best sellers")
		if a.Tone == "none" && c.Called() > 0 {
			a.Tone = "good"
		}
	}
	if len(parts) > 0 {
		a.Says = strings.Join(parts, " ")
	}
	return a
}

func (r *Report) forWhom() answer {
	a := answer{Question: "For whom is it worse?", Tone: "none", Says: "Not known: no cohort was evaluated.", Section: "cohorts"}
	if r.Quality == nil || len(r.Quality.Cohorts) == 0 {
		return a
	}
	var missed, open, kept []string
	worst := map[string]int{} // by cohort: of several budgets, the one that is worst off speaks
	var cohorts []string
	for _, rule := range r.Decision.Rules {
		if rule.Budget == nil || rule.Budget.Cohort == "" {
			continue
		}
		name := crossed(rule.Budget.Cohort)
		if _, had := worst[name]; !had {
			cohorts = append(cohorts, name)
		}
		switch rule.Verdict {
		case Fail:
			worst[name] = 2
		case Pass:
			worst[name] = max(worst[name], 0)
		default:
			worst[name] = max(worst[name], 1)
		}
	}
	for _, name := range cohorts {
		to := []*[]string{&kept, &open, &missed}[worst[name]]
		*to = append(*to, name)
	}
	var parts []string
	say := func(names []string, words string) {
		if len(names) > 0 {
			if more := len(names) - 3; more > 1 {
				names = append(slices.Clone(names[:3]), fmt.Sprintf("%d other cohorts", more))
			}
			parts = append(parts, fmt.Sprintf("By %s %s.", list(names), words))
		}
	}
	say(missed, "a budget is missed")
	say(open, "nobody can tell yet whether the budget is kept: too few people")
	say(kept, "the budget is kept")
	switch {
	case len(missed) > 0:
		a.Tone = "bad"
	case len(open) > 0:
		a.Tone = "warn"
	case len(kept) > 0:
		a.Tone = "good"
	}
	if gap, cohort := r.widest(); gap != nil {
		parts = append(parts, fmt.Sprintf("The widest gap seen is %s of the overall value, by %s.", percent(*gap), crossed(cohort)))
	}
	if len(missed)+len(open)+len(kept) == 0 {
		parts = append(parts, "No budget is set for it.")
	}
	a.Says = strings.Join(parts, " ")
	return a
}

// widest is the candidate's largest relative gap on the headline metric, and its cohort.
func (r *Report) widest() (gap *float64, cohort string) {
	c := r.Quality.Contender(Candidate)
	if c == nil {
		return nil, ""
	}
	for _, q := range r.Quality.Cohorts {
		if f := r.Quality.Cohort(q.Cohort, c.Name, r.Quality.Headline); f != nil && f.RelativeGap != nil && (gap == nil || *f.RelativeGap > *gap) {
			gap, cohort = f.RelativeGap, q.Cohort
		}
	}
	return gap, cohort
}

func (r *Report) whichShips() answer {
	f := r.Rerank
	a := answer{Question: "Which ranking ships?", Tone: "none", Section: "rerank"}
	a.Says = "The linear blend: the re-ranker was not better by more than chance."
	switch {
	case f.N == 0:
		a.Says = "The linear blend: there was too little to compare a re-ranker by."
	case f.Ships:
		a.Tone, a.Says = "good", "The re-ranked blend: it was better than the linear one by more than chance."
	}
	if f.Difference.Value != nil {
		a.Says = strings.TrimSuffix(a.Says, ".") + fmt.Sprintf(" (%s %s).", f.Metric, signed(*f.Difference.Value))
	}
	return a
}

func (r *Report) changed() answer {
	a := answer{Question: "What changed in the data?", Tone: "none", Says: "Not judged: there is no earlier window to compare with yet.", Section: "drift"}
	if r.Drift == nil {
		return a
	}
	names := r.Drift.Drifted()
	unknown := 0
	for _, c := range r.Drift.Columns {
		if c.Verdict == drift.Insufficient {
			unknown++
		}
	}
	switch {
	case len(names) > 0:
		for i := range names {
			names[i] = plainName(names[i])
		}
		verb := "has"
		if len(names) > 1 {
			verb = "have"
		}
		a.Tone, a.Says = "warn", fmt.Sprintf("%d of %d columns %s drifted: %s.", len(names), len(r.Drift.Columns), verb, list(names))
	case unknown == len(r.Drift.Columns):
		a.Says = "Too few people to tell change from chance."
	default:
		a.Tone, a.Says = "good", fmt.Sprintf("Nothing large: none of %d columns has drifted.", len(r.Drift.Columns))
	}
	return a
}

func (r *Report) whose() answer {
	a := answer{Question: "Whose data was used?", Tone: "none", Says: "Not recorded.", Section: "data"}
	var parts []string
	read, _ := r.stage("read")
	kept, _ := r.stage("kept")
	switch {
	case read > 0 && kept > 0:
		parts = append(parts, fmt.Sprintf("%s of %s events of the interval were kept (%s).", count(kept), count(read), percent(float64(kept)/float64(read))))
	case len(r.Funnel) > 0:
		parts = append(parts, "What was kept and left out stands below; small counts are not shown.")
	}
	if len(r.Unexpected) > 0 {
		a.Tone = "warn"
		parts = append(parts, fmt.Sprintf("They are not as the project expects them: %s.", strings.Join(r.Unexpected, "; ")))
	}
	most, why := int64(0), ""
	for _, f := range r.Funnel {
		if n, ok := r.stage(f.Reason); ok && f.Reason != "read" && f.Reason != "kept" && n > most {
			most, why = n, f.Reason
		}
	}
	if why != "" {
		parts = append(parts, fmt.Sprintf("Most of what was left out: %s.", reasonName(why)))
	}
	if r.Data.Subjects != "" {
		parts = append(parts, fmt.Sprintf("It learnt from %s events of %s people.", count(r.Data.Rows), printed(r.Data.Subjects)))
	}
	if len(parts) > 0 {
		a.Says = strings.Join(parts, " ")
	}
	return a
}

// stage is the number of rows of a stage of the funnel; ok is false where it is not printed as a number.
func (r *Report) stage(reason string) (n int64, ok bool) { return stageOf(r.Funnel, reason) }

func stageOf(funnel []FunnelRow, reason string) (n int64, ok bool) {
	for _, f := range funnel {
		if f.Reason == reason {
			n, err := strconv.ParseInt(strings.ReplaceAll(f.Rows, ",", ""), 10, 64)
			return n, err == nil && n >= 0
		}
	}
	return 0, false
}
