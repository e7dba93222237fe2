package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/ledger"
)

// why explains a run of the shop.
func (s *shop) why(id string) *jobs.Why {
	s.Helper()
	y, err := s.runner.Why(s.Context(), []*jobs.Job{s.job}, id)
	if err != nil {
		s.Fatal(err)
	}
	return y
}

// Whatever goes wrong, runs why says what happened, where, what is otherwise than when it last worked, and a command to try.
func TestWhy(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(5)
	declared := *s.job
	day6 := "events/dt=2026-01-07/part-0.parquet"
	file := object(t, s.raw, day6)
	s.spoil(6, nil) // keeps a copy
	for _, c := range []struct {
		name    string
		prepare func()
		err     error
		says    string
		step    string
		object  string
		differs []string
		try     string
	}{
		{
			"no file", func() {
				if err := s.raw.Delete(t.Context(), day6); err != nil {
					t.Fatal(err)
				}
			}, jobs.ErrNoData, "no event that may be used", "expect", "no file of it holds rows of 2026-01-07",
			[]string{"files of the interval: 1, ", "→ 0, 0 bytes", "funnel: read"},
			"rapport plan nightly --at 2026-01-08T00:00:00Z",
		},
		{
			"another shape", func() { s.spoil(6, func(path string) error { return spoil(path, "no-user") }) },
			nil, "not the shape", "ingest 2026-01-07", day6,
			[]string{"column user_id: BYTE_ARRAY", "→ none"},
			"rapport validate",
		},
		{
			"few rows", func() {
				s.spoil(6, func(path string) error {
					for range 4 {
						if err := spoil(path, "half"); err != nil {
							return err
						}
					}
					return nil
				})
			}, nil, "far fewer usable events than usual", "expect", "1 file of the interval now", []string{"usable events of the interval: ", "funnel: "}, "rapport plan nightly",
		},
		{
			"another project file", func() {
				s.spoil(6, nil)
				s.job.Events.Subject = "customer"
			}, nil, "not the shape", "ingest 2026-01-01", "", []string{"project file: sources.events.subject: user_id → customer"}, "rapport validate",
		},
		{
			"not ready", func() { s.job.Events.Settle = 48 * time.Hour }, jobs.ErrNotReady, "has not delivered the interval whole yet", "", "1 file of the interval now",
			[]string{"project file: sources.events.settle: 0s → 48h0m0s"},
			"rapport run nightly --at 2026-01-08T00:00:00Z",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			*s.job = declared
			c.prepare()
			res, err := s.try(6)
			if err == nil || c.err != nil && !errors.Is(err, c.err) {
				t.Fatalf("the run ended with %v", err)
			}
			y := s.why(res.RunID)
			text := y.Says + "\n" + y.Step + "\n" + y.Object
			for _, want := range []string{c.says, c.step, c.object} {
				if !strings.Contains(text, want) {
					t.Errorf("no %q in\n%s", want, text)
				}
			}
			var differs strings.Builder
			for _, d := range y.Differs {
				fmt.Fprintf(&differs, "%s: %s → %s\n", d.What, d.Was, d.Now)
			}
			for _, want := range c.differs {
				if !strings.Contains(differs.String(), want) {
					t.Errorf("no %q in\n%s", want, differs.String())
				}
			}
			if len(y.Try) == 0 || !strings.HasPrefix(y.Try[0], c.try) {
				t.Errorf("to try: %q", y.Try)
			}
			if y.Since == nil || y.Since.Label != "2026-01-06" || y.Hint == "" || y.Error == "" {
				t.Errorf("last worked %+v, hint %q, error %q", y.Since, y.Hint, y.Error)
			}
			if body, err := json.Marshal(y); err != nil || strings.Contains(string(body), "u0000") {
				t.Errorf("an id, or no JSON: %s, %v", body, err)
			}
		})
	}

	// The rest need no run that gets far.
	*s.job = declared
	if string(object(t, s.raw, day6)) != string(file) {
		t.Fatal("the file of the day was not put back")
	}
	s.runner.Dead = func(holder string) bool { return holder == "Dead" }
	dead, alive := s.crashed(3, "Dead", time.Hour), s.crashed(4, "Alive", time.Hour)
	if y := s.why(dead.ID); !strings.Contains(y.Says, "(Dead) ended without a word at train 2026-01-04") || !strings.HasPrefix(y.Try[0], "rapport run nightly --at 2026-01-05") {
		t.Errorf("killed: %+v", y)
	}
	if y := s.why(alive.ID); !strings.Contains(y.Says, "goes on, at train 2026-01-05, in Alive") || !strings.HasPrefix(y.Try[0], "rapport runs cancel") {
		t.Errorf("under way: %+v", y)
	}
}

// A rejected run names the rules that refused, by how much, and whose they are.
func TestWhyRejected(t *testing.T) {
	s := newShop(t, smallWorld)
	ratio := 1000.0
	s.job.Budgets = append(s.job.Budgets, eval.Budget{Metric: "ndcg@10", Against: "live", Ratio: &ratio, Owner: "ann", Why: "shows a refusal", OnFail: eval.Block})
	res, err := s.try(6)
	if !errors.Is(err, jobs.ErrRejected) {
		t.Fatal(err)
	}
	y := s.why(ledger.Latest)
	if len(y.Rules) == 0 || y.Rules[0].Owner != "ann" || y.Rules[0].Why != "shows a refusal" || *y.Rules[0].Bound != ratio || *y.Rules[0].Value >= ratio {
		t.Errorf("rules: %+v", y.Rules)
	}
	if want := fmt.Sprintf("rapport models approve home %d", res.Model.Version); len(y.Try) != 3 || !strings.HasPrefix(y.Try[1], want) {
		t.Errorf("to try: %q", y.Try)
	}
	if y.Since != nil || !strings.Contains(y.Says, "The gate refused") {
		t.Errorf("%+v", y)
	}
}
