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
