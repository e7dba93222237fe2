package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/configs"
	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/jobs"
)

func (a *app) mitigateCmd() *cobra.Command {
	var cohort, metric, mostLoss, budget, at string
	var remedies []string
	var sample int
	var write bool
	c := &cobra.Command{
		Use:   "mitigate JOB [--cohort NAME] [--metric ndcg@10] [--remedy KIND,…] [--most-loss 1%] [--sample N] [--budget 10m] [--at T] [--write]",
		Short: "What it would cost to make the gap between groups smaller",
		Long: "Try remedies against the gap between the groups of a cohort, and measure each beside the model as it stands, on the same people: lists that are spread over an\n" +
			"item attribute as people's histories are (calibrate), of which no brand or category has more than so many places (at_most) or those shown too little have some\n" +
			"(at_least), places for new items (fresh), and training in which the events of people weigh more whose group is served worse (reweight). Each at several\n" +
			"strengths: a curve of what the metric loses against what the gap does, with intervals, and who provides what is shown.\n\n" +
			"What is proposed is the largest cut of the gap beyond chance whose loss lies within --most-loss with its whole interval. Judged on the validation window, with the\n" +
			"test window out of sight. reweight by an attribute of sources.cohorts needs a purpose with use: mitigation that reads it (jobs.NAME.purpose.mitigate); the others\n" +
			"read the cohort to compare groups, and nothing else. Nothing is published: the outcome is kept under mitigation/ of the bucket, with a page beside it. --write puts\n" +
			"the proposal into the project file, which keeps its comments. Ctrl-C ends the search and keeps what was found.",
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := mitigating(cohort, metric, mostLoss, budget, remedies, sample)
			if err != nil {
				return usageError{err}
			}
			e, err := a.errand(cmd.Context(), args[0], at, "train")
			if err != nil {
				return err
			}
			defer e.Close()
			out, err := e.runner.Mitigate(cmd.Context(), e.job, e.interval, o)
			e.progress.done()
			if err != nil {
				return triedFault(err)
			}
			v := mitigated{Mitigated: out, Page: e.Locate(jobs.PageOf(out.Key))}
			if v.Do, v.Written, err = e.remedy(out, write); err != nil {
				return err
			}
			return interruptedAfter(&out.Experiment, a.print(v, func(w io.Writer) { printMitigated(w, v) }))
		},
	}
	f := c.Flags()
	f.StringVar(&cohort, "cohort", "", "one of evaluate.cohorts (default: that whose gap a budget bounds; of several, or of none, the one with the largest relative gap)")
	f.StringVar(&metric, "metric", "", "ndcg at a length of lists, as ndcg@10 (default: the first length of evaluate.k)")
	f.StringVar(&mostLoss, "most-loss", "1%", "how much of the metric a remedy may cost to be proposed, as 1% or 0.01")
	f.StringSliceVar(&remedies, "remedy", nil, "what to try: calibrate, at_most, at_least, fresh, reweight (default: all that can be)")
	f.IntVar(&sample, "sample", 0, "how many people to train on and to ask, at most (default: all)")
	f.StringVar(&budget, "budget", "10m", "how long to try, as 10m or 1h")
	f.StringVar(&at, "at", "", "a day or an RFC 3339 time (default: the last interval that has closed)")
	f.BoolVar(&write, "write", false, "put what is proposed into the project file")
	return c
}

// mitigating reads what is asked for.
func mitigating(cohort, metric, mostLoss, budget string, remedies []string, sample int) (o jobs.Mitigating, err error) {
	o.Cohort = strings.ReplaceAll(cohort, ",", jobs.CohortCross)
	if metric != "" {
		name, k, _ := strings.Cut(metric, "@")
		if o.K, err = strconv.Atoi(k); err != nil || o.K < 1 || name != eval.NDCG {
			return o, fmt.Errorf("--metric %q: remedies are judged by ndcg at a length, as ndcg@10", metric)
		}
	}
	text, percent := strings.CutSuffix(strings.TrimSpace(mostLoss), "%")
	if o.MostLoss, err = strconv.ParseFloat(strings.TrimSpace(text), 64); err != nil {
		return o, fmt.Errorf("--most-loss %q is no share: as 1%% or 0.01", mostLoss)
	}
	if percent {
		o.MostLoss /= 100
	}
	for _, r := range remedies {
		o.Only = append(o.Only, eval.RemedyKind(r))
	}
	if o.Subjects = sample; sample < 0 || sample > 0 && sample < eval.MinCell {
		return o, fmt.Errorf("--sample %d: want %d people or more", sample, eval.MinCell)
	}
	if o.Budget, err = configs.ParseDuration(budget); err != nil || o.Budget <= 0 {
		return o, fmt.Errorf("--budget %q is no time to try for: as 10m or 1h", budget)
	}
	return o, nil
}

// mitigated is what is printed.
type mitigated struct {
	*jobs.Mitigated
	Page    string `json:"page"`    // where the page with the curve is
	Written bool   `json:"written"` // to the project file
	Do      string `json:"do"`      // what to do with it
}

// remedy puts what is proposed into the project file, if that is asked for, and says what was done or what to do.
func (e *errand) remedy(out *jobs.Mitigated, write bool) (do string, written bool, err error) {
	if out.Remedy == nil {
		return out.Next(e.job.Name), false, nil
	}
	text, err := e.Remedied(e.job.Name, out.Remedy)
	patch := ""
	for _, r := range out.Remedies {
		if r.Name == out.Proposed {
			patch = r.Patch
		}
	}
	switch {
	case err != nil:
		return fmt.Sprintf("%v: put it in by hand: %s", err, patch), false, nil
	case !write:
		return "rapport mitigate with --write would put it into the project file: " + patch, false, nil
	}
	if err := e.rewrite(text); err != nil {
		return "", false, err
	}
	return e.File() + " has it: " + patch + "; the next run has it, and its gate judges that beside what is live", true, nil
}

func printMitigated(w io.Writer, v mitigated) {
	row(w, "remedies", fmt.Sprintf("for the gap by %s, of %s of job %s, as of %s", v.Cohort, v.Model, v.Job, clock(v.Interval.End)))
	if v.Chosen != "" {
		row(w, "this gap, as", v.Chosen+" (--cohort names another)")
	}
	row(w, "judged by", fmt.Sprintf("%s of %d people in the validation window, each remedy on the same ones", v.Metric, v.N))
	if v.Missing.Days > 0 {
		row(w, "missing", fmt.Sprintf("%s of the training window, not ingested yet", count(v.Missing.Days, "day")))
	}
	row(w, "ended by", v.Ended())
	row(w)
	if v.Proposed != "" {
		row(w, "proposed", v.Proposed)
	} else {
		row(w, "proposed", "nothing")
	}
	told := v.Told(v.Job)
	for _, x := range told[:len(told)-1] {
		row(w, strings.ToLower(x.Of), x.Says)
	}
	row(w, "next", v.Do)
	row(w)
	row(w, "REMEDY", v.Metric, "CHANGE (95 %)", "GAP (95 %)", "CUT", "CLOSED (95 %)", "")
	for _, r := range v.All() {
		mark := ""
		switch {
		case r.Name == v.Proposed:
			mark = "proposed"
		case r.Front:
			mark = "front"
		}
		change := spanned(r.Change)
		if r.Kind == "" { // it is what the others are held against
			change = "-"
		}
		row(w, r.Name, fourth(r.Value.Value), change, gapOf(r.Gap), relative(r.Cut), spanned(r.Closed), mark)
	}
	row(w)
	head := []any{"SHOWN THEN"}
	for _, x := range v.Stands.Exposure {
		name := strings.ToUpper(x.Attribute)
		head = append(head, "AWRF "+name, "EXPOSURE RATIO "+name)
	}
	row(w, append(head, "COVERAGE", "SAME ITEMS")...)
	for _, r := range v.All() {
		cells := []any{r.Name}
		for _, x := range r.Exposure {
			cells = append(cells, fourth(x.AWRF.Value), fourth(x.Ratio.Value))
		}
		row(w, append(cells, relative(r.Coverage), relative(r.Same))...)
	}
	row(w)
	for _, x := range v.NotTried {
		row(w, "not tried", x.Name+": "+x.Why)
	}
	row(w)
	row(w, "CHANGE", "what becomes of "+v.Metric+", as a share of what the model has as it stands; CUT: the share of the gap that is gone; CLOSED: by which its two groups come together")
	row(w, "front", "no other has both a higher "+v.Metric+" and a smaller gap; AWRF 1: places are spread as what people took; SAME ITEMS: of each list, as before")
	row(w, "page", v.Page)
	row(w, "kept", v.Key)
}

func fourth(x *float64) string {
	if x == nil {
		return "-"
	}
	return fmt.Sprintf("%.4f", *x)
}

func relative(x *float64) string {
	if x == nil {
		return "-"
	}
	return tenths(*x) + " %"
}

// tenths prints a share in percent without its sign of percent, and no minus before a zero.
func tenths(x float64) string {
	if s := fmt.Sprintf("%.1f", 100*x); s != "-0.0" {
		return s
	}
	return "0.0"
}

// gapOf prints a figure in the unit of its metric, with its interval.
func gapOf(f eval.Figure) string {
	if f.Value == nil || f.Low == nil || f.High == nil {
		return fourth(f.Value)
	}
	return fmt.Sprintf("%.4f (%.3f to %.3f)", *f.Value, *f.Low, *f.High)
}

// spanned prints a share in percent, with its interval.
func spanned(f eval.Figure) string {
	if f.Value == nil || f.Low == nil || f.High == nil {
		return relative(f.Value)
	}
	return fmt.Sprintf("%s %% (%s to %s)", tenths(*f.Value), tenths(*f.Low), tenths(*f.High))
}
