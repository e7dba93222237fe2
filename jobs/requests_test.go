package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/storage"
)

// TestRequests: a request is due 30 days after it came in, once 60 days more, and is late by the moment after.
func TestRequests(t *testing.T) {
	ctx := context.Background()
	start := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	now := start
	r := recordsRunner(t, storage.NewMemory(nil), &now)
	q, err := r.OpenRequest(ctx, RequestAccess, []string{"u000001", "u000001"}, now, "kim")
	if err != nil || q.Number != 1 || len(q.Subjects) != 1 || !q.Due.Equal(start.AddDate(0, 0, 30)) {
		t.Fatalf("a request: %+v, %v", q, err)
	}
	if _, err := r.OpenRequest(ctx, RequestErase, []string{"u000001", "u000002"}, start.AddDate(0, 0, -10), "kim"); err != nil {
		t.Fatal(err)
	}
	now = start.AddDate(0, 0, 20)
	if due, err := r.RequestsDue(ctx); err != nil || due.Open != 2 || due.Late != 0 || !due.Next.Equal(now) {
		t.Errorf("at the last moment: %+v, %v", due, err)
	}
	now = now.Add(time.Nanosecond)
	due, err := r.RequestsDue(ctx)
	if err != nil || due.Late != 1 || !due.Since.Equal(start.AddDate(0, 0, 20)) || !due.Next.Equal(start.AddDate(0, 0, 30)) {
		t.Errorf("a moment later: %+v, %v", due, err)
	}
	bad := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, ErrBadRequest) || strings.Contains(err.Error(), "u00000") {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err = r.ExtendRequest(ctx, 2, "many files", "kim")
	bad("more time for what is late", err)
	if q, err = r.ExtendRequest(ctx, 1, "many files", "kim"); err != nil || !q.Due.Equal(start.AddDate(0, 0, 90)) {
		t.Errorf("60 days more: %+v, %v", q, err)
	}
	_, err = r.ExtendRequest(ctx, 1, "many files", "kim")
	bad("more time twice", err)
	for _, why := range []string{"u000002 has gone", "she is (u000002)", "see mail of u000002, and ours", strings.Repeat("x", maxRequestText+1)} {
		_, err = r.CloseRequest(ctx, 2, OutcomeRefused, why, "kim")
		bad("a reason with an id", err)
	}
	_, err = r.CloseRequest(ctx, 2, OutcomeRefused, "", "kim")
	bad("no reason", err)
	_, err = r.CloseRequest(ctx, 2, "whatever", "", "kim")
	bad("no outcome", err)
	_, err = r.OpenRequest(ctx, "forget", []string{"u000001"}, now, "kim")
	bad("no kind", err)
	_, err = r.OpenRequest(ctx, RequestErase, []string{"u000001"}, now.Add(time.Second), "kim")
	bad("from the future", err)
	if _, err := r.CloseRequest(ctx, 3, OutcomeDone, "", "kim"); !errors.Is(err, ErrNoRequest) {
		t.Errorf("a number that nobody has: %v", err)
	}

	// What is done for some of the people of a request does not close it; also by the key of before a rotation.
	marks := r.marksOf([]string{"u000001"}, true)
	if closed, err := r.closeRequests(ctx, RequestErase, marks, OutcomeDone, ""); err != nil || len(closed) != 0 {
		t.Errorf("done for one of two: %v, %v", closed, err)
	}
	r.Previous, r.Keys = []event.Keys{r.Keys}, secretsOf(t, "k2")
	if closed, err := r.closeRequests(ctx, RequestErase, r.marksOf([]string{"u000002", "u000001"}, true), OutcomeDone, "receipt"); err != nil || fmt.Sprint(closed) != "[2]" {
		t.Errorf("done for both: %v, %v", closed, err)
	}
	_, err = r.CloseRequest(ctx, 2, OutcomeDone, "", "kim")
	bad("closed twice", err)
	all, err := r.Requests(ctx)
	if err != nil || len(all) != 2 || all[1].Closed.Why != "receipt" || all[1].Closed.Outcome != OutcomeDone {
		t.Errorf("the register: %+v, %v", all, err)
	}
	body, _, err := storage.ReadAll(ctx, r.Bucket, requestRegister.key(2))
	if err != nil || strings.Contains(string(body), "u00000") {
		t.Errorf("an entry holds an id: %s, %v", body, err)
	}
	if err := r.Bucket.Delete(ctx, requestRegister.key(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Requests(ctx); err == nil || !strings.Contains(err.Error(), "no number 1") {
		t.Errorf("an entry is missing: %v", err)
	}
}

// TestAccessLog: of writers at once none loses a line, and the chain tells where a line is missing, moved or changed.
func TestAccessLog(t *testing.T) {
	ctx := context.Background()
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	b := storage.NewMemory(nil)
	const writers, each = 4, 20
	var wg sync.WaitGroup
	for i := range writers {
		r := recordsRunner(t, b, &now)
		wg.Go(func() {
			for j := range each {
				if err := r.LogAccess(ctx, fmt.Sprintf("writer %d", i), fmt.Sprintf("verb %d", j), []string{"u000001"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	r := recordsRunner(t, b, &now)
	if err := r.LogAccess(ctx, "many", "export", make([]string, maxAccessMarks+1)); err != nil {
		t.Fatal(err)
	}
	next := map[string]int{}
	log, err := r.ReadAccessLog(ctx, func(x Access) {
		if x.Who == "many" {
			if x.People != maxAccessMarks+1 || len(x.Subjects) != 0 {
				t.Errorf("a line of many: %+v", x)
			}
			return
		}
		if x.Verb != fmt.Sprintf("verb %d", next[x.Who]) || len(x.Subjects) != 1 {
			t.Errorf("%s wrote %+v after %d lines", x.Who, x, next[x.Who])
		}
		next[x.Who]++
	})
	if err != nil || log.Count != writers*each+1 || len(next) != writers {
		t.Fatalf("%d lines of %d writers: %v", log.Count, len(next), err)
	}

	quiet := func(Access) {}
	line := func(seq int) []byte {
		body, _, err := storage.ReadAll(ctx, b, accessKey(seq))
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	put := func(seq int, body []byte) {
		if _, err := b.Put(ctx, accessKey(seq), storage.Bytes(body), storage.Cond{}); err != nil {
			t.Fatal(err)
		}
	}
	broken := func(what string, holds int) {
		t.Helper()
		got, err := r.ReadAccessLog(ctx, quiet)
		if !errors.Is(err, ErrChain) || got.Count != holds || !strings.Contains(err.Error(), fmt.Sprintf("line %d ", holds+1)) {
			t.Errorf("%s: %d lines hold: %v", what, got.Count, err)
		}
	}
	was := line(7)
	put(7, []byte(strings.Replace(string(was), `"people":1`, `"people":2`, 1)))
	broken("a line was changed", 7) // the next one says so
	put(7, line(8))
	broken("a line was copied over another", 6)
	put(7, []byte("{"))
	broken("a line is damaged", 6)
	if err := b.Delete(ctx, accessKey(7)); err != nil {
		t.Fatal(err)
	}
	broken("a line was taken away", 6)
	put(7, was)
	if again, err := r.ReadAccessLog(ctx, quiet); err != nil || again != log {
		t.Errorf("as it was: %+v, %v", again, err)
	}
}
