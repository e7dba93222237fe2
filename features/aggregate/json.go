package aggregate

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// AppendTop writes the result of Top: the n most frequent values of t, most frequent first, ties by their bytes (numbers by size), as a
// JSON array. It reorders t. O(t log t).
func AppendTop[K string | float64](dst []byte, t []Tally[K], n int) []byte {
	slices.SortFunc(t, func(a, b Tally[K]) int { return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.Key, b.Key)) })
	dst = append(dst, '[')
	for i, x := range t[:min(n, len(t))] {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendJSON(dst, x.Key)
	}
	return append(dst, ']')
}

// AppendSequence writes the result of Sequence: the values of the events, as a JSON array.
func AppendSequence[V Value](dst []byte, events []Event[V]) []byte {
	dst = append(dst, '[')
	for i, e := range events {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendJSON(dst, e.Value)
	}
	return append(dst, ']')
}

func appendJSON[V Value](dst []byte, v V) []byte {
	if s, ok := any(v).(string); ok {
		return AppendJSONString(dst, s)
	}
	return AppendJSONNumber(dst, any(v).(float64))
}

// AppendJSONNumber writes a finite number in the shortest form that reads back as the same float64: as encoding/json and every browser do.
func AppendJSONNumber(dst []byte, x float64) []byte {
	x += 0 // −0 is 0
	if a := math.Abs(x); a == 0 || a >= 1e-6 && a < 1e21 {
		return strconv.AppendFloat(dst, x, 'f', -1, 64)
	}
	dst = strconv.AppendFloat(dst, x, 'e', -1, 64)
	if n := len(dst); dst[n-4] == 'e' && dst[n-3] == '-' && dst[n-2] == '0' {
		dst[n-2] = dst[n-1] // e-07 is e-7
		dst = dst[:n-1]
	}
	return dst
}

// AppendJSONString writes a JSON string, as encoding/json does that need not escape HTML: valid UTF-8 whatever the bytes of s, of which each one that is
// none becomes \ufffd.
func AppendJSONString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		b := s[i]
		if b < utf8.RuneSelf {
			if b >= ' ' && b != '"' && b != '\\' {
				i++
				continue
			}
			dst = append(dst, s[start:i]...)
			switch b {
			case '"', '\\':
				dst = append(dst, '\\', b)
			case '\b':
				dst = append(dst, `\b`...)
			case '\f':
				dst = append(dst, `\f`...)
			case '\n':
				dst = append(dst, `\n`...)
			case '\r':
				dst = append(dst, `\r`...)
			case '\t':
				dst = append(dst, `\t`...)
			default:
				dst = append(dst, `\u00`...)
				dst = append(dst, hex[b>>4], hex[b&15])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			dst = append(append(dst, s[start:i]...), `\ufffd`...)
			start = i + size
		case r == '\u2028' || r == '\u2029': // no line breaks in JavaScript
			dst = append(append(dst, s[start:i]...), `\u202`...)
			dst = append(dst, hex[r&15])
			start = i + size
		}
		i += size
	}
	return append(append(dst, s[start:]...), '"')
}
