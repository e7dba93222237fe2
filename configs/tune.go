package configs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

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

// File is the path of the project file.
func (p *Project) File() string { return p.dec.file }

// Retuned is the text of the project file with the values of parts of a model set, by the parts' names, and all else as it stands: comments, order and layout.
// Only values that differ from those in the file are written. An error says that the file is written in a way that this cannot edit; the
// values are to be put in by hand then.
func (p *Project) Retuned(model string, parts map[string]models.Values) ([]byte, error) {
	src, err := os.ReadFile(p.dec.file)
	if err != nil {
		return nil, err
	}
	out, err := p.retune(string(src), model, parts)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be edited: %w", p.dec.file, err)
	}
	return []byte(out), nil
}

func (p *Project) retune(src, model string, parts map[string]models.Values) (string, error) {
	if err := p.same(src, model, nil); err != nil { // a search takes its time, and somebody may have gone on working
		return "", fmt.Errorf("it has changed since it was read: %w", err)
	}
	f, err := parser.ParseBytes([]byte(src), 0)
	if err != nil {
		return "", err
	}
	lines := strings.SplitAfter(src, "\n")
	var edits []edit
	done := map[string]bool{}
	for _, doc := range f.Docs {
		list, ok := under(under(under(doc.Body, "models"), model), "parts").(*ast.SequenceNode)
		if !ok {
			continue
		}
		for i, n := range list.Values {
			part := p.Models[model].Parts[i]
			v, wanted := parts[part.Name]
			if !wanted {
				continue
			}
			s, _ := p.trainer(part)
			e, err := retunePart(n, part.Name, tunable(s), v)
			if err != nil {
				return "", err
			}
			edits, done[part.Name] = append(edits, e...), true
		}
	}
	for name := range parts {
		if !done[name] {
			return "", fmt.Errorf("models.%s has no part %s that could be found in the text", model, name)
		}
	}
	if lines, err = apply(lines, edits); err != nil {
		return "", err
	}
	text := strings.Join(lines, "")
	if err := p.same(text, model, parts); err != nil {
		return "", fmt.Errorf("after the edit %w", err)
	}
	return text, nil
}

// under is the value of a key of a mapping, or nil.
func under(n ast.Node, key string) ast.Node {
	var pairs []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		pairs = m.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{m}
	}
	for _, v := range pairs {
		if keyOf(v) == key {
			return v.Value
		}
	}
	return nil
}

// firstOf is the first entry of a mapping, nil if it has none, and whether it is written in braces.
func firstOf(n ast.Node) (first *ast.MappingValueNode, flow bool) {
	switch m := n.(type) {
	case *ast.MappingNode:
		if len(m.Values) > 0 {
			first = m.Values[0]
		}
		return first, m.IsFlowStyle
	case *ast.MappingValueNode:
		return m, false
	}
	return nil, false
}

// edit replaces text at a place of the file, which must be there. New text may be put in beside nothing.
type edit struct {
	line, column int // from 1; columns count characters
	old, new     string
}

func at(t *token.Token, by string) edit {
	return edit{t.Position.Line, t.Position.Column, strings.TrimSpace(t.Origin), by}
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
	var edits []edit
	first, flow := firstOf(args)
	if first == nil {
		return nil, fmt.Errorf("part %s has no hyperparameters in a form that is known", name)
	}
	for _, r := range t.Space {
		x, ok := changed[r.Name]
		if !ok {
			continue
		}
		if old := under(args, r.Name); old != nil {
			edits = append(edits, at(old.GetToken(), t.Space.Text(r.Name, x)))
			delete(changed, r.Name)
		}
	}
	key := first.Key.GetToken()
	for _, r := range slices.Backward(t.Space) { // each before the first key, so the last one comes first
		x, ok := changed[r.Name]
		if !ok {
			continue
		}
		sep := ", "
		if !flow {
			sep = "\n" + strings.Repeat(" ", key.Position.Column-1)
		}
		edits = append(edits, edit{key.Position.Line, key.Position.Column, "", r.Name + ": " + t.Space.Text(r.Name, x) + sep})
	}
	return edits, nil
}

// apply makes the edits, from the last place of the file to the first, so that none moves another.
func apply(lines []string, edits []edit) ([]string, error) {
	slices.SortStableFunc(edits, func(a, b edit) int {
		if a.line != b.line {
			return b.line - a.line
		}
		return b.column - a.column
	})
	out := slices.Clone(lines)
	for _, e := range edits {
		if e.line < 1 || e.line > len(out) {
			return nil, errors.New("a place is not where it should be")
		}
		text := []rune(out[e.line-1])
		if e.column < 1 || e.column > len(text) || !strings.HasPrefix(string(text[e.column-1:]), e.old) {
			return nil, fmt.Errorf("line %d does not have %q where it should", e.line, e.old)
		}
		head, tail := string(text[:e.column-1]), string(text[e.column-1:])
		out[e.line-1] = head + e.new + tail[len(e.old):]
	}
	return out, nil
}

// same reads a text in the place of the project file: the parts named must have their values, and nothing else may be another than in p.
func (p *Project) same(text, model string, parts map[string]models.Values) error {
	again, err := parse(p.dec.file, []byte(text))
	if err != nil {
		return fmt.Errorf("it is not valid: %w", err)
	}
	was, is := *p, *again
	was.dec, is.dec = nil, nil
	was.Models, is.Models = map[string]Model{}, map[string]Model{}
	for name, m := range p.Models {
		n, ok := again.Models[name]
		if !ok || len(n.Parts) != len(m.Parts) {
			return fmt.Errorf("models.%s is another", name)
		}
		for i := range m.Parts {
			before, _ := p.trainer(m.Parts[i])
			after, _ := again.trainer(n.Parts[i])
			want := before.trainer
			if v, ok := parts[before.Name]; ok && name == model {
				if want, err = tunable(before).Trainer(v); err != nil {
					return err
				}
			}
			if before.Name != after.Name || !reflect.DeepEqual(want, after.trainer) {
				return fmt.Errorf("part %s of models.%s does not have the values meant for it", before.Name, name)
			}
		}
		m.Parts, n.Parts, m.Ranker, n.Ranker = nil, nil, nil, nil
		was.Models[name], is.Models[name] = m, n
	}
	if len(p.Models) != len(again.Models) || !reflect.DeepEqual(was, is) {
		return errors.New("something else is another")
	}
	return nil
}
