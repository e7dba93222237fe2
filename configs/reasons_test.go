package configs

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/storage/online"
)

// TestReasonsInEveryLanguage: every language has the same sentences with the same parameters, and a file for each language is known.
func TestReasonsInEveryLanguage(t *testing.T) {
	files, err := reasonFiles.ReadDir("reasons")
	if err != nil || len(files) != len(ReasonLanguages) {
		t.Fatalf("%d files for %d languages (%v)", len(files), len(ReasonLanguages), err)
	}
	english, err := Reasons("en")
	if err != nil {
		t.Fatal(err)
	}
	parameters := func(text string) []string {
		found := regexp.MustCompile(`\{[a-z]+\}`).FindAllString(text, -1)
		slices.Sort(found)
		return found
	}
	for _, language := range ReasonLanguages {
		s, err := Reasons(language)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := slices.Sorted(maps.Keys(s.of)), slices.Sorted(maps.Keys(english.of)); !slices.Equal(a, b) {
			t.Errorf("%s has the codes %v, English %v", language, a, b)
		}
		for code, text := range s.of {
			if text == "" || !slices.Equal(parameters(text), parameters(english.of[code])) {
				t.Errorf("%s: %s: %q and %q", language, code, text, english.of[code])
			}
		}
		for _, rule := range []string{"at_most", "at_least", "fresh", "diversity", "calibrate", "less", "prefer"} {
			if s.of["rule."+rule] == "" {
				t.Errorf("%s has no sentence for the rule %s", language, rule)
			}
		}
	}
	if _, err := Reasons("../en"); err == nil || !strings.Contains(err.Error(), "de, en") {
		t.Errorf("a language that is none: %v", err)
	}
}

// TestSay: codes and parameters become sentences; what a name holds is never taken for a parameter.
func TestSay(t *testing.T) {
	title := func(item string) string { return map[string]string{"sku-1": "Green {level} tea"}[item] }
	en, err := Reasons("en")
	if err != nil {
		t.Fatal(err)
	}
	de, err := Reasons("de")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		s    *Sentences
		r    online.Reason
		want string
	}{
		{en, online.Reason{Kind: "event", Ref: "sku-1", Contribution: 0.2}, "because you chose Green {level} tea"},
		{de, online.Reason{Kind: "event", Ref: "sku-1", Contribution: 0.2}, "weil Sie Green {level} tea gewählt haben"},
		{en, online.Reason{Kind: "attribute", Ref: "main_category=a=b", Contribution: 0.2}, "because of main category a=b"},
		{en, online.Reason{Kind: "popularity", Ref: "sku-1", Contribution: -0.1}, "less so: because many people choose it"},
		{en, online.Reason{Kind: "rule", Ref: "diversity", Before: 7, After: 3}, "at place 3 instead of 7, so that the list is varied"},
		{en, online.Reason{Kind: "rule", Ref: "fresh", After: 3}, "shown so that new things get a chance"},
		{en, online.Reason{Kind: "rule", Ref: "at_least", After: 3}, "shown so that what is shown less than others gets its places"},
		{en, online.Reason{Kind: "cosmic"}, "for another reason"},
		{en, online.Reason{Kind: "against"}, "for another reason"},
	} {
		if got := c.s.Say(c.r, title); got != c.want {
			t.Errorf("%+v: %q, want %q", c.r, got, c.want)
		}
	}
	if got := en.Doubt("new-item"); !strings.Contains(got, "few people") || en.Doubt("else") != "this is a guess" {
		t.Errorf("doubt: %q", got)
	}
	if en.List(online.List{Personalized: true}) != "" || en.List(online.List{}) == "" || en.List(online.List{Personalized: true, Variant: "broad"}) == "" {
		t.Error("what kind of list it is")
	}
}
