package models

import (
	"context"

	"github.com/rapport-ml/rapport/models/artifact"
)

// Catalog is the set of items that may be ranked, with their attributes. Items are known by their position everywhere in this package;
// IDs are sorted ascending, so that equal sets give equal positions.
type Catalog struct {
	IDs   []string
	Attrs *Attributes // one row an item; nil if none are declared
}

// Attributes is a table of attributes in columns, one row an item or a subject.
type Attributes struct {
	N    int
	Cats []CatColumn
	Nums []NumColumn
}

// CatColumn is a categorical attribute. Values[i] indexes Levels; -1 is missing. Levels are sorted ascending.
type CatColumn struct {
	Name   string
	Levels []string
	Values []int32
}

// NumColumn is a numeric attribute; NaN is missing.
type NumColumn struct {
	Name   string
	Values []float64
}

// EventLog holds events grouped by subject (ascending subject number) and sorted by time within a subject (ties: item, then kind).
// Off has len(Subjects)+1 entries: subject s owns rows [Off[s], Off[s+1]). Item is a position in the Dataset's catalog.
// Time is in microseconds since the epoch. Kind indexes Dataset.Kinds. Weight is the event's confidence (> 0).
type EventLog struct {
	Subjects []uint64
	Off      []int
	Item     []int32
	Time     []int64
	Kind     []uint8
	Weight   []float32
}

// Len returns the number of events.
func (l *EventLog) Len() int { return len(l.Item) }

// Cuts splits time, in microseconds: training before Validation, blend weights on [Validation, Test), figures on [Test, End).
// Architecture's [base)[re-ranker)[validation)[test): Base is where the base models' training begins, Rerank = Validation until a
// re-ranker exists.
type Cuts struct {
	Base, Rerank, Validation, Test, End int64
}

// Dataset is what a Trainer learns from. It holds no raw identifier: subjects are numbers.
type Dataset struct {
	Catalog  *Catalog
	Kinds    []string
	Events   EventLog
	Subjects *Attributes // row s describes Events.Subjects[s]; nil if none are declared
	Cuts     Cuts
}

// History is what a model may know of one subject, events of one subject as in EventLog (time ascending). Item is a position in the
// catalog that the Recommender was bound to.
type History struct {
	Item   []int32
	Time   []int64
	Kind   []uint8
	Weight []float32
}

// Query asks for the best K items for one subject at one time. All items of History are before At.
type Query struct {
	At         int64 // µs since the epoch
	History    History
	Subject    []string // levels of the subject's categorical attributes, parallel to Binding's SubjectColumns; "" is missing; nil if none
	Candidates []int32  // if not nil, only these may be ranked (ascending)
	Exclude    []int32  // never ranked (ascending)
	K          int
}

// Ranking receives the answers of a batch of queries. Query q owns [Off[q], Off[q+1]) of Item and Score, best first;
// ties are broken by the lower item position.
type Ranking struct {
	Off   []int
	Item  []int32
	Score []float32
}

// Trainer learns a Model from the events of d before cut `until` (µs): constructors store hyperparameters, Train learns.
// The same d, until and seed give a model whose artifact is byte-identical at any GOMAXPROCS.
type Trainer interface {
	// Name is the algorithm's name, as it stands in the artifact ("als", "popular", ...).
	Name() string
	Train(ctx context.Context, d *Dataset, until int64, seed uint64) (Model, error)
}

// Model is a trained model: items, maps and hyperparameters, no subject. Save writes it under the writer's current section.
type Model interface {
	Name() string
	Save(w *artifact.Writer) error
	// Bind prepares the model to rank the items of c, which need not be the items it was trained on: items are matched by id, and an
	// item that the model has never seen is scored from its attributes if the model can, else at the model's floor.
	// subjectColumns names the categorical subject attributes that queries will carry.
	Bind(ctx context.Context, c *Catalog, subjectColumns []string) (Scorer, error)
}

// Scorer scores every item of the bound catalog. It is safe for concurrent use. dst is len(q) × len(catalog), row-major, and is
// overwritten. Scores of one model are comparable within one query only.
type Scorer interface {
	Score(ctx context.Context, q []Query, dst []float32) error
}

// Explainer is an optional power of a Scorer: why items got their scores for one query. The contributions of each Explanation sum to
// its score within Explanation.Error. It takes all the items of a list at once, so that the work of the query (a fold-in, a
// factorization) is done once.
type Explainer interface {
	Explain(ctx context.Context, q *Query, items []int32) ([]Explanation, error)
}

// FolderIn is an optional power of a Scorer: the subject's vector in the model's item space, folded in from a history (len = Dim()).
type FolderIn interface {
	Dim() int
	FoldIn(ctx context.Context, q *Query, dst []float32) error
	ItemVector(item int32) []float32
}

// Reason is one additive part of a score.
type Reason struct {
	Kind         string  `json:"kind"` // "event", "attribute", "popularity", "again", "bias", "rule"
	Ref          string  `json:"ref"`  // item id, attribute=level, ...
	Contribution float64 `json:"contribution"`
}

// Explanation splits a score into reasons, largest magnitude first.
type Explanation struct {
	Score   float64  `json:"score"`
	Error   float64  `json:"error"` // |score − Σ contributions| upper bound, absolute
	Reasons []Reason `json:"reasons"`
}
