package importer

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// longestLine bounds the memory that one line of a broken file can take.
const longestLine = 1 << 20

// readFile reads the first of the files <name>.tsv, <name>.tsv.gz that is there, for the names in order, and parses each row below
// the header. parse gets the named columns, with "" for NA.
func readFile[T any](ctx context.Context, dir string, names, columns []string, parse func(fields []string) (T, error)) ([]T, error) {
	f, err := openFirst(dir, names)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(f.Name(), ".gz") {
		z, err := gzip.NewReader(f)
		if err != nil {
			return nil, fmt.Errorf("%s: not a gzip file: %w", f.Name(), err)
		}
		defer z.Close()
		r = z
	}
	return readRows(ctx, f.Name(), r, columns, parse)
}

func openFirst(dir string, names []string) (*os.File, error) {
	var tried []string
	for _, n := range names {
		for _, suffix := range []string{".tsv", ".tsv.gz"} {
			f, err := os.Open(filepath.Join(dir, n+suffix))
			if !errors.Is(err, fs.ErrNotExist) {
				return f, err
			}
			tried = append(tried, n+suffix)
		}
	}
	return nil, fmt.Errorf("%s: none of %s is there: name the folder that holds the data set's files", dir, strings.Join(tried, ", "))
}

// readRows reads a header and rows. Errors name the file and the line (of the text, where the file is compressed).
func readRows[T any](ctx context.Context, name string, r io.Reader, columns []string, parse func([]string) (T, error)) ([]T, error) {
	source := &watched{Reader: r}
	lines := bufio.NewScanner(source)
	lines.Buffer(make([]byte, 64<<10), longestLine)
	var (
		rows   []T
		header []string
		at     = make([]int, len(columns)) // where each column stands
		chosen = make([]string, len(columns))
		n      = 0
	)
	// fault says what is wrong with line n: that the file is cut short there, if it is, rather than what its half line looks like.
	fault := func(err error) error {
		if source.err != nil {
			err = fmt.Errorf("%w: get the file again", source.err)
		}
		return fmt.Errorf("%s:%d: %w", name, n, err)
	}
	for lines.Scan() {
		n++
		if n%8192 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		fields := strings.Split(strings.TrimSuffix(lines.Text(), "\r"), "\t")
		if n == 1 {
			header = fields
			for i, c := range columns {
				if at[i] = slices.Index(header, c); at[i] < 0 {
					return nil, fault(fmt.Errorf("the header has no column %q", c))
				}
			}
			continue
		}
		if len(fields) != len(header) {
			return nil, fault(fmt.Errorf("%d fields, the header has %d", len(fields), len(header)))
		}
		for i, c := range at {
			if chosen[i] = fields[c]; chosen[i] == "NA" {
				chosen[i] = ""
			}
		}
		row, err := parse(chosen)
		if err != nil {
			return nil, fault(err)
		}
		rows = append(rows, row)
	}
	if err := lines.Err(); err != nil {
		n++
		return nil, fault(err)
	}
	if n == 0 {
		return nil, fmt.Errorf("%s:1: the file is empty, not even a header", name)
	}
	return rows, nil
}

// watched is a reader that remembers the error that ended it.
type watched struct {
	io.Reader
	err error
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if err != nil && err != io.EOF {
		w.err = err
	}
	return n, err
}
