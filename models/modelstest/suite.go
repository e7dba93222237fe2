package modelstest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/artifact"
)

// Option changes what TestTrainer expects.
type Option func(*suite)

// SameForEverybody is for an algorithm that ranks the same list for each subject.
func SameForEverybody() Option { return func(s *suite) { s.personal = false } }

// ListWise is for an algorithm whose score of an item depends on which others there are: its place among them.
func ListWise() Option { return func(s *suite) { s.listWise = true } }

// InCommon is for hyperparameters by which k subjects, not models.MinSubjects, must have two items in common for one to be related to the other.
func InCommon(k int) Option { return func(s *suite) { s.common = k } }

type suite struct {
	trainer  models.Trainer
	load     models.Loader
	personal bool
	listWise bool
	common   int // subjects that two related items have in common, at least
}

// TestTrainer runs the conformance suite on a trainer and the loader of what it trains. The trainer's hyperparameters should be its
// defaults or close to them: the suite's data have 40 subjects, and each item 15 of them.
func TestTrainer(t *testing.T, trainer models.Trainer, load models.Loader, options ...Option) {
	s := &suite{trainer: trainer, load: load, personal: true, common: models.MinSubjects}
	for _, o := range options {
		o(s)
	}
	t.Run("RightAnswer", s.rightAnswer)
	t.Run("SameBytes", s.sameBytes)
	t.Run("OnlyTheTrainingWindow", s.onlyTheTrainingWindow)
	t.Run("SaveAndLoad", s.saveAndLoad)
	t.Run("DamagedArtifact", s.damagedArtifact)
	t.Run("NoSubjectInArtifact", s.noSubjectInArtifact)
	t.Run("OtherCatalog", s.otherCatalog)
	t.Run("LittleKnown", s.littleKnown)
	t.Run("OneItem", s.oneItem)
	t.Run("Awkward", s.awkward)
	t.Run("Related", s.related)
	t.Run("Cancelled", s.cancelled)
	t.Run("Explanations", s.explanations)
	t.Run("Without", s.without)
	t.Run("ConcurrentAndBatched", s.concurrentAndBatched)
}

// train trains on d before the test cut.
func (s *suite) train(t *testing.T, d *models.Dataset) models.Model {
	t.Helper()
	if err := d.Validate(); err != nil {
		t.Fatal(err)
	}
	m, err := s.trainer.Train(t.Context(), d, d.Cuts.Test, 1)
	if err != nil {
		t.Fatal(err)
	}
	if m.Name() != s.trainer.Name() {
		t.Errorf("trainer %q made model %q", s.trainer.Name(), m.Name())
	}
	return m
}

func encode(t *testing.T, m models.Model) artifact.Files {
	t.Helper()
	files, _, err := models.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func (s *suite) open(files artifact.Files) (models.Model, error) {
	r, err := artifact.Open(files)
	if err != nil {
		return nil, err
	}
	return models.Load(r, map[string]models.Loader{s.trainer.Name(): s.load})
}

func bind(t *testing.T, m models.Model, c *models.Catalog, columns []string) models.Scorer {
	t.Helper()
	sc, err := m.Bind(t.Context(), c, columns)
	if err != nil {
		t.Fatal(err)
	}
	return sc
}

// score scores queries over n items and demands finite numbers.
func score(t *testing.T, sc models.Scorer, n int, q []models.Query) []float32 {
	t.Helper()
	dst := make([]float32, len(q)*n)
	for i := range dst {
		dst[i] = float32(math.NaN()) // what is not overwritten shows
	}
	if err := sc.Score(t.Context(), q, dst); err != nil {
		t.Fatal(err)
	}
	for i, v := range dst {
		if v-v != 0 {
			t.Fatalf("query %d, item %d: score %v", i/n, i%n, v)
		}
	}
	return dst
}

// queries asks for every subject of d at the test cut.
func queries(d *models.Dataset) []models.Query {
	q := make([]models.Query, len(d.Events.Subjects))
	for s := range q {
		q[s] = d.Query(s, d.Cuts.Test, 5)
	}
	return q
}

func (s *suite) rightAnswer(t *testing.T) {
	plain := events()
	heavy := events()
	for i := range heavy {
		heavy[i].Weight = 3
	}
	for name, evs := range map[string][]models.Event{"plain": plain, "duplicates": append(events(), events()...), "equal weights": heavy} {
		d := board(evs)
		sc := bind(t, s.train(t, d), d.Catalog, d.SubjectColumns())
		scores := score(t, sc, items, queries(d))
		for q := range d.Events.Subjects {
			var own, other float64
			for i, v := range scores[q*items : (q+1)*items] {
				if (i%2 == 0) == even(d, q) {
					own += float64(v)
				} else {
					other += float64(v)
				}
			}
			switch {
			case s.personal && own <= other:
				t.Errorf("%s: subject row %d: own colour %v, the other %v", name, q, own, other)
			case !s.personal && !slices.Equal(scores[q*items:(q+1)*items], scores[:items]):
				t.Errorf("%s: subject row %d has a list of its own", name, q)
			}
		}
	}
}

func (s *suite) sameBytes(t *testing.T) {
	want := encode(t, s.train(t, Checkerboard()))
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	rng := rand.New(rand.NewPCG(1, 2))
	for _, procs := range []int{1, 2, 3, 8} {
		runtime.GOMAXPROCS(procs)
		shuffled := events()
		rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		same(t, fmt.Sprintf("GOMAXPROCS %d, shuffled events", procs), encode(t, s.train(t, board(shuffled))), want)
	}
}

func same(t *testing.T, what string, got, want artifact.Files) {
	t.Helper()
	for name := range want {
		if !bytes.Equal(got[name], want[name]) {
			t.Errorf("%s: %s differs", what, name)
		}
	}
}

func (s *suite) onlyTheTrainingWindow(t *testing.T) {
	want := encode(t, s.train(t, Checkerboard()))
	evs := events()
	for i := range int32(items) {
		evs = append(evs,
			models.Event{Subject: number(int(i)), Item: items - 1 - i, Time: cuts.Test, Weight: 5},
			models.Event{Subject: number(int(i)), Item: items - 1 - i, Time: cuts.Base - 1, Weight: 5})
	}
	same(t, "events at the test cut and before the base", encode(t, s.train(t, board(evs))), want)
}

func (s *suite) saveAndLoad(t *testing.T) {
	d := Checkerboard()
	m := s.train(t, d)
	files := encode(t, m)
	loaded, err := s.open(files)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "saved, loaded, saved", encode(t, loaded), files)
	a := score(t, bind(t, m, d.Catalog, d.SubjectColumns()), items, queries(d))
	b := score(t, bind(t, loaded, d.Catalog, d.SubjectColumns()), items, queries(d))
	if !slices.Equal(a, b) {
		t.Error("the loaded model's scores differ")
	}
}

func (s *suite) noSubjectInArtifact(t *testing.T) {
	d := Checkerboard()
	files := encode(t, s.train(t, d))
	for name, data := range files {
		for row, n := range d.Events.Subjects {
			for _, trace := range [][]byte{
				binary.LittleEndian.AppendUint64(nil, n), binary.BigEndian.AppendUint64(nil, n),
				strconv.AppendUint(nil, n, 10), strconv.AppendInt(nil, int64(n), 10), strconv.AppendUint(nil, n, 16),
			} {
				if bytes.Contains(data, trace) {
					t.Errorf("%s holds the number of subject row %d as %q", name, row, trace)
				}
			}
		}
	}
}

func (s *suite) otherCatalog(t *testing.T) {
	d := Checkerboard()
	m := s.train(t, d)
	// Items 4 to 27: the first four have gone, four are new.
	all := catalog(items + 4)
	other := &models.Catalog{IDs: all.IDs[4:], Attrs: &models.Attributes{N: items}}
	for _, c := range all.Attrs.Cats {
		other.Attrs.Cats = append(other.Attrs.Cats, models.CatColumn{Name: c.Name, Levels: c.Levels, Values: c.Values[4:]})
	}
	for _, c := range all.Attrs.Nums {
		other.Attrs.Nums = append(other.Attrs.Nums, models.NumColumn{Name: c.Name, Values: c.Values[4:]})
	}
	// One subject, once at home and once in the other catalog, with the part of its history that both know.
	q := d.Query(0, d.Cuts.Test, 5)
	var home, away models.History
	for i, item := range q.History.Item {
		if item >= 4 {
			home = push(home, item, q.History.Time[i])
			away = push(away, item-4, q.History.Time[i])
		}
	}
	q.History = home
	want := score(t, bind(t, m, d.Catalog, d.SubjectColumns()), items, []models.Query{q})
	q.History = away
	got := score(t, bind(t, m, other, d.SubjectColumns()), items, []models.Query{q})
	for i := range items - 4 {
		if s.listWise {
			break
		}
		if a, b := float64(want[i+4]), float64(got[i]); math.Abs(a-b) > 1e-5*max(1e-3, math.Abs(a)) {
			t.Errorf("item %d scores %v at home and %v in the other catalog", i+4, a, b)
		}
	}
	// Catalogs without attributes, and without items.
	score(t, bind(t, m, &models.Catalog{IDs: other.IDs}, nil), items, []models.Query{{At: q.At, History: away}})
	score(t, bind(t, m, &models.Catalog{}, nil), 0, []models.Query{{At: q.At}})
}

func push(h models.History, item int32, at int64) models.History {
	return models.History{Item: append(h.Item, item), Time: append(h.Time, at), Kind: append(h.Kind, 0), Weight: append(h.Weight, 1)}
}

func (s *suite) littleKnown(t *testing.T) {
	d := Checkerboard()
	sc := bind(t, s.train(t, d), d.Catalog, d.SubjectColumns())
	q := []models.Query{
		{At: cuts.Test}, // no history, attributes not given
		{At: cuts.Test, Subject: []string{"", ""}},                     // attributes missing
		{At: cuts.Test, Subject: []string{"nobody's", "\x00"}},         // levels that training never saw
		{At: cuts.Test, History: push(models.History{}, 3, cuts.Test)}, // an event of this very moment
		{At: cuts.Base - 1000*day, History: push(models.History{}, 3, cuts.Test)},
		{At: cuts.Test, History: push(models.History{}, 3, 0)}, // half a century ago
	}
	scores := score(t, sc, items, q)
	for i := 1; i < 3; i++ {
		if !slices.Equal(scores[:items], scores[i*items:(i+1)*items]) {
			t.Errorf("query %d: unknown attributes change the scores", i)
		}
	}
	if err := sc.Score(t.Context(), nil, nil); err != nil {
		t.Errorf("no queries: %v", err)
	}
	for _, item := range []int32{-1, items} {
		h := push(models.History{}, item, cuts.Base)
		if err := sc.Score(t.Context(), []models.Query{{At: cuts.Test, History: h}}, make([]float32, items)); err == nil && s.personal {
			t.Errorf("a history with item %d of a catalog of %d is taken", item, items)
		}
	}
}

func (s *suite) oneItem(t *testing.T) {
	d := &models.Dataset{Kinds: []string{"choose"}, Cuts: cuts, Catalog: catalog(1)}
	var evs []models.Event
	for i := range subjects {
		for _, at := range []int64{cuts.Base, cuts.Validation, cuts.Test} {
			evs = append(evs, models.Event{Subject: number(i), Time: at, Weight: 1})
		}
	}
	d.Events = models.NewEventLog(evs)
	m := s.train(t, d)
	score(t, bind(t, m, d.Catalog, nil), 1, queries(d))
	if _, err := s.open(encode(t, m)); err != nil {
		t.Error(err)
	}
}

func (s *suite) cancelled(t *testing.T) {
	d := Checkerboard()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.trainer.Train(ctx, d, d.Cuts.Test, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Train after cancellation: %v", err)
	}
	sc := bind(t, s.train(t, d), d.Catalog, d.SubjectColumns())
	q := queries(d)
	if err := sc.Score(ctx, q, make([]float32, len(q)*items)); !errors.Is(err, context.Canceled) {
		t.Errorf("Score after cancellation: %v", err)
	}
}

func (s *suite) concurrentAndBatched(t *testing.T) {
	d := Checkerboard()
	sc := bind(t, s.train(t, d), d.Catalog, d.SubjectColumns())
	q := queries(d)
	want := score(t, sc, items, q)
	for i := range q {
		if one := score(t, sc, items, q[i:i+1]); !slices.Equal(one, want[i*items:(i+1)*items]) {
			t.Errorf("query %d scores otherwise in a batch of its own", i)
		}
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			dst := make([]float32, len(want))
			for range 5 {
				if err := sc.Score(t.Context(), q, dst); err != nil || !slices.Equal(dst, want) {
					t.Errorf("concurrent Score: %v, or other scores", err)
				}
			}
		})
	}
	wg.Wait()
}
