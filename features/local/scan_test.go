package local

import (
	"errors"
	"io/fs"
	"testing"
	"testing/synctest"
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
