package configs

import (
	"context"
	"fmt"
	"slices"

	"github.com/goccy/go-yaml/ast"

	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/again"
	"github.com/rapport-ml/rapport/models/als"
	"github.com/rapport-ml/rapport/models/blend"
	"github.com/rapport-ml/rapport/models/content"
	"github.com/rapport-ml/rapport/models/ease"
	"github.com/rapport-ml/rapport/models/next"
	"github.com/rapport-ml/rapport/models/popular"
)

// Tuning is what a model's search can change: its parts with their search spaces, and the blend of them. A part without a space stays as it is.
func (p *Project) Tuning(model string) jobs.Tuning {
	var out jobs.Tuning
	hyper := blend.Defaults()
	for _, part := range p.Models[model].Parts {
		s, _ := p.trainer(part) // checked when the file was read
		out.Parts = append(out.Parts, tunable(s))
	}
	out.Blend = func(parts []models.Trainer) models.Trainer { return fitted{blend.Trainer{Parts: parts, Hyper: hyper}} }
	return out
}

// fitted trains a blend as it stands in the validation window: its parts do not learn again from that window.
type fitted struct{ blend blend.Trainer }

func (f fitted) Name() string { return f.blend.Name() }

func (f fitted) Train(ctx context.Context, d *models.Dataset, until int64, seed uint64) (models.Model, error) {
	return f.blend.Fit(ctx, d, until, seed)
}

func tunable(s spec) jobs.Tunable {
	switch h := s.Hyper.(type) {
	case popular.Hyper:
		return searched(s, h, popular.Space(), func(h popular.Hyper) models.Trainer { return &popular.Trainer{Hyper: h} })
	case again.Hyper:
		return searched(s, h, again.Space(), func(h again.Hyper) models.Trainer { return &again.Trainer{Hyper: h} })
	case als.Hyper:
		return searched(s, h, als.Space(), func(h als.Hyper) models.Trainer { return &als.Trainer{Hyper: h} })
	case content.Hyper:
		return searched(s, h, content.Space(), func(h content.Hyper) models.Trainer { return &content.Trainer{Hyper: h} })
	case ease.Hyper:
		return searched(s, h, ease.Space(), func(h ease.Hyper) models.Trainer { return &ease.Trainer{Hyper: h} })
	case next.Hyper:
		return searched(s, h, next.Space(), func(h next.Hyper) models.Trainer { return &next.Trainer{Hyper: h} })
	}
	return jobs.Tunable{Part: s.Name, Trainer: func(models.Values) (models.Trainer, error) { return s.trainer, nil }}
}

// searched is a part whose hyperparameters are h where a search does not change them.
func searched[H any](s spec, h H, space models.Space, trainer func(H) models.Trainer) jobs.Tunable {
	now, err := space.Of(h)
	if err != nil {
		panic(err) // a space that does not fit its algorithm: a test holds each to be valid
	}
	return jobs.Tunable{Part: s.Name, Space: space, Now: now, Trainer: func(v models.Values) (models.Trainer, error) {
		tuned, err := models.Set(h, space, v)
		if err != nil {
			return nil, err
		}
		return trainer(tuned), nil
	}}
}

// Retuned is the text of the project file with the values of parts of a model set, by the parts' names, and all else as it stands: comments, order and layout.
// Only values that differ from those in the file are written. An error says that the file is written in a way that this cannot edit; the
// values are to be put in by hand then.
func (p *Project) Retuned(model string, parts map[string]models.Values) ([]byte, error) {
	return p.edited(func(root ast.Node) (edits []edit, _ []int, err error) {
		done := map[string]bool{}
		if list, ok := under(under(under(root, "models"), model), "parts").(*ast.SequenceNode); ok {
			for i, n := range list.Values {
				part := p.Models[model].Parts[i]
				v, wanted := parts[part.Name]
				if !wanted {
					continue
				}
				s, _ := p.trainer(part)
				e, err := retunePart(n, part.Name, tunable(s), v)
				if err != nil {
					return nil, nil, err
				}
				edits, done[part.Name] = append(edits, e...), true
			}
		}
		for name := range parts {
			if !done[name] {
				return nil, nil, fmt.Errorf("models.%s has no part %s that could be found in the text", model, name)
			}
		}
		return edits, nil, nil
	}, func(text string) error { return p.after(text, model, parts) })
}

// retunePart says how the entry of a part in the list of parts is changed so that it has the values v.
func retunePart(n ast.Node, name string, t jobs.Tunable, v models.Values) ([]edit, error) {
	changed := models.Values{}
	for key, x := range v {
		if t.Now[key] != x {
			changed[key] = x
		}
	}
	if len(changed) == 0 {
		return nil, nil
	}
	if s, ok := n.(*ast.StringNode); ok {
		return []edit{at(s.Token, name+": "+t.Space.String(changed))}, nil
	}
	args := under(n, name)
	if first, _ := firstOf(args); first == nil {
		return nil, fmt.Errorf("part %s has no hyperparameters in a form that is known", name)
	}
	var edits []edit
	for _, r := range slices.Backward(t.Space) { // what is new comes before the first key, so the last one comes first
		if x, ok := changed[r.Name]; ok {
			e, err := setIn(args, r.Name, t.Space.Text(r.Name, x))
			if err != nil {
				return nil, err
			}
			edits = append(edits, e)
		}
	}
	return edits, nil
}
