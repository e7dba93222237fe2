package aggregate

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"unicode/utf8"
)

// AppendTop writes the result of Top: the n most frequent values of t, most frequent first, ties by the bytes of their text, as a JSON array; each is
// written by element. It reorders t. O(t log t).
func AppendTop[V Value](dst []byte, t []Tally[V], n int, element func([]byte, V) []byte) []byte {
	var x, y []byte
	byText := func(a, b V) int {
		if s, ok := any(a).(string); ok { // before it is escaped
			return cmp.Compare(s, any(b).(string))
		}
		x, y = element(x[:0], a), element(y[:0], b)
		return bytes.Compare(x, y)
	}
	slices.SortFunc(t, func(a, b Tally[V]) int {
		if a.N != b.N {
			return cmp.Compare(b.N, a.N)
		}
		return byText(a.Key, b.Key)
	})
	dst = append(dst, '[')
	for i, x := range t[:min(n, len(t))] {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = element(dst, x.Key)
	}
	return append(dst, ']')
}

// AppendSequence writes the result of Sequence: the values of the events, as a JSON array; each is written by element.
func AppendSequence[V Value](dst []byte, events []Event[V], element func([]byte, V) []byte) []byte {
	dst = append(dst, '[')
	for i, e := range events {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = element(dst, e.Value)
	}
	return append(dst, ']')
}

// AppendJSONNumber writes a finite number in the shortest form that reads back as the same float64.
func AppendJSONNumber(dst []byte, x float64) []byte {
	return strconv.AppendFloat(dst, x+0, 'g', -1, 64)
}

// AppendJSONInt writes an integer.
func AppendJSONInt(dst []byte, x int64) []byte { return strconv.AppendInt(dst, x, 10) }

// AppendJSONBool writes true, or false for 0.
func AppendJSONBool(dst []byte, x int64) []byte { return strconv.AppendBool(dst, x != 0) }

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
