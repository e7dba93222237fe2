// Package lineage tells a data catalog what runs read and made, as OpenLineage 2-0-2 run events: to a file, a line each, or to an HTTP
// endpoint, or both. How runs, steps and verdicts are mapped stands in docs/alerts.md.
//
// Emitter is a jobs.Observer.
//
// # Design
//
// Each run is told with exactly one START and one terminal event, though its process may be killed at any moment, its successor ends it, and it
// may wake up and end itself. So an object of the bucket, lineage/<run id>.json, is the outbox: created with the START, given the terminal event
// once, by compare-and-set, deleted when both have arrived at every sink. A terminal event finds no object if another has told it: then there
// is nothing to tell. Who sends claims the object first. A process that dies between sending and writing that down leaves an event that is sent
// again: delivery is at least once, and receivers know it again by run id and type.
//
// A sink that is down delays nothing but itself: a request is bounded, the pass too, and what is left is sent by the next run, oldest first.
// The queue is bounded; what falls out of it is counted and logged. No run fails for its lineage.
//
// An event a step, or one job a step, was rejected: a step is shared by runs and skipped where it is done, so that most would say nothing. The
// datasets of a run's event have stable names (data/ingest/events, not the key of one night), since a catalog joins jobs by them; the night
// stands in nominalTime, the digest in the version facet. Tables that the run made are outputs; those it found done are inputs.
package lineage
