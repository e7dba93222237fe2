package als

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/internal/encode"
	"github.com/rapport-ml/rapport/models/internal/vec"
)

// Bind matches the model's items with those of c by id; both ascend. An item that the model was not trained on has the vector that its
// attributes give it, if the model maps attributes and knows one of them; without, it scores 0 and counts for nothing in a history.
// Subject columns are used where the model maps the subjects' attributes. Memory: two copies of the vectors.
func (m *Model) Bind(ctx context.Context, c *models.Catalog, subjectColumns []string) (models.Scorer, error) {
	if err := ascending(c.IDs); err != nil {
		return nil, fmt.Errorf("bind als: catalog: %w", err)
	}
	d := m.hyper.Dim
	s := &scorer{
		hyper: m.hyper, catalog: c, index: make([]int32, len(c.IDs)), trained: len(m.items), maps: m.maps,
		neighbours: &m.neighbours, place: make([]int32, len(m.items)),
	}
	for i := range s.place {
		s.place[i] = -1
	}
	var vectors []float32
	if m.maps.items != nil {
		s.features = m.maps.items.space.Rows(c.Attrs, c.Len())
	}
	if m.maps.subjects != nil && len(m.items) > 0 {
		s.levels = m.maps.subjects.space.Levels(subjectColumns)
	}
	row, cold := 0, make([]float32, d)
	for i, id := range c.IDs {
		for row < len(m.items) && m.items[row] < id {
			row++
		}
		vector, learned := cold, int32(-1)
		switch {
		case row < len(m.items) && m.items[row] == id:
			vector, learned = m.factors[row*d:][:d], int32(row)
			s.place[row] = int32(len(s.known))
		case !s.describes(int32(i), cold):
			s.index[i] = -1
			continue
		default:
			s.cold = append(s.cold, int32(len(s.known)))
		}
		s.index[i] = int32(len(s.known))
		s.known, s.learned = append(s.known, int32(i)), append(s.learned, learned)
		vectors = append(vectors, vector...)
	}
	s.system = newSystem(vectors, m.gram, d, m.hyper.Weight)
	s.packed = inStrips(vectors, len(s.known), d)
	s.pool.New = func() any {
		f := &folder{sums: newSums(len(s.known)), scratch: s.system.scratch()}
		if s.levels != nil {
			f.drawn = make([]float32, d)
		}
		return f
	}
	return s, nil
}

// describes sets dst to the vector that the item's attributes give it, and reports whether the model knows any of them.
func (s *scorer) describes(item int32, dst []float32) bool {
	if s.features == nil {
		return false
	}
	fs, xs := s.features.Row(item)
	if len(fs) > 0 {
		s.maps.items.centre(dst, fs, xs)
	}
	return len(fs) > 0
}

// scorer is a Model bound to a catalog. It implements models.Scorer, models.Explainer, models.FolderIn, models.Relater and
// models.Counterfactual.
type scorer struct {
	hyper      Hyper
	catalog    *models.Catalog
	known      []int32       // catalog positions of the items that have a vector, ascending
	cold       []int32       // positions in known of those that training never saw, ascending
	index      []int32       // catalog position → position in known, or -1
	learned    []int32       // position in known → item of the model, or -1
	place      []int32       // item of the model → position in known, or -1
	trained    int           // items in the model, known to the catalog or not: |I|
	system     *system       // fixed: vectors of the known items
	packed     []*vec.Packed // the same vectors, laid out for Score, a strip each
	maps       maps
	features   *encode.Rows   // the catalog's, in the items' space; nil without attributes
	levels     *encode.Levels // places subjects in their space; nil without attributes
	neighbours *neighbours
	related    related
	pool       sync.Pool
}

// strip is how many items are scored before their scores are scattered to the catalog's positions.
const strip = 1024

var (
	_ models.Scorer         = (*scorer)(nil)
	_ models.Explainer      = (*scorer)(nil)
	_ models.FolderIn       = (*scorer)(nil)
	_ models.Relater        = (*scorer)(nil)
	_ models.Counterfactual = (*scorer)(nil)
)

// folder is the memory of one fold-in.
type folder struct {
	sums    *sums
	col     []int32
	conf    []float32
	fs      []int32 // the subject's features, and their values
	xs      []float32
	drawn   []float32 // memory for what they draw it towards; nil without attributes
	centre  []float32 // the same, or nil if they do not
	scratch *scratch
}

// confidences turns q's history into a row, as training does for a subject, with ages counted from q.At.
func (s *scorer) confidences(q *models.Query, f *folder) error {
	h := &q.History
	for e, item := range h.Item {
		if item < 0 || int(item) >= len(s.index) {
			return fmt.Errorf("history event %d has item %d of a catalog of %d", e, item, len(s.index))
		}
		if !(h.Weight[e] > 0) || math.IsInf(float64(h.Weight[e]), 1) {
			return fmt.Errorf("history event %d has weight %g: weights are positive and finite", e, h.Weight[e])
		}
	}
	for e, item := range h.Item {
		if k := s.index[item]; k >= 0 {
			f.sums.add(k, float64(h.Weight[e])*models.Decay(q.At-h.Time[e], s.hyper.HalfLife))
		}
	}
	f.col, f.conf = f.sums.flush(&s.hyper, f.col[:0], f.conf[:0])
	return nil
}

// row leaves in f the row of q: the confidences of its history, and where attributes draw it.
func (s *scorer) row(q *models.Query, f *folder) error {
	if err := s.confidences(q, f); err != nil {
		return fmt.Errorf("als: %w", err)
	}
	if f.centre = nil; s.drawn(f) {
		f.centre = f.drawn
		f.fs, f.xs = s.levels.Row(q.Subject)
		s.maps.subjects.centre(f.centre, f.fs, f.xs)
	}
	return nil
}

// drawn reports whether attributes draw the row in f: where they are for rows without history, only such a one.
func (s *scorer) drawn(f *folder) bool {
	return s.levels != nil && (s.hyper.Attributes != coldAttributes || len(f.col) == 0)
}

// fold sets dst (Dim) to the subject vector of q and leaves its row in f.
func (s *scorer) fold(dst []float32, q *models.Query, f *folder) error {
	if err := s.row(q, f); err != nil {
		return err
	}
	if !s.system.solve(dst, f.col, f.conf, s.shrink(f), f.centre, f.scratch) {
		return fmt.Errorf("als fold-in of %d items: %w", len(f.col), ErrDiverged)
	}
	return nil
}

// isCold reports whether training never saw an item that has a vector.
func (s *scorer) isCold(item int32) bool {
	_, cold := slices.BinarySearch(s.cold, s.index[item])
	return cold
}

func (s *scorer) shrink(f *folder) float64 { return s.hyper.shrink(len(f.col), s.trained) }

// Score folds each query in and multiplies its vector with every known item. The bits of a score depend on its query and item alone,
// not on the batch. O(len(q)·(d³/3 + known·d)), on all cores, in batches of few queries: memory beyond dst stays small.
func (s *scorer) Score(ctx context.Context, q []models.Query, dst []float32) error {
	n, d := len(s.index), s.system.d
	if len(dst) != len(q)*n {
		return fmt.Errorf("als score: dst holds %d values, want %d queries × %d items", len(dst), len(q), n)
	}
	const batch = 16 // queries that share one pass over the item vectors
	type memory struct {
		w, scores []float32
	}
	chunks := (len(q) + batch - 1) / batch
	errs := make([]error, chunks)
	vec.Chunks(chunks, func() memory { return memory{make([]float32, batch*d), make([]float32, batch*strip)} }, func(mem memory, chunk int) {
		if errs[chunk] = ctx.Err(); errs[chunk] != nil {
			return
		}
		lo, hi := vec.Span(len(q), chunks, chunk)
		f := s.pool.Get().(*folder)
		defer s.pool.Put(f)
		for k := lo; k < hi; k++ {
			if errs[chunk] = s.fold(mem.w[(k-lo)*d:][:d], &q[k], f); errs[chunk] != nil {
				return
			}
		}
		clear(dst[lo*n : hi*n])
		for at := 0; at < len(s.known); at += strip {
			known := s.known[at:min(at+strip, len(s.known))]
			s.packed[at/strip].MulNT(mem.scores, strip, mem.w, d, hi-lo)
			for k := lo; k < hi; k++ {
				row, scores := dst[k*n:][:n], mem.scores[(k-lo)*strip:]
				for j, item := range known {
					row[item] = scores[j]
				}
			}
		}
	})
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Dim returns the length of vectors.
func (s *scorer) Dim() int { return s.system.d }

// FoldIn sets dst (Dim) to the subject's vector; it is zero if the model knows no item of the history and maps no attributes.
func (s *scorer) FoldIn(ctx context.Context, q *models.Query, dst []float32) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f := s.pool.Get().(*folder)
	defer s.pool.Put(f)
	return s.fold(dst[:s.system.d], q, f)
}

// ItemVector returns the vector of a catalog item (Dim values, not to be changed), or nil if it has none.
func (s *scorer) ItemVector(item int32) []float32 {
	if k := s.index[item]; k >= 0 {
		return s.system.vector(k)
	}
	return nil
}
