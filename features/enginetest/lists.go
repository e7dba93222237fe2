package enginetest

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// sameList reports whether two texts are JSON arrays of the same values. How a text is escaped, or a number written, is the engine's choice.
func sameList(got, want string) bool {
	g, ok := parseList(got)
	w, both := parseList(want)
	if !ok || !both || len(g) != len(w) {
		return false
	}
	for i := range g {
		if g[i] != w[i] && !sameNumber(g[i], w[i]) {
			return false
		}
	}
	return true
}

func parseList(s string) (list []any, ok bool) {
	if !utf8.ValidString(s) {
		return nil, false
	}
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	if err := d.Decode(&list); err != nil || d.More() {
		return nil, false
	}
	for _, x := range list {
		switch x.(type) {
		case string, bool, json.Number:
		default:
			return nil, false
		}
	}
	return list, true
}

// sameNumber compares numbers by their value, and whole numbers above 2^53 by their digits.
func sameNumber(a, b any) bool {
	x, ok := a.(json.Number)
	y, both := b.(json.Number)
	if !ok || !both {
		return false
	}
	if m, err := x.Int64(); err == nil {
		if n, err := y.Int64(); err == nil {
			return m == n
		}
	}
	f, err := x.Float64()
	g, err2 := y.Float64()
	return err == nil && err2 == nil && f == g
}
