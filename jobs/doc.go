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
// A build goes on from what an earlier one kept (prior.go) only where all that rested on still stands: the keys and digests of its days, and the digest of whose events
// of its window count. It is looked for when the build is made and stands in no key, since the tables are the same to the bit; so a plan, a backfill, several intervals at
// once and a bucket whose states were removed all lead to the same. Its facts say which build it was, or why there was none. States are outputs of the build step, and
// not steps of their own: they are made by the same scan, are committed or not with the views, and may be taken out of a commit again without opening a key.
//
// Whoever withdraws makes the next build read all events: a state holds sums, and not who is in them. To read only the events of the subjects who changed was thought
// through and not built. It is exact for views keyed by the subject, without touching the engine: one build goes on from a prior whose states, tiles and events leave these subjects
// out, another reads their events alone, and both write to one table. But days are sharded and not indexed by subject, so that twenty subjects among sixteen shards make it
// read the subject column of nearly every part of the window, and the rest of the row groups that hold one, a third of a full build; and a job that has one view of items, as
// nearly all have, reads everything anyway, since the least, latest and distinct values of an item can't be taken back without its other events. Row groups of few subjects in days'
// tables would change that sum.
//
// Trust is counted where its data already are, and kept as counts. A week's step reads the consent records of people who have withdrawn as well: a controller must be able to show that
// they had consented and when that ended (GDPR art. 7(1), 5(2)), the records are kept for that, and nothing leaves the step but counts of MinCell people and more. Their events
// are another matter: those are read under the evaluation purpose, whose basis is asked for each person, and where a job has none under the training purpose, which
// admits nobody who has withdrawn. The rate of consent is of the people on record, who are known whatever was read when, and not of the active: whoever withdraws before a day is
// read is not among its people, so that a rate of these would be that of those who stayed, and 100 % of history that is read at once. Rejected: counting at ingest, before rows without a basis are dropped, how many people these
// are of. It would be the better denominator, and takes a sketch of the ids of exactly those who said no. What would give a small count away is withheld before the
// commit and not when it is printed, so that a committed week needs no erasure, and no later reader can forget it. A week's key has no policy in it: its question is what was
// known by its end, which has one answer.
//
// What is live is said by one object, the registry's live.json. The online store follows it: every run, and serve between
// runs, reconcile the two; status tells.
//
// Looking at views writes nothing. A preview, a join and the times of newest events (PreviewView, JoinViews, NewestEvents) read the days that are ingested through
// the same reader as a run, under the decisions of now, and leave what is not ingested to be said. A preview's sample is one of entities, not of
// rows, so that each value that it shows is the one that a build would give: subjects whose numbers, which are random, lie below a threshold stand in
// the first rows of the first shards, and nothing else is read. (Rejected: a sample of rows, whose counts would have to be scaled and whose distinct counts can't be.)
// Examples are an outside file: only the columns that their reader names are handed through, ids become numbers before anything else sees them, and
// somebody who is unknown is not told apart from somebody who said no.
//
// A purge writes down what is to go before it touches anything, create-only, and marks that entry as done beside it. So the journal of a purge that dies says what it took, whatever
// was left to the next one, which goes through the same cuts again: what is gone already is no work. (Rejected: to write the entry at the end, which would know nothing of what a dead
// process had removed; and a row count in each successor, which an erasure in between would lose.) It takes no lease that an erasure needs, for whoever asks to be forgotten is denied at
// once; two that rewrite one table undo nothing of one another, since each successor is made of the very commit that it replaces. A hold is no state of
// tables: it is looked up before each of them is touched. Of people whose erasure meets a hold the journal keeps the numbers, so that their rows are told until they go, and everything else
// about them is gone as if there were no hold; the identity row too, since every reader of the online store takes its absence for an erasure.
//
// A Scheduler keeps no state of its own that matters: what has been done, tried and given up stands in the ledger, and who is at it in the leases.
// So any number of them over one bucket do each interval once, and one that is started again goes on. A leader among servers was rejected: it
// would be one more thing that can be wrong about who is alive, and the leases must hold without it anyway.
package jobs
