package local

import (
	"errors"
	"testing"
	"testing/synctest"
)

// Who adds handed-over records tells an error while workers still read, once, and takes what else comes: nobody waits for it.
func TestHelpTellsAtOnce(t *testing.T) {
	p, _ := everything(t, true)
	synctest.Test(t, func(t *testing.T) {
		s := newScan(p, &budget{limit: 1})
		s.budget.held.Store(2) // beyond it, and what is held may not be spilled
		s.moves, s.full, s.empty = &moves{leave: true}, make(chan handed, 1), make(chan handed, 2)
		var told []error
		ended := false
		go func() {
			s.help(func(err error) { told = append(told, err) })
			ended = true
		}()
		for range 3 {
			if !s.handOver(s.parts[0][0], &records{}) {
				t.Fatal("records are not taken")
			}
			synctest.Wait()
			if len(told) != 1 || !errors.Is(told[0], errBeyond) || ended {
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
