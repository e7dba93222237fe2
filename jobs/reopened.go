package jobs

import (
	"context"
	"slices"
	"strings"

	"github.com/rapport-ml/rapport/jobs/ledger"
)

// reopened says, of the interval-level steps that a run would do though they were done for the interval before, which of their inputs is
// another now. The run that did them last has what they were made of. Cost: the ledger's index, and one run.
func (w *work) reopened(ctx context.Context, p *plan) error {
	runs := ledger.Ledger{Bucket: w.Bucket}
	steps := []*step{&p.build, &p.drift, &p.assemble, &p.train, &p.evaluate}
	if !slices.ContainsFunc(steps, func(s *step) bool { return !s.done }) {
		return nil
	}
	last, err := w.lastRuns(ctx, w.job)
	if err != nil {
		return err
	}
	line, ok := last[w.label]
	if !ok {
		return nil
	}
	run, err := runs.Get(ctx, line.ID)
	if err != nil {
		return err
	}
	w.plan = p
	for _, s := range steps {
		i := slices.IndexFunc(run.Steps, func(x ledger.Step) bool {
			return x.Name == s.name && (x.Status == "done" || x.Status == "skipped") && len(x.Inputs) > 0
		})
		if i < 0 || s.done || s.why != "" {
			continue
		}
		s.why = strings.Join(otherInputs(run.Steps[i], ledger.Step{Key: s.key, Inputs: w.inputs(*s)}), ", ")
	}
	return nil
}

// otherInputs names in words what a step would now be made of and was not before.
func otherInputs(was, now ledger.Step) []string {
	var out []string
	if specPart(was.Key) != specPart(now.Key) {
		out = append(out, "its settings have changed")
	}
	for _, in := range now.Inputs {
		i := slices.IndexFunc(was.Inputs, func(x ledger.Input) bool { return x.Kind == in.Kind && x.Name == in.Name })
		if i >= 0 && was.Inputs[i].Digest == in.Digest {
			continue
		}
		switch {
		case in.Kind == "policy":
			out = append(out, "whose data may be used has changed")
		case in.Kind == "model":
			out = append(out, "another version is live")
		case in.Name == "ingest":
			out = append(out, "days that it reads have changed")
		case in.Name == "assemble":
			out = append(out, "it has another training set")
		case in.Name == "train":
			out = append(out, "it has another model")
		case in.Name == "drift":
			out = append(out, "the check for drift before it has changed")
		default:
			out = append(out, in.Name+" have changed")
		}
	}
	return out
}

// specPart is the part of a step key that hashes what the step reads of the job.
func specPart(key string) string {
	spec, _, _ := strings.Cut(key[strings.LastIndexByte(key, '/')+1:], "-")
	return spec
}
