package eval

import "github.com/rapport-ml/rapport/storage/table"

// trendLength is how many earlier versions a report shows: two weeks of nights.
const trendLength = 13

// TrendPoint is one version of the past as it was judged: on its own test window, so that points differ in their people and days as well.
type TrendPoint struct {
	Version  int            `json:"version"` // 0: the one at hand
	Interval table.Interval `json:"interval"`
	Metric   string         `json:"metric"`
	Figure
	Floor *float64 `json:"popular"` // the popularity baseline's value on the same test: what part of a change is the window's
}

// Follow makes r the next report after that of the live version, which has this number: r shows the versions that were live up to it. It
// depends on nothing else, so equal evaluations have equal trends whatever order they are made in.
func (r *Report) Follow(live *Report, version int) {
	r.Trend = append([]TrendPoint(nil), live.Trend...)
	if p, ok := live.point(); ok {
		p.Version = version
		r.Trend = append(r.Trend, p)
	}
	r.Trend = r.Trend[max(0, len(r.Trend)-trendLength):]
}

// point is the report's own place in a trend.
func (r *Report) point() (p TrendPoint, ok bool) {
	if r.Quality == nil {
		return p, false
	}
	c := r.Quality.Contender(Candidate)
	if c == nil {
		return p, false
	}
	e := c.Estimate(r.Quality.Headline, All)
	if e == nil || e.Value == nil {
		return p, false
	}
	p = TrendPoint{Interval: r.Run.Interval, Metric: r.Quality.Headline, Figure: Figure{e.Value, e.Low, e.High}}
	if e := r.Quality.value(Popular); e != nil {
		p.Floor = e.Value
	}
	return p, true
}

// value returns the headline figure of the named contender on all relevant items, or nil.
func (q *Quality) value(name string) *Estimate {
	for i := range q.Contenders {
		if q.Contenders[i].Name == name {
			return q.Contenders[i].Estimate(q.Headline, All)
		}
	}
	return nil
}
