package web

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// reading is a collector of what callers read. Its label is a name of the project file.
type reading struct {
	hour     func() []Reading
	unlogged func() time.Duration
}

var (
	descPeople   = desc("rapport_token_people", "Of how many people a token has touched the records within the last hour, to about 2 %.", "token")
	descOver     = desc("rapport_token_over", "1 if that is more than its alert_above.", "token")
	descUnlogged = desc("rapport_access_log_waiting_seconds", "The age of the oldest request without its line in the access log, one that is being written included.")
)

// Describe implements prometheus.Collector.
func (*reading) Describe(to chan<- *prometheus.Desc) {
	to <- descPeople
	to <- descOver
	to <- descUnlogged
}

// Collect implements prometheus.Collector.
func (r *reading) Collect(to chan<- prometheus.Metric) {
	for _, x := range r.hour() {
		to <- prometheus.MustNewConstMetric(descPeople, prometheus.GaugeValue, float64(x.People), x.Token)
		to <- prometheus.MustNewConstMetric(descOver, prometheus.GaugeValue, truth(x.Over), x.Token)
	}
	to <- prometheus.MustNewConstMetric(descUnlogged, prometheus.GaugeValue, r.unlogged().Seconds())
}
