package local

import (
	"cmp"
	"math"

	"github.com/rapport-ml/rapport/features/aggregate"
	"github.com/rapport-ml/rapport/storage/table"
)

// values says what the words of a lane mean whose values come out again.
type values struct {
	typ  table.Type
	dict *dictionary // of a String column
}

func (v values) text(word int64) string { return v.dict.text(uint32(word)) }
func (values) float(word int64) float64 { return math.Float64frombits(uint64(word)) }
func (v values) isText() bool           { return v.typ == table.String }

// compare orders two words as their values are ordered: numbers by size, text by its bytes.
func (v values) compare(a, b int64) int {
	switch {
	case a == b:
		return 0
	case v.isText():
		return cmp.Compare(v.text(a), v.text(b))
	case v.typ == table.Float64:
		return cmp.Compare(v.float(a), v.float(b))
	}
	return cmp.Compare(a, b)
}

// json writes a word's value as JSON.
func (v values) json(dst []byte, word int64) []byte {
	switch v.typ {
	case table.String:
		return aggregate.AppendJSONString(dst, v.text(word))
	case table.Float64:
		return aggregate.AppendJSONNumber(dst, v.float(word))
	case table.Bool:
		return aggregate.AppendJSONBool(dst, word)
	}
	return aggregate.AppendJSONInt(dst, word)
}

// put writes a word's value to a row of a column of First or Last: text, or a number.
func (v values) put(dst *table.Column, row int, word int64) {
	if v.isText() {
		dst.Str[row] = v.text(word)
	} else {
		dst.Float[row] = v.float(word)
	}
}

// append writes events with their values.
func (v values) append(dst []byte, events []aggregate.Event[int64]) []byte {
	switch v.typ {
	case table.String:
		return aggregate.Recents[string](withValues(events, v.text)).Append(dst)
	case table.Float64:
		return aggregate.Recents[float64](withValues(events, v.float)).Append(dst)
	}
	return aggregate.Recents[int64](events).Append(dst)
}

// decode reads what append wrote, if it is a state of First by the hour (firsts), or else of Last or Sequence, and returns the bytes behind it.
func (v values) decode(src []byte, firsts bool) (events []aggregate.Event[int64], rest []byte, err error) {
	switch v.typ {
	case table.String:
		var list []aggregate.Event[string]
		list, rest, err = decodeEvents[string](src, firsts)
		events = withValues(list, func(s string) int64 { return int64(v.dict.code(s)) })
	case table.Float64:
		var list []aggregate.Event[float64]
		list, rest, err = decodeEvents[float64](src, firsts)
		events = withValues(list, func(x float64) int64 { return int64(math.Float64bits(x)) })
	default:
		events, rest, err = decodeEvents[int64](src, firsts)
	}
	return events, rest, err
}

func decodeEvents[V aggregate.Value](src []byte, firsts bool) ([]aggregate.Event[V], []byte, error) {
	if firsts {
		return aggregate.DecodeFirsts(aggregate.Firsts[V](nil), src, aggregate.Hour)
	}
	return aggregate.DecodeRecents(aggregate.Recents[V](nil), src, math.MaxInt, cmp.Compare)
}

func withValues[A, B any](events []aggregate.Event[A], value func(A) B) []aggregate.Event[B] {
	out := make([]aggregate.Event[B], len(events))
	for i, e := range events {
		out[i] = aggregate.Event[B]{Time: e.Time, Value: value(e.Value)}
	}
	return out
}
