package configs

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/goccy/go-yaml"
)

//go:embed sensitive.yaml
var sensitiveFile []byte

// sensitiveWords are words by topic, and the topics in order.
var sensitiveWords = sync.OnceValues(func() (words map[string][]string, topics []string) {
	if err := yaml.Unmarshal(sensitiveFile, &words); err != nil {
		panic(fmt.Sprintf("configs: sensitive.yaml: %v", err)) // embedded, and read by a test
	}
	return words, sortedKeys(words)
})

// wholeWord is the length, in letters, under which a word must be met by a whole word: gay is not in gayle.
const wholeWord = 5

// LooksSensitive says which special category of personal data (GDPR, Art. 9(1)) a value of an item attribute may tell of, by its words; "" if by none. It is a
// hint for people, and neither complete nor always right.
func LooksSensitive(level string) string {
	text := " " + strings.Join(strings.FieldsFunc(strings.ToLower(level), func(r rune) bool { return !unicode.IsLetter(r) && r != '-' }), " ") + " "
	words, topics := sensitiveWords()
	for _, topic := range topics {
		if slices.ContainsFunc(words[topic], func(w string) bool {
			if len([]rune(w)) < wholeWord {
				w += " "
			}
			return strings.Contains(text, " "+w)
		}) {
			return topic
		}
	}
	return ""
}
