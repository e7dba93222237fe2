package eval

import (
	"context"
	"math"
	"testing"

	"github.com/rapport-ml/rapport/models"
)

// TestAskAndEach holds a contender that is asked otherwise to the figures of one that ranks as it then does, and what Each is told to the means.
func TestAskAndEach(t *testing.T) {
	f := invented(300, 60, 4)
	byTaste := scorerFunc(func(q *models.Query, item int) float32 {
		if q.At >= 0 && item%5 == int(q.At%5) {
			return 100 - float32(item)
		}
		return -float32(item)
	})
	forgetful := func(q models.Query) models.Query {
		q.At, q.K = -1, 0 // its taste is not known any more; the length is the task's
		return q
	}
	task := f.task()
	var sums [3]float64
	rows := 0
	last := -1
	task.Each = func(row int, headline []float64) {
		if row <= last {
			t.Errorf("row %d is told after row %d", row, last)
		}
		last = row
		rows++
		for c, v := range headline {
			sums[c] += v
		}
	}
	q, err := Evaluate(context.Background(), task, []Contender{
		{Name: "knows", Scorer: byTaste, Role: Candidate},
		{Name: "forgets", Scorer: byTaste, Role: Baseline, Ask: forgetful},
		{Name: "ignorant", Scorer: descending, Role: Baseline},
	})
	if err != nil {
		t.Fatal(err)
	}
	var means [3]float64
	for c := range q.Contenders {
		means[c] = *q.Contenders[c].Estimate(q.Headline, All).Value
		if got := sums[c] / float64(rows); math.Abs(got-means[c]) > 1e-12 {
			t.Errorf("%s: what Each is told has the mean %v, and the figure is %v", q.Contenders[c].Name, got, means[c])
		}
	}
	if rows != q.Evaluated {
		t.Errorf("Each was told of %d rows, and %d were measured", rows, q.Evaluated)
	}
	if means[1] != means[2] || means[0] == means[1] {
		t.Errorf("who is not told the taste reaches %v, who does not use it %v, who knows it %v", means[1], means[2], means[0])
	}
}
