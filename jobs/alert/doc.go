// Package alert tells people by webhook when a job needs one: a run failed, the gate refused it, an interval is overdue, data drifted, a
// budget is broken. It says so once a condition, and once more when the condition is over.
//
// Notifier is a jobs.Observer. The scheduler and status call Late and Sweep besides. Open lists what is open. Verify checks a signature, as a
// receiver does. The payloads are described in docs/alerts.md.
//
// # Design
//
// A condition (job, kind, and what of it) is one object of the bucket, alerts/<hash>.json, changed by compare-and-set. That object is the
// memory over restarts and between two servers, and it is the spool too: it counts messages, and keeps for each destination the number of
// the last one that arrived. What is behind is sent by the next run, or by the next Sweep. So a webhook that was down for three nights is told
// how things stand now, and not what was said on each of them; a queue of messages was rejected for that reason. Objects are not deleted when
// a condition is over: a delete has no condition, and would lose what another server opened at that moment. There are as many as there are
// jobs, kinds and budgets.
//
// Before sending, a process claims the condition for a minute, by compare-and-set: two servers that find the same thing send it once. A
// process that dies between sending and writing down that it did leaves a message that is sent again: delivery is at least once, and a message
// has an id by which a receiver knows it again.
//
// Nothing here may hurt a run: each request is bounded, so are the attempts and the whole, and what goes wrong is logged and counted. A fault
// of the configuration (an environment variable that is not set) fails the delivery, not the run.
//
// The address of a webhook is a secret, as whoever knows it can post. It stands in no log, error or object; a hash of it names the
// destination. What is sent holds no subject and no value of the data: texts in quotes, where errors repeat what they have found, and
// credentials in addresses are cut out; figures of the gate are of groups, never small ones.
package alert
