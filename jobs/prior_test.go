package jobs

import (
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/storage/table"
)

// What builds keep is of no use where it is large for the events that it is made of: no build goes on then, and none keeps it.
func TestDearStates(t *testing.T) {
	state := func(bytes ...int64) *table.Commit {
		c := &table.Commit{Key: "build/2026-03-01", Outputs: map[string]table.Manifest{"activity": {Parts: []table.Part{{Size: 1 << 40}}}}}
		for i, n := range bytes {
			c.Outputs[stateOutput([]string{"subject", "item"}[i])] = table.Manifest{Parts: []table.Part{{Size: n}}}
		}
		return c
	}
	const million = 1_000_000
	for _, x := range []struct {
		c     *table.Commit
		rows  []int64
		keeps bool
	}{
		{state(), []int64{1}, true},                        // nothing is kept
		{state(cheapState), []int64{1}, true},              // small
		{state(cheapState, 1), []int64{1}, false},          // of all keys together
		{state(60 * million), []int64{4 * million}, true},  // 15 bytes an event
		{state(60 * million), []int64{3 * million}, false}, // 20
		{state(60 * million), []int64{3 * million, million}, true},
	} {
		var r rests
		for _, n := range x.rows {
			r.Days = append(r.Days, restDay{Rows: n})
		}
		why := dear(x.c, r)
		if (why == "") != x.keeps || why != "" && !strings.Contains(why, x.c.Key) {
			t.Errorf("states of %d tables, days of %v events: %q, kept: want %v", len(x.c.Outputs)-1, x.rows, why, x.keeps)
		}
		if w := (&work{dear: why}); why != "" && w.mayGoOn() != why {
			t.Errorf("a build that heard %q says %q", why, w.mayGoOn())
		}
	}
}
