package jobs

import (
	"strings"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/storage/table"
)

// rerankFacts says in a report whether the corrected lists ship or the blend's, and why, with figures where there are any. It spells the metric as all of the
// report does: what the artifact says stays as it is, as its digest is of that.
func rerankFacts(r models.Reranking) *eval.RerankFacts {
	f := &eval.RerankFacts{Ships: r.Ships, Bound: r.Bound, Features: r.Features, Says: strings.ReplaceAll(r.Says, "nDCG@", eval.NDCG+"@")}
	if r.Subjects == 0 { // nothing was compared
		return f
	}
	f.Metric, f.K = eval.At(eval.NDCG, r.K), r.K
	figure := func(i models.Interval) eval.Figure { return eval.Figure{Value: &i.Value, Low: &i.Low, High: &i.High} }
	f.Blend, f.Reranked, f.Difference, f.P, f.N = figure(r.Uncorrected), figure(r.Corrected), figure(r.Difference), &r.P, r.Subjects
	f.Window = table.Interval{Start: timeOf(r.From), End: timeOf(r.To)}
	return f
}
