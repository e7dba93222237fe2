package als

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/artifact"
)

const day = int64(24 * time.Hour / time.Microsecond)

// event is one row of a data set under construction.
type event struct {
	subject int
	item    int32
	time    int64
	weight  float32
}

// dataset sorts events into a models.Dataset over a catalog of n items named i0000, i0001, ….
func dataset(n int, events []event) *models.Dataset {
	events = slices.Clone(events)
	slices.SortStableFunc(events, func(a, b event) int {
		if a.subject != b.subject {
			return a.subject - b.subject
		}
		if a.time != b.time {
			return int(a.time - b.time)
		}
		return int(a.item - b.item)
	})
	d := &models.Dataset{Catalog: catalog(n), Kinds: []string{"buy"}}
	l := &d.Events
	for _, e := range events {
		if k := len(l.Subjects); k == 0 || l.Subjects[k-1] != subjectNumber(e.subject) {
			l.Subjects, l.Off = append(l.Subjects, subjectNumber(e.subject)), append(l.Off, len(l.Item))
		}
		l.Item, l.Time = append(l.Item, e.item), append(l.Time, e.time)
		l.Kind, l.Weight = append(l.Kind, 0), append(l.Weight, e.weight)
	}
	l.Off = append(l.Off, len(l.Item))
	return d
}

func catalog(n int) *models.Catalog {
	c := &models.Catalog{IDs: make([]string, n)}
	for i := range c.IDs {
		c.IDs[i] = fmt.Sprintf("i%05d", i)
	}
	return c
}

func subjectNumber(s int) uint64 { return uint64(s)<<32 | 0xabcdef01 }

// groups are events of subjects who choose most items from their own of k groups.
func groups(r *rand.Rand, subjects, items, k, each int) []event {
	var events []event
	for s := range subjects {
		for range each {
			i := r.IntN(items)
			if r.Float64() < .9 {
				i = i - i%k + s%k
			}
			events = append(events, event{s, int32(min(i, items-1)), int64(r.IntN(100)) * day, 1 + float32(r.IntN(3))})
		}
	}
	return events
}

func train(t testing.TB, d *models.Dataset, h Hyper, until int64) *Model {
	t.Helper()
	m, err := (&Trainer{Hyper: h}).Train(context.Background(), d, until, 42)
	if err != nil {
		t.Fatal(err)
	}
	return m.(*Model)
}

func bind(t testing.TB, m models.Model, c *models.Catalog) *scorer {
	t.Helper()
	s, err := m.Bind(context.Background(), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s.(*scorer)
}

// One subject, one item, d = 1, no decay, no saturation, weight 1, α₀ = 1, λ = 1/2, ν = 0. With h given, w = h/(h² + h² + ½).
// At the fixed point w = h (the problem is symmetric): 2w² + ½ = 1, so w² = ¼, and a query with this history scores w·h = ¼.
func TestOnePairByHand(t *testing.T) {
	h := Hyper{Dim: 1, Epochs: 60, Weight: 1, Regularization: .5, MinSubjects: 1}
	m := train(t, dataset(1, []event{{0, 0, 5, 1}}), h, 10)
	if got := math.Abs(float64(m.factors[0])); math.Abs(got-.5) > 1e-5 {
		t.Errorf("|h| = %g, want 0.5", got)
	}
	s := bind(t, m, catalog(1))
	dst := make([]float32, 1)
	q := models.Query{At: 10, History: models.History{Item: []int32{0}, Time: []int64{5}, Kind: []uint8{0}, Weight: []float32{1}}}
	if err := s.Score(context.Background(), []models.Query{q}, dst); err != nil {
		t.Fatal(err)
	}
	if math.Abs(float64(dst[0])-.25) > 1e-5 {
		t.Errorf("score %g, want 0.25", dst[0])
	}
	// Objective by hand: c(ŷ−1)² + α₀ŷ² + λ(w²+h²) = 9/16 + 1/16 + ½·(¼+¼) = 7/8.
	if got := m.record.Objective[len(m.record.Objective)-1]; math.Abs(got-.875) > 1e-5 {
		t.Errorf("objective %g, want 0.875", got)
	}
}

func TestConfidenceByHand(t *testing.T) {
	week := 7 * 24 * time.Hour
	for _, c := range []struct {
		name string
		h    Hyper
		ages []int64 // days
		w    []float32
		want float64
	}{
		{"plain sum", Hyper{}, []int64{1, 2}, []float32{1, 2}, 3},
		{"halves at one half-life", Hyper{HalfLife: week}, []int64{7, 14}, []float32{1, 2}, .5 + .5},
		{"saturates: 2·ln(1+2/2)", Hyper{Saturation: 2}, []int64{0, 0}, []float32{1, 1}, 2 * math.Ln2},
		{"decays, then saturates: 1·ln(1+1/1)", Hyper{HalfLife: week, Saturation: 1}, []int64{7}, []float32{2}, math.Ln2},
		{"the future does not gain", Hyper{HalfLife: week}, []int64{-7}, []float32{1}, 1},
	} {
		s := newSums(1)
		for k, age := range c.ages {
			s.add(0, float64(c.w[k])*models.Decay(age*day, c.h.HalfLife))
		}
		if _, conf := s.flush(&c.h, nil, nil); math.Abs(float64(conf[0])-c.want) > 1e-6 {
			t.Errorf("%s: c = %g, want %g", c.name, conf[0], c.want)
		}
	}
}

func TestObjectiveNeverRises(t *testing.T) {
	d := dataset(120, groups(rand.New(rand.NewPCG(1, 2)), 150, 120, 6, 25))
	for _, h := range []Hyper{Defaults(), {Dim: 20, Epochs: 30, Weight: .01, Regularization: .0005, Exponent: 1}, {Dim: 7, Epochs: 30, Weight: 2, Regularization: 5}} {
		var seen []float64
		tr := &Trainer{Hyper: h, Progress: func(epoch int, objective float64) {
			seen = append(seen, objective)
			if epoch != len(seen) {
				t.Errorf("epoch %d reported as %d", len(seen), epoch)
			}
		}}
		if _, err := tr.Train(context.Background(), d, 200*day, 1); err != nil {
			t.Fatal(err)
		}
		if len(seen) != h.Epochs {
			t.Fatalf("%d epochs reported, want %d", len(seen), h.Epochs)
		}
		for k := 1; k < len(seen); k++ {
			if seen[k] > seen[k-1]*(1+1e-6) {
				t.Errorf("%+v: objective rose from %.9g to %.9g at epoch %d", h, seen[k-1], seen[k], k+1)
			}
		}
	}
}

func encoded(t testing.TB, m models.Model) (artifact.Files, string) {
	t.Helper()
	files, digest, err := models.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	return files, digest
}

func TestArtifactDoesNotDependOnProcessors(t *testing.T) {
	d := dataset(300, groups(rand.New(rand.NewPCG(3, 2)), 400, 300, 6, 20))
	h := Defaults()
	h.Epochs, h.HalfLife = 3, 30*24*time.Hour
	var first string
	for _, procs := range []int{1, 2, 3, 8} {
		old := runtime.GOMAXPROCS(procs)
		_, digest := encoded(t, train(t, d, h, 200*day))
		runtime.GOMAXPROCS(old)
		if first == "" {
			first = digest
		}
		if digest != first {
			t.Errorf("GOMAXPROCS %d: another artifact", procs)
		}
	}
	m, err := (&Trainer{Hyper: h}).Train(context.Background(), d, 200*day, 43)
	if err != nil {
		t.Fatal(err)
	}
	if _, digest := encoded(t, m); digest == first {
		t.Error("another seed gave the same artifact")
	}
}

func TestRareItemsTakeNoPart(t *testing.T) {
	events := groups(rand.New(rand.NewPCG(4, 9)), 40, 20, 2, 10)
	for s := range 4 { // item 20 has four subjects
		events = append(events, event{s, 20, day, 1}, event{s, 20, 2 * day, 1})
	}
	m := train(t, dataset(21, events), Hyper{Dim: 4, MinSubjects: 5}, 200*day)
	if slices.Contains(m.items, "i00020") {
		t.Error("an item of four subjects has a vector in the artifact")
	}
	if m = train(t, dataset(21, events), Hyper{Dim: 4, MinSubjects: 4}, 200*day); !slices.Contains(m.items, "i00020") {
		t.Error("an item of four subjects is missing with min_subjects 4")
	}
}

func TestEventsOutsideTheCutsDoNotCount(t *testing.T) {
	inside := groups(rand.New(rand.NewPCG(4, 9)), 30, 20, 2, 10) // days 0 to 99
	d := dataset(20, inside)
	h := Hyper{Dim: 4, MinSubjects: 1}
	d.Cuts.Base = 10 * day
	_, want := encoded(t, train(t, d, h, 60*day))
	cut := slices.DeleteFunc(slices.Clone(inside), func(e event) bool { return e.time < 10*day || e.time >= 60*day })
	if len(cut) == len(inside) {
		t.Fatal("nothing to cut")
	}
	if _, got := encoded(t, train(t, dataset(20, cut), h, 60*day)); got != want {
		t.Error("events outside [base, until) change the artifact")
	}
}

func TestEdges(t *testing.T) {
	ctx := context.Background()
	for _, events := range [][]event{nil, {{0, 0, 1, 1}}} { // nothing, and nothing with enough subjects
		d := dataset(3, events)
		m := train(t, d, Hyper{}, 100)
		files, _ := encoded(t, m)
		r, err := artifact.Open(files)
		if err != nil {
			t.Fatal(err)
		}
		loaded, err := Load(r)
		if err != nil {
			t.Fatal(err)
		}
		dst := []float32{9, 9, 9}
		if err := bind(t, loaded, d.Catalog).Score(ctx, []models.Query{query(10, 0)}, dst); err != nil || dst[0] != 0 || dst[1] != 0 || dst[2] != 0 {
			t.Errorf("an empty model scores %v, %v", dst, err)
		}
	}
	d := dataset(30, groups(rand.New(rand.NewPCG(4, 9)), 30, 30, 2, 10))
	s := bind(t, train(t, d, Hyper{Dim: 4}, 200*day), d.Catalog)
	dst := make([]float32, 30)
	if err := s.Score(ctx, []models.Query{query(10)}, dst); err != nil || slices.ContainsFunc(dst, func(v float32) bool { return v != 0 }) {
		t.Errorf("an empty history scores %v, %v", dst, err)
	}
	e, err := s.Explain(ctx, &models.Query{}, []int32{1})
	if err != nil || len(e.Scores) != 1 || e.Scores[0] != 0 || len(e.Sources) != 0 {
		t.Errorf("an empty history is explained as %v, %v", e, err)
	}
	if err := s.Score(ctx, []models.Query{query(10)}, dst[:29]); err == nil {
		t.Error("a short dst was taken")
	}
	if err := s.Score(ctx, []models.Query{query(10, 30)}, dst); err == nil {
		t.Error("an item outside the catalog was taken")
	}
	bad := query(10, 3)
	bad.History.Weight[0] = float32(math.NaN())
	if err := s.Score(ctx, []models.Query{bad}, dst); err == nil {
		t.Error("a NaN weight was taken")
	}
	if _, err := s.Explain(ctx, &models.Query{}, []int32{-1}); err == nil {
		t.Error("item -1 was explained")
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := (&Trainer{}).Train(gone, d, 200*day, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled training: %v", err)
	}
	if err := s.Score(gone, []models.Query{query(10, 3)}, dst); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled scoring: %v", err)
	}
	if err := (Hyper{Dim: -1, Exponent: 3}).Validate(); err == nil || !strings.Contains(err.Error(), "dim") || !strings.Contains(err.Error(), "exponent") {
		t.Errorf("both faults at once: %v", err)
	}
	if _, err := (&Trainer{}).Train(ctx, dataset(2, []event{{0, 1, 1, -1}}), 10, 1); err == nil {
		t.Error("a negative weight was trained on")
	}
	if _, err := (&Trainer{}).Train(ctx, dataset(2, []event{{0, 2, 1, 1}}), 10, 1); err == nil {
		t.Error("an item outside the catalog was trained on")
	}
}

func TestDivergenceIsNamed(t *testing.T) {
	var events []event
	for s := range 10 {
		events = append(events, event{s, int32(s % 3), 1, math.MaxFloat32})
	}
	_, err := (&Trainer{Hyper: Hyper{Dim: 4, MinSubjects: 1}}).Train(context.Background(), dataset(3, events), 10, 1)
	if !errors.Is(err, ErrDiverged) {
		t.Errorf("weights at the end of float32 give %v", err)
	}
}

// A row that float32 cannot factor is solved in float64: identical vectors, tiny regularization.
func TestNearlySingularRowsAreSolvedInDouble(t *testing.T) {
	const d = 8
	fixed := make([]float32, 3*d)
	for i := range fixed {
		fixed[i] = 1000 + float32(i%d)
	}
	sys := newSystem(fixed, make([]float64, d*d), d, 1)
	dst, sc := make([]float32, d), sys.scratch()
	if !sys.solve(dst, []int32{0, 1, 2}, []float32{1, 1, 1}, 1e-3, nil, sc) {
		t.Fatal("not solved")
	}
	var y float64
	for i, v := range dst {
		y += float64(v) * float64(fixed[i])
	}
	if math.Abs(y-1) > 1e-3 { // one direction, hardly regularized: the observed value 1 is met
		t.Errorf("prediction %g, want 1", y)
	}
}

func BenchmarkTrain(b *testing.B) {
	for _, size := range []struct{ subjects, items, events, dim int }{{600, 400, 50_000, 64}, {6040, 3700, 1_000_000, 64}} {
		b.Run(fmt.Sprintf("subjects=%d/items=%d/events=%d/d=%d/epochs=12", size.subjects, size.items, size.events, size.dim), func(b *testing.B) {
			b.ReportAllocs()
			r := rand.New(rand.NewPCG(1, 1))
			events := make([]event, size.events)
			for k := range events {
				x := r.Float64()
				events[k] = event{r.IntN(size.subjects), int32(x * x * float64(size.items)), int64(k), 1}
			}
			d := dataset(size.items, events)
			h := Defaults()
			h.Dim = size.dim
			b.ResetTimer()
			for range b.N {
				train(b, d, h, int64(size.events))
			}
		})
	}
}
