package eval

// Quality is what Evaluate measured. Every figure that has no value (an interval of one subject, a ratio to zero) is nil, never NaN.
type Quality struct {
	Headline   string  `json:"headline"` // the metric that verdicts speak of: nDCG at the first length
	K          []int   `json:"k"`
	Items      int     `json:"items"`       // size of the catalog that was ranked in full
	Queries    int     `json:"queries"`     // subjects in the task
	Evaluated  int     `json:"evaluated"`   // subjects with at least one relevant item
	NoRelevant int     `json:"no_relevant"` // subjects left out: nothing they took could stand in a list
	Masked     int     `json:"masked"`      // relevant items that the queries forbid (seen items are masked) and that therefore do not count
	Replicates int     `json:"replicates"`
	Seed       uint64  `json:"seed"`
	Confidence float64 `json:"confidence"`
	MinN       int     `json:"min_n"`

	Contenders  []ContenderQuality `json:"contenders"`
	Comparisons []Comparison       `json:"comparisons"` // the candidate against each other contender, paired
	Cohorts     []CohortQuality    `json:"cohorts"`
}

// ContenderQuality holds the figures of one contender.
type ContenderQuality struct {
	Name      string     `json:"name"`
	Role      Role       `json:"role"`
	Tied      int        `json:"tied"` // lists whose scores are all equal: their order is the catalog's and says nothing
	Estimates []Estimate `json:"estimates"`
}

// Estimate is one figure with its uncertainty: the mean over N subjects, its bootstrap percentile interval at Quality.Confidence and its
// bootstrap standard error. Coverage is not a mean: its interval is normal with the delete-one jackknife's standard error. A split of fewer than
// MinCell subjects has neither N nor figures.
type Estimate struct {
	Metric        string   `json:"metric"`
	Split         Split    `json:"split"`
	N             int      `json:"n"`
	Value         *float64 `json:"value"`
	Low           *float64 `json:"low"`
	High          *float64 `json:"high"`
	StandardError *float64 `json:"standard_error"`
}

// Comparison is the candidate minus, and over, another contender on the same subjects and the same bootstrap weights. P is two-sided:
// (1 + 2·min(#{d* ≤ 0}, #{d* ≥ 0})) / (R + 1), at most 1, uncorrected.
type Comparison struct {
	Metric     string   `json:"metric"`
	Split      Split    `json:"split"`
	Against    string   `json:"against"`
	Role       Role     `json:"role"` // of the other contender
	N          int      `json:"n"`
	Difference *float64 `json:"difference"`
	Low        *float64 `json:"low"`
	High       *float64 `json:"high"`
	P          *float64 `json:"p"`
	Ratio      *float64 `json:"ratio"`
	RatioLow   *float64 `json:"ratio_low"`
	RatioHigh  *float64 `json:"ratio_high"`
}

// CohortQuality holds the figures by group of one cohort attribute (Fairlearn's MetricFrame).
type CohortQuality struct {
	Cohort  string         `json:"cohort"`
	Figures []CohortFigure `json:"figures"`
}

// CohortFigure is one metric of one contender, over all and by group. Min, Max, Difference (max − min, "between groups"),
// DifferenceToOverall (the largest |group − overall|), Ratio (min ÷ max) and RelativeGap (difference ÷ overall) are over the judged groups and nil
// if there are fewer than two. DifferenceLow and DifferenceHigh bound Difference at Quality.Confidence over all pairs at once.
type CohortFigure struct {
	Contender           string   `json:"contender"`
	Metric              string   `json:"metric"`
	Overall             *float64 `json:"overall"`
	OverallError        *float64 `json:"overall_standard_error"`
	ByGroup             []Group  `json:"by_group"`
	Min                 *float64 `json:"group_min"`
	Max                 *float64 `json:"group_max"`
	Difference          *float64 `json:"difference"`
	DifferenceLow       *float64 `json:"difference_low"`
	DifferenceHigh      *float64 `json:"difference_high"`
	DifferenceToOverall *float64 `json:"difference_to_overall"`
	Ratio               *float64 `json:"ratio"`
	RelativeGap         *float64 `json:"relative_gap"`
	// FourFifths tells whether Ratio ≥ 0.8 (the τ of Aequitas), nil without a ratio.
	FourFifths *bool `json:"four_fifths"`
}

// Status says whether a group may be judged.
type Status string

// The states of a group.
const (
	Judged       Status = "judged"
	Insufficient Status = "insufficient_data" // fewer than MinN subjects: printed, not judged
	Suppressed   Status = "suppressed"        // fewer than MinCell subjects, or withheld so that such a group can't be found by subtraction
)

// Group is one row of a cohort table. A suppressed group has neither n nor figures. The standard error is the larger of the group's bootstrap
// error and sd(all)/√n, and the interval is at least as wide as that: a small group that happens to agree is not thereby certain.
type Group struct {
	Level         string   `json:"level"`
	Status        Status   `json:"status"`
	N             *int     `json:"n"`
	Value         *float64 `json:"value"`
	Low           *float64 `json:"low"`
	High          *float64 `json:"high"`
	StandardError *float64 `json:"standard_error"`
	RatioToBest   *float64 `json:"ratio_to_best"` // value ÷ the best judged group's
}

// Contender returns the figures of the contender with this role (the first of them), or nil.
func (q *Quality) Contender(r Role) *ContenderQuality {
	for i := range q.Contenders {
		if q.Contenders[i].Role == r {
			return &q.Contenders[i]
		}
	}
	return nil
}

// Estimate returns the figure of a metric ("ndcg@10") on a split, or nil.
func (c *ContenderQuality) Estimate(metric string, s Split) *Estimate {
	for i := range c.Estimates {
		if c.Estimates[i].Metric == metric && c.Estimates[i].Split == s {
			return &c.Estimates[i]
		}
	}
	return nil
}

// Comparison returns the candidate's comparison with the named contender on a metric and split, or nil.
func (q *Quality) Comparison(metric string, s Split, against string) *Comparison {
	for i := range q.Comparisons {
		if c := &q.Comparisons[i]; c.Metric == metric && c.Split == s && c.Against == against {
			return c
		}
	}
	return nil
}

// Cohort returns the figure of a cohort for a contender and metric, or nil.
func (q *Quality) Cohort(cohort, contender, metric string) *CohortFigure {
	for i := range q.Cohorts {
		if q.Cohorts[i].Cohort != cohort {
			continue
		}
		for j := range q.Cohorts[i].Figures {
			if f := &q.Cohorts[i].Figures[j]; f.Contender == contender && f.Metric == metric {
				return f
			}
		}
	}
	return nil
}
