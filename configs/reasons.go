package configs

import (
	"embed"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/rapport-ml/rapport/storage/online"
)

// The sentences that people are told, a file a language.
//
//go:embed reasons/*.yaml
var reasonFiles embed.FS

// ReasonLanguages are the languages in which reasons can be told, by their codes.
var ReasonLanguages = []string{"de", "en"}

// Sentences tells reasons in one language. Reasons are stored as codes and parameters, and become sentences only where somebody reads them.
type Sentences struct{ of map[string]string }

// Reasons returns the sentences of a language.
func Reasons(language string) (*Sentences, error) {
	if !slices.Contains(ReasonLanguages, language) {
		return nil, fmt.Errorf("reasons are told in %s, not in %q", strings.Join(ReasonLanguages, ", "), language)
	}
	body, err := reasonFiles.ReadFile("reasons/" + language + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("reasons in %s: %w", language, err)
	}
	s := &Sentences{of: map[string]string{}}
	if err := yaml.Unmarshal(body, &s.of); err != nil {
		return nil, fmt.Errorf("reasons in %s: %w", language, err)
	}
	return s, nil
}

// Say tells one reason. title names an item. A kind that this program has no sentence for is another reason.
func (s *Sentences) Say(r online.Reason, title func(item string) string) string {
	code := r.Kind
	switch {
	case r.Kind == "rule" && r.Before == 0 && r.Ref == "at_least":
		code = "rule.owed"
	case r.Kind == "rule" && r.Before == 0:
		code = "rule.new"
	case r.Kind == "rule":
		code = "rule." + r.Ref
	}
	text, ok := s.of[code]
	if !ok || r.Kind == "against" || r.Kind == "other" {
		text = s.of["other"]
	}
	attribute, level, _ := strings.Cut(r.Ref, "=")
	named := ""
	if strings.Contains(text, "{title}") {
		named = title(r.Ref)
	}
	text = strings.NewReplacer("{title}", named, "{attribute}", strings.ReplaceAll(attribute, "_", " "), "{level}", level,
		"{before}", strconv.Itoa(r.Before), "{after}", strconv.Itoa(r.After)).Replace(text)
	if r.Contribution < 0 {
		text = strings.NewReplacer("{reason}", text).Replace(s.of["against"])
	}
	return text
}

// Doubt tells why a place in the list deserves little trust.
func (s *Sentences) Doubt(code string) string {
	if text, ok := s.of["doubt."+code]; ok {
		return text
	}
	return s.of["doubt.other"]
}

// List tells of what kind a list is where that is not the model's own: "" if it is.
func (s *Sentences) List(l online.List) string {
	switch {
	case !l.Personalized:
		return s.of["unprofiled"]
	case l.Variant == "broad":
		return s.of["broad"]
	}
	return ""
}
