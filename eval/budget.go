package eval

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Action says what a failed rule does.
type Action string

// The actions. Ratchet, the default, refuses the candidate if it is worse on the failed rule than the live version (for a first version: than the best
// baseline), by the interval of the difference; otherwise it goes on, and the failure is recorded as a risk.
const (
	Block   Action = "block"
	Warn    Action = "warn"
	Ratchet Action = "ratchet"
)

// Budget is one declared acceptable range. It has one of three forms:
//
//   - Cohort with RelativeGap or AbsoluteGap: the largest difference of Metric between the cohort's groups, as a share of the overall value (0.15 is
//     15 %) or in the metric's unit, may not exceed it;
//   - Against with Ratio: Metric over that of the named contender may not fall below it. Against is a contender's name, or "live"; while there
//     is no live version, the best baseline stands in for it;
//   - AtLeast or AtMost: Metric itself, over all or, with Cohort, in each of the cohort's groups, may not fall below or exceed it.
//
// Margin is how far beyond the bound a value still counts as kept, in the bound's unit: what nobody would act on. Pool is over how long the
// evaluations of the job are pooled for it, each with the version of its own interval; 0: the run's own alone.
type Budget struct {
	Metric      string        `json:"metric" yaml:"metric"` // "ndcg@10", on all relevant items
	Cohort      string        `json:"cohort,omitempty" yaml:"cohort,omitempty"`
	RelativeGap *float64      `json:"relative_gap,omitempty" yaml:"relative_gap,omitempty"`
	AbsoluteGap *float64      `json:"absolute_gap,omitempty" yaml:"absolute_gap,omitempty"`
	Against     string        `json:"against,omitempty" yaml:"against,omitempty"`
	Ratio       *float64      `json:"ratio,omitempty" yaml:"ratio,omitempty"`
	AtLeast     *float64      `json:"at_least,omitempty" yaml:"at_least,omitempty"`
	AtMost      *float64      `json:"at_most,omitempty" yaml:"at_most,omitempty"`
	Margin      float64       `json:"margin,omitempty" yaml:"margin,omitempty"`
	Pool        time.Duration `json:"pool,omitempty" yaml:"pool,omitempty"`   // nanoseconds
	MinN        int           `json:"min_n,omitempty" yaml:"min_n,omitempty"` // 0: the task's
	OnFail      Action        `json:"on_fail,omitempty" yaml:"on_fail,omitempty"`
	Owner       string        `json:"owner,omitempty" yaml:"owner,omitempty"`
	Why         string        `json:"why,omitempty" yaml:"why,omitempty"`
}

// Validate reports every fault of the budget: k and cohorts are those of the evaluation, and contenders the names that will be measured
// beside the candidate ("live" is always allowed).
func (b Budget) Validate(k []int, cohorts, contenders []string) error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	metric, length, err := parseMetric(b.Metric)
	overall := metric == Coverage || metric == Gini // no mean over subjects
	switch {
	case err != nil:
		faults = append(faults, err)
	case overall && !b.ranged():
		fault("%s has no paired interval: give at_least or at_most", metric)
	case overall && (b.Cohort != "" || b.Pool > 0):
		fault("%s is of all lists together: it is neither measured by cohort nor pooled", metric)
	case !slices.Contains(k, length):
		fault("metric %s: lists are measured at their first %s items: write @N with one of these, or add it to evaluate.k", b.Metric, strings.Trim(strings.ReplaceAll(fmt.Sprint(k), " ", ", "), "[]"))
	}
	byGap := b.RelativeGap != nil || b.AbsoluteGap != nil || b.Cohort != "" && !b.ranged()
	byRatio := b.Against != "" || b.Ratio != nil
	switch {
	case byGap && byRatio || byGap && b.ranged() || byRatio && b.ranged() || !byGap && !byRatio && !b.ranged():
		fault("give one of: cohort with relative_gap or absolute_gap; against with ratio; at_least or at_most, with or without cohort")
	case b.ranged():
		if b.AtLeast != nil && b.AtMost != nil {
			fault("give one of at_least and at_most: a budget has one bound, so that its failure has one meaning")
		}
		if b.Cohort != "" && !slices.Contains(cohorts, b.Cohort) {
			fault("cohort %q is not evaluated; there are %q", b.Cohort, cohorts)
		}
		for _, x := range []*float64{b.AtLeast, b.AtMost} {
			if x != nil && (math.IsNaN(*x) || math.IsInf(*x, 0)) {
				fault("a bound of %v is no number", *x)
			}
		}
	case byGap:
		if !slices.Contains(cohorts, b.Cohort) {
			fault("cohort %q is not evaluated; there are %q", b.Cohort, cohorts)
		}
		if (b.RelativeGap == nil) == (b.AbsoluteGap == nil) {
			fault("give one of relative_gap and absolute_gap")
		}
		for _, g := range []*float64{b.RelativeGap, b.AbsoluteGap} {
			if g != nil && !(*g > 0) {
				fault("a gap of %v can't be kept: groups are never measured as equal", *g)
			}
		}
	default:
		if b.Against != string(Live) && !slices.Contains(contenders, b.Against) {
			fault("against %q: nothing of that name is evaluated; there are %q and %q", b.Against, contenders, Live)
		}
		if b.Ratio == nil || !(*b.Ratio > 0) {
			fault("ratio must be given and positive")
		}
	}
	if b.MinN < 0 {
		fault("min_n %d is negative", b.MinN)
	}
	if !(b.Margin >= 0) || math.IsInf(b.Margin, 0) {
		fault("margin %v must be 0 or a number above it", b.Margin)
	}
	if top := ceiling(b.Metric); err == nil && b.ranged() {
		least, most := b.AtLeast, b.AtMost
		switch {
		case least != nil && *least-b.Margin <= 0 || most != nil && *most+b.Margin >= top:
			fault("no value of %s can miss it: it lies between 0 and %v", metric, top)
		case least != nil && *least-b.Margin > top || most != nil && *most+b.Margin < 0:
			fault("no value of %s can keep it: it lies between 0 and %v", metric, top)
		}
	}
	if b.Pool < 0 {
		fault("pool %s is negative", b.Pool)
	}
	if b.OnFail != "" && !slices.Contains([]Action{Block, Warn, Ratchet}, b.OnFail) {
		fault("on_fail %q: want %s, %s or %s", b.OnFail, Ratchet, Block, Warn)
	}
	return errors.Join(faults...)
}

// ranged reports whether the budget bounds a metric itself.
func (b Budget) ranged() bool { return b.AtLeast != nil || b.AtMost != nil }

// least is the smallest number of subjects that is judged.
func (b Budget) least(q *Quality) int {
	if b.MinN == 0 {
		return q.MinN
	}
	return max(b.MinN, MinCell)
}

// within prints a limit with its margin.
func (b Budget) within(limit float64, show func(float64) string) string {
	if b.Margin == 0 {
		return show(limit)
	}
	return show(limit) + ", with a margin of " + show(b.Margin)
}

// action is OnFail with its default.
func (b Budget) action() Action {
	if b.OnFail == "" {
		return Ratchet
	}
	return b.OnFail
}
