package rerank

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/internal/vec"
)

// replicates of the bootstrap.
const replicates = 1000

// requestsAQuestion is how many of the contexts in which a subject chose something are asked in, the first ones.
const requestsAQuestion = 2

// pair is the nDCG of one question under the blend and under its correction.
type pair struct {
	row              int
	blend, corrected float64
}

// judge compares corrected lists with the blend's and chooses: the correction ships if the whole 95 % interval of the difference of their
// mean nDCG@K over the questions, by a bootstrap over subjects, lies above 0.
func (r *Record) judge(m *Model, questions []asked, k int, from, to int64, seed uint64) {
	lists, requests := make([]pair, len(questions)), make([]pair, len(questions))
	type scratch struct {
		net         memory
		row, scores []float64
	}
	const chunks = 64
	vec.Chunks(chunks, func() *scratch {
		return &scratch{row: make([]float64, candidates), scores: make([]float64, candidates)}
	}, func(s *scratch, chunk int) {
		lo, hi := vec.Span(len(questions), chunks, chunk)
		for i := lo; i < hi; i++ {
			q := &questions[i]
			row, scores := s.row[:len(q.list.items)], s.scores[:len(q.list.items)]
			figure := func(mix []share, hits []int, relevant int) float64 {
				clear(row)
				if mix != nil {
					m.net.correct(row, q.list.features, q.list.base, mix, &s.net)
				}
				for j, v := range q.list.base {
					scores[j] = float64(v) + row[j]
				}
				return ndcg(scores, q.list.items, hits, relevant, k)
			}
			lists[i] = pair{q.row, figure(nil, q.hits, q.relevant), figure(q.mix, q.hits, q.relevant)}
			requests[i].row = q.row
			asked := min(len(q.context), requestsAQuestion)
			for c, x := range q.context[:asked] {
				requests[i].blend += figure(nil, q.chosen[c], q.found[c]) / float64(asked)
				requests[i].corrected += figure([]share{{x, 1}}, q.chosen[c], q.found[c]) / float64(asked)
			}
		}
	})
	r.Judged, r.Request = compare(lists, seed), compare(requests, seed)
	for _, j := range []*Judged{&r.Judged, &r.Request} {
		j.From, j.To, j.K = from, to, k
	}
	j := r.Judged
	figures := fmt.Sprintf("mean nDCG@%d %.4f against %.4f of the blend, a difference of %+.4f with a 95 %% interval from %+.4f to %+.4f",
		k, j.Corrected.Value, j.Blend.Value, j.Difference.Value, j.Difference.Low, j.Difference.High)
	switch {
	case j.Subjects < models.MinSubjects:
		r.Choice, r.Why = chosenBlend, "Too few people chose anything in the validation window to tell whether a correction is better."
	case j.Difference.Low > 0:
		r.Choice, r.Why = chosenCorrected, "On the validation window the whole interval of its gain lies above 0: "+figures+"."
	default:
		r.Choice, r.Why = chosenBlend, "A correction must win by more than noise, with the whole interval of its gain above 0: "+figures+"."
	}
}

// ndcg returns the nDCG@k of items with scores, of which the positions hits are relevant, as are others that are not there; ties go to the
// lower item.
func ndcg(scores []float64, items []int32, hits []int, relevant, k int) float64 {
	if relevant == 0 {
		return 0
	}
	var sum, ideal float64
	for r := range min(relevant, k) {
		ideal += 1 / math.Log2(float64(r)+2)
	}
	for _, j := range hits {
		rank := 0
		for i, s := range scores {
			if s > scores[j] || s == scores[j] && items[i] < items[j] {
				rank++
			}
		}
		if rank < k {
			sum += 1 / math.Log2(float64(rank)+2)
		}
	}
	return sum / ideal
}

// compare bootstraps the difference of means over questions by resampling subjects. A person's questions are alike.
func compare(pairs []pair, seed uint64) Judged {
	j := Judged{Questions: len(pairs), P: 1}
	if len(pairs) == 0 {
		return j
	}
	type subject struct{ n, blend, corrected float64 }
	sorted := slices.Clone(pairs)
	slices.SortStableFunc(sorted, func(a, b pair) int { return a.row - b.row })
	var subjects []subject
	var all subject
	for i, p := range sorted {
		if i == 0 || p.row != sorted[i-1].row {
			subjects = append(subjects, subject{})
		}
		for _, s := range []*subject{&subjects[len(subjects)-1], &all} {
			s.n, s.blend, s.corrected = s.n+1, s.blend+p.blend, s.corrected+p.corrected
		}
	}
	j.Subjects = len(subjects)
	r := rand.New(rand.NewPCG(seed, 0x6a75646765))
	var draws [3][replicates]float64 // of the blend, the corrected, the difference
	below, above := 0, 0
	for b := range replicates {
		var sum subject
		for range subjects {
			s := &subjects[r.IntN(len(subjects))]
			sum.n, sum.blend, sum.corrected = sum.n+s.n, sum.blend+s.blend, sum.corrected+s.corrected
		}
		draws[0][b], draws[1][b], draws[2][b] = sum.blend/sum.n, sum.corrected/sum.n, (sum.corrected-sum.blend)/sum.n
		if draws[2][b] <= 0 {
			below++
		}
		if draws[2][b] >= 0 {
			above++
		}
	}
	for i, to := range []*models.Interval{&j.Blend, &j.Corrected, &j.Difference} {
		slices.Sort(draws[i][:])
		to.Low, to.High = draws[i][replicates*25/1000], draws[i][replicates*975/1000-1]
	}
	j.Blend.Value, j.Corrected.Value = all.blend/all.n, all.corrected/all.n
	j.Difference.Value = (all.corrected - all.blend) / all.n
	j.P = min(1, 2*float64(min(below, above)+1)/float64(replicates+1))
	return j
}
