package table

import (
	"slices"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/storage"
)

// Values of any length come back, in pages whose statistics they are too long for.
func TestLongText(t *testing.T) {
	for _, size := range []int{500, 1000, 1100, 2000, 3000, 5000} {
		for _, typ := range []Type{String, Bytes} {
			const rows = 1500 // more than a page's worth at 1000
			b := newBatch(Schema{{"entity", Int64}, {"text", typ}})
			b.resize(rows)
			for i := range rows {
				b.Cols[0].Int[i] = int64(i)
				b.Cols[1].Str[i] = strings.Repeat(string(rune('a'+i%26)), size) + strings.Repeat("x", i%7)
			}
			bucket := storage.NewMemory(nil)
			w := NewWriter(bucket, "t", b.Schema, WriteOptions{SortBy: []string{"entity"}})
			if err := w.Append(b); err != nil {
				t.Fatal(err)
			}
			m, err := w.Finish(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for rows, err := range Read(t.Context(), bucket, m, ReadOptions{Columns: []string{"text"}}) {
				if err != nil {
					t.Fatalf("%v of %d bytes: %v", typ, size, err)
				}
				got = append(got, rows.Cols[0].Str...)
			}
			if !slices.Equal(got, b.Cols[1].Str) {
				t.Errorf("%v of %d bytes: other values came back", typ, size)
			}
		}
	}
}
