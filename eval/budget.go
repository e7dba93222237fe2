package eval

import (
	"errors"
	"fmt"
	"slices"
)

// Action says what a failed rule does.
type Action string

// The actions. Ratchet, the default, refuses the candidate unless it is no worse on the failed rule than the live version (for a first
// version: than the best baseline); otherwise it goes on, and the failure is recorded as a risk.
const (
	Block   Action = "block"
	Warn    Action = "warn"
	Ratchet Action = "ratchet"
)

// Budget is one declared acceptable range. It has one of two forms:
//
//   - Cohort with RelativeGap or AbsoluteGap: the largest difference of Metric between the cohort's groups, as a share of the overall value (0.15 is
//     15 %) or in the metric's unit, may not exceed it;
//   - Against with Ratio: Metric over that of the named contender may not fall below it. Against is a contender's name, or "live"; while there
//     is no live version, the best baseline stands in for it.
type Budget struct {
	Metric      string   `json:"metric" yaml:"metric"` // "ndcg@10", on all relevant items
	Cohort      string   `json:"cohort,omitempty" yaml:"cohort,omitempty"`
	RelativeGap *float64 `json:"relative_gap,omitempty" yaml:"relative_gap,omitempty"`
	AbsoluteGap *float64 `json:"absolute_gap,omitempty" yaml:"absolute_gap,omitempty"`
	Against     string   `json:"against,omitempty" yaml:"against,omitempty"`
	Ratio       *float64 `json:"ratio,omitempty" yaml:"ratio,omitempty"`
	MinN        int      `json:"min_n,omitempty" yaml:"min_n,omitempty"` // 0: the task's
	OnFail      Action   `json:"on_fail,omitempty" yaml:"on_fail,omitempty"`
	Owner       string   `json:"owner,omitempty" yaml:"owner,omitempty"`
	Why         string   `json:"why,omitempty" yaml:"why,omitempty"`
}

// Validate reports every fault of the budget: k and cohorts are those of the evaluation, and contenders the names that will be measured
// beside the candidate ("live" is always allowed).
func (b Budget) Validate(k []int, cohorts, contenders []string) error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	metric, length, err := parseMetric(b.Metric)
	switch {
	case err != nil:
		faults = append(faults, err)
	case metric == Coverage:
		fault("%s has no paired interval and can't be a budget", Coverage)
	case !slices.Contains(k, length):
		fault("metric %s: lists are measured at %v", b.Metric, k)
	}
	byCohort := b.Cohort != "" || b.RelativeGap != nil || b.AbsoluteGap != nil
	switch byRatio := b.Against != "" || b.Ratio != nil; {
	case byCohort == byRatio:
		fault("give either cohort with relative_gap or absolute_gap, or against with ratio")
	case byCohort:
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
	if b.OnFail != "" && !slices.Contains([]Action{Block, Warn, Ratchet}, b.OnFail) {
		fault("on_fail %q: want %s, %s or %s", b.OnFail, Ratchet, Block, Warn)
	}
	return errors.Join(faults...)
}

// action is OnFail with its default.
func (b Budget) action() Action {
	if b.OnFail == "" {
		return Ratchet
	}
	return b.OnFail
}
