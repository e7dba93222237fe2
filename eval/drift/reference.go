package drift

import (
	"fmt"
	"slices"
)

// A period is left out of a reference if its effect against the others is both large in itself and beyond what the other periods show among
// themselves, which is noise where windows are small; and never so many that fewer than minPeriods remain.
const (
	outlierThresholds = 2 // × the column's threshold
	outlierMedians    = 2 // × the median effect of all periods
	minPeriods        = 4
)

// LeftOut says that a period was left out of the reference of a column.
type LeftOut struct {
	Column string
	Period int // index into the periods
}

// Reference pools the summaries of several periods into one reference, column by column, without the periods that are themselves unlike the
// others: one broken day would else be part of what is normal for as long as it stays in the window, and make the days after it look
// drifted. A change that lasts is left out only until it is no longer the exception. periods[i] holds the columns of period i, in one
// order. The summaries of the first periods are not changed. Cost: periods² × bins × 256 for each column.
func Reference(periods [][]*Summary) (pooled []*Summary, left []LeftOut, err error) {
	if len(periods) == 0 {
		return nil, nil, fmt.Errorf("drift reference: no period")
	}
	for c := range periods[0] {
		column := make([]*Summary, len(periods))
		for i := range periods {
			if len(periods[i]) != len(periods[0]) {
				return nil, nil, fmt.Errorf("drift reference: period %d has %d columns, the first %d", i, len(periods[i]), len(periods[0]))
			}
			column[i] = periods[i][c]
		}
		in := make([]int, len(column))
		for i := range in {
			in[i] = i
		}
		for len(in) > minPeriods {
			worst, err := outlier(column, in)
			if err != nil {
				return nil, nil, err
			}
			if worst < 0 {
				break
			}
			left = append(left, LeftOut{Column: column[0].spec.Name, Period: worst})
			in = slices.DeleteFunc(in, func(i int) bool { return i == worst })
		}
		sum, err := pool(column, in, -1)
		if err != nil {
			return nil, nil, err
		}
		pooled = append(pooled, sum)
	}
	return pooled, left, nil
}

// outlier returns the period most unlike the others, or −1 if none is.
func outlier(column []*Summary, in []int) (int, error) {
	effects := make([]float64, len(in)) // over the column's threshold
	for k, i := range in {
		others, err := pool(column, in, i)
		if err != nil {
			return -1, err
		}
		for _, t := range tests(others, column[i]) {
			p, n, _ := totals(t.ref, t.bins)
			q, m, _ := totals(t.cur, t.bins)
			if n == 0 || m == 0 {
				continue
			}
			threshold := JensenShannonThreshold
			if t.edges != nil {
				threshold = WassersteinThreshold
			}
			effects[k] = max(effects[k], t.effect(shares(p, n), shares(q, m))/threshold)
		}
	}
	sorted := slices.Sorted(slices.Values(effects))
	limit := max(outlierThresholds, outlierMedians*sorted[(len(sorted)-1)/2])
	if top := sorted[len(sorted)-1]; top > limit {
		return in[slices.Index(effects, top)], nil
	}
	return -1, nil
}

// pool merges the periods of a column, without one.
func pool(column []*Summary, in []int, without int) (*Summary, error) {
	sum := NewSummary(column[0].spec)
	for _, i := range in {
		if i == without {
			continue
		}
		if err := sum.Merge(column[i]); err != nil {
			return nil, err
		}
	}
	return sum, nil
}
