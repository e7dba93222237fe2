package table

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/rapport-ml/rapport/storage"
)

// Tables that are finished side by side are those that they are one by one, in their order, whatever room there is; the first error ends it, as does a caller that
// wants no more.
func TestFinisher(t *testing.T) {
	schema := Schema{{Name: "id", Type: Int64}}
	writers := func(faulty int) []*Writer {
		var out []*Writer
		for i := range 9 {
			o := WriteOptions{SortBy: []string{"id"}}
			if i == faulty {
				o.RowGroup = -1
			}
			w := NewWriter(storage.NewMemory(nil), fmt.Sprint("t", i), schema, o)
			b := &Batch{Schema: schema, N: i, Cols: []Column{{}}}
			for k := range i {
				b.Cols[0].Int = append(b.Cols[0].Int, int64(k))
			}
			if err := w.Append(b); err != nil && i != faulty {
				t.Fatal(err)
			}
			out = append(out, w)
		}
		return out
	}
	finishAll := func(ctx context.Context, writers []*Writer, room int64) ([]Manifest, error) {
		f := NewFinisher(ctx, room)
		for _, w := range writers {
			f.Add(w)
		}
		return f.Wait()
	}
	for _, room := range []int64{0, 100, 1 << 30} {
		got, err := finishAll(t.Context(), writers(-1), room)
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range writers(-1) {
			want, err := w.Finish(t.Context())
			if err != nil || got[i].Digest != want.Digest || got[i].Rows != int64(i) {
				t.Errorf("room for %d: table %d has %d rows, digest %s, want %s (%v)", room, i, got[i].Rows, got[i].Digest, want.Digest, err)
			}
		}
	}
	if _, err := finishAll(t.Context(), writers(4), 100); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("error %v of nine tables of which one can't be written", err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, err := finishAll(stopped, writers(-1), 100); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v of a caller that has ended it", err)
	}
	f := NewFinisher(t.Context(), 100)
	for _, w := range writers(-1) {
		f.Add(w)
	}
	f.Stop()
	if _, err := f.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("error %v of what was stopped", err)
	}
}
