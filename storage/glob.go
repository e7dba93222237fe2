package storage

import (
	"context"
	"errors"
	"iter"
	"strings"
)

// Glob yields the objects whose keys match the pattern, in key order. In a pattern
//
//   - matches any run of characters within one segment
//     {name}  matches the same; callers that know the name's value put it in first
//     **      as a whole segment, matches any number of segments, none included
//
// and everything else matches itself. A wildcard at the start of a segment does not match a leading dot, so that ".part.crc" and
// the "._part" files of some file managers are not taken for data. Only keys under the literal start of the pattern are listed; a pattern
// without a wildcard costs one Head.
func Glob(ctx context.Context, b Bucket, pattern string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		prefix := literalPrefix(pattern)
		if prefix == pattern {
			info, err := b.Head(ctx, pattern)
			if !errors.Is(err, ErrNotFound) {
				yield(info, err)
			}
			return
		}
		segments := strings.Split(pattern, "/")
		for info, err := range b.List(ctx, prefix, ListOpt{}) {
			if err != nil {
				yield(Info{}, err)
				return
			}
			if matchSegments(segments, strings.Split(info.Key, "/")) && !yield(info, nil) {
				return
			}
		}
	}
}

// literalPrefix returns the part of a pattern before its first wildcard.
func literalPrefix(pattern string) string {
	for i := range len(pattern) {
		if n := wildcard(pattern[i:]); n > 0 {
			return pattern[:i]
		}
	}
	return pattern
}

// wildcard returns the length of the wildcard that s starts with, or 0. A brace that is not closed within its segment is literal.
func wildcard(s string) int {
	switch s[0] {
	case '*':
		return 1
	case '{':
		if i := strings.IndexAny(s, "}/"); i > 0 && s[i] == '}' {
			return i + 1
		}
	}
	return 0
}

// matchSegments matches key segments against pattern segments in O(len(pattern)·len(key)) segment comparisons: reach[j] says
// whether the pattern read so far can end after j segments of the key.
func matchSegments(pattern, key []string) bool {
	reach := make([]bool, len(key)+1)
	reach[0] = true
	for _, p := range pattern {
		next := make([]bool, len(key)+1)
		for j := range reach {
			switch {
			case p == "**":
				next[j] = reach[j] || j > 0 && next[j-1] && !strings.HasPrefix(key[j-1], ".")
			case j > 0:
				next[j] = reach[j-1] && matchSegment(p, key[j-1])
			}
		}
		reach = next
	}
	return reach[len(key)]
}

// matchSegment matches one segment, going back to the last wildcard where a literal fails.
func matchSegment(pattern, s string) bool {
	if strings.HasPrefix(s, ".") && pattern != "" && wildcard(pattern) > 0 {
		return false
	}
	p, i := 0, 0
	star, from := -1, 0 // the place after the last wildcard, and where its match ends for now
	for i < len(s) {
		if p < len(pattern) {
			if n := wildcard(pattern[p:]); n > 0 {
				p += n
				star, from = p, i
				continue
			}
			if pattern[p] == s[i] {
				p, i = p+1, i+1
				continue
			}
		}
		if star < 0 {
			return false
		}
		from++
		p, i = star, from
	}
	for p < len(pattern) {
		n := wildcard(pattern[p:])
		if n == 0 {
			return false
		}
		p += n
	}
	return true
}
