// Package schedule says when a job is due: pure functions over a clock that is passed in.
//
// # Design
//
// robfig/cron parses expressions and finds next times; nothing else of it is used, for its runner knows neither leases nor closed
// intervals. A schedule only says when the last closed interval may start: which interval that is, is decided by table.Every. Two traps
// of the parser are closed here: a TZ= prefix that makes it panic, and expressions that never fire (31 February), for which it returns
// the zero time.
//
// An Agenda says which intervals: at each firing those that closed since the last, oldest first. It is plain state without a clock, a store or a
// goroutine, so that a year of it can be tested in a moment. What another process has done is not its affair: jobs asks the ledger.
//
// Daylight saving: a fire time that falls into the spring gap is moved to the first instant after the gap, and one that the autumn
// repeats fires once, at its first occurrence; so a daily job runs once on every calendar day. An hourly job
// starts the two intervals of a repeated hour together.
package schedule
