package importer

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// place is where a row stands.
type place struct {
	file string
	line int
	row  int64 // over all files, from 1
}

func (p place) String() string { return fmt.Sprintf("%s:%d", p.file, p.line) }

// records are the rows of a CSV file with a header. Its errors name file and line, never what stands in a field.
type records struct {
	text   *textFile
	r      *csv.Reader
	fence  *fence
	header []string
	line   int // of the row that was read last
	next   int // of the row after it, at least
}

// longestRow bounds the memory that one row of a broken file can take: a quote that is not closed makes the rest of a file one row.
const longestRow = 1 << 20

func openRecords(path string, f Format) (*records, error) {
	text, err := openText(path, f.CP1252)
	if err != nil {
		return nil, err
	}
	c := readRecords(text, f.Delimiter)
	if err := c.readHeader(); err != nil {
		return nil, errors.Join(err, text.Close())
	}
	return c, nil
}

func readRecords(text *textFile, delimiter rune) *records {
	c := &records{text: text, fence: &fence{in: text}, next: 1}
	c.r = csv.NewReader(c.fence)
	c.r.ReuseRecord = true
	c.r.FieldsPerRecord = -1
	if delimiter != 0 {
		c.r.Comma = delimiter
	}
	return c
}

func (c *records) readHeader() error {
	fields, err := c.record()
	if err == io.EOF {
		return c.faultAt(1, "the file is empty: a CSV file begins with a header, the names of its columns")
	}
	if err != nil {
		return err
	}
	for _, f := range fields {
		if !utf8.ValidString(f) {
			return c.faultAt(c.line, "the header is not UTF-8: save the file as UTF-8, or say --encoding windows-1252")
		}
		if strings.ContainsRune(f, '\r') {
			return c.faultAt(c.line, "lines end in CR alone, as on old Macs: convert them to LF")
		}
		c.header = append(c.header, strings.Clone(strings.TrimSpace(f)))
	}
	return nil
}

// read returns the next row, valid until the one after it, or io.EOF.
func (c *records) read() ([]string, error) {
	fields, err := c.record()
	if err != nil {
		return nil, err
	}
	if len(fields) != len(c.header) {
		hint := "a delimiter in a text that has no quotes?"
		if len(fields) < len(c.header) {
			hint = "is the row cut short?"
		}
		return nil, c.faultAt(c.line, "%d fields, the header has %d: %s", len(fields), len(c.header), hint)
	}
	return fields, nil
}

func (c *records) record() ([]string, error) {
	c.fence.left = longestRow
	fields, err := c.r.Read()
	if err == io.EOF && c.text.source != nil && c.text.source.err != nil {
		err = c.text.source.err
	}
	if err != nil {
		return nil, c.explain(err)
	}
	c.line, _ = c.r.FieldPos(0)
	last := len(fields) - 1
	line, _ := c.r.FieldPos(last)
	c.next = line + strings.Count(fields[last], "\n") + 1
	return fields, nil
}

// explain says what is wrong with the row that could not be read.
func (c *records) explain(err error) error {
	var parse *csv.ParseError
	switch {
	case err == io.EOF:
		return err
	case c.text.source != nil && c.text.source.err != nil:
		return c.faultAt(c.next, "%w: the file is cut short or damaged, get it again", c.text.source.err)
	case errors.Is(err, errLongRow):
		return c.faultAt(c.next, `the row is longer than %d bytes: a quote (") that opens in it is not closed, most likely`, longestRow)
	case !errors.As(err, &parse):
		return c.faultAt(c.next, "%w", err)
	case errors.Is(parse.Err, csv.ErrBareQuote):
		return c.faultAt(parse.Line, `byte %d: a quote (") stands inside a field that does not begin with one: put the field in quotes and write the quote twice`, parse.Column)
	case errors.Is(parse.Err, csv.ErrQuote) && parse.StartLine != parse.Line:
		return c.faultAt(parse.StartLine, `a quote (") opens in this row that is not closed properly (it goes on to line %d, byte %d)`, parse.Line, parse.Column)
	case errors.Is(parse.Err, csv.ErrQuote):
		return c.faultAt(parse.Line, `byte %d: a quote (") that is not closed, or that is followed by more than the end of the field: write a quote in a text twice`, parse.Column)
	}
	return c.faultAt(parse.Line, "byte %d: %w", parse.Column, parse.Err)
}

func (c *records) faultAt(line int, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", c.text.name, line, fmt.Errorf(format, args...))
}

// fault is what is wrong with a column of the row that was read last.
func (c *records) fault(column, format string, args ...any) error {
	return c.faultAt(c.line, "column %s: %w", column, fmt.Errorf(format, args...))
}

func (c *records) Close() error { return c.text.Close() }

// column returns where a named column stands. flag is how it was asked for.
func (c *records) column(flag, name string) (int, error) {
	at := slices.Index(c.header, name)
	if at >= 0 && slices.Contains(c.header[at+1:], name) {
		return 0, c.faultAt(1, "two columns are named %q, and %s does not say which: rename one", name, flag)
	}
	if at >= 0 {
		return at, nil
	}
	if d, n := c.betterDelimiter(); n > 0 {
		return 0, c.faultAt(1, "no column %q (%s): the header is one column with %d %s in it: say --delimiter %s", name, flag, n, d.name, d.say)
	}
	if likeData(c.header) {
		return 0, c.faultAt(1, "no column %q (%s): the first line looks like a row, not like a header: put the names of the columns above it", name, flag)
	}
	hint := "it has " + strings.Join(quoted(c.header), ", ")
	if near := nearest(name, c.header); near != "" {
		hint = fmt.Sprintf("did you mean %q? %s", near, hint)
	}
	return 0, c.faultAt(1, "no column %q (%s): %s", name, flag, hint)
}

type delimiter struct{ char, name, say string }

// betterDelimiter guesses the delimiter of a file that was read as one column, and says how often it stands in the header.
func (c *records) betterDelimiter() (best delimiter, n int) {
	if len(c.header) != 1 {
		return best, 0
	}
	for _, d := range []delimiter{{";", "semicolons", "';'"}, {"\t", "tabs", "tab"}, {",", "commas", "','"}, {"|", "bars", "'|'"}} {
		if k := strings.Count(c.header[0], d.char); k > n {
			best, n = d, k
		}
	}
	return best, n
}

// likeData reports whether a header holds what names of columns are not: numbers, times, mail addresses. It is not printed then.
func likeData(header []string) bool {
	for _, h := range header {
		if _, err := strconv.ParseFloat(h, 64); err == nil || strings.ContainsRune(h, '@') || len(h) > 64 {
			return true
		}
		if _, form := guessTime(h, nil); form != formUnknown {
			return true
		}
		if shapeOf(h) == shapeUUID {
			return true
		}
	}
	return false
}

func quoted(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = strconv.Quote(n)
	}
	return out
}

// nearest returns the name that was probably meant, or "": the same letters in another case, one that holds the other, or at most a third
// of the letters to change.
func nearest(name string, names []string) string {
	fold := func(s string) string {
		return strings.Map(func(r rune) rune {
			if r == '_' || r == '-' || r == ' ' || r == '.' {
				return -1
			}
			return r
		}, strings.ToLower(s))
	}
	want := fold(name)
	best, at := "", max(len(want)/3, 1)+1
	for _, n := range names {
		have := fold(n)
		d := distance(want, have)
		if d > 0 && len(want) > 2 && len(have) > 2 && (strings.Contains(have, want) || strings.Contains(want, have)) {
			d = 1
		}
		if d < at && (d == 0 || d < len(want)) {
			best, at = n, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete or replace.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range x {
		left := row[0]
		row[0]++
		for j := range y {
			cost := left
			if x[i] != y[j] {
				cost = 1 + min(left, row[j], row[j+1])
			}
			left, row[j+1] = row[j+1], cost
		}
	}
	return row[len(y)]
}

var errLongRow = errors.New("the row is too long")

// fence fails when a row takes more than its share. The csv reader's own buffer runs ahead by a little.
type fence struct {
	in   io.Reader
	left int
}

func (f *fence) Read(p []byte) (int, error) {
	if f.left <= 0 {
		return 0, errLongRow
	}
	n, err := f.in.Read(p)
	f.left -= n
	return n, err
}
