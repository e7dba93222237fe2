package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

// Who adds handed-over records tells an error while workers still read, once, and takes what else comes: nobody waits for it.
func TestHelpTellsAtOnce(t *testing.T) {
	p, _ := everything(t, true)
	synctest.Test(t, func(t *testing.T) {
		s := newScan(p, &budget{limit: 1, spill: spill{folder: "no such folder"}})
		s.budget.held.Store(2) // beyond it
		s.moves, s.full, s.empty = &moves{}, make(chan handed, 1), make(chan handed, 2)
		var told []error
		ended := false
		go func() {
			s.help(func(err error) { told = append(told, err) })
			ended = true
		}()
		for range 3 {
			if !s.handOver(s.parts[0][0], &records{n: 1, words: []uint64{1}}) {
				t.Fatal("records are not taken")
			}
			synctest.Wait()
			if len(told) != 1 || !errors.Is(told[0], fs.ErrNotExist) || ended {
				t.Fatalf("told %v, ended %v", told, ended)
			}
		}
		close(s.full)
		synctest.Wait()
		if !ended {
			t.Error("a helper is left behind")
		}
	})
}

// Regions hold more records where states are far larger than a cache, and what comes of them is the same.
func TestRegionsGrowWithStates(t *testing.T) {
	b := meetings(4000, func(i int) string { return fmt.Sprint("item ", i) })
	p, err := compile(mirrored(), b.Schema, joinEnd, use{unshared: true})
	if err != nil {
		t.Fatal(err)
	}
	entities := map[int64][]int{}
	for held, words := range map[int64]int{0: regionWords, 1 << 40: mostWords} {
		s := newScan(p, &budget{})
		s.budget.held.Store(held)
		s.moves = fullMoves(p, minTime)
		w := newWorker(s)
		for range 2 { // before and after regions grow
			x := task{lo: minTime, hi: maxTime, Split: features.Split{Read: func(context.Context, []string) iter.Seq2[*table.Batch, error] {
				return func(yield func(*table.Batch, error) bool) { yield(b, nil) }
			}}}
			if err := w.split(t.Context(), &x); err != nil {
				t.Fatal(err)
			}
			for i := range w.groups {
				w.groups[i].full = partitions + 1
			}
		}
		if err := w.flushAll(); err != nil {
			t.Fatal(err)
		}
		for i, g := range p.groups {
			if got, want := w.groups[i].rows, g.regionRows(words); got != want {
				t.Errorf("with %d bytes held a region has %d records, want %d", held, got, want)
			}
			for _, pt := range s.parts[i] {
				entities[held] = append(entities[held], pt.n)
				for _, c := range pt.classes {
					for slot := range uint32(pt.n) {
						entities[held] = append(entities[held], int(c.count0(slot, 0)))
					}
				}
			}
		}
	}
	if !slices.Equal(entities[0], entities[1<<40]) {
		t.Error("entities, or their events, are others in larger regions")
	}
}
