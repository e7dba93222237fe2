package web

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage/table"
)

// Figures of the last counted week are gauges, but no figure of fewer than 11 people, none that would give such a figure away, and none that nobody counted; a week
// that cannot be read is no week of zeros.
func TestTrustMetrics(t *testing.T) {
	now, reads, broken := noon, 0, false
	week := eval.TrustWeek{Interval: table.Interval{Start: noon.AddDate(0, 0, -7), End: time.Unix(1800000000, 0)}}
	whole := []eval.TrustTally{
		{Metric: eval.TrustConsent, Purpose: "recommend", N: 90, Of: 120},
		{Metric: eval.TrustConsent, Purpose: "mail", N: 5, Of: 120},
		{Metric: eval.TrustConsent, Purpose: "nobody"},
		{Metric: eval.TrustWithdrawn, Purpose: "recommend", N: 12},
		{Metric: eval.TrustExpired, Purpose: "recommend", N: 3},
		{Metric: eval.TrustGiven, Purpose: "recommend", N: 14},
		{Metric: eval.TrustOptOuts, N: 4},
		{Metric: eval.TrustErasures, N: 11},
		{Metric: eval.TrustErased, N: 0},
		{Metric: eval.TrustOverdue, Gap: true},
		{Metric: eval.GrowthActive, N: 500},
	}
	week.Groups = eval.TellTrust(whole, nil)
	m := NewMetrics(Sources{
		Now: func() time.Time { return now }, Jobs: []string{"nightly"}, Status: func(context.Context) (*jobs.Status, error) { return &jobs.Status{}, nil },
		Scheduler: func() jobs.SchedulerState { return jobs.SchedulerState{} },
		Trust: func(context.Context) (map[string]eval.TrustWeek, error) {
			if reads++; broken {
				return nil, errors.New("unreachable")
			}
			return map[string]eval.TrustWeek{"nightly": week, "new": {Interval: week.Interval}}, nil
		},
	})
	scrape := func() (lines []string) {
		for line := range strings.Lines(ask(m.Handler(), http.MethodGet, "/metrics", "localhost", "").Body.String()) {
			if strings.HasPrefix(line, "rapport_trust_") {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
		return lines
	}
	// Three expired, so that with what was given and the rate the withdrawn would tell of them: those are withheld too.
	want := []string{
		`rapport_trust_consent_rate{job="nightly",purpose="recommend"} 0.75`,
		`rapport_trust_erasures_asked{job="nightly"} 11`,
		`rapport_trust_erasures_done{job="nightly"} 0`,
		`rapport_trust_week_end_timestamp_seconds{job="new"} 1.8e+09`,
		`rapport_trust_week_end_timestamp_seconds{job="nightly"} 1.8e+09`,
	}
	if got := scrape(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("metrics of trust:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	broken = true
	if got := scrape(); len(got) != len(want) || reads != 1 {
		t.Errorf("the weeks were read %d times within a moment, %d lines", reads, len(got))
	}
	now = now.Add(trustFor + time.Second)
	if got := scrape(); len(got) != 0 || reads != 2 {
		t.Errorf("while the bucket cannot be read, after %d reads: %q", reads, got)
	}
}
