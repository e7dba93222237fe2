package models_test

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/rapport-ml/rapport/models"
)

func TestSelectRelated(t *testing.T) {
	found := []models.Scored{{Item: 7, Score: .5}, {Item: 2, Score: .5}, {Item: 4, Score: 0}, {Item: 5, Score: -1}, {Item: 1, Score: float32(math.NaN())}, {Item: 9, Score: .75}, {Item: 3, Score: .25}}
	items, scores := make([]int32, 3), make([]float32, 3)
	if n := models.SelectRelated(slices.Clone(found), items, scores); n != 3 || !slices.Equal(items, []int32{9, 2, 7}) || !slices.Equal(scores, []float32{.75, .5, .5}) {
		t.Errorf("%d items %v of scores %v", n, items, scores)
	}
	items, scores = make([]int32, 10), make([]float32, 10)
	if n := models.SelectRelated(found, items, scores); n != 4 || !slices.Equal(items[:n], []int32{9, 2, 7, 3}) {
		t.Errorf("%d items %v: zero, negative and undefined scores must be left out", n, items[:n])
	}
	if n := models.SelectRelated(nil, nil, nil); n != 0 {
		t.Errorf("%d items of nothing", n)
	}
}

// lists is a Scorer that makes some kinds of related lists.
type lists struct {
	models.Scorer
	kinds []string
}

func (l *lists) RelatedKinds() []string { return l.kinds }

func (l *lists) Related(context.Context, string, int32, []int32, []float32) (int, error) {
	return 0, nil
}

func TestRelatersOfParts(t *testing.T) {
	both := &lists{kinds: []string{models.RelatedSimilar, models.RelatedTogether}}
	similar, late := &lists{kinds: []string{models.RelatedSimilar}}, &lists{kinds: []string{models.RelatedSimilar}}
	got := models.Relaters([]models.Part{{Name: "none", Weight: 9}, {Name: "both", Weight: .5, Scorer: both}, {Name: "similar", Weight: 1, Scorer: similar}, {Name: "late", Weight: 1, Scorer: late}})
	if got[models.RelatedSimilar] != similar || got[models.RelatedTogether] != both || len(got) != 2 {
		t.Errorf("relaters %v", got)
	}
}
