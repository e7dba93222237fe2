package models

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/rapport-ml/rapport/models/artifact"
)

// Query asks for the best K items for one subject at one time. All items of History are before At.
type Query struct {
	At         int64 // µs since the epoch
	History    History
	Subject    []string // levels of the subject's categorical attributes, parallel to Bind's subjectColumns; "" is missing; nil if none
	Candidates []int32  // if not nil, only these may be ranked (ascending)
	Exclude    []int32  // never ranked (ascending)
	K          int
	Draw       uint64  // whatever is left to chance in a list is drawn by it: another for each subject, the same every day
	Less       []int32 // what the subject wants less of (ascending); list rules read it, no model does
	RatherNew  bool    // the subject prefers items that it has not had, and those that are new; as Less

	// Contexts says what History.Context and Context mean; nil if no context is known. Context is that of the request at hand; nil
	// asks for the mean over the contexts that the subject has come in.
	Contexts *Contexts
	Context  *Context
}

// Trainer learns a Model from the events of d before cut `until` (µs): constructors store hyperparameters, Train learns.
// The same d, until and seed give a model whose artifact is byte-identical at any GOMAXPROCS.
type Trainer interface {
	// Name is the algorithm's name, as it stands in the artifact ("als", "popular", ...).
	Name() string
	Train(ctx context.Context, d *Dataset, until int64, seed uint64) (Model, error)
}

// WarmStarter is an optional power of a Trainer: it can go on from an earlier model instead of from nothing. Whoever gives it one keeps the
// model's digest with the inputs of the training.
type WarmStarter interface {
	WarmStarts() bool // whether it is asked to
	// From returns the trainer that goes on from parent, or from as much of it as it can.
	From(parent Model) Trainer
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
// overwritten with finite numbers. A query's scores do not depend on the other queries of its batch. Scores of one model are
// comparable within one query only.
type Scorer interface {
	Score(ctx context.Context, q []Query, dst []float32) error
}

// FolderIn is an optional power of a Scorer: the subject's vector in the model's item space, folded in from a history (len = Dim()).
type FolderIn interface {
	Dim() int
	FoldIn(ctx context.Context, q *Query, dst []float32) error
	ItemVector(item int32) []float32
}

// Save writes m under w's current section, so that Load finds the algorithm that it belongs to.
func Save(w *artifact.Writer, m Model) error {
	w.Model(m.Name())
	if err := m.Save(w); err != nil {
		return fmt.Errorf("save model %s: %w", m.Name(), err)
	}
	return nil
}

// Encode returns the artifact of m: its files and their digest.
func Encode(m Model) (artifact.Files, string, error) {
	w := artifact.NewWriter()
	if err := Save(w, m); err != nil {
		return nil, "", err
	}
	files, digest, err := w.Encode()
	if err != nil {
		return nil, "", fmt.Errorf("encode model %s: %w", m.Name(), err)
	}
	return files, digest, nil
}

// Loader reads the model that Save wrote. It takes what it reads as untrusted.
type Loader func(r *artifact.Reader) (Model, error)

// Load reads the model under r's current section with the loader of its algorithm.
func Load(r *artifact.Reader, loaders map[string]Loader) (Model, error) {
	name := r.Model()
	load := loaders[name]
	if load == nil {
		known := make([]string, 0, len(loaders))
		for k := range loaders {
			known = append(known, k)
		}
		slices.Sort(known)
		return nil, fmt.Errorf("load model: the artifact is of algorithm %q, this program knows %s", name, strings.Join(known, ", "))
	}
	m, err := load(r)
	if err != nil {
		return nil, fmt.Errorf("load model %s: %w", name, err)
	}
	return m, nil
}
