package configs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
)

// Rotated is the text of the project file with another secret, by where it stands and its key id, in place of the current one, which becomes the first of the
// previous ones, and all else as it stands: comments, order and layout. An error says that the file is written in a way that this cannot edit; what it
// should say is to be put in by hand then.
func (p *Project) Rotated(place, id string) ([]byte, error) {
	now := p.Pseudonyms
	if !isSecretPlace(place) {
		return nil, fmt.Errorf("write where the new secret is, as %s, never the secret itself", secretPlaces)
	}
	used := []string{now.KeyID}
	for _, k := range now.Previous {
		used = append(used, k.KeyID)
	}
	switch {
	case !policy.ValidName(id):
		return nil, errors.New("a key id is 1 to 64 of a-z, 0-9, _ and -, beginning with a letter, as k2")
	case slices.Contains(used, id):
		return nil, fmt.Errorf("key id %s is another secret's: a new secret needs a new key id", id)
	case place == now.Key:
		return nil, errors.New("the new secret stands where the current one does: keep both while the rotation lasts, each in a place of its own")
	}
	wanted := *p
	wanted.Pseudonyms = Pseudonyms{Key: place, KeyID: id, Previous: slices.Concat([]PreviousKey{{Key: now.Key, KeyID: now.KeyID}}, now.Previous)}
	return p.edited(func(root ast.Node) (edits []edit, gone []int, err error) {
		n := under(root, "pseudonyms")
		for _, set := range []struct{ key, value string }{{"key", place}, {"key_id", id}} {
			e, err := setIn(n, set.key, quoted(set.value))
			if err != nil {
				return nil, nil, fmt.Errorf("pseudonyms: %w", err)
			}
			edits = append(edits, e)
		}
		e, err := rotateOut(n, fmt.Sprintf("{key: %s, key_id: %s}", quoted(now.Key), quoted(now.KeyID)))
		if err != nil {
			return nil, nil, fmt.Errorf("pseudonyms.previous: %w", err)
		}
		return append(edits, e), nil, nil
	}, func(text string) error { return wanted.after(text, "", nil) })
}

// rotateOut puts an entry ahead of the previous keys.
func rotateOut(n ast.Node, entry string) (edit, error) {
	old := under(n, "previous")
	if old == nil {
		return setIn(n, "previous", "["+entry+"]")
	}
	list, ok := old.(*ast.SequenceNode)
	if !ok || len(list.Values) == 0 {
		return edit{}, errors.New("it is not written as a list")
	}
	at := list.Start.Position // of the bracket, or of the first dash
	if list.IsFlowStyle {
		return edit{at.Line, at.Column, "[", "[" + entry + ", "}, nil
	}
	return edit{at.Line, at.Column, "-", "- " + entry + "\n" + strings.Repeat(" ", at.Column-1) + "-"}, nil
}

// quoted is a text as YAML takes it for that text, whatever it holds.
func quoted(text string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(text); err != nil {
		panic(err) // a text
	}
	return string(bytes.TrimSpace(b.Bytes()))
}

// TrySecret reads the secret at a place, as the current one is read.
func (p *Project) TrySecret(place, id string, env func(string) string) (event.Keys, error) {
	return p.keys(place, id, env)
}

// Secrets reads the pseudonym secrets alone: the current one, and the previous ones. Its error joins all that could not be read.
func (p *Project) Secrets(env func(string) string) (current event.Keys, previous []event.Keys, err error) {
	current, previous, faults := p.secrets(env)
	return current, previous, errors.Join(faults...)
}

func (p *Project) secrets(env func(string) string) (current event.Keys, previous []event.Keys, faults []error) {
	current, err := p.keys(p.Pseudonyms.Key, p.Pseudonyms.KeyID, env)
	if err != nil {
		faults = append(faults, fmt.Errorf("pseudonyms.key: %w", err))
	}
	for i, k := range p.Pseudonyms.Previous {
		prev, err := p.keys(k.Key, k.KeyID, env)
		if err != nil {
			faults = append(faults, fmt.Errorf("pseudonyms.previous[%d]: %w", i, err))
		}
		previous = append(previous, prev)
	}
	return current, previous, faults
}
