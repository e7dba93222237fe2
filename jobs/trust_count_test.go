package jobs

import (
	"fmt"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// TestErasuresAreCountedOnce: an erasure that is interrupted and asked for again, once or twice, by itself or among others, is one from the first request until it is done; who is erased, and
// asks again a month later, asks twice.
func TestErasuresAreCountedOnce(t *testing.T) {
	b, keys := storage.NewMemory(nil), secretsOf(t, "k1")
	start := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	day := func(n int) time.Time { return start.AddDate(0, 0, n) }
	ids, err := event.OpenIdentities(t.Context(), b, keys)
	if err != nil {
		t.Fatal(err)
	}
	j, err := event.OpenJournal(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	seq := 0
	ask := func(on int, people ...string) int {
		t.Helper()
		seq++
		if _, err := j.Erase(t.Context(), keys, ids, people, day(on), fmt.Sprint("n", seq)); err != nil {
			t.Fatal(err)
		}
		return seq
	}
	finish := func(on int, entries ...int) {
		t.Helper()
		for _, n := range entries {
			if err := j.Finish(t.Context(), n, day(on)); err != nil {
				t.Fatal(err)
			}
		}
	}
	first := ask(1, "ann", "bob") // is interrupted
	again := ask(2, "ann", "cleo")
	third := ask(9, "ann")
	finish(10, third, again)
	ask(11, "dora") // is never finished
	finish(12, first)
	finish(44, ask(43, "ann")) // who had come back
	finish(45, ask(45, "emil"))
	finish(45, ask(45, "emil")) // at the same moment, as by a clock that stands
	w := &weekCounter{work: &work{plan: &plan{journal: j}}}
	for n, want := range []string{"3 0 0", "1 3 0", "0 0 0", "0 0 0", "0 0 0", "0 0 1", "2 2 1"} {
		iv := table.Interval{Start: day(7 * n), End: day(7 * (n + 1))}
		x := &tallies{week: iv, last: iv.End.Add(-time.Microsecond)}
		w.erasures(x)
		got := map[string]int{}
		for _, tally := range x.whole {
			got[tally.Metric] = tally.N
		}
		if is := fmt.Sprint(got[eval.TrustErasures], got[eval.TrustErased], got[eval.TrustOverdue]); is != want {
			t.Errorf("week %d: asked, done, overdue: %s, want %s", n+1, is, want)
		}
	}
}
