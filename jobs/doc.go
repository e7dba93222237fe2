// Package jobs runs the product: it joins what the packages below know to the steps of a run, in the order of steps.go, which is the
// table of contents.
//
// # Design
//
// A run is a walk over keyed steps. Planning computes every key without doing any work: a key hashes the step's logic number, the part
// of the job it reads, and its inputs, which are keys of other steps, fingerprints of raw files and digests of policy, never results. So
// cron, retry and backfill are one question: which keys are not done? Keys made of results instead (early cut-off) were rejected: a plan
// could then not be told before it is carried out.
//
// Day-level steps (ingest) are keyed without consent and written under the decisions of their day of writing; interval-level steps
// (build, assemble, train, evaluate, load) apply today's decisions as a filter whose digest is in their keys. An erasure supersedes the
// day-level tables that hold the subject and opens no key of theirs.
//
// A training set is committed as references (days, filter, cuts) and a digest, not as a copy of rows: an erasure finds nothing in it to
// rewrite, and a nightly run over half a year of history writes one small object instead of that history again.
//
// What is live is said by one object, the registry's live.json. The online store follows it: every run, and serve between
// runs, reconcile the two; status tells.
//
// A Scheduler keeps no state of its own that matters: what has been done, tried and given up stands in the ledger, and who is at it in the leases.
// So any number of them over one bucket do each interval once, and one that is started again goes on. A leader among servers was rejected: it
// would be one more thing that can be wrong about who is alive, and the leases must hold without it anyway.
package jobs
