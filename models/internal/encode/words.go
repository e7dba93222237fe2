package encode

import (
	"slices"
	"strings"
	"unicode"
)

// cut is how the levels of a column are cut into members.
type cut uint8

const (
	whole cut = iota // a level is one feature
	list             // members are joined by bars: Comedy|Romance
	text             // members are words
	cuts
)

// listMark joins the members of a list, as MovieLens does.
const listMark = "|"

// cutOf tells what a column holds: lists, if a tenth of its rows have a bar; texts, if more than half of its rows have a level of their
// own; else categories. n counts the rows of each level.
func cutOf(levels []string, n []int) cut {
	rows, barred, distinct := 0, 0, 0
	for v, level := range levels {
		if n[v] == 0 {
			continue
		}
		rows, distinct = rows+n[v], distinct+1
		if strings.Contains(level, listMark) {
			barred += n[v]
		}
	}
	switch {
	case barred > 0 && barred*10 >= rows:
		return list
	case distinct*2 > rows:
		return text
	}
	return whole
}

// maxMembers bounds what one level is cut into: the first of them count.
const maxMembers = 64

// members returns the members of a level, ascending and distinct: those of a list as they are written, the words of a text in lower case
// and of two letters or more.
func (c cut) members(level string) []string {
	var out []string
	switch c {
	case list:
		for _, m := range strings.Split(level, listMark) {
			if m = strings.TrimSpace(m); m != "" {
				out = append(out, m)
			}
		}
	case text:
		for _, w := range strings.FieldsFunc(strings.ToLower(level), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) }) {
			if len([]rune(w)) > 1 {
				out = append(out, w)
			}
		}
	default:
		out = []string{level}
	}
	out = out[:min(len(out), maxMembers)]
	slices.Sort(out)
	return slices.Compact(out)
}
