package configs

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/rapport-ml/rapport/models"
)

// File is the path of the project file.
func (p *Project) File() string { return p.dec.file }

// edited is the text of the project file after some edits, with all else as it stands: comments, order and layout. change says of the tree of the file what is
// edited, and which lines, from 1, go altogether; check holds the new text against what it is meant to say. An error says that the file is written in a
// way that this cannot edit.
func (p *Project) edited(change func(root ast.Node) (edits []edit, gone []int, err error), check func(text string) error) ([]byte, error) {
	src, err := os.ReadFile(p.dec.file)
	if err != nil {
		return nil, err
	}
	text, err := p.edit(string(src), change)
	if err == nil {
		err = check(text)
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be edited: %w", p.dec.file, err)
	}
	return []byte(text), nil
}

func (p *Project) edit(src string, change func(ast.Node) ([]edit, []int, error)) (string, error) {
	if err := p.same(src, "", nil); err != nil { // what is written took its time, and somebody may have gone on working
		return "", fmt.Errorf("it has changed since it was read: %w", err)
	}
	f, err := parser.ParseBytes([]byte(src), 0)
	if err != nil {
		return "", err
	}
	var edits []edit
	var gone []int
	for _, doc := range f.Docs { // one has more than comments, or p would not have been read
		if doc.Body == nil || doc.Body.Type() == ast.CommentType {
			continue
		}
		e, lines, err := change(doc.Body)
		if err != nil {
			return "", err
		}
		edits, gone = append(edits, e...), append(gone, lines...)
	}
	lines, err := apply(strings.SplitAfter(src, "\n"), edits)
	if err != nil {
		return "", err
	}
	for _, l := range gone {
		lines[l-1] = ""
	}
	return strings.Join(lines, ""), nil
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

// setIn says how a key of a mapping gets a value: in place of its own, or before the first key.
func setIn(n ast.Node, key, value string) (edit, error) {
	if old := under(n, key); old != nil {
		return at(old.GetToken(), value), nil
	}
	first, flow := firstOf(n)
	if first == nil {
		return edit{}, errors.New("it is not written as a mapping")
	}
	sep := ", "
	t := first.Key.GetToken()
	if !flow {
		sep = "\n" + strings.Repeat(" ", t.Position.Column-1)
	}
	return edit{t.Position.Line, t.Position.Column, "", key + ": " + value + sep}, nil
}

// takeOut says how values are taken out of a list: by edits of a line, or as whole lines.
func takeOut(n ast.Node, values []string) (edits []edit, lines []int, err error) {
	list, ok := n.(*ast.SequenceNode)
	if !ok || len(list.Values) == 0 {
		return nil, nil, errors.New("it is not written as a list")
	}
	var left []string
	var old strings.Builder
	first := list.Values[0].GetToken().Position
	for i, v := range list.Values {
		t := v.GetToken()
		out := slices.Contains(values, t.Value)
		if !list.IsFlowStyle {
			if out {
				lines = append(lines, t.Position.Line)
			}
			continue
		}
		if t.Position.Line != first.Line {
			return nil, nil, errors.New("it goes over several lines")
		}
		written := strings.TrimSpace(t.Origin)
		if i > 0 {
			old.WriteString(strings.Repeat(" ", max(0, t.Position.Column-first.Column-len([]rune(old.String())))))
		}
		old.WriteString(written)
		if i < len(list.Values)-1 {
			old.WriteString(",")
		}
		if !out {
			left = append(left, written)
		}
	}
	if !list.IsFlowStyle {
		if len(lines) == len(list.Values) {
			return nil, nil, errors.New("nothing would be left of it")
		}
		return nil, lines, nil
	}
	return []edit{{first.Line, first.Column, old.String(), strings.Join(left, ", ")}}, nil, nil
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

// after is same, of a text that was edited.
func (p *Project) after(text, model string, parts map[string]models.Values) error {
	if err := p.same(text, model, parts); err != nil {
		return fmt.Errorf("after the edit %w", err)
	}
	return nil
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
