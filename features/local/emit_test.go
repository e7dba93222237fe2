package local

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

// While a receiver is at a batch others leave copies of theirs, up to so many, and go on; it has each once, one after another, as it was when it was handed over.
func TestOutletTakesCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const workers, batches = 4, 20
		open := make(chan struct{})
		got := map[string]int{}
		at := 0
		o := newOutlet(t.Context(), &scan{prog: &program{}}, features.Plan{})
		receive := func(rows *table.Batch) error {
			if at++; at != 1 {
				t.Error("two batches are received at a time")
			}
			<-open
			piece := rows.Cols[1].Str[0]
			if rows.N != 1 || fmt.Sprint("piece ", rows.Cols[0].Int[0]) != piece {
				t.Errorf("%d rows, number %d is %q", rows.N, rows.Cols[0].Int[0], piece)
			}
			got[string([]byte(piece))]++ // it stands in memory that is used again
			at--
			return nil
		}
		sh := &sheet{what: "test", schema: features.StateSchema(), out: receive}
		var all sync.WaitGroup
		handed := 0
		var mu sync.Mutex
		for w := range workers {
			all.Go(func() {
				b := newBuffer(sh.schema, 1)
				b.none[0], b.none[1] = true, true
				for i := range batches {
					n := w*batches + i
					b.Cols[0].Int[0], b.Cols[1].Str[0] = int64(n), fmt.Sprint("piece ", n)
					if err := o.give(sh, b.head(1)); err != nil {
						t.Error(err)
					}
					mu.Lock()
					handed++
					mu.Unlock()
				}
			})
		}
		synctest.Wait() // all wait: one for the receiver, the others for their turn
		mu.Lock()
		if handed != left {
			t.Errorf("%d batches are left to a receiver that is at the first one, want %d", handed, left)
		}
		mu.Unlock()
		close(open)
		all.Wait()
		if len(got) != workers*batches || sh.total != workers*batches {
			t.Errorf("%d different batches of %d were received, %d rows counted", len(got), workers*batches, sh.total)
		}
	})
}

// After an error nothing more is received, and all who hand over are told it.
func TestOutletEndsAtAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad, open := errors.New("full"), make(chan struct{})
		calls := 0
		o := newOutlet(t.Context(), &scan{prog: &program{}}, features.Plan{})
		sh := &sheet{what: "test", schema: features.StateSchema(), out: func(*table.Batch) error {
			calls++
			<-open
			return bad
		}}
		var all sync.WaitGroup
		for range left + 3 {
			all.Go(func() {
				b := newBuffer(sh.schema, 1)
				for range 2 {
					if err := o.give(sh, b.head(1)); err != nil && !errors.Is(err, bad) {
						t.Error(err)
					}
				}
			})
		}
		synctest.Wait()
		close(open)
		all.Wait()
		if err := o.give(sh, newBuffer(sh.schema, 1).head(1)); !errors.Is(err, bad) {
			t.Errorf("after the receiver failed: %v", err)
		}
		if calls != 1 {
			t.Errorf("%d calls, of which the first failed", calls)
		}
	})
}
