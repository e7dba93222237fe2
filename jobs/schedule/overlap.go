package schedule

// Overlap says what happens when an interval falls due while an earlier run of the job is under way, as in Temporal's schedules and
// Kubernetes' CronJob.
type Overlap string

// The overlap policies.
const (
	Skip        Overlap = "skip"         // it does not start (Forbid), unless the run ends within the catch-up window
	BufferOne   Overlap = "buffer-one"   // the latest that fell due starts when the run ends
	CancelOther Overlap = "cancel-other" // the run is cancelled, and this one starts (Replace)
	AllowAll    Overlap = "allow-all"    // they run side by side
)
