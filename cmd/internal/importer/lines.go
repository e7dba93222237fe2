package importer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// splitLines reads lines of fields with a separator and no quotes. want is the number of fields, or below zero the least. A line that is
// not UTF-8 is taken for Latin-1: the early editions of MovieLens are. Errors name file and line.
func splitLines(ctx context.Context, file, separator string, want int, row func(f []string, at place) error) (err error) {
	in, err := openText(file, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	return splitText(ctx, in, separator, want, row)
}

func splitText(ctx context.Context, in *textFile, separator string, want int, row func(f []string, at place) error) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), longestLine)
	at := place{file: in.name}
	fault := func(err error) error {
		if in.source != nil && in.source.err != nil {
			err = fmt.Errorf("%w: the file is cut short or damaged, get it again", in.source.err)
		}
		return fmt.Errorf("%s: %w", at, err)
	}
	for lines.Scan() {
		at.line++
		if at.line%8192 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		line := strings.TrimSuffix(lines.Text(), "\r")
		if line == "" {
			continue
		}
		if !utf8.ValidString(line) {
			line = latin1(line)
		}
		at.row++
		fields := strings.Split(line, separator)
		if want >= 0 && len(fields) != want || len(fields) < max(want, -want) {
			return fault(fmt.Errorf("%d fields between %q, want %d", len(fields), separator, max(want, -want)))
		}
		if err := row(fields, at); err != nil {
			return fault(err)
		}
	}
	if err := lines.Err(); err != nil {
		at.line++
		return fault(err)
	}
	if in.source != nil && in.source.err != nil {
		return fault(in.source.err)
	}
	return nil
}

// latin1 decodes text in which each byte is the character of that number.
func latin1(s string) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteRune(rune(s[i]))
	}
	return b.String()
}

// readColumns reads the named columns of a CSV file with a header.
func readColumns(ctx context.Context, file string, columns []string, row func(f []string, at place) error) (err error) {
	in, err := openRecords(file, Format{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	at := make([]int, len(columns))
	for i, name := range columns {
		if at[i], err = in.column("of MovieLens", name); err != nil {
			return err
		}
	}
	chosen := make([]string, len(columns))
	for n := int64(1); ; n++ {
		fields, err := in.read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if n%8192 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		for i, k := range at {
			chosen[i] = fields[k]
		}
		if err := row(chosen, place{in.text.name, in.line, n}); err != nil {
			return in.faultAt(in.line, "%w", err)
		}
	}
}
