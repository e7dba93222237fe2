package drift

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// ConsentGroup is the group of the columns that tell whose data may be used.
const ConsentGroup = "consent"

const (
	shareN    = "share_difference"
	relativeN = "relative_difference"

	// RateThreshold is the change of a share, 0 to 1, that counts as large, and FigureThreshold that of a figure, relative to what it was.
	RateThreshold   = 0.05
	FigureThreshold = 0.1

	fewestRates = 4 // intervals, to know how much a rate changes by itself
)

// Rate is a share of what was read in one interval.
type Rate struct{ N, Of int64 }

// ConsentRate compares the share of an interval's events that may be used with those of the intervals before it. Whose the events are that may not is
// not known any more, so the intervals are what is drawn: p is that of an interval as far from the mean of the others (Student's t of a prediction).
// It is NaN for fewer than four intervals with events.
func ConsentRate(purpose string, reference []Rate, current Rate) Measured {
	m := Measured{
		Name: "consent:" + purpose, Group: ConsentGroup, Statistic: shareN, Effect: math.NaN(), Threshold: RateThreshold, P: math.NaN(), CurrentRows: current.Of,
	}
	var shares []float64
	var mean float64
	for _, r := range reference {
		if r.Of > 0 {
			m.ReferenceRows += r.Of
			shares = append(shares, float64(r.N)/float64(r.Of))
			mean += shares[len(shares)-1]
		}
	}
	if len(shares) == 0 || current.Of == 0 {
		return m
	}
	n := float64(len(shares))
	mean /= n
	is := float64(current.N) / float64(current.Of)
	m.Effect = math.Abs(is - mean)
	m.Says = fmt.Sprintf("Of the events read, %s may be used for %s; %s before.", percent(is), purpose, percent(mean))
	if len(shares) < fewestRates {
		return m
	}
	var squares float64
	for _, s := range shares {
		squares += (s - mean) * (s - mean)
	}
	// Rates of no spread at all are known to no more than one event of an interval.
	deviation := max(math.Sqrt(squares/(n-1)), n/float64(m.ReferenceRows))
	t := m.Effect / (deviation * math.Sqrt(1+1/n))
	m.P = 2 * distuv.StudentsT{Mu: 0, Sigma: 1, Nu: n - 1}.Survival(t)
	return m
}

// Estimate is a figure with its standard error and how many people stand behind it.
type Estimate struct {
	Value, Error float64
	N            int
}

// Figure compares a figure of the interval with what it was: two independent estimates, by the normal approximation.
func Figure(name, group string, was, is Estimate) Measured {
	m := Measured{
		Name: name, Group: group, Statistic: relativeN, Effect: math.NaN(), Threshold: FigureThreshold, P: math.NaN(), ReferenceRows: int64(was.N), CurrentRows: int64(is.N),
	}
	spread := math.Hypot(was.Error, is.Error)
	if !isNumber(was.Value) || !isNumber(is.Value) || was.Value == 0 {
		return m
	}
	m.Effect = math.Abs(is.Value-was.Value) / math.Abs(was.Value)
	m.Says = fmt.Sprintf("It is %s, and was %s.", short(is.Value), short(was.Value))
	if spread > 0 {
		m.P = 2 * distuv.UnitNormal.Survival(math.Abs(is.Value-was.Value)/spread)
	}
	return m
}
