package main

import (
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage/table"
)

// A plan says why a step that was done is to be done again: which of its inputs is another.
func TestPlanSaysWhy(t *testing.T) {
	s := newShop(t, smallWorld)
	s.quick()
	s.night(6)
	why := func() map[string]string {
		out := map[string]string{}
		for _, step := range s.plan(6).Steps {
			if !step.Done {
				out[step.Name+" "+step.Label] = step.Why
			}
		}
		return out
	}
	if got := why(); len(got) != 0 {
		t.Fatalf("after a night there is to do: %v", got)
	}
	s.job.Window /= 2
	if got := why(); got["build 2026-01-07"] != "" || got["assemble 2026-01-07"] != "its settings have changed, days that it reads have changed, whose data may be used has changed" ||
		got["train 2026-01-07"] != "it has another training set" {
		t.Errorf("with half the window: %v", got)
	}
	s.job.Window *= 2
	s.job.MinN++
	if got := why(); got["evaluate 2026-01-07"] != "its settings have changed" {
		t.Errorf("with another smallest cohort: %v", got)
	}
	s.job.MinN--
	if _, err := s.runner.Erase(t.Context(), []*jobs.Job{s.job}, []string{"u000001"}); err != nil {
		t.Fatal(err)
	}
	if got := why(); got["build 2026-01-07"] != "whose data may be used has changed" {
		t.Errorf("after an erasure: %v", got)
	}
}

// A plan says what views would be built from, and which days late files reopen: what is read of them, and whose views were made of them.
func TestPlanOfViews(t *testing.T) {
	s := newShop(t, smallWorld)
	s.keep()
	if v := s.plan(5).Views; v == nil || v.From != "" || v.Days != 6 || v.Rows != 0 || !strings.Contains(v.Anew, "none of the 16 intervals before has been built") {
		t.Errorf("before the first night: %+v", v)
	}
	s.buildNight(5)
	s.buildNight(6)
	p := s.plan(7)
	v := p.Views
	if v == nil || v.AsOf == nil || !v.AsOf.Equal(s.interval(6).End) || v.Anew != "" || v.State == 0 || len(p.Reopened) != 0 {
		t.Fatalf("after two nights: %+v, %v", v, p.Reopened)
	}
	// Read are the new day, not yet ingested, and those that leave windows of three and seven days; yesterday's tile stands for the window of one.
	rows := s.rowsOfDay(4) + s.rowsOfDay(0)
	if v.Days != 3 || v.Rows != rows || v.Tiles != 1 {
		t.Errorf("it reads %+v, want 3 days, %d rows, 1 tile", v, rows)
	}
	if text := viewsFrom(v); !strings.Contains(text, "from the build as of 2026-01-08") || !strings.Contains(text, "3 days of events") {
		t.Error(text)
	}

	writeParquet(t, s.raw, eventsKey(3, "late"), readParquet[rawEvent](t, s.raw, eventsKey(3, "part-0"))[:30])
	p = s.plan(7)
	if len(p.Reopened) != 1 {
		t.Fatalf("with a late file: %+v", p.Reopened)
	}
	r := p.Reopened[0]
	if r.Day != "2026-01-04" || r.Files != r.FilesBefore+1 || r.Bytes <= r.BytesBefore || r.RowsBefore == 0 || r.Builds != 2 || r.From != "2026-01-06" || r.To != "2026-01-07" {
		t.Errorf("with a late file: %+v", r)
	}
	if text := reopened(p.Reopened); !strings.Contains(text, "2026-01-04 is read again") || !strings.Contains(text, "2 intervals, 2026-01-06 to 2026-01-07, were made of it and may be due again: rapport backfill nightly --from 2026-01-06 --to 2026-01-08") {
		t.Error(text)
	}
	if v := p.Views; v.From != "" || !strings.Contains(v.Anew, "1 has changed since: 2026-01-04") || v.Days != 7 || v.Rows < rows {
		t.Errorf("with a late file: %+v", v)
	}
	// A day whose views were made for one interval of these two is told with it: one backfill makes both.
	writeParquet(t, s.raw, eventsKey(6, "late"), readParquet[rawEvent](t, s.raw, eventsKey(6, "part-0"))[:30])
	if both := s.plan(7).Reopened; len(both) != 2 || both[1].Builds != 1 || both[1].Again != both[0].Again || both[0].Again != r.Again {
		t.Errorf("with two late files: %+v", both)
	} else if text := reopened(both); !strings.Contains(text, "2026-01-04 … 2026-01-07, 2 of them, are read again") || !strings.Contains(text, "the views of intervals from 2026-01-06 to 2026-01-07 were made of them and may be due again: "+r.Again) {
		t.Error(text)
	}
	if err := s.raw.Delete(t.Context(), eventsKey(6, "late")); err != nil {
		t.Fatal(err)
	}
	res, err := s.runner.Run(t.Context(), s.job, s.interval(7), jobs.Options{Through: jobs.ThroughBuild, Cause: "schedule"})
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Reopened) != 1 || res.Reopened[0] != r {
		t.Errorf("the run says %+v, and the plan said %+v", res.Reopened, r)
	}
	var out strings.Builder
	printReopened(&out, append(res.Reopened, jobs.Reopened{Day: "2026-01-05", Builds: r.Builds, Again: r.Again}))
	printViews(&out, res.Steps)
	if text := out.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, "2026-01-04 … 2026-01-05, 2 of them, are read again") || !strings.Contains(text, "build\tviews from all events: that of 2026-01-07") {
		t.Error(text)
	}
	if p := s.plan(7); p.Views != nil || len(p.Reopened) != 0 {
		t.Errorf("after the night: %+v, %+v", p.Views, p.Reopened)
	}
}

// rowsOfDay is how many events of a day were kept.
func (s *shop) rowsOfDay(day int) (n int64) {
	s.Helper()
	for c, err := range (table.Store{Bucket: s.opened.Bucket}).List(s.Context(), "ingest/"+s.job.Every.Label(s.interval(day))+"/") {
		if err != nil {
			s.Fatal(err)
		}
		n += c.Outputs["events"].Rows
	}
	return n
}
