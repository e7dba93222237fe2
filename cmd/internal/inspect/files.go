package inspect

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/rapport-ml/rapport/storage"
)

// source is where an export stands.
type source struct {
	root    string // URL of the bucket
	bucket  storage.Bucket
	pattern string // of its files' keys, with dates as a project file has them
	dated   bool
	success bool // there are _SUCCESS objects
	files   []storage.Info
	bytes   int64
}

// url is the pattern as a project file names it.
func (s *source) url() string {
	if s.root == "file:/" {
		return s.root + s.pattern
	}
	return s.root + "/" + s.pattern
}

// find lists the files at a URL: a file, a folder (all Parquet files below it) or a pattern.
func find(ctx context.Context, url string, o storage.Options) (*source, error) {
	s := &source{}
	given := strings.ContainsAny(url, "*{")
	var err error
	if given || strings.HasSuffix(url, ".parquet") {
		if s.root, s.pattern, err = storage.SplitURL(url); err != nil {
			return nil, err
		}
	} else {
		s.root, s.pattern = strings.TrimRight(url, "/"), "**"
	}
	if s.bucket, err = storage.Open(ctx, s.root, o); err != nil {
		return nil, err
	}
	var other int
	for info, err := range storage.Glob(ctx, s.bucket, s.pattern) {
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", url, err)
		}
		switch name := path.Base(info.Key); {
		case name == "_SUCCESS":
			s.success = true
		case strings.HasPrefix(name, "_"):
		case strings.HasSuffix(name, ".parquet") || given:
			s.files, s.bytes = append(s.files, info), s.bytes+info.Size
		default:
			other++
		}
	}
	if len(s.files) == 0 {
		if other > 0 {
			return nil, fmt.Errorf("%s: %d files, and none of them ends in .parquet: a pattern, as %s/**/*, takes files of any name; rapport import csv reads CSV", url, other, strings.TrimRight(url, "/"))
		}
		return nil, fmt.Errorf("%s: no file is there: name a folder, a file or a pattern, as file:./export/**/*.parquet", url)
	}
	if !given && len(s.files) > 1 {
		s.pattern = generalize(s.files)
	}
	s.dated = strings.Contains(s.pattern, "{date}") || strings.Contains(s.pattern, "{dd}")
	return s, nil
}

var (
	oneDate   = regexp.MustCompile(`^(.*?)(\d{4}-\d{2}-\d{2})(.*)$`)
	yearPart  = regexp.MustCompile(`^((?:year=|y=)?)(?:19|20)\d\d$`)
	monthPart = regexp.MustCompile(`^((?:month=|m=)?)\d{1,2}$`)
	dayPart   = regexp.MustCompile(`^((?:day=|d=)?)\d{1,2}$`)
)

// generalize returns a pattern that matches all keys: literal where they agree, dates where a folder or a name has one, else a wildcard.
func generalize(files []storage.Info) string {
	var keys [][]string
	for _, f := range files {
		keys = append(keys, strings.Split(f.Key, "/"))
	}
	depth := len(keys[0])
	for _, k := range keys {
		if len(k) != depth {
			return "**/*.parquet"
		}
	}
	column := func(i int) []string {
		var out []string
		for _, k := range keys {
			out = append(out, k[i])
		}
		return out
	}
	all := func(re *regexp.Regexp, parts []string) (prefix string, ok bool) {
		for i, p := range parts {
			m := re.FindStringSubmatch(p)
			if m == nil || i > 0 && m[1] != prefix {
				return "", false
			}
			prefix = m[1]
		}
		return prefix, true
	}
	var out []string
	dated := false
	for i := 0; i < depth; i++ {
		parts := column(i)
		last := i == depth-1
		if !dated && !last && i+2 < depth-1 {
			y, okY := all(yearPart, parts)
			m, okM := all(monthPart, column(i+1))
			d, okD := all(dayPart, column(i+2))
			if okY && okM && okD {
				out, dated = append(out, y+"{yyyy}", m+"{mm}", d+"{dd}"), true
				i += 2
				continue
			}
		}
		if prefix, ok := all(oneDate, parts); ok && !dated {
			rest := oneDate.FindStringSubmatch(parts[0])[3]
			same := !slices.ContainsFunc(parts, func(p string) bool { return oneDate.FindStringSubmatch(p)[3] != rest })
			switch {
			case same:
				out, dated = append(out, prefix+"{date}"+rest), true
				continue
			case last:
				out, dated = append(out, prefix+"{date}*.parquet"), true
				continue
			}
		}
		differ := slices.ContainsFunc(parts, func(p string) bool { return p != parts[0] })
		switch {
		case differ && last:
			out = append(out, "*.parquet")
		case differ:
			out = append(out, "*")
		default:
			out = append(out, parts[0])
		}
	}
	return strings.Join(out, "/")
}

// few picks the first, the middle and the last of the files that are not empty.
func (s *source) few() ([]storage.Info, error) {
	full := slices.DeleteFunc(slices.Clone(s.files), func(f storage.Info) bool { return f.Size == 0 })
	if len(full) == 0 {
		return nil, errors.New("all files are empty")
	}
	out := []storage.Info{full[0], full[len(full)/2], full[len(full)-1]}
	return slices.CompactFunc(out, func(a, b storage.Info) bool { return a.Key == b.Key }), nil
}
