package jobs

import (
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/jobs/schedule"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/lists"
	"github.com/rapport-ml/rapport/storage/table"
)

// Job is a resolved job: what configs makes of one entry under jobs: and all that it names. Its parts are hashed into the keys of the
// steps that read them, and into no other.
type Job struct {
	Project string
	Name    string
	Every   table.Every
	Due     schedule.Schedule // zero: only on demand
	Overlap schedule.Overlap  // what serve does when an interval is due and the one before still runs
	CatchUp time.Duration     // how late serve may still start what fell due while it was away

	Raw      []string // URLs of all sources, as the project names them
	Events   event.Source
	Items    *AttributeSource // nil: no such data set
	Subjects *AttributeSource
	Cohorts  *AttributeSource
	// Consent is whose data may be used by their records; nil: there are none. Without a path there are no files, and records come one by one.
	Consent     *event.DataSet
	ConsentHold float64           // share of admitted people whom a feed may deny before it is held; 0: policy.HoldShare
	ConsentSync schedule.Schedule // when serve reads the feed between runs; zero: only runs do
	// Preferences is what people want of their lists; nil: nobody is asked. Without a path there are no files, and people ask one by one.
	Preferences *event.DataSet
	PurgeDue    schedule.Schedule // when serve removes what is past its retention; zero: only rapport purge does
	Guards      Guards

	Training   policy.Purpose  // under which events are read, models trained and lists published
	Evaluation *policy.Purpose // under which cohorts are read; nil: no cohorts
	Mitigation *policy.Purpose // under which a remedy may train on cohorts; nil: none may

	Views     []features.View // what is built: the views that Publish names, and those that Build names
	Published []features.View // of Views, those whose rows the online store holds; keyed by subject or by item
	Model     Model
	Reweight  *Reweight     // nil: what everybody does weighs alike
	Window    time.Duration // how much history is learned from
	Last      time.Duration // length of the test window
	Weigh     time.Duration // length of the validation window before it, on which the parts are weighed
	Rerank    time.Duration // length of the window before that, on which a re-ranker learns; 0: the model has none
	K         []int
	Cohort    []string // cohort attributes; an intersection has CohortCross between them
	Judging   Judging  // what else candidates are measured by
	Minimize  Minimizing
	MinN      int
	Budgets   []eval.Budget
	Baselines []Baseline // measured beside the candidate; the first one ranks the list not based on profiling
	Drift     Drift
	Trust     *Trust     // nil: no weeks are counted
	Calendar  []Expected // days of which is known that they are unlike others
	// Watched is the job that this one starts when its inputs drift; nil: it trains and publishes itself.
	Watched  *Job
	CoolDown time.Duration // for so long after it was started by drift, drift starts it no more
	Alias    string
	Floor    float64 // an interval that keeps under Floor × the trailing median is a failed run; 0: only an empty one is
	Shards   int
	// Lookback is how old a day may be whose files a run reads again because they changed, from the day's end to the interval's; of
	// older ones what was ingested stands. 0: any age.
	Lookback time.Duration
}

// AttributeSource is a data set with one row an item or a subject.
type AttributeSource struct {
	Data    event.DataSet
	Key     string            // event.ColItem or event.ColSubject
	Numeric []string          // attributes that hold numbers; the others are categories
	Coarse  event.Coarsenings // of subjects and cohorts: rules by which values become coarser when they are read
}

// Model is what a job trains.
type Model struct {
	Name    string
	Trainer models.Trainer
	Spec    any // canonical hyperparameters, for keys and for the registry
	Seed    uint64
	Weights map[string]float64 // event kind → confidence; others 1
	// Impressions are the kinds of event that say that an item was put before somebody: no signal of taste, read by a re-ranker alone.
	Impressions []string
	Lists       Lists
}

// Lists says what a published list holds.
type Lists struct {
	K    int    `json:"k"`
	Seen string `json:"seen"` // "auto", "keep" or "mask"
	// Rules make the lists of the scores; nil: the scores alone do.
	Rules *lists.Rules `json:"rules,omitempty"`
	// Broad is the item attribute by whose levels the lists of those are made who want no more to be known of them.
	Broad string `json:"broad,omitempty"`
	// Related is how many items the lists beside items hold, 0: none are made; UnprofiledBy names the item attributes and context columns of whose
	// values lists not based on profiling are made.
	Related      int      `json:"related,omitempty"`
	UnprofiledBy []string `json:"unprofiled_by,omitempty"`
	Title        string   `json:"title,omitempty"` // the item attribute that holds what people call an item; models do not see it
	// Less and PreferNew are what these wishes weigh (lists.Options.Less, New); 0: as lists has it.
	Less      float64 `json:"less,omitempty"`
	PreferNew float64 `json:"prefer_new,omitempty"`
}

// eventSchema is the schema of the job's events tables.
func (j *Job) eventSchema() table.Schema { return j.Events.Schema(j.Training) }

// purposes are those that the job has: training, evaluation, mitigation, sensitive items.
func (j *Job) purposes() (out []policy.Purpose) {
	for _, p := range []*policy.Purpose{&j.Training, j.Evaluation, j.Mitigation, j.Guards.Purpose} {
		if p != nil {
			out = append(out, *p)
		}
	}
	return out
}

// history returns the window of events that any step of a run over iv reads.
func (j *Job) history(iv table.Interval) table.Interval {
	longest := max(j.Window, iv.End.Sub(iv.Start))
	for _, v := range j.Views {
		for _, w := range v.Windows {
			longest = max(longest, w)
		}
	}
	return table.Interval{Start: iv.End.Add(-longest), End: iv.End}
}

// cuts splits the training window of iv: [base) learns, [re-ranker) corrects what was learned before it, [validation) weighs the parts,
// [test) judges.
func (j *Job) cuts(iv table.Interval) models.Cuts {
	test := iv.End.Add(-j.Last)
	validation := test.Add(-j.Weigh)
	return models.Cuts{
		Base:       table.Micros(iv.End.Add(-j.Window)),
		Rerank:     table.Micros(validation.Add(-j.Rerank)),
		Validation: table.Micros(validation),
		Test:       table.Micros(test),
		End:        table.Micros(iv.End),
	}
}
