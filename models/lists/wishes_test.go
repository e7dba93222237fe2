package lists

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/rapport-ml/rapport/models"
)

// TestWishes: what a subject wants less of, and that it would rather have new items, orders its list by the score with what the wishes weigh, leaves nothing
// out, and is told; a list of somebody who wants neither is the ranking.
func TestWishes(t *testing.T) {
	const n, day = 40, 24 * 3600 * int64(1e6)
	r := rand.New(rand.NewPCG(3, 9))
	c := catalog(n, "a", "b", "c", "d")
	first := make([]int64, n)
	for i := range first {
		first[i] = 100*day - int64(r.IntN(60))*day
	}
	s := bind(t, Rules{}, c, Options{K: 10, At: 101 * day, First: first, Less: 0.4, New: 0.6})
	for range 30 {
		scores := randomScores(r, n)
		rank := ranked(scores)
		lo, hi := float64(rank.Scores[n-1]), float64(rank.Scores[0])
		for _, want := range []struct {
			less []int32
			new  bool
			had  []int32
		}{{}, {less: []int32{2, 5, rank.Items[0]}}, {new: true, had: []int32{1, 3, rank.Items[0]}}, {less: []int32{rank.Items[0], rank.Items[1]}, new: true}} {
			slices.Sort(want.less)
			q := &models.Query{K: n, Less: want.less, RatherNew: want.new, History: models.History{Item: want.had}}
			value := func(i int32) float64 {
				v := (float64(float32(scores[i])) - lo) / (hi - lo)
				if slices.Contains(want.less, i) {
					v -= 0.4
				}
				if want.new && !slices.Contains(want.had, i) {
					v += 0.3
				}
				if want.new && first[i] > 101*day-newFor.Microseconds() {
					v += 0.3
				}
				return v
			}
			expected := slices.Clone(rank.Items)
			slices.SortStableFunc(expected, func(a, b int32) int { return cmp.Compare(value(b), value(a)) })
			got := s.Fill(q, rank)
			for j, item := range got.Items {
				if item != expected[j] && math.Abs(value(item)-value(expected[j])) > 1e-12 {
					t.Fatalf("%+v: place %d holds item %d, want %d", want, j+1, item, expected[j])
				}
				may := Rule(0)
				if len(want.less) > 0 {
					may |= Lessened
				}
				if want.new {
					may |= Preferred
				}
				moved := got.Before[j] != int32(j+1)
				if got.By[j]&^may != 0 || moved && got.By[j] == 0 || !moved && got.By[j] != 0 {
					t.Fatalf("%+v: place %d was place %d, by %v", want, j+1, got.Before[j], got.By[j].Names())
				}
			}
			if len(got.Items) != n {
				t.Fatalf("%+v: %d items of %d: a wish has left some out", want, len(got.Items), n)
			}
		}
	}
	if got := (Lessened | Preferred).Names(); !slices.Equal(got, []string{"less", "prefer"}) {
		t.Errorf("the wishes are called %v", got)
	}
}

// TestNewItemsForWhoWantsThem: items too new to be among the best are offered to those who would rather have new ones, and to nobody else.
func TestNewItemsForWhoWantsThem(t *testing.T) {
	const n, day = 500, 24 * 3600 * int64(1e6)
	c := catalog(n, "a", "b")
	first, scores := make([]int64, n), make([]float32, n)
	for i := range first {
		first[i], scores[i] = 10*day, 1/float32(i+1) // as scores are: few items stand out
		if i >= n-5 {
			first[i] = 99 * day // the worst of all by their scores
		}
	}
	s := bind(t, Rules{}, c, Options{K: 10, At: 100 * day, First: first})
	q := []models.Query{{K: 10, History: models.History{Item: []int32{0, 1, 2, 3, 4, 5}}}, {K: 10}, {K: 10}}
	q[0].RatherNew, q[2].RatherNew, q[2].Exclude = true, true, []int32{n - 5, n - 4, n - 3, n - 2, n - 1}
	var out Lists
	if err := s.Rank(t.Context(), scorer(func(_ *models.Query, item int) float32 { return scores[item] }), q, &out); err != nil {
		t.Fatal(err)
	}
	shown := func(i int) (k int) {
		for j := out.Off[i]; j < out.Off[i+1]; j++ {
			if out.Item[j] >= n-5 {
				k++
				if out.Before[j] != 0 || out.By[j] != Preferred {
					t.Errorf("item %d was place %d, by %v", out.Item[j], out.Before[j], out.By[j].Names())
				}
			}
		}
		return k
	}
	if a, b, c := shown(0), shown(1), shown(2); a == 0 || b != 0 || c != 0 {
		t.Errorf("new items: %d for who wants them, %d for who does not ask, %d for who excludes them", a, b, c)
	}
}
