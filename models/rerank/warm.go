package rerank

import (
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/blend"
)

// WarmStarts reports whether a part of the blend is asked to go on from an earlier model.
func (t *Trainer) WarmStarts() bool { return t.Blend.WarmStarts() }

// From returns the trainer whose blend goes on from that of parent. The correction is learned anew.
func (t *Trainer) From(parent models.Model) models.Trainer {
	warm := *t
	before := parent
	if m, ok := parent.(*Model); ok {
		before = m.Blend()
	}
	warm.Blend = *t.Blend.From(before).(*blend.Trainer)
	return &warm
}

var _ models.WarmStarter = (*Trainer)(nil)
