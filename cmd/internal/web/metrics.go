package web

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/ledger"
)

// Metrics counts runs, as a jobs.Observer, and reads how things stand when it is asked.
type Metrics struct {
	registry *prometheus.Registry
	runs     *prometheus.CounterVec
	took     *prometheus.HistogramVec
	steps    *prometheus.CounterVec
	rows     *prometheus.CounterVec
	active   *prometheus.GaugeVec
	lookups  *prometheus.CounterVec
	answered *prometheus.HistogramVec
}

// Sources are what Metrics reads when it is asked.
type Sources struct {
	Now       func() time.Time
	Revision  string
	Jobs      []string
	Status    func(context.Context) (*jobs.Status, error)
	Scheduler func() jobs.SchedulerState
	Alerts    func() (sent, failed, suppressed uint64) // nil: nobody is told
	// Trust is the last week that runs have counted, by job; nil: no job counts.
	Trust func(context.Context) (map[string]eval.TrustWeek, error)
	// Reads is what callers have read within the last hour, and Unlogged for how long requests have not been in the access log; nil: nobody is counted.
	Reads    func() []Reading
	Unlogged func() time.Duration
}

// NewMetrics registers all metrics. Those of jobs are there, at zero, before the first run.
func NewMetrics(s Sources) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		runs:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rapport_runs_total", Help: "Runs that have ended in this process."}, []string{"job", "status"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "rapport_run_duration_seconds", Help: "How long runs took.", Buckets: []float64{1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 14400},
		}, []string{"job", "status"}),
		steps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rapport_step_seconds_total", Help: "Time that runs spent in each step.",
		}, []string{"job", "step"}),
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rapport_step_rows_total", Help: "Rows that steps read and wrote.",
		}, []string{"job", "step", "direction"}),
		lookups: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rapport_lookups_total", Help: "Lookups that were answered, or refused."}, []string{"path", "outcome"}),
		answered: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "rapport_lookup_duration_seconds", Help: "How long lookups took.", Buckets: []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10},
		}, []string{"path"}),
		active: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "rapport_runs_active", Help: "Runs under way in this process."}, []string{"job"}),
	}
	for _, job := range s.Jobs {
		for _, status := range []ledger.Status{ledger.Succeeded, ledger.Failed, ledger.Rejected, ledger.Interrupted} {
			m.runs.WithLabelValues(job, string(status))
		}
		m.active.WithLabelValues(job)
	}
	m.registry.MustRegister(
		m.runs, m.took, m.steps, m.rows, m.active, m.lookups, m.answered, newStanding(s),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	if s.Trust != nil {
		m.registry.MustRegister(&trusting{now: s.Now, last: s.Trust})
	}
	if s.Reads != nil {
		m.registry.MustRegister(&reading{s.Reads, s.Unlogged})
	}
	return m
}

// Handler answers GET /metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: answerTime - time.Second})
}

// Looked counts a lookup.
func (m *Metrics) Looked(path, outcome string, took time.Duration) {
	m.lookups.WithLabelValues(path, outcome).Inc()
	m.answered.WithLabelValues(path).Observe(took.Seconds())
}

// Started counts a run that begins.
func (m *Metrics) Started(_ context.Context, job *jobs.Job, _ ledger.Run) {
	m.active.WithLabelValues(job.Name).Inc()
}

// Ended counts a run that has ended. One that another process left behind was never begun here.
func (m *Metrics) Ended(_ context.Context, job *jobs.Job, run ledger.Run, res *jobs.Result) {
	if res == nil {
		return
	}
	m.active.WithLabelValues(job.Name).Dec()
	m.runs.WithLabelValues(job.Name, string(run.Status)).Inc()
	m.took.WithLabelValues(job.Name, string(run.Status)).Observe(run.Cost.Seconds)
	for _, s := range run.Steps {
		m.steps.WithLabelValues(job.Name, s.Name).Add(s.Seconds)
		m.rows.WithLabelValues(job.Name, s.Name, "in").Add(float64(s.RowsIn))
		m.rows.WithLabelValues(job.Name, s.Name, "out").Add(float64(s.RowsOut))
	}
}

// standing is a collector of how things stand now.
type standing struct {
	Sources

	mu     sync.Mutex
	read   time.Time
	status *jobs.Status
	failed bool
}

// standFor is how long what was read of the bucket is good for, in metrics.
const standFor = 15 * time.Second

func newStanding(s Sources) *standing { return &standing{Sources: s} }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	descBuild      = desc("rapport_build_info", "Always 1; which code this is.", "revision")
	descStatus     = desc("rapport_status_readable", "1 if the bucket and the online store could be asked how things stand.")
	descTurn       = desc("rapport_scheduler_turn_age_seconds", "Since the scheduler last looked at its schedules.")
	descBeat       = desc("rapport_scheduler_heartbeat_age_seconds", "Since this server last told the others that it lives.")
	descIntervals  = desc("rapport_intervals_total", "What became of intervals that fell due.", "job", "outcome")
	descHeld       = desc("rapport_job_held", "1 if something that is due may not start: the job is paused, or another server's.", "job")
	descPaused     = desc("rapport_job_paused", "1 if the job is paused.", "job")
	descLate       = desc("rapport_job_late", "1 if an interval is overdue.", "job")
	descStale      = desc("rapport_job_stale", "1 if what is live is not what should be.", "job")
	descSuccess    = desc("rapport_job_last_success_timestamp_seconds", "When the last run that succeeded had ended; 0: never.", "job")
	descDue        = desc("rapport_job_next_due_timestamp_seconds", "When the schedule fires next; 0: never.", "job")
	descLag        = desc("rapport_job_interval_lag_seconds", "From the end of the live version's interval to that of the last closed one.", "job")
	descVersion    = desc("rapport_live_version", "The version that is live; 0: none.", "job")
	descGeneration = desc("rapport_live_generation", "The online generation that should be live.", "job")
	descAge        = desc("rapport_live_age_seconds", "Since the end of the live version's interval.", "job")
	descConsent    = desc("rapport_consent_age_seconds", "Since the consent records were read last.", "job")
	descInStep     = desc("rapport_online_in_step", "1 if the online store serves what the alias says.", "job")
	descFallback   = desc("rapport_online_fallback", "1 if an operator has switched off all that is based on profiling.")
	descPurge      = desc("rapport_purge_age_seconds", "Since what is past its retention was removed last; absent: never.")
	descPurgeLate  = desc("rapport_purge_late", "1 if a purge has failed, or fell due long ago and was not done.")
	descHolds      = desc("rapport_legal_holds", "Legal holds in force.")
	descAlerts     = desc("rapport_alerts_total", "Messages to those whom the project file names.", "outcome")
)

// outcomes are the words of rapport_intervals_total.
var outcomes = []string{"succeeded", "rejected", "failed", "interrupted", "left_out", "given_up", "done_elsewhere", "cancelled"}

// Describe implements prometheus.Collector.
func (s *standing) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descBuild, descStatus, descTurn, descBeat, descIntervals, descHeld, descPaused, descLate, descStale, descSuccess, descDue, descLag, descVersion, descGeneration,
		descAge, descConsent, descInStep, descFallback, descPurge, descPurgeLate, descHolds, descAlerts,
	} {
		to <- d
	}
}

// Collect implements prometheus.Collector. Cost: that of a status, at most every 15 seconds.
func (s *standing) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	now := s.Now()
	gauge(descBuild, 1, s.Revision)
	state := s.Scheduler()
	if !state.Turned.IsZero() {
		gauge(descTurn, now.Sub(state.Turned).Seconds())
	}
	gauge(descBeat, state.Beat.Seconds())
	for _, l := range state.Jobs {
		gauge(descHeld, truth(l.Held != ""), l.Job)
		for _, o := range outcomes {
			counter(descIntervals, float64(l.Count[o]), l.Job, o)
		}
	}
	if s.Alerts != nil {
		sent, failed, suppressed := s.Alerts()
		counter(descAlerts, float64(sent), "sent")
		counter(descAlerts, float64(failed), "failed")
		counter(descAlerts, float64(suppressed), "suppressed")
	}
	status := s.current(now)
	gauge(descStatus, truth(status != nil))
	if status == nil {
		return
	}
	gauge(descFallback, truth(status.Fallback != nil))
	if r := status.Retention; r != nil {
		if r.Purged != nil {
			gauge(descPurge, now.Sub(*r.Purged).Seconds())
		}
		gauge(descPurgeLate, truth(r.Late || r.Failed != ""))
		gauge(descHolds, float64(r.Holds))
	}
	for _, j := range status.Jobs {
		gauge(descPaused, truth(j.Paused != ""), j.Job)
		gauge(descLate, truth(j.Late), j.Job)
		gauge(descStale, truth(j.Stale), j.Job)
		gauge(descSuccess, seconds(j.Succeeded), j.Job)
		gauge(descDue, seconds(j.Next), j.Job)
		gauge(descVersion, float64(j.Version), j.Job)
		gauge(descGeneration, float64(j.Generation), j.Job)
		gauge(descInStep, truth(j.InStep), j.Job)
		if j.Version != 0 {
			gauge(descLag, j.Lag, j.Job)
			gauge(descAge, j.Age, j.Job)
		}
		if at, err := time.Parse(time.RFC3339, j.Consent); err == nil {
			gauge(descConsent, now.Sub(at).Seconds(), j.Job)
		}
	}
}

// current returns how things stand, or nil if that cannot be found out.
func (s *standing) current(now time.Time) *jobs.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	if age := now.Sub(s.read); s.read.IsZero() || age < 0 || age > standFor {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		status, err := s.Status(ctx)
		s.read, s.status, s.failed = now, status, err != nil
	}
	if s.failed {
		return nil
	}
	return s.status
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
