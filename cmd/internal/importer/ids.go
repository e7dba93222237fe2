package importer

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/rapport-ml/rapport/features/event"
)

// shape is what an id looks like.
type shape uint8

const (
	shapeText   shape = iota
	shapeWhole        // 123
	shapePadded       // 00123
	shapeFloat        // 123.0, as pandas writes whole numbers in a column with gaps
	shapeExp          // 1.2E+11, as spreadsheets write long numbers: digits are lost
	shapeUUID
	shapes
)

var shapeNames = [...]string{
	"text", "whole numbers", "numbers with leading zeros", "numbers with a fraction (as 123.0)", "numbers in scientific notation (as 1.2E+11)", "UUIDs",
}

func (s shape) String() string { return shapeNames[s] }

func shapeOf(id string) shape {
	digits := strings.TrimLeft(id, "0123456789")
	switch {
	case id == "":
		return shapeText
	case digits == "" && id[0] == '0' && len(id) > 1:
		return shapePadded
	case digits == "":
		return shapeWhole
	case len(digits) < len(id) && digits[0] == '.' && len(digits) > 1 && strings.Trim(digits[1:], "0123456789") == "":
		return shapeFloat
	case len(digits) < len(id) && exponent(digits):
		return shapeExp
	case len(id) == 36 && uuid(id):
		return shapeUUID
	}
	return shapeText
}

// exponent reports whether s is [.digits]E+digits.
func exponent(s string) bool {
	if s[0] == '.' {
		s = strings.TrimLeft(s[1:], "0123456789")
	}
	return len(s) > 2 && (s[0] == 'E' || s[0] == 'e') && s[1] == '+' && strings.Trim(s[2:], "0123456789") == ""
}

func uuid(s string) bool {
	for i := range len(s) {
		c := s[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
			return false
		}
	}
	return true
}

// idColumn reads the ids of a column and remembers what they look like, so that two ways of writing one id are not taken for two people.
type idColumn struct {
	column string
	trim   bool

	seen [shapes]struct {
		n           int64
		first, last place
		short, long int
	}
	spaced struct {
		n     int64
		first place
	}
}

// read returns the id as features/event has it, or "" for none. Its error never holds the id.
func (c *idColumn) read(text string, at place) (string, error) {
	bare := strings.TrimFunc(text, unseen)
	if c.trim {
		text = bare
	}
	if missing(text) {
		return "", nil
	}
	id, err := event.Canonical(text)
	if err != nil {
		return "", err
	}
	if strings.ContainsFunc(bare, unicode.IsControl) {
		return "", errors.New("a line break, a zero byte or another control character stands in the id: a quote that is closed rows later, or a damaged file")
	}
	s := &c.seen[shapeOf(id)]
	if s.n++; s.n == 1 {
		s.first, s.short, s.long = at, len(id), len(id)
	}
	s.last, s.short, s.long = at, min(s.short, len(id)), max(s.long, len(id))
	if bare != text {
		if c.spaced.n++; c.spaced.n == 1 {
			c.spaced.first = at
		}
	}
	return id, nil
}

// unseen are the characters around an id that nobody sees: white space, also the kind that does not break, a byte order mark, no width at all.
func unseen(r rune) bool { return unicode.IsSpace(r) || r == '\ufeff' || r == '\u200b' }

// missing reports whether a field is one of the ways in which programs write that there is nothing.
func missing(text string) bool {
	switch text {
	case "", "NULL", "null", "Null", "NA", "N/A", "n/a", "NaN", "nan", "None", `\N`, "<NA>":
		return true
	}
	return false
}

// doubts says what of a column's ids makes one fear that one id stands in it in two ways.
func (c *idColumn) doubts() []string {
	var out []string
	doubt := func(format string, args ...any) {
		out = append(out, fmt.Sprintf("column %s: ", c.column)+fmt.Sprintf(format, args...))
	}
	has := func(s shape) bool { return c.seen[s].n > 0 }
	of := func(s shape) string {
		return fmt.Sprintf("%s (%s, first at %s)", s, plural(c.seen[s].n, "row"), c.seen[s].first)
	}
	if c.spaced.n > 0 {
		doubt("ids with white space around them (%s, first at %s): with and without it they are two; --trim cuts it off", plural(c.spaced.n, "row"), c.spaced.first)
	}
	if has(shapeExp) {
		doubt("ids are %s: a spreadsheet has cut off digits, and different ids have become one; export the column as text", of(shapeExp))
	}
	if has(shapeFloat) {
		doubt("ids are %s: they meet no id without the fraction; export the column as whole numbers", of(shapeFloat))
	}
	padded, whole := &c.seen[shapePadded], &c.seen[shapeWhole]
	switch {
	case has(shapePadded) && has(shapeWhole) && (padded.short != padded.long || whole.short != padded.short || whole.long != padded.long):
		doubt("ids are %s and %s of another width: 00123 and 123 are two ids here, and may be one; write all in one width", of(shapePadded), of(shapeWhole))
	case has(shapeUUID) && has(shapeWhole):
		doubt("ids are %s and %s: the same id may stand there in both ways; bring them to one", of(shapeWhole), of(shapeUUID))
	case c.turns(shapeWhole, shapeText):
		doubt("ids change half-way from %s to %s: the same id may stand there in both ways; bring them to one", c.earlier(shapeWhole, shapeText), c.later(shapeWhole, shapeText))
	case c.turns(shapeUUID, shapeText):
		doubt("ids change half-way from %s to %s: the same id may stand there in both ways; bring them to one", c.earlier(shapeUUID, shapeText), c.later(shapeUUID, shapeText))
	}
	return out
}

// turns reports whether one shape ended before the other began: ids of both shapes side by side are what a column is like, a change is not.
func (c *idColumn) turns(a, b shape) bool {
	x, y := &c.seen[a], &c.seen[b]
	return x.n > 0 && y.n > 0 && (x.last.row < y.first.row || y.last.row < x.first.row)
}

func (c *idColumn) earlier(a, b shape) string {
	if c.seen[a].first.row > c.seen[b].first.row {
		a = b
	}
	return fmt.Sprintf("%s (%s, until %s)", a, plural(c.seen[a].n, "row"), c.seen[a].last)
}

func (c *idColumn) later(a, b shape) string {
	if c.seen[a].first.row > c.seen[b].first.row {
		b = a
	}
	return fmt.Sprintf("%s (%s, from %s)", b, plural(c.seen[b].n, "row"), c.seen[b].first)
}

// plural is a count and a word.
func plural(n int64, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
