package blend

import "github.com/rapport-ml/rapport/models"

// WarmStarts reports whether a part is asked to go on from an earlier model.
func (t *Trainer) WarmStarts() bool {
	for _, p := range t.Parts {
		if w, ok := p.(models.WarmStarter); ok && w.WarmStarts() {
			return true
		}
	}
	return false
}

// From returns the trainer whose parts go on from the parts of parent, a blend, that have their names, as far as they are asked to. The weights
// are fitted anew: parts that go on from a parent of a later time than they learn until take nothing from it.
func (t *Trainer) From(parent models.Model) models.Trainer {
	warm := *t
	warm.Parts = append([]models.Trainer(nil), t.Parts...)
	before, ok := parent.(*Model)
	if !ok {
		return &warm
	}
	for i, p := range warm.Parts {
		w, ok := p.(models.WarmStarter)
		if !ok || !w.WarmStarts() {
			continue
		}
		for _, m := range before.parts {
			if m.Name() == p.Name() {
				warm.Parts[i] = w.From(m)
			}
		}
	}
	return &warm
}

var _ models.WarmStarter = (*Trainer)(nil)
