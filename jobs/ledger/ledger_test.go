package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/storagetest"
)

var july = time.Date(2026, 7, 31, 23, 0, 0, 0, time.UTC)

func run(id, job string, started time.Time, s ledger.Status) *ledger.Run {
	return &ledger.Run{ID: id, Job: job, Label: "2026-07-30", Status: s, Started: started, Cause: "run", Steps: []ledger.Step{}}
}

func save(t *testing.T, l ledger.Ledger, runs ...*ledger.Run) {
	t.Helper()
	for _, r := range runs {
		if err := l.Save(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLedger: runs are listed newest first, a line a run as it was saved last, over the end of a month; listing reads one object a month.
func TestLedger(t *testing.T) {
	b := storagetest.NewRecording(storage.NewMemory(nil))
	l := ledger.Ledger{Bucket: b}
	save(t, l, run("01B", "nightly", july, ledger.Running), run("01A", "nightly", july.Add(-time.Hour), ledger.Failed),
		run("01C", "weekly", july.Add(2*time.Hour), ledger.Succeeded), run("01B", "nightly", july, ledger.Succeeded))
	b.Reset()
	lines, err := l.List(t.Context(), july.Add(-time.Hour), july.Add(2*time.Hour))
	if err != nil || len(lines) != 2 || lines[0].ID != "01B" || lines[0].Status != ledger.Succeeded || lines[1].ID != "01A" {
		t.Fatalf("the runs that started in [22:00, 01:00): %+v, %v", lines, err)
	}
	if lines, err = l.List(t.Context(), july, july.AddDate(0, 1, 0)); err != nil || len(lines) != 2 || lines[0].ID != "01C" {
		t.Fatalf("from 23:00 on: %+v, %v", lines, err)
	}
	if n := b.Count(storagetest.Get); n != 4 {
		t.Errorf("two listings of two months read %d objects", n)
	}
}

// TestGet: a run is found by its whole id or a beginning that is its alone.
func TestGet(t *testing.T) {
	l := ledger.Ledger{Bucket: storage.NewMemory(nil)}
	save(t, l, run("01AA", "nightly", july, ledger.Succeeded), run("01AB", "nightly", july.AddDate(0, 1, 0), ledger.Failed))
	for id, want := range map[string]string{"01AA": "01AA", "01ab": "01AB", "01A": "", "02": "", "": ""} {
		r, err := l.Get(t.Context(), id)
		if want == "" {
			if err == nil {
				t.Errorf("%q names %s", id, r.ID)
			}
			continue
		}
		if err != nil || r.ID != want {
			t.Errorf("%q: %v, %v", id, r, err)
		}
	}
	if _, err := l.Get(t.Context(), "02"); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("an unknown id: %v", err)
	}
	if _, err := l.Get(t.Context(), "01A"); err == nil || !strings.Contains(err.Error(), "01AB and 01AA") {
		t.Errorf("an id of two: %v", err)
	}
}

// TestSaveTogether: runs of eight jobs that are saved at once all stand in the index.
func TestSaveTogether(t *testing.T) {
	l := ledger.Ledger{Bucket: storage.NewMemory(nil)}
	var wg sync.WaitGroup
	for j := range 8 {
		wg.Go(func() {
			for i := range 5 {
				if err := l.Save(context.Background(), run(fmt.Sprintf("0%d%d", j, i), fmt.Sprint("job", j), july, ledger.Succeeded)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	lines, err := l.List(t.Context(), july, july.Add(time.Second))
	if err != nil || len(lines) != 40 {
		t.Fatalf("%d lines of 40: %v", len(lines), err)
	}
	for i := 1; i < len(lines); i++ {
		if lines[i-1].ID <= lines[i].ID {
			t.Errorf("%s stands before %s", lines[i-1].ID, lines[i].ID)
		}
	}
}

// TestNewerFormat: what a newer release wrote is refused, not misread and not written over; what is damaged is named.
func TestNewerFormat(t *testing.T) {
	for body, says := range map[string]string{`{"format":2,"runs":[]}`: "made by a newer rapport", `{"format":1,"runs":7}`: "runs/2026-07/index.json"} {
		b := storage.NewMemory(nil)
		if _, err := b.Put(t.Context(), "runs/2026-07/index.json", storage.Bytes([]byte(body)), storage.Cond{}); err != nil {
			t.Fatal(err)
		}
		l := ledger.Ledger{Bucket: b}
		_, listed := l.List(t.Context(), july, july.Add(time.Hour))
		for what, err := range map[string]error{"list": listed, "save": l.Save(t.Context(), run("01", "nightly", july, ledger.Running))} {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s with %s: %v", what, body, err)
			}
		}
		if after, _, err := storage.ReadAll(t.Context(), b, "runs/2026-07/index.json"); err != nil || string(after) != body {
			t.Errorf("the index has become %s (%v)", after, err)
		}
	}
}

// TestSaveFails: a store that fails is reported with what was being written; a lost response is none.
func TestSaveFails(t *testing.T) {
	for n := 1; n <= 2; n++ {
		put := func(c storagetest.Call) bool { return c.Op == storagetest.Put }
		b := storagetest.NewFaulty(storage.NewMemory(nil), storagetest.Fault{Match: put, Nth: n})
		err := ledger.Ledger{Bucket: b}.Save(t.Context(), run("01", "nightly", july, ledger.Running))
		if !errors.Is(err, storagetest.ErrInjected) || !strings.Contains(err.Error(), "write") {
			t.Errorf("put %d: %v", n, err)
		}
	}
	lost := storagetest.NewFaulty(storage.NewMemory(nil), storagetest.Fault{Match: func(c storagetest.Call) bool {
		return c.Op == storagetest.Put && strings.HasSuffix(c.Key, "index.json")
	}, Nth: 1, Do: storagetest.LostResponse})
	l := ledger.Ledger{Bucket: lost}
	save(t, l, run("01", "nightly", july, ledger.Running))
	if lines, err := l.List(t.Context(), july, july.Add(time.Hour)); err != nil || len(lines) != 1 {
		t.Errorf("after a lost response: %v, %v", lines, err)
	}
}
