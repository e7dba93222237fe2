package eval

import "cmp"

// Quality is what Evaluate measured. Every figure that has no value (an interval of one subject, a ratio to zero) is nil, never NaN.
type Quality struct {
	Protocol   Protocol `json:"protocol"`
	Seen       Masking  `json:"seen"`     // whether lists may hold what the subject had before
	Headline   string   `json:"headline"` // the metric that verdicts speak of: nDCG at the first length
	K          []int    `json:"k"`
	Items      int      `json:"items"`       // size of the catalog that was ranked in full
	Queries    *int     `json:"queries"`     // subjects in the task; nil where few of them are left out
	Evaluated  int      `json:"evaluated"`   // subjects with at least one relevant item
	NoRelevant *int     `json:"no_relevant"` // subjects left out: nothing they took could stand in a list; nil where they are few
	Masked     int      `json:"masked"`      // relevant items that the queries forbid (seen items are masked) and that therefore do not count
	Replicates int      `json:"replicates"`
	Seed       uint64   `json:"seed"`
	Confidence float64  `json:"confidence"`
	MinN       int      `json:"min_n"`
	// NoLive says why the version that was live is not among the contenders, and it is "" where it is, or none was.
	NoLive string `json:"no_live,omitempty"`

	Contenders  []ContenderQuality `json:"contenders"`
	Comparisons []Comparison       `json:"comparisons"` // the candidate against each other contender, paired
	Cohorts     []CohortQuality    `json:"cohorts"`
	Providers   []ProviderQuality  `json:"providers"` // whose items are shown, by declared item attribute
	Content     []ContentQuality   `json:"content"`   // what stands in the lists, for everybody and by cohort

	Pool *Pool `json:"-"` // of the figures that Task.Pool names
}

// Masking says whether lists may hold what the subject had before.
type Masking string

// The two ways.
const (
	Kept    Masking = "kept"
	LeftOut Masking = "masked"
)

// ContenderQuality holds the figures of one contender.
type ContenderQuality struct {
	Name      string     `json:"name"`
	Role      Role       `json:"role"`
	Tied      *int       `json:"tied"` // lists whose scores are all equal: their order is the catalog's and says nothing; nil where they are few, or all but few
	Estimates []Estimate `json:"estimates"`
}

// Estimate is one figure with its uncertainty: the mean over N subjects, its bootstrap percentile interval at Quality.Confidence and its
// bootstrap standard error. Coverage and Gini are no means: their intervals are from jackknives. A split of fewer than MinCell subjects has neither N nor
// figures. Where it is not over all subjects, N is as many as it is over at least: those whom it leaves out are told in steps of MinCell.
type Estimate struct {
	Metric        string   `json:"metric"`
	Split         Split    `json:"split"`
	N             int      `json:"n"`
	Value         *float64 `json:"value"`
	Low           *float64 `json:"low"`
	High          *float64 `json:"high"`
	StandardError *float64 `json:"standard_error"`

	people int // of a pool, see PoolCell.people; 0: N
}

// known is how many people stand behind an estimate, where N counts some more than once.
func (x *Estimate) known() int { return cmp.Or(x.people, x.N) }

// Comparison is the candidate minus, and over, another contender on the same subjects and the same bootstrap weights. P is two-sided:
// (1 + 2·min(#{d* ≤ 0}, #{d* ≥ 0})) / (R + 1), at most 1, uncorrected. PAdjusted is corrected (Holm) over the comparisons of the same metric and split with
// the live version and the baselines; a part of the blend has none.
type Comparison struct {
	Metric        string   `json:"metric"`
	Split         Split    `json:"split"`
	Against       string   `json:"against"`
	Role          Role     `json:"role"` // of the other contender
	N             int      `json:"n"`
	Difference    *float64 `json:"difference"`
	Low           *float64 `json:"low"`
	High          *float64 `json:"high"`
	StandardError *float64 `json:"standard_error"` // of the difference
	P             *float64 `json:"p"`
	PAdjusted     *float64 `json:"p_adjusted"`
	Ratio         *float64 `json:"ratio"`
	RatioLow      *float64 `json:"ratio_low"`
	RatioHigh     *float64 `json:"ratio_high"`

	people int // as of an Estimate
}

func (c *Comparison) known() int { return cmp.Or(c.people, c.N) }

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

// Group is one row of a cohort table. A suppressed group has neither n nor figures; n is told as that of an Estimate. The standard error is the larger of the group's bootstrap
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

	people int      // as of an Estimate
	apart  *float64 // of another contender: the standard error of the candidate's value less this one, over the same draws; nil: not known
}

// ProviderQuality says how the places of the lists are spread over the items' levels of one attribute. The place of rank j has an exposure of
// 1/log₂(1 + j). Shares are of exposure, over all lists; intervals are from the bootstrap over subjects.
type ProviderQuality struct {
	Attribute string           `json:"attribute"`
	K         int              `json:"k"` // length of the lists
	Levels    []ProviderLevel  `json:"levels"`
	Figures   []ProviderFigure `json:"figures"` // by contender
}

// ProviderLevel is what a level has without any list.
type ProviderLevel struct {
	Level   string   `json:"level"`
	Items   int      `json:"items"`
	Catalog *float64 `json:"catalog_share"` // of the items
	Taken   *float64 `json:"taken_share"`   // of the pairs of a subject and an item that it had in the training window
}

// ProviderFigure is the exposure that one contender gives. AWRF is 1 − the squared Jensen–Shannon distance (base 2) of the exposure's shares from the
// target's: 1 is the same spread. ExposureRatio is the smallest over the largest exposure per share taken, of the levels that anybody took.
type ProviderFigure struct {
	Contender     string          `json:"contender"`
	N             int             `json:"n"` // lists
	AWRFCatalog   Figure          `json:"awrf_catalog"`
	AWRFTaken     Figure          `json:"awrf_taken"`
	ExposureRatio Figure          `json:"exposure_ratio"`
	Levels        []LevelExposure `json:"levels"`
}

// LevelExposure is the exposure of one level.
type LevelExposure struct {
	Level string `json:"level"`
	Share Figure `json:"share"`
	Ratio Figure `json:"ratio"` // to the share taken: 1 is as much exposure as people gave it themselves
}

// ContentSort says what a figure of content is.
type ContentSort string

// The sorts. Both are of one list, and the figure is the mean over subjects.
const (
	ShareOfPlaces ContentSort = "share"  // of the list's places, those that items of the group have
	MedianOfList  ContentSort = "median" // of a number of the list's items
)

// ContentQuality is one figure of what stands in the lists.
type ContentQuality struct {
	Name    string          `json:"name"`
	Sort    ContentSort     `json:"sort"`
	K       int             `json:"k"`       // length of the lists
	Catalog *float64        `json:"catalog"` // the same of the whole catalog
	Figures []ContentFigure `json:"figures"` // of everybody, by contender
	Cohorts []CohortQuality `json:"cohorts"` // by group; suppressed as all cohorts are
}

// ContentFigure is the figure of one contender.
type ContentFigure struct {
	Contender string `json:"contender"`
	Estimate
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

// Called is 1 if the candidate is better, -1 if it is worse, and 0 if no difference can be told. Every page calls by this: by the p corrected for the other
// comparisons of the metric, and by the interval, too, which alone decides where there is no p.
func (c *Comparison) Called() int {
	if c.PAdjusted != nil {
		return called(c.Low, c.High, c.PAdjusted)
	}
	return called(c.Low, c.High, c.P)
}

func called(low, high, p *float64) int {
	switch {
	case low == nil || high == nil || p != nil && *p > 1-Confidence:
		return 0
	case *low > 0:
		return 1
	case *high < 0:
		return -1
	}
	return 0
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
