package jobs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/models"
)

// Reweight lets events of the groups of a cohort weigh more or less in training, against a gap between them. What is learned from has other weights, and
// that is all that a model gets to know of it: who stands in which group is in no artifact, no list and no online row, and people's own histories weigh
// what they do when lists are made.
type Reweight struct {
	Cohort string             `json:"cohort"` // as evaluated; an intersection has CohortCross between its parts
	Of     map[string]float64 `json:"of"`     // by group; any other group, and who is in none, weighs 1
}

// ErrMitigate says that a remedy was asked for that cannot be had as the project stands.
var ErrMitigate = errors.New("cannot be done")

// MaxEmphasis bounds the weight of a group, up and down: at more a model is of that group alone.
const MaxEmphasis = 16

// tableParts are the parts of a cohort that stand in the table of cohorts, which evaluation alone may read. The others are made of what training reads.
func (j *Job) tableParts(cohort string) (parts []string) {
	for _, part := range strings.Split(cohort, CohortCross) {
		if j.Evaluation != nil && j.Evaluation.Allows("cohorts", part) {
			parts = append(parts, part)
		}
	}
	return parts
}

// mayTrainOn refuses a cohort that no purpose lets remedies read, and says what to declare.
func (j *Job) mayTrainOn(cohort string) error {
	parts := j.tableParts(cohort)
	if len(parts) == 0 {
		return nil
	}
	reads := "reads: {cohorts: [" + strings.Join(parts, ", ") + "]}"
	if j.Mitigation == nil {
		return fmt.Errorf("%w: training may not read the cohort %s, which is there to evaluate by: declare a purpose with use: mitigation, its basis and %s, and name it as jobs.%s.purpose.mitigate", ErrMitigate, cohort, reads, j.Name)
	}
	for _, part := range parts {
		if !j.Mitigation.Allows("cohorts", part) {
			return fmt.Errorf("%w: the purpose %s does not read the cohort %s: add it to %s", ErrMitigate, j.Mitigation.Name, part, reads)
		}
	}
	return nil
}

// Text is it as a project file has it: an intersection is a list.
func (r *Reweight) Text() string {
	cohort := r.Cohort
	if parts := strings.Split(cohort, CohortCross); len(parts) > 1 {
		cohort = "[" + strings.Join(parts, ", ") + "]"
	}
	var of []string
	for _, level := range slices.Sorted(maps.Keys(r.Of)) {
		of = append(of, fmt.Sprintf("%s: %g", strconv.Quote(level), r.Of[level]))
	}
	return fmt.Sprintf("{cohort: %s, of: {%s}}", cohort, strings.Join(of, ", "))
}

// same reports whether two ask for the same weights.
func (r *Reweight) same(o *Reweight) bool {
	if r == nil || o == nil {
		return r == o
	}
	return r.Cohort == o.Cohort && maps.Equal(r.Of, o.Of)
}

// reweighing is what of weights of groups is in the key of a training set: the groups, and by whose consent they are known. Nothing where there are none.
func (p *plan) reweighing(j *Job) []string {
	if j.Reweight == nil {
		return nil
	}
	out := []string{"reweight " + p.cohorts.keyOrNone()}
	if p.mitigationDecisions != nil {
		out = append(out, p.mitigationDecisions.Digest(p.training))
	}
	return out
}

// weighed is what the candidate learns from: all that the job's protocol allows, with the weights of groups.
func (w *work) weighed(ctx context.Context, d *dataset) (*models.Dataset, error) {
	learned, err := w.learned(d)
	if err != nil || w.job.Reweight == nil {
		return learned, err
	}
	return w.reweighted(ctx, d, learned, w.job.Reweight)
}

// reweighted is d with other weights of events; it shares all else.
func (w *work) reweighted(ctx context.Context, d *dataset, learned *models.Dataset, r *Reweight) (*models.Dataset, error) {
	factor, err := w.emphasis(ctx, d, r)
	if err != nil {
		return nil, fmt.Errorf("weights by %s: %w", r.Cohort, err)
	}
	out := *learned
	out.Events.Weight = slices.Clone(learned.Events.Weight)
	for s, f := range factor {
		for i := out.Events.Off[s]; i < out.Events.Off[s+1]; i++ {
			out.Events.Weight[i] *= f
		}
	}
	return &out, nil
}

// emphasis is what the events of each subject row weigh. Of an attribute of the table of cohorts it knows only those whom the purpose of mitigation may use.
func (w *work) emphasis(ctx context.Context, d *dataset, r *Reweight) ([]float32, error) {
	if err := w.job.mayTrainOn(r.Cohort); err != nil {
		return nil, err
	}
	asked := make([]eval.Asked, len(d.Events.Subjects))
	for s := range asked {
		asked[s].Row = s
	}
	t := &eval.Task{Rows: len(asked), Subject: func(row int) eval.Subject { return eval.Subject{Query: d.Query(row, d.Cuts.Test, 0)} }}
	made, err := w.cohorts(ctx, []string{r.Cohort}, d, t, asked)
	if err != nil {
		return nil, err
	}
	c := &made[0]
	guarded := len(w.job.tableParts(r.Cohort)) > 0
	out := make([]float32, len(asked))
	for s, level := range c.Of {
		out[s] = 1
		if level < 0 || guarded && w.plan.mitigationDecisions.Of(policy.Subject(d.Events.Subjects[s])).Denied() {
			continue
		}
		if f, ok := r.Of[c.Levels[level]]; ok {
			out[s] = float32(f)
		}
	}
	return out, nil
}
