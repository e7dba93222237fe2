package importer

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// Facts are what an import has made.
type Facts struct {
	Events   int64            `json:"events"`
	Subjects int              `json:"subjects"` // with an event or a cohort row
	Items    int              `json:"items"`
	Cohorts  int              `json:"cohorts"`                 // subjects with a cohort row
	Unknown  int64            `json:"unknown_items,omitempty"` // events whose item has no row among the items
	Kinds    map[string]int64 `json:"kinds,omitempty"`
	Files    int              `json:"files"`
	Bytes    int64            `json:"bytes"`
	First    time.Time        `json:"first"` // of the events
	Last     time.Time        `json:"last"`
	Zone     string           `json:"zone"`              // how times were read
	Declared string           `json:"declared"`          // on what basis people's data stand there, as one line to print
	Cadence  string           `json:"cadence,omitempty"` // what the intervals and windows of the project were chosen from
	Warnings []string         `json:"warnings,omitempty"`
}

// warn says what of the events a reader should know.
func (f *Facts) warn(sink *eventSink) {
	add := func(format string, args ...any) { f.Warnings = append(f.Warnings, fmt.Sprintf(format, args...)) }
	if sink.repeated > 0 {
		add("%s equal another event in every column that is read: an export that was joined twice looks like that; both count", plural(sink.repeated, "event"))
	}
	if f.Unknown > 0 {
		add("%s have an item that has no row among the items", plural(f.Unknown, "event"))
	}
	if f.Subjects < minPeople {
		add("%s are few: an item that fewer than 11 people chose takes no part in what is learned", plural(int64(f.Subjects), "subject"))
	}
}

// minPeople is the number of subjects under which next to nothing can be learned.
const minPeople = 50

// Name makes the name of a project of that of a folder.
func Name(folder string) string { return slug(folder) }

// slug is a name for a project file: small letters, digits and _, beginning with a letter, and no word that YAML reads as something else.
func slug(name string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "_"):
			b.WriteByte('_')
		}
		if b.Len() == 40 {
			break
		}
	}
	s := strings.Trim(b.String(), "_")
	switch s {
	case "", "true", "false", "yes", "no", "on", "off", "null", "y", "n":
		return strings.TrimSuffix("c_"+s, "_")
	}
	if s[0] >= '0' && s[0] <= '9' {
		return strings.TrimSuffix("c_"+s, "_")
	}
	return s
}

// weightOf guesses how much an event of a kind says. The project file shows the guess.
func weightOf(kind string) float64 {
	k := strings.ToLower(kind)
	for _, w := range []struct {
		weight float64
		words  []string
	}{
		{0, []string{"return", "refund", "cancel", "dislike", "remove", "unsub", "block", "hide", "report"}},
		{4, []string{"buy", "purchase", "order", "transaction", "checkout", "sale", "paid", "book", "rent", "subscribe"}},
		{2, []string{"cart", "basket", "wish", "save", "favo", "like", "share", "complete", "download"}},
	} {
		for _, word := range w.words {
			if strings.Contains(k, word) {
				return w.weight
			}
		}
	}
	return 1
}

func joined(names []string) string { return strings.Join(names, ", ") }

func sizeOf(file string) int64 {
	st, err := os.Stat(file)
	if err != nil {
		return 0
	}
	return st.Size()
}
