package eval

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/rapport-ml/rapport/eval/drift"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/storage/table"
)

// ReportSchema names the shape of a report's JSON. It changes when a field changes its name or meaning, not when one is added.
const ReportSchema = "rapport.report/1"

// Report is all that one evaluated run has to say. It holds no subject: the caller passes counts already suppressed, and explanations of
// invented personas.
type Report struct {
	Schema       string              `json:"schema"` // set by WriteJSON
	Run          RunFacts            `json:"run"`
	Decision     Decision            `json:"decision"`
	Model        ModelFacts          `json:"model"`
	Quality      *Quality            `json:"quality"`
	Rerank       *RerankFacts        `json:"rerank"`                  // nil: the model has no re-ranker
	Lists        *ListFacts          `json:"lists,omitempty"`         // absent: no rule makes lists of the scores
	Drift        *drift.Report       `json:"drift"`                   // nil without a reference window
	Trend        []TrendPoint        `json:"trend"`                   // the versions that were live before, oldest first
	DriftHistory []DriftDay          `json:"drift_history,omitempty"` // of the runs of these versions and those before them, oldest first
	Trust        *TrustFacts         `json:"trust,omitempty"`         // absent: no week has been counted
	Minimization *MinimizationFacts  `json:"minimization,omitempty"`  // the last ledger of what each field is worth; without a key: none was made
	Funnel       []FunnelRow         `json:"funnel"`                  // of the interval's raw rows, as each day of it was read
	Learned      []FunnelRow         `json:"learned,omitempty"`       // of the rows that the days of the training window hold, as this run found them
	Unexpected   []string            `json:"unexpected,omitempty"`    // what the interval's events were expected to be and are not, in words
	Coarsened    []string            `json:"coarsened,omitempty"`     // what became of the values of columns with a rule, in words
	Data         DataFacts           `json:"data"`
	Purposes     []PurposeFacts      `json:"purposes"`   // under which it was made and judged
	Unprofiled   string              `json:"unprofiled"` // the contender that ranks the list not based on profiling
	Published    *PublishedFacts     `json:"published"`  // nil if nothing was (yet)
	Lineage      []LineageStep       `json:"lineage"`
	Explanations []ExplanationSample `json:"explanations"`
	Definitions  []Definition        `json:"definitions"` // set by WriteJSON

	// Subjects are real people's lists, for a page that stays on one machine. JSON and Markdown never hold them.
	Subjects *SubjectFacts `json:"-"`
}

// RunFacts says which run it was.
type RunFacts struct {
	ID       string         `json:"id"`
	Project  string         `json:"project"`
	Job      string         `json:"job"`
	Interval table.Interval `json:"interval"`
	Clock    time.Time      `json:"clock"`        // what the run took for now
	Pinned   bool           `json:"clock_pinned"` // the project fixes its clock: data of the past
	Revision string         `json:"revision"`     // of the program

	// Encrypted is how the storage's server was asked to keep what the run wrote: s3, or kms:KEYID; absent: as its bucket does.
	Encrypted string `json:"encrypted,omitempty"`
}

// ModelFacts says what was judged.
type ModelFacts struct {
	Name    string             `json:"name"`
	Version string             `json:"version"` // "" before it has one
	Digest  string             `json:"digest"`
	Parts   []PartWeight       `json:"parts"`         // the parts of a blend and what each counts
	Weights map[string]float64 `json:"event_weights"` // by kind of event; kinds that are not named weigh 1
	Length  int                `json:"list_length"`   // of the lists that readers are served
	Seed    uint64             `json:"seed"`
	Kernel  string             `json:"kernel_class"` // of processors: others differ in the last bits
	Spec    json.RawMessage    `json:"spec"`         // hyperparameters, as the registry keeps them
}

// PartWeight is one part of a blend.
type PartWeight struct {
	Name   string  `json:"name"`
	Weight float64 `json:"weight"`
}

// FunnelRow is one stage of the policy funnel. Rows is a printed number, or words such as "under 11".
type FunnelRow struct {
	Reason string `json:"reason"`
	Rows   string `json:"rows"`
}

// DataFacts says what the model learnt from, and how it was tested.
type DataFacts struct {
	Window      table.Interval `json:"window"` // training events
	Test        table.Interval `json:"test"`
	Rows        int64          `json:"rows"`
	RepeatShare *float64       `json:"repeat_share"` // of test events, those of an item that the subject had before
	Masking     string         `json:"masking"`      // whether lists may hold seen items, and why, in words
	Subjects    string         `json:"subjects"`     // with an event in the window: a printed number, or words such as "under 11"
	Items       int            `json:"items"`        // in the catalog
	Kinds       []string       `json:"kinds"`        // of events
}

// PurposeFacts is one purpose under which data was read, as the project declares it.
type PurposeFacts struct {
	Role     string              `json:"role"` // "training" or "evaluation"
	Name     string              `json:"name"`
	Says     string              `json:"says"` // what people are told
	Basis    string              `json:"basis"`
	Terms    []string            `json:"terms,omitempty"` // what others call the basis or the use, each with its plain words
	Reads    map[string][]string `json:"reads"`           // data set → columns
	KeepDays map[string]float64  `json:"keep_days"`       // retention class → days; absent: no limit is declared
}

// PublishedFacts says what readers get.
type PublishedFacts struct {
	Generation int64 `json:"generation"`
	Fence      int64 `json:"fence"`
	Entities   int64 `json:"entities"`
}

// LineageStep is one step that led here.
type LineageStep struct {
	Step   string `json:"step"`
	Key    string `json:"key"`
	Digest string `json:"digest"`
}

// ExplanationSample shows why a persona gets an item. Personas are invented: no one's history stands in a report.
type ExplanationSample struct {
	Persona     string             `json:"persona"` // in words: "bought coffee weekly, bread twice"
	Item        string             `json:"item"`
	Explanation models.Explanation `json:"explanation"`
}

// RerankFacts says which of two rankings ships, and by which figures that was chosen: the linear blend of the parts, or the blend with a bounded
// neural correction. They were compared on a window that neither had learnt from, on the same subjects.
type RerankFacts struct {
	Ships      bool           `json:"ships"`  // the re-ranked blend; else the linear blend does
	Metric     string         `json:"metric"` // "ndcg@10"; "" if nothing was compared
	K          int            `json:"k"`      // length of the lists compared, or 0
	Blend      Figure         `json:"blend"`
	Reranked   Figure         `json:"reranked"`
	Difference Figure         `json:"difference"` // re-ranked − blend, paired
	P          *float64       `json:"p"`          // two-sided, of no difference
	Window     table.Interval `json:"window"`     // of the comparison
	N          int            `json:"n"`          // subjects compared
	Bound      float64        `json:"bound"`      // the correction of a score lies in [−Bound, Bound], as a share of the blend's score of the candidate, or of the twentieth one if that is more
	Features   []string       `json:"features"`   // what the correction sees of a candidate
	Says       string         `json:"says"`       // the rule by which it was chosen, in words
}

// Figure is a value with its interval at Confidence; nil where it has none.
type Figure struct {
	Value *float64 `json:"value"`
	Low   *float64 `json:"low"`
	High  *float64 `json:"high"`
}

// SubjectFacts are the lists that real people are served.
type SubjectFacts struct {
	Model, Served string        // the model and version whose lists they are
	Asked         int           // ids given
	Lists         []SubjectList // of those who may be profiled
}

// SubjectList is the list of one person, who is named by the place, from 1, among the ids that were given.
type SubjectList struct {
	Place int
	Items []SubjectItem
}

// SubjectItem is one entry of a list, with the largest reasons for it.
type SubjectItem struct {
	Item    string
	Score   float64
	Reasons []models.Reason
}

// Definition says what a figure means.
type Definition struct {
	Name string `json:"name"`
	Says string `json:"says"`
}

// WriteJSON writes the report as indented JSON with its schema and definitions. A figure that is not finite is an error.
func (r *Report) WriteJSON(w io.Writer) error {
	full := *r
	full.Schema, full.Definitions = ReportSchema, r.definitions()
	body, err := json.MarshalIndent(&full, "", "  ")
	if err != nil {
		return fmt.Errorf("write report of run %s: %w", r.Run.ID, err)
	}
	if _, err := w.Write(append(body, '\n')); err != nil {
		return fmt.Errorf("write report of run %s: %w", r.Run.ID, err)
	}
	return nil
}

// ParseReport reads what WriteJSON wrote. It refuses another schema.
func ParseReport(body []byte) (*Report, error) {
	var r Report
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	if r.Schema != ReportSchema {
		return nil, fmt.Errorf("read report: its schema is %q, this program reads %q", r.Schema, ReportSchema)
	}
	return &r, nil
}

// definitions lists what every figure of the report means.
func (r *Report) definitions() []Definition {
	out := definitions()
	if r.Lists != nil {
		out = append(listDefinitions(), out...)
	}
	if r.Minimization != nil {
		out = append(out, minimizationDefinition)
	}
	if r.Trust != nil {
		out = append(out, trustDefinitions()...)
	}
	return out
}

func listDefinitions() []Definition {
	return []Definition{
		{"list rules", "What a project declares about lists, beside what the model scores: which items stand in none, how many of a kind, how unlike each other, how near to what the person took before, how many new ones. They move items and change no score."},
		{"divergence", "How far the spread of a list over an attribute is from the spread of the person’s history (Kullback–Leibler, in nats, the history mixed in by a hundredth). 0: the same spread."},
	}
}

func definitions() []Definition {
	return []Definition{
		{NDCG, "How well the list is ordered: each item that the person really took in the test window counts 1/log₂(rank + 1), over the best that any order could reach within the list's length. 1 is perfect, 0 is no hit."},
		{Recall, "Hits within the list, over the smaller of the list's length and the number of items taken: a perfect list reaches 1."},
		{RecallAll, "Hits within the list, over all items taken, even if they are more than the list can hold."},
		{Precision, "Hits within the list, over the list’s length: the share of places that hold what was taken."},
		{MRR, "1 over the rank of the first hit within the list, 0 without a hit."},
		{Hit, "1 if the list holds at least one item that was taken, else 0: the share of people with a hit."},
		{Coverage, "Distinct items over all lists, as a share of the catalog. Its interval is from the delete-one jackknife."},
		{Gini, "How unevenly the places of all lists are spread over the items of the catalog: 0, every item stands in as many lists; towards 1, a few items have all places. Its interval leaves out one twentieth of the people after another (jackknife, Student’s t)."},
		{Novelty, "How rare the list’s items are: the mean of −log₂ of the share of people who had the item in the training window. An item that one person in 1,024 had counts 10. One that nobody had counts as if one had."},
		{Popularity, "How well known the list’s items are: the mean share of the catalog that fewer people had in the training window (as many: half). 1 is a list of the best-known items, 0.5 one as well known as the catalog."},
		{Diversity, "The mean, over all pairs of a list, of the share of the named attributes in which the two items differ. 1: no two are alike."},
		{Calibration, "How far the spread of a list over an attribute is from the spread of the person’s history (Kullback–Leibler, in nats, the history mixed in by a hundredth: Steck 2018). 0: the same spread. People without a history have none."},
		{Overlap, "Items that stand in the list and in the live version’s list for the same person, over the longer of the two. 1: nothing would change; what is missing to 1 is how much lists churn."},
		{"cold subjects and cold items", "The same lists, for the people of whom hardly anything was known before the test (cold subjects), or counting only items without an event in the training window (cold items)."},
		{"protocol", "temporal: learns from all before the test window, and is asked at its beginning for what it holds. leave_last_out: learns from all but each person’s last event, and is asked for that. strong: learns nothing from a tenth of the people, and is asked for a fifth of their items from the others. The last two say nothing of a live system: the model has seen the future of others."},
		{"exposure", "What the places of lists give an item: the place of rank j counts 1/log₂(1 + j). Shares are over all lists."},
		{"awrf", "Attention-weighted rank fairness: 1 minus the squared Jensen–Shannon distance (base 2) between the shares of exposure and target shares, those of the catalog’s items or of what people took in the training window. 1: the same shares."},
		{"exposure ratio", "Exposure per share taken, of the level that has the least over the one that has the most. 1: each level is shown as much as people took of it."},
		{"content", "What stands in the places of the lists: of each list the share of a group of items, or the median of a number, and the mean of that over people."},
		{"subjects", "Figures are means over subjects who took at least one item that their list may hold. The others are left out and counted. Every list is ranked over the whole catalog, never over a sample."},
		{"repeat and explore", "The same lists, counting only items that the person had before (repeat), or only items new to them (explore), over the people who took such an item."},
		{"interval", "95 % bootstrap interval over subjects (percentiles of Poisson-weighted replicates). Two contenders are compared on the same subjects and the same replicates."},
		{"p", "How often a difference as large as this one, in either direction, would be seen if there were none (two-sided, by the bootstrap). Not corrected for the number of comparisons; the adjusted one is."},
		{"adjusted comparison", "The p of a comparison, corrected by Holm’s procedure for the live version and all baselines that the version is compared with on that metric: the probability that any of them seems different is held to it."},
		{"group", "A cohort is read for evaluation alone. “missing” is everyone whose level is not known. Groups under 11 people are not shown, nor is the group that would reveal one by subtraction; groups under the least n are shown and not judged."},
		{"gap", "The difference between the groups served best and worst. Its interval holds for all pairs of groups at once (Bonferroni). The relative gap is a share of the overall value."},
		{"ratio", "Of the group served worst to the group served best. 0.8 is the four-fifths rule of thumb."},
		{"budget", "A declared range with an owner and a reason. It is kept or missed only if the whole interval lies on one side; else it is undecided."},
		{"corrected interval", "A budget’s interval, widened for the number of budgets that the run judges (Holm 1979): the probability that any budget that is kept in truth is called a failure stays at 2.5 % however many there are."},
		{"pool", "Figures of several evaluations together, each of the version of its own interval on people’s later choices: more people, so that smaller gaps can be told."},
		{"minimum detectable", "The smallest true gap (for a ratio: the largest true ratio) beyond the budget that a test of this size would have called four times in five."},
		{"effect of a rule", "None; a warning; a refusal, which keeps the version from being published; or an accepted risk: the budget is missed, but not by more, for sure, than by what the version would replace."},
		{"trend", "Versions that were live one after another, each as it was judged then: on its own test window, with its own people. The popularity baseline on the same window shows how much of a change is the window’s."},
		{"drift", "A column has drifted if the change is large (the effect reaches its threshold) and unlikely to be chance (adjusted p at most α). The popularity of items is counted on one half of the people; which items to follow is chosen by the other half, as items chosen by the counts that are then compared would always seem to fall."},
		{"effect", "For numbers, the Wasserstein distance between the binned values over the reference's standard deviation, values beyond the outermost thousandths held at the edge. For levels, the Jensen–Shannon distance, natural logarithm. Both call 0.1 large."},
		{"adjusted p", "From a bootstrap over clusters of subjects, as events of one person are not independent; adjusted over all columns (Benjamini–Hochberg)."},
		{"psi", "Population stability index over the same bins: under 0.10 stable, to 0.25 warn, above fail. Shown, not judged: what is large depends on n."},
		{"funnel", "What the policy let through: every event read is kept, or left out for exactly one reason."},
		{"expectation", "What the project says a source is like: how many rows, which columns, how many rows at most repeat another or break a rule. Where one is missed the run warns or fails, as the project says."},
		{"coarsening", "A rule of the project by which values become coarser when they are read: a bin in place of an age, a town in place of a postcode. A value that the rule has no place for becomes “other”."},
		{"purpose", "What data is read for, as the project declares it: which columns, on what legal basis, for how long. A column that no purpose reads never leaves the raw files."},
		{"linear blend", "The weighted sum of the parts’ scores, each brought to one scale."},
		{"re-ranked blend", "The linear blend and, for its best candidates, the neural correction. It ships only if it was better than the linear blend by more than chance on a window that neither had learnt from."},
		{"neural correction", "What a small neural network adds to or takes from a score: bounded, and shown as one line beside the reasons of the blend."},
		{"part weight", "What a part’s score, brought to one scale, is multiplied by. The share is of all weights. The weights were chosen on a window before the test."},
		{"unprofiled list", "One list for everybody, made without looking at the person who gets it."},
		{"lineage", "A step’s key names its inputs and settings; its digest is of what it made. Equal inputs give equal keys and equal digests."},
		{"explanation", "The parts of a score, which add up to it within the stated error. The personas are invented."},
		{"completeness error", "How far the reasons of an explanation, summed, are from the score that they explain: 0 is faithful. The stated error is the most that rounding may make of it."},
	}
}
