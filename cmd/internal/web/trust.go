package web

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rapport-ml/rapport/eval"
)

// trustFor is how long what was read of the counted weeks is good for: there is another once a week.
const trustFor = 5 * time.Minute

var descWeek = desc("rapport_trust_week_end_timestamp_seconds", "When the last ISO week ended that has been counted; the other trust metrics are of that week.", "job")

// trustGauges are the figures of the last counted week of everybody. One of fewer than 11 people, and one that would give such a figure away, is absent, as is
// one that nobody could count: neither is a zero.
var trustGauges = map[string]*prometheus.Desc{
	eval.TrustConsent:    desc("rapport_trust_consent_rate", "Of the people with a record of consent for the purpose, the share whose consent was valid at the week's last moment.", "job", "purpose"),
	eval.TrustWithdrawn:  desc("rapport_trust_withdrawn", "People who withdrew in the week, or objected; absent under 11, but for zero.", "job", "purpose"),
	eval.TrustExpired:    desc("rapport_trust_expired", "People whose consent ran out in the week; absent under 11, but for zero.", "job", "purpose"),
	eval.TrustUnprofiled: desc("rapport_trust_unprofiled_share", "Of the people with events in the week, the share who wanted no profile at its last moment.", "job"),
	eval.TrustOptOuts:    desc("rapport_trust_opt_outs", "People who asked in the week not to be profiled; absent under 11, but for zero.", "job"),
	eval.TrustErasures:   desc("rapport_trust_erasures_asked", "People who asked in the week to be forgotten; absent under 11, but for zero.", "job"),
	eval.TrustErased:     desc("rapport_trust_erasures_done", "People whose erasure was finished in the week; absent under 11, but for zero.", "job"),
	eval.TrustOverdue:    desc("rapport_trust_erasures_overdue", "People whose erasure had been asked for 30 days before the week's last moment or earlier, and was not finished then; absent under 11, but for zero.", "job"),
}

// ofPurpose are those of them that are counted by purpose.
var ofPurpose = map[string]bool{eval.TrustConsent: true, eval.TrustWithdrawn: true, eval.TrustExpired: true}

// trusting is a collector of what runs have counted of people's trust.
type trusting struct {
	now  func() time.Time
	last func(context.Context) (map[string]eval.TrustWeek, error)

	mu    sync.Mutex
	read  time.Time
	weeks map[string]eval.TrustWeek
}

// Describe implements prometheus.Collector.
func (t *trusting) Describe(to chan<- *prometheus.Desc) {
	to <- descWeek
	for _, d := range trustGauges {
		to <- d
	}
}

// Collect implements prometheus.Collector. Cost: a listing and a few GETs, at most every five minutes.
func (t *trusting) Collect(to chan<- prometheus.Metric) {
	for job, week := range t.current() {
		to <- prometheus.MustNewConstMetric(descWeek, prometheus.GaugeValue, seconds(week.Interval.End), job)
		if len(week.Groups) == 0 {
			continue
		}
		for _, f := range week.Groups[0].Figures { // of everybody: cohorts stand in the report
			d := trustGauges[f.Metric]
			if d == nil || f.Status != eval.Told || f.Value == nil || ofPurpose[f.Metric] != (f.Purpose != "") {
				continue
			}
			labels := []string{job}
			if f.Purpose != "" {
				labels = append(labels, f.Purpose)
			}
			to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, *f.Value, labels...)
		}
	}
}

// current returns the last week of each job that counts any; none where they cannot be read.
func (t *trusting) current() map[string]eval.TrustWeek {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if age := now.Sub(t.read); t.read.IsZero() || age < 0 || age > trustFor {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		weeks, err := t.last(ctx)
		if err != nil {
			weeks = nil
		}
		t.read, t.weeks = now, weeks
	}
	return t.weeks
}
