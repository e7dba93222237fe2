package table

import (
	"bytes"
	"testing"

	"github.com/rapport-ml/rapport/storage"
)

// What a FileWriter wrote, Scan reads back: every type, nulls, more rows than a row group holds, and none.
func TestFileWriter(t *testing.T) {
	s := Schema{{"n", Int64}, {"x", Float64}, {"s", String}, {"t", Time}, {"b", Bool}}
	for _, rows := range []int{0, 1, defaultRowGroup + 3} {
		var out bytes.Buffer
		w, err := NewFileWriter(&out, s)
		if err != nil {
			t.Fatal(err)
		}
		const step = 5000
		for from := 0; from < rows; from += step {
			n := min(step, rows-from)
			b := &Batch{Schema: s, N: n, Cols: []Column{
				{Int: make([]int64, n)}, {Float: make([]float64, n), Valid: make([]bool, n)}, {Str: make([]string, n)}, {Int: make([]int64, n)}, {Int: make([]int64, n)},
			}}
			for i := range n {
				k := from + i
				b.Cols[0].Int[i], b.Cols[1].Float[i], b.Cols[1].Valid[i] = int64(k), float64(k)/2, k%3 > 0
				b.Cols[2].Str[i], b.Cols[3].Int[i], b.Cols[4].Int[i] = []string{"a", "b", ""}[k%3], int64(k)*1e6, int64(k%2)
			}
			if err := w.Append(b); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		m := storage.NewMemory(nil)
		info, err := m.Put(t.Context(), "f.parquet", storage.Bytes(out.Bytes()), storage.Cond{})
		if err != nil {
			t.Fatal(err)
		}
		k := 0
		for b, err := range Scan(t.Context(), m, info, ScanOptions{Columns: []Want{{Name: "n"}, {Name: "x"}, {Name: "s"}, {Name: "t"}, {Name: "b"}}}) {
			if err != nil {
				t.Fatal(err)
			}
			for i := range b.N {
				null := k%3 == 0
				if b.Cols[0].Int[i] != int64(k) || b.Cols[1].Null(i) != null || !null && b.Cols[1].Float[i] != float64(k)/2 ||
					b.Cols[2].Text(i) != []string{"a", "b", ""}[k%3] || b.Cols[3].Int[i] != int64(k)*1e6 || b.Cols[4].Int[i] != int64(k%2) {
					t.Fatalf("row %d of %d came back otherwise", k, rows)
				}
				k++
			}
		}
		if k != rows {
			t.Errorf("%d rows came back of %d", k, rows)
		}
	}
	if _, err := NewFileWriter(&bytes.Buffer{}, Schema{{"n", Int64}, {"n", Int64}}); err == nil {
		t.Error("two columns of one name")
	}
}
