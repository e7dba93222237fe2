package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

func TestPromoteMovesTheAliasAndTheFence(t *testing.T) {
	r, ok := open(t, storage.NewMemory(nil)), must(t)
	registered(t, r, 2)
	l, err := r.Live(ctx)
	if err != nil || l.Fence != 0 || len(l.Aliases) != 0 {
		t.Fatalf("before the first change: %+v, %v", l, err)
	}
	l = ok(r.Promote(ctx, "champion", 1, 10, "nightly", "passed", at(1)))
	if l.Fence != 1 || l.Aliases["champion"] != (Target{1, 10}) {
		t.Errorf("%+v", l)
	}
	if l = ok(r.Promote(ctx, "champion", 1, 10, "nightly", "again after a crash", at(2))); l.Fence != 1 || len(l.History) != 1 {
		t.Errorf("promoting again changed the fence: %+v", l)
	}
	if l = ok(r.Promote(ctx, "champion", 1, 11, "nightly", "lists rebuilt", at(2))); l.Fence != 2 {
		t.Errorf("a new generation has fence %d", l.Fence)
	}
	l = ok(r.Promote(ctx, "champion", 2, 12, "nightly", "passed", at(2)))
	read, err := r.Live(ctx)
	if err != nil || l.Fence != 3 || read.Fence != 3 || read.Aliases["champion"] != (Target{2, 12}) {
		t.Errorf("%+v, %v", read, err)
	}
	if _, err := r.Promote(ctx, "champion", 3, 1, "nightly", "passed", at(3)); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("an absent version: %v", err)
	}
	for _, alias := range []string{"", "latest", "v7", "a b", "ä"} {
		if _, err := r.Promote(ctx, alias, 1, 1, "nightly", "passed", at(3)); err == nil {
			t.Errorf("alias %q was taken", alias)
		}
	}
	if _, err := r.Promote(ctx, "champion", 1, 1, "", "passed", at(3)); err == nil {
		t.Error("nobody promoted")
	}
	if _, err := r.Promote(ctx, "champion", 1, 1, "nightly", "", at(3)); err == nil {
		t.Error("promoted for no reason")
	}
}

func TestReviewsDecide(t *testing.T) {
	for _, verdict := range []Verdict{Rejected, Waiting} {
		r, ok := open(t, storage.NewMemory(nil)), must(t)
		v := version(1)
		v.Verdict, v.Reasons = verdict, []string{"gap too wide"}
		if _, err := r.Register(ctx, v, files("1")); err != nil {
			t.Fatal(err)
		}
		_, err := r.Promote(ctx, "champion", 1, 1, "nightly", "passed", at(1))
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "gap too wide") {
			t.Errorf("%s: %v", verdict, err)
		}
		if _, err := r.Rollback(ctx, "champion", 1, 1, "kim", "try", at(1)); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: rolled back to: %v", verdict, err)
		}
		if l, err := r.Live(ctx); err != nil || l.Fence != 0 {
			t.Errorf("%s: a refusal changed the live object: %+v, %v", verdict, l, err)
		}
		ok(r.Approve(ctx, 1, "ml-lead", "kim", "known", at(2)))
		ok(r.Promote(ctx, "champion", 1, 1, "nightly", "approved", at(2)))
		ok(r.Reject(ctx, 1, "dpo", "lee", "wrong purpose", at(3)))
		if _, err := r.Promote(ctx, "champion", 1, 2, "nightly", "again", at(3)); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "wrong purpose") {
			t.Errorf("%s: after the rejection: %v", verdict, err)
		}
		got, err := r.Get(ctx, 1)
		if err != nil || len(got.Approvals) != 2 || got.Approvals[0].Role != "ml-lead" || got.Approvals[1].Action != Disallowed {
			t.Errorf("%s: approvals %+v, %v", verdict, got.Approvals, err)
		}
		if _, err := r.Approve(ctx, 1, "", "kim", "known", at(4)); err == nil {
			t.Error("approved in no role")
		}
		if _, err := r.Approve(ctx, 2, "ml-lead", "kim", "known", at(4)); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("an absent version was approved: %v", err)
		}
	}
}

func TestRollbackPinsUntilUnpin(t *testing.T) {
	r, ok := open(t, storage.NewMemory(nil)), must(t)
	registered(t, r, 5)
	for n := 1; n <= 3; n++ {
		ok(r.Promote(ctx, "champion", n, uint64(n), "nightly", "passed", at(n)))
	}
	l := ok(r.Rollback(ctx, "champion", 2, 2, "kim", "complaints", at(3)))
	if l.Fence != 4 || l.Aliases["champion"] != (Target{2, 2}) || l.Pinned["champion"].Version != 2 {
		t.Fatalf("%+v", l)
	}
	if l = ok(r.Rollback(ctx, "champion", 2, 2, "kim", "again", at(3))); l.Fence != 4 {
		t.Errorf("the same rollback twice has fence %d", l.Fence)
	}
	for n := 4; n <= 5; n++ {
		l, err := r.Promote(ctx, "champion", n, uint64(n), "nightly", "passed", at(n))
		if !errors.Is(err, ErrPinned) || l.Aliases["champion"].Version != 2 || l.Candidates["champion"] != (Target{n, uint64(n)}) {
			t.Errorf("version %d while pinned: %+v, %v", n, l, err)
		}
	}
	fence := must(t)(r.Promote(ctx, "champion", 2, 9, "nightly", "lists rebuilt", at(5))).Fence // the pin's own version
	if _, err := r.Promote(ctx, "champion", 5, 5, "nightly", "passed", at(5)); !errors.Is(err, ErrPinned) {
		t.Error(err)
	}
	if l, err := r.Live(ctx); err != nil || l.Fence != fence {
		t.Errorf("a candidate that waits already moved the fence to %d, %v", l.Fence, err)
	}
	ok(r.Promote(ctx, "challenger", 5, 5, "nightly", "another alias is free", at(5)))
	l = ok(r.Unpin(ctx, "champion", "kim", "repaired", at(6)))
	if len(l.Pinned) != 0 || l.Candidates["champion"].Version != 5 || l.Aliases["champion"].Version != 2 {
		t.Errorf("after unpin: %+v", l)
	}
	if again := ok(r.Unpin(ctx, "champion", "kim", "repaired", at(6))); again.Fence != l.Fence {
		t.Error("unpinning twice moved the fence")
	}
	if l = ok(r.Promote(ctx, "champion", 5, 5, "kim", "candidate", at(6))); len(l.Candidates) != 0 || l.Aliases["champion"].Version != 5 {
		t.Errorf("after the candidate's promotion: %+v", l)
	}
}

func TestLiveFor(t *testing.T) {
	r, ok := open(t, storage.NewMemory(nil)), must(t)
	registered(t, r, 4) // version n saw [day n−1, day n)
	ok(r.Promote(ctx, "champion", 1, 1, "nightly", "passed", at(1)))
	ok(r.Promote(ctx, "champion", 2, 2, "nightly", "passed", at(2)))
	ok(r.Promote(ctx, "challenger", 3, 3, "nightly", "trial", at(3)))
	ok(r.Promote(ctx, "champion", 4, 4, "nightly", "passed", at(4)))
	l := ok(r.Rollback(ctx, "champion", 2, 2, "kim", "complaints", at(5)))
	for _, c := range []struct {
		alias string
		from  int // iv is [from, from+1)
		want  int // 0: none
	}{
		{"champion", 0, 0}, // version 1 has seen this day
		{"champion", 1, 1},
		{"champion", 2, 2},
		{"champion", 3, 2},
		{"champion", 4, 2}, // version 4 fits too, but the rollback came last
		{"challenger", 2, 0},
		{"challenger", 3, 3},
		{"nobody", 9, 0},
	} {
		got, found := LiveFor(l, c.alias, table.Interval{Start: at(c.from), End: at(c.from + 1)})
		if got != c.want || found != (c.want > 0) {
			t.Errorf("%s for day %d: version %d, want %d", c.alias, c.from, got, c.want)
		}
	}
}

// A rollback says what is live from then on. What was live for intervals that closed long before is what it was, or they could not be judged again to
// the same report.
// TestReplaced: versions of one interval stand in for one another, the last first, until one of an earlier interval is live again.
func TestReplaced(t *testing.T) {
	r, ok := open(t, storage.NewMemory(nil)), must(t)
	day := func(d, number int) {
		v := version(d)
		v.Key = fmt.Sprintf("evaluate__%d", number)
		got, err := r.Register(ctx, v, files(fmt.Sprint(number)))
		if err != nil || got.Number != number {
			t.Fatalf("version %d: %+v, %v", number, got, err)
		}
	}
	for i, d := range []int{1, 2, 2, 2, 3} {
		day(d, i+1)
	}
	iv := func(d int) table.Interval { return table.Interval{Start: at(d - 1), End: at(d)} }
	check := func(l Live, d int, want ...int) {
		t.Helper()
		if got := Replaced(l, "champion", iv(d)); !slices.Equal(got, want) {
			t.Errorf("day %d: %v, want %v", d, got, want)
		}
	}
	promote := func(n int) Live {
		return ok(r.Promote(ctx, "champion", n, uint64(n), "nightly", "passed", at(2).Add(time.Hour)))
	}
	check(promote(1), 2)
	check(promote(2), 2, 2)
	check(promote(3), 2, 3, 2)
	ok(r.Promote(ctx, "challenger", 4, 4, "nightly", "trial", at(2).Add(time.Hour)))
	l := ok(r.Rollback(ctx, "champion", 2, 2, "kim", "complaints", at(2).Add(2*time.Hour)))
	check(l, 2, 2, 3)
	check(l, 1, 1)
	check(l, 3) // version 2 was live before it, and none of its own
	ok(r.Unpin(ctx, "champion", "kim", "mended", at(2).Add(3*time.Hour)))
	check(promote(5), 2, 2, 3)
	check(ok(r.Rollback(ctx, "champion", 1, 1, "kim", "worse", at(2).Add(4*time.Hour))), 2) // what would be replaced is of the day before
	check(ok(r.Rollback(ctx, "champion", 2, 2, "kim", "late", at(9))), 2)                   // long after: nothing of that day changes
}

func TestLiveForIsNotChangedByALateRollback(t *testing.T) {
	r, ok := open(t, storage.NewMemory(nil)), must(t)
	registered(t, r, 6)
	for n := 1; n <= 6; n++ {
		ok(r.Promote(ctx, "champion", n, uint64(n), "nightly", "passed", at(n)))
	}
	forDay := func(l Live, from int) int {
		n, _ := LiveFor(l, "champion", table.Interval{Start: at(from), End: at(from + 1)})
		return n
	}
	l := ok(r.Rollback(ctx, "champion", 2, 2, "kim", "complaints", at(7).Add(time.Hour)))
	for _, c := range []struct{ from, want int }{
		{1, 1},
		{2, 2},
		{3, 3},
		{4, 4},
		{5, 5}, // closed a day and an hour before
		{6, 2}, // closed an hour before: its night comes after the rollback
		{7, 2},
	} {
		if got := forDay(l, c.from); got != c.want {
			t.Errorf("day %d: version %d was live, want %d", c.from, got, c.want)
		}
	}
}

// Without a generation there is nothing to serve: only a pinned alias takes such a version, as its candidate.
func TestPromoteNeedsAGeneration(t *testing.T) {
	r, ok := open(t, storage.NewMemory(nil)), must(t)
	registered(t, r, 2)
	before := ok(r.Promote(ctx, "champion", 1, 1, "nightly", "passed", at(1)))
	if _, err := r.Promote(ctx, "champion", 2, 0, "nightly", "passed", at(2)); err == nil || errors.Is(err, ErrPinned) || !strings.Contains(err.Error(), "no generation") {
		t.Errorf("without a pin: %v", err)
	}
	if l, err := r.Live(ctx); err != nil || l.Fence != before.Fence || l.Aliases["champion"] != (Target{1, 1}) {
		t.Errorf("what is live: %+v, %v", l, err)
	}
	ok(r.Rollback(ctx, "champion", 1, 1, "kim", "hold on", at(2)))
	l, err := r.Promote(ctx, "champion", 2, 0, "nightly", "passed", at(3))
	if !errors.Is(err, ErrPinned) || l.Aliases["champion"] != (Target{1, 1}) || l.Candidates["champion"].Version != 2 {
		t.Errorf("pinned: %+v, %v", l, err)
	}
	if _, err := r.Promote(ctx, "champion", 1, 0, "nightly", "passed", at(3)); err == nil || errors.Is(err, ErrPinned) {
		t.Errorf("the pinned version itself, without a generation: %v", err)
	}
}

func TestSplit(t *testing.T) {
	r, ok := open(t, storage.NewMemory(nil)), must(t)
	registered(t, r, 1)
	ok(r.Promote(ctx, "challenger", 1, 1, "nightly", "trial", at(1)))
	for name, shares := range map[string][]Share{
		"points to nothing": {{"champion", .5, "s"}},
		"more than 1":       {{"challenger", .6, "s"}, {"challenger", .6, "t"}},
		"share above 0":     {{"challenger", 0, "s"}},
		"salt":              {{"challenger", .5, ""}},
	} {
		if _, err := r.Split(ctx, shares, "kim", "trial", at(1)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	l := ok(r.Split(ctx, []Share{{"challenger", .5, "s"}}, "kim", "trial", at(1)))
	if l.Fence != 2 || len(l.Split) != 1 {
		t.Errorf("%+v", l)
	}
	if l = ok(r.Split(ctx, nil, "kim", "over", at(2))); l.Fence != 3 || len(l.Split) != 0 {
		t.Errorf("%+v", l)
	}
}

// meddling is a bucket in which something happens after a Put of one key has been done and before its answer arrives; the answer is
// then what a client says that has repeated the Put.
type meddling struct {
	storage.Bucket
	key    string
	meddle func()
}

func (m *meddling) Put(ctx context.Context, key string, b storage.Body, c storage.Cond) (storage.Info, error) {
	info, err := m.Bucket.Put(ctx, key, b, c)
	if key != m.key || m.meddle == nil || err != nil {
		return info, err
	}
	f := m.meddle
	m.meddle = nil
	f()
	return storage.Info{}, storage.ErrPrecondition
}

func TestLostResponses(t *testing.T) {
	for name, others := range map[string]int{"nobody else": 0, "another went on from there": 1, "three others did": 3} {
		mem := storage.NewMemory(nil)
		other := open(t, mem)
		registered(t, other, 5)
		m := &meddling{Bucket: mem, key: other.liveKey()}
		m.meddle = func() {
			for n := 2; n < 2+others; n++ {
				must(t)(other.Promote(ctx, "champion", n, uint64(n), "other", "passed", at(n)))
			}
		}
		r := open(t, m)
		r.nonce = func() string { return "mine" }
		l, err := r.Promote(ctx, "champion", 1, 1, "first", "passed", at(1))
		if err != nil || m.meddle != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if int(l.Fence) != 1+others || len(l.History) != 1+others || l.History[0].By != "first" || l.Aliases["champion"].Version != 1+others {
			t.Errorf("%s: a change was made twice or lost: %+v", name, l)
		}
	}
}

// flaky is a bucket that answers some conditional Puts of live.json with ErrPrecondition after doing them.
type flaky struct {
	storage.Bucket
	mu sync.Mutex
	n  int
}

func (f *flaky) Put(ctx context.Context, key string, b storage.Body, c storage.Cond) (storage.Info, error) {
	info, err := f.Bucket.Put(ctx, key, b, c)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n++; err == nil && f.n%3 == 0 && strings.HasSuffix(key, "live.json") {
		return storage.Info{}, storage.ErrPrecondition
	}
	return info, err
}

func TestRacingPromotersHaveOneOrder(t *testing.T) {
	mem := storage.NewMemory(nil)
	registered(t, open(t, mem), 4)
	b := &flaky{Bucket: mem}
	const promoters, each = 8, 6
	fences := make([][]uint64, promoters)
	var wg sync.WaitGroup
	for p := range promoters {
		r, err := Open(b, "home")
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for k := range each {
				gen := uint64(1 + p*each + k)
				l, err := r.Promote(ctx, "champion", 1+k%4, gen, fmt.Sprintf("p%d", p), "race", at(1))
				if err != nil {
					t.Error(err)
					return
				}
				i := slices.IndexFunc(l.History, func(c Change) bool { return c.Generation == gen })
				fences[p] = append(fences[p], l.History[i].Fence)
			}
		})
	}
	wg.Wait()
	l, err := open(t, mem).Live(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if l.Fence != promoters*each || len(l.History) != promoters*each {
		t.Fatalf("%d changes have fence %d, history %d", promoters*each, l.Fence, len(l.History))
	}
	for i, c := range l.History {
		if c.Fence != uint64(i+1) {
			t.Errorf("entry %d has fence %d", i, c.Fence)
		}
	}
	if last := l.History[len(l.History)-1]; l.Aliases["champion"] != (Target{last.Version, last.Generation}) {
		t.Errorf("the alias is %+v, the last change %+v", l.Aliases["champion"], last)
	}
	seen := map[uint64]bool{}
	for p, mine := range fences {
		if !slices.IsSorted(mine) || len(mine) != each {
			t.Errorf("promoter %d saw fences %v", p, mine)
		}
		for _, f := range mine {
			if seen[f] {
				t.Errorf("fence %d was given twice", f)
			}
			seen[f] = true
		}
	}
}

func TestOldHistoryMovesAndNothingIsLost(t *testing.T) {
	mem := storage.NewMemory(nil)
	r := open(t, mem)
	registered(t, r, 2)
	must(t)(r.Approve(ctx, 1, "ml-lead", "kim", "first of all", at(0)))
	// A long life, written at once: then two changes through the front door.
	l, etag, err := r.readLive(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for len(l.History) < maxHistory {
		l.Fence++
		end := at(1)
		l.History = append(l.History, Change{
			Fence: l.Fence, Action: Promoted, Alias: "champion", Version: 1, Generation: l.Fence,
			IntervalEnd: &end, At: at(1), By: "nightly", Why: "passed", Nonce: fmt.Sprint(l.Fence),
		})
	}
	l.Aliases["champion"] = Target{1, l.Fence}
	body, err := encode(l)
	if err != nil {
		t.Fatal(err)
	}
	if len(body) > storage.MaxCommit/2 {
		t.Errorf("a full live object has %d bytes: too near to what a commit may hold", len(body))
	}
	if _, err := storage.Commit(ctx, mem, r.liveKey(), body, storage.Cond{IfMatch: etag}); err != nil {
		t.Fatal(err)
	}
	// The first attempt loses its race after it wrote the archive.
	other := open(t, mem)
	other.nonce = func() string { return "other" }
	m := &meddling{Bucket: mem, key: r.historyPrefix() + "00000002.json"}
	m.meddle = func() { must(t)(other.Promote(ctx, "challenger", 2, 1, "other", "passed", at(2))) }
	r = open(t, m)
	r.nonce = func() string { return "mine" }
	got := must(t)(r.Promote(ctx, "champion", 2, 9999, "nightly", "passed", at(2)))
	if got.Fence != maxHistory+2 || len(got.History) >= maxHistory {
		t.Errorf("fence %d, %d entries", got.Fence, len(got.History))
	}
	if got.History[0].Action != Approved {
		t.Errorf("the approval has left the live object: %+v", got.History[0])
	}
	all, err := r.History(ctx)
	if err != nil || len(all) != maxHistory+2 {
		t.Fatalf("%d entries, %v", len(all), err)
	}
	for i, c := range all {
		if c.Fence != uint64(i+1) {
			t.Fatalf("entry %d has fence %d", i, c.Fence)
		}
	}
}
